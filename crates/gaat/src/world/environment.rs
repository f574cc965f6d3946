//! Which of several processes this one is, as its launcher says in the environment: `torchrun`, SLURM's `srun`, or anything else that sets the
//! same variables.

use super::nodes::first_node;
use crate::error::{Error, Result};
use std::str::FromStr;
use std::time::Duration;

/// Set by the one who starts the processes: the longest that one waits for another, in seconds.
const PATIENCE: &str = "GAAT_WAIT_SECONDS";
/// How long processes wait for each other at their start, and later: while the leader writes, say.
const AT_START: Duration = Duration::from_mins(5);
const LATER: Duration = Duration::from_mins(30);
/// Ports of SLURM's jobs: each job has one of its own, so that two jobs of one node do not meet.
const PORTS: (u64, u64) = (20_000, 20_000);

/// One of several processes, as its launcher numbers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which one this is, from 0.
    pub rank: usize,
    /// How many there are, at least 2.
    pub size: usize,
    /// Which one of its machine, from 0, where the launcher says so.
    pub local_rank: Option<usize>,
    /// How many its machine has, where the launcher says so.
    pub local_size: Option<usize>,
    /// How often all of them were started again after one had failed.
    pub restarts: usize,
    /// Where they meet: host and port.
    pub host: String,
    /// See `host`.
    pub port: u16,
    /// Whether the launcher serves the store there; else rank 0 does.
    pub is_served: bool,
    /// Tells this start of this work from all others that meet there.
    pub prefix: String,
    /// The network interface that gloo is to use.
    pub interface: Option<String>,
    /// How long the others are waited for at the start.
    pub patience_at_start: Duration,
    /// The same later.
    pub patience: Duration,
    /// Threads that are meant for each process, where anybody says so.
    pub(super) threads: Option<usize>,
    /// Whether the user has said how many threads libtorch takes.
    pub(super) are_threads_wished: bool,
}

/// How a variable is looked up.
type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

