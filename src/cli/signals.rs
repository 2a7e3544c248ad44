//! Running something that can be stopped: the first Ctrl-C (or SIGTERM) asks,
//! the second one ends the process at once.

use crate::clock::{Stop, Stopper};
use crate::program::end_commands;

use super::error::CliError;
use super::exit::Exit;
use super::settings::tell;

/// Runs a command with a way to stop it.
///
/// # Errors
/// Those of the command, or that the machine has no threads for it.
pub(super) fn run(command: impl AsyncFnOnce(Stop) -> Result<Exit, CliError>) -> Result<Exit, CliError> {
    let (stopper, stop) = Stop::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Exit::Failed, format!("cannot start: {error}")))?;
    let ended = runtime.block_on(async {
        tokio::spawn(watch(stopper));
        command(stop).await
    });
    // A prompt that nobody answers must not keep the process, nor a command
    // that somebody else waits for.
    runtime.shutdown_background();
    end_commands();
    ended
}

async fn watch(stopper: Stopper) {
    signal().await;
    stopper.stop();
    tell("\nstopping after the request under way; once more to stop at once\n");
    signal().await;
    end_commands();
    // What was sent is in the journal as an intent; the next run looks it up.
    std::process::exit(Exit::Cancelled.code().into());
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        Ok(()) = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
