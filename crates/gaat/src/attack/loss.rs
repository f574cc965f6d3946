//! Losses that attacks climb and objectives are made of: higher is worse for the network, and each example's is its own.

use crate::error::{Error, Result};
use crate::taylor::network::{CROSS_ENTROPY, cross_entropy};
use tch::{Kind, Tensor};

/// Keeps a ratio of logits finite where all of them are equal.
const TINY: f64 = 1e-12;

/// What an oracle is asked about. Labels and targets are class indices, `[N]`, i64, one an example; the cross-entropy alone takes
/// soft labels too, probabilities of the classes, `[N, classes]`, floating point.
#[derive(Debug, Clone, Copy)]
pub enum Loss<'a> {
    /// Cross-entropy with the label, or with soft labels.
    CrossEntropy,
    /// Kullback-Leibler divergence `sum_c p_c (log p_c - log softmax(logits)_c)` from given probabilities
    /// (`[N, classes]`); the labels are not looked at, and a class of probability 0 adds nothing.
    Divergence(&'a Tensor),
    /// Difference of logits ratio (Croce and Hein 2020, equation 6): the lead of the best wrong class over that of
    /// the first logit over the third, so that scaling the logits changes nothing. 3 classes at least.
    Dlr,
    /// The same towards given classes (equation 7). 4 classes at least.
    DlrTowards(&'a Tensor),
    /// Lead of the best wrong class over the label; above zero the example is misclassified.
    Margin,
    /// Lead of given classes over the label.
    MarginTowards(&'a Tensor),
}

impl Loss<'_> {
    /// The loss of each example, `[N]`, from logits `[N, classes]` and labels `[N]`.
    ///
    /// # Errors
    /// When there are too few classes for it, the shapes do not fit, or labels are soft and the loss needs classes.
    pub fn of(self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        self.check(logits, labels)?;
        Ok(match self {
            Self::CrossEntropy => cross_entropy(logits, labels)?,
            Self::Divergence(probabilities) => divergence(probabilities, logits)?,
            Self::Dlr => {
                let top = top(logits, 3)?;
                (best_wrong(logits, labels)? - at(logits, labels)?) / (&top[0] - &top[2] + TINY)
            }
            Self::DlrTowards(targets) => {
                let top = top(logits, 4)?;
                let scale = &top[0] - (&top[2] + &top[3]) * 0.5 + TINY;
                (at(logits, targets)? - at(logits, labels)?) / scale
            }
            Self::Margin => best_wrong(logits, labels)? - at(logits, labels)?,
            Self::MarginTowards(targets) => at(logits, targets)? - at(logits, labels)?,
        })
    }

    /// The tensor that it holds beside its name.
    pub(crate) fn operand(&self) -> Option<&Tensor> {
        match self {
            Self::CrossEntropy | Self::Dlr | Self::Margin => None,
            Self::Divergence(operand) | Self::DlrTowards(operand) | Self::MarginTowards(operand) => {
                Some(operand)
            }
        }
    }

    /// The same loss with `operand` in that place.
    pub(crate) fn on<'t>(&'t self, operand: Option<&'t Tensor>) -> Loss<'t> {
        match (*self, operand) {
            (Self::Divergence(_), Some(probabilities)) => Loss::Divergence(probabilities),
            (Self::DlrTowards(_), Some(targets)) => Loss::DlrTowards(targets),
            (Self::MarginTowards(_), Some(targets)) => Loss::MarginTowards(targets),
            (loss, _) => loss,
        }
    }

    /// Tells the losses apart, without what they hold.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::CrossEntropy => CROSS_ENTROPY,
            Self::Divergence(_) => "divergence",
            Self::Dlr => "dlr",
            Self::DlrTowards(_) => "dlr-towards",
            Self::Margin => "margin",
            Self::MarginTowards(_) => "margin-towards",
        }
    }

    fn check(self, logits: &Tensor, labels: &Tensor) -> Result<()> {
        if labels.is_floating_point() && !matches!(self, Self::CrossEntropy | Self::Divergence(_)) {
            return Err(Error::Usage(format!(
                "the loss {} is that of classes; soft labels have a cross-entropy alone",
                self.name()
            )));
        }
        let (name, least) = match self {
            Self::Dlr => ("the difference of logits ratio", 3),
            Self::DlrTowards(_) => ("the targeted difference of logits ratio", 4),
            _ => ("a loss", 2),
        };
        match logits.size().as_slice() {
            [_, classes] if *classes >= least => Ok(()),
            size => Err(Error::Shape {
                what: "logits".to_owned(),
                expected: format!("[N, classes], at least {least} classes for {name}"),
                found: format!("{size:?}"),
            }),
        }
    }
}

fn divergence(probabilities: &Tensor, logits: &Tensor) -> Result<Tensor> {
    divergence_of_logs(probabilities, &logits.f_log_softmax(-1, logits.kind())?)
}

/// `sum_c p_c (log p_c - l_c)` from probabilities p and logarithms l, each `[N, classes]`, `[N]`. A class of probability 0 adds
/// nothing, to value and slope: where p has a gradient, that of libtorch's own `kl_div` is NaN there.
pub(crate) fn divergence_of_logs(probabilities: &Tensor, logs: &Tensor) -> Result<Tensor> {
    // Both operands are replaced before the product: behind one, 0 times infinity would be NaN in the slope.
    let is_possible = probabilities.f_gt(0.0)?;
    let safe = probabilities.f_where_self(&is_possible, &probabilities.f_ones_like()?)?;
    let logs = logs.f_where_self(&is_possible, &logs.f_zeros_like()?)?;
    let each = probabilities.f_mul(&safe.f_log()?)?.f_sub(&probabilities.f_mul(&logs)?)?;
    Ok(each.f_sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)?)
}

