//! What one turn of one side found.

use serde::{Deserialize, Serialize};
use tch::Device;

/// Seconds of one turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Of every repetition; the first, for warm-up, is left out.
    pub(crate) seconds: Vec<f64>,
    /// Most memory that the process held, MiB; nothing where the system does not tell.
    pub(crate) peak_mib: Option<f64>,
    /// In which the network computed.
    pub(crate) precision: String,
}

/// Most memory that this process has held so far, MiB: of a GPU where that is the device, else of the machine.
pub(crate) fn peak_mib(device: Device) -> Option<f64> {
    if let Device::Cuda(index) = device {
        return gaat_shim::cuda_peak(index).ok().map(|bytes| bytes as f64 / f64::from(1 << 20));
    }
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

/// The value in the middle; NaN of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!([median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0])], [2.0, 2.5]);
        assert!(median(&[]).is_nan());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_holds_memory() {
        assert!(peak_mib(Device::Cpu).unwrap() > 1.0);
    }
}
