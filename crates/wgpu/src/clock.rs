//! Time by the device's own clock: timestamps at the ends of compute passes.

use std::sync::Arc;
use std::time::Duration;

use unisono_core::Result;

use crate::device::Gpu;
use crate::readback::Staging;

/// A set of timestamps of one submission.
#[derive(Debug)]
pub(crate) struct Stamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    count: u32,
}

impl Stamps {
    /// Whether the device has timestamps.
    pub(crate) fn exist(gpu: &Gpu) -> bool {
        gpu.features.contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Room for `count` timestamps, at most [`wgpu::QUERY_SET_MAX_QUERIES`].
    pub(crate) fn new(gpu: &Gpu, count: u32) -> Stamps {
        let queries = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: None,
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let resolved = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: u64::from(count) * u64::from(wgpu::QUERY_SIZE),
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        Stamps { queries, resolved, count }
    }

    /// What a pass writes: timestamp `begin` before it and `end` after it.
    pub(crate) fn writes(&self, begin: Option<u32>, end: Option<u32>) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        (begin.is_some() || end.is_some()).then_some(wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: begin,
            end_of_pass_write_index: end,
        })
    }

    /// Records that the timestamps are made readable. The last command of the submission.
    pub(crate) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..self.count, &self.resolved, 0);
    }

    /// Waits for the timestamps and gives the time between those of each pair `(2i, 2i + 1)`.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn intervals(&self, gpu: &Gpu, staging: &Arc<Staging>) -> Result<Vec<Duration>> {
        let period = f64::from(gpu.queue.get_timestamp_period());
        let ticks = staging.read(&self.resolved, 0..self.resolved.size())?.wait()?;
        let tick = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        let between = |pair: &[u8]| tick(&pair[8..]).saturating_sub(tick(&pair[..8])) as f64 * period;
        Ok(ticks.chunks_exact(16).map(|pair| Duration::from_nanos(between(pair) as u64)).collect())
    }
}
