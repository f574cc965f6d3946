//! Lists of nodes as SLURM writes them: `gpu[003-007,009],login1`.

/// The first node of `list`; `None` where there is none.
pub(super) fn first_node(list: &str) -> Option<String> {
    let inside = |place: usize| list[..place].matches('[').count() > list[..place].matches(']').count();
    let end = list.match_indices(',').map(|(place, _)| place).find(|place| !inside(*place));
    let mut first = list[..end.unwrap_or(list.len())].trim().to_owned();
    // Several brackets may stand in one name: `rack[1-2]node[3-4]`.
    while let Some(open) = first.find('[') {
        let close = first[open..].find(']')? + open;
        let number: String =
            first[open + 1..close].chars().take_while(|character| !",-".contains(*character)).collect();
        first.replace_range(open..=close, &number);
    }
    (!first.is_empty()).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_node_of_every_form() {
        for (list, first) in [
            ("node1", Some("node1")),
            ("node1,node2", Some("node1")),
            ("gpu[003-007,009],login1", Some("gpu003")),
            ("gpu[9,3]", Some("gpu9")),
            ("a[1-2]b[03-04].cluster,c", Some("a1b03.cluster")),
            ("", None),
            ("gpu[003", None),
        ] {
            assert_eq!(first_node(list).as_deref(), first, "{list}");
        }
    }
}
