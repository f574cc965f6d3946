//! `cargo xtask docs`: a site of the pages in docs/, by mdBook.
//!
//! mdBook knows only what lies below one folder, and our pages link to results, to the README and to sources. So the pages are
//! gathered in `target/docs-pages` in the layout of the repository, and links to what is not gathered become plain text.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use crate::shell::{Result, run, target_dir};
use crate::tidy::walk;

const TOP: [&str; 6] =
    ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "RELEASE.md", "SECURITY.md"];

/// Gathers the pages of the repository at `root` and makes the site.
pub(crate) fn docs(root: &Path) -> Result<()> {
    let pages = target_dir().join("docs-pages");
    let count = gather(root, &pages)?;
    println!("gathered {count} files in {}", pages.display());
    if !has_mdbook() {
        return Err("mdBook makes the site and is not installed: `cargo install mdbook --locked`".to_owned());
    }
    run(Command::new("mdbook").args(["build", "--dest-dir"]).arg(target_dir().join("docs-site")).arg(root))
}

/// Whether mdBook is installed.
pub(crate) fn has_mdbook() -> bool {
    let mut version = Command::new("mdbook");
    version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// Copies what the site needs from `root` to `pages`, with a table of contents; returns how many files.
fn gather(root: &Path, pages: &Path) -> Result<usize> {
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    if pages.exists() {
        fs::remove_dir_all(pages).map_err(|error| failed(pages, error))?;
    }
    let mut found: Vec<PathBuf> = TOP.iter().map(|name| root.join(name)).collect();
    for folder in ["docs", "results"] {
        walk(&root.join(folder), &mut found)?;
    }
    // It becomes the table of contents, which is no page.
    let summary = root.join("docs/SUMMARY.md");
    found.retain(|path| *path != summary);
    found.sort();
    let names: BTreeSet<PathBuf> =
        found.iter().filter_map(|path| path.strip_prefix(root).ok()).map(Path::to_path_buf).collect();
    for name in &names {
        let (from, to) = (root.join(name), pages.join(name));
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        }
        if name.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(&from).map_err(|error| failed(&from, error))?;
            fs::write(&to, relinked(&text, name, &names)).map_err(|error| failed(&to, error))?;
        } else {
            fs::copy(&from, &to).map_err(|error| failed(&from, error))?;
        }
    }
    let text = fs::read_to_string(&summary).map_err(|error| failed(&summary, error))?;
    let contents = pages.join("SUMMARY.md");
    fs::write(&contents, contents_of(&text, root, &names)).map_err(|error| failed(&contents, error))?;
    Ok(names.len())
}

/// The table of contents of docs/ for pages that lie in the layout of the repository, with every result and decision in its place.
fn contents_of(summary: &str, root: &Path, names: &BTreeSet<PathBuf>) -> String {
    let mut lines = Vec::new();
    for line in summary.lines() {
        let Some((before, target)) = line.split_once("](") else {
            lines.push(line.to_owned());
            continue;
        };
        let target = normal(&Path::new("docs").join(target.trim_end_matches(')')));
        lines.push(format!("{before}]({})", target.display()));
        // Below the index of a folder, its other pages.
        let folder = match target.to_str() {
            Some("results/README.md") => Path::new("results"),
            Some("docs/decisions/README.md") => Path::new("docs/decisions"),
            _ => continue,
        };
        for name in names.iter().filter(|name| name.starts_with(folder) && **name != target) {
            if name.extension().is_some_and(|extension| extension == "md") {
                lines.push(format!("  - [{}]({})", title(&root.join(name)), name.display()));
            }
        }
    }
    lines.join("\n") + "\n"
}

/// The first heading of the page at `path`, without what Markdown reads.
fn title(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let heading = text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or("untitled");
    heading.replace(['[', ']'], "")
}

/// `text` of the page `name` with links that hold on the site.
fn relinked(text: &str, name: &Path, names: &BTreeSet<PathBuf>) -> String {
    let folder = name.parent().unwrap_or(Path::new(""));
    let mut fenced = false;
    let lines = text.lines().map(|line| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced { line.to_owned() } else { relinked_line(line, folder, names) }
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

fn relinked_line(line: &str, folder: &Path, names: &BTreeSet<PathBuf>) -> String {
    let (mut made, mut rest) = (String::new(), line);
    while let Some((before, after)) = rest.split_once("](") {
        let Some((target, behind)) = after.split_once(')') else { break };
        let (path, anchor) =
            target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
        let there = normal(&folder.join(path));
        let page = there.join("README.md");
        let anchored = |path: &str| anchor.map_or(path.to_owned(), |anchor| format!("{path}#{anchor}"));
        if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
            let _ = write!(made, "{before}]({target})");
        } else if names.contains(&there) {
            // mdBook makes a README the index of its folder and leaves links to it as they are.
            let path =
                path.strip_suffix("README.md").map_or(path.to_owned(), |folder| format!("{folder}index.md"));
            let _ = write!(made, "{before}]({})", anchored(&path));
        } else if names.contains(&page) {
            let path = format!("{}/index.md", path.trim_end_matches('/'));
            let _ = write!(made, "{before}]({})", anchored(&path));
        } else {
            // The label alone: what it names is not on the site.
            let label = before.rfind('[').unwrap_or(0);
            made += &before[..label];
            made += before.get(label + 1..).unwrap_or_default();
        }
        rest = behind;
    }
    made + rest
}

/// `path` without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn links_hold_where_the_pages_lie_on_the_site() {
        let names: BTreeSet<PathBuf> =
            ["README.md", "docs/a.md", "results/x/README.md", "results/x/f.svg"].map(PathBuf::from).into();
        let line = "[a](a.md#top) ![f](../results/x/f.svg) [x](../results/x) [top](../README.md#b) [code](../crates/a) [w](https://w.org) [h](#h)";
        let expected = "[a](a.md#top) ![f](../results/x/f.svg) [x](../results/x/index.md) [top](../index.md#b) code [w](https://w.org) [h](#h)";
        assert_eq!(relinked_line(line, Path::new("docs"), &names), expected);
        assert_eq!(
            relinked("```\n[c](gone)\n```\n", Path::new("docs/a.md"), &names),
            "```\n[c](gone)\n```\n"
        );
    }

    #[test]
    fn pages_are_gathered_with_their_results_in_the_contents() {
        let scratch = Scratch::new();
        for name in TOP {
            scratch.file(name, "# Top\n");
        }
        scratch.file("docs/SUMMARY.md", "# gaat\n\n[gaat](../README.md)\n- [claims](../results/README.md)\n");
        scratch.file("results/README.md", "# Claims\n");
        scratch.file("results/x/README.md", "# What x is [worth]\n");
        let pages = scratch.path().join("pages");
        assert_eq!(gather(scratch.path(), &pages), Ok(TOP.len() + 2));
        let contents = fs::read_to_string(pages.join("SUMMARY.md")).unwrap();
        let expected = "# gaat\n\n[gaat](README.md)\n- [claims](results/README.md)\n  - [What x is worth](results/x/README.md)\n";
        assert_eq!(contents, expected);
    }
}
