//! Processes that work together: a store to meet at, and tensors added up over all.

use super::{Handle, LibtorchError, Result, check, count, handle, handles, taken};
use libc::{c_char, c_int, c_void};
use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;
use tch::Tensor;

unsafe extern "C" {
    fn gaat_store_connect(
        host: *const c_char,
        port: u16,
        serves: c_int,
        milliseconds: i64,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn gaat_store_free(store: *mut c_void);
    fn gaat_store_add(store: *mut c_void, key: *const c_char, amount: i64, found: *mut i64) -> *mut c_char;
    fn gaat_store_set(store: *mut c_void, key: *const c_char, text: *const c_char) -> *mut c_char;
    fn gaat_store_get(store: *mut c_void, key: *const c_char, text: *mut *mut c_char) -> *mut c_char;
    fn gaat_group_join(
        store: *mut c_void,
        prefix: *const c_char,
        rank: c_int,
        size: c_int,
        milliseconds: i64,
        interface: *const c_char,
        host: *const c_char,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn gaat_group_for_cuda(group: *mut c_void) -> *mut c_char;
    fn gaat_group_free(group: *mut c_void);
    fn gaat_group_sum(group: *mut c_void, tensors: *const Handle, count: c_int) -> *mut c_char;
    fn gaat_group_share(group: *mut c_void, tensors: *const Handle, count: c_int) -> *mut c_char;
    fn gaat_group_sum_recorded(group: *mut c_void, own: Handle, result: *mut Handle) -> *mut c_char;
}

/// Names with their values that several processes see: libtorch's `TCPStore`.
#[derive(Debug)]
pub struct Store(*mut c_void);

// SAFETY: a TCPStore locks itself at every call.
unsafe impl Send for Store {}
// SAFETY: the same.
unsafe impl Sync for Store {}

impl Store {
    /// The store at `host`:`port`. With `serves` this process serves it, to itself too, until it is dropped; else it must answer
    /// within `patience`.
    ///
    /// # Errors
    /// When the port is taken, or nothing answers.
    pub fn connect(host: &str, port: u16, serves: bool, patience: Duration) -> Result<Self> {
        let host = text(host)?;
        let mut store = std::ptr::null_mut();
        // SAFETY: the host is a string, and the pointer valid for a write.
        check(unsafe {
            gaat_store_connect(
                host.as_ptr(),
                port,
                c_int::from(serves),
                milliseconds(patience),
                &raw mut store,
            )
        })?;
        Ok(Self(store))
    }

    /// Adds `amount` to the number under `key`, 0 at first, and hands back the sum.
    ///
    /// # Errors
    /// When the store is gone.
    pub fn add(&self, key: &str, amount: i64) -> Result<i64> {
        let (key, mut found) = (text(key)?, 0);
        // SAFETY: the store is alive, the key a string, and the pointer valid for a write.
        check(unsafe { gaat_store_add(self.0, key.as_ptr(), amount, &raw mut found) })?;
        Ok(found)
    }

    /// Keeps `value` under `key`.
    ///
    /// # Errors
    /// When the store is gone, or there is a zero in the text.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        let (key, value) = (text(key)?, text(value)?);
        // SAFETY: the store is alive, and both are strings.
        check(unsafe { gaat_store_set(self.0, key.as_ptr(), value.as_ptr()) })
    }

    /// What is kept under `key` by now. Does not wait.
    ///
    /// # Errors
    /// When the store is gone.
    pub fn get(&self, key: &str) -> Result<Option<String>> {
        let (key, mut found) = (text(key)?, std::ptr::null_mut());
        // SAFETY: the store is alive, the key a string, and the pointer valid for a write.
        check(unsafe { gaat_store_get(self.0, key.as_ptr(), &raw mut found) })?;
        // SAFETY: what is not null is a string from malloc that is ours.
        Ok((!found.is_null()).then(|| unsafe { taken(found) }))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: nothing else holds the store.
        unsafe { gaat_store_free(self.0) }
    }
}

/// How processes join.
#[derive(Debug, Clone, Copy)]
pub struct Joining<'a> {
    /// The same for all that join, and for no other group at the store.
    pub prefix: &'a str,
    /// Which one this is, from 0.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
    /// How long one of the others is waited for, at any time.
    pub patience: Duration,
    /// The network interface to listen at, such as `eth0`.
    pub interface: Option<&'a str>,
    /// Where there is no interface: the host name to listen at; `None` for that of the machine.
    pub host: Option<&'a str>,
}

/// Processes, or threads, that work together. All make the same calls in the same order.
#[derive(Debug, Clone)]
pub struct Group(Arc<Joined>);

#[derive(Debug)]
struct Joined {
    group: *mut c_void,
    // The group uses the store to its end.
    _store: Arc<Store>,
}

