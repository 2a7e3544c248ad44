//! Approvals among the declarations: what they allow.

use crate::fleet::Members;
use crate::model::seen;
use crate::plan::Standing;
use crate::round::{Consent, Prepared};

use super::apply::said_of;
use super::error::CliError;
use super::settings::{Settings, tell};

/// Consent by one of them: to this very plan, or to what is left of one that a
/// run has begun. What none of them allows is given back.
///
/// # Errors
/// When what follows from it cannot be written down.
pub(super) async fn consent(
    settings: &Settings,
    members: &mut Members<'_>,
    at: usize,
    prepared: Prepared,
) -> Result<Result<(Prepared, Consent), Prepared>, CliError> {
    if let Some(grant) = prepared.cleared.granted() {
        members.approved_in_writing(at, &grant.name);
        return Ok(Ok((prepared, Consent::Seen)));
    }
    let Some(begun) = prepared.begun() else { return Ok(Err(prepared)) };
    let Some(grant) = begun.cleared.granted().cloned() else { return Ok(Err(prepared)) };
    match members.standing(at, &grant.digest, &begun).await? {
        Standing::Rest(rest) => {
            if !settings.quiet {
                tell(&said_of(&rest, &seen(members.of()[at].name())));
            }
            members.approved_in_writing(at, &grant.name);
            let consent = if rest.is_whole() { Consent::Resumed } else { Consent::ResumedInPart };
            Ok(Ok((begun, consent)))
        }
        Standing::Same | Standing::Other => Ok(Err(prepared)),
    }
}
