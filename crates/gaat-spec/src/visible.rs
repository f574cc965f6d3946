//! Text that comes from files, made safe to show: nothing in it moves the cursor, turns the writing round or hides.
//!
//! Names of classes, tensors, archive members and files are whatever their author wrote. Shown as they are, an escape sequence
//! could clear a terminal and a right-to-left override could make one name look like another.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

/// Most characters of a name that are shown.
const LONGEST_NAME: usize = 200;
/// Most characters of a path; Linux allows 4,096 bytes.
const LONGEST_PATH: usize = 4096;

/// A name, for a message or a table: one line, characters that are not seen written as `\u{202e}`, cut after 200.
///
/// ```
/// assert_eq!(gaat_spec::visible("cat\u{1b}[2J"), "cat\\u{1b}[2J");
/// ```
pub fn visible(text: &str) -> Cow<'_, str> {
    let is_short = text.len() <= LONGEST_NAME || text.chars().nth(LONGEST_NAME).is_none();
    if is_short && !text.chars().any(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut shown = escaped(text.chars().take(LONGEST_NAME), is_unseen);
    if !is_short {
        shown.push_str("...");
    }
    Cow::Owned(shown)
}

/// A path in the same way, whole up to the longest that Linux allows; bytes that are no UTF-8 are written as `\xff`.
pub fn visible_path(path: &Path) -> String {
    let mut shown = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        shown += &escaped(chunk.valid().chars(), is_unseen);
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    if let Some((end, _)) = shown.char_indices().nth(LONGEST_PATH) {
        shown.truncate(end);
        shown.push_str("...");
    }
    shown
}

/// Text of several lines, whatever it quotes: line breaks stay, and tabs. For code that prints, draws or writes a page.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    let is_unseen = |character| is_unseen(character) && !matches!(character, '\n' | '\t');
    if text.chars().any(is_unseen) {
        Cow::Owned(escaped(text.chars(), is_unseen))
    } else {
        Cow::Borrowed(text)
    }
}

/// Text of several lines in which each is cut as a name is: for a message that quotes lines of a file.
pub fn visible_excerpt(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

/// A JSON document of the same meaning in which every such character is an escape of JSON.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    // Outside strings JSON has none of them but line breaks.
    let is_unseen = |character| is_unseen(character) && !matches!(character, '\n' | '\t' | '\r');
    if !json.chars().any(is_unseen) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if is_unseen(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

fn escaped(text: impl Iterator<Item = char>, is_unseen: impl Fn(char) -> bool) -> String {
    let mut shown = String::new();
    for character in text {
        if is_unseen(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Whether a character has no look of its own: control, format, direction, width zero, private, unassigned.
fn is_unseen(character: char) -> bool {
    if matches!(character, ' '..='~') {
        return false;
    }
    // The standard library knows what can be printed, and says so by the way in which it quotes strings. Accents may not stand
    // at their start.
    let quoted = String::from_iter(['a', character]);
    character != '\\' && quoted.escape_debug().nth(1) == Some('\\') || is_ignorable(character)
}

/// Letters and marks that fonts leave out (Unicode 16, `Default_Ignorable_Code_Point`), beside those that cannot be printed.
fn is_ignorable(character: char) -> bool {
    matches!(
        character,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{1bca0}'..='\u{1bca3}' | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_stays_as_it_is() {
        for text in ["cat", "it's \"A\\B\"", "Käse", "e\u{301}té", "猫", "קטן", "हिन्दी", "🐈", "50 %"]
        {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text), "{text}");
            assert_eq!(visible_path(Path::new(text)), text);
            assert_eq!(visible_lines(text), text);
            assert_eq!(visible_json(text), text);
        }
    }

    #[test]
    fn what_is_not_seen_is_written_out() {
        let unseen = [
            0, 7, 8, 0xa, 0xd, 0x1b, 0x7f, 0x85, 0x9b, 0xa0, 0xad, 0x34f, 0x61c, 0x115f, 0x180e, 0x200b,
            0x200c, 0x200d, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202e, 0x2060, 0x2066, 0x2069, 0x206a,
            0x3164, 0xe000, 0xfe0f, 0xfeff, 0xffa0, 0xfff9, 0x1d173, 0xe0001, 0xe0041, 0xe0101, 0x10_fffd,
        ];
        for code in unseen {
            let text = format!("a{}b", char::from_u32(code).unwrap());
            let expected = format!("a\\u{{{code:x}}}b");
            assert_eq!(visible(&text), expected);
            assert_eq!(visible_path(Path::new(&text)), expected);
            if code != 0xa {
                assert_eq!(visible_lines(&text), expected);
            }
        }
        assert_eq!(visible_lines("a\n\tb"), "a\n\tb");
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(visible(&"é".repeat(200)), "é".repeat(200));
        assert_eq!(visible(&"é".repeat(201)), "é".repeat(200) + "...");
        assert_eq!(visible_path(Path::new(&"x".repeat(1 << 20))).len(), LONGEST_PATH + 3);
        let excerpt = visible_excerpt(&format!("a\r\nb\u{8}{}\n", "x".repeat(300)));
        assert_eq!(excerpt, format!("a\nb\\u{{8}}{}...", "x".repeat(198)));
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_are_written_out() {
        use std::os::unix::ffi::OsStrExt as _;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"a/\xff\xfe.png"));
        assert_eq!(visible_path(path), "a/\\xff\\xfe.png");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let names = ["a\u{202e}b", "\u{1b}[2J", "\u{e0041}", "two\nlines", "猫"];
        let json = serde_json::to_string_pretty(&names).unwrap();
        let shown = visible_json(&json);
        assert!(shown.contains("a\\u202eb") && shown.contains("\\udb40\\udc41"), "{shown}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&shown).unwrap(), names);
    }
}
