//! What a file holds, in a few words: escaped, and cut where it is long.

use std::fmt::{self, Debug, Write};

/// Characters of a value that an error shows.
const MOST: usize = 200;

/// `value` as its `Debug` says it, up to the first 200 characters.
pub(super) fn brief(value: &(impl Debug + ?Sized)) -> String {
    let mut cut = Cut { text: String::new(), room: MOST };
    // The only error is that of `Cut`, which stops a value of megabytes early.
    if write!(cut, "{value:?}").is_err() {
        cut.text.push_str("...");
    }
    cut.text
}

/// Takes so many characters and then no more.
struct Cut {
    text: String,
    room: usize,
}

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            self.room = self.room.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(character);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_and_control_characters_escaped() {
        assert_eq!(brief("a\u{1b}[2J"), "\"a\\u{1b}[2J\"");
        assert_eq!(brief(&"x".repeat(198)).len(), 200);
        assert_eq!(brief(&vec![7; 1_000_000]).len(), 203);
    }
}
