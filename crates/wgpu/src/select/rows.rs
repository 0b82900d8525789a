//! Kernels that work row by row: softmax and the norms here, the reductions beside. Rows are the points
//! of the iteration space; one workgroup takes one row (one invocation in `reduce_column`).

use unisono_core::op::{AddRmsNorm, L2Norm, LayerNorm, RmsNorm, Softmax};
use unisono_core::{DType, Reason, TensorDesc};

use super::builder::{Builder, code, for_output, word};
use super::window::{Piece, View, windows};
use crate::caps::Caps;

/// Row length up to which softmax keeps its scores in workgroup memory.
const CACHED: u64 = 2048;
/// Invocations of a workgroup, at most.
pub(super) const GROUP: u64 = 256;
/// Up to this row length a profile chooses the invocations of a workgroup: more elements for each of a
/// few would be too many rounds for some drivers.
const SHORT: u64 = 8192;

/// Invocations of the workgroup that takes a row of `n` elements.
pub(super) fn row_lanes(n: u64, caps: &Caps) -> u64 {
    if n <= SHORT { u64::from(caps.profile.row_lanes) } else { GROUP }
}

/// A family's kernels: with subgroup operations first where the profile wants them, and without.
pub(super) fn with_subgroups(plain: &'static str, subgroups: &'static str, caps: &Caps) -> Vec<&'static str> {
    match (caps.subgroups.is_some(), caps.profile.subgroups) {
        (false, _) => vec![plain],
        (true, true) => vec![subgroups, plain],
        (true, false) => vec![plain, subgroups],
    }
}

pub(super) fn softmax_names(caps: &Caps) -> Vec<&'static str> {
    let mut names = with_subgroups("softmax_cached", "softmax_cached_subgroups", caps);
    names.extend(with_subgroups("softmax", "softmax_subgroups", caps));
    names
}

pub(super) fn rms_norm_names(caps: &Caps) -> Vec<&'static str> {
    with_subgroups("rms_norm", "rms_norm_subgroups", caps)
}

pub(super) fn layer_norm_names(caps: &Caps) -> Vec<&'static str> {
    with_subgroups("layer_norm", "layer_norm_subgroups", caps)
}

pub(super) fn add_rms_norm_names(caps: &Caps) -> Vec<&'static str> {
    with_subgroups("add_rms_norm", "add_rms_norm_subgroups", caps)
}

/// An operand of a row kernel: how it moves from row to row, and along the row.
pub(super) struct Operand {
    pub(super) view: View,
    pub(super) along: u64,
}

/// A row kernel under construction.
pub(super) struct Rows<'a> {
    pub(super) kernel: &'a str,
    pub(super) constants: Vec<(&'static str, f64)>,
    pub(super) value: f32,
    /// Sizes outside the row, and of the row.
    pub(super) sizes: Vec<u64>,
    pub(super) n: u64,
    /// y, a, b, c; an absent one is bound to a dummy.
    pub(super) operands: Vec<Option<Operand>>,
    pub(super) z: Option<Operand>,
    /// Two words for the kernel.
    pub(super) extra: [u32; 2],
    /// Rows that one workgroup takes.
    pub(super) rows_per_group: u64,
}

pub(super) fn strides(d: &TensorDesc, axis: usize) -> Vec<u64> {
    d.strides.iter().enumerate().filter(|&(i, _)| i != axis).map(|(_, &s)| s as u64).collect()
}

pub(super) fn row_operand(view: View, d: &TensorDesc, axis: usize, n: u64) -> Operand {
    let along = d.strides[axis] as u64;
    Operand { view: view.with(strides(d, axis), n.saturating_sub(1) * along + 1), along }
}

/// A vector that every row reads.
fn shared(view: View, d: &TensorDesc, rank: usize, n: u64) -> Operand {
    let along = d.strides[0] as u64;
    Operand { view: view.with(vec![0; rank - 1], n.saturating_sub(1) * along + 1), along }
}

pub(super) fn outside(d: &TensorDesc, axis: usize) -> Vec<u64> {
    d.shape.iter().enumerate().filter(|&(i, _)| i != axis).map(|(_, &n)| n as u64).collect()
}

