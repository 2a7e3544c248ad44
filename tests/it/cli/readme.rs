//! README.md shows real output: what stands in it is run here and compared.
//! `SNAPSHOTS=overwrite` writes what came out into it.

use apgit::door::cli::Exit;

use crate::support::{Desk, root};

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

fn run(line: &str, desk: &Desk) -> String {
    let words = line.strip_prefix("apgit ").unwrap_or_else(|| panic!("`{line}` is not ours"));
    let out = desk.run(words).out;
    // An apply shows its plan first; the README has shown that already.
    let end = out.find("\nApply plan-").map_or(0, |at| at + 1);
    out[end..].trim_end().to_owned()
}

#[test]
fn what_the_readme_shows_is_what_happens() {
    let readme = root().join("README.md");
    let text = std::fs::read_to_string(&readme).expect("the README");
    let desk = Desk::new();
    let (blocks, rest) = blocks(&text);
    assert!(blocks.len() >= 3, "the README shows a plan, an apply and the plan after it");
    let overwrite = std::env::var("SNAPSHOTS").is_ok_and(|action| action == "overwrite");
    let mut written = String::new();
    for Block { before, line, shown } in blocks {
        let out = run(line, &desk);
        if !overwrite {
            assert_eq!(out, shown, "`{line}` in README.md");
        }
        written.extend([before, FENCE, line, "\n", &out, "\n"]);
    }
    if overwrite {
        std::fs::write(readme, written + rest).expect("the README can be written");
    }
}

#[test]
fn the_readme_lists_the_exit_codes_as_they_are() {
    let text = std::fs::read_to_string(root().join("README.md")).expect("the README");
    let plain = text.replace('`', "");
    for exit in Exit::ALL {
        let (meaning, again) = exit.meaning();
        let row = format!("| {} | {meaning} | {again}", exit.code());
        assert!(plain.contains(row.trim_end()), "README.md lacks `{row}`");
    }
}
