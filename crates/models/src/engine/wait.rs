//! Reading results on every target: browsers cannot block, native devices want to be driven.
//!
//! The engine is written once, as `async` functions. On native targets [`fetch`] waits inside, so
//! those futures never suspend and [`block_on`] merely calls them.

use unisono_core::{Readback, Result};

/// The bytes of a read.
#[cfg(not(target_family = "wasm"))]
pub(crate) async fn fetch(readback: Readback) -> Result<Vec<u8>> {
    readback.wait()
}

/// The bytes of a read.
#[cfg(target_family = "wasm")]
pub(crate) async fn fetch(readback: Readback) -> Result<Vec<u8>> {
    readback.await
}

/// Runs an engine's future to its end.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}
