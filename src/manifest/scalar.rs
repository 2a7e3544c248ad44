//! What a plain scalar means to `kubectl`.
//!
//! `kubectl` reads YAML through sigs.k8s.io/yaml, which follows YAML 1.1 as
//! Go's yaml.v2 does. A file must not mean one thing here and another there, so
//! the same resolution stands here; fields of text then refuse whatever is not
//! text, and say so.

/// A plain scalar, resolved.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is not a whole one, or too large for one.
    Float(f64),
    /// `kubectl` keeps it as text, other readers make a date of it.
    Timestamp,
    Text,
}

/// Resolves a plain (unquoted) scalar.
#[must_use]
pub(super) fn resolve(text: &str) -> Plain {
    let Some(first) = text.bytes().next() else { return Plain::Null };
    match first {
        b'0'..=b'9' | b'+' | b'-' | b'.' => number(text),
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => word(text),
        _ => Plain::Text,
    }
}

fn word(text: &str) -> Plain {
    match text {
        "~" | "null" | "Null" | "NULL" => Plain::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Plain::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Plain::Bool(false),
        _ => Plain::Text,
    }
}

#[expect(clippy::cast_precision_loss, reason = "beyond 64 bits, YAML has no whole numbers")]
fn number(text: &str) -> Plain {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Plain::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Plain::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Plain::Float(f64::NAN),
        _ => {}
    }
    // Most serial numbers end here: a letter that no number has.
    if text.bytes().any(|b| {
        b.is_ascii_alphabetic()
            && !b.is_ascii_hexdigit()
            && !matches!(b, b'x' | b'X' | b'o' | b'O' | b'T' | b't' | b'Z' | b'z')
    }) {
        return Plain::Text;
    }
    if is_timestamp(text) {
        return Plain::Timestamp;
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(value) = integer(&plain) {
        return i64::try_from(value).map_or_else(|_| Plain::Float(value as f64), Plain::Int);
    }
    if is_float(&plain)
        && let Ok(value) = plain.parse()
    {
        return Plain::Float(value);
    }
    Plain::Text
}

/// Go's `ParseInt(text, 0, 64)`: base by prefix, a leading zero is octal.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    // A sign of its own inside would pass Rust's parser.
    if !digits.bytes().next()?.is_ascii_hexdigit() {
        return None;
    }
    let value = i128::from_str_radix(digits, base).ok()?;
    let value = if negative { -value } else { value };
    let fits = value >= i128::from(i64::MIN) && value <= i128::from(u64::MAX);
    fits.then_some(value)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, Go's own pattern.
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let mantissa = match (whole, fraction) {
        ("", Some(fraction)) => digits(fraction),
        (whole, Some(fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        (whole, None) => digits(whole),
    };
    let exponent = exponent.is_none_or(|text| digits(text.strip_prefix(['-', '+']).unwrap_or(text)));
    mantissa && exponent
}

/// `2024-01-01`, also with a time behind it.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits != 4 || bytes.get(4) != Some(&b'-') {
        return false;
    }
    let mut parts = text[5..].splitn(2, '-');
    let (Some(month), Some(rest)) = (parts.next(), parts.next()) else { return false };
    let short = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let day_length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (day, time) = rest.split_at(day_length);
    short(month) && short(day) && (time.is_empty() || time.starts_with(['T', 't', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Plain) {
        assert_eq!(resolve(text), expected, "{text}");
    }

    #[test]
    fn numbers_are_what_kubectl_makes_of_them() {
        check("0012345", Plain::Int(5349));
        check("1E5", Plain::Float(100_000.0));
        check("0x1F", Plain::Int(31));
        check("1_000", Plain::Int(1000));
        check("0b101", Plain::Int(5));
        check("-12", Plain::Int(-12));
        check("0089", Plain::Float(89.0));
        check("1.5", Plain::Float(1.5));
        check("123456789012345678901234567890", Plain::Float(1.234_567_890_123_456_8e29));
    }

    #[test]
    fn words_are_booleans_and_nulls() {
        for text in ["y", "NO", "on", "Off", "true"] {
            assert!(matches!(resolve(text), Plain::Bool(_)), "{text}");
        }
        for text in ["", "~", "null", "NULL"] {
            check(text, Plain::Null);
        }
    }

    #[test]
    fn dates_are_kept_apart_from_text() {
        check("2024-01-01", Plain::Timestamp);
        check("2024-1-1T10:00:00Z", Plain::Timestamp);
    }

    #[test]
    fn serial_numbers_of_vendors_stay_text() {
        for text in [
            "5CG4251XYZ",
            "PF4T9K2L",
            "1234-5678-9012",
            "0012345A9",
            "E",
            "nO",
            "1e",
            "0xZZ",
            "+",
            "-",
            "1-2",
            "5CD0",
            "10:30",
        ] {
            check(text, Plain::Text);
        }
    }
}
