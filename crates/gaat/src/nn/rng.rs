//! Random tensors: each draw is a pure function of root seed, stream, step and place in the stream.
//!
//! The only place that samples from libtorch. Each draw has a generator of its own, so that no draw disturbs another, from
//! whatever thread, nor those of the program round this library, and nothing has to be saved to resume.

use crate::error::{Error, Result};
use gaat_shim::{Distribution, LentGenerator};
use std::cell::Cell;
use tch::{Device, Kind, Tensor};

/// The root of all randomness of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rng {
    root: u64,
}

impl Rng {
    /// Randomness from a root seed.
    pub fn new(root: u64) -> Self {
        Self { root }
    }

    /// The root seed.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// The draws of one step of one stream, from the first on.
    pub fn seeded(&self, stream: &str, step: u64) -> Draws {
        let seed = mix(mix(mix(self.root) ^ fnv1a(stream)) ^ step);
        Draws { seed, drawn: Cell::new(0), cut: None }
    }
}

/// Successive draws of one step of one stream.
#[derive(Debug)]
#[must_use = "draws nothing by itself"]
pub struct Draws {
    seed: u64,
    drawn: Cell<u64>,
    cut: Option<Cut>,
}

/// Rows `start..start + rows` of a batch of `of`.
#[derive(Debug, Clone, Copy)]
struct Cut {
    start: i64,
    rows: i64,
    of: i64,
}

impl Draws {
    /// Draws of their own for a part of the step: what either draws does not change the other.
    pub fn branch(&self, name: &str) -> Self {
        Self { seed: mix(self.seed ^ fnv1a(name)), drawn: Cell::new(0), cut: self.cut }
    }

    /// As [`branch`](Self::branch), for numbers that belong to no image of the batch: who computes a part of it draws them whole.
    pub fn common(&self, name: &str) -> Self {
        Self { cut: None, ..self.branch(name) }
    }

    /// The same for `rows` rows, from row `start` on, of a batch of `of`: every draw is made for the whole batch and cut, so that
    /// who computes a part of a batch draws what who computes all of it does.
    pub fn cut(self, start: usize, rows: usize, of: usize) -> Self {
        let cut = (rows != of).then_some(Cut { start: start as i64, rows: rows as i64, of: of as i64 });
        Self { cut, ..self }
    }

    /// Uniform numbers in `[low, high)`.
    ///
    /// # Errors
    /// When the range is empty or not finite, or libtorch cannot allocate.
    pub fn uniform(&self, shape: &[i64], low: f64, high: f64, kind: Kind, device: Device) -> Result<Tensor> {
        if !(low.is_finite() && high.is_finite() && low <= high) {
            return Err(Error::Usage(format!("uniform numbers from {low} to {high}: not a range")));
        }
        self.draw(shape, (kind, device), Distribution::Uniform { low, high })
    }

    /// Normal numbers.
    ///
    /// # Errors
    /// When the deviation is negative or not finite, or libtorch cannot allocate.
    pub fn normal(
        &self,
        shape: &[i64],
        mean: f64,
        deviation: f64,
        kind: Kind,
        device: Device,
    ) -> Result<Tensor> {
        if !(mean.is_finite() && deviation.is_finite() && deviation >= 0.0) {
            return Err(Error::Usage(format!("normal numbers of mean {mean}, deviation {deviation}")));
        }
        self.draw(shape, (kind, device), Distribution::Normal { mean, deviation })
    }

    /// Whole numbers in `low..high`, as i64.
    ///
    /// # Errors
    /// When the range is empty, or libtorch cannot allocate.
    pub fn randint(&self, shape: &[i64], low: i64, high: i64, device: Device) -> Result<Tensor> {
        if low >= high {
            return Err(Error::Usage(format!("whole numbers from {low} to below {high}: an empty range")));
        }
        self.draw(shape, (Kind::Int64, device), Distribution::Whole { low, high })
    }

    /// What `work` gives, which draws from libtorch's own generators, as dropout does: those of the CPU and of `device` are seeded
    /// by the next draw of these, and afterwards continue as if nothing had been drawn.
    ///
    /// # Errors
    /// When libtorch has no such generator.
    pub fn lending<T>(&self, device: Device, work: impl FnOnce() -> T) -> Result<T> {
        let seed = self.next_seed() as i64;
        let devices = [Some(Device::Cpu), (device != Device::Cpu).then_some(device)];
        let lent = devices.into_iter().flatten().map(|device| LentGenerator::seeded(device, seed));
        let _lent = lent.collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(work())
    }

    fn next_seed(&self) -> u64 {
        mix(self.seed ^ self.drawn.replace(self.drawn.get() + 1))
    }

