//! Saved plans: files that somebody may have edited before they are applied. An
//! edit breaks the seal, so each input is tried as it is and under a seal that fits.

use std::process::Command;

use apgit::door::cli::show_saved;
use serde_json::Value;

use crate::run::Target;
use crate::secret::{plain, silent};
use crate::seeds::root;

/// A plan of the example, and one of what is left to do once it was applied.
fn plans() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_apgit"));
        let state = folder.path().join("state");
        command.args(words).args(["examples/contoso", "--simulate"]).arg("--state-dir").arg(state);
        let ran = command.current_dir(root()).output().expect("the binary runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name).display().to_string());
    run(&["plan", "--out", &first]);
    run(&["apply", "--auto-approve", "--target", "TEST-OSL-*"]);
    run(&["plan", "--out", &second]);
    [first, second].map(|path| std::fs::read(path).expect("the saved plan")).into()
}

/// The same document under a seal that fits it, if it is one.
fn sealed(text: &str) -> Option<String> {
    let mut document: Value = serde_json::from_str(text).ok()?;
    let members = document.as_object_mut()?;
    members.remove("seal");
    let digest = ring::digest::digest(&ring::digest::SHA256, Value::Object(members.clone()).to_string().as_bytes());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    members.insert("seal".to_owned(), format!("sha256:{digest}").into());
    Some(document.to_string())
}

/// Whatever stands in a plan, people see all of it, and no hash.
fn told(text: &str) -> Option<String> {
    let (shown, drawn) = match show_saved(text) {
        Ok(shown) => (shown.clone(), Some(shown)),
        Err(error) => (error, None),
    };
    shown.lines().for_each(|line| plain(&line.replace('\t', " ")));
    silent(&shown);
    drawn
}

#[test]
fn a_saved_plan_is_what_was_saved_or_is_refused() {
    let seeds = plans();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let drawn: Vec<Option<String>> = seeds.iter().map(|seed| told(&text(seed))).collect();
    assert!(drawn.iter().all(Option::is_some), "what was saved can be shown");
    Target { name: "saved", seeds, cases: 300 }.holds(|bytes| {
        let text = text(bytes);
        if let Some(shown) = told(&text) {
            assert!(drawn.contains(&Some(shown)), "what was edited is not what was saved");
        }
        sealed(&text).as_deref().map(told);
    });
}
