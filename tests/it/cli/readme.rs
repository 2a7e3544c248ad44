//! README.md shows real output: what stands in it is run here and compared.
//! `SNAPSHOTS=overwrite` writes what came out into it.

use std::path::Path;
use std::process::{Command, Stdio};

use apgit::cli::exit::Exit;
use tempfile::TempDir;

const FENCE: &str = "```console\n$ ";

/// The text before a console block, its command, and the output shown.
struct Block<'t> {
    before: &'t str,
    line: &'t str,
    shown: &'t str,
}

/// The blocks, and the text behind the last one.
fn blocks(text: &str) -> (Vec<Block<'_>>, &str) {
    let (mut blocks, mut rest) = (Vec::new(), text);
    while let Some((before, block)) = rest.split_once(FENCE) {
        let (line, after) = block.split_once('\n').expect("a command is a line");
        let end = after.find("```").expect("a block has an end");
        blocks.push(Block { before, line, shown: after[..end].trim_end() });
        rest = &after[end..];
    }
    (blocks, rest)
}

fn run(line: &str, root: &Path, state: &TempDir) -> String {
    let words = line.strip_prefix("apgit ").unwrap_or_else(|| panic!("`{line}` is not ours")).split_whitespace();
    let mut command = Command::new(env!("CARGO_BIN_EXE_apgit"));
    command.args(words).current_dir(root).stdin(Stdio::null()).env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1");
    command.env("XDG_STATE_HOME", state.path()).env_remove("COLUMNS").env_remove("CLICOLOR_FORCE");
    let output = command.output().expect("the binary runs");
    let out = String::from_utf8(output.stdout).expect("stdout is UTF-8");
    // An apply shows its plan first; the README has shown that already.
    let end = out.find("\nApply plan-").map_or(0, |at| at + 1);
    out[end..].trim_end().to_owned()
}

#[test]
fn what_the_readme_shows_is_what_happens() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("README.md")).expect("the README");
    let state = tempfile::tempdir().expect("a folder for the test");
    let (blocks, rest) = blocks(&text);
    assert!(blocks.len() >= 3, "the README shows a plan, an apply and the plan after it");
    let overwrite = std::env::var("SNAPSHOTS").is_ok_and(|action| action == "overwrite");
    let mut written = String::new();
    for Block { before, line, shown } in blocks {
        let out = run(line, root, &state);
        if !overwrite {
            assert_eq!(out, shown, "`{line}` in README.md");
        }
        written.extend([before, FENCE, line, "\n", &out, "\n"]);
    }
    if overwrite {
        std::fs::write(root.join("README.md"), written + rest).expect("the README can be written");
    }
}

#[test]
fn the_readme_lists_the_exit_codes_as_they_are() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    let plain = text.replace('`', "");
    for exit in Exit::ALL {
        let (meaning, again) = exit.meaning();
        let row = format!("| {} | {meaning} | {again}", exit.code());
        assert!(plain.contains(row.trim_end()), "README.md lacks `{row}`");
    }
}
