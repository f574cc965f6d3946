//! The learning rate as a pure function of progress.

use crate::names::ScheduleName;

/// A schedule with its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Shape.
    pub name: ScheduleName,
    /// The learning rate that the shape is scaled to: the start (constant, step, cosine) or the peak.
    pub learning_rate: f64,
    /// Share of the run after which cyclic and one-cycle reach their peak.
    pub peak: f64,
    /// Shares of the run at which `step` multiplies by `decay_factor`; ascending.
    pub milestones: Vec<f64>,
    /// See `milestones`.
    pub decay_factor: f64,
    /// Share of the run over which the learning rate is multiplied by a factor that grows evenly from 0 to 1; 0 is off.
    pub warmup: f64,
}

/// One-cycle starts at this fraction of the peak (PyTorch's `div_factor` 25).
const ONE_CYCLE_START: f64 = 1.0 / 25.0;
/// One-cycle ends at this fraction of its start (PyTorch's `final_div_factor` 1e4).
const ONE_CYCLE_END: f64 = 1e-4;

impl Schedule {
    /// The learning rate at `progress`: share of all steps done, in `[0, 1]`.
    pub fn at(&self, progress: f64) -> f64 {
        let progress = progress.clamp(0.0, 1.0);
        let shape = match self.name {
            ScheduleName::Constant => 1.0,
            ScheduleName::Step => {
                let passed = self.milestones.iter().filter(|milestone| progress >= **milestone).count();
                self.decay_factor.powi(passed as i32)
            }
            ScheduleName::Cyclic => {
                if progress < self.peak {
                    progress / self.peak
                } else {
                    (1.0 - progress) / (1.0 - self.peak)
                }
            }
            ScheduleName::Cosine => f64::midpoint(1.0, (std::f64::consts::PI * progress).cos()),
            ScheduleName::OneCycle => {
                if progress < self.peak {
                    between(ONE_CYCLE_START, 1.0, progress / self.peak)
                } else {
                    between(1.0, ONE_CYCLE_START * ONE_CYCLE_END, (progress - self.peak) / (1.0 - self.peak))
                }
            }
        };
        let growth = if progress < self.warmup { progress / self.warmup } else { 1.0 };
        self.learning_rate * shape * growth
    }
}

/// Half a cosine from `start` (at 0) to `end` (at 1).
fn between(start: f64, end: f64, share: f64) -> f64 {
    end + (start - end) * f64::midpoint(1.0, (std::f64::consts::PI * share).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(name: ScheduleName) -> Schedule {
        let milestones = vec![0.5, 0.75];
        Schedule { name, learning_rate: 0.2, peak: 0.4, milestones, decay_factor: 0.1, warmup: 0.0 }
    }

    fn close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-12, "{left} is not {right}");
    }

    #[test]
    fn each_shape_passes_through_its_landmarks() {
        let landmarks: [(ScheduleName, &[(f64, f64)]); 5] = [
            (ScheduleName::Constant, &[(0.0, 0.2), (1.0, 0.2)]),
            (ScheduleName::Step, &[(0.0, 0.2), (0.49, 0.2), (0.5, 0.02), (0.75, 0.002), (1.0, 0.002)]),
            (ScheduleName::Cyclic, &[(0.0, 0.0), (0.2, 0.1), (0.4, 0.2), (0.7, 0.1), (1.0, 0.0)]),
            (ScheduleName::Cosine, &[(0.0, 0.2), (0.5, 0.1), (1.0, 0.0)]),
            (ScheduleName::OneCycle, &[(0.0, 0.008), (0.4, 0.2), (1.0, 8e-7)]),
        ];
        for (name, points) in landmarks {
            for (progress, expected) in points {
                close(schedule(name).at(*progress), *expected);
            }
        }
    }

    #[test]
    fn any_shape_grows_from_0_and_is_itself_after_the_warm_up() {
        for name in ScheduleName::ALL {
            let (plain, warm) = (schedule(*name), Schedule { warmup: 0.1, ..schedule(*name) });
            close(warm.at(0.0), 0.0);
            for progress in [0.02, 0.05, 0.08] {
                close(warm.at(progress), plain.at(progress) * progress / 0.1);
            }
            for progress in [0.1, 0.3, 0.5, 0.99, 1.0] {
                close(warm.at(progress), plain.at(progress));
            }
        }
    }
}
