//! Small things that are made once and then kept for ever.

use async_trait::async_trait;

use crate::error::StoreError;

/// The most bytes of a setting.
pub const MAX_SETTING_BYTES: usize = 64 << 10;

/// Values by name, each written once. For no secrets: whoever reads the store reads them.
#[async_trait]
pub trait Settings: Send + Sync {
    /// The value of that name.
    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// The value of that name, which is `value` if there was none. All callers get the same answer. Durable on return.
    async fn get_or_create_setting(&self, name: &str, value: &str) -> Result<String, StoreError>;
}
