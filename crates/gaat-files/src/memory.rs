//! How much memory is free, before a file or an option takes it.

use std::path::Path;

/// Bytes of memory that this process can still take: what the machine has free, the bounds of its container and its own.
/// `None` where the system does not say.
pub fn free_memory() -> Option<u64> {
    [machine(), container(), own()].into_iter().flatten().min()
}

/// Bytes in three digits, such as `1.5 kB`.
pub fn in_words(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let mut amount = bytes as f64 / 1e3;
    let mut unit = 0;
    while amount >= 999.95 && unit + 1 < UNITS.len() {
        amount /= 1e3;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

/// Of the machine: `MemAvailable` counts what the system would give up at once.
fn machine() -> Option<u64> {
    let text = system("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024))
}

/// Of the control group, version 2 or 1; files that the group has read lately are given up at once.
fn container() -> Option<u64> {
    let groups = system("/proc/self/cgroup")?;
    let number = |path: String| system(&path)?.trim().parse::<u64>().ok();
    let mut least: Option<u64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let (root, limit, usage) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max", "memory.current"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
            _ => continue,
        };
        // The bounds of all groups above hold too. Within a container its own group is the root.
        for group in Path::new(group).ancestors() {
            let at = format!("{root}{}", group.display());
            let at = at.trim_end_matches('/');
            let (Some(limit), Some(usage)) =
                (number(format!("{at}/{limit}")), number(format!("{at}/{usage}")))
            else {
                continue;
            };
            let cached = system(&format!("{at}/memory.stat")).and_then(|text| {
                text.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse::<u64>().ok())
            });
            let left = limit.saturating_sub(usage.saturating_sub(cached.unwrap_or(0)));
            least = Some(least.map_or(left, |least| least.min(left)));
        }
    }
    least
}

/// Of the process: `ulimit -v` less what it has mapped.
fn own() -> Option<u64> {
    let limits = system("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let limit = line.split_whitespace().next()?.parse::<u64>().ok()?;
    let status = system("/proc/self/status")?;
    let mapped = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    let mapped = mapped.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024);
    Some(limit.saturating_sub(mapped))
}

/// What the kernel says; not a file of a user.
fn system(path: &str) -> Option<String> {
    fs_err::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_in_three_digits() {
        let texts = [0, 999, 1000, 1500, 999_940, 1_000_000, 1 << 40, u64::MAX].map(in_words);
        assert_eq!(
            texts,
            ["0 bytes", "999 bytes", "1.0 kB", "1.5 kB", "999.9 kB", "1.0 MB", "1.1 TB", "18.4 EB"]
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_says_what_is_free() {
        let free = free_memory().unwrap();
        assert!((1 << 20..1 << 50).contains(&free), "{free}");
    }
}