// SAFETY: groups of c10d may be called from any thread, and calls of different groups take turns where they begin; that the calls of
// one group come in one order is the caller's part.
unsafe impl Send for Joined {}
// SAFETY: the same.
unsafe impl Sync for Joined {}

impl Drop for Joined {
    fn drop(&mut self) {
        // SAFETY: nothing else holds the group; graphs hold what they need themselves.
        unsafe { gaat_group_free(self.group) }
    }
}

impl Group {
    /// Joins the others at `store`.
    ///
    /// # Errors
    /// When they do not come, or cannot be reached.
    pub fn join(store: Arc<Store>, joining: Joining<'_>) -> Result<Self> {
        let Joining { prefix, rank, size, patience, interface, host } = joining;
        let number = |number: usize| {
            c_int::try_from(number).map_err(|_| LibtorchError(format!("{number} processes are too many")))
        };
        let (rank, size, prefix) = (number(rank)?, number(size)?, text(prefix)?);
        let (interface, host) = (interface.map(text).transpose()?, host.map(text).transpose()?);
        let pointer = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
        let mut group = std::ptr::null_mut();
        // SAFETY: the store is alive, all texts are strings or null, and the pointer is valid for a write.
        check(unsafe {
            gaat_group_join(
                store.0,
                prefix.as_ptr(),
                rank,
                size,
                milliseconds(patience),
                pointer(&interface),
                pointer(&host),
                &raw mut group,
            )
        })?;
        Ok(Self(Arc::new(Joined { group, _store: store })))
    }

    /// Makes what adds up tensors on GPUs, NCCL, which the first of them does otherwise.
    ///
    /// # Errors
    /// When there is no GPU, or libtorch's half for GPUs is not loaded.
    pub fn for_cuda(&self) -> Result<()> {
        // SAFETY: the group is alive.
        check(unsafe { gaat_group_for_cuda(self.0.group) })
    }

    /// Sets each of `tensors`, of the same shapes and dtypes everywhere, to its sum over all, in place and to the same bits
    /// everywhere. They travel in flat buckets of 25 MB.
    ///
    /// # Errors
    /// When one of the others is gone or does not answer, or has other shapes.
    pub fn sum(&self, tensors: &[&Tensor]) -> Result<()> {
        // SAFETY: the group and the tensors are alive.
        check(unsafe { gaat_group_sum(self.0.group, handles(tensors).as_ptr(), count(tensors)?) })
    }

    /// Sets each of `tensors`, of the same shapes and dtypes everywhere, to that of rank 0, in place.
    ///
    /// # Errors
    /// As [`sum`](Self::sum).
    pub fn share(&self, tensors: &[&Tensor]) -> Result<()> {
        // SAFETY: the group and the tensors are alive.
        check(unsafe { gaat_group_share(self.0.group, handles(tensors).as_ptr(), count(tensors)?) })
    }

    /// The sum over all of what each has, with its graph: the gradient of the sum is the sum of all gradients. Differentiable any
    /// number of times; all must go the same way back.
    ///
    /// # Errors
    /// As [`sum`](Self::sum), or for integers.
    pub fn sum_recorded(&self, own: &Tensor) -> Result<Tensor> {
        let mut result: Handle = std::ptr::null_mut();
        // SAFETY: the group and the tensor are alive; on success the result is a new tensor.
        check(unsafe { gaat_group_sum_recorded(self.0.group, handle(own), &raw mut result) })?;
        Ok(unsafe { Tensor::from_ptr(result.cast()) })
    }
}

fn milliseconds(patience: Duration) -> i64 {
    i64::try_from(patience.as_millis()).unwrap_or(i64::MAX)
}

