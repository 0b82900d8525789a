//! The device as the rest of the system sees it.
//!
//! Everything that reaches the GPU goes through one queue, which orders it: submissions, writes and
//! reads from any thread run in the order in which their calls were made.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, Counters, DeviceInfo, Error, KernelSource, OpDesc, Pending, Plan, ProbeKind,
    ProbeRun, Program, Readback, Result, Support, Ticket, support,
};

use crate::adapter::{self, AdapterSummary};
use crate::bind::bind_set;
use crate::caps::Caps;
use crate::device::Gpu;
use crate::encode::{Run, record};
use crate::info;
use crate::memory::{Block, Memory};
use crate::options::WgpuOptions;
use crate::pipeline::Pipelines;
use crate::plan::{self, WgpuPlan};
use crate::readback::{Staging, ticket};
use crate::select;

/// A GPU (or a software implementation of one) reached through wgpu.
#[derive(Debug)]
pub struct WgpuBackend {
    info: DeviceInfo,
    pub(crate) caps: Caps,
    pub(crate) gpu: Arc<Gpu>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) staging: Arc<Staging>,
    pub(crate) pipelines: Pipelines,
    /// Opened by the probe that measures them.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) matrix_units: crate::probe::MatrixUnits,
    plans: AtomicU64,
    submissions: AtomicU64,
    dispatches: AtomicU64,
}

/// Opens the adapter of an id (`wgpu:1`) or index (`1`), see [`adapters`](fn@crate::adapters).
#[cfg(not(target_family = "wasm"))]
pub fn open(id_or_index: &str, options: &WgpuOptions) -> Result<Arc<WgpuBackend>> {
    pollster::block_on(open_async(id_or_index, options))
}

/// [`open`](fn@crate::open) for browsers, which cannot block.
pub async fn open_async(id_or_index: &str, options: &WgpuOptions) -> Result<Arc<WgpuBackend>> {
    let (adapter, summary) = adapter::find(id_or_index).await?;
    WgpuBackend::new(&adapter, &summary, &options.clone().with_env()).await
}

impl WgpuBackend {
    /// Opens `adapter`. The environment is not looked at.
    pub(crate) async fn new(
        adapter: &wgpu::Adapter,
        summary: &AdapterSummary,
        options: &WgpuOptions,
    ) -> Result<Arc<WgpuBackend>> {
        let label = format!("{} ({}, {})", summary.id, summary.name, summary.api);
        let gpu = Arc::new(Gpu::open(adapter, label, options).await?);
        let adapter_info = adapter.get_info();
        let software = summary.kind == unisono_core::DeviceKind::Software;
        let caps = info::caps(&gpu, &adapter_info, software, options)?;
        #[cfg(not(target_family = "wasm"))]
        let disk = match options.disk_cache && options.replaced.is_none() {
            true => crate::disk_cache::DiskCache::open(&gpu, &adapter_info),
            false => None,
        };
        #[cfg(not(target_family = "wasm"))]
        let cached = disk.is_some();
        #[cfg(target_family = "wasm")]
        let cached = false;
        Ok(Arc::new(WgpuBackend {
            info: info::describe(&gpu, summary, &caps, options, cached),
            caps,
            memory: Memory::new(Arc::clone(&gpu), options.poison),
            staging: Staging::new(Arc::clone(&gpu)),
            pipelines: Pipelines::new(
                Arc::clone(&gpu),
                options,
                #[cfg(not(target_family = "wasm"))]
                disk,
            )?,
            gpu,
            #[cfg(not(target_family = "wasm"))]
            matrix_units: crate::probe::MatrixUnits::of(adapter, summary, options),
            plans: AtomicU64::new(0),
            submissions: AtomicU64::new(0),
            dispatches: AtomicU64::new(0),
        }))
    }

