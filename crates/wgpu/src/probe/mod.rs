//! The device's ceilings, by shaders made for nothing else (`probe/` in `unisono-shaders`).
//!
//! A probe is some launches of one shader in one pass between two timestamps. Loop counts come from
//! the uniform parameters and results are stored under a condition that never holds and that no
//! compiler can know, so no work can be folded or left out. Memory is probed with elements of one
//! and of four words, and the faster counts: a ceiling is what the device can do.

mod matrix;

use std::sync::Arc;
use std::time::{Duration, Instant};

use unisono_core::{Clock, DType, Error, ProbeKind, ProbeRun, Result};
use unisono_shaders::{PARAMETER_BYTES, Variant};

use crate::backend::WgpuBackend;
use crate::clock::Stamps;
use crate::launch::Launch;
use crate::memory::Block;
use crate::pipeline::Pipeline;

pub(crate) use matrix::MatrixUnits;
use matrix::Shape;

/// Invocations of a workgroup in every probe but the empty one.
const LANES: u32 = 256;
/// Workgroups that fill large devices, and those of a device that is a processor.
const GROUPS: u32 = 1024;
const GROUPS_ON_SOFTWARE: u32 = 64;
/// Rounds of a loop in one launch, far below what any driver bounds loops to.
const LAUNCH_ROUNDS: u32 = 8192;
/// Words of the matrices that a launch of the probe of matrix units writes; one more word follows.
const MATRIX_WORDS: u64 = 2048;
/// Launches of the empty kernel that one call makes at most.
const MOST_LAUNCHES: u32 = 1 << 16;

/// One probe as launches of one shader.
struct Setup {
    variant: &'static Variant,
    /// Bytes of each storage buffer.
    buffers: Vec<u64>,
    /// Words after the first, which is the number of rounds.
    params: Vec<u32>,
    groups: u32,
    /// Work of one round of one launch.
    work: f64,
    /// Rounds of each launch.
    launches: Vec<u32>,
    /// The word of the first buffer where the shader leaves the number of subgroups of a workgroup, where
    /// `work` is that of one of them in each workgroup.
    subgroups_at: Option<u64>,
}

impl WgpuBackend {
    /// The probe of `kind` on the device that has what it is about.
    pub(crate) fn run_probe(&self, kind: ProbeKind, rounds: u32) -> Result<Option<ProbeRun>> {
        match kind {
            ProbeKind::Matrix(dtype) => self.matrix_units.run(dtype, rounds),
            _ => self.best_of(kind, rounds),
        }
    }

    /// The best of the shaders that can measure `kind`.
    fn best_of(&self, kind: ProbeKind, rounds: u32) -> Result<Option<ProbeRun>> {
        let mut best: Option<ProbeRun> = None;
        for setup in self.setups(kind, rounds.max(1))? {
            let run = self.launch_probe(&setup)?;
            if best.is_none_or(|best| best.rate() < run.rate()) {
                best = Some(run);
            }
        }
        Ok(best)
    }

    fn groups(&self) -> u32 {
        match self.caps.software {
            true => GROUPS_ON_SOFTWARE,
            false => GROUPS,
        }
    }

