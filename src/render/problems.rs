//! Problems of manifests, drawn as rustc draws them, and as JSON.
//!
//! A problem brings its source lines along, masked; nothing is read here.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use crate::manifest::{Problem, Severity, Spot};

/// All problems, one after the other with an empty line between, then one line
/// that counts them. Empty without problems.
///
/// `width` is that of the terminal in columns.
#[must_use]
pub fn text(problems: &[Problem], color: bool, width: usize) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let renderer = if color { Renderer::styled().hyperlink(false) } else { Renderer::plain() };
    let renderer = renderer.term_width(width.clamp(40, 500)).decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    for problem in problems {
        out.push_str(&renderer.render(&[group(problem)]));
        out.push_str("\n\n");
    }
    out.push_str(&summary(problems));
    out.push('\n');
    out
}

/// `2 errors, 1 warning in 3 files`.
#[must_use]
pub fn summary(problems: &[Problem]) -> String {
    let count = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
    let words = |count: usize, one: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {one}s")),
    };
    let parts = [words(count(Severity::Error), "error"), words(count(Severity::Warning), "warning")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        return "no problems".to_owned();
    }
    let files: std::collections::BTreeSet<_> =
        problems.iter().flat_map(|problem| &problem.places).map(|spot| &spot.place.file).collect();
    match words(files.len(), "file") {
        Some(files) => format!("{} in {files}", parts.join(", ")),
        None => parts.join(", "),
    }
}

fn group(problem: &Problem) -> Group<'_> {
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
fn elements(spot: &Spot) -> Vec<Element<'_>> {
    let file = &*spot.place.file;
    let Some(excerpt) = &spot.excerpt else {
        return vec![Origin::path(file).into()];
    };
    let snippet = Snippet::source(excerpt.line.as_str())
        .line_start(spot.place.line as usize)
        .fold(false)
        .annotation(AnnotationKind::Primary.span(excerpt.range.clone()));
    let shown_column = excerpt.line[..excerpt.range.start].chars().count() + 1;
    if shown_column == spot.place.column as usize {
        return vec![snippet.path(file).into()];
    }
    let origin = Origin::path(file).line(spot.place.line as usize).char_column(spot.place.column as usize);
    vec![origin.into(), snippet.into()]
}

/// The same for machines. No source lines: whoever reads this has the files.
#[must_use]
pub fn json(problems: &[Problem]) -> Value {
    let problem = |problem: &Problem| {
        let places: Vec<Value> = problem
            .places
            .iter()
            .map(|spot| json!({"file": &*spot.place.file, "line": spot.place.line, "column": spot.place.column}))
            .collect();
        json!({
            "severity": match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "code": problem.code,
            "message": problem.message,
            "places": places,
            "hint": problem.hint,
        })
    };
    problems.iter().map(problem).collect()
}
