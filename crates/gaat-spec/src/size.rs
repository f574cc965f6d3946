//! The size of an image as somebody writes it: `32` for a square, `160x120` for 160 pixels wide and 120 high.

use crate::error::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Size {
    /// As wide as high.
    pub fn square(side: usize) -> Self {
        Self { width: side, height: side }
    }

    /// Height and width, in the order of a shape.
    pub fn rows_and_columns(self) -> (usize, usize) {
        (self.height, self.width)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, height } = self;
        if width == height { write!(formatter, "{width}") } else { write!(formatter, "{width}x{height}") }
    }
}

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let side = |text: &str| text.parse::<usize>().ok().filter(|side| *side > 0);
        let found = match text.split_once('x') {
            Some((width, height)) => side(width).zip(side(height)),
            None => side(text).map(|side| (side, side)),
        };
        let (width, height) = found.ok_or_else(|| {
            let wanted = "needs a side in pixels, such as 32, or a width and a height, such as 160x120";
            Error::value("resize", format!("\"{text}\""), wanted)
        })?;
        Ok(Self { width, height })
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if self.width == self.height {
            serializer.serialize_u64(self.width as u64)
        } else {
            serializer.collect_str(self)
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Written;
        impl de::Visitor<'_> for Written {
            type Value = Size;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter
                    .write_str("a side in pixels, such as 32, or a width and a height, such as \"160x120\"")
            }

            fn visit_u64<E: de::Error>(self, side: u64) -> std::result::Result<Size, E> {
                side.to_string().parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, side: i64) -> std::result::Result<Size, E> {
                side.to_string().parse().map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Size, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_width_and_height_and_is_written_as_it_was_read() {
        let wide: Size = "160x120".parse().unwrap();
        assert_eq!((wide.width, wide.height, wide.rows_and_columns()), (160, 120, (120, 160)));
        assert_eq!("32".parse::<Size>().unwrap(), Size::square(32));
        for text in ["160x120", "32"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        let recipe = |text: &str| crate::Recipe::from_toml(text);
        for text in ["resize = 32", "resize = \"160x120\""] {
            let read = recipe(text).unwrap();
            assert_eq!(read.to_toml().unwrap().trim(), text);
        }
        assert_eq!(recipe("resize = \"32\"").unwrap().resize, Some(Size::square(32)));
        for text in ["", "0", "x", "3x", "x3", "0x4", "3x4x5", "-3", "3.5", "axb"] {
            let error = text.parse::<Size>().unwrap_err().to_string();
            assert!(error.contains("160x120"), "{text}: {error}");
        }
        for text in ["resize = 0", "resize = -1", "resize = 1.5", "resize = \"wide\"", "resize = true"] {
            let error = recipe(text).unwrap_err().to_string();
            assert!(error.contains("160x120"), "{text}: {error}");
        }
    }
}
