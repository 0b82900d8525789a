//! Recording a plan's dispatches.
//!
//! One compute pass holds them all: wgpu puts the barriers between dispatches. Only a copy of what
//! an in-place step reads ends the pass, because copies cannot be recorded inside one.

use crate::bind::BindSet;
use crate::memory::Block;
use crate::plan::{Dispatch, WgpuPlan};

/// Records the whole plan.
pub(crate) fn record(plan: &WgpuPlan, set: &BindSet, bound: &[&Block], encoder: &mut wgpu::CommandEncoder) {
    let mut open: Option<wgpu::ComputePass<'static>> = None;
    let mut current = usize::MAX;
    for (dispatch, group) in plan.dispatches.iter().zip(&set.groups) {
        if !dispatch.copies.is_empty() {
            drop(open.take());
            current = usize::MAX;
            record_copies(plan, dispatch, bound, encoder);
        }
        let pass = open.get_or_insert_with(|| {
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()).forget_lifetime()
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
