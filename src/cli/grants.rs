//! Approvals among the declarations: what they allow.

use crate::fleet::Members;
use crate::model::seen;
use crate::plan::{GrantStanding, Standing};
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
    let used = prepared.cleared.grants().iter().filter(|(_, standing)| *standing == GrantStanding::Used);
    let used: Vec<(String, String)> = used.map(|(grant, _)| (grant.name.clone(), grant.digest.clone())).collect();
    for (name, digest) in used {
        if members.of()[at].journal.approval(&digest).is_none() {
            continue;
        }
        if let Standing::Rest(rest) = members.standing(at, &digest, &prepared).await?
            && rest.left > 0
        {
            if !settings.quiet {
                tell(&said_of(&rest, &seen(members.of()[at].name())));
            }
            members.approved_in_writing(at, &name);
            let consent = if rest.is_whole() { Consent::Resumed } else { Consent::ResumedInPart };
            return Ok(Ok((prepared.only(&rest.approved), consent)));
        }
    }
    Ok(Err(prepared))
}
