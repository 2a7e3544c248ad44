//! What a parser found wrong with a text, in our words and with its place: a
//! parser's own speak of its types.

/// Of a text that should be JSON and of a known form; `it` is what the text is
/// called.
pub(in crate::sim) fn json_fault(it: &str, error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        Category::Eof => format!("{it} ends before it is complete"),
        Category::Syntax => format!("{it} is not JSON from line {line}, column {column} on"),
        Category::Data | Category::Io => {
            format!("line {line}, column {column}: something is missing there, or is not what belongs there")
        }
    }
}

/// Of a text that should be YAML.
pub(in crate::sim) fn yaml_fault(error: &serde_yaml::Error) -> String {
    let look = "look for its indentation, for a bracket or a quote that is open, and for a name that is there twice";
    match error.location() {
        Some(place) => format!("line {} is not YAML; {look}", place.line()),
        None => format!("it is not YAML; {look}"),
    }
}
