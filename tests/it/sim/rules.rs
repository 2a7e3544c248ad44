//! The page for strangers says of each of the 39 rules how sure we are and
//! which test shows it, and of each switch what it does; this holds the page to
//! the tests and to the table of switches.

use std::collections::BTreeMap;
use std::path::Path;

use apgit::door::sim::Switch;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn each_of_the_39_rules_has_a_test_that_exists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sim");
    let mut sources = read("tests/it/sim.rs");
    for file in std::fs::read_dir(folder).unwrap() {
        sources.push_str(&std::fs::read_to_string(file.unwrap().path()).unwrap());
    }
    let page = read("docs/simulator.md");
    let mut rules: BTreeMap<u32, usize> = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", number, _, sure, tests, ""] = cells[..] else { continue };
        let Ok(number) = number.parse::<u32>() else { continue };
        assert!(["documented", "seen", "guess"].iter().any(|word| sure.contains(word)), "rule {number}: `{sure}`");
        let named = tests.split('`').filter(|word| word.contains('_'));
        for test in named {
            assert!(sources.contains(&format!("fn {test}()")), "rule {number} names `{test}`, which is no test");
            *rules.entry(number).or_insert(0) += 1;
        }
    }
    let expected: Vec<u32> = (1..=39).collect();
    assert_eq!(rules.keys().copied().collect::<Vec<_>>(), expected);
}

#[test]
fn the_page_says_of_every_switch_what_it_does() {
    let page = read("docs/simulator.md");
    let section = page.split("\n## ").find(|section| section.starts_with("Switches\n")).unwrap();
    let rows: Vec<&str> =
        section.lines().filter(|line| line.starts_with("| `") && !line.contains("--switch")).collect();
    let row = |switch: &Switch| {
        format!("| `{}` | {} | {} |", switch.name(), switch.what(), if switch.is_fault() { "yes" } else { "" })
    };
    assert_eq!(rows, Switch::ALL.iter().map(row).collect::<Vec<_>>());
}