/// The logits of `classes` (`[N]`).
fn at(logits: &Tensor, classes: &Tensor) -> Result<Tensor> {
    Ok(logits.f_gather(1, &classes.f_unsqueeze(1)?, false)?.f_squeeze_dim(1)?)
}

/// The `count` highest logits of each example, highest first, each `[N]`.
fn top(logits: &Tensor, count: i64) -> Result<Vec<Tensor>> {
    Ok(logits.f_topk(count, 1, true, true)?.0.f_unbind(1)?)
}

/// The highest logit beside that of the label.
fn best_wrong(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let (values, classes) = logits.f_topk(2, 1, true, true)?;
    let is_right = classes.f_select(1, 0)?.f_eq_tensor(labels)?;
    Ok(values.f_select(1, 1)?.f_where_self(&is_right, &values.f_select(1, 0)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(loss: Loss, logits: &[f64], label: i64) -> f64 {
        let logits = Tensor::from_slice(logits).unsqueeze(0);
        loss.of(&logits, &Tensor::from_slice(&[label])).unwrap().double_value(&[0])
    }

    #[test]
    fn each_loss_is_what_its_formula_says() {
        let logits = [1.0, 5.0, 3.0, 0.0];
        let towards = Tensor::from_slice(&[3i64]);
        // Right: the rival is class 2. First minus third is 4; first minus the mean of third and fourth 4.5.
        for (loss, right, wrong) in [
            (Loss::Margin, -2.0, 4.0),
            (Loss::Dlr, -0.5, 1.0),
            (Loss::MarginTowards(&towards), -5.0, -1.0),
            (Loss::DlrTowards(&towards), -5.0 / 4.5, -1.0 / 4.5),
        ] {
            assert!((values(loss, &logits, 1) - right).abs() < 1e-9, "{loss:?}");
            assert!((values(loss, &logits, 0) - wrong).abs() < 1e-9, "{loss:?}");
        }
        // Ratios do not see the scale of the logits.
        let scaled = logits.map(|logit| logit * 1e6);
        assert!((values(Loss::Dlr, &scaled, 1) + 0.5).abs() < 1e-9);
    }

    #[test]
    fn too_few_classes_are_refused_by_name() {
        let labels = Tensor::from_slice(&[0i64]);
        let three = Tensor::from_slice(&[1.0, 2.0, 3.0]).unsqueeze(0);
        assert!(Loss::Dlr.of(&three, &labels).is_ok());
        let error = Loss::DlrTowards(&labels).of(&three, &labels).unwrap_err().to_string();
        assert!(error.contains("at least 4 classes") && error.contains("[1, 3]"), "{error}");
    }

    #[test]
    fn losses_and_slopes_are_finite_where_answers_are_degenerate() {
        let rows: [[f32; 5]; 6] = [
            [0.0; 5],
            [7.0, 7.0, 7.0, 7.0, -50.0],
            // A softmax with probabilities that are exactly 0.
            [300.0, 0.0, -3.0, 1.0, 2.0],
            [-300.0, 300.0, 300.0, -300.0, 0.0],
            [1e30, -1e30, 0.0, 0.0, 1e30],
            [1e-30, 0.0, -1e-30, 0.0, 0.0],
        ];
        let logits = || Tensor::from_slice(&rows.concat()).view([6, 5]).set_requires_grad(true);
        let flat = Tensor::from_slice(&[0.2f32; 30]).view([6, 5]);
        let certain = logits().softmax(-1, Kind::Float).detach();
        for label in 0..5i64 {
            let labels = Tensor::from_slice(&[label; 6]);
            let targets = Tensor::from_slice(&[(label + 1) % 5; 6]);
            for loss in [
                Loss::CrossEntropy,
                Loss::Divergence(&flat),
                Loss::Divergence(&certain),
                Loss::Dlr,
                Loss::DlrTowards(&targets),
                Loss::Margin,
                Loss::MarginTowards(&targets),
            ] {
                let logits = logits();
                let found = loss.of(&logits, &labels).unwrap();
                found.sum(Kind::Float).backward();
                for (what, tensor) in [("value", &found), ("slope", &logits.grad())] {
                    assert_eq!(
                        crate::nn::finite::fault(tensor).unwrap(),
                        None,
                        "{what} of {loss:?}, {label}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_class_of_probability_zero_adds_nothing_to_the_divergence() {
        let probabilities = || Tensor::from_slice(&[0.0f64, 0.25, 0.75]).view([1, 3]).set_requires_grad(true);
        // Even where the other side has no chance of the class either.
        for log in [-1.0, -200.0, f64::NEG_INFINITY] {
            let (p, logs) = (probabilities(), Tensor::from_slice(&[log, -1.5, -0.5]).view([1, 3]));
            let logs = logs.set_requires_grad(true);
            let found = divergence_of_logs(&p, &logs).unwrap();
            let expected = 0.25 * (0.25f64.ln() + 1.5) + 0.75 * (0.75f64.ln() + 0.5);
            assert!((found.double_value(&[0]) - expected).abs() < 1e-12, "{log}");
            found.sum(Kind::Double).backward();
            let slope = Vec::<f64>::try_from(p.grad().view([3])).unwrap();
            assert_eq!(slope[0], 0.0, "{log}");
            assert!((slope[1] - (0.25f64.ln() + 1.0 + 1.5)).abs() < 1e-12, "{slope:?}");
            assert_eq!(Vec::<f64>::try_from(logs.grad().view([3])).unwrap(), [0.0, -0.25, -0.75], "{log}");
        }
    }
}
