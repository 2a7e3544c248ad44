//! The few OData query options that the service understands, and how it
//! refuses the rest.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use uuid::Uuid;

use super::call::Call;
use super::errors::Problem;
use crate::sim::stage::List;

/// A filter that can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sim) struct Filter {
    pub(in crate::sim) property: String,
    pub(in crate::sim) operator: Operator,
    pub(in crate::sim) value: String,
}

/// How a property is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Operator {
    Contains,
    StartsWith,
    Equal,
}

impl Filter {
    /// Reads `contains(serialNumber,'x')` or `importId eq 'x'`.
    ///
    /// # Errors
    /// For everything else, the way the service says it.
    pub(in crate::sim) fn read(text: &str) -> Result<Self, Problem> {
        Self::parse(text.trim()).ok_or_else(|| Problem::nested(400, "Invalid filter clause"))
    }

    pub(in crate::sim) fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        for (name, operator) in [("contains(", Operator::Contains), ("startswith(", Operator::StartsWith)] {
            if lower.starts_with(name) {
                let inner = text[name.len()..].strip_suffix(')')?;
                let (property, value) = inner.split_once(',')?;
                return Some(Self { property: property.trim().to_owned(), operator, value: literal(value)? });
            }
        }
        let mut words = text.splitn(3, ' ');
        let (property, operator, value) = (words.next()?, words.next()?, words.next()?);
        if !operator.eq_ignore_ascii_case("eq") {
            return None;
        }
        Some(Self { property: property.to_owned(), operator: Operator::Equal, value: literal(value)? })
    }

    pub(in crate::sim) fn is_about(&self, property: &str) -> bool {
        self.property == property
    }

    /// Compares without regard to letter case.
    pub(in crate::sim) fn takes(&self, value: &str) -> bool {
        let (value, wanted) = (value.to_lowercase(), self.value.to_lowercase());
        match self.operator {
            Operator::Contains => value.contains(&wanted),
            Operator::StartsWith => value.starts_with(&wanted),
            Operator::Equal => value == wanted,
        }
    }
}

/// A quoted text with `''` for a quote, or a bare GUID.
fn literal(text: &str) -> Option<String> {
    let text = text.trim();
    match text.strip_prefix('\'') {
        Some(open) => {
            let inner = open.strip_suffix('\'')?;
            let plain = inner.replace("''", "");
            (!plain.contains('\'')).then(|| inner.replace("''", "'"))
        }
        None => text.parse::<Uuid>().ok().map(|id| id.to_string()),
    }
}

/// The properties that `$select` names, where the service honours it.
pub(in crate::sim) fn selected(call: &Call<'_>, mut entity: Value) -> Value {
    if let (Some(select), Some(fields)) = (call.option("$select"), entity.as_object_mut()) {
        let named: Vec<&str> = select.split(',').map(str::trim).collect();
        fields.retain(|name, _| named.iter().any(|one| one.eq_ignore_ascii_case(name)) || name.starts_with('@'));
    }
    entity
}

/// Refuses options that no list here has. To pass over them would be to send
/// a client the first page as its second, or a list in no order as one in
/// order.
pub(super) fn refuse_unserved(call: &Call<'_>) -> Result<(), Problem> {
    let option = ["$skip", "$orderby"].into_iter().find(|name| call.version.is_some() && call.option(name).is_some());
    match option {
        None => Ok(()),
        Some(name) => Err(Problem::plain(400, "BadRequest", format!("'{name}' is not supported by the service."))),
    }
}

/// A page, or `$top` items.
pub(in crate::sim) fn page_size(call: &Call<'_>, settings: &List) -> Result<usize, Problem> {
    top(call, settings.page_size, settings.top_max)
}

/// `$top`, as far as it goes; without it, `usual`.
pub(in crate::sim) fn top(call: &Call<'_>, usual: usize, most: usize) -> Result<usize, Problem> {
    match call.option("$top") {
        None => Ok(usual),
        Some(text) => match text.parse::<usize>() {
            Ok(top) if top > 0 => Ok(top.min(most)),
            _ => Err(Problem::plain(400, "BadRequest", format!("Invalid value '{text}' for $top query option found."))),
        },
    }
}

/// The id behind which a page starts.
pub(in crate::sim) fn skip_token(call: &Call<'_>) -> Result<Option<Uuid>, Problem> {
    let Some(token) = call.option("$skiptoken") else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let id = bytes.as_deref().and_then(|bytes| bytes.strip_prefix(b"p1:")).and_then(|id| Uuid::from_slice(id).ok());
    id.map(Some).ok_or_else(|| Problem::nested(400, "Skip token is not valid"))
}

/// The address of the page behind `last`, with the options of this one.
pub(in crate::sim) fn next_link(call: &Call<'_>, last: Uuid) -> String {
    let token = URL_SAFE_NO_PAD.encode([&b"p1:"[..], last.as_bytes()].concat());
    let mut link = format!("{}{}?", call.origin, call.clean_path());
    for (name, value) in call.query.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("$skiptoken")) {
        link.extend([name, "=", &encode(value), "&"]);
    }
    link.push_str("$skiptoken=");
    link.push_str(&token);
    link
}

fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.extend([format!("%{byte:02X}")]),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_of_the_field_are_read() {
        let filter = Filter::read("contains(serialNumber,'O''Hara')").unwrap();
        assert_eq!((filter.property.as_str(), filter.value.as_str()), ("serialNumber", "O'Hara"));
        assert!(filter.takes("xx o'hara"));
        let filter = Filter::read("importId eq '0c9be9b6-1b2f-4c0f-9d4a-000000000001'").unwrap();
        assert_eq!(filter.operator, Operator::Equal);
        assert!(Filter::read("azureActiveDirectoryDeviceId eq 0c9be9b6-1b2f-4c0f-9d4a-000000000001").is_ok());
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "serialNumber", "serialNumber ne 'x'", "contains(serialNumber,'a' or 'b')", "serialNumber eq x"]
        {
            assert!(Filter::read(text).is_err(), "{text}");
        }
    }
}
