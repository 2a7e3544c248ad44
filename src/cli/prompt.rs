//! Asking a person before anything is written.

use std::io::{BufRead, Write};

use crate::model::seen;
use crate::render::style::{broken, counted};

/// What a person is asked about.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// As it is called in the declaration.
    pub tenant: String,
    /// As the tenant calls itself, if it told us.
    pub real_name: Option<String>,
    pub tenant_id: String,
    pub changes: usize,
    /// True if the tenant syncs besides.
    pub syncs: bool,
    /// Import records of ours that are removed besides.
    pub clean_up: usize,
    /// True if the tenant is the built-in simulated one.
    pub simulated: bool,
}

/// What every terminal has.
const QUESTION_WIDTH: usize = 79;

/// Asks, and returns whether the answer is the tenant's name or `yes`. Anything
/// else, the end of input included, is a no.
///
/// # Errors
/// When the terminal cannot be read or written.
pub(super) fn consent(question: &Question, input: &mut dyn BufRead, output: &mut dyn Write) -> std::io::Result<bool> {
    consent_to(&deeds(question), question, input, output)
}

/// The same about deeds of another kind, in words that begin the question.
///
/// # Errors
/// As above.
pub(super) fn consent_to(
    deeds: &str,
    question: &Question,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> std::io::Result<bool> {
    let Question { tenant_id, simulated, .. } = question;
    let tenant = seen(&question.tenant);
    let real_name = question.real_name.as_deref().map(seen);
    let whom = match &real_name {
        Some(name) if *name != tenant => format!("{tenant}, \"{name}\" ({tenant_id})"),
        _ => format!("{tenant} ({tenant_id})"),
    };
    let kind = if *simulated { "simulated tenant" } else { "tenant" };
    let question_line = format!("{deeds} in the {kind} {whom}?");
    writeln!(output, "\n{}", broken(&question_line, QUESTION_WIDTH).join("\n"))?;
    write!(output, "Type `{tenant}` or `yes` to go on: ")?;
    output.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    let answer = answer.trim();
    Ok(answer == "yes" || answer == tenant || real_name.is_some_and(|name| !name.is_empty() && answer == name))
}

/// What is consented to, in one breath.
fn deeds(question: &Question) -> String {
    let Question { changes, syncs, clean_up, .. } = question;
    let made = (*changes > 0).then(|| format!("make {}", counted(*changes, "change", "changes")));
    let synced = syncs.then(|| "start a sync".to_owned());
    let records = |n| counted(n, "import record of ours", "import records of ours");
    let cleaned = (*clean_up > 0).then(|| format!("remove {}", records(*clean_up)));
    let words: Vec<String> = [made, synced, cleaned].into_iter().flatten().collect();
    let text = words.join(", ");
    text[..1].to_uppercase() + &text[1..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(answer: &str) -> (bool, String) {
        let question = Question {
            tenant: "contoso".to_owned(),
            real_name: Some("Contoso\u{7} AG".to_owned()),
            tenant_id: "1111".to_owned(),
            changes: 2,
            syncs: true,
            clean_up: 0,
            simulated: false,
        };
        let mut output = Vec::new();
        let yes = consent(&question, &mut answer.as_bytes(), &mut output).expect("memory can be written");
        (yes, String::from_utf8(output).expect("text"))
    }

    #[test]
    fn the_question_names_the_tenant_by_its_real_name() {
        assert!(ask("").1.contains("Make 2 changes, start a sync in the tenant contoso, \"Contoso\\u{7} AG\" (1111)?"));
    }

    #[test]
    fn only_yes_and_the_tenants_names_are_consent() {
        for yes in ["yes\n", "contoso\n", " contoso \r\n", "Contoso\\u{7} AG\n"] {
            assert!(ask(yes).0, "{yes:?}");
        }
        for no in ["", "\n", "y\n", "no\n", "YES\n", "contos\n", "fabrikam\n"] {
            assert!(!ask(no).0, "{no:?}");
        }
    }
}
