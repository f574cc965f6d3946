//! The Taylor oracle: answers from an expansion of the loss, or of the logits, for which the network is asked now and then.

use super::logits::LogitExpansion;
use super::{GradientOracle, InputGradient, Visitor};
use crate::attack::loss::Loss;
use crate::error::{Error, Result};
use crate::nn::{Classifier, Draws, Mode};
use crate::taylor::network::CountedNetwork;
use crate::taylor::{Expansion, Forecast, TaylorModel};
use gaat_spec::{Anchor, Curvature, Passes, ThreatModel};
use std::rc::Rc;
use tch::Tensor;

/// Expands the loss on the first question and answers that and later ones from the expansion, until the model's rhythm
/// asks for a new one at the point asked about.
///
/// The cross-entropy is expanded itself, with the model's curvature; for any other loss the logits are, to first order.
/// No image is dropped on the word of a model: the model gives no verdicts with its gradients, and [`logits`](GradientOracle::logits)
/// are the network's.
///
/// One oracle serves one batch: examples must keep their places between questions.
pub struct Taylor<'a> {
    network: Rc<CountedNetwork<'a>>,
    clean: Tensor,
    model: TaylorModel,
    draws: Draws,
    questions: usize,
    /// The last expansion, and which one it is.
    current: Option<(usize, Expansion<'a>)>,
    /// The same for the logits.
    logits: Option<(usize, LogitExpansion)>,
    forecast: Option<Forecast>,
}

impl<'a> Taylor<'a> {
    /// An oracle for the batch `clean` (`[N, C, H, W]`), BatchNorm in `mode`. With [`Anchor::RandomStart`] the first
    /// expansion is at the first point asked about, which is where the attack starts. `draws` are for curvatures that
    /// sample.
    pub fn new(
        classifier: &'a dyn Classifier,
        mode: Mode,
        clean: &Tensor,
        model: TaylorModel,
        draws: Draws,
    ) -> Self {
        Self {
            network: Rc::new(CountedNetwork::new(classifier, mode)),
            clean: clean.shallow_clone(),
            model,
            draws,
            questions: 0,
            current: None,
            logits: None,
            forecast: None,
        }
    }

    /// An oracle that answers from `expansion` alone: no pass.
    pub fn around(
        classifier: &'a dyn Classifier,
        mode: Mode,
        threat: &ThreatModel,
        expansion: Expansion<'a>,
        draws: Draws,
    ) -> Self {
        let model = TaylorModel::once(Anchor::RandomStart, Curvature::None, threat);
        let clean = expansion.anchor.shallow_clone();
        Self { current: Some((0, expansion)), ..Self::new(classifier, mode, &clean, model, draws) }
    }

    /// The same, which computes every batch in so many parts, at least 1, one after the other: what it needs memory for is a part.
    /// Not with curvatures that keep the graph of a batch, `exact` and `sampled-fisher`.
    #[must_use]
    pub fn in_parts(self, parts: usize) -> Self {
        self.network.divide(parts);
        self
    }

    /// The same, which keeps the graph at the point of each expansion: [`Forecast::recorded_logits`] can be descended on. Not in parts.
    #[must_use]
    pub fn recording(self) -> Self {
        self.network.keep_graphs();
        self
    }

    /// The expansion last used, once a question was asked.
    pub fn expansion(&self) -> Option<&Expansion<'a>> {
        self.current.as_ref().map(|(_, expansion)| expansion)
    }

    /// Asks the last expansion about the points that the attack has ended at, `[N, C, H, W]`, and keeps the answer for
    /// [`into_forecast`](Self::into_forecast): here and not later, so that what it costs is counted with the attack.
    ///
    /// # Errors
    /// When the points are not those of the batch.
    pub fn settle(&mut self, points: &Tensor) -> Result<()> {
        self.forecast = self.expansion().map(|expansion| expansion.forecast(points)).transpose()?;
        Ok(())
    }

    /// What the last expansion says about the points given to [`settle`](Self::settle).
    ///
    /// # Errors
    /// When no question was asked before.
    pub fn forecast(&self) -> Result<&Forecast> {
        self.forecast.as_ref().ok_or_else(unasked)
    }

    /// As [`forecast`](Self::forecast), by value.
    ///
    /// # Errors
    /// As [`forecast`](Self::forecast).
    pub fn into_forecast(self) -> Result<Forecast> {
        self.forecast.ok_or_else(unasked)
    }

    /// The expansion of the logits that answers the present question, about `points`.
    fn logit_expansion(&mut self, points: &Tensor) -> Result<&LogitExpansion> {
        self.check_batch(points)?;
        if self.model.curvature != Curvature::None || self.model.third_order {
            return Err(Error::Usage(format!(
                "curvature {}: this attack climbs logits, which a network of rectifiers bends only at kinks; their model \
                 is of first order, curvature none",
                self.model.curvature
            )));
        }
        let index = self.model.expansion_of(self.questions);
        let (_, expansion) = match self.logits.take() {
            Some((current, expansion)) if current == index => self.logits.insert((index, expansion)),
            _ => {
                let expansion = LogitExpansion::new(&self.network, &self.anchor(index, points))?;
                self.logits.insert((index, expansion))
            }
        };
        Ok(expansion)
    }

    fn check_batch(&self, points: &Tensor) -> Result<()> {
        if points.size() == self.clean.size() {
            return Ok(());
        }
        Err(Error::Usage("a Taylor oracle serves one batch; it was asked about another".to_owned()))
    }

    /// The point of expansion `index`, when `points` are asked about.
    fn anchor(&self, index: usize, points: &Tensor) -> Tensor {
        match self.model.anchor {
            Anchor::Clean if index == 0 => self.clean.shallow_clone(),
            Anchor::Clean | Anchor::RandomStart => points.shallow_clone(),
        }
    }
}

fn unasked() -> Error {
    Error::Usage("the attack never asked for a gradient".to_owned())
}

impl GradientOracle for Taylor<'_> {
    fn at(&mut self, points: &Tensor, labels: &Tensor) -> Result<InputGradient> {
        self.check_batch(points)?;
        let index = self.model.expansion_of(self.questions);
        let expansion = match self.current.take() {
            Some((current, expansion)) if current == index => expansion,
            _ => {
                let anchor = self.anchor(index, points);
                Expansion::new(&self.network, &anchor, labels, &self.model, &self.draws)?
            }
        };
        let Forecast { anchor_losses, gains, gradient, .. } = expansion.forecast(points)?;
        self.questions += 1;
        self.current = Some((index, expansion));
        Ok(InputGradient { losses: anchor_losses.f_add(&gains)?, gradient, logits: None })
    }

    fn of(&mut self, loss: Loss, points: &Tensor, labels: &Tensor) -> Result<InputGradient> {
        if let Loss::CrossEntropy = loss {
            return self.at(points, labels);
        }
        let answer = self.logit_expansion(points)?.ask(loss, points, labels)?;
        self.questions += 1;
        Ok(answer)
    }

    fn of_each_class(&mut self, points: &Tensor, labels: &Tensor, visit: &mut Visitor) -> Result<()> {
        let expansion = self.logit_expansion(points)?;
        for class in 0..expansion.classes() {
            let targets = labels.f_full_like(class)?;
            visit(class, expansion.ask(Loss::MarginTowards(&targets), points, labels)?)?;
        }
        self.questions += 1;
        Ok(())
    }

    fn logits(&mut self, points: &Tensor) -> Result<Tensor> {
        self.network.logits(points)
    }

    fn passes(&self) -> Passes {
        self.network.passes()
    }

    fn is_exact(&self) -> bool {
        false
    }
}
