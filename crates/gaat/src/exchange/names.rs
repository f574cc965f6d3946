//! Names in state dicts: what wrappers put into them, and where the names of a network begin.

use std::collections::HashSet;

/// What `torch.nn.DataParallel`, `AveragedModel` and `torch.compile` put into names, anywhere.
const WRAPPERS: [&str; 2] = ["module", "_orig_mod"];

/// A name without what wrappers put into it.
pub(super) fn plain(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
    parts.join(".")
}

/// All names plain; as they are where two would become one.
pub(super) fn all_plain<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let plain: Vec<String> = names.clone().map(plain).collect();
    let mut known = HashSet::new();
    if plain.iter().all(|name| known.insert(name)) { plain } else { names.map(str::to_owned).collect() }
}

/// What stands before `ending` in `name`: nothing, or something that ends with a dot.
pub(super) fn prefix_of<'a>(name: &'a str, ending: &str) -> Option<&'a str> {
    let prefix = name.strip_suffix(ending)?;
    (prefix.is_empty() || prefix.ends_with('.')).then_some(prefix)
}

/// Everything before the last dot, and what follows it.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// How many parts two dotted paths have in common from the start.
pub(super) fn common(one: &str, other: &str) -> usize {
    let parts =
        |path: &str| path.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    parts(one).iter().zip(parts(other).iter()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_taken_out_of_names_wherever_they_stand() {
        assert_eq!(plain("module._orig_mod.layer1.module.0.conv1.weight"), "layer1.0.conv1.weight");
        let names = ["module.fc.bias", "fc.bias"];
        assert_eq!(all_plain(names.into_iter()), names, "two networks side by side stay two");
        assert_eq!(all_plain(["module.fc.bias", "fc.weight"].into_iter()), ["fc.bias", "fc.weight"]);
    }

    #[test]
    fn a_prefix_ends_with_a_dot() {
        assert_eq!(prefix_of("model.fc.bias", "fc.bias"), Some("model."));
        assert_eq!(prefix_of("fc.bias", "fc.bias"), Some(""));
        assert_eq!(prefix_of("modelfc.bias", "fc.bias"), None);
        assert_eq!((common("model.0", "model.1."), common("0", "1."), common("", "a")), (1, 0, 0));
    }
}
