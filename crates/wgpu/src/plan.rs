//! Compiled programs: every decision that can be taken once is taken here.
//!
//! Compiling lowers the program, asks selection for the recipe of each step, builds the pipelines,
//! assigns memory (temporaries share blocks, scratch is shared by all steps since they run one
//! after the other) and uploads constants and parameters. What is left for a submission is to find
//! the bind groups of the bound buffers and to record dispatches.
//!
//! WebGPU forbids reading and writing one buffer in the same dispatch. Where a step does so (at
//! disjoint ranges), what it reads is copied to a shadow buffer before the dispatch.

use std::any::Any;
use std::sync::{Arc, Mutex};

use unisono_core::{
    Error, KernelChoice, OpDesc, Plan, Program, Result, SlotKind, Step, TemporaryBlocks, assign_blocks, lower,
};
use unisono_shaders::{Access, PARAMETER_BYTES};

use crate::bind::BindSet;
use crate::caps::Caps;
use crate::device::Gpu;
use crate::launch::{Binding, Launch, Recipe, Source};
use crate::memory::{Block, Memory};
use crate::pipeline::{Pipeline, Pipelines};
use crate::select;

/// Whose memory a binding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// The buffer of the bound slot of this rank.
    Bound(usize),
    /// A block of temporaries.
    Block(usize),
    /// A constant.
    Constant(usize),
    /// Scratch memory of recipes.
    Scratch(usize),
    /// A copy of what an in-place step reads.
    Shadow(usize),
}

/// A range that a dispatch uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    pub(crate) storage: Storage,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// A range to be copied to the start of a shadow buffer before a dispatch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShadowCopy {
    pub(crate) from: Use,
    pub(crate) to: Storage,
}

/// One dispatch with its memory.
#[derive(Debug)]
pub(crate) struct Dispatch {
    /// The step it belongs to.
    pub(crate) step: usize,
    /// Index into [`WgpuPlan::pipelines`].
    pub(crate) pipeline: usize,
    pub(crate) uses: Vec<Use>,
    pub(crate) copies: Vec<ShadowCopy>,
    pub(crate) groups: [u32; 3],
}

/// A program compiled for one device.
#[derive(Debug)]
pub(crate) struct WgpuPlan {
    program: Program,
    names: Vec<Arc<str>>,
    pub(crate) dispatches: Vec<Dispatch>,
    pub(crate) pipelines: Vec<Arc<Pipeline>>,
    blocks: Vec<Block>,
    constants: Vec<Block>,
    scratch: Vec<Block>,
    shadows: Vec<Block>,
    /// Parameter blocks, one per dispatch at a stride of [`parameter_stride`].
    pub(crate) parameters: wgpu::Buffer,
    /// Bind groups of recent sets of bound buffers, latest first.
    pub(crate) bind_sets: Mutex<Vec<Arc<BindSet>>>,
    memory: Arc<Memory>,
}

impl Plan for WgpuPlan {
    fn program(&self) -> &Program {
        &self.program
    }

