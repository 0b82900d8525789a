//! Recording a plan's dispatches.
//!
//! One compute pass holds them all: wgpu puts the barriers between dispatches. Only a copy of what
//! an in-place step reads ends the pass, because copies cannot be recorded inside one.

use std::sync::Arc;

use crate::bind::BindSet;
use crate::clock::Stamps;
use crate::memory::Block;
use crate::plan::{Dispatch, WgpuPlan};

/// The buffers of one run of a plan.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) set: Arc<BindSet>,
    pub(crate) bound: Vec<&'a Block>,
}

/// Records the whole plan once for each of `runs`. With `stamps`, timestamp 0 is taken before
/// everything and timestamp 1 after it.
pub(crate) fn record(plan: &WgpuPlan, runs: &[Run<'_>], stamps: Option<&Stamps>, encoder: &mut wgpu::CommandEncoder) {
    let copies = plan.dispatches.iter().filter(|dispatch| !dispatch.copies.is_empty()).count() * runs.len();
    let starts_with_copy = plan.dispatches.first().is_some_and(|first| !first.copies.is_empty());
    let passes = 1 + copies - usize::from(starts_with_copy && !runs.is_empty());
    let mut opened = 0;
    let mut open: Option<wgpu::ComputePass<'static>> = None;
    let mut current = usize::MAX;
    for run in runs {
        for (dispatch, group) in plan.dispatches.iter().zip(&run.set.groups) {
            if !dispatch.copies.is_empty() {
                drop(open.take());
                current = usize::MAX;
                record_copies(plan, dispatch, &run.bound, encoder);
            }
            let pass = open.get_or_insert_with(|| {
                opened += 1;
                let (begin, end) = ((opened == 1).then_some(0), (opened == passes).then_some(1));
                let timestamp_writes = stamps.and_then(|stamps| stamps.writes(begin, end));
                encoder
                    .begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes })
                    .forget_lifetime()
            });
            if dispatch.pipeline != current {
                current = dispatch.pipeline;
                pass.set_pipeline(&plan.pipelines[current].raw);
            }
            pass.set_bind_group(0, group, &[]);
            let [x, y, z] = dispatch.groups;
            pass.dispatch_workgroups(x, y, z);
        }
    }
}

/// Records what has to be copied before `dispatch`.
pub(crate) fn record_copies(
    plan: &WgpuPlan,
    dispatch: &Dispatch,
    bound: &[&Block],
    encoder: &mut wgpu::CommandEncoder,
) {
    for copy in &dispatch.copies {
        let (from, to) = (plan.resolve(copy.from.storage, bound), plan.resolve(copy.to, bound));
        encoder.copy_buffer_to_buffer(from.raw(), copy.from.offset, to.raw(), 0, copy.from.size);
    }
}
