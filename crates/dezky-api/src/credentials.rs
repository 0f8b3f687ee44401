//! The secrets of the HTTP side: the operator's token, and the one under which idempotency keys are hidden.

use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use data_encoding::HEXLOWER;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::file_error::FileError;
use crate::idempotency::IdempotencySecret;
use crate::secret_file::{SecretFileError, load_existing, load_or_create};

/// What the server must know to tell its operator from others.
pub struct Credentials {
    pub operator_token: OperatorToken,
    pub(crate) idempotency: IdempotencySecret,
    /// What sessions are signed with.
    pub(crate) session: Zeroizing<String>,
}

impl Credentials {
    /// Reads `operator.token`, `keys/idempotency.secret` and `keys/session.secret` in `dir`; what is missing is made, with mode 0600.
    ///
    /// # Errors
    /// When a file cannot be read or made, others can read it, or it holds no secret.
    pub fn load_or_create(dir: &Path) -> Result<Self, SecretFileError> {
        let keys = dir.join("keys");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&keys);
        made.map_err(FileError::of(&keys, "made"))?;
        Ok(Self {
            operator_token: OperatorToken(load_or_create(&dir.join("operator.token"))?),
            idempotency: IdempotencySecret::new(load_or_create(&keys.join("idempotency.secret"))?),
            session: load_or_create(&keys.join("session.secret"))?,
        })
    }
}

impl Credentials {
    /// What several processes share: the token in a file that must be there, and secrets of their own for idempotency keys and
    /// sessions.
    ///
    /// # Errors
    /// When the file is missing or cannot be read, others can read it, or it holds no secret.
    pub fn shared(operator_token: &Path, idempotency: &[u8; 32], session: &[u8; 32]) -> Result<Self, SecretFileError> {
        let [idempotency, session] = [idempotency, session].map(|secret| Zeroizing::new(HEXLOWER.encode(secret)));
        Ok(Self {
            operator_token: OperatorToken(load_existing(operator_token)?),
            idempotency: IdempotencySecret::new(idempotency),
            session,
        })
    }
}

/// The text that the operator sends as `Authorization: Bearer …`. Never shown.
pub struct OperatorToken(Zeroizing<String>);

impl OperatorToken {
    /// The token in `path`, made with mode 0600 where there is none.
    ///
    /// # Errors
    /// When the file cannot be read or made, others can read it, or it holds no secret.
    pub fn load_or_create(path: &Path) -> Result<Self, SecretFileError> {
        load_or_create(path).map(Self)
    }

    /// Whether `presented` is the token; takes the same time wherever they differ.
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(presented).into()
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken(…)")
    }
}
