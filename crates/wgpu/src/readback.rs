//! Results that arrive later: reads through staging buffers, and the ends of submissions.
//!
//! Reads take any byte range; whole words are copied and the surplus is dropped on the host.
//! A caller that waits drives the device itself. One that awaits must not have to, so on native
//! targets the first pending poll starts a thread that waits for this one submission.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use unisono_core::{Error, Pending, Readback, Result, Ticket};

use crate::device::{Gpu, lock};

/// Smallest staging buffer.
const MIN_STAGING_BYTES: u64 = 4 << 10;
/// Staging buffers up to this size are kept for later reads.
const MAX_KEPT_BYTES: u64 = 16 << 20;
/// How many are kept.
const MAX_KEPT: usize = 8;

/// Buffers that the host can map, kept for reuse.
#[derive(Debug)]
pub(crate) struct Staging {
    gpu: Arc<Gpu>,
    kept: Mutex<Vec<wgpu::Buffer>>,
}

impl Staging {
    pub(crate) fn new(gpu: Arc<Gpu>) -> Arc<Staging> {
        Arc::new(Staging { gpu, kept: Mutex::default() })
    }

    /// Copies `range` of `source` to the host, after everything submitted before.
    pub(crate) fn read(self: &Arc<Staging>, source: &wgpu::Buffer, range: Range<u64>) -> Result<Readback> {
        if range.is_empty() {
            return Ok(Pending::ready(Ok(Vec::new())));
        }
        let words = range.start & !3..range.end.next_multiple_of(4);
        let bytes = words.end - words.start;
        let staging = self.take(bytes)?;
        let signal = Arc::new(Signal::default());
        let arrived = Arc::clone(&signal);
        let gpu = &self.gpu;
        let index = gpu.capture(
            || format!("reading bytes {}..{}", range.start, range.end),
            || {
                let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                encoder.copy_buffer_to_buffer(source, words.start, &staging, 0, bytes);
                let index = gpu.queue.submit([encoder.finish()]);
                staging.map_async(wgpu::MapMode::Read, 0..bytes, move |result| {
                    arrived.set(result.map_err(|e| Error::internal(format!("a staging buffer was not mapped: {e}"))));
                });
                index
            },
        )?;
        let arrival = Arrival::new(gpu, index, signal, true);
        let drive = arrival.drive();
        let keeper = Arc::clone(self);
        let future = async move {
            arrival.await?;
            let lead = (range.start - words.start) as usize;
            let view = staging.get_mapped_range(0..bytes).map_err(|e| Error::internal(e.to_string()))?;
            let content = view[lead..lead + (range.end - range.start) as usize].to_vec();
            drop(view);
            staging.unmap();
            keeper.keep(staging);
            Ok(content)
        };
        Ok(Pending::new(future, drive))
    }

    fn take(&self, bytes: u64) -> Result<wgpu::Buffer> {
        let size = bytes.max(MIN_STAGING_BYTES).checked_next_power_of_two().unwrap_or(bytes);
        let size = if size > MAX_KEPT_BYTES { bytes } else { size };
        let mut kept = lock(&self.kept);
        if let Some(at) = kept.iter().position(|b| b.size() >= bytes && b.size() / 4 <= size) {
            return Ok(kept.swap_remove(at));
        }
        drop(kept);
        let descriptor = wgpu::BufferDescriptor {
            label: None,
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        self.gpu.capture(|| format!("staging {bytes} bytes"), || self.gpu.device.create_buffer(&descriptor))
    }

    fn keep(&self, staging: wgpu::Buffer) {
        let mut kept = lock(&self.kept);
        if staging.size() <= MAX_KEPT_BYTES && kept.len() < MAX_KEPT {
            kept.push(staging);
        }
    }
}

/// The end of a submission.
pub(crate) fn ticket(gpu: &Arc<Gpu>, index: wgpu::SubmissionIndex) -> Ticket {
    let signal = Arc::new(Signal::default());
    #[cfg(target_family = "wasm")]
    {
        let done = Arc::clone(&signal);
        gpu.queue.on_submitted_work_done(move || done.set(Ok(())));
    }
    let arrival = Arrival::new(gpu, index, signal, cfg!(target_family = "wasm"));
    let drive = arrival.drive();
    Pending::new(arrival, drive)
}

/// A result that one thread sets and one future takes.
#[derive(Debug, Default)]
struct Signal {
    state: Mutex<(Option<Result<()>>, Option<Waker>)>,
}

impl Signal {
    /// The first result counts.
    fn set(&self, result: Result<()>) {
        let mut state = lock(&self.state);
        state.0.get_or_insert(result);
        if let Some(waker) = state.1.take() {
            drop(state);
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Result<()>> {
        let mut state = lock(&self.state);
        match &state.0 {
            Some(result) => Poll::Ready(result.clone()),
            None => {
                state.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The moment at which a submission has finished and its callbacks have run.
#[derive(Debug)]
struct Arrival {
    gpu: Arc<Gpu>,
    index: wgpu::SubmissionIndex,
    signal: Arc<Signal>,
    /// Whether a callback of wgpu sets the signal; else the end of the submission does.
    by_callback: bool,
    watched: bool,
}

type Drive = Box<dyn FnOnce() -> Result<()> + Send>;

impl Arrival {
    fn new(gpu: &Arc<Gpu>, index: wgpu::SubmissionIndex, signal: Arc<Signal>, by_callback: bool) -> Arrival {
        Arrival { gpu: Arc::clone(gpu), index, signal, by_callback, watched: false }
    }

    /// Blocks until the submission has finished.
    #[cfg(not(target_family = "wasm"))]
    fn drive(&self) -> Option<Drive> {
        let (gpu, index, signal, by_callback) =
            (Arc::clone(&self.gpu), self.index.clone(), Arc::clone(&self.signal), self.by_callback);
        Some(Box::new(move || {
            let result = gpu.wait_for(Some(index));
            // After a success the mapping's callback has run, or runs on another thread just now.
            if !by_callback || result.is_err() {
                signal.set(result.clone());
            }
            result
        }))
    }

    #[cfg(target_family = "wasm")]
    fn drive(&self) -> Option<Drive> {
        None
    }
}

impl Future for Arrival {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let polled = self.signal.poll(cx);
        if polled.is_pending() && !self.watched {
            self.watched = true;
            #[cfg(not(target_family = "wasm"))]
            if let Some(drive) = self.drive() {
                let thread = std::thread::Builder::new().name("unisono-wait".to_owned());
                if let Err(e) = thread.spawn(drive) {
                    return Poll::Ready(Err(Error::internal(format!("no thread to wait with: {e}"))));
                }
            }
        }
        polled
    }
}