    fn draw(&self, shape: &[i64], place: (Kind, Device), distribution: Distribution) -> Result<Tensor> {
        let Some(Cut { start, rows, of }) = self.cut else {
            return self.draw_whole(shape, place, distribution);
        };
        if shape.first() != Some(&rows) {
            return Err(Error::Usage(format!(
                "a draw of shape {shape:?} for {rows} images of a batch of {of}: the first size has to be that of the images"
            )));
        }
        let whole: Vec<i64> = [of].into_iter().chain(shape[1..].iter().copied()).collect();
        Ok(self.draw_whole(&whole, place, distribution)?.f_narrow(0, start, rows)?.f_contiguous()?)
    }

    fn draw_whole(&self, shape: &[i64], place: (Kind, Device), distribution: Distribution) -> Result<Tensor> {
        let tensor = Tensor::f_empty(shape, place)?;
        gaat_shim::draw(&tensor, distribution, self.next_seed() as i64)?;
        Ok(tensor)
    }
}

/// One step of splitmix64 (Steele, Lea and Flood 2014): a bijection that spreads every bit.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// 64-bit FNV-1a, because the standard library's hashes may change between releases.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_draws_of_a_part_are_those_of_the_whole() {
        let place = (Kind::Float, Device::Cpu);
        let draw = |draws: &Draws, rows: i64| {
            let first = draws.uniform(&[rows, 3], -1.0, 1.0, place.0, place.1).unwrap();
            let second = draws.branch("b").normal(&[rows, 1], 0.0, 2.0, place.0, place.1).unwrap();
            Tensor::cat(
                &[first, second, draws.randint(&[rows, 2], 0, 9, place.1).unwrap().to_kind(place.0)],
                1,
            )
        };
        let draws = || Rng::new(3).seeded("attack", 5);
        let whole = draw(&draws(), 7);
        for (start, rows) in [(0, 3), (3, 4), (0, 7)] {
            let part = draw(&draws().cut(start, rows, 7), rows as i64);
            assert_eq!(part, whole.narrow(0, start as i64, rows as i64));
        }
        let common = |draws: Draws| draws.common("c").uniform(&[2], 0.0, 1.0, place.0, place.1).unwrap();
        assert_eq!(common(draws().cut(0, 3, 7)), common(draws()), "what is common is whole");
        let text = draws().cut(0, 3, 7).uniform(&[2], 0.0, 1.0, place.0, place.1).unwrap_err().to_string();
        assert!(text.contains("3 images of a batch of 7"), "{text}");
    }

    #[test]
    fn draws_are_those_of_a_seed_and_leave_the_generator_of_the_process_alone() {
        let options = (Kind::Float, Device::Cpu);
        let draws = Rng::new(3).seeded("stream", 7);
        let place_seeds: Vec<i64> = (0..3).map(|place: u64| mix(draws.seed ^ place) as i64).collect();
        tch::manual_seed(5);
        let expected = Tensor::rand([4], options);
        tch::manual_seed(5);
        let found = [
            draws.uniform(&[40], -1.0, 2.0, Kind::Float, Device::Cpu).unwrap(),
            draws.normal(&[40], 1.0, 2.0, Kind::Double, Device::Cpu).unwrap(),
            draws.randint(&[40], -3, 9, Device::Cpu).unwrap(),
        ];
        assert_eq!(Tensor::rand([4], options), expected);
        let seeded = |place: usize| tch::manual_seed(place_seeds[place]);
        seeded(0);
        assert_eq!(found[0], Tensor::empty([40], options).uniform_(-1.0, 2.0));
        seeded(1);
        assert_eq!(found[1], Tensor::empty([40], (Kind::Double, Device::Cpu)).normal_(1.0, 2.0));
        seeded(2);
        assert_eq!(found[2], Tensor::randint_low(-3, 9, [40], (Kind::Int64, Device::Cpu)));
    }

    #[test]
    fn a_lent_generator_is_seeded_and_comes_back_as_it_was() {
        let options = (Kind::Float, Device::Cpu);
        tch::manual_seed(5);
        let used = Tensor::randn([3], options);
        let state = LentGenerator::seeded(Device::Cpu, 1).unwrap();
        let first = Tensor::randn([5], options);
        drop(state);
        let next = Tensor::randn([3], options);
        tch::manual_seed(5);
        assert_eq!(
            Tensor::cat(&[used, next], 0),
            Tensor::cat(&[Tensor::randn([3], options), Tensor::randn([3], options)], 0)
        );
        tch::manual_seed(1);
        assert_eq!(Tensor::randn([5], options), first);
    }

    #[test]
    fn seeds_do_not_change_between_releases() {
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(fnv1a("a"), 0xAF63_DC4C_8601_EC8C);
    }
}
