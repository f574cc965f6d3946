//! An analysis of Taylor models as people read it: a table an epsilon, and plots over epsilon.

use crate::format::{NOTHING, count, decimals, percent, seconds};
use crate::plot::{Axis, LineChart, Plot, Point, Series};
use crate::table::{Align, Table};
use gaat_spec::PixelLength;
use gaat_spec::analysis::{Analysis, AttackOutcome, EpsilonAnalysis, LossModel, ModelAnalysis};
use maud::{Markup, html};

/// Name of PGD with exact gradients in tables and legends.
const EXACT: &str = "pgd";

/// For a terminal: one table an epsilon, and what its columns mean.
pub fn analysis_text(title: &str, analysis: &Analysis) -> String {
    let tables = analysis
        .epsilons
        .iter()
        .map(|at| format!("\n{} {}\n{}", analysis.norm, at.epsilon, table(at, analysis).to_text()));
    let tables: String = tables.collect();
    format!("{title}\n{tables}\n{}", legend(analysis))
}

/// The same for a page.
pub(crate) fn analysis_markup(analysis: &Analysis) -> Markup {
    html! {
        @for at in &analysis.epsilons {
            h3 { (analysis.norm.to_string()) " " (at.epsilon.to_string()) }
            (table(at, analysis).to_html())
        }
        p.soft { (legend(analysis)) }
    }
}

/// What the columns mean.
fn legend(analysis: &Analysis) -> String {
    format!(
        "clean accuracy {} %, computed in {}. Each row is an attack of {} steps that follows the gradients of that model of the loss;\n\
         {EXACT} follows those of the network itself. robust %: the network's own answers after that attack. residual: the loss less \
         the\nmodel of it at the end of the attack, mean of |R| and of R, nats. gain ratio: actual increase of the loss divided by the \
         predicted\none. cosine, signs: how far the gradients of the model and of the network agree, mean over the steps. passes: for \
         each image;\na Hessian-vector product counts as 4.\n",
        percent(analysis.clean_accuracy, decimals(analysis.examples)),
        analysis.environment.precision,
        analysis.steps,
    )
}

fn table(epsilon: &EpsilonAnalysis, analysis: &Analysis) -> Table {
    let mut table = Table::new([
        ("model", Align::Left),
        ("residual |R|", Align::Right),
        ("R", Align::Right),
        ("gain ratio", Align::Right),
        ("cosine", Align::Right),
        ("signs %", Align::Right),
        ("robust %", Align::Right),
        ("loss", Align::Right),
        ("seconds", Align::Right),
        ("passes", Align::Right),
    ]);
    let nothing = || NOTHING.to_owned();
    let judged = |outcome: &AttackOutcome| {
        let units = outcome.passes.units() / analysis.examples.max(1) as u64;
        let robust = percent(outcome.robust_accuracy, decimals(analysis.examples));
        [robust, number(outcome.loss), seconds(outcome.seconds), count(units)]
    };
    let own = [EXACT.to_owned(), nothing(), nothing(), nothing(), nothing(), nothing()];
    table.push(own.into_iter().chain(judged(&epsilon.exact)));
    for found in &epsilon.models {
        let cells = [
            found.model.to_string(),
            number(found.residual.absolute),
            number(found.residual.signed),
            found.gain_ratio.map_or_else(nothing, |ratio| format!("{ratio:.2}")),
            format!("{:.3}", found.cosine.mean),
            percent(found.sign_agreement.mean, 1),
        ];
        table.push(cells.into_iter().chain(judged(&found.attack)));
    }
    table
}

/// Three significant digits, for numbers over many powers of ten; those from 1000 to 100000 keep all before the point.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    // The exponent of the rounded number: 9.999 is 10.0.
    let scientific = format!("{value:.2e}");
    match scientific.split_once('e').map(|(_, exponent)| exponent.parse::<i32>()) {
        Some(Ok(exponent @ -2..=4)) => format!("{value:.*}", (2 - exponent).max(0) as usize),
        _ => scientific,
    }
}

