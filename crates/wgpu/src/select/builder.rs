//! What every family's selection is written with: grids, constants, dummy bindings and the list of
//! launches under construction.

use unisono_core::{DType, Operand, Reason, Step};
use unisono_shaders::{Access, Variant, variant};

use super::rounds;
use super::window::View;
use crate::caps::Caps;
use crate::launch::{Binding, Launch, Source};

/// Launches of one step under construction.
pub(super) struct Builder<'a> {
    pub(super) step: &'a Step,
    pub(super) caps: &'a Caps,
    pub(super) launches: Vec<Launch>,
    pub(super) scratch: Vec<u64>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(step: &'a Step, caps: &'a Caps) -> Builder<'a> {
        Builder { step, caps, launches: Vec::new(), scratch: Vec::new() }
    }

    pub(super) fn input(&self, i: usize) -> &'a Operand {
        &self.step.inputs[i]
    }

    pub(super) fn output(&self, i: usize) -> &'a Operand {
        &self.step.outputs[i]
    }

    pub(super) fn input_view(&self, i: usize) -> View {
        View::new(Source::Input(i), self.input(i))
    }

    pub(super) fn output_view(&self, i: usize) -> View {
        View::new(Source::Output(i), self.output(i))
    }

    /// A new scratch buffer of `bytes` bytes.
    pub(super) fn scratch(&mut self, bytes: u64) -> Result<Source, Reason> {
        if bytes > self.caps.max_storage_buffer_binding_size {
            return Err(Reason::Limit(format!("{bytes} bytes of scratch memory exceed the device's binding limit")));
        }
        self.scratch.push(bytes.next_multiple_of(16).max(16));
        Ok(Source::Scratch(self.scratch.len() - 1))
    }

    /// Adds a launch of `groups` workgroups of the variant called `name`.
    pub(super) fn launch(
        &mut self,
        name: &str,
        constants: &[(&'static str, f64)],
        bindings: Vec<Binding>,
        params: Vec<u32>,
        groups: u64,
    ) -> Result<(), Reason> {
        let variant = self.variant(name)?;
        debug_assert_eq!(variant.bindings.len(), bindings.len(), "{name}");
        let mut constants = constants.to_vec();
        constants.retain(|(name, _)| variant.constants.contains(name));
        let groups = self.grid(groups)?;
        let rounds = rounds::of(variant, &constants, &params, self.caps)
            .ok_or_else(|| Reason::Op(format!("the loops of {name} are not counted")))?;
        if rounds > self.caps.loop_rounds {
            let most = self.caps.loop_rounds;
            return Err(Reason::Limit(format!(
                "{name} would make {rounds} rounds of its loops in one launch, the device makes {most}"
            )));
        }
        self.launches.push(Launch { variant, constants, bindings, params, groups });
        Ok(())
    }

    fn variant(&self, name: &str) -> Result<&'static Variant, Reason> {
        let variant = variant(name).ok_or_else(|| Reason::Op(format!("there is no shader {name}")))?;
        let caps = self.caps;
        if !caps.meets(variant.requires) {
            return Err(Reason::Feature(format!("shader {name} needs {:?}", variant.requires)));
        }
        let lanes: u32 = variant.workgroup_size.iter().product();
        let limits = [
            ("workgroup bytes", variant.workgroup_bytes, caps.max_compute_workgroup_storage_size),
            ("invocations per workgroup", lanes, caps.max_compute_invocations_per_workgroup),
            ("storage buffers", variant.bindings.len() as u32, caps.max_storage_buffers_per_shader_stage),
        ];
        for (what, needed, limit) in limits {
            if needed > limit {
                return Err(Reason::Limit(format!("shader {name} needs {needed} {what}, the device has {limit}")));
            }
        }
        Ok(variant)
    }

    /// Spills a number of workgroups from x into y and z.
    fn grid(&self, groups: u64) -> Result<[u32; 3], Reason> {
        let most = u64::from(self.caps.max_compute_workgroups_per_dimension);
        let x = groups.clamp(1, most);
        let y = groups.div_ceil(x).clamp(1, most);
        let z = groups.div_ceil(x * y).max(1);
        if z > most || x * y * z > u64::from(u32::MAX) {
            return Err(Reason::Limit(format!("{groups} workgroups exceed the device's grid")));
        }
        Ok([x as u32, y as u32, z as u32])
    }

    /// A few readable bytes for a binding that the kernel does not touch.
    pub(super) fn dummy(&mut self, variant: &str) -> Result<Binding, Reason> {
        debug_assert!(self.variant(variant)?.bindings.contains(&Access::Read));
        let source = self.scratch(16)?;
        Ok(Binding { source, offset: 0, size: 16 })
    }
}

/// The code of an element type in the shaders' dtype constants.
pub(super) fn code(dtype: DType) -> f64 {
    match dtype.block_bytes() {
        8 => 4.0,
        1 => 3.0,
        2 if dtype == DType::BF16 => 2.0,
        2 => 1.0,
        _ => 0.0,
    }
}

/// The code of a block format in the shaders' `FORMAT` constant.
pub(super) fn format(dtype: DType) -> f64 {
    DType::BLOCKS.iter().position(|&d| d == dtype).unwrap_or_default() as f64
}

/// What the kernels that decode blocks have to know of a format.
pub(super) fn block_constants(dtype: DType) -> [(&'static str, f64); 3] {
    let (elements, bytes) = (dtype.block_elements() as f64, dtype.block_bytes() as f64);
    [("FORMAT", format(dtype)), ("BLOCK", elements), ("BLOCK_BYTES", bytes)]
}

/// The variant of a family for this output type: `name`, or `name.sub` below four bytes.
pub(super) fn for_output(name: &str, dtype: DType) -> String {
    if dtype.block_bytes() < 4 { format!("{name}.sub") } else { name.to_owned() }
}

/// A parameter word, or the reason why it is too large.
pub(super) fn word(value: u64) -> Result<u32, Reason> {
    u32::try_from(value).map_err(|_| Reason::Limit(format!("{value} exceeds 32-bit index arithmetic")))
}