/// What the operations over the last dimension share.
fn last_dimension<'a>(b: &Builder<'_>, kernel: &'a str, y: usize, value: f32) -> Rows<'a> {
    let (x, y_desc) = (&b.input(0).desc, &b.output(y).desc);
    let axis = x.rank() - 1;
    let n = x.shape[axis] as u64;
    let unit = b.output_view(y).per_word();
    Rows {
        kernel,
        constants: vec![("Y", code(y_desc.dtype)), ("A", code(x.dtype)), ("UNIT", f64::from(unit))],
        value,
        sizes: outside(x, axis),
        n,
        operands: vec![
            Some(row_operand(b.output_view(y), y_desc, axis, n)),
            Some(row_operand(b.input_view(0), x, axis, n)),
        ],
        z: None,
        extra: [0; 2],
        rows_per_group: 1,
    }
}

pub(super) fn softmax(b: &mut Builder<'_>, name: &str, op: &Softmax) -> Result<(), Reason> {
    let mut rows = last_dimension(b, name, 0, op.scale.0);
    if name.starts_with("softmax_cached") && rows.n > CACHED {
        return Err(Reason::Limit(format!("{name} takes rows of up to {CACHED} elements")));
    }
    let at = op.inputs();
    let boolean = at.mask.is_some_and(|i| b.input(i).desc.dtype == DType::Bool);
    // What takes part is a parameter and not a constant: constants would only multiply the kernels to be
    // built.
    let hidden = u32::from(op.mask) + u32::from(boolean);
    let flags = u32::from(op.sinks) | u32::from(op.log) << 1 | u32::from(op.limits) << 2 | hidden << 3;
    rows.extra = [op.window.unwrap_or(u32::MAX), flags];
    // An operand that is not there counts as one of the type of x.
    let type_of = |i: Option<usize>| code(b.input(i.unwrap_or(0)).desc.dtype);
    rows.constants.extend([("B", type_of(at.mask)), ("D", type_of(at.sinks))]);
    let mask = at.mask.map(|i| {
        let d = &b.input(i).desc;
        row_operand(b.input_view(i), d, d.rank() - 1, rows.n)
    });
    let limits = at.limits.map(|i| Operand { view: b.input_view(i), along: 0 });
    rows.z = at.sinks.map(|i| Operand { view: b.input_view(i), along: 0 });
    rows.operands.extend([mask, limits]);
    rows.launch(b)
}

pub(super) fn rms_norm(b: &mut Builder<'_>, name: &str, op: &RmsNorm) -> Result<(), Reason> {
    let mut rows = last_dimension(b, name, 0, op.eps.0);
    rows.optional(b, [(op.weight, "WEIGHT", "B"), (false, "", "")]);
    rows.operands.truncate(3);
    rows.launch(b)
}

pub(super) fn l2_norm(b: &mut Builder<'_>, op: &L2Norm) -> Result<(), Reason> {
    last_dimension(b, "l2_norm", 0, op.eps.0).launch(b)
}

pub(super) fn layer_norm(b: &mut Builder<'_>, name: &str, op: &LayerNorm) -> Result<(), Reason> {
    let mut rows = last_dimension(b, name, 0, op.eps.0);
    rows.optional(b, [(op.weight, "WEIGHT", "B"), (op.bias, "BIAS", "C")]);
    rows.launch(b)
}

pub(super) fn add_rms_norm(b: &mut Builder<'_>, name: &str, op: &AddRmsNorm) -> Result<(), Reason> {
    let sum = &b.output(0).desc;
    let kernel = if sum.dtype.block_bytes() < 4 { format!("{name}.z") } else { name.to_owned() };
    let mut rows = last_dimension(b, &kernel, 1, op.eps.0);
    let axis = sum.rank() - 1;
    let residual = &b.input(1).desc;
    rows.constants.extend([("B", code(residual.dtype)), ("Z", code(sum.dtype))]);
    rows.operands.push(Some(row_operand(b.input_view(1), residual, axis, rows.n)));
    rows.vectors(b, &[(2, "C")]);
    rows.z = Some(row_operand(b.output_view(0), sum, axis, rows.n));
    rows.launch(b)
}