/// Residual, gain ratio, sign agreement and robust accuracy over epsilon, one line a model. `run` stands in their titles,
/// unless it is empty.
pub fn analysis_plots(run: &str, analysis: &Analysis) -> Vec<Plot> {
    let charts = Charts { run, analysis };
    let residual = Axis::new("mean residual |l - m| at the end of the attack, nats").log();
    let ratio = Axis::new("gain ratio, actual / predicted (1 is right; cut at -1 and 3)").within(-1.0, 3.0);
    let signs = Axis::new("gradient signs as the network's, % of coordinates").within(0.0, 100.0);
    let robust = Axis::new("robust accuracy under the attack, %").within(0.0, 100.0);
    let percents = |value: f64| 100.0 * value;
    vec![
        charts.chart("residual.svg", residual, None, false, &|found| Some(found.residual.absolute)),
        charts.chart("gain-ratio.svg", ratio, Some(1.0), false, &|found| found.gain_ratio),
        charts.chart("sign-agreement.svg", signs, None, false, &|found| {
            Some(percents(found.sign_agreement.mean))
        }),
        charts.chart("robust-accuracy.svg", robust, None, true, &|found| {
            Some(percents(found.attack.robust_accuracy))
        }),
    ]
}

struct Charts<'a> {
    run: &'a str,
    analysis: &'a Analysis,
}

impl Charts<'_> {
    fn chart(
        &self,
        file: &'static str,
        y: Axis,
        guide: Option<f64>,
        with_exact: bool,
        value: &dyn Fn(&ModelAnalysis) -> Option<f64>,
    ) -> Plot {
        let epsilons = &self.analysis.epsilons;
        let (unit, label) = self.unit();
        let exact = |at: &EpsilonAnalysis| 100.0 * at.exact.robust_accuracy;
        // Always there, so that a model has the same colour in all plots.
        let points = epsilons.iter().filter(|_| with_exact).map(|at| point(at, unit, exact(at)));
        let name = if with_exact { "pgd (exact gradients)" } else { "" };
        let mut series = vec![Series { name: name.to_owned(), points: points.collect() }];
        let models: Vec<LossModel> =
            epsilons.first().map_or_else(Vec::new, |at| at.models.iter().map(|found| found.model).collect());
        for model in models {
            let found = epsilons.iter().filter_map(|at| {
                let found = at.models.iter().find(|found| found.model == model)?;
                Some(point(at, unit, value(found)?))
            });
            series.push(Series { name: model.to_string(), points: found.collect() });
        }
        let x = Axis::new(format!("epsilon ({}), {label}", self.analysis.norm));
        let what = match file {
            "residual.svg" => "Residual over epsilon",
            "gain-ratio.svg" => "Gain ratio over epsilon",
            "sign-agreement.svg" => "Agreement of signs over epsilon",
            _ => "Robust accuracy over epsilon",
        };
        let title = if self.run.is_empty() { what.to_owned() } else { format!("{what}: {}", self.run) };
        let chart = LineChart { title, x, y, series, guide, alarms: Vec::new() };
        Plot { file, svg: chart.to_svg() }
    }

    /// What epsilon is multiplied by, and its unit: steps of 8-bit images where it was written so.
    fn unit(&self) -> (f64, &'static str) {
        let is_of_bytes = |epsilon: &PixelLength| epsilon.to_string().ends_with("/255");
        if self.analysis.epsilons.iter().all(|at| is_of_bytes(&at.epsilon)) {
            (255.0, "1/255 of the pixel range")
        } else {
            (1.0, "pixel range 0 to 1")
        }
    }
}

