//! Events: what callers send ([`Draft`]), what is ready to be recorded ([`Prepared`]), and the lines of the log
//! ([`check_line`]) with their parts in any of the three forms.

mod draft;
mod line;
mod part;
mod posted;
mod prepared;
mod withhold;

pub use draft::{Actor, Client, Draft, Resource};
pub use line::{CheckedLine, LineCheck, LinePart, MalformedLine, PartForms, TenantLink, check_line};
pub use part::{PartForm, PartName, PartText, Salt, client_ip, read_part_form};
pub use posted::{Door, PostedError, RESERVED_MEMBER, RefusedMember};
pub use prepared::{Link, PrepareError, Prepared};
pub use withhold::{WithholdError, withhold};

/// The version of the format that is written here, and the only one that is understood.
pub const VERSION: u64 = 1;
/// A line has at most this many bytes without its LF.
pub const MAX_LINE: usize = 1_048_576;
/// `metadata.data` nests at most this deep, itself included.
pub const MAX_DATA_DEPTH: usize = 64;