    fn own_block<'a>(&self, buffer: &'a Buffer) -> Result<&'a Block> {
        let block: &Block = buffer.downcast()?;
        if !block.belongs_to(&self.memory) {
            return Err(Error::invalid("the buffer belongs to another device").on_device(&self.gpu.label));
        }
        Ok(block)
    }

    pub(crate) fn own_plan<'a>(&self, plan: &'a Arc<dyn Plan>) -> Result<&'a WgpuPlan> {
        let own = plan.as_any().downcast_ref::<WgpuPlan>().filter(|plan| plan.belongs_to(&self.memory));
        own.ok_or_else(|| Error::invalid("the plan was compiled by another device").on_device(&self.gpu.label))
    }

    /// The buffers of the bound slots of `plan`, in order.
    pub(crate) fn bound_blocks<'a>(&self, plan: &WgpuPlan, bindings: &'a Bindings) -> Result<Vec<&'a Block>> {
        bindings.validate(plan.program())?;
        let buffers = plan.program().bound_slots().filter_map(|(id, _)| bindings.get(id));
        buffers.map(|buffer| self.own_block(buffer)).collect()
    }

    /// The buffers and bind groups of one run of `plan`.
    pub(crate) fn run_of<'a>(&self, plan: &WgpuPlan, bindings: &'a Bindings) -> Result<Run<'a>> {
        let bound = self.bound_blocks(plan, bindings)?;
        let set = bind_set(plan, &self.gpu, &bound)?;
        Ok(Run { set, bound })
    }

    /// Counts one submission of `runs` runs.
    pub(crate) fn count(&self, plan: &WgpuPlan, runs: u64) {
        self.submissions.fetch_add(1, Relaxed);
        self.dispatches.fetch_add(runs * plan.dispatches.len() as u64, Relaxed);
    }

    fn start_read(&self, buffer: &Buffer, range: Range<u64>) -> Result<Readback> {
        buffer.check_range(&range)?;
        self.staging.read(self.own_block(buffer)?.raw(), range)
    }
}

impl Backend for WgpuBackend {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, op: &OpDesc) -> Support {
        support(op, &|op| select::candidates(op, &self.caps).map(|_| ()))
    }

    fn kernels(&self, op: &OpDesc) -> Vec<Arc<str>> {
        match op.validate() {
            Ok(()) => select::candidates(op, &self.caps).unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    fn kernel_source(&self, op: &OpDesc, kernel: &str) -> Vec<KernelSource> {
        let Ok(recipe) = select::recipe(&select::step_of(op), Some(kernel), &self.caps) else { return Vec::new() };
        self.pipelines.sources(&recipe)
    }

    fn alloc(&self, desc: &BufferDesc) -> Result<Buffer> {
        let block = self.memory.alloc(desc.bytes).map_err(|e| match &desc.label {
            Some(label) => Error::new(e.kind(), format!("{label}: {}", e.message())).on_device(&self.gpu.label),
            None => e,
        })?;
        Ok(Buffer::new(desc.bytes, Arc::new(block)))
    }

    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset.saturating_add(bytes.len() as u64);
        buffer.check_range(&(offset..end))?;
        let block = self.own_block(buffer)?;
        self.memory.uploads.write_unaligned(block.raw(), buffer.bytes(), offset, bytes)
    }

    fn read(&self, buffer: &Buffer, range: Range<u64>) -> Readback {
        self.start_read(buffer, range).unwrap_or_else(|e| Pending::ready(Err(e)))
    }

    fn compile(&self, program: &Program) -> Result<Arc<dyn Plan>> {
        let plan = plan::compile(program, &self.gpu, &self.caps, &self.memory, &self.pipelines)
            .map_err(|e| e.on_device(&self.gpu.label))?;
        self.plans.fetch_add(1, Relaxed);
        Ok(Arc::new(plan))
    }

    fn submit(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Ticket> {
        let plan = self.own_plan(plan)?;
        plan.poison()?;
        let run = self.run_of(plan, bindings)?;
        let index = self.gpu.capture(
            || format!("running a program of {} steps", plan.program().steps().len()),
            || {
                let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                record(plan, &[run], None, &mut encoder);
                self.gpu.queue.submit([encoder.finish()])
            },
        )?;
        self.count(plan, 1);
        Ok(ticket(&self.gpu, index))
    }

    fn counters(&self) -> Counters {
        let (bytes_now, bytes_peak) = self.memory.usage();
        Counters {
            plans: self.plans.load(Relaxed),
            kernels: self.pipelines.count(),
            submissions: self.submissions.load(Relaxed),
            dispatches: self.dispatches.load(Relaxed),
            bytes_now,
            bytes_peak,
        }
    }

    #[cfg(not(target_family = "wasm"))]
    fn time(&self, plan: &Arc<dyn Plan>, runs: &[Bindings]) -> Result<Option<Duration>> {
        self.time_runs(plan, runs)
    }

    #[cfg(not(target_family = "wasm"))]
    fn probe(&self, kind: ProbeKind, rounds: u32) -> Result<Option<ProbeRun>> {
        self.run_probe(kind, rounds)
    }
}
