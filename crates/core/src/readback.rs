//! Results that arrive later. Browsers cannot block, so reads are futures; native callers wait.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::Result;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A value that a device delivers later.
///
/// Await it anywhere; on native targets [`wait`](Self::wait) blocks instead.
#[must_use = "nothing is read or known until this is awaited or waited for"]
pub struct Pending<T> {
    future: BoxFuture<Result<T>>,
    drive: Option<Box<dyn FnOnce() -> Result<()> + Send>>,
}

/// The bytes of a [`Backend::read`](crate::Backend::read).
pub type Readback = Pending<Vec<u8>>;

/// The end of a [`Backend::submit`](crate::Backend::submit). Dropping it cancels nothing.
pub type Ticket = Pending<()>;

impl<T: Send + 'static> Pending<T> {
    /// Already there.
    pub fn ready(value: Result<T>) -> Pending<T> {
        Pending { future: Box::pin(std::future::ready(value)), drive: None }
    }

    /// From a future. `drive` blocks until the future can finish; it is called by `wait` where the
    /// future does not make progress on its own.
    pub fn new(
        future: impl Future<Output = Result<T>> + Send + 'static,
        drive: Option<Box<dyn FnOnce() -> Result<()> + Send>>,
    ) -> Pending<T> {
        Pending { future: Box::pin(future), drive }
    }

    /// Blocks until the value is there.
    #[cfg(not(target_family = "wasm"))]
    pub fn wait(self) -> Result<T> {
        if let Some(drive) = self.drive {
            drive()?;
        }
        pollster::block_on(self.future)
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        self.future.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}
