//! Where a group tag may be declared.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::overlap::may_meet;

/// Tags that may be declared in these places alone. Of several rules about one tag,
/// each allows its own places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TagRule {
    /// Glob over group tags, in any case of letters.
    pub group_tag: String,
    /// Globs over paths from the repository's root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// In a cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
}

impl TagRule {
    /// True if this one allows nothing that another one about the same tags does not.
    fn is_within(&self, other: &Self) -> bool {
        let within = |ours: &[String], theirs: &[String]| ours.iter().all(|place| theirs.contains(place));
        self.group_tag == other.group_tag
            && within(&self.paths, &other.paths)
            && within(&self.namespaces, &other.namespaces)
    }

    fn may_meet(&self, other: &Self) -> bool {
        may_meet(&self.group_tag.to_lowercase(), &other.group_tag.to_lowercase())
    }
}

/// True if rules may allow a tag somewhere where the rules that were applied did not,
/// as far as patterns tell.
#[must_use]
pub(super) fn loosen(applied: &[TagRule], declared: &[TagRule]) -> bool {
    let is_kept = |old: &TagRule| declared.iter().any(|new| new.group_tag == old.group_tag);
    let is_harmless =
        |new: &TagRule| applied.iter().any(|old| new.is_within(old)) || !applied.iter().any(|old| new.may_meet(old));
    !applied.iter().all(is_kept) || !declared.iter().all(is_harmless)
}

/// The rules, for people.
#[must_use]
pub(super) fn words(rules: &[TagRule]) -> String {
    let rule = |rule: &TagRule| {
        let places: Vec<&str> = rule.paths.iter().chain(&rule.namespaces).map(String::as_str).collect();
        format!("{} in {}", rule.group_tag, places.join(", "))
    };
    if rules.is_empty() { "none".to_owned() } else { rules.iter().map(rule).collect::<Vec<_>>().join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<TagRule> {
        let rule = |line: &str| {
            let (tag, places) = line.trim().split_once(" in ").expect("a rule");
            let paths = places.split(',').map(|place| place.trim().to_owned()).collect();
            TagRule { group_tag: tag.to_owned(), paths, namespaces: Vec::new() }
        };
        text.split(';').filter(|line| !line.trim().is_empty()).map(rule).collect()
    }

    #[test]
    fn what_allows_a_tag_in_a_new_place_is_looser() {
        for (applied, declared, looser) in [
            ("K-* in kiosks/**", "K-* in kiosks/**", false),
            ("K-* in kiosks/**", "", true),
            ("K-* in kiosks/**", "K-* in **", true),
            ("K-* in kiosks/**, lab/**", "K-* in kiosks/**", false),
            ("K-* in kiosks/**", "K-* in kiosks/**; K-LAB in lab/**", true),
            ("K-* in kiosks/**", "K-* in kiosks/**; k-lab in lab/**", true),
            ("K-* in kiosks/**", "K-* in kiosks/**; OSL-* in oslo/**", false),
            ("K-* in kiosks/**", "K-LAB in kiosks/**", true),
            ("", "K-* in kiosks/**", false),
        ] {
            assert_eq!(loosen(&rules(applied), &rules(declared)), looser, "`{applied}`, then `{declared}`");
        }
    }
}
