//! Sizes that a file states: numbers, or expressions in the size of the batch.

use crate::schema;

/// Deeper ones are not written for a size of a network.
const MOST_NESTED: usize = 16;

/// One side of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// The same for every batch.
    Known(i64),
    /// An expression in the size of the batch.
    Batch(Expression),
    /// An expression that is not read; nothing is held against it.
    Unread,
}

/// What sizes are made of: whole numbers and one symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// A number.
    Integer(i64),
    /// The size of the batch.
    Batch,
    /// All added.
    Sum(Vec<Expression>),
    /// All multiplied.
    Product(Vec<Expression>),
}

impl Expression {
    fn at(&self, batch: i64) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Batch => Some(batch),
            Self::Sum(terms) => terms.iter().try_fold(0i64, |sum, term| sum.checked_add(term.at(batch)?)),
            Self::Product(factors) => {
                factors.iter().try_fold(1i64, |product, factor| product.checked_mul(factor.at(batch)?))
            }
        }
    }
}

impl Extent {
    pub(crate) fn new(size: &schema::Size, batch: Option<&str>) -> Self {
        match size {
            schema::Size::AsInt(number) => Self::Known(*number),
            schema::Size::AsExpr(expression) => {
                parse(&expression.expr_str, batch).map_or(Self::Unread, Self::Batch)
            }
        }
    }

    /// The side for a batch of `batch` images; `None` where it is not read, or beyond 64 bits.
    pub fn at(&self, batch: i64) -> Option<i64> {
        match self {
            Self::Known(number) => Some(*number),
            Self::Batch(expression) => expression.at(batch),
            Self::Unread => None,
        }
    }
}

/// The name of the symbol that `size` is, if it is nothing else.
pub(crate) fn symbol(size: &schema::Size) -> Option<&str> {
    match size {
        schema::Size::AsExpr(expression) => symbol_name(&expression.expr_str),
        schema::Size::AsInt(_) => None,
    }
}

/// `Symbol('s77', positive=True, integer=True)`.
fn symbol_name(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("Symbol('")?.strip_suffix(')')?;
    let (name, rest) = inner.split_once('\'')?;
    (!rest.contains('(')).then_some(name)
}

/// An expression as sympy's `srepr` writes it.
fn parse(text: &str, batch: Option<&str>) -> Option<Expression> {
    nested(text, batch, 0)
}

fn nested(text: &str, batch: Option<&str>, depth: usize) -> Option<Expression> {
    if depth > MOST_NESTED {
        return None;
    }
    if let Some(name) = symbol_name(text) {
        return (Some(name) == batch).then_some(Expression::Batch);
    }
    let (function, inner) = text.strip_suffix(')')?.split_once('(')?;
    let list = || {
        arguments(inner).into_iter().map(|part| nested(part, batch, depth + 1)).collect::<Option<Vec<_>>>()
    };
    match function {
        "Integer" => inner.parse().ok().map(Expression::Integer),
        "Add" => list().map(Expression::Sum),
        "Mul" => list().map(Expression::Product),
        _ => None,
    }
}

/// Splits at the commas that no parenthesis is round.
fn arguments(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0usize, 0, Vec::new());
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(text[start..place].trim());
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: &str = "Symbol('s77', positive=True, integer=True)";

    #[test]
    fn products_and_sums_of_the_batch_are_read() {
        let at = |text: &str| parse(text, Some("s77")).and_then(|expression| expression.at(5));
        assert_eq!(at(BATCH), Some(5));
        assert_eq!(at(&format!("Mul(Integer(4), {BATCH})")), Some(20));
        assert_eq!(at(&format!("Add(Integer(-1), Mul(Integer(2), {BATCH}))")), Some(9));
        assert_eq!(at(&format!("Mul(Integer(9223372036854775807), {BATCH})")), None);
        assert_eq!(at("Symbol('s12', integer=True)"), None);
        assert_eq!(at(&format!("FloorDiv({BATCH}, Integer(2))")), None);
        assert_eq!(at(&"Mul(".repeat(100_000)), None);
    }
}
