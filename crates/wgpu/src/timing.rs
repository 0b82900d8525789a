//! Device time of a program, as a whole or launch by launch, by timestamps.
//!
//! Launch by launch, every dispatch gets a pass of its own, which costs some time between passes:
//! figures are those of kernels, not of a submission.

use std::sync::Arc;
use std::time::Duration;

use unisono_core::{Bindings, Error, ErrorKind, Plan, Result};

use crate::backend::WgpuBackend;
use crate::bind::bind_set;
use crate::clock::Stamps;
use crate::encode::{record, record_copies};

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
    /// Device time of all `runs` of a plan in one submission; `None` without timestamps.
    pub(crate) fn time_runs(&self, plan: &Arc<dyn Plan>, runs: &[Bindings]) -> Result<Option<Duration>> {
        let plan = self.own_plan(plan)?;
        if !Stamps::exist(&self.gpu) {
            return Ok(None);
        }
        if plan.dispatches.is_empty() || runs.is_empty() {
            return Ok(Some(Duration::ZERO));
        }
        plan.poison()?;
        let bound = runs.iter().map(|bindings| self.run_of(plan, bindings)).collect::<Result<Vec<_>>>()?;
        let work = || {
            let stamps = Stamps::new(&self.gpu, 2);
            let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            record(plan, &bound, Some(&stamps), &mut encoder);
            stamps.resolve(&mut encoder);
            self.gpu.queue.submit([encoder.finish()]);
            stamps
        };
        let stamps = self.gpu.capture(|| "timing a program".to_owned(), work)?;
        self.count(plan, runs.len() as u64);
        Ok(Some(stamps.intervals(&self.gpu, &self.staging)?.iter().sum()))
    }

    /// Runs a plan once and measures each of its launches. Fails on devices without timestamps.
    pub fn time_plan(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Vec<LaunchTime>> {
        if !Stamps::exist(&self.gpu) {
            let message = "the device has no timestamps (feature timestamp-query)";
            return Err(Error::new(ErrorKind::Unsupported, message).on_device(&self.gpu.label));
        }
        let plan = self.own_plan(plan)?;
        let bound = self.bound_blocks(plan, bindings)?;
        plan.poison()?;
        let set = bind_set(plan, &self.gpu, &bound)?;
        let mut times = Vec::with_capacity(plan.dispatches.len());
        let all: Vec<_> = plan.dispatches.iter().zip(&set.groups).collect();
        for part in all.chunks(wgpu::QUERY_SET_MAX_QUERIES as usize / 2) {
            let device = &self.gpu.device;
            let work = || {
                let stamps = Stamps::new(&self.gpu, 2 * part.len() as u32);
                let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                for (at, (dispatch, group)) in (0u32..).step_by(2).zip(part) {
                    record_copies(plan, dispatch, &bound, &mut encoder);
                    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                        label: None,
                        timestamp_writes: stamps.writes(Some(at), Some(at + 1)),
                    });
                    let [x, y, z] = dispatch.groups;
                    pass.set_pipeline(&plan.pipelines[dispatch.pipeline].raw);
                    pass.set_bind_group(0, *group, &[]);
                    pass.dispatch_workgroups(x, y, z);
                }
                stamps.resolve(&mut encoder);
                self.gpu.queue.submit([encoder.finish()]);
                stamps
            };
            let stamps = self.gpu.capture(|| "timing a program".to_owned(), work)?;
            let measured = stamps.intervals(&self.gpu, &self.staging)?;
            times.extend(part.iter().zip(measured).map(|((dispatch, _), time)| LaunchTime {
                step: dispatch.step,
                kernel: Arc::clone(plan.name(dispatch.step)),
                nanoseconds: time.as_nanos() as u64,
            }));
        }
        Ok(times)
    }
}
