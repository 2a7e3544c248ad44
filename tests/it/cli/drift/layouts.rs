//! Manifests as people lay them out, at random.

use std::fmt::Write as _;

use apgit::door::model::Field;
use fastrand::Rng;
use serde_json::{Value, json};

/// Values that YAML reads in ways of its own, and a few that it does not.
pub const VALUES: [&str; 24] = [
    "OSL-STD",
    "0012",
    "NO",
    "1E5",
    "null",
    "~",
    "2024-01-01",
    "a: b",
    "a #b",
    "it's",
    "\"q\"",
    "*-STD",
    "&a",
    "- a",
    "{x}",
    "[y]",
    "%",
    "'",
    "\\n",
    "Zürich 東",
    "A  B",
    "0x1F",
    "yes",
    "!t",
];

/// A manifest with the devices that it declares, and what it says of each.
pub struct Layout {
    pub text: String,
    pub is_json: bool,
}

/// A device: its serial number, and the fields that its own entry has.
pub struct Entry {
    pub serial: String,
    pub own: Vec<(&'static str, String)>,
}

/// `shared` goes into the defaults of a set, and into each device that is none of
/// one.
pub fn layout(rng: &mut Rng, name: &str, entries: &[Entry], shared: &[(&str, Value)]) -> Layout {
    let is_json = rng.u8(..6) == 0;
    let mut writer = Writer { comments: 0, rng, out: String::new() };
    if is_json {
        writer.json(name, entries, shared);
    } else if writer.rng.bool() {
        writer.set(name, entries, shared);
    } else {
        writer.devices(name, entries, shared);
    }
    let Writer { rng, mut out, .. } = writer;
    if rng.u8(..3) == 0 {
        out = out.trim_end().to_owned();
    }
    if rng.u8(..3) == 0 {
        out = out.replace('\n', "\r\n");
    }
    if !is_json && rng.u8(..6) == 0 {
        out.insert(0, '\u{feff}');
    }
    Layout { text: out, is_json }
}

struct Writer<'r> {
    rng: &'r mut Rng,
    comments: usize,
    out: String,
}

impl Writer<'_> {
    fn json(&mut self, name: &str, entries: &[Entry], shared: &[(&str, Value)]) {
        let shared: serde_json::Map<_, _> =
            shared.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let device = |entry: &Entry| {
            let mut device = json!({"serialNumber": entry.serial});
            for (field, value) in &entry.own {
                device[*field] = json!(value);
            }
            device
        };
        let document = json!({
            "apiVersion": "apgit.dev/v1alpha1", "kind": "AutopilotDeviceSet", "metadata": {"name": name},
            "spec": {"defaults": shared, "devices": entries.iter().map(device).collect::<Vec<_>>()},
        });
        self.out = if self.rng.bool() { format!("{document:#}\n") } else { format!("{document}\n") };
    }

    fn set(&mut self, name: &str, entries: &[Entry], shared: &[(&str, Value)]) {
        let _ = write!(
            self.out,
            "apiVersion: apgit.dev/v1alpha1\nkind: AutopilotDeviceSet\nmetadata: {{name: {name}}}\nspec:\n  defaults:\n"
        );
        for (field, value) in shared {
            let _ = writeln!(self.out, "    {field}: {value}");
        }
        let list = *self.rng.choice(["  ", "    "].iter()).expect("one");
        self.out.push_str("  devices:\n");
        for entry in entries {
            self.comment(list);
            let _ = write!(self.out, "{list}- ");
            self.entry(&format!("{list}  "), entry, &[]);
        }
    }

    fn devices(&mut self, name: &str, entries: &[Entry], shared: &[(&str, Value)]) {
        for (at, entry) in entries.iter().enumerate() {
            let _ = write!(
                self.out,
                "---\napiVersion: apgit.dev/v1alpha1\nkind: AutopilotDevice\nmetadata: {{name: {name}-{at}}}\nspec:"
            );
            self.out.push_str(if self.rng.bool() { "\n  " } else { "\n      " });
            let indent = self.out.rsplit('\n').next().unwrap_or_default().to_owned();
            let own = |field: &str| entry.own.iter().any(|(own, _)| *own == field);
            let shared: Vec<_> = shared.iter().filter(|(field, _)| !own(field)).cloned().collect();
            self.entry(&indent, entry, &shared);
        }
    }

    /// The map of a device, whose first line is begun.
    fn entry(&mut self, indent: &str, entry: &Entry, shared: &[(&str, Value)]) {
        let mut fields = vec![("serialNumber", self.scalar(&entry.serial))];
        for (field, value) in &entry.own {
            let scalar = self.scalar(value);
            fields.push((*field, scalar));
        }
        fields.extend(shared.iter().map(|(field, value)| (*field, value.to_string())));
        self.rng.shuffle(&mut fields);
        match self.rng.u8(..4) {
            0 => {
                let inside: Vec<String> = fields.iter().map(|(field, value)| format!("{field}: {value}")).collect();
                let _ = write!(self.out, "{{{}}}", inside.join(", "));
                self.end();
            }
            1 => {
                self.out.push_str("{\n");
                let last = fields.len() - 1;
                for (at, (field, value)) in fields.iter().enumerate() {
                    let comma = if at < last || self.rng.bool() { "," } else { "" };
                    let _ = write!(self.out, "{indent}  {field}: {value}{comma}");
                    self.end();
                }
                let _ = writeln!(self.out, "{indent}}}");
            }
            _ => {
                for (at, (field, value)) in fields.iter().enumerate() {
                    if at > 0 {
                        self.comment(indent);
                        self.out.push_str(indent);
                    }
                    let blank = if self.rng.u8(..4) == 0 { "   " } else { " " };
                    let _ = write!(self.out, "{field}:{blank}{value}");
                    self.end();
                }
            }
        }
    }

    /// One of the ways to write a text that is read as this text.
    fn scalar(&mut self, value: &str) -> String {
        let is_plain = value.starts_with("TEST-") || value.starts_with("OSL-") || value.contains('@');
        match self.rng.u8(..4) {
            0 => format!("'{}'", value.replace('\'', "''")),
            1 | 2 if is_plain => value.to_owned(),
            _ => Value::from(value).to_string(),
        }
    }

    fn comment(&mut self, indent: &str) {
        match self.rng.u8(..5) {
            0 => self.out.push('\n'),
            1 => {
                self.comments += 1;
                let _ = writeln!(self.out, "{indent}# c{} groupTag: OLD", self.comments);
            }
            _ => {}
        }
    }

    /// The end of a line, with or without a word on it.
    fn end(&mut self) {
        if self.rng.u8(..4) == 0 {
            self.comments += 1;
            let _ = write!(self.out, "  # c{}: ö, {{x}}", self.comments);
        }
        self.out.push('\n');
    }
}

/// Fields for an entry of its own.
pub fn own(rng: &mut Rng) -> Vec<(&'static str, String)> {
    let fields = Field::ALL.into_iter().map(Field::name);
    let some: Vec<_> = fields.filter(|_| rng.bool()).collect();
    some.into_iter().map(|field| (field, (*rng.choice(VALUES.iter()).expect("one")).to_owned())).collect()
}
