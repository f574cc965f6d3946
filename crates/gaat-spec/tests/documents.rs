//! The documents name every method, every attack and every data set that there is.
#![allow(clippy::unwrap_used, reason = "a test")]

use gaat_spec::method::BaseMethod;
use gaat_spec::{AttackName, DatasetName};
use std::path::Path;

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

/// Insists that the first column of some table of `page` has each of `names` in backquotes.
fn check_table(page: &str, names: impl Iterator<Item = String>) {
    let text = document(page);
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let cells: Vec<&str> = rows.filter_map(|row| row.split('|').nth(1)).collect();
    for name in names {
        let named = format!("`{name}`");
        assert!(cells.iter().any(|cell| cell.contains(&named)), "{page} does not name {name}");
    }
}

#[test]
fn every_method_is_in_the_table_of_methods() {
    check_table("docs/methods.md", BaseMethod::ALL.iter().map(ToString::to_string));
}

#[test]
fn every_attack_is_in_the_list_of_attacks() {
    let text = document("docs/using.md");
    for attack in AttackName::ALL {
        assert!(text.contains(&format!("`{attack}`")), "{attack}");
    }
}

#[test]
fn every_data_set_is_in_the_table_of_data_sets() {
    check_table("docs/using.md", DatasetName::ALL.iter().map(ToString::to_string));
}
