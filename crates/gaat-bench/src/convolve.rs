//! Convolutions of given shapes, one after the other, for `cargo xtask sweep`: what they compute is compared with another way of
//! computing it, and a checker of memory round this process sees what they touch.

use anyhow::{Context, Result, ensure};
use gaat::nn::Rng;
use gaat_shim::{Graph, gradients};
use std::fmt;
use std::io::{BufRead, stdin};
use std::str::FromStr;
use tch::{Device, Kind, Tensor};

/// Sums of more products are compared with f32 in place of f64, which takes seconds for them.
const AFFORDABLE: i64 = 20_000_000;

/// A layer and what it is given; on one line in this order.
#[derive(Debug, Clone)]
struct Case {
    kind: Kind,
    is_channels_last: bool,
    threads: i32,
    batch: i64,
    side: i64,
    inputs: i64,
    outputs: i64,
    kernel: i64,
    stride: i64,
    padding: i64,
    groups: i64,
}

impl FromStr for Case {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        ensure!(words.len() == 11, "`{line}`: expected precision, order and nine numbers");
        let number = |place: usize| words[place].parse::<i64>().with_context(|| format!("`{line}`"));
        Ok(Self {
            kind: if words[0] == "bf16" { Kind::BFloat16 } else { Kind::Float },
            is_channels_last: words[1] == "last",
            threads: i32::try_from(number(2)?)?,
            batch: number(3)?,
            side: number(4)?,
            inputs: number(5)?,
            outputs: number(6)?,
            kernel: number(7)?,
            stride: number(8)?,
            padding: number(9)?,
            groups: number(10)?,
        })
    }
}

/// What is computed of a layer.
#[derive(Debug, Clone, Copy)]
enum Pass {
    Forward,
    Pixels,
    Weight,
    /// The gradient in pixels and weight of a product with the pixels' gradient, as for Hessians.
    Second,
}

impl fmt::Display for Pass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Forward => "forward",
            Self::Pixels => "pixels",
            Self::Weight => "weight",
            Self::Second => "second",
        })
    }
}

/// Computes every case on standard input, one a line; says which, which part of it, and where it is wrong. `is_raw`: as libtorch
/// computes them by itself.
pub(crate) fn convolve(is_raw: bool) -> Result<()> {
    gaat_shim::route_convolutions(!is_raw)?;
    for (place, line) in stdin().lock().lines().enumerate() {
        let line = line?;
        let case: Case = line.parse()?;
        println!("case {line}");
        case.check(place as u64)?;
    }
    println!("done");
    Ok(())
}

impl Case {
    fn check(&self, place: u64) -> Result<()> {
        let draws = Rng::new(18).seeded("sweep", place);
        let draw = |shape: &[i64]| -> Result<Tensor> {
            Ok(draws.uniform(shape, -1.0, 1.0, Kind::Float, Device::Cpu)?.f_to_kind(self.kind)?)
        };
        let pixels = draw(&[self.batch, self.inputs, self.side, self.side])?;
        let weight = draw(&[self.outputs, self.inputs / self.groups, self.kernel, self.kernel])?;
        let products = weight.numel() as i64 * self.batch * self.side * self.side;
        let kind = if products < AFFORDABLE { Kind::Double } else { Kind::Float };
        tch::set_num_threads(1);
        let (precise, precise_weight) = (pixels.f_to_kind(kind)?, weight.f_to_kind(kind)?);
        let maps = self.forward(&precise, &precise_weight)?;
        let seed = draw(&maps.size())?;
        let expected = self.passes(&precise, &precise_weight, &seed.f_to_kind(kind)?, |_| ())?;
        tch::set_num_threads(self.threads);
        let ordered = |tensor: &Tensor| -> Result<Tensor> {
            Ok(if self.is_channels_last { gaat_shim::channels_last(tensor)? } else { tensor.shallow_clone() })
        };
        let said = |pass: Pass| println!("pass {pass}");
        let found = self.passes(&ordered(&pixels)?, &weight, &ordered(&seed)?, said)?;
        for ((pass, found), (_, expected)) in found.iter().zip(&expected) {
            let deviation = deviation(found, expected)?;
            // A deviation that is not a number is wrong too.
            if deviation.is_nan() || deviation >= self.tolerance() {
                println!("wrong {pass} {deviation}");
            }
        }
        Ok(())
    }

    /// Of the largest number.
    fn tolerance(&self) -> f64 {
        if self.kind == Kind::BFloat16 { 0.05 } else { 1e-4 }
    }

    fn forward(&self, pixels: &Tensor, weight: &Tensor) -> Result<Tensor> {
        Ok(pixels.f_conv2d::<Tensor>(weight, None, self.stride, self.padding, 1, self.groups)?)
    }

    fn passes(
        &self,
        pixels: &Tensor,
        weight: &Tensor,
        seed: &Tensor,
        say: impl Fn(Pass),
    ) -> Result<Vec<(Pass, Tensor)>> {
        let pixels = pixels.f_detach()?.f_set_requires_grad(true)?;
        let weight = weight.f_detach()?.f_set_requires_grad(true)?;
        say(Pass::Forward);
        let maps = self.forward(&pixels, &weight)?;
        let gradient = |output: &Tensor, seed: &Tensor, of: &Tensor, graph| -> Result<Tensor> {
            gradients(&[output], Some(&[seed]), &[of], graph)?.pop().flatten().context("no gradient")
        };
        say(Pass::Pixels);
        let in_pixels = gradient(&maps, seed, &pixels, Graph::Record)?;
        say(Pass::Weight);
        let in_weight = gradient(&maps, seed, &weight, Graph::Keep)?;
        say(Pass::Second);
        let second = gradient(&in_pixels, &pixels.f_detach()?, &weight, Graph::Free)?;
        let found = [
            (Pass::Forward, maps),
            (Pass::Pixels, in_pixels),
            (Pass::Weight, in_weight),
            (Pass::Second, second),
        ];
        found.into_iter().map(|(pass, tensor)| Ok((pass, tensor.f_detach()?))).collect()
    }
}

/// The largest difference over the largest expected number; NaN where a number is none.
fn deviation(found: &Tensor, expected: &Tensor) -> Result<f64> {
    let expected = expected.f_to_kind(Kind::Double)?;
    let largest = expected.f_abs()?.f_max()?.f_double_value(&[])?;
    let off = found.f_to_kind(Kind::Double)?.f_sub(&expected)?.f_abs()?.f_max()?.f_double_value(&[])?;
    Ok(if largest > 0.0 { off / largest } else { off })
}
