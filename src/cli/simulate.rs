//! `apgit simulate`: the simulated tenant on a loopback port, until somebody
//! stops it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::sim::{self, Server, Settings, Speed, Tenant};

/// Serve a simulated Autopilot tenant on a loopback port
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Loopback address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8800")]
    pub listen: SocketAddr,
    /// Registrations that a new tenant begins with
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub devices: usize,
    /// Seed of a new tenant: the same seed, the same story
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// How the tenant behaves: calm, busy or hostile
    #[arg(long, value_name = "NAME", default_value = "busy")]
    pub profile: String,
    /// How virtual time passes: realtime, instant, or virtual seconds per second
    #[arg(long, value_name = "SPEED", default_value = "realtime")]
    pub speed: Speed,
    /// File that keeps the tenant between runs
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Change one setting, for example import.delay=45s..100s (repeatable)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

/// Serves until Ctrl-C or SIGTERM, then saves. The exit code is 0.
///
/// # Errors
/// When a setting, the address or the state file cannot be used.
pub async fn run(args: &Args) -> anyhow::Result<u8> {
    let server = bind(args).await?;
    // Whoever starts us waits for this line; it must not sit in a buffer.
    let mut stdout = anstream::stdout().lock();
    writeln!(stdout, "{}", greeting(&server.url())).and_then(|()| stdout.flush()).context("cannot write to stdout")?;
    drop(stdout);
    server.run(asked_to_stop()).await?;
    Ok(0)
}

async fn bind(args: &Args) -> anyhow::Result<Server> {
    let mut settings = Settings::named(&args.profile)?;
    for assignment in &args.set {
        settings.set(assignment)?;
    }
    let tenant = match &args.state {
        Some(path) if path.exists() => Tenant::open(path, settings, args.seed, sim::EPOCH)?,
        _ => {
            let mut tenant = Tenant::new(settings, args.seed, sim::EPOCH);
            tenant.add_devices(args.devices);
            tenant
        }
    };
    let server = Server::bind(args.listen, tenant, args.speed).await?;
    Ok(match &args.state {
        Some(path) => server.saving_to(path),
        None => server,
    })
}

/// The one line on stdout: where, with which secret, and how to begin.
fn greeting(url: &str) -> String {
    format!(
        "simulated tenant at {url} | client secret {secret} (any client id, any tenant) | \
         apgit: `endpoints: {{login: \"{url}\", graph: \"{url}\"}}` | \
         curl: `curl -d grant_type=client_credentials -d client_id=me -d client_secret={secret} \
         -d scope={url}/.default {url}/contoso.com/oauth2/v2.0/token`",
        secret = sim::CLIENT_SECRET
    )
}

async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> Args {
        Args {
            listen: "127.0.0.1:0".parse().unwrap(),
            devices: 3,
            seed: 1,
            profile: "calm".to_owned(),
            speed: Speed::Instant,
            state: None,
            set: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_new_tenant_begins_with_the_devices_that_were_asked_for() {
        let server = bind(&args()).await.unwrap();
        assert_eq!(server.tenant().with(|tenant| tenant.registrations().len()), 3);
        assert!(greeting(&server.url()).starts_with(&format!("simulated tenant at http://{}", server.address())));
    }

    #[tokio::test]
    async fn an_address_that_others_could_reach_is_refused() {
        let refused = bind(&Args { listen: "0.0.0.0:0".parse().unwrap(), ..args() }).await;
        let message = refused.err().expect("not loopback").to_string();
        assert!(message.starts_with("`0.0.0.0:0` is not a loopback address"), "{message}");
    }

    #[tokio::test]
    async fn a_setting_that_does_not_exist_is_refused() {
        let refused = bind(&Args { set: vec!["import.dely=1s".to_owned()], ..args() }).await;
        assert!(refused.err().expect("no such setting").to_string().contains("`dely` is not known"));
        let refused = bind(&Args { profile: "wild".to_owned(), ..args() }).await;
        assert!(refused.err().expect("no such profile").to_string().contains("no profile `wild`"));
    }

    #[tokio::test]
    async fn a_tenant_is_kept_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Args { state: Some(folder.path().join("tenant.json")), ..args() };
        bind(&kept).await.unwrap().run(std::future::ready(())).await.unwrap();
        let again = bind(&Args { devices: 99, ..kept }).await.unwrap();
        assert_eq!(again.tenant().with(|tenant| tenant.registrations().len()), 3);
    }
}
