//! Bind groups of a plan for the buffers of a submission, kept for the next one.
//!
//! Programs are replayed with the same few sets of buffers, so whole sets are kept. Where only one
//! buffer changes, the groups of all launches that do not touch it are taken from an earlier set.

use std::sync::Arc;

use unisono_core::Result;
use unisono_shaders::PARAMETER_BYTES;

use crate::device::{Gpu, lock};
use crate::memory::Block;
use crate::plan::{Dispatch, Storage, WgpuPlan, parameter_stride};

/// Sets that a plan keeps.
const MAX_SETS: usize = 16;

/// The bind groups of all dispatches for one set of bound buffers.
#[derive(Debug)]
pub(crate) struct BindSet {
    /// Identities of the buffers, by rank of the bound slot.
    ids: Vec<u64>,
    pub(crate) groups: Vec<wgpu::BindGroup>,
}

impl BindSet {
    /// Whether the buffers that `dispatch` uses are the same in this set.
    fn serves(&self, dispatch: &Dispatch, ids: &[u64]) -> bool {
        dispatch.uses.iter().all(|range| match range.storage {
            Storage::Bound(i) => self.ids[i] == ids[i],
            _ => true,
        })
    }
}

/// The bind groups of `plan` for these buffers.
pub(crate) fn bind_set(plan: &WgpuPlan, gpu: &Gpu, bound: &[&Block]) -> Result<Arc<BindSet>> {
    let mut sets = lock(&plan.bind_sets);
    let matches = |set: &Arc<BindSet>| set.ids.iter().copied().eq(bound.iter().map(|block| block.id()));
    if let Some(at) = sets.iter().position(matches) {
        let set = sets.remove(at);
        sets.insert(0, Arc::clone(&set));
        return Ok(set);
    }
    let ids: Vec<u64> = bound.iter().map(|block| block.id()).collect();
    let stride = parameter_stride(gpu);
    let make = || {
        let group = |(index, dispatch): (usize, &Dispatch)| {
            let known = sets.iter().find(|set| set.serves(dispatch, &ids));
            known.map_or_else(
                || create(plan, gpu, bound, dispatch, index as u64 * stride),
                |set| set.groups[index].clone(),
            )
        };
        plan.dispatches.iter().enumerate().map(group).collect()
    };
    let groups = gpu.capture(|| "binding buffers".to_owned(), make)?;
    let set = Arc::new(BindSet { ids, groups });
    sets.insert(0, Arc::clone(&set));
    sets.truncate(MAX_SETS);
    Ok(set)
}

fn create(plan: &WgpuPlan, gpu: &Gpu, bound: &[&Block], dispatch: &Dispatch, parameters: u64) -> wgpu::BindGroup {
    let range = |buffer, offset, size| {
        let size = wgpu::BufferSize::new(size);
        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
    };
    let memory = dispatch.uses.iter().map(|u| range(plan.resolve(u.storage, bound).raw(), u.offset, u.size));
    let resources = memory.chain([range(&plan.parameters, parameters, PARAMETER_BYTES)]);
    let entries: Vec<wgpu::BindGroupEntry<'_>> = resources
        .enumerate()
        .map(|(binding, resource)| wgpu::BindGroupEntry { binding: binding as u32, resource })
        .collect();
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &plan.pipelines[dispatch.pipeline].layout,
        entries: &entries,
    })
}