impl Rows<'_> {
    /// Adds inputs that are vectors of the row's length.
    fn vectors(&mut self, b: &Builder<'_>, list: &[(usize, &'static str)]) {
        let rank = self.sizes.len() + 1;
        for &(input, constant) in list {
            let d = &b.input(input).desc;
            self.constants.push((constant, code(d.dtype)));
            self.operands.push(Some(shared(b.input_view(input), d, rank, self.n)));
        }
    }

    /// The same for vectors that an operation may lack: a flag of the kernel says which it has.
    fn optional(&mut self, b: &Builder<'_>, list: [(bool, &'static str, &'static str); 2]) {
        let mut next = 1;
        for (present, flag, constant) in list {
            self.constants.push((flag, f64::from(u8::from(present))));
            if present {
                self.vectors(b, &[(next, constant)]);
                next += 1;
            } else {
                self.operands.push(None);
            }
        }
    }

    pub(super) fn launch(&self, b: &mut Builder<'_>) -> Result<(), Reason> {
        let all = || self.operands.iter().flatten().chain(&self.z);
        let views: Vec<&View> = all().map(|o| &o.view).collect();
        for piece in windows(&self.sizes, &views, b.caps)? {
            self.launch_piece(b, &piece, 1)?;
        }
        Ok(())
    }

    /// Launches `parts` workgroups for each row; all of them fit one binding.
    pub(super) fn launch_parts(&self, b: &mut Builder<'_>, parts: u64) -> Result<(), Reason> {
        self.launch_piece(b, &Piece::whole(&self.sizes), parts)
    }

    fn launch_piece(&self, b: &mut Builder<'_>, piece: &Piece, parts: u64) -> Result<(), Reason> {
        let y = self.operands[0].as_ref().map(|o| o.view.dtype).ok_or_else(|| Reason::Op("no output".into()))?;
        let kernel = for_output(self.kernel, y);
        let mut bindings = Vec::new();
        let mut bases = [0; 4];
        for (i, operand) in self.operands.iter().enumerate() {
            match operand {
                Some(o) => {
                    let (binding, base) = o.view.bind(piece, b.caps);
                    bindings.push(binding);
                    bases[i] = base;
                }
                None => bindings.push(b.dummy(&kernel)?),
            }
        }
        let mut z_base = 0;
        if let Some(o) = &self.z {
            let (binding, base) = o.view.bind(piece, b.caps);
            bindings.push(binding);
            z_base = base;
        } else if unisono_shaders::variant(&kernel).is_some_and(|v| v.bindings.len() > bindings.len()) {
            bindings.push(b.dummy(&kernel)?);
        }
        // Dimensions of size 1 cost a division each.
        let dims: Vec<usize> = (0..piece.sizes.len()).filter(|&d| piece.sizes[d] != 1).collect();
        let rows = piece.count() * parts;
        let mut params = vec![word(rows)?, word(self.n)?, dims.len() as u32, self.value.to_bits()];
        params.extend(bases);
        for i in 0..4 {
            let along = self.operands.get(i).and_then(Option::as_ref).map_or(0, |o| o.along);
            params.push(word(along)?);
        }
        params.extend([z_base, word(self.z.as_ref().map_or(0, |o| o.along))?]);
        params.extend(self.extra);
        let step = |o: Option<&Operand>, d: Option<&usize>| match (o, d) {
            (Some(o), Some(&d)) => word(o.view.strides[d]),
            _ => Ok(0),
        };
        for i in 0..5 {
            for o in 0..4 {
                params.push(step(self.operands.get(o).and_then(Option::as_ref), dims.get(i))?);
            }
        }
        for i in 0..5 {
            let size = dims.get(i).map_or(1, |&d| piece.sizes[d]);
            params.extend([word(size)?, step(self.z.as_ref(), dims.get(i))?, 0, 0]);
        }
        let mut constants = self.constants.clone();
        if self.rows_per_group == 1 {
            constants.push(("GROUP", row_lanes(self.n, b.caps) as f64));
        }
        b.launch(&kernel, &constants, bindings, params, rows.div_ceil(self.rows_per_group))
    }
}
