//! The answer of an observer of a long computation.

/// Whether to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Continue.
    Continue,
    /// Stop at the next safe point.
    Stop,
}

impl Control {
    /// Stops where either says so.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if other == Self::Stop { Self::Stop } else { self }
    }
}
