//! Pages of records by key, each record with its version.

use utoipa::ToSchema;

use super::records::{Flag, Partner, Tenant, User};

/// Declares a page of records by key, each with its version.
macro_rules! page {
    ($page:ident, $listed:ident, $record:ident) => {
        /// A record, and its version.
        #[derive(ToSchema)]
        struct $listed {
            #[serde(flatten)]
            record: $record,
            #[schema(minimum = 1)]
            version: u64,
        }

        /// A page of records.
        #[derive(ToSchema)]
        pub(super) struct $page {
            records: Vec<$listed>,
            /// For `after`; `null` on the last page.
            #[schema(required = true)]
            next: Option<String>,
        }
    };
}

page!(TenantPage, ListedTenant, Tenant);
page!(PartnerPage, ListedPartner, Partner);
page!(FlagPage, ListedFlag, Flag);
page!(UserPage, ListedUser, User);