fn text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| LibtorchError("a text with a zero in it cannot be handed over".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gaat_testkit::free_port;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;
    use tch::{Device, Kind};

    const PATIENCE: Duration = Duration::from_secs(30);

    /// What each of `size` threads, joined as processes are, makes of `work`.
    fn together<T: Send>(size: usize, work: impl Fn(usize, Group) -> T + Sync) -> Vec<T> {
        let port = free_port();
        std::thread::scope(|scope| {
            let members: Vec<_> = (0..size)
                .map(|rank| {
                    let work = &work;
                    scope.spawn(move || {
                        let store = Arc::new(Store::connect("127.0.0.1", port, rank == 0, PATIENCE).unwrap());
                        let joining = Joining {
                            prefix: "test",
                            rank,
                            size,
                            patience: PATIENCE,
                            interface: None,
                            host: Some("127.0.0.1"),
                        };
                        let group = Group::join(Arc::clone(&store), joining).unwrap();
                        let found = work(rank, group.clone());
                        // The store of rank 0 is the last to go.
                        let _ = store.add("done", 1);
                        while rank == 0 && store.add("done", 0).unwrap() < size as i64 {
                            std::thread::sleep(Duration::from_millis(5));
                        }
                        found
                    })
                })
                .collect();
            members.into_iter().map(|member| member.join().unwrap()).collect()
        })
    }

    #[test]
    fn tensors_of_every_kind_are_added_up_in_place_and_shared() {
        let found = together(3, |rank, group| {
            let own = (rank + 1) as f64;
            let of = |shape: &[i64], kind| Tensor::full(shape, own, (kind, Device::Cpu));
            // Larger than a bucket, of several dtypes, without numbers, and not in memory order.
            let turned = of(&[3, 4], Kind::Double).transpose(0, 1);
            let tensors = [
                of(&[2, 3], Kind::Float),
                of(&[8 << 20], Kind::Float),
                of(&[0], Kind::Float),
                of(&[], Kind::Int64),
                turned.shallow_clone(),
                of(&[5], Kind::Uint8),
                of(&[5], Kind::BFloat16),
            ];
            group.sum(&tensors.iter().collect::<Vec<_>>()).unwrap();
            let sums: Vec<(f64, f64)> = tensors
                .iter()
                .filter(|tensor| tensor.numel() > 0)
                .map(|tensor| {
                    let tensor = tensor.to_kind(Kind::Double);
                    (tensor.min().double_value(&[]), tensor.max().double_value(&[]))
                })
                .collect();
            let shared = of(&[7], Kind::Float);
            group.share(&[&shared]).unwrap();
            (sums, Vec::<f32>::try_from(shared).unwrap())
        });
        for (sums, shared) in found {
            assert_eq!(sums, vec![(6.0, 6.0); 6]);
            assert_eq!(shared, [1.0; 7]);
        }
    }

    #[test]
    fn a_recorded_sum_has_the_gradients_of_all_and_those_again() {
        let found = together(2, |rank, group| {
            let own = Tensor::from(2.0 + rank as f64).set_requires_grad(true);
            // (2 + 3)^3: first derivative 3 s^2, of both losses together twice that, and so on.
            let sum = group.sum_recorded(&own).unwrap();
            let loss = &sum * &sum * &sum;
            let first = Tensor::run_backward(&[&loss], &[&own], true, true).swap_remove(0);
            let second = Tensor::run_backward(&[&first], &[&own], false, false).swap_remove(0);
            (sum.double_value(&[]), first.double_value(&[]), second.double_value(&[]))
        });
        assert_eq!(found, [(5.0, 150.0, 120.0); 2]);
    }

    #[test]
    fn who_does_not_come_and_who_is_gone_is_an_error_and_no_wait_for_ever() {
        let text = Store::connect("127.0.0.1", free_port(), false, Duration::from_millis(300))
            .unwrap_err()
            .to_string();
        assert!(text.contains("libtorch"), "{text}");
        let errors = together(2, |rank, group| {
            if rank == 1 {
                return None;
            }
            // The other has gone, or goes.
            let tensor = Tensor::ones([4], (Kind::Float, Device::Cpu));
            Some(group.sum(&[&tensor]).unwrap_err().to_string())
        });
        assert!(errors[0].as_ref().is_some_and(|text| !text.is_empty()), "{errors:?}");
    }

    /// Without turns (`begin` in group.cpp) one run in two of 1,500 rounds ended with SIGSEGV on two cores.
    #[test]
    fn groups_of_one_process_may_begin_at_the_same_moment() {
        const THREADS: usize = 2;
        let store = Arc::new(Store::connect("127.0.0.1", free_port(), true, PATIENCE).unwrap());
        let ready = AtomicUsize::new(0);
        let (store, ready) = (&store, &ready);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    for round in 1..=200 {
                        let prefix = format!("{thread}/{round}");
                        let joining = Joining {
                            prefix: &prefix,
                            rank: 0,
                            size: 1,
                            patience: PATIENCE,
                            interface: None,
                            host: Some("127.0.0.1"),
                        };
                        let group = Group::join(Arc::clone(store), joining).unwrap();
                        let tensor = Tensor::from(2.5);
                        ready.fetch_add(1, Ordering::SeqCst);
                        let begun = Instant::now();
                        while ready.load(Ordering::SeqCst) < THREADS * round {
                            assert!(begun.elapsed() < PATIENCE, "the other thread has failed");
                            std::hint::spin_loop();
                        }
                        group.sum(&[&tensor]).unwrap();
                        assert_eq!(tensor.double_value(&[]), 2.5);
                    }
                });
            }
        });
    }

    #[test]
    fn without_a_gpu_none_is_promised() {
        let found = together(1, |_, group| group.for_cuda().map_err(|error| error.to_string()));
        assert_eq!(found[0].is_ok(), tch::Cuda::is_available(), "{found:?}");
    }
}
