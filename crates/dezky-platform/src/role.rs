//! What somebody may do.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything.
    Operator,
    /// Reads, verifies and exports everything, and changes nothing.
    Auditor,
    /// Reads, verifies and exports what is of named tenants.
    TenantAuditor,
    /// Records events of one source, and reads nothing.
    Recorder,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Operator, Self::Auditor, Self::TenantAuditor, Self::Recorder];

    /// As it is written everywhere: `operator`, `auditor`, `tenant-auditor`, `recorder`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::TenantAuditor => "tenant-auditor",
            Self::Recorder => "recorder",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_written_in_one_way() {
        for role in Role::ALL {
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{}\"", role.as_str()));
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("Operator"), None);
    }
}
