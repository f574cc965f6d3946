//! A part of an evaluation, as somebody writes it: `2/4` is the second of four.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Most parts of an evaluation.
const MOST: usize = 100_000;

/// One of several parts of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Which one, from 1.
    pub index: usize,
    /// How many there are.
    pub of: usize,
}

impl Shard {
    /// The whole, in one part.
    pub const WHOLE: Self = Self { index: 1, of: 1 };

    /// The batches of a set of `batches` that belong to it, in order: every `of`-th, so that hard images that lie together are
    /// shared out.
    pub fn batches(self, batches: usize) -> impl Iterator<Item = usize> {
        (self.index - 1..batches).step_by(self.of)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers =
            text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        let shard = numbers.map(|(index, of)| Self { index, of });
        shard.filter(|shard| (1..=shard.of).contains(&shard.index) && shard.of <= MOST).ok_or_else(|| {
            Error::value(
                "shard",
                format!("\"{text}\""),
                "needs a part and a number of parts, such as 1/4 to 4/4",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_as_fractions_and_share_out_every_batch_once() {
        let shard: Shard = "2/3".parse().unwrap();
        assert_eq!((shard, shard.to_string().as_str()), (Shard { index: 2, of: 3 }, "2/3"));
        for wrong in ["0/3", "4/3", "1/0", "1", "", "a/3", "1/3/3", "1/999999999"] {
            let text = wrong.parse::<Shard>().unwrap_err().to_string();
            assert!(text.contains("1/4"), "{wrong}: {text}");
        }
        for batches in 0..9 {
            let mut all: Vec<usize> =
                (1..=3).flat_map(|index| Shard { index, of: 3 }.batches(batches)).collect();
            all.sort_unstable();
            assert_eq!(all, (0..batches).collect::<Vec<_>>());
        }
    }
}