    /// Empty where the device lacks what the probe is about.
    fn setups(&self, kind: ProbeKind, rounds: u32) -> Result<Vec<Setup>> {
        const FACTOR: f32 = 0.999;
        const NEVER: f32 = -12345.678;
        let number = |value: f32| value.to_bits();
        let groups = self.groups();
        let lanes = f64::from(groups * LANES);
        // `per_round` is the work of an invocation.
        let one = |name: &str, params: Vec<u32>, per_round: f64| -> Result<Vec<Setup>> {
            let launches = split(rounds);
            let buffers = vec![1024];
            let (variant, work) = (shader(name)?, per_round * lanes);
            let setup = Setup { variant, buffers, params, groups, work, launches, subgroups_at: None };
            Ok(if self.caps.meets(setup.variant.requires) { vec![setup] } else { Vec::new() })
        };
        match kind {
            ProbeKind::Read { bytes } => self.memory(["probe_read", "probe_read_scalar"], [bytes, 0, bytes], 1, rounds),
            ProbeKind::Copy { bytes } => {
                self.memory(["probe_copy", "probe_copy_scalar"], [bytes / 2, 0, bytes / 2], 2, rounds)
            }
            ProbeKind::Triad { bytes } => {
                let each = bytes / 3;
                self.memory(["probe_triad", "probe_triad_scalar"], [each, each, each], 3, rounds)
            }
            ProbeKind::Fma(DType::F32) => {
                one("probe_fma", vec![number(FACTOR), number(1.0 - FACTOR), number(NEVER)], 64.0)
            }
            ProbeKind::Fma(DType::F16) => {
                one("probe_fma_f16", vec![number(FACTOR), number(1.0 - FACTOR), number(NEVER)], 128.0)
            }
            ProbeKind::DotInt8 => one("probe_dot_int8", vec![0x0102_0304, 77, 123_456_789], 128.0),
            ProbeKind::WorkgroupMemory => one("probe_workgroup", vec![number(NEVER)], 64.0),
            ProbeKind::SubgroupAdd => one("probe_subgroup", vec![number(0.01), number(NEVER)], 4.0),
            ProbeKind::Matrix(dtype) => {
                let Some(shape) = Shape::of(dtype) else { return Ok(Vec::new()) };
                // Eight products of each subgroup in a round; eight matrices and a word.
                let work = 8.0 * shape.operations() * f64::from(groups);
                let setups = one(shape.shader, vec![number(1.0 / 64.0)], 0.0)?.into_iter();
                let buffers = vec![MATRIX_WORDS * 4 + 16];
                Ok(setups
                    .map(|s| Setup { work, buffers: buffers.clone(), subgroups_at: Some(MATRIX_WORDS), ..s })
                    .collect())
            }
            ProbeKind::Empty => {
                let launches = vec![0; rounds.min(MOST_LAUNCHES) as usize];
                let (variant, buffers, params) = (shader("probe_empty")?, vec![1024], Vec::new());
                Ok(vec![Setup { variant, buffers, params, groups: 1, work: 1.0, launches, subgroups_at: None }])
            }
            _ => Ok(Vec::new()),
        }
    }

    /// `rounds` passes over arrays of `bytes` (the first, second and third of the triad; the second
    /// is none elsewhere), of which `streams` move.
    fn memory(&self, names: [&str; 2], bytes: [u64; 3], streams: u64, rounds: u32) -> Result<Vec<Setup>> {
        const NEVER: f32 = 0.125;
        let mut setups = Vec::new();
        for (name, element) in names.into_iter().zip([16u64, 4]) {
            let fitting = bytes[0].min(self.caps.max_storage_buffer_binding_size).max(element);
            let elements = 1u64 << (fitting / element).ilog2().min(31);
            let threads = u64::from(self.groups() * LANES);
            // Four elements of an invocation are the smallest pass.
            let per_pass = elements.div_ceil(4 * threads).max(1);
            let total = per_pass.saturating_mul(rounds.into()).min(u32::MAX.into()) as u32;
            let array = elements * element;
            let buffers = match streams {
                3 => vec![array; 3],
                2 => vec![array; 2],
                _ => vec![array, 1024],
            };
            let mask = elements as u32 - 1;
            setups.push(Setup {
                variant: shader(name)?,
                buffers,
                params: vec![mask, threads as u32, NEVER.to_bits()],
                groups: self.groups(),
                work: (4 * threads * element * streams) as f64,
                launches: split(total),
                subgroups_at: None,
            });
        }
        Ok(setups)
    }

