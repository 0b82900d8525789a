//! An operation on a device, with as many copies of its weights as it takes to leave the caches.
//!
//! A model's weights are read once per token, each after all the others: never from a cache. A
//! benchmark that reads one weight again and again measures a cache that the model does not have. So
//! weights are rotated over copies that together exceed the last level. Everything else (activations,
//! the cache of keys and values of the layer at hand) is where it would be in a model, and has one
//! buffer.

use std::sync::Arc;

use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, DeviceInfo, DeviceKind, KernelChoice, Operand, Plan, ProgramBuilder, Result,
    SlotId, SlotKind, Step,
};

use crate::cases::Item;

/// Bytes over which weights are rotated where the device does not say how large its caches are.
pub const COLD_BYTES: u64 = 256 << 20;

/// The name under which a device states the size of its last-level cache, in its limits.
pub const CACHE_LIMIT: &str = "last-level-cache-bytes";

/// Bytes that a row may take where the device does not say how much memory it has.
const MEMORY_WHERE_UNKNOWN: u64 = 6 << 30;

/// The most copies of one weight.
const MAX_COPIES: u64 = 1024;

/// Bytes to rotate over on a device: four times its last-level cache, or [`COLD_BYTES`].
pub fn cold_bytes(info: &DeviceInfo) -> u64 {
    info.limits.get(CACHE_LIMIT).map_or(COLD_BYTES, |cache| cache.saturating_mul(4).max(1 << 20))
}

/// How many copies of the weights of `item` to rotate over: 1 where it has none.
pub fn copies(item: &Item, cold_bytes: u64) -> usize {
    let weights: u64 = item.weights.iter().map(|&i| item.slot_bytes(i)).sum();
    if weights == 0 {
        return 1;
    }
    // One more than covers the caches, so that what was evicted is not the copy that comes next.
    (cold_bytes.div_ceil(weights) + 1).clamp(2, MAX_COPIES) as usize
}

/// Why `item` with so many copies does not fit the device, if it does not.
pub fn refusal(item: &Item, copies: usize, info: &DeviceInfo) -> Option<String> {
    let operands = item.desc.inputs.len() + item.desc.outputs.len();
    let mut total: u64 = 0;
    for i in 0..operands {
        let bytes = item.slot_bytes(i);
        if bytes > info.max_buffer_bytes {
            let most = info.max_buffer_bytes >> 20;
            return Some(format!("an operand of {} MiB; the largest buffer has {most} MiB", bytes >> 20));
        }
        let times = if item.weights.contains(&i) { copies as u64 } else { 1 };
        total = total.saturating_add(bytes.saturating_mul(times));
    }
    // Others have no memory of their own: what they name is the host's.
    let known = info.memory.filter(|_| info.kind == DeviceKind::DiscreteGpu);
    // A part stays free for the system and what else is open.
    let most = known.map_or(MEMORY_WHERE_UNKNOWN, |memory| memory / 5 * 4);
    (total > most).then(|| format!("{} MiB of operands; {} MiB are to be had", total >> 20, most >> 20))
}

/// An operation whose buffers are on a device.
#[derive(Debug)]
pub struct Bound<'a> {
    backend: &'a dyn Backend,
    item: &'a Item,
    /// One for each copy of the weights.
    pub bindings: Vec<Bindings>,
    outputs: Vec<Buffer>,
}

