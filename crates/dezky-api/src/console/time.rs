//! Times as pages show them: UTC from here, local by a script, always with the other in reach.

use std::fmt;

use dezky_audit_core::time::Timestamp;

/// A moment: `<time datetime=…>` shows it in UTC, and a script in the reader's own zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct When {
    /// As the log format has it.
    pub(crate) iso: String,
}

impl When {
    pub(crate) fn of(at: Timestamp) -> Self {
        Self { iso: at.to_string() }
    }

    /// A text that is a moment as the log format has it.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let at = Timestamp::parse_rfc3339(text).ok()?;
        (at.to_string() == text).then(|| Self::of(at))
    }

    /// `2026-11-22 14:03:07`.
    pub(crate) fn full(&self) -> String {
        format!("{} {}", self.iso.get(..10).unwrap_or_default(), self.iso.get(11..19).unwrap_or_default())
    }

    /// `11-22 14:03:07`: a row has little room.
    pub(crate) fn short(&self) -> String {
        self.full().get(5..).unwrap_or_default().to_owned()
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} UTC", self.full())
    }
}

/// `3 min ago`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.unix_ms().saturating_sub(at.unix_ms()) / 1000;
    match seconds {
        0..60 => "just now".to_owned(),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// `1,234,567`; templates have numbers behind references of any depth.
pub(crate) fn grouped(n: impl fmt::Display) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_numbers_are_short() {
        let at = Timestamp::parse_rfc3339("2026-11-22T14:03:07.123Z").unwrap();
        let when = When::of(at);
        assert_eq!((when.full().as_str(), when.short().as_str()), ("2026-11-22 14:03:07", "11-22 14:03:07"));
        assert_eq!((When::read(&when.iso), When::read("2026-11-22"), When::read("acme")), (Some(when), None, None));
        let later = |ms: u64| ago(at, Timestamp::from_unix_ms(at.unix_ms() + ms).unwrap());
        assert_eq!(
            [later(0), later(180_000), later(7_200_000), later(400_000_000)],
            ["just now", "3 min ago", "2 h ago", "4 days ago"]
        );
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