impl Place {
    /// The place of this process; `None` where it is alone.
    ///
    /// # Errors
    /// When a variable is missing, is no number, or contradicts another.
    pub fn of_environment() -> Result<Option<Self>> {
        Self::of(&|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn of(variables: Variables<'_>) -> Result<Option<Self>> {
        let is_there = |name: &str| variables(name).is_some();
        let found = if is_there("RANK") || is_there("WORLD_SIZE") {
            Self::of_torch(variables)?
        // Only `srun` sets this: a batch script has SLURM_NTASKS too, and is one process.
        } else if is_there("SLURM_STEP_NUM_TASKS") {
            Self::of_slurm(variables)?
        } else {
            None
        };
        found.map(Self::checked).transpose()
    }

    /// As `torchrun` says it, and `torch.distributed` reads it.
    fn of_torch(variables: Variables<'_>) -> Result<Option<Self>> {
        let (rank, size) = (needed(variables, "RANK")?, needed(variables, "WORLD_SIZE")?);
        let numbers = Numbers { names: ("RANK", "WORLD_SIZE"), rank, size };
        if numbers.are_of_one()? {
            return Ok(None);
        }
        let host = text(variables, "MASTER_ADDR")?;
        let port = port(needed::<u64>(variables, "MASTER_PORT")?)?;
        let restarts = optional(variables, "TORCHELASTIC_RESTART_COUNT")?.unwrap_or(0);
        let run = variables("TORCHELASTIC_RUN_ID").unwrap_or_default();
        let is_elastic = !run.is_empty();
        let threads = variables("OMP_NUM_THREADS");
        Ok(Some(Self {
            rank,
            size,
            local_rank: optional(variables, "LOCAL_RANK")?,
            local_size: optional(variables, "LOCAL_WORLD_SIZE")?,
            restarts,
            host,
            port,
            is_served: variables("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|value| value == "True"),
            prefix: format!("gaat/{run}/{restarts}"),
            threads: None,
            // torchrun sets 1 where the user has set nothing.
            are_threads_wished: threads.is_some_and(|threads| !(is_elastic && threads == "1")),
            ..Self::common(variables)?
        }))
    }

    /// As `srun` says it.
    fn of_slurm(variables: Variables<'_>) -> Result<Option<Self>> {
        let (rank, size) = (needed(variables, "SLURM_PROCID")?, needed(variables, "SLURM_STEP_NUM_TASKS")?);
        let numbers = Numbers { names: ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"), rank, size };
        if numbers.are_of_one()? {
            return Ok(None);
        }
        let (job, step): (u64, u64) =
            (needed(variables, "SLURM_JOB_ID")?, optional(variables, "SLURM_STEP_ID")?.unwrap_or(0));
        let host = if let Some(host) = variables("MASTER_ADDR") {
            host
        } else {
            let name = "SLURM_STEP_NODELIST";
            let list = text(variables, name)?;
            first_node(&list).ok_or_else(|| told(format!("{name} is `{list}`, which names no node")))?
        };
        let port = match optional(variables, "MASTER_PORT")? {
            Some(given) => port(given)?,
            None => port(PORTS.0 + job.wrapping_add(step) % PORTS.1)?,
        };
        Ok(Some(Self {
            rank,
            size,
            local_rank: optional(variables, "SLURM_LOCALID")?,
            local_size: None,
            restarts: optional(variables, "SLURM_RESTART_COUNT")?.unwrap_or(0),
            host,
            port,
            is_served: false,
            prefix: format!("gaat/{job}/{step}"),
            threads: optional(variables, "SLURM_CPUS_PER_TASK")?,
            are_threads_wished: variables("OMP_NUM_THREADS").is_some(),
            ..Self::common(variables)?
        }))
    }

    /// Process `rank` of `size` that meet at `host`:`port`, where rank 0 serves.
    pub fn new(rank: usize, size: usize, host: &str, port: u16) -> Self {
        Self {
            rank,
            size,
            local_rank: None,
            local_size: None,
            restarts: 0,
            host: host.to_owned(),
            port,
            is_served: false,
            prefix: "gaat".to_owned(),
            interface: None,
            patience_at_start: AT_START,
            patience: LATER,
            threads: None,
            are_threads_wished: false,
        }
    }

    /// What no launcher sets.
    fn common(variables: Variables<'_>) -> Result<Self> {
        let patience = optional::<u32>(variables, PATIENCE)?;
        let patience = patience.map(|seconds| Duration::from_secs(u64::from(seconds.max(1))));
        Ok(Self {
            interface: variables("GLOO_SOCKET_IFNAME").filter(|name| !name.is_empty()),
            patience_at_start: patience.unwrap_or(AT_START),
            patience: patience.unwrap_or(LATER),
            ..Self::new(0, 1, "", 0)
        })
    }

    fn checked(self) -> Result<Self> {
        let Self { size, local_rank, local_size, .. } = self;
        if let (Some(rank), Some(size)) = (local_rank, local_size)
            && rank >= size
        {
            return Err(told(format!("LOCAL_RANK is {rank}, but LOCAL_WORLD_SIZE is {size}")));
        }
        if local_size.is_some_and(|local| local > size) || local_rank.is_some_and(|local| local >= size) {
            let local = local_size.or(local_rank).unwrap_or(0);
            return Err(told(format!("a machine has process {local} of {size} in all")));
        }
        Ok(self)
    }

    /// Threads for this process on a machine with `cores` for it, where the user has named none: its part of the machine, where the
    /// launcher says how many share it; `None` for libtorch's own choice.
    pub(crate) fn threads(&self, cores: usize) -> Option<usize> {
        if self.are_threads_wished {
            return None;
        }
        self.threads.or_else(|| self.local_size.map(|local| (cores / local).max(1)))
    }

    /// The number of the GPU of this process.
    ///
    /// # Errors
    /// When the launcher does not say which one of its machine it is.
    pub(crate) fn card(&self) -> Result<usize> {
        self.local_rank.ok_or_else(|| {
            told("LOCAL_RANK is not set, so that no process knows which GPU is its own".to_owned())
        })
    }
}

/// The two numbers that say who a process is.
struct Numbers {
    names: (&'static str, &'static str),
    rank: usize,
    size: usize,
}

impl Numbers {
    /// Whether the process is alone.
    fn are_of_one(&self) -> Result<bool> {
        let Self { names, rank, size } = self;
        if rank >= size {
            return Err(told(format!(
                "{} is {rank} and {} is {size}: ranks go from 0 to one less than the number of processes",
                names.0, names.1
            )));
        }
        Ok(*size == 1)
    }
}

fn told(reason: String) -> Error {
    Error::Launch { reason }
}

fn text(variables: Variables<'_>, name: &str) -> Result<String> {
    let found = variables(name).filter(|value| !value.is_empty());
    found.ok_or_else(|| {
        told(format!("{name} is not set, though other variables say that there are several processes"))
    })
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T> {
    value.trim().parse().map_err(|_| told(format!("{name} is `{value}`, and a whole number was expected")))
}

fn needed<T: FromStr>(variables: Variables<'_>, name: &str) -> Result<T> {
    number(name, &text(variables, name)?)
}

fn optional<T: FromStr>(variables: Variables<'_>, name: &str) -> Result<Option<T>> {
    variables(name).map(|value| number(name, &value)).transpose()
}

fn port(number: u64) -> Result<u16> {
    u16::try_from(number)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| told(format!("MASTER_PORT is {number}, and ports go from 1 to 65535")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `torchrun --nproc-per-node 2` sets in its second process.
    const TORCHRUN: &str = "RANK=1 WORLD_SIZE=2 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 GROUP_RANK=0 ROLE_RANK=1 MASTER_ADDR=127.0.0.1 \
        MASTER_PORT=29400 TORCHELASTIC_RESTART_COUNT=0 TORCHELASTIC_MAX_RESTARTS=1 TORCHELASTIC_RUN_ID=none \
        TORCHELASTIC_USE_AGENT_STORE=True OMP_NUM_THREADS=1";
    /// What `srun --ntasks 4` sets on two nodes.
    const SRUN: &str = "SLURM_JOB_ID=4711 SLURM_STEP_ID=2 SLURM_NTASKS=4 SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=3 SLURM_LOCALID=1 \
        SLURM_STEP_NODELIST=gpu[007-008] SLURM_CPUS_PER_TASK=6";

    fn read(lines: &str, more: &str) -> Result<Option<Place>> {
        let all = format!("{lines} {more}");
        let pairs: Vec<(String, String)> = all
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Place::of(&|name| {
            // A variable that is named again counts as it is named last; `NAME=-` removes one.
            let found = pairs.iter().rev().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).filter(|value| value != "-")
        })
    }

    fn place(lines: &str, more: &str) -> Place {
        read(lines, more).unwrap().unwrap()
    }

    #[test]
    fn a_process_of_torchrun_knows_its_place() {
        let found = place(TORCHRUN, "");
        assert_eq!((found.rank, found.size, found.local_rank, found.local_size), (1, 2, Some(1), Some(2)));
        assert_eq!((found.host.as_str(), found.port, found.is_served), ("127.0.0.1", 29400, true));
        let again = place(TORCHRUN, "TORCHELASTIC_RESTART_COUNT=2");
        assert_eq!(again.restarts, 2);
        assert_ne!(again.prefix, found.prefix, "a restart must not meet what the start before has left");
        assert!(!place(TORCHRUN, "TORCHELASTIC_USE_AGENT_STORE=False").is_served);
        assert_eq!(place(TORCHRUN, "GAAT_WAIT_SECONDS=7").patience, Duration::from_secs(7));
        assert_eq!(place(TORCHRUN, "GLOO_SOCKET_IFNAME=eth3").interface.as_deref(), Some("eth3"));
    }

    #[test]
    fn a_process_that_is_alone_has_no_place() {
        for lines in [
            "",
            "MASTER_ADDR=host LOCAL_RANK=0",
            "RANK=0 WORLD_SIZE=1",
            // A batch script, which srun has not started.
            "SLURM_JOB_ID=4711 SLURM_NTASKS=4 SLURM_PROCID=0 SLURM_LOCALID=0",
            "SLURM_JOB_ID=4711 SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0",
        ] {
            assert_eq!(read(lines, "").unwrap(), None, "{lines}");
        }
    }

    #[test]
    fn a_task_of_slurm_knows_its_place_where_nobody_else_says_it() {
        let found = place(SRUN, "");
        assert_eq!(
            (found.rank, found.size, found.local_rank, found.host.as_str()),
            (3, 4, Some(1), "gpu007")
        );
        assert_eq!((found.port, found.is_served, found.threads(64)), (24_713, false, Some(6)));
        let given = place(SRUN, "MASTER_ADDR=login MASTER_PORT=1234");
        assert_eq!((given.host.as_str(), given.port), ("login", 1234));
        assert_eq!(place(SRUN, TORCHRUN).rank, 1, "torchrun under srun");
        assert_eq!(place(SRUN, "OMP_NUM_THREADS=3").threads(64), None);
    }

    #[test]
    fn the_thread_of_torchrun_is_no_wish_and_that_of_the_user_is() {
        assert_eq!(place(TORCHRUN, "").threads(8), Some(4));
        assert_eq!(place(TORCHRUN, "").threads(1), Some(1));
        assert_eq!(place(TORCHRUN, "OMP_NUM_THREADS=-").threads(8), Some(4));
        assert_eq!(place(TORCHRUN, "OMP_NUM_THREADS=3").threads(8), None);
        // Set by hand, without torchrun: 1 is meant.
        assert_eq!(place(TORCHRUN, "TORCHELASTIC_RUN_ID=-").threads(8), None);
        assert_eq!(place(TORCHRUN, "LOCAL_WORLD_SIZE=- OMP_NUM_THREADS=-").threads(8), None);
    }

    #[test]
    fn what_is_missing_wrong_or_contradicts_is_named() {
        for (lines, more, expected) in [
            (TORCHRUN, "RANK=-", ["RANK is not set", ""]),
            (TORCHRUN, "WORLD_SIZE=-", ["WORLD_SIZE is not set", ""]),
            (TORCHRUN, "MASTER_ADDR=-", ["MASTER_ADDR is not set", ""]),
            (TORCHRUN, "MASTER_ADDR=", ["MASTER_ADDR is not set", ""]),
            (TORCHRUN, "MASTER_PORT=-", ["MASTER_PORT is not set", ""]),
            (TORCHRUN, "MASTER_PORT=http", ["MASTER_PORT is `http`", "whole number"]),
            (TORCHRUN, "MASTER_PORT=70000", ["70000", "65535"]),
            (TORCHRUN, "MASTER_PORT=0", ["MASTER_PORT is 0", ""]),
            (TORCHRUN, "RANK=2", ["RANK is 2", "WORLD_SIZE is 2"]),
            (TORCHRUN, "RANK=-1", ["RANK is `-1`", "whole number"]),
            (TORCHRUN, "WORLD_SIZE=two", ["WORLD_SIZE is `two`", ""]),
            (TORCHRUN, "WORLD_SIZE=1", ["RANK is 1", "WORLD_SIZE is 1"]),
            (TORCHRUN, "WORLD_SIZE=0 RANK=0", ["WORLD_SIZE is 0", ""]),
            (TORCHRUN, "LOCAL_RANK=x", ["LOCAL_RANK is `x`", ""]),
            (TORCHRUN, "LOCAL_RANK=2", ["LOCAL_RANK is 2", "LOCAL_WORLD_SIZE is 2"]),
            (TORCHRUN, "LOCAL_WORLD_SIZE=3", ["3 of 2", ""]),
            (TORCHRUN, "TORCHELASTIC_RESTART_COUNT=often", ["TORCHELASTIC_RESTART_COUNT is `often`", ""]),
            (TORCHRUN, "GAAT_WAIT_SECONDS=long", ["GAAT_WAIT_SECONDS is `long`", ""]),
            (SRUN, "SLURM_PROCID=-", ["SLURM_PROCID is not set", ""]),
            (SRUN, "SLURM_PROCID=4", ["SLURM_PROCID is 4", "SLURM_STEP_NUM_TASKS is 4"]),
            (SRUN, "SLURM_STEP_NODELIST=-", ["SLURM_STEP_NODELIST is not set", ""]),
            (SRUN, "SLURM_STEP_NODELIST=gpu[3", ["gpu[3", "no node"]),
            (SRUN, "SLURM_JOB_ID=-", ["SLURM_JOB_ID is not set", ""]),
        ] {
            let text = read(lines, more).unwrap_err().to_string();
            assert!(expected.iter().all(|part| text.contains(part)), "{more}: {text}");
        }
    }
}