    fn launch_probe(&self, setup: &Setup) -> Result<ProbeRun> {
        let launch = Launch {
            variant: setup.variant,
            constants: Vec::new(),
            bindings: Vec::new(),
            params: Vec::new(),
            groups: [setup.groups, 1, 1],
        };
        let pipeline = self.pipelines.get(&[&launch])?.remove(0);
        let blocks = setup.buffers.iter().map(|&bytes| self.memory.alloc(bytes)).collect::<Result<Vec<_>>>()?;
        let zeros = vec![0u8; 1 << 20];
        for block in &blocks {
            for at in (0..block.capacity()).step_by(zeros.len()) {
                let part = (block.capacity() - at).min(zeros.len() as u64) as usize;
                self.memory.uploads.write(block.raw(), at, &zeros[..part])?;
            }
        }
        // Launches differ in their number of rounds only: a few parameter blocks serve all.
        let mut kinds: Vec<u32> = setup.launches.clone();
        kinds.sort_unstable();
        kinds.dedup();
        let groups = kinds
            .iter()
            .map(|&rounds| self.probe_group(setup, rounds, &pipeline, &blocks))
            .collect::<Result<Vec<_>>>()?;
        // Everything before is done: a host's clock must not see it.
        self.gpu.wait_for(None)?;
        let stamps = Stamps::exist(&self.gpu).then(|| Stamps::new(&self.gpu, 2));
        let start = Instant::now();
        let submission = self.gpu.capture(
            || format!("running the probe {}", setup.variant.name),
            || {
                let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
                {
                    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                        label: None,
                        timestamp_writes: stamps.as_ref().and_then(|stamps| stamps.writes(Some(0), Some(1))),
                    });
                    pass.set_pipeline(&pipeline.raw);
                    for rounds in &setup.launches {
                        let kind = kinds.binary_search(rounds).unwrap_or(0);
                        pass.set_bind_group(0, &groups[kind], &[]);
                        pass.dispatch_workgroups(setup.groups, 1, 1);
                    }
                }
                if let Some(stamps) = &stamps {
                    stamps.resolve(&mut encoder);
                }
                self.gpu.queue.submit([encoder.finish()])
            },
        )?;
        self.gpu.wait_for(Some(submission))?;
        let elapsed = start.elapsed();
        let total: f64 = match setup.params.is_empty() {
            true => setup.launches.len() as f64,
            false => setup.launches.iter().map(|&rounds| f64::from(rounds)).sum(),
        };
        let (time, clock) = match stamps {
            Some(stamps) => (stamps.intervals(&self.gpu, &self.staging)?.iter().sum(), Clock::Device),
            None => (elapsed, Clock::Host),
        };
        let subgroups = match setup.subgroups_at {
            Some(word) => {
                let bytes = self.staging.read(blocks[0].raw(), word * 4..word * 4 + 4)?.wait()?;
                f64::from(f32::from_le_bytes(bytes.try_into().unwrap_or_default()))
            }
            None => 1.0,
        };
        Ok(ProbeRun { work: total * setup.work * subgroups, time: Duration::max(time, Duration::from_nanos(1)), clock })
    }

    /// The bind group of launches of `rounds` rounds.
    fn probe_group(
        &self,
        setup: &Setup,
        rounds: u32,
        pipeline: &Arc<Pipeline>,
        blocks: &[Block],
    ) -> Result<wgpu::BindGroup> {
        let words = std::iter::once(rounds).chain(setup.params.iter().copied());
        let mut bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        bytes.resize(PARAMETER_BYTES as usize, 0);
        let make = || {
            let parameters = self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("parameters"),
                size: PARAMETER_BYTES,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let whole = |buffer, bytes| {
                let size = wgpu::BufferSize::new(bytes);
                wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: 0, size })
            };
            let memory = blocks.iter().zip(&setup.buffers).map(|(block, &bytes)| whole(block.raw(), bytes));
            let resources = memory.chain([whole(&parameters, PARAMETER_BYTES)]);
            let entries: Vec<_> =
                (0..).zip(resources).map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource }).collect();
            let group = self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.layout,
                entries: &entries,
            });
            (group, parameters)
        };
        let (group, parameters) = self.gpu.capture(|| "binding a probe's buffers".to_owned(), make)?;
        self.memory.uploads.write(&parameters, 0, &bytes)?;
        Ok(group)
    }
}

fn shader(name: &str) -> Result<&'static Variant> {
    unisono_shaders::variant(name).ok_or_else(|| Error::internal(format!("there is no shader {name}")))
}

/// `rounds` as launches of at most [`LAUNCH_ROUNDS`].
fn split(rounds: u32) -> Vec<u32> {
    let mut launches = vec![LAUNCH_ROUNDS; (rounds / LAUNCH_ROUNDS) as usize];
    launches.extend((!rounds.is_multiple_of(LAUNCH_ROUNDS)).then_some(rounds % LAUNCH_ROUNDS));
    launches
}

#[cfg(test)]
mod tests {
    use super::{LAUNCH_ROUNDS, split};

    #[test]
    fn rounds_are_split_without_a_rest() {
        for rounds in [1, 2, LAUNCH_ROUNDS - 1, LAUNCH_ROUNDS, LAUNCH_ROUNDS + 1, 5 * LAUNCH_ROUNDS + 7] {
            let launches = split(rounds);
            assert_eq!(launches.iter().sum::<u32>(), rounds);
            assert!(launches.iter().all(|&n| n > 0 && n <= LAUNCH_ROUNDS), "{launches:?}");
        }
    }
}