fn point(at: &EpsilonAnalysis, unit: f64, y: f64) -> Point {
    Point { x: at.epsilon.value() * unit, y, error: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gaat_spec::analysis::{Agreement, Residual, SCHEMA};
    use gaat_spec::record::Environment;
    use gaat_spec::{Anchor, Curvature, Norm, Passes};

    fn outcome(robust_accuracy: f64) -> AttackOutcome {
        let passes = Passes { forward: 500, input_backward: 500, ..Passes::default() };
        AttackOutcome { robust_accuracy, interval: (0.0, 1.0), loss: 2.5, seconds: 1.5, passes }
    }

    fn sample() -> Analysis {
        let agreement = Agreement { mean: 0.75, by_step: vec![1.0, 0.5] };
        let found = |curvature, gain_ratio| ModelAnalysis {
            model: LossModel { order: 2, curvature },
            residual: Residual { signed: -0.25, absolute: 12_345.0 },
            gain_ratio,
            cosine: agreement.clone(),
            sign_agreement: agreement.clone(),
            attack: outcome(0.5),
        };
        let at = |epsilon: &str| EpsilonAnalysis {
            epsilon: epsilon.parse().unwrap(),
            step_size: "1/255".parse().unwrap(),
            exact: outcome(0.25),
            models: vec![found(Curvature::Secant, Some(0.5)), found(Curvature::Diagonal, None)],
        };
        Analysis {
            schema: SCHEMA.to_owned(),
            examples: 100,
            subset: None,
            clean_accuracy: 0.875,
            norm: Norm::Linf,
            anchor: Anchor::Clean,
            steps: 10,
            curvature_draws: 1,
            batch_size: 100,
            seed: 0,
            environment: Environment::default(),
            epsilons: vec![at("2/255"), at("8/255")],
            seconds: 3.0,
        }
    }

    #[test]
    fn a_table_stands_under_each_epsilon() {
        let text = analysis_text("runs/x", &sample());
        assert!(text.starts_with("runs/x\n\nlinf 2/255\nmodel"), "{text}");
        let words = |name: &str| -> Vec<&str> {
            text.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().collect()
        };
        let judged = ["2.50", "1.50", "10"];
        assert_eq!(words("pgd"), [&["pgd", "-", "-", "-", "-", "-", "25.0"][..], &judged].concat());
        let secant = ["secant", "12345", "-0.250", "0.50", "0.750", "75.0", "50.0"];
        assert_eq!(words("secant"), [&secant[..], &judged].concat());
        assert_eq!(words("diagonal")[3], "-");
        assert!(text.contains("clean accuracy 87.5 %"), "{text}");
        assert!(text.ends_with("a Hessian-vector product counts as 4.\n"), "{text}");
    }

    #[test]
    fn numbers_have_three_significant_digits() {
        let cases = [
            (0.0123, "0.0123"),
            (-0.25, "-0.250"),
            (9.994, "9.99"),
            (9.999, "10.0"),
            (45.678, "45.7"),
            (123.4, "123"),
            (12_345.0, "12345"),
            (123_456.0, "1.23e5"),
            (0.001_234, "1.23e-3"),
            (0.0, "0"),
            (f64::NAN, NOTHING),
        ];
        for (value, shown) in cases {
            assert_eq!(number(value), shown);
        }
    }

    #[test]
    fn four_plots_have_a_line_for_each_model() {
        let plots = analysis_plots("runs/x", &sample());
        assert_eq!(
            plots.iter().map(|plot| plot.file).collect::<Vec<_>>(),
            ["residual.svg", "gain-ratio.svg", "sign-agreement.svg", "robust-accuracy.svg"]
        );
        for Plot { file, svg } in &plots {
            assert!(svg.contains(">secant<") && svg.contains(">diagonal<"), "{file}");
            assert!(svg.contains("1/255 of the pixel range") && !svg.contains("NaN"), "{file}");
            assert_eq!(svg.contains("exact gradients"), *file == "robust-accuracy.svg", "{file}");
        }
    }
}
