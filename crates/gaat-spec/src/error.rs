//! What can be wrong with plain data, said so that the reader knows what to change.

use crate::visible::{visible, visible_excerpt};

/// What every check of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// A value, key or document that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value that its key does not allow.
    #[error("{key} = {}: {reason}", visible(value))]
    Value {
        /// Recipe key or flag, kebab-case.
        key: String,
        /// What was given.
        value: String,
        /// Why it cannot be, and what can.
        reason: String,
    },
    /// A recipe key that does not exist.
    #[error("unknown recipe key `{}`{hint}", visible(key))]
    UnknownKey {
        /// As written.
        key: String,
        /// The nearest known key, or the way to list them.
        hint: String,
    },
    /// A document that is not TOML or has a value of the wrong type; the text names line and key.
    #[error("{}", visible_excerpt(_0))]
    Document(String),
}

impl Error {
    /// A [`Error::Value`] from anything printable.
    pub fn value(key: &str, value: impl std::fmt::Display, reason: impl Into<String>) -> Self {
        Self::Value { key: key.to_owned(), value: value.to_string(), reason: reason.into() }
    }
}
