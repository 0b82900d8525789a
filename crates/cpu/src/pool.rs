//! The thread pool: persistent workers that a parallel region wakes.
//!
//! A decode step is hundreds of regions of a few microseconds, so threads are never spawned per
//! operation, and a worker spins a short while before it sleeps. Tasks of a region are claimed from
//! a counter. A worker that the operating system does not schedule in time never delays a region:
//! the caller works through the tasks itself, closes the region, and waits only for the workers
//! that did join.

/// Workers that share the tasks of one region at a time with the calling thread.
#[derive(Debug)]
pub(crate) struct Pool {
    #[cfg(not(target_family = "wasm"))]
    threads: threads::Threads,
}

impl Pool {
    /// A pool that uses `threads` threads, the calling one included. On WebAssembly there is only
    /// the calling one.
    pub(crate) fn new(threads: usize) -> Pool {
        #[cfg(target_family = "wasm")]
        let _ = threads;
        Pool {
            #[cfg(not(target_family = "wasm"))]
            threads: threads::Threads::new(threads),
        }
    }

    /// How many threads work on a region.
    pub(crate) fn threads(&self) -> usize {
        #[cfg(not(target_family = "wasm"))]
        return self.threads.count();
        #[cfg(target_family = "wasm")]
        1
    }

    /// Calls `task` once for every number below `tasks`, on any thread and in any order, and
    /// returns when all calls did. Not to be called from two threads at once.
    pub(crate) fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        #[cfg(not(target_family = "wasm"))]
        if tasks > 1 && self.threads() > 1 {
            return self.threads.run(tasks, task);
        }
        (0..tasks).for_each(task);
    }
}

#[cfg(not(target_family = "wasm"))]
mod threads {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
    use std::thread::JoinHandle;

    /// How often a waiting thread looks before it sleeps or yields: some tens of microseconds.
    const SPINS: usize = 2000;

    #[derive(Clone, Copy)]
    struct Job {
        task: *const (dyn Fn(usize) + Sync),
        tasks: usize,
    }
    // SAFETY: the closure behind the pointer is `Sync`, and `Threads::run` keeps it alive until
    // every worker that took the job has left it.
    unsafe impl Send for Job {}

    #[derive(Default)]
    struct State {
        job: Option<Job>,
        joined: usize,
        stop: bool,
    }

    #[derive(Default)]
    struct Shared {
        state: Mutex<State>,
        wake: Condvar,
        epoch: AtomicUsize,
        next: AtomicUsize,
        left: AtomicUsize,
        sleeping: AtomicUsize,
        panicked: AtomicBool,
    }

    impl Shared {
        fn lock(&self) -> MutexGuard<'_, State> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn work(&self, job: Job) {
            // SAFETY: the job's closure is alive, see `Job`.
            let task = unsafe { &*job.task };
            loop {
                let index = self.next.fetch_add(1, Ordering::Relaxed);
                if index >= job.tasks {
                    return;
                }
                task(index);
            }
        }

        fn worker(&self) {
            let mut seen = 0;
            loop {
                let mut spins = 0;
                while self.epoch.load(Ordering::Acquire) == seen && spins < SPINS {
                    std::hint::spin_loop();
                    spins += 1;
                }
                let mut state = self.lock();
                while self.epoch.load(Ordering::Acquire) == seen && !state.stop {
                    self.sleeping.fetch_add(1, Ordering::SeqCst);
                    state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                    self.sleeping.fetch_sub(1, Ordering::SeqCst);
                }
                if state.stop {
                    return;
                }
                seen = self.epoch.load(Ordering::Acquire);
                let Some(job) = state.job else { continue };
                state.joined += 1;
                drop(state);
                if catch_unwind(AssertUnwindSafe(|| self.work(job))).is_err() {
                    self.panicked.store(true, Ordering::Relaxed);
                }
                self.left.fetch_add(1, Ordering::Release);
            }
        }
    }

    pub(super) struct Threads {
        shared: Arc<Shared>,
        workers: Vec<JoinHandle<()>>,
    }

    impl std::fmt::Debug for Threads {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "Threads({})", self.count())
        }
    }

    impl Threads {
        pub(super) fn new(threads: usize) -> Threads {
            let shared = Arc::new(Shared::default());
            let start = |i: usize| {
                let shared = shared.clone();
                // A system that refuses another thread leaves a smaller pool, not an error.
                std::thread::Builder::new().name(format!("unisono-cpu-{i}")).spawn(move || shared.worker()).ok()
            };
            let workers = (1..threads.max(1)).map_while(start).collect();
            Threads { shared, workers }
        }

        pub(super) fn count(&self) -> usize {
            self.workers.len() + 1
        }

        pub(super) fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
            let shared = &*self.shared;
            // SAFETY: only the lifetime is erased; `Close` ends every use of the pointer before
            // this function returns or unwinds.
            let task: *const (dyn Fn(usize) + Sync) =
                unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(task) };
            let job = Job { task, tasks };
            {
                let mut state = shared.lock();
                shared.next.store(0, Ordering::Relaxed);
                shared.left.store(0, Ordering::Relaxed);
                state.job = Some(job);
                state.joined = 0;
                shared.epoch.fetch_add(1, Ordering::Release);
            }
            let close = Close(shared);
            if shared.sleeping.load(Ordering::SeqCst) > 0 {
                shared.wake.notify_all();
            }
            shared.work(job);
            drop(close);
            assert!(!shared.panicked.swap(false, Ordering::Relaxed), "a task of a parallel region panicked");
        }
    }

    /// Ends a region: nobody joins any more, and everybody who did has left.
    struct Close<'a>(&'a Shared);

    impl Drop for Close<'_> {
        fn drop(&mut self) {
            let joined = {
                let mut state = self.0.lock();
                state.job = None;
                state.joined
            };
            let mut spins = 0;
            while self.0.left.load(Ordering::Acquire) < joined {
                spins += 1;
                if spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
            }
        }
    }

    impl Drop for Threads {
        fn drop(&mut self) {
            self.shared.lock().stop = true;
            self.shared.epoch.fetch_add(1, Ordering::Release);
            self.shared.wake.notify_all();
            for worker in self.workers.drain(..) {
                // A worker catches the panics of its tasks, so there is no result to look at.
                let _ = worker.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pool;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_task_runs_exactly_once() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads);
            for tasks in [0, 1, 2, 7, 100] {
                for _ in 0..50 {
                    let counts: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                    pool.run(tasks, &|i| {
                        counts[i].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1), "{threads} threads, {tasks} tasks");
                }
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2);
        let failing = std::panic::AssertUnwindSafe(|| pool.run(16, &|i| assert!(i != 9, "planted")));
        assert!(std::panic::catch_unwind(failing).is_err());
        let sum = AtomicUsize::new(0);
        pool.run(10, &|i| {
            sum.fetch_add(i, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }
}
