//! A few threads that stay, for work that is cut beforehand: thread t always does part t.

use std::cell::UnsafeCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Threads besides the caller's.
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// A job: called with the number of each thread.
type Job<'a> = dyn Fn(usize) + Sync + 'a;

struct Shared {
    /// The number of jobs so far; it grows under `gate`, once the job is in place.
    epoch: AtomicUsize,
    job: UnsafeCell<Option<*const Job<'static>>>,
    /// The threads that are not done with the job.
    busy: AtomicUsize,
    has_panicked: AtomicBool,
    is_closing: AtomicBool,
    /// How often to look before sleeping.
    spins: usize,
    /// The number of threads that sleep until there is a job.
    gate: Mutex<usize>,
    start: Condvar,
    end: Condvar,
}

// SAFETY: `job` is written by the pool's owner while no thread is busy, and read by threads between the
// epoch's growth and the end of their part; `epoch` and `busy` order the two.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is to something `Sync`.
unsafe impl Send for Shared {}

/// The most threads of a run: above what machines have, and below what a system refuses.
pub const MAX_THREADS: usize = 1024;

impl Pool {
    /// A pool in which `n_threads` take part, the caller's among them, but at most [`MAX_THREADS`], and where the
    /// system refuses some, as many as it gives; `None` for one.
    pub fn new(n_threads: usize) -> Option<Pool> {
        Pool::of(n_threads, |number, shared| {
            let builder = thread::Builder::new().name(format!("backprop {number}"));
            builder.spawn(move || shared.work(number))
        })
    }

    /// As [`Pool::new`], of threads that `start` starts, or refuses.
    fn of(
        n_threads: usize,
        start: impl Fn(usize, Arc<Shared>) -> io::Result<JoinHandle<()>>,
    ) -> Option<Pool> {
        let n_others = n_threads.min(MAX_THREADS).checked_sub(1).filter(|&n| n > 0)?;
        let n_cores = thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            epoch: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            busy: AtomicUsize::new(0),
            has_panicked: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            // Some 20 µs; none where threads wait for each other's core.
            spins: if n_threads <= n_cores { 10_000 } else { 0 },
            gate: Mutex::new(0),
            start: Condvar::new(),
            end: Condvar::new(),
        });
        let threads: Vec<_> = (1..=n_others).map_while(|number| start(number, shared.clone()).ok()).collect();
        if threads.is_empty() { None } else { Some(Pool { shared, threads }) }
    }

    /// The number of threads that take part.
    pub fn n_threads(&self) -> usize {
        self.threads.len() + 1
    }

    /// Calls `job` with each number below [`Pool::n_threads`], each on its thread; 0 on this one.
    pub fn run(&mut self, job: &Job) {
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. No thread is busy, so none reads it; none will after this call,
        // which waits for all.
        unsafe {
            let job: *const Job<'static> = std::mem::transmute(std::ptr::from_ref(job));
            *shared.job.get() = Some(job);
        }
        shared.busy.store(self.threads.len(), Ordering::Relaxed);
        {
            let sleeping = shared.lock();
            shared.epoch.fetch_add(1, Ordering::Release);
            if *sleeping > 0 {
                shared.start.notify_all();
            }
        }
        let own = catch_unwind(AssertUnwindSafe(|| job(0)));
        shared.wait();
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!shared.has_panicked.load(Ordering::Relaxed), "a thread of the pool has panicked");
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.is_closing.store(true, Ordering::Relaxed);
        {
            let _gate = self.shared.lock();
            self.shared.epoch.fetch_add(1, Ordering::Release);
            self.shared.start.notify_all();
        }
        for thread in self.threads.drain(..) {
            // A thread catches its panics, so it has none to hand on.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What thread `number` does until the pool closes.
    fn work(&self, number: usize) {
        let mut seen = 0;
        loop {
            self.wait_for_job(seen);
            seen = seen.wrapping_add(1);
            if self.is_closing.load(Ordering::Relaxed) {
                return;
            }
            // SAFETY: the epoch has grown, so the job is in place, and stays until `busy` is 0.
            let job = unsafe { (*self.job.get()).map(|job| &*job) };
            let told = catch_unwind(AssertUnwindSafe(|| job.into_iter().for_each(|job| job(number))));
            if told.is_err() {
                self.has_panicked.store(true, Ordering::Relaxed);
            }
            if self.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
                let _gate = self.lock();
                self.end.notify_one();
            }
        }
    }

    fn wait_for_job(&self, seen: usize) {
        let is_there = || self.epoch.load(Ordering::Acquire) != seen;
        if self.spin(is_there) {
            return;
        }
        let mut sleeping = self.lock();
        *sleeping += 1;
        while !is_there() {
            sleeping = self.start.wait(sleeping).unwrap_or_else(PoisonError::into_inner);
        }
        *sleeping -= 1;
    }

    /// Waits until every thread is done.
    fn wait(&self) {
        let is_done = || self.busy.load(Ordering::Acquire) == 0;
        if self.spin(is_done) {
            return;
        }
        let mut gate = self.lock();
        while !is_done() {
            gate = self.end.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn spin(&self, holds: impl Fn() -> bool) -> bool {
        for _ in 0..self.spins {
            if holds() {
                return true;
            }
            std::hint::spin_loop();
        }
        holds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system that refuses a thread where `n_given` are there.
    fn pool_of_few(n_given: usize, n_threads: usize) -> Option<Pool> {
        Pool::of(n_threads, |number, shared| match number <= n_given {
            true => thread::Builder::new().spawn(move || shared.work(number)),
            false => Err(io::ErrorKind::WouldBlock.into()),
        })
    }

    #[test]
    fn a_pool_has_the_threads_that_the_system_gives() {
        let mut pool = pool_of_few(2, 7).expect("two are given");
        assert_eq!(pool.n_threads(), 3);
        let done: [AtomicUsize; 7] = Default::default();
        for _ in 0..5 {
            pool.run(&|number| {
                done[number].fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(done.map(AtomicUsize::into_inner), [5, 5, 5, 0, 0, 0, 0]);
    }

    #[test]
    fn there_is_no_pool_where_the_system_gives_no_threads() {
        assert!(pool_of_few(0, 7).is_none());
    }
}
