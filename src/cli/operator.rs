//! `apgit operator`: the controller in a cluster.

use std::net::SocketAddr;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Stop;
use crate::operator::{self, OperatorError, Options};
use crate::sim::CLIENT_SECRET;

use super::error::CliError;
use super::exit::Exit;
use super::settings::{LogFormat, Settings};

/// Which objects are looked at, and who is told of health.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct OperatorArgs {
    /// The only namespace whose objects are looked at [default: all]
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Where /healthz, /readyz and /metrics are served, such as 0.0.0.0:8080 [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// The name of this replica in leases [default: a new one]
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub identity: Option<String>,
    /// For how many seconds it must be quiet before changes are acted on
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub quiet_seconds: u32,
    /// After how many seconds another replica takes over from one that has died
    #[arg(long, value_name = "SECONDS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(9..=3_600))]
    pub lease_seconds: u32,
    /// How the log is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// # Errors
/// When there is no way to a cluster.
pub(super) async fn run(args: &OperatorArgs, settings: &Settings, stop: &Stop) -> Result<Exit, CliError> {
    // Two replicas of one name would take each other's lease for their own.
    let identity = args.identity.clone().unwrap_or_else(|| format!("apgit-{}", Uuid::new_v4()));
    let options = Options {
        namespace: args.namespace.clone(),
        listen: args.listen,
        allowed_hosts: settings.allow_endpoints.clone(),
        public_secret: CLIENT_SECRET.to_owned(),
        identity,
        quiet: Duration::from_secs(args.quiet_seconds.into()),
        lease: Duration::from_secs(args.lease_seconds.into()),
    };
    match operator::run(options, stop).await {
        Ok(()) => Ok(Exit::Done),
        Err(error @ OperatorError::NoCluster(_)) => Err(CliError::new(Exit::Failed, error.to_string())
            .hint("in a pod its service account is used, elsewhere the current context of KUBECONFIG")),
        Err(error @ OperatorError::Listen { .. }) => Err(CliError::new(Exit::Failed, error.to_string())),
    }
}
