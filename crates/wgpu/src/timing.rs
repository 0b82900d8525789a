//! Device time of each launch, by timestamps.
//!
//! Every dispatch gets a pass of its own here, which costs some time between passes: figures are
//! those of kernels, not of a submission.

use std::sync::Arc;

use unisono_core::{Bindings, Error, ErrorKind, Plan, Result};

use crate::backend::WgpuBackend;
use crate::bind::bind_set;
use crate::encode::record_copies;

/// What one launch took on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchTime {
    /// Index of the step in the plan's program.
    pub step: usize,
    /// The kernel that serves the step.
    pub kernel: Arc<str>,
    /// Duration in nanoseconds.
    pub nanoseconds: u64,
}

impl WgpuBackend {
    /// Runs a plan once and measures each of its launches. Fails on devices without timestamps.
    pub fn time_plan(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Vec<LaunchTime>> {
        if !self.gpu.features.contains(wgpu::Features::TIMESTAMP_QUERY) {
            let message = "the device has no timestamps (feature timestamp-query)";
            return Err(Error::new(ErrorKind::Unsupported, message).on_device(&self.gpu.label));
        }
        let plan = self.own_plan(plan)?;
        let bound = self.bound_blocks(plan, bindings)?;
        plan.poison()?;
        let set = bind_set(plan, &self.gpu, &bound)?;
        let period = f64::from(self.gpu.queue.get_timestamp_period());
        let mut times = Vec::with_capacity(plan.dispatches.len());
        let all: Vec<_> = plan.dispatches.iter().zip(&set.groups).collect();
        for part in all.chunks(wgpu::QUERY_SET_MAX_QUERIES as usize / 2) {
            let n_queries = 2 * part.len() as u32;
            let bytes = u64::from(n_queries) * u64::from(wgpu::QUERY_SIZE);
            let device = &self.gpu.device;
            let work = || {
                let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
                    label: None,
                    ty: wgpu::QueryType::Timestamp,
                    count: n_queries,
                });
                let resolved = device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size: bytes,
                    usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                    mapped_at_creation: false,
                });
                let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                for (at, (dispatch, group)) in (0u32..).step_by(2).zip(part) {
                    record_copies(plan, dispatch, &bound, &mut encoder);
                    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                        label: None,
                        timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                            query_set: &queries,
                            beginning_of_pass_write_index: Some(at),
                            end_of_pass_write_index: Some(at + 1),
                        }),
                    });
                    let [x, y, z] = dispatch.groups;
                    pass.set_pipeline(&plan.pipelines[dispatch.pipeline].raw);
                    pass.set_bind_group(0, *group, &[]);
                    pass.dispatch_workgroups(x, y, z);
                }
                encoder.resolve_query_set(&queries, 0..n_queries, &resolved, 0);
                self.gpu.queue.submit([encoder.finish()]);
                resolved
            };
            let resolved = self.gpu.capture(|| "timing a program".to_owned(), work)?;
            let ticks = self.staging.read(&resolved, 0..bytes)?.wait()?;
            let tick = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
            times.extend(part.iter().zip(ticks.chunks_exact(16)).map(|((dispatch, _), pair)| LaunchTime {
                step: dispatch.step,
                kernel: Arc::clone(plan.name(dispatch.step)),
                nanoseconds: (tick(&pair[8..]).saturating_sub(tick(&pair[..8])) as f64 * period) as u64,
            }));
        }
        Ok(times)
    }
}
