//! `apgit status --serve`: where the devices stand, as a page on this machine. What
//! is read is read as by `apgit status`, again and again; nothing is written.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpListener;

use crate::clock::Stop;
use crate::connect::Purpose;
use crate::manifest::Fleet;
use crate::plan::Approvals;
use crate::render::document::ProblemDocument;
use crate::web::{self, Board, Discretion, Door, People, Reading, Tenant, Trouble, View};

use super::args::Simulated;
use super::error::CliError;
use super::exit::Exit;
use super::members::{Opener, in_place};
use super::progress::reading;
use super::secrets::masked;
use super::settings::{Settings, print, tell};
use super::source::{self, Declared};

/// Where the page is, unless somebody says otherwise: the same address every time.
pub(super) const ADDRESS: &str = "127.0.0.1:8810";

/// So many problems of declarations are shown; of more, how many there are.
const PROBLEMS: usize = 20;

/// What is under way when somebody asks to stop has so long to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is served, and where.
pub(super) struct Serve<'a> {
    pub address: SocketAddr,
    /// Tenants are not read more often than this.
    pub every: Duration,
    pub paths: &'a [PathBuf],
    pub simulated: &'a Simulated,
}

/// Serves until somebody asks to stop.
///
/// # Errors
/// When the declarations have errors, or the address cannot be listened on.
pub(super) async fn run(serve: &Serve<'_>, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    let declared = source::load(settings, serve.paths, serve.simulated)?;
    let cannot = |error: std::io::Error| {
        CliError::new(Exit::Failed, format!("cannot listen on `{}`: {error}", serve.address))
            .hint("`--serve=127.0.0.1:0` takes a free port")
    };
    let listener = TcpListener::bind(serve.address).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let is_here = web::is_loopback(address.ip());
    let (door, people) = match is_here {
        true => (Door::Loopback, People::Shown),
        false => (Door::Network, People::Hidden),
    };
    if !is_here {
        tell("warning: whoever reaches this address sees the page; users are left out of it\n");
    }
    print(&format!("http://{address}/\n"))?;
    let board = Board::default();
    let router = web::router(board.clone(), door);
    let asked = stop.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move { asked.asked().await });
    let serving = tokio::spawn(async move { serving.await });
    let discretion = Discretion { people, mask: masked };
    let desk = Desk { serve, settings, stop, board, discretion };
    desk.read(declared).await;
    while desk.is_looked_at_again().await {
        desk.read_again().await;
    }
    let _ = tokio::time::timeout(PATIENCE, serving).await;
    Ok(Exit::Done)
}

/// Whoever reads for the page.
struct Desk<'a> {
    serve: &'a Serve<'a>,
    settings: &'a Settings,
    stop: &'a Stop,
    board: Board,
    discretion: Discretion,
}

impl Desk<'_> {
    /// Waits until what is known is old and somebody looks at it. False if somebody
    /// asks to stop.
    async fn is_looked_at_again(&self) -> bool {
        let looked = async {
            tokio::time::sleep(self.serve.every).await;
            self.board.looked_at().await;
        };
        tokio::select! {
            () = looked => !self.stop.is_asked(),
            () = self.stop.asked() => false,
        }
    }

    /// Reads what is declared as well: whoever has changed it wants to see that.
    async fn read_again(&self) {
        match source::load(self.settings, self.serve.paths, self.serve.simulated) {
            Ok(declared) => self.read(declared).await,
            Err(error) => {
                tell(&error.text(&self.settings.err_look));
                self.board.trouble(vec![self.trouble(&error)]);
            }
        }
    }

    async fn read(&self, declared: Declared) {
        let fleets: Vec<&Fleet> = declared.fleets.iter().collect();
        let names: Vec<String> = fleets.iter().map(|fleet| name(fleet, &fleets)).collect();
        self.board.retain(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut opener = Opener::new(self.settings, self.serve.simulated, &declared, Purpose::Read, self.stop);
        let each = fleets.iter().map(|fleet| (*fleet, Approvals::default()));
        let (mut members, errors) = opener.open_each(each).await;
        let plans = reading(self.settings, &fleets, members.plan()).await;
        for ((fleet, name), plan) in fleets.iter().copied().zip(names).zip(in_place(errors, plans)) {
            if self.stop.is_asked() {
                return;
            }
            let places = |origin| source::place(fleet, origin);
            let (reading, trouble) = match plan {
                Ok((at, prepared)) => {
                    let target = &members.of()[at].connection.target;
                    let (desired, prepared, several) = (&fleet.desired, &prepared, fleets.len() > 1);
                    let (discretion, now) = (self.discretion, Timestamp::now());
                    let view = View { desired, prepared, target, places: &places, several, discretion, now };
                    (Some(Arc::new(Reading::of(&view))), None)
                }
                Err(error) => {
                    tell(&error.text(&self.settings.err_look));
                    (None, Some(self.trouble(&error)))
                }
            };
            let tenant = &fleet.desired.tenant;
            self.board.tell(Tenant {
                name,
                namespace: None,
                tenant_id: tenant.id.to_string(),
                policy: tenant.policy.name(),
                suspended: tenant.suspend,
                owner: tenant.owner.clone(),
                reading,
                trouble,
                problems: Vec::new(),
                elsewhere: false,
            });
        }
    }

    fn trouble(&self, error: &CliError) -> Trouble {
        let text = |text: &str| self.discretion.text(text);
        let problems = error.problems.as_deref().unwrap_or_default();
        let mut hints: Vec<String> = problems.iter().take(PROBLEMS).map(|problem| text(&told(problem))).collect();
        if let Some(more) = problems.len().checked_sub(PROBLEMS).filter(|more| *more > 0) {
            hints.push(format!("and {more} more: apgit validate shows all of them"));
        }
        hints.extend(error.hints.iter().map(|hint| text(hint)));
        Trouble { message: text(&error.message), hints, at: Timestamp::now() }
    }
}

/// By what a tenant is known here: two of one name are told apart by their owners.
fn name(fleet: &Fleet, all: &[&Fleet]) -> String {
    let tenant = &fleet.desired.tenant;
    let name = crate::model::seen(&tenant.name);
    match all.iter().filter(|other| other.desired.tenant.name == tenant.name).count() {
        1 => name.into_owned(),
        _ => format!("{name} ({})", tenant.owner),
    }
}

fn told(problem: &ProblemDocument) -> String {
    let place = problem.places.first().map(|spot| format!("{}:{}: ", spot.file, spot.line));
    let hint = problem.hint.as_deref().map(|hint| format!("; {hint}"));
    let [place, hint] = [place, hint].map(|part| part.map_or(Cow::Borrowed(""), Cow::Owned));
    format!("{place}{}{hint}", problem.message)
}
