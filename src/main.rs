//! `apgit`: parses the command line, runs it, and ends with its exit code.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "this is the outside")]

use std::process::ExitCode;

use apgit::door::cli::Exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(bug));
    ExitCode::from(apgit::door::cli::run(std::env::args_os()).code())
}

/// A broken promise of our own ends the process, whatever thread broke it. The
/// panic's message is left out: it may hold a value that nobody should see.
fn bug(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    eprintln!("error: a bug in apgit {} at {place}", env!("CARGO_PKG_VERSION"));
    eprintln!("hint: what was sent is in the journal; the same command goes on from there");
    eprintln!("hint: please report the first of these lines");
    std::process::exit(Exit::Bug.code().into());
}
