//! What stands around a `spec`: whose document it is, of which kind, and its name.

use super::super::check::{Findings, head, suggestion, walk};
use super::super::problem::{Problem, show};
use super::super::shape;
use super::super::tree::{Data, Node, Span};
use super::{FileReader, Named};
use crate::desired::near;
use crate::resource::{API_VERSION, GROUP, Kind};

impl FileReader<'_> {
    /// The kind of a document of ours, `None` for other people's, and an error
    /// that was reported for one that is ours but of no kind that we know.
    pub(super) fn kind(&mut self, node: &Node<'_>) -> Option<Result<Kind, ()>> {
        if let Data::List(items) = &node.data
            && let Some(item) = items.iter().find(|item| is_ours(item))
        {
            let hint = "put `---` between documents, or write `{apiVersion: v1, kind: List, items: […]}`";
            self.error("kind", "this list of documents is no document itself", head(item), hint);
            return Some(Err(()));
        }
        let text = |key: &str| node.get(key).and_then(Node::text);
        let (api, kind) = (text("apiVersion"), text("kind"));
        let known = kind.and_then(Kind::parse);
        let of_ours =
            api.is_some_and(|api| api == GROUP || api.strip_prefix(GROUP).is_some_and(|rest| rest.starts_with('/')));
        match (api, known) {
            (Some(API_VERSION), Some(kind)) => Some(Ok(kind)),
            (None, Some(kind)) => {
                let span = node.entry("kind").map_or(node.span, |entry| entry.value.span);
                let message = format!("this `{}` has no `apiVersion`", kind.name());
                self.error("api-version", message, span, format!("add `apiVersion: {API_VERSION}`"));
                Some(Err(()))
            }
            (Some(API_VERSION), None) => {
                let entry = node.entry("kind");
                let span = entry.map_or_else(|| head(node), |entry| entry.value.span);
                let names = Kind::ALL.map(Kind::name);
                let message = match kind {
                    Some(kind) => format!("there is no kind `{}`", show(kind)),
                    None => "this document has no `kind`".to_owned(),
                };
                let hint = match near(kind.unwrap_or_default(), &names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the kinds are `{}`", names.join("`, `")),
                };
                self.error("kind", message, span, hint);
                Some(Err(()))
            }
            // A kind of ours is nobody else's, and left out it would not be missed.
            (Some(api), _) if of_ours || known.is_some() => {
                let span = node.entry("apiVersion").map_or(node.span, |entry| entry.value.span);
                let message = match known {
                    Some(kind) => format!("`{}` is no version of `{}`", show(api), kind.name()),
                    None => format!("there is no version `{}`", show(api)),
                };
                self.error("api-version", message, span, format!("write `apiVersion: {API_VERSION}`"));
                Some(Err(()))
            }
            (None, None) => {
                // Other tools have documents with a `kind` and no version, too.
                let is_meant = |kind: &&str| kind.to_ascii_lowercase().starts_with("autopilot");
                let (kind, names) = (kind.filter(is_meant)?, Kind::ALL.map(Kind::name));
                let near = near(kind, &names)?;
                let span = node.entry("kind").map_or(node.span, |entry| entry.value.span);
                let message = format!("there is no kind `{}`, and it has no `apiVersion`", show(kind));
                self.error("kind", message, span, format!("did you mean `{near}`? add `apiVersion: {API_VERSION}`"));
                Some(Err(()))
            }
            _ => None,
        }
    }

    /// Everything beside `spec`: the same fields that a cluster allows.
    pub(super) fn envelope(&mut self, kind: Kind, root: &mut Node<'_>) -> Option<Named> {
        const FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
        let start = head(root);
        let Data::Map(entries) = &mut root.data else { return None };
        for entry in entries.iter().filter(|entry| !FIELDS.contains(&entry.key.as_ref())) {
            if self.content.problems.is_full() {
                self.content.problems.skip(1);
                continue;
            }
            let message = format!("`{}` has no field `{}`", kind.name(), show(&entry.key));
            let misplaced = shape::spec(kind).field(&entry.key).is_some();
            let hint = match misplaced {
                true => format!("`{}` belongs under `spec`", entry.key),
                false => suggestion(&entry.key, &FIELDS),
            };
            self.error("unknown-field", message, entry.key_span, hint);
        }
        let Some(entry) = entries.iter_mut().find(|entry| entry.key == "metadata") else {
            self.error("missing-field", "`metadata` is missing", start, "add `metadata: {name: …}`");
            return None;
        };
        let span = entry.key_span;
        self.metadata(&mut entry.value, span)
    }

    fn metadata(&mut self, node: &mut Node<'_>, span: Span) -> Option<Named> {
        // Written by people or by a cluster; the second kind appears in what
        // `kubectl get -o yaml` prints.
        const FIELDS: [&str; 15] = [
            "name",
            "namespace",
            "labels",
            "annotations",
            "generateName",
            "finalizers",
            "ownerReferences",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "managedFields",
            "selfLink",
        ];
        let Data::Map(entries) = &mut node.data else {
            self.error("wrong-type", "`metadata` is a map of fields", head(node), "write `metadata: {name: …}`");
            return None;
        };
        let (mut name, mut namespace) = (None, String::new());
        let mut out = Findings::default();
        for entry in entries.iter_mut() {
            match entry.key.as_ref() {
                "name" => {
                    if walk(&mut entry.value, &shape::NAME, "name", &self.source, &mut out) {
                        name = entry.value.text().map(|text| (text.to_owned(), entry.value.span));
                    } else {
                        name = Some((String::new(), entry.key_span));
                    }
                }
                "namespace" => {
                    if walk(&mut entry.value, &shape::NAME, "namespace", &self.source, &mut out) {
                        entry.value.text().unwrap_or_default().clone_into(&mut namespace);
                    }
                }
                "labels" | "annotations" => {
                    walk(&mut entry.value, &shape::Shape::Words, &entry.key, &self.source, &mut out);
                }
                key if FIELDS.contains(&key) => {}
                key => out.problems.add(|| {
                    let message = format!("`metadata` has no field `{}`", show(key));
                    let near = suggestion(key, &FIELDS[..4]);
                    Problem::error("unknown-field", message, self.source.spot(entry.key_span)).hint(near)
                }),
            }
        }
        for (_, problem) in &mut out.soft {
            problem.code = "name";
            problem.hint = Some("lower-case letters, digits, `-` and `.`, at most 63 characters".into());
        }
        let bad_form = !out.soft.is_empty();
        self.content.problems.append(out.problems);
        self.content.warnings.append(out.warnings);
        out.soft.into_iter().for_each(|(_, problem)| self.content.problems.add(|| problem));
        match name {
            Some((name, span)) if !name.is_empty() && !bad_form => Some(Named { namespace, name, span }),
            Some(_) => None,
            None => {
                self.error("missing-field", "`metadata` has no `name`", span, "add `name: …`, unique among its kind");
                None
            }
        }
    }
}

/// The items of a `List`, if any of them is ours.
pub(super) fn list_of_ours<'s>(node: &mut Node<'s>) -> Option<Vec<Node<'s>>> {
    if !has_ours(node) {
        return None;
    }
    let Data::Map(entries) = &mut node.data else { return None };
    let Data::List(items) = &mut entries.iter_mut().find(|entry| entry.key == "items")?.value.data else { return None };
    Some(std::mem::take(items))
}

/// True for a `List` with something of ours in it, at whatever depth.
pub(super) fn has_ours(node: &Node<'_>) -> bool {
    let is_list = node.get("kind").and_then(Node::text) == Some("List");
    let items = node.get("items").filter(|_| is_list).map(|items| &items.data);
    matches!(items, Some(Data::List(items)) if items.iter().any(|item| is_ours(item) || has_ours(item)))
}

/// True for what somebody meant as a document of ours.
fn is_ours(node: &Node<'_>) -> bool {
    node.get("apiVersion").and_then(Node::text).is_some_and(|api| api.starts_with(GROUP))
        || node.get("kind").and_then(Node::text).is_some_and(|kind| Kind::parse(kind).is_some())
}