impl<'a> Bound<'a> {
    /// Allocates and uploads, with `copies` copies of the weights.
    pub fn new(backend: &'a dyn Backend, item: &'a Item, copies: usize) -> Result<Bound<'a>> {
        let inputs = item.desc.inputs.len();
        let mut shared = Vec::with_capacity(inputs);
        for i in 0..inputs {
            let own = item.weights.contains(&i);
            shared.push(if own { None } else { Some(item.inputs[i].upload(backend, item.slot_bytes(i))?) });
        }
        let mut outputs = Vec::new();
        for i in inputs..inputs + item.desc.outputs.len() {
            outputs.push(backend.alloc(&BufferDesc::new(item.slot_bytes(i)))?);
        }
        let mut bindings = Vec::with_capacity(copies);
        for _ in 0..copies.max(1) {
            let mut set = Bindings::new();
            for (i, buffer) in shared.iter().enumerate() {
                let buffer = match buffer {
                    Some(buffer) => buffer.clone(),
                    None => item.inputs[i].upload(backend, item.slot_bytes(i))?,
                };
                set.set(SlotId(i as u32), buffer);
            }
            for (i, buffer) in outputs.iter().enumerate() {
                set.set(SlotId((inputs + i) as u32), buffer.clone());
            }
            bindings.push(set);
        }
        let bound = Bound { backend, item, bindings, outputs };
        bound.reset()?;
        Ok(bound)
    }

    /// Gives the outputs the content of before: the former content of those that are updated, NaN
    /// patterns in the others.
    pub fn reset(&self) -> Result<()> {
        for (i, buffer) in self.outputs.iter().enumerate() {
            let mut bytes = vec![0xFF; buffer.bytes() as usize];
            if let Some(initial) = &self.item.initial[i] {
                initial.read(0, &mut bytes);
            }
            self.backend.write(buffer, 0, &bytes)?;
        }
        Ok(())
    }

    /// Compiles the operation for the given kernel.
    pub fn compile(&self, kernel: KernelChoice) -> Result<Arc<dyn Plan>> {
        let item = self.item;
        let mut builder = ProgramBuilder::new();
        let inputs = item.desc.inputs.len();
        let mut operands = Vec::new();
        for (i, desc) in item.desc.inputs.iter().chain(&item.desc.outputs).enumerate() {
            let kind = match i.checked_sub(inputs) {
                None => SlotKind::Input,
                Some(o) if item.desc.op.updates_in_place(o) => SlotKind::State,
                Some(_) => SlotKind::Output,
            };
            operands.push(Operand {
                slot: builder.slot(kind, item.slot_bytes(i)),
                offset: item.offset(i),
                desc: *desc,
            });
        }
        let outputs = operands.split_off(inputs);
        builder.push_step(Step { op: item.desc.op.clone(), inputs: operands, outputs, kernel })?;
        self.backend.compile(&builder.finish())
    }

    /// Runs a plan once over copy number `copy`, and reads the outputs.
    pub fn run(&self, plan: &Arc<dyn Plan>, copy: usize) -> Result<Vec<Vec<u8>>> {
        self.reset()?;
        self.backend.submit(plan, &self.bindings[copy % self.bindings.len()])?.wait()?;
        self.read()
    }

    /// The outputs as they are now.
    pub fn read(&self) -> Result<Vec<Vec<u8>>> {
        self.outputs.iter().map(|buffer| self.backend.read(buffer, 0..buffer.bytes()).wait()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::{self, Selection};
    use crate::data::Patterns;
    use unisono_core::DType;

    fn item(dtype: DType) -> Item {
        let selection = Selection { sets: vec!["llama-decode".into()], dtypes: vec![dtype], ..Selection::default() };
        let mut items = cases::items(&selection, &mut Patterns::new()).unwrap();
        items.retain(|item| item.id.contains("/attn_q"));
        items.remove(0)
    }

    #[test]
    fn copies_exceed_the_caches_and_only_weights_have_them() {
        let f32 = item(DType::F32);
        assert_eq!(f32.slot_bytes(1), 16 << 20);
        assert_eq!(copies(&f32, COLD_BYTES), 17);
        assert!(copies(&f32, 1) == 2, "never the one that was just read");
        let none = Item { weights: Vec::new(), ..f32 };
        assert_eq!(copies(&none, COLD_BYTES), 1);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let item = item(DType::F32);
        let mut info = DeviceInfo::new("x", "x", DeviceKind::DiscreteGpu);
        assert_eq!(refusal(&item, 17, &info), None);
        info.memory = Some(128 << 20);
        assert!(refusal(&item, 17, &info).unwrap().contains("MiB of operands"));
        info.max_buffer_bytes = 1 << 20;
        assert!(refusal(&item, 17, &info).unwrap().contains("largest buffer"));
    }

    #[test]
    fn a_device_may_state_its_cache() {
        let mut info = DeviceInfo::new("x", "x", DeviceKind::Cpu);
        assert_eq!(cold_bytes(&info), COLD_BYTES);
        info.limits.insert(CACHE_LIMIT.into(), 96 << 20);
        assert_eq!(cold_bytes(&info), 384 << 20);
    }
}
