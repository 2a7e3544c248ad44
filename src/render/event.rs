//! What happens while a plan is carried out, one line each, for a log.

use crate::apply::{Event, Outcome};

use super::style::{Look, counted, thousands, time_of_day};

/// One line for a log: what is happening. `None` for what a log does not need.
#[must_use]
pub(crate) fn line(event: &Event, look: &Look) -> Option<String> {
    Some(match event {
        Event::Round { number: 1, changes } => format!("applying {}", counted(*changes, "change", "changes")),
        Event::Round { number, changes } => {
            format!("round {number}: {} left", counted(*changes, "change", "changes"))
        }
        Event::Posted { rows, of } => format!("imports sent: {} of {}", thousands(*rows), thousands(*of)),
        Event::Halved { rows, message } => {
            format!("a batch of {} was refused and is halved: {}", thousands(*rows), look.show(message))
        }
        Event::Gate { rows } => {
            format!("waiting for the first {} before the rest is sent", counted(*rows, "row", "rows"))
        }
        Event::Imports { settled, of } => format!("imports ended: {} of {}", thousands(*settled), thousands(*of)),
        Event::Updates { visible, of } => format!("updates visible: {} of {}", thousands(*visible), thousands(*of)),
        Event::Removals { gone, of } => format!("removals ended: {} of {}", thousands(*gone), thousands(*of)),
        Event::Ended { device, outcome: Outcome::Failed { reason, .. } } => {
            format!("{} failed: {} ({reason})", look.show(device.serial.as_str()), reason.text())
        }
        Event::Ended { .. } => return None,
        Event::Waiting { until, why } => format!("waiting until {}: {why}", time_of_day(*until)),
        Event::CleanUp { records } => {
            format!("removing {}", counted(*records, "import record of ours", "import records of ours"))
        }
        Event::Sync => "tenant sync started".to_owned(),
    })
}
