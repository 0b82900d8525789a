//! What this process is doing, for a watcher in another thread.
//!
//! A case can take minutes on a slow device, most of it in one call of the driver that says nothing.
//! So the runner leaves a note of the kernel that it is about to build or run, and counts its steps;
//! a worker's heartbeat passes both on. The note is of the process: where several cases run at the
//! same time, as tests do, it is that of the last one to start, and nobody reads it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

static STEPS: AtomicU64 = AtomicU64::new(0);
static DOING: Mutex<String> = Mutex::new(String::new());

/// Notes what is done from now on.
pub(crate) fn begin(what: &str) {
    let mut doing = DOING.lock().unwrap_or_else(PoisonError::into_inner);
    doing.clear();
    doing.push_str(what);
}

/// Something was done that a driver which hangs would not have done.
pub(crate) fn step() {
    STEPS.fetch_add(1, Ordering::Relaxed);
}

/// Steps so far.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn steps() -> u64 {
    STEPS.load(Ordering::Relaxed)
}

/// The last note.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn doing() -> String {
    DOING.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
