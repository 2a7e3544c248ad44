//! Problems of manifests, drawn as rustc draws them.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use crate::render::document::{Found, ProblemDocument, ProblemsDocument, Severity, SpotDocument};
use crate::render::style::{Detail, Look};

/// All problems, then one line about what was checked.
pub(super) fn draw(document: &ProblemsDocument, look: &Look) -> String {
    let problems = match look.detail {
        Detail::Full => list(&document.problems, look),
        Detail::Totals => String::new(),
    };
    problems + &look.wrap(&totals(document), 0) + "\n"
}

/// All problems, one after the other with an empty line between, then one line
/// that counts them. Empty without problems.
#[must_use]
pub fn list(problems: &[ProblemDocument], look: &Look) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let renderer = if look.color { Renderer::styled().hyperlink(false) } else { Renderer::plain() };
    let renderer = renderer.term_width(look.width.clamp(40, 500)).decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    for problem in problems {
        out.push_str(&renderer.render(&[group(&wrapped(problem, look))]));
        out.push_str("\n\n");
    }
    out.push_str(&summary(problems));
    out.push('\n');
    out
}

/// `2 errors, 1 warning in 3 files`.
fn summary(problems: &[ProblemDocument]) -> String {
    let Found { errors, warnings, files } = Found::among(problems);
    let parts = [(errors, "error"), (warnings, "warning")].into_iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts.map(|(number, word)| count(number, word)).collect();
    match files {
        0 => parts.join(", "),
        files => format!("{} in {}", parts.join(", "), count(files, "file")),
    }
}

fn totals(document: &ProblemsDocument) -> String {
    let ProblemsDocument { devices, documents, errors, files, skipped, tenants, warnings, .. } = document;
    let counted = [
        count(*files, "file"),
        count(*documents, "document")
            + &if *skipped > 0 { format!(" ({skipped} of other kinds)") } else { String::new() },
        count(*tenants, "tenant"),
        count(*devices, "device"),
        verdict(*errors, *warnings),
    ];
    counted.join(", ")
}

fn verdict(errors: usize, warnings: usize) -> String {
    match (errors, warnings) {
        (0, 0) => "no problems".to_owned(),
        (0, warnings) => count(warnings, "warning"),
        (errors, 0) => count(errors, "error"),
        (errors, warnings) => format!("{} and {}", count(errors, "error"), count(warnings, "warning")),
    }
}

fn count(number: usize, word: &str) -> String {
    if number == 1 { format!("1 {word}") } else { format!("{number} {word}s") }
}

/// What the words before a message take, as `warning[PlainHashInGit]: ` and
/// `   = help: `.
const HELP: usize = 16;

/// The same problem with its sentences broken where the width ends: the renderer
/// puts each line under the first.
fn wrapped(problem: &ProblemDocument, look: &Look) -> ProblemDocument {
    let title = "warning[]: ".len() + problem.code.len();
    ProblemDocument {
        message: look.wrap(&problem.message, title),
        hint: problem.hint.as_deref().map(|hint| look.wrap(hint, HELP)),
        ..problem.clone()
    }
}

fn group(problem: &ProblemDocument) -> Group<'_> {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(&problem.message).id(problem.code));
    for spot in &problem.places {
        for element in elements(spot) {
            group = group.element(element);
        }
    }
    if let Some(hint) = &problem.hint {
        group = group.element(Level::HELP.message(hint));
    }
    group
}

/// A place: its line with carets, or only its name where there is no line. A
/// line that was cut or masked no longer tells the column, so it is named.
fn elements(spot: &SpotDocument) -> Vec<Element<'_>> {
    let file = &*spot.file;
    let Some(excerpt) = &spot.excerpt else {
        // A folder, or a whole file, is named without the line that stands for it.
        let origin = Origin::path(file);
        return vec![if spot.line > 1 { origin.line(spot.line as usize).into() } else { origin.into() }];
    };
    let snippet = Snippet::source(excerpt.line.as_str())
        .line_start(spot.line as usize)
        .fold(false)
        .annotation(AnnotationKind::Primary.span(excerpt.range.clone()));
    let shown_column = excerpt.line[..excerpt.range.start].chars().count() + 1;
    if shown_column == spot.column as usize {
        return vec![snippet.path(file).into()];
    }
    let origin = Origin::path(file).line(spot.line as usize).char_column(spot.column as usize);
    vec![origin.into(), snippet.into()]
}
