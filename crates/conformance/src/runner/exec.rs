//! One case on a device: its buffers, and a submission over them.
//!
//! The caller decides what the outcome means; nothing here judges values.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, KernelChoice, OpDesc, Operand, Pending, Plan, Program, ProgramBuilder,
    Result, SlotId, SlotKind, Step,
};
use web_time::Instant;

use super::now;
use crate::arena::{Poison, Region};

/// Waits for a device: blocking where the platform can block, else by the future.
pub(crate) async fn finish<T: Send + 'static>(pending: Pending<T>) -> Result<T> {
    #[cfg(not(target_family = "wasm"))]
    let result = pending.wait();
    #[cfg(target_family = "wasm")]
    let result = pending.await;
    now::step();
    result
}

/// Runs `future` to its end; a panic in it becomes its message.
pub(crate) async fn catch<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(panic_message(&*payload))),
    })
    .await
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("the backend panicked: {}", text.unwrap_or("no message"))
}

/// A new buffer that holds `bytes`.
pub(crate) fn upload(backend: &dyn Backend, bytes: &[u8]) -> Result<Buffer> {
    let buffer = backend.alloc(&BufferDesc::new(bytes.len() as u64))?;
    backend.write(&buffer, 0, bytes)?;
    Ok(buffer)
}

/// All bytes of a buffer.
pub(crate) async fn download(backend: &dyn Backend, buffer: &Buffer) -> Result<Vec<u8>> {
    finish(backend.read(buffer, 0..buffer.bytes())).await
}

/// What a case binds, on the host.
#[derive(Clone, Debug)]
pub(crate) struct Tensors {
    pub(crate) desc: OpDesc,
    pub(crate) inputs: Vec<Region>,
    pub(crate) outputs: Vec<Region>,
    /// The buffer of each input.
    pub(crate) input_images: Vec<Vec<u8>>,
    /// The span of each output that is updated in place.
    pub(crate) initial: Vec<Option<Vec<u8>>>,
}

impl Tensors {
    /// The image of output `index` before run number `run`.
    pub(crate) fn output_image(&self, index: usize, run: u32) -> Vec<u8> {
        self.outputs[index].image(self.initial[index].as_deref(), Poison::of_run(run))
    }

    /// The operation alone, as a program over the arenas.
    fn program(&self, kernel: KernelChoice) -> Result<Program> {
        let mut builder = ProgramBuilder::new();
        let mut operand = |region: &Region, kind: SlotKind| Operand {
            slot: builder.slot(kind, region.bytes() as u64),
            offset: region.offset(),
            desc: region.desc,
        };
        let inputs = self.inputs.iter().map(|r| operand(r, SlotKind::Input)).collect();
        let kind = |initial: &Option<Vec<u8>>| if initial.is_some() { SlotKind::State } else { SlotKind::Output };
        let outputs = self.outputs.iter().zip(&self.initial).map(|(r, i)| operand(r, kind(i))).collect();
        builder.push_step(Step { op: self.desc.op.clone(), inputs, outputs, kernel })?;
        Ok(builder.finish())
    }
}

/// A case whose buffers exist on a device.
#[derive(Debug)]
pub(crate) struct Bound<'a> {
    backend: &'a dyn Backend,
    tensors: &'a Tensors,
    inputs: Vec<Buffer>,
    outputs: Vec<Buffer>,
    bindings: Bindings,
}

/// The outputs of one submission.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) poison: Poison,
    /// The whole buffer of each output, before and after.
    pub(crate) before: Vec<Vec<u8>>,
    pub(crate) after: Vec<Vec<u8>>,
    pub(crate) time: Duration,
}

impl<'a> Bound<'a> {
    /// Allocates every buffer and uploads the inputs.
    pub(crate) fn new(backend: &'a dyn Backend, tensors: &'a Tensors) -> Result<Bound<'a>> {
        let inputs: Vec<Buffer> =
            tensors.input_images.iter().map(|image| upload(backend, image)).collect::<Result<_>>()?;
        let alloc = |region: &Region| backend.alloc(&BufferDesc::new(region.bytes() as u64));
        let outputs: Vec<Buffer> = tensors.outputs.iter().map(alloc).collect::<Result<_>>()?;
        let mut bindings = Bindings::new();
        for (i, buffer) in inputs.iter().chain(&outputs).enumerate() {
            bindings.set(SlotId(i as u32), buffer.clone());
        }
        Ok(Bound { backend, tensors, inputs, outputs, bindings })
    }

    /// The same inputs with outputs of its own.
    pub(crate) fn sharing(&self) -> Result<Bound<'a>> {
        let alloc = |region: &Region| self.backend.alloc(&BufferDesc::new(region.bytes() as u64));
        let outputs: Vec<Buffer> = self.tensors.outputs.iter().map(alloc).collect::<Result<_>>()?;
        let mut bindings = Bindings::new();
        for (i, buffer) in self.inputs.iter().chain(&outputs).enumerate() {
            bindings.set(SlotId(i as u32), buffer.clone());
        }
        Ok(Bound { backend: self.backend, tensors: self.tensors, inputs: self.inputs.clone(), outputs, bindings })
    }

    /// Compiles the operation with the given kernel.
    pub(crate) fn compile(&self, kernel: KernelChoice) -> Result<Arc<dyn Plan>> {
        self.backend.compile(&self.tensors.program(kernel)?)
    }

    /// Poisons the outputs, submits and reads the outputs back.
    pub(crate) async fn run(&self, plan: &Arc<dyn Plan>, run: u32) -> Result<Run> {
        let before: Vec<Vec<u8>> = (0..self.outputs.len()).map(|i| self.tensors.output_image(i, run)).collect();
        for (buffer, image) in self.outputs.iter().zip(&before) {
            self.backend.write(buffer, 0, image)?;
        }
        let start = Instant::now();
        finish(self.backend.submit(plan, &self.bindings)?).await?;
        let time = start.elapsed();
        let mut after = Vec::new();
        for buffer in &self.outputs {
            after.push(download(self.backend, buffer).await?);
        }
        Ok(Run { poison: Poison::of_run(run), before, after, time })
    }

    /// The input that changed, if any; it is restored for the next kernel.
    pub(crate) async fn changed_input(&self) -> Result<Option<usize>> {
        let mut changed = None;
        for (i, (buffer, image)) in self.inputs.iter().zip(&self.tensors.input_images).enumerate() {
            if download(self.backend, buffer).await? != *image {
                changed = changed.or(Some(i));
                self.backend.write(buffer, 0, image)?;
            }
        }
        Ok(changed)
    }
}
