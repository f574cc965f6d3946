//! Files that somebody made to do harm: what a user sees of them.

use crate::{gaat, refusal, status, stderr, stdout, success};
use std::path::Path;

/// Clears a screen, sets a title, turns the writing round, hides, and begins a line of its own.
const EVIL: &str = "\u{1b}[2J\u{1b}]0;t\u{7}\u{202e}\u{200b}\u{9b}31m\nerror: x";

/// An image folder with the training classes `classes`, of which the test part has the first.
fn folder(root: &Path, classes: &[&str]) {
    let png = gaat_files::png::of_rgb(&[7; 3 * 16], 4, 4).unwrap();
    for (part, classes) in [("train", classes), ("test", &classes[..1])] {
        for class in classes {
            let class = root.join(part).join(class);
            fs_err::create_dir_all(&class).unwrap();
            fs_err::write(class.join("a.png"), &png).unwrap();
        }
    }
}

fn assert_tame(text: &str) {
    let wild = text.chars().find(|character| character.is_control() && *character != '\n');
    assert_eq!(wild, None, "{text:?}");
    assert!(!text.contains(['\u{202e}', '\u{200b}']), "{text:?}");
    assert!(!text.lines().skip(1).any(|line| line.trim_start().starts_with("error: x")), "{text:?}");
}

#[test]
fn names_in_files_cannot_steer_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    folder(&here.join("data"), &["a", EVIL]);
    let said = gaat(here, "data info folder --data-dir data");
    assert_eq!(status(&said), 0);
    assert_tame(&stdout(&said));
    assert_tame(&stderr(&said));
    assert!(stdout(&said).contains("class \\u{1b}[2J"), "{}", stdout(&said));

    // JSON stays JSON, with the name as it is.
    let json = success(here, "data info folder --data-dir data --json");
    assert_tame(&json);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["classes"][0]["name"], EVIL);

    // Damaged images, test classes that training lacks, and recipes.
    fs_err::write(here.join("data/train").join(EVIL).join(format!("{EVIL}.png")), "no").unwrap();
    let said = gaat(here, "data verify folder --data-dir data");
    assert_tame(&stdout(&said));
    assert_tame(&stderr(&said));
    assert!(stdout(&said).contains("not a readable image"), "{}", stdout(&said));
    fs_err::create_dir_all(here.join("data/test").join(format!("b{EVIL}"))).unwrap();
    let said = gaat(here, "data info folder --data-dir data");
    assert_tame(&stdout(&said));
    assert!(stdout(&said).contains("is not among the training classes"), "{}", stdout(&said));
    for recipe in [format!("model = \"{EVIL}\""), format!("\"{}\" = 1", "\\u001b[2J\\u202e"), EVIL.to_owned()]
    {
        fs_err::write(here.join("recipe.toml"), recipe).unwrap();
        assert_tame(&refusal(here, "train recipe.toml"));
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_file_and_paths_are_shown_in_visible_characters() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for name in ["pipe.pth", "pipe.safetensors", "pipe.toml"] {
        assert!(std::process::Command::new("mkfifo").arg(here.join(name)).status().unwrap().success());
    }
    for line in [
        "import pipe.pth --model mlp --out w.safetensors",
        "import pipe.safetensors --model mlp --out w.safetensors",
        "evaluate pipe.safetensors --dataset digits",
        "export pipe.safetensors --format onnx --out w.onnx",
        "train pipe.toml",
    ] {
        let text = refusal(here, line);
        let name = line.split(' ').find(|word| word.starts_with("pipe")).unwrap();
        assert!(text.contains(&format!("{name}: expected a regular file, found a pipe")), "{line}\n{text}");
    }
    let odd = "x\u{1b}[31m\u{202e}";
    for line in [
        "import @ --model mlp --out w",
        "evaluate @",
        "train @",
        "train --resume @",
        "report @",
        "export @ --format onnx --out w",
    ] {
        let said = gaat(here, &line.replace('@', odd));
        assert_eq!(status(&said), 2, "{line}");
        assert_tame(&stderr(&said));
        assert!(stderr(&said).contains("x\\u{1b}[31m\\u{202e}"), "{line}\n{}", stderr(&said));
    }
}
