//! Approvals among the declarations: what they allow, and what is said of that.

use crate::fleet::{Granted, Members};
use crate::model::seen;
use crate::round::{Consent, Prepared};

use super::apply::said_of;
use super::error::CliError;
use super::settings::{Settings, tell};

/// Consent by one of them; what none of them allows is given back.
///
/// # Errors
/// When what follows from it cannot be written down.
pub(super) async fn consent(
    settings: &Settings,
    members: &mut Members<'_>,
    at: usize,
    prepared: Prepared,
) -> Result<Result<(Prepared, Consent), Prepared>, CliError> {
    Ok(match members.granted(at, prepared).await? {
        Granted::Whole(prepared) => Ok((prepared, Consent::Seen)),
        Granted::Rest(begun, rest) => {
            if !settings.quiet {
                tell(&said_of(&rest, &seen(members.of()[at].name())));
            }
            let consent = if rest.is_whole() { Consent::Resumed } else { Consent::ResumedInPart };
            Ok((begun, consent))
        }
        Granted::Nothing(prepared) => Err(prepared),
    })
}
