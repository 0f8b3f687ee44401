//! From text to types.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use dezky_api::BootstrapToken;
use dezky_audit::KnownCheckpoint;
use dezky_audit_core::source::stalwart::AllowList;
use dezky_cold::depot::{LockMode, LockedParts};
use dezky_ingest::webhook::SignatureKey;
use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

pub(crate) fn parsed<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("empty".to_owned()) } else { Ok(PathBuf::from(text)) }
}

/// A number above 0.
pub(super) fn positive<T: FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    text.parse().ok().filter(|number| *number >= T::from(1)).ok_or_else(|| "not a number above 0".to_owned())
}

pub(super) fn above_zero(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "not a number above 0".to_owned())
}

/// `127.0.0.1:8787`, `[::1]:8787` or `localhost:8787`.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    local.as_deref().unwrap_or(text).parse().map_err(|_| "not an address and a port, such as 127.0.0.1:8787".to_owned())
}

/// `250ms`, `30s`, `5m`, `1h`; a number alone is seconds. Above 0, at most a year.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let refused = || "not a time above 0, such as 250ms, 30s, 5m, 1h".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| refused())?;
    let ms = match text[digits..].trim() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(refused()),
    };
    let ms = number.checked_mul(ms).filter(|ms| (1..=365 * 24 * 3_600_000).contains(ms)).ok_or_else(refused)?;
    Ok(Duration::from_millis(ms))
}

/// A time from a minute to a day.
pub(super) fn session_time(text: &str) -> Result<Duration, String> {
    let within = Duration::from_secs(60)..=Duration::from_secs(24 * 3_600);
    duration(text).ok().filter(|time| within.contains(time)).ok_or_else(|| "not a time from 1m to 24h, such as 8h".to_owned())
}

/// Days, at most a year of them; 0 is none.
pub(super) fn days(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|days| *days <= 365).ok_or_else(|| "not a number of days from 0 to 365".to_owned())
}

/// A number of days, a century of them at most; 0 is none.
pub(super) fn retention(text: &str) -> Result<Duration, String> {
    let days = text.parse::<u64>().ok().filter(|days| *days <= 36_500);
    days.map(|days| Duration::from_secs(days * 24 * 3_600)).ok_or_else(|| "not a number of days, 0 to 36500".to_owned())
}

/// An hour of the day.
pub(super) fn hour(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|hour| *hour < 24).ok_or_else(|| "not an hour of the day, 0 to 23".to_owned())
}

/// Who can lift a lock: nobody, or some.
pub(super) fn lock_mode(text: &str) -> Result<LockMode, String> {
    match text.to_ascii_lowercase().as_str() {
        "compliance" => Ok(LockMode::Compliance),
        "governance" => Ok(LockMode::Governance),
        _ => Err("neither compliance nor governance".to_owned()),
    }
}

/// In what form parts go where they can never be erased.
pub(super) fn lock_parts(text: &str) -> Result<LockedParts, String> {
    if text == "withheld" {
        Ok(LockedParts::Withheld)
    } else {
        Err("not 'withheld', the only form in which parts may be locked".to_owned())
    }
}

/// `true` or `false`.
pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "neither true nor false".to_owned())
}

pub(super) fn webhook_key(text: &str) -> Result<SignatureKey, String> {
    SignatureKey::of_stalwart(text).map_err(|error| error.to_string())
}

/// What a file holds, without one final line end.
pub(super) fn secret_file(path: &str) -> Result<String, String> {
    const MAX_BYTES: u64 = 4 << 10;
    let refused = |reason: &dyn std::fmt::Display| format!("{path} cannot be read: {reason}");
    let file = std::fs::File::open(path).map_err(|error| refused(&error))?;
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| refused(&error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(refused(&"longer than 4096 bytes"));
    }
    let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    Ok(line.unwrap_or(&text).to_owned())
}

/// Where browsers find a service: its address without a slash at the end, with TLS unless it is this machine.
pub(super) fn public_url(text: &str) -> Result<String, String> {
    let url = text.trim_end_matches('/');
    let refused = || "no address such as https://audit.example.eu (http:// on this machine only), without a query".to_owned();
    let uri: http::Uri = url.parse().map_err(|_| refused())?;
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let local = host == "localhost" || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    let good = match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => local,
        _ => false,
    };
    if good && uri.query().is_none() && !url.contains(['#', '@']) { Ok(url.to_owned()) } else { Err(refused()) }
}

/// `profile,email`.
pub(super) fn scopes(text: &str) -> Result<Vec<String>, String> {
    let scopes: Vec<_> = text.split(',').map(str::trim).filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    // RFC 6749, section 3.3.
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    match scopes.iter().find(|scope| !scope.bytes().all(plain)) {
        Some(scope) => Err(format!("'{scope}' is no scope")),
        None => Ok(scopes),
    }
}

/// `queue.*,smtp.auth-failed`.
pub(crate) fn event_kinds(text: &str) -> Result<AllowList, String> {
    let kinds = text.split(',').map(|kind| kind.trim().to_owned()).filter(|kind| !kind.is_empty());
    AllowList::with(kinds).map_err(|error| error.to_string())
}

pub(super) fn bootstrap_token(text: &str) -> Result<BootstrapToken, String> {
    match text {
        "loopback" => Ok(BootstrapToken::Loopback),
        "anywhere" => Ok(BootstrapToken::Anywhere),
        "off" => Ok(BootstrapToken::Off),
        _ => Err("none of loopback, anywhere, off".to_owned()),
    }
}

/// `1048576`, `64KiB`, `64MiB`, `1GiB`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let refused = || "not a number of bytes, such as 67108864 or 64MiB".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| refused())?;
    let unit = match text[digits..].trim() {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(refused()),
    };
    number.checked_mul(unit).filter(|bytes| *bytes > 0).ok_or_else(refused)
}

/// Networks or single addresses, commas between.
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let network = |item: &str| {
        let single = || item.parse::<IpAddr>().map(IpNet::from);
        item.parse::<IpNet>().or_else(|_| single()).map_err(|_| format!("'{item}' is not a network such as 10.0.0.0/8"))
    };
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(network).collect()
}

/// Notes in files, commas between their names.
pub(super) fn checkpoints(text: &str) -> Result<Vec<KnownCheckpoint>, String> {
    let read = |path: &str| match std::fs::read_to_string(path) {
        Ok(note) => Ok(KnownCheckpoint { note, from: path.to_owned() }),
        Err(error) => Err(format!("{path} cannot be read: {error}")),
    };
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(read).collect()
}

/// A filter for the traces, as it was written.
pub(super) fn filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sizes_and_networks_are_read() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("5m"), duration("300"));
        assert_eq!(session_time("24h"), duration("24h"));
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(networks("10.0.0.0/8, ::1").unwrap().len(), 2);
        assert_eq!(address("localhost:1"), address("127.0.0.1:1"));
        assert_eq!(positive::<u64>("1"), Ok(1));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "0", "5 minutes", "-1s", "99999999999999999999", "400000000h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for bad in ["", "0", "64MB", "1.5GiB", "99999999999GiB"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        for bad in ["59s", "25h", "0", "8"] {
            assert!(session_time(bad).is_err(), "{bad}");
        }
        assert!(networks("10.0.0.0/33").is_err());
        assert!(address("8787").is_err());
        assert!(positive::<u64>("0").is_err());
        assert!(filter("a=b=c").is_err());
    }
}