    fn kernel_names(&self) -> Vec<Arc<str>> {
        self.names.clone()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl WgpuPlan {
    /// The memory behind `storage`, given the buffers of the bound slots.
    pub(crate) fn resolve<'a>(&'a self, storage: Storage, bound: &[&'a Block]) -> &'a Block {
        match storage {
            Storage::Bound(i) => bound[i],
            Storage::Block(i) => &self.blocks[i],
            Storage::Constant(i) => &self.constants[i],
            Storage::Scratch(i) => &self.scratch[i],
            Storage::Shadow(i) => &self.shadows[i],
        }
    }

    pub(crate) fn belongs_to(&self, memory: &Arc<Memory>) -> bool {
        Arc::ptr_eq(&self.memory, memory)
    }

    /// The kernel that serves step `index`.
    pub(crate) fn name(&self, index: usize) -> &Arc<str> {
        &self.names[index]
    }

    /// In the debug mode: makes everything undefined that is undefined when a submission starts.
    pub(crate) fn poison(&self) -> Result<()> {
        if !self.memory.is_poisoned() {
            return Ok(());
        }
        let undefined = self.blocks.iter().chain(&self.scratch).chain(&self.shadows);
        undefined.into_iter().try_for_each(|block| self.memory.poison(block))
    }
}

/// Distance of parameter blocks in bytes.
pub(crate) fn parameter_stride(gpu: &Gpu) -> u64 {
    PARAMETER_BYTES.next_multiple_of(u64::from(gpu.limits.min_uniform_buffer_offset_alignment).max(16))
}

/// Compiles `program`.
pub(crate) fn compile(
    program: &Program,
    gpu: &Gpu,
    caps: &Caps,
    memory: &Arc<Memory>,
    pipelines: &Pipelines,
) -> Result<WgpuPlan> {
    let native = |desc: &OpDesc| select::candidates(desc, caps).is_ok();
    let program = lower(program, &native)?;
    let recipes = program.steps().iter().map(|step| recipe(step, caps)).collect::<Result<Vec<_>>>()?;
    let launches: Vec<&Launch> = recipes.iter().flat_map(|recipe| &recipe.launches).collect();
    let by_launch = pipelines.get(&launches)?;

    let temporaries = assign_blocks(&program);
    let mut layout = Layout::new(&program, &temporaries, gpu);
    let mut unique: Vec<Arc<Pipeline>> = Vec::new();
    let mut dispatches = Vec::with_capacity(launches.len());
    let mut built = by_launch.iter();
    for (index, (step, recipe)) in program.steps().iter().zip(&recipes).enumerate() {
        for (i, &bytes) in recipe.scratch.iter().enumerate() {
            grow(&mut layout.scratch, i, bytes);
        }
        for (launch, pipeline) in recipe.launches.iter().zip(built.by_ref()) {
            let dispatch = layout.dispatch(index, step, recipe, launch).map_err(|e| e.on_device(&gpu.label))?;
            let known = unique.iter().position(|p| Arc::ptr_eq(p, pipeline));
            let pipeline = known.unwrap_or_else(|| {
                unique.push(Arc::clone(pipeline));
                unique.len() - 1
            });
            dispatches.push(Dispatch { pipeline, ..dispatch });
        }
    }

    let alloc = |sizes: &[u64]| sizes.iter().map(|&bytes| memory.alloc(bytes)).collect::<Result<Vec<_>>>();
    let mut constants = Vec::new();
    for slot in program.slots() {
        if let SlotKind::Constant(bytes) = &slot.kind {
            let block = memory.alloc(slot.bytes)?;
            memory.uploads.write_unaligned(block.raw(), bytes.len() as u64, 0, bytes)?;
            constants.push(block);
        }
    }
    Ok(WgpuPlan {
        names: recipes.iter().map(|recipe| Arc::clone(&recipe.name)).collect(),
        dispatches,
        pipelines: unique,
        blocks: alloc(&temporaries.blocks)?,
        constants,
        scratch: alloc(&layout.scratch)?,
        shadows: alloc(&layout.shadows)?,
        parameters: upload_parameters(gpu, memory, &launches)?,
        bind_sets: Mutex::default(),
        memory: Arc::clone(memory),
        program,
    })
}

fn recipe(step: &Step, caps: &Caps) -> Result<Recipe> {
    let name = match &step.kernel {
        KernelChoice::Named(name) => Some(&**name),
        _ => None,
    };
    select::recipe(step, name, caps).map_err(|e| e.with_op(step.op.name(), step.desc().operands()))
}

fn grow(sizes: &mut Vec<u64>, index: usize, bytes: u64) {
    if sizes.len() <= index {
        sizes.resize(index + 1, 0);
    }
    sizes[index] = sizes[index].max(bytes);
}

fn upload_parameters(gpu: &Gpu, memory: &Memory, launches: &[&Launch]) -> Result<wgpu::Buffer> {
    let stride = parameter_stride(gpu);
    let mut content = vec![0u8; launches.len().max(1) * stride as usize];
    for (launch, block) in launches.iter().zip(content.chunks_exact_mut(stride as usize)) {
        for (word, bytes) in launch.params.iter().zip(block.chunks_exact_mut(4)) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
    }
    let descriptor = wgpu::BufferDescriptor {
        label: Some("parameters"),
        size: content.len() as u64,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    };
    let buffer = gpu.capture(|| "allocating parameters".to_owned(), || gpu.device.create_buffer(&descriptor))?;
    memory.uploads.write(&buffer, 0, &content)?;
    Ok(buffer)
}

/// Where everything of a plan lies, while it is compiled.
struct Layout {
    /// Storage and allocated bytes of each slot.
    slots: Vec<(Storage, u64)>,
    scratch: Vec<u64>,
    shadows: Vec<u64>,
    max_binding: u64,
}

impl Layout {
    fn new(program: &Program, temporaries: &TemporaryBlocks, gpu: &Gpu) -> Layout {
        let (mut n_bound, mut n_constants) = (0, 0);
        let mut next = |counter: fn(usize) -> Storage, of_constants: bool| {
            let n = if of_constants { &mut n_constants } else { &mut n_bound };
            *n += 1;
            counter(*n - 1)
        };
        let slots = program.slots().iter().zip(&temporaries.block_of).map(|(slot, block)| {
            let storage = match slot.kind {
                SlotKind::Constant(_) => next(Storage::Constant, true),
                // A temporary without a block is used by no step.
                SlotKind::Temporary => Storage::Block(block.unwrap_or(0)),
                _ => next(Storage::Bound, false),
            };
            (storage, padded(slot.bytes))
        });
        let max_binding = gpu.limits.max_storage_buffer_binding_size;
        Layout { slots: slots.collect(), scratch: Vec::new(), shadows: Vec::new(), max_binding }
    }

    fn dispatch(&mut self, index: usize, step: &Step, recipe: &Recipe, launch: &Launch) -> Result<Dispatch> {
        let fail = |what: String| Error::internal(format!("kernel {}: {what}", recipe.name));
        let accesses = launch.variant.bindings;
        if launch.bindings.len() != accesses.len() {
            return Err(fail(format!("{} buffers for {} bindings", launch.bindings.len(), accesses.len())));
        }
        if launch.params.len() as u64 * 4 > PARAMETER_BYTES || launch.groups.contains(&0) {
            return Err(fail(format!("{} parameters, groups {:?}", launch.params.len(), launch.groups)));
        }
        let ranges = launch.bindings.iter().map(|binding| {
            self.place(step, recipe, binding).ok_or_else(|| fail(format!("{binding:?} is outside its memory")))
        });
        let mut uses = ranges.collect::<Result<Vec<Use>>>()?;
        let written: Vec<Storage> =
            uses.iter().zip(accesses).filter(|(_, a)| **a == Access::ReadWrite).map(|(u, _)| u.storage).collect();
        let mut copies = Vec::new();
        for (range, access) in uses.iter_mut().zip(accesses) {
            if *access == Access::Read && written.contains(&range.storage) {
                let to = Storage::Shadow(copies.len());
                grow(&mut self.shadows, copies.len(), range.size);
                copies.push(ShadowCopy { from: *range, to });
                *range = Use { storage: to, offset: 0, size: range.size };
            }
        }
        Ok(Dispatch { step: index, pipeline: 0, uses, copies, groups: launch.groups })
    }

    fn place(&self, step: &Step, recipe: &Recipe, binding: &Binding) -> Option<Use> {
        let (storage, bytes) = match binding.source {
            Source::Input(i) => *self.slots.get(step.inputs.get(i)?.slot.index())?,
            Source::Output(i) => *self.slots.get(step.outputs.get(i)?.slot.index())?,
            Source::Scratch(i) => (Storage::Scratch(i), padded(*recipe.scratch.get(i)?)),
        };
        let available = bytes.checked_sub(binding.offset)?.min(self.max_binding & !3);
        // Shaders may view memory as vectors of four words.
        let size = binding.size.max(1).checked_next_multiple_of(16)?.min(available);
        let fits = binding.size <= size && size > 0 && size.is_multiple_of(4);
        fits.then_some(Use { storage, offset: binding.offset, size })
    }
}

/// Bytes that an allocation of `bytes` bytes has at least.
fn padded(bytes: u64) -> u64 {
    bytes.max(16).next_multiple_of(16)
}
