//! Python's arithmetic on sizes, which a graph does between its operators: checked, since the numbers come from a file.

/// What it works on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// A real number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the function of Python or PyTorch of its name")]
pub enum Arithmetic {
    Add,
    Sub,
    Mul,
    FloorDiv,
    TrueDiv,
    Mod,
    Neg,
    Pos,
    Pow,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    Not,
    Trunc,
    ToInt,
    ToFloat,
    Max,
    Min,
    Sqrt,
}

impl Arithmetic {
    /// By the name that a graph gives it, such as `_operator.mul`.
    pub(crate) fn named(target: &str) -> Option<Self> {
        Some(match target {
            "_operator.add" => Self::Add,
            "_operator.sub" => Self::Sub,
            "_operator.mul" => Self::Mul,
            "_operator.floordiv" => Self::FloorDiv,
            "_operator.truediv" => Self::TrueDiv,
            "_operator.mod" => Self::Mod,
            "_operator.neg" => Self::Neg,
            "_operator.pos" => Self::Pos,
            "_operator.pow" => Self::Pow,
            "_operator.eq" => Self::Eq,
            "_operator.ne" => Self::Ne,
            "_operator.lt" => Self::Lt,
            "_operator.le" => Self::Le,
            "_operator.gt" => Self::Gt,
            "_operator.ge" => Self::Ge,
            "_operator.and_" => Self::And,
            "_operator.or_" => Self::Or,
            "torch.sym_not" => Self::Not,
            "math.trunc" => Self::Trunc,
            "torch.sym_int" => Self::ToInt,
            "torch.sym_float" => Self::ToFloat,
            "torch.sym_max" => Self::Max,
            "torch.sym_min" => Self::Min,
            "torch.sym_sqrt" | "torch._sym_sqrt" => Self::Sqrt,
            _ => return None,
        })
    }

    /// The result; `None` where there is none: a division by zero, a number beyond 64 bits, a wrong number of operands.
    pub fn of(self, operands: &[Number]) -> Option<Number> {
        use Number::{Bool, Float, Int};
        Some(match (self, operands) {
            (Self::Add, &[Int(a), Int(b)]) => Int(a.checked_add(b)?),
            (Self::Sub, &[Int(a), Int(b)]) => Int(a.checked_sub(b)?),
            (Self::Mul, &[Int(a), Int(b)]) => Int(a.checked_mul(b)?),
            (Self::FloorDiv, &[Int(a), Int(b)]) => Int(floor_div(a, b)?),
            (Self::Mod, &[Int(a), Int(b)]) => Int(a.checked_sub(floor_div(a, b)?.checked_mul(b)?)?),
            (Self::Pow, &[Int(a), Int(b)]) if b >= 0 => Int(a.checked_pow(u32::try_from(b).ok()?)?),
            (Self::Neg, &[Int(a)]) => Int(a.checked_neg()?),
            (Self::Pos | Self::ToInt | Self::Trunc, &[Int(a)]) => Int(a),
            (Self::ToInt | Self::Trunc, &[Float(a)]) if a.is_finite() && a.abs() < 9e18 => {
                Int(a.trunc() as i64)
            }
            (Self::Max, &[Int(a), Int(b)]) => Int(a.max(b)),
            (Self::Min, &[Int(a), Int(b)]) => Int(a.min(b)),
            (Self::ToFloat, &[a]) => Float(real(a)),
            (Self::Neg, &[a]) => Float(-real(a)),
            (Self::TrueDiv, &[a, b]) if real(b) != 0.0 => Float(real(a) / real(b)),
            (Self::Add, &[a, b]) => Float(real(a) + real(b)),
            (Self::Sub, &[a, b]) => Float(real(a) - real(b)),
            (Self::Mul, &[a, b]) => Float(real(a) * real(b)),
            (Self::Pow, &[a, b]) => Float(real(a).powf(real(b))),
            (Self::Max, &[a, b]) => Float(real(a).max(real(b))),
            (Self::Min, &[a, b]) => Float(real(a).min(real(b))),
            (Self::Sqrt, &[a]) => Float(real(a).sqrt()),
            (Self::Eq, &[a, b]) => Bool(real(a) == real(b)),
            (Self::Ne, &[a, b]) => Bool(real(a) != real(b)),
            (Self::Lt, &[a, b]) => Bool(real(a) < real(b)),
            (Self::Le, &[a, b]) => Bool(real(a) <= real(b)),
            (Self::Gt, &[a, b]) => Bool(real(a) > real(b)),
            (Self::Ge, &[a, b]) => Bool(real(a) >= real(b)),
            (Self::And, &[Bool(a), Bool(b)]) => Bool(a && b),
            (Self::Or, &[Bool(a), Bool(b)]) => Bool(a || b),
            (Self::Not, &[Bool(a)]) => Bool(!a),
            _ => return None,
        })
    }
}

fn real(number: Number) -> f64 {
    match number {
        Number::Int(number) => number as f64,
        Number::Float(number) => number,
        Number::Bool(is) => f64::from(u8::from(is)),
    }
}

/// Rounds down, as Python's `//`.
fn floor_div(a: i64, b: i64) -> Option<i64> {
    let quotient = a.checked_div(b)?;
    Some(if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient })
}

#[cfg(test)]
mod tests {
    use super::Number::{Bool, Float, Int};
    use super::*;

    #[test]
    fn division_rounds_down_as_in_python() {
        for (a, b, quotient, rest) in
            [(7, 2, 3, 1), (-7, 2, -4, 1), (7, -2, -4, -1), (-7, -2, 3, -1), (6, 3, 2, 0)]
        {
            assert_eq!(Arithmetic::FloorDiv.of(&[Int(a), Int(b)]), Some(Int(quotient)), "{a} // {b}");
            assert_eq!(Arithmetic::Mod.of(&[Int(a), Int(b)]), Some(Int(rest)), "{a} % {b}");
        }
    }

    #[test]
    fn what_has_no_result_is_no_panic() {
        for (operation, operands) in [
            (Arithmetic::FloorDiv, vec![Int(1), Int(0)]),
            (Arithmetic::FloorDiv, vec![Int(i64::MIN), Int(-1)]),
            (Arithmetic::Mod, vec![Int(i64::MIN), Int(-1)]),
            (Arithmetic::Mul, vec![Int(i64::MAX), Int(2)]),
            (Arithmetic::Neg, vec![Int(i64::MIN)]),
            (Arithmetic::Pow, vec![Int(10), Int(40)]),
            (Arithmetic::TrueDiv, vec![Int(1), Int(0)]),
            (Arithmetic::ToInt, vec![Float(f64::INFINITY)]),
            (Arithmetic::Not, vec![Bool(true), Bool(true)]),
            (Arithmetic::Add, vec![]),
        ] {
            assert_eq!(operation.of(&operands), None, "{operation:?}");
        }
    }
}
