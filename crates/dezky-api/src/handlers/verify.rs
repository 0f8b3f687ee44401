//! `GET /audit/verify`: the live store, checked from the beginning or from a checkpoint.

use axum::extract::State;
use dezky_audit::VerifyOptions;
use dezky_audit_core::ids::parse_decimal;

use super::RawJson;
use crate::app::App;
use crate::caller::Caller;
use crate::parameters::Parameters;
use crate::problem::{Code, Problem};

/// The report of the log format's section 8. Findings are in it: whatever they are, the status is 200.
///
/// When the caller goes away, the verification ends.
pub(crate) async fn run(State(app): State<App>, _: Caller, parameters: Parameters) -> Result<RawJson<String>, Problem> {
    let not_a_size = || Problem::new(Code::InvalidParameter, "parameter 'from': not the size of a checkpoint");
    let from = parameters.only("from")?.map(|size| parse_decimal(&size).ok_or_else(not_a_size)).transpose()?;
    let verification = app.log.verify(VerifyOptions { from, max_findings: None }).await?;
    Ok(RawJson(verification.json))
}
