//! The documents name every method and every attack that there is.
#![allow(clippy::unwrap_used, reason = "a test")]

use gaat_spec::AttackName;
use gaat_spec::method::BaseMethod;
use std::path::Path;

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)).unwrap()
}

#[test]
fn every_method_is_in_the_table_of_methods() {
    let text = document("docs/methods.md");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    for method in BaseMethod::ALL {
        let named = format!("`{method}`");
        assert!(
            rows.iter().any(|row| row.split('|').nth(1).is_some_and(|cell| cell.contains(&named))),
            "{method}"
        );
    }
}

#[test]
fn every_attack_is_in_the_list_of_attacks() {
    let text = document("docs/using.md");
    for attack in AttackName::ALL {
        assert!(text.contains(&format!("`{attack}`")), "{attack}");
    }
}
