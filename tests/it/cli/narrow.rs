//! On eighty columns nothing breaks inside a word, wherever it is said: the table
//! of exit codes, mistakes on the command line, a greeting, a line of the log.

use std::process::{Command, Stdio};

use crate::support::{CONTOSO, Desk, Simulate, ran};

/// What a run says on eighty columns. Nothing is wider, and nothing is lost or
/// broken: the words are those that it says where nobody knows the width.
#[track_caller]
fn check(mut command: impl FnMut() -> Command) -> String {
    let wide = ran(&mut command());
    let narrow = ran(command().env("COLUMNS", "80"));
    assert_eq!(narrow.code, wide.code);
    let (wide, narrow) = (wide.out + &wide.err, narrow.out + &narrow.err);
    assert_eq!(words(&narrow), words(&wide), "{narrow}");
    fits(&narrow);
    narrow
}

#[track_caller]
fn fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "`{line}` in\n{text}");
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[test]
fn the_table_of_exit_codes() {
    let desk = Desk::new();
    let narrow = ran(desk.command("help exit-codes").env("COLUMNS", "80")).out;
    fits(&narrow);
    let stopped = "  5     stopped by a limit, a protection or --fail-on      no, a person decides\n";
    assert!(narrow.contains(stopped), "{narrow}");
    let changes = "  2     changes exist, held ones too; only with\n        --detailed-exitcode\n";
    assert!(narrow.contains(changes), "{narrow}");
}

#[test]
fn a_mistake_on_the_command_line() {
    let desk = Desk::new();
    for typed in [
        "plan --a-flag-of-another-tool-that-is-rather-long",
        "apply --approve-updates=many",
        "plan --report pdf=x",
        "simulate --speed fast",
        "simulate --devices 999999999",
        "simulate --switch no-such",
    ] {
        let said = check(|| desk.command(typed));
        assert!(said.starts_with("error: ") && said.ends_with("try '--help'.\n"), "{typed}: {said}");
    }
    let said = check(|| desk.command("simulate --speed fast"));
    assert!(
        said.starts_with("error: invalid value 'fast' for '--speed <SPEED>': `fast` is not `realtime`,\n       "),
        "{said}"
    );
}

#[test]
fn the_end_of_the_help() {
    let help = Desk::new().command("--help").env("COLUMNS", "80").output().expect("it runs");
    let help = String::from_utf8(help.stdout).expect("text");
    let steps = help.split_once("First steps:\n").expect("there are some").1;
    fits(&help);
    assert!(steps.lines().all(|line| line.starts_with("  apgit ")), "{steps}");
}

#[test]
fn what_firmware_says_of_itself() {
    let desk = Desk::new();
    let hash = check(|| desk.command("hash examples/contoso/hashes/TEST-BGO-001.txt"));
    assert!(hash.contains("TPM-Version:2.0\n                       -Level:0-Revision:1.59"), "{hash}");
}

#[test]
fn where_there_is_no_folder_for_journals() {
    let said = check(|| {
        let mut command = Desk::new().command(&format!("plan {CONTOSO}"));
        command.env_remove("XDG_STATE_HOME");
        command
    });
    assert!(said.contains("neither") && said.contains("hint: name one with --state-dir"), "{said}");
}

#[test]
fn the_greeting_of_a_simulated_tenant() {
    let desk = Desk::new();
    let ca = desk.state.at("ca.pem");
    for words in ["--speed instant".to_owned(), format!("--proxy --tls {}", ca.display())] {
        let mut command = desk.command(&format!("simulate {words}"));
        command.stderr(Stdio::null()).env("COLUMNS", "80");
        let greeting = Simulate::start(command).greeting.clone();
        fits(&greeting);
        // What is pasted into a shell goes on behind a backslash.
        let (_, typed) = greeting.split_once("  curl     ").expect("an example");
        let (last, all) =
            typed.trim_end().lines().collect::<Vec<_>>().split_last().map(|(l, a)| (*l, a.to_vec())).expect("lines");
        assert!(all.iter().all(|line| line.ends_with(" \\")) && !last.ends_with('\\'), "{typed}");
    }
}

#[test]
fn a_line_of_the_log() {
    let desk = Desk::new();
    let apply = format!("apply {CONTOSO} --simulate --auto-approve -q");
    assert_eq!(desk.run(&apply).code, 0);
    let journal = desk.state.files().into_iter().find(|path| path.ends_with("journal.jsonl")).expect("a journal");
    let whole = std::fs::read(&journal).expect("the journal");
    std::fs::write(&journal, [&whole[..], b"{\"half\":"].concat()).expect("the journal");
    let mut plan = desk.command(&format!("plan {CONTOSO} --simulate -q"));
    let said = ran(plan.env("COLUMNS", "80")).err;
    let one = " WARN the journal ended in the middle of a line; that line is dropped\n      path=";
    assert!(said.starts_with(one), "{said}");
    let in_a_file = desk.run(&format!("plan {CONTOSO} --simulate -q")).err;
    assert!(in_a_file.starts_with(&one.replace("\n     ", "")), "one line can be searched for: {in_a_file}");
}
