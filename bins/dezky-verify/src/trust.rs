//! From the command line to what is trusted: keys, policy, origin, time.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail, ensure};
use dezky_audit_core::ids::{Origin, TenantSlug};
use dezky_audit_core::note::{HmacSecret, KeyName, KeyRing, TrustedKey, VerifyingKey};
use dezky_audit_core::policy::Policy;
use dezky_audit_core::seal::SealKeys;
use dezky_audit_core::time::Timestamp;
use dezky_audit_core::verify::{Conclude, Stepper, Trust, Walk};

use crate::arguments::Common;
use crate::input::read_small;

/// The environment variable that holds more keys.
const KEYS_VARIABLE: &str = "DEZKY_VERIFY_KEYS";

/// Reads everything that is to be trusted.
pub(crate) fn load(common: &Common) -> Result<Trust> {
    let mut ring = KeyRing::new();
    let environment = std::env::var(KEYS_VARIABLE).unwrap_or_default();
    let listed = environment.split([' ', ',', '\n', '\t']).filter(|key| !key.is_empty());
    for key in common.keys.iter().map(String::as_str).chain(listed) {
        for key in read_keys(key)? {
            ring.add(key).map_err(|error| anyhow!("{error}"))?;
        }
    }
    let policy = common.policy.as_deref().map(load_policy).transpose()?;
    for known in policy.iter().flat_map(|policy| policy.keys().keys()) {
        ring.add(known.clone()).map_err(|error| anyhow!("{error}"))?;
    }
    let origin =
        common.origin.as_deref().map(str::parse::<Origin>).transpose().map_err(|error| anyhow!("--origin is {error}"))?;
    let trust = Trust::new(origin, ring, policy.clone())?;
    match &common.hmac_key_file {
        None => Ok(trust),
        Some(path) => with_hmac(&trust, path, policy),
    }
}

/// The tenant of `--tenant`.
pub(crate) fn tenant(slug: Option<&str>) -> Result<Option<TenantSlug>> {
    slug.map(|slug| slug.parse().map_err(|error| anyhow!("--tenant is {error}"))).transpose()
}

/// What opens sealed parts, if anything does.
pub(crate) fn seal_keys(common: &Common, trust: &Trust) -> Result<Option<(SealKeys, String)>> {
    let Some(path) = &common.seal_keys else { return Ok(None) };
    let Some(origin) = trust.origin() else { bail!("--seal-keys needs the log's name: give --origin or a key") };
    let text = String::from_utf8(read_small(path)?).with_context(|| format!("{} is not text", path.display()))?;
    let keys = SealKeys::parse(&text).with_context(|| format!("cannot use the seal keys in {}", path.display()))?;
    Ok(Some((keys, origin.to_string())))
}

/// A stepper that opens what it has keys for.
pub(crate) fn stepper(seal_keys: Option<&(SealKeys, String)>) -> Stepper {
    seal_keys.map_or_else(Stepper::new, |(keys, origin)| Stepper::opening(keys.clone(), origin))
}

/// Opens the checkpoints that were given and hands their heads, or what is wrong with them, to the walk.
pub(crate) fn add_checkpoints(walk: &mut Walk, trust: &Trust, files: &[PathBuf]) -> Result<()> {
    for file in files {
        let opened = trust.open_given(&read_small(file)?, &file.display().to_string());
        opened.findings.into_iter().for_each(|finding| walk.add_finding(finding));
        opened.head.into_iter().for_each(|head| walk.add_head(head));
    }
    Ok(())
}

/// The present, and how old things may be.
pub(crate) fn conclude(common: &Common, ends_early: bool) -> Result<Conclude> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("this machine's clock stands before 1970")?;
    let now = u64::try_from(since.as_millis()).ok().and_then(Timestamp::from_unix_ms);
    let now = now.context("this machine's clock stands beyond the year 9999")?;
    Ok(Conclude { now, max_age_seconds: common.max_age.map(|age| age.as_secs()), ends_early })
}

fn read_keys(argument: &str) -> Result<Vec<TrustedKey>> {
    let parsed = argument.parse::<TrustedKey>();
    let path = Path::new(argument);
    if parsed.is_ok() || !path.is_file() {
        let hint = "a key is written NAME+ID+BASE64, as the log's /audit/keys shows it, or is a file that holds such lines";
        return Ok(vec![parsed.with_context(|| format!("--key {argument} cannot be used\n{hint}"))?]);
    }
    let text = String::from_utf8(read_small(path)?).with_context(|| format!("{} is not text", path.display()))?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let keys: Vec<_> = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| line.parse().with_context(|| format!("{}, line {number}: no key", path.display())))
        .collect::<Result<_>>()?;
    ensure!(!keys.is_empty(), "{} holds no key", path.display());
    Ok(keys)
}

fn load_policy(path: &Path) -> Result<Policy> {
    Policy::parse(&read_small(path)?).with_context(|| format!("cannot use the policy {}", path.display()))
}

/// An HMAC key belongs to one origin, which must be known before there is such a key.
fn with_hmac(trust: &Trust, path: &Path, policy: Option<Policy>) -> Result<Trust> {
    let Some(origin) = trust.origin() else { bail!("--hmac-key-file needs the log's name: give --origin") };
    let secret = HmacSecret::from_file_contents(read_small(path)?)
        .with_context(|| format!("{} holds no usable secret", path.display()))?;
    let name = KeyName::new(origin.as_str()).map_err(|error| anyhow!("{error}"))?;
    let mut ring = trust.keys().clone();
    ring.add(VerifyingKey::hmac(name, &secret)).map_err(|error| anyhow!("{error}"))?;
    Ok(Trust::new(Some(origin.clone()), ring, policy)?)
}
