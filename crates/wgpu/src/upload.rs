//! Writing from the host, at any byte offset and length.
//!
//! `Queue::write_buffer` is ordered with submissions and takes whole words. The words at the edges
//! of an unaligned range are merged on the device by a tiny kernel, so nothing has to be read back
//! first. Large uploads are flushed in pieces: wgpu holds staged data until the next submission,
//! and a model's weights must not be in memory twice.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use unisono_core::Result;

use crate::device::{Gpu, lock};

/// Bytes of one staged piece.
const PIECE_BYTES: usize = 16 << 20;
/// Staged bytes after which the queue is flushed.
const FLUSH_BYTES: u64 = 64 << 20;
const MERGE_WORD: &str = include_str!("merge_word.wgsl");

/// The way from host to device memory.
#[derive(Debug)]
pub(crate) struct Uploads {
    gpu: Arc<Gpu>,
    staged: AtomicU64,
    last_flush: Mutex<Option<wgpu::SubmissionIndex>>,
    merge: Mutex<Option<wgpu::ComputePipeline>>,
}

impl Uploads {
    pub(crate) fn new(gpu: Arc<Gpu>) -> Uploads {
        Uploads { gpu, staged: AtomicU64::new(0), last_flush: Mutex::default(), merge: Mutex::default() }
    }

    /// Writes whole words; `offset` and length must be multiples of 4.
    pub(crate) fn write(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut at = offset;
        for piece in bytes.chunks(PIECE_BYTES) {
            let what = || format!("writing {} bytes", bytes.len());
            self.gpu.capture(what, || self.gpu.queue.write_buffer(buffer, at, piece))?;
            at += piece.len() as u64;
            if self.staged.fetch_add(piece.len() as u64, Relaxed) > FLUSH_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes any range of a buffer that holds `len` bytes of content; what lies between `len` and
    /// the end of the allocation is padding and may be overwritten.
    pub(crate) fn write_unaligned(&self, buffer: &wgpu::Buffer, len: u64, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset + bytes.len() as u64;
        let middle = offset.next_multiple_of(4)..end & !3;
        if middle.start > middle.end {
            return self.merge(buffer, offset..end, bytes);
        }
        let (head, rest) = bytes.split_at((middle.start - offset) as usize);
        let (body, tail) = rest.split_at((middle.end - middle.start) as usize);
        self.merge(buffer, offset..middle.start, head)?;
        self.write(buffer, middle.start, body)?;
        if end == len && !tail.is_empty() {
            let mut word = [0; 4];
            word[..tail.len()].copy_from_slice(tail);
            return self.write(buffer, middle.end, &word);
        }
        self.merge(buffer, middle.end..end, tail)
    }

    /// Replaces the bytes of a range that lies within one word.
    fn merge(&self, buffer: &wgpu::Buffer, range: Range<u64>, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let shift = (range.start % 4) as usize;
        let (mut mask, mut value) = ([0u8; 4], [0u8; 4]);
        mask[shift..shift + bytes.len()].fill(0xff);
        value[shift..shift + bytes.len()].copy_from_slice(bytes);
        let align = u64::from(self.gpu.limits.min_storage_buffer_offset_alignment).max(4);
        let window = range.start / align * align;
        let params =
            [(range.start - window) as u32 / 4, u32::from_le_bytes(mask), u32::from_le_bytes(value), 0].map(u32::to_le);
        let pipeline = self.merge_pipeline()?;
        let gpu = &self.gpu;
        gpu.capture(
            || format!("writing bytes {}..{}", range.start, range.end),
            || {
                let uniform = wgpu::util::DeviceExt::create_buffer_init(
                    &gpu.device,
                    &wgpu::util::BufferInitDescriptor {
                        label: None,
                        contents: bytemuck::cast_slice(&params),
                        usage: wgpu::BufferUsages::UNIFORM,
                    },
                );
                let words = wgpu::BufferBinding {
                    buffer,
                    offset: window,
                    size: wgpu::BufferSize::new(align.min(buffer.size() - window)),
                };
                let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: None,
                    layout: &pipeline.get_bind_group_layout(0),
                    entries: &[
                        wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(words) },
                        wgpu::BindGroupEntry { binding: 1, resource: uniform.as_entire_binding() },
                    ],
                });
                let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                pass.set_pipeline(&pipeline);
                pass.set_bind_group(0, &group, &[]);
                pass.dispatch_workgroups(1, 1, 1);
                drop(pass);
                gpu.queue.submit([encoder.finish()]);
            },
        )
    }

    fn merge_pipeline(&self) -> Result<wgpu::ComputePipeline> {
        let mut slot = lock(&self.merge);
        if let Some(pipeline) = &*slot {
            return Ok(pipeline.clone());
        }
        let gpu = &self.gpu;
        let pipeline = gpu.capture(
            || "building the kernel merge_word".to_owned(),
            || {
                let source = wgpu::ShaderSource::Wgsl(MERGE_WORD.into());
                let module = wgpu::ShaderModuleDescriptor { label: Some("merge_word"), source };
                gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some("merge_word"),
                    layout: None,
                    module: &gpu.device.create_shader_module(module),
                    entry_point: Some("main"),
                    compilation_options: wgpu::PipelineCompilationOptions::default(),
                    cache: None,
                })
            },
        )?;
        Ok(slot.insert(pipeline).clone())
    }

    /// Submits what is staged, and waits for the flush before this one, so that at most two are
    /// in memory.
    fn flush(&self) -> Result<()> {
        self.staged.store(0, Relaxed);
        let mut last = lock(&self.last_flush);
        let index = self.gpu.capture(|| "flushing writes".to_owned(), || self.gpu.queue.submit([]))?;
        let _former = last.replace(index);
        #[cfg(not(target_family = "wasm"))]
        if let Some(former) = _former {
            self.gpu.wait_for(Some(former))?;
        }
        Ok(())
    }
}
