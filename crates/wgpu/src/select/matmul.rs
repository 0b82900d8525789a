//! Matrix products and their composite with bias, activation and residual.
//!
//! The kernels differ in how they reuse operands: `matmul_direct` leaves it to caches,
//! `matmul_tiled` and `matmul_tiled_small` stage tiles in workgroup memory, `matvec_nk` and
//! `matvec_kn` read a weight once for up to eight rows, `matmul_columns` once for up to 32, with all
//! sums in registers. The composite runs the same kernels with an epilogue.
//!
//! A weight in a block format has kernels of its own, which always have the epilogue:
//! `blocks_matvec` reads each packed byte once for eight rows and `blocks_columns` once for 32,
//! `blocks_tiled` and `blocks_tiled_small` decode tiles into workgroup memory. None writes the decoded
//! weight anywhere. In the kernels with `subgroups` in their names each invocation loads another
//! element of a and passes it on.

use unisono_core::op::{Activation, Linear};
use unisono_core::{DType, Op, OpDesc, Reason};

use super::builder::{Builder, block_constants, code, for_output, word};
use super::map;
use super::window::{Piece, View, windows};
use crate::caps::Caps;

/// The most rows that the matrix × vector kernels take.
const MATVEC_ROWS: usize = 8;

/// The most rows of a tile of the kernels called `columns`, its columns, and the invocations that share
/// them. Their variants with subgroups take subgroups of 4 or of all of these.
const COLUMN_ROWS: usize = 32;
const COLUMNS: u64 = 32;
const COLUMN_LANES: u32 = 8;

/// The code of no function in `shared/activation.wesl`.
const NO_ACTIVATION: u32 = 8;

/// The most steps of k in one launch of a kernel whose invocations walk all of k: half of the rounds
/// that some drivers allow, since nested loops count as well (`rounds`).
const MOST_STEPS: u64 = 32768;

/// The same for each kernel: several invocations of a matrix × vector kernel share k.
fn most_steps(name: &str, caps: &Caps) -> u64 {
    match name {
        "blocks_matvec" => 32 * MOST_STEPS,
        "matvec_nk" => caps.loop_rounds / 2 * 4 * u64::from(caps.profile.matvec_lanes),
        "matvec_kn" => caps.loop_rounds / 2 * 4,
        _ => MOST_STEPS,
    }
}

/// Kernels for a product, the profile's choice first.
pub(super) fn names(desc: &OpDesc, caps: &Caps) -> Vec<&'static str> {
    let (a, w) = (&desc.inputs[0], &desc.inputs[1]);
    let r = a.rank();
    let (m, k, n) = (a.shape[r - 2], a.shape[r - 1], w.shape[r - 1]);
    let profile = caps.profile;
    let passed_on = caps.subgroups.is_some_and(|(least, most)| least == most && [4, COLUMN_LANES].contains(&most));
    if w.dtype.is_block() {
        let mut names = match (m <= profile.matvec_rows || profile.direct_matmul, m.min(n) >= profile.large_tile_from) {
            (true, true) => vec!["blocks_matvec", "blocks_tiled", "blocks_tiled_small"],
            (true, false) => vec!["blocks_matvec", "blocks_tiled_small", "blocks_tiled"],
            (false, true) => vec!["blocks_tiled", "blocks_tiled_small", "blocks_matvec"],
            (false, false) => vec!["blocks_tiled_small", "blocks_tiled", "blocks_matvec"],
        };
        if profile.direct_matmul {
            names.insert(0, if passed_on { "blocks_columns_subgroups" } else { "blocks_columns" });
        }
        return names;
    }
    let mut names = if profile.direct_matmul {
        vec!["matmul_direct", "matmul_tiled", "matmul_tiled_small"]
    } else if m.min(n) >= profile.large_tile_from {
        vec!["matmul_tiled", "matmul_tiled_small", "matmul_direct"]
    } else {
        vec!["matmul_tiled_small", "matmul_tiled", "matmul_direct"]
    };
    if m <= MATVEC_ROWS {
        let at = if m <= profile.matvec_rows { 0 } else { names.len() };
        if w.strides[r - 2] == 1 || k <= 1 {
            names.insert(at, "matvec_nk");
        }
        if w.strides[r - 1] == 1 || n <= 1 {
            names.insert(at, "matvec_kn");
        }
        // A vector stored along both is a row of k.
        if k <= 1 && names[0] == "matvec_kn" {
            names.swap(0, 1);
        }
    }
    if profile.direct_matmul {
        // One row of f32 stays with the kernel that loads vectors along k: here a load has one element.
        let one_row = m == 1 && w.dtype == DType::F32 && names[0] == "matvec_nk";
        let at = if n >= COLUMNS as usize / 2 && !one_row { 0 } else { names.len() };
        names.insert(at, if passed_on { "matmul_columns_subgroups" } else { "matmul_columns" });
    }
    names
}

/// A product under construction: what does not change between pieces.
struct Product {
    variant: String,
    constants: Vec<(&'static str, f64)>,
    /// Outputs in m and n that one workgroup computes; 0 for all of m.
    tile: (u64, u64),
    /// The part of the variant's name that is `wide` where operands allow loads of 16 bytes.
    wide: Option<&'static str>,
    y: View,
    a: View,
    b: View,
    /// The code of the function that follows, in `shared/activation.wesl`.
    activation: u32,
    bias: Option<View>,
    residual: Option<View>,
    /// Strides over k.
    a_k: u64,
    b_k: u64,
    /// Elements along k that b stores as one.
    unit: u64,
    /// Batch dimensions, then m and n.
    sizes: Vec<u64>,
}

/// Builds the launches of the kernel called `name`.
pub(super) fn build(b: &mut Builder<'_>, name: &str) -> Result<(), Reason> {
    let linear = match &b.step.op {
        Op::Linear(op) => Some(*op),
        _ => None,
    };
    let k = b.input(0).desc.shape.last().map_or(0, |&k| k as u64);
    let mut product = product(b, name, linear, k)?;
    let most_steps = most_steps(name, b.caps);
    let list = match windows(&product.sizes, &product.views(), b.caps) {
        Ok(_) if k > most_steps => {
            Err(Reason::Limit(format!("{name} takes up to {most_steps} steps of k in one launch")))
        }
        list => list,
    };
    match (list, linear) {
        (Ok(pieces), _) => pieces.iter().try_for_each(|piece| product.launch(b, piece, k, false)),
        (Err(reason), Some(_)) => Err(reason),
        (Err(_), None) => {
            // One row or column is too large for a binding or a launch: sum over k in parts, in f32.
            let target = product.y.clone();
            if target.dtype != DType::F32 {
                let contiguous = b.output(0).desc.to_contiguous(DType::F32);
                let source = b.scratch(contiguous.span_bytes())?;
                let strides = contiguous.strides.iter().map(|&s| s as u64).collect();
                product.y = View { source, dtype: DType::F32, start: 0, strides, inner: 1 };
                product.variant = product.variant.trim_end_matches(".sub").to_owned();
            }
            product.in_parts_of_k(b, k, most_steps)?;
            if target.dtype != DType::F32 { map::copy_view(b, &target, &product.y) } else { Ok(()) }
        }
    }
}

fn product(b: &Builder<'_>, name: &str, linear: Option<Linear>, k: u64) -> Result<Product, Reason> {
    let (a, w, y) = (&b.input(0).desc, &b.input(1).desc, &b.output(0).desc);
    let r = a.rank();
    let unit = w.dtype.block_elements() as u64;
    // Rows of a move with m, columns of b with n; what k spans at one of them is `inner`.
    let operand = |i: usize, still: usize, k_axis: usize, k: u64| {
        let view = b.input_view(i);
        let (mut strides, step) = (view.strides.clone(), view.strides[k_axis]);
        strides[still] = 0;
        view.with(strides, k.saturating_sub(1) * step + 1)
    };
    let sizes: Vec<u64> = y.shape.iter().map(|&n| n as u64).collect();
    let m = a.shape[r - 2];
    let rows = m.next_power_of_two();
    let (base, tile) = match name {
        "matmul_columns" | "blocks_columns" => ("columns", (rows.min(COLUMN_ROWS) as u64, COLUMNS)),
        "matmul_columns_subgroups" | "blocks_columns_subgroups" => {
            ("columns_subgroups", (rows.min(COLUMN_ROWS) as u64, COLUMNS))
        }
        "matmul_direct" => ("direct", (32, 32)),
        "matmul_tiled" => ("tiled", (64, 64)),
        "matmul_tiled_small" => ("tiled_small", (32, 32)),
        "matvec_nk" => ("matvec_nk", (0, u64::from(2 * 64 / b.caps.profile.matvec_lanes))),
        "matvec_kn" => ("matvec_kn", (0, 32)),
        "blocks_matvec" => ("matvec", (MATVEC_ROWS as u64, u64::from(2 * 64 / b.caps.profile.matvec_lanes))),
        "blocks_tiled" => ("tiled", (64, 64)),
        "blocks_tiled_small" => ("tiled_small", (32, 32)),
        _ => return Err(Reason::Op(format!("there is no kernel {name} for a matrix product"))),
    };
    if name.starts_with("blocks") != w.dtype.is_block() {
        return Err(Reason::DType(format!("{name} does not take b as {}", w.dtype)));
    }
    if tile.0 == 0 && m > MATVEC_ROWS {
        return Err(Reason::Limit(format!("{name} takes up to {MATVEC_ROWS} rows")));
    }
    // With blocks, fewer pipelines count more than rows that are computed twice.
    let rows = match base.starts_with("columns") {
        true => rows.min(COLUMN_ROWS),
        false if w.dtype.is_block() => rows.min(MATVEC_ROWS),
        false => m.min(MATVEC_ROWS),
    };
    let mut constants = vec![
        ("Y", code(y.dtype)),
        ("A", code(a.dtype)),
        ("B", code(w.dtype)),
        ("A_ALONG_K", f64::from(u8::from(a.strides[r - 1] == 1))),
        ("B_ALONG_K", f64::from(u8::from(w.strides[r - 2] == 1 && w.strides[r - 1] != 1))),
        ("UNROLL", f64::from(u8::from(b.caps.profile.unroll))),
        ("M", rows.max(1) as f64),
        ("LANES", f64::from(b.caps.profile.matvec_lanes)),
        ("SIZE", f64::from(b.caps.subgroups.map_or(0, |(_, most)| most))),
    ];
    constants.extend(block_constants(w.dtype));
    let (mut activation, mut bias, mut residual) = (NO_ACTIVATION, None, None);
    if let Some(op) = linear {
        if let Some(function) = op.activation.unary() {
            activation = map::unary_code(function)?;
        } else if op.activation != Activation::None {
            return Err(Reason::Op("unknown activation".into()));
        }
        let mut next = 2;
        if op.bias {
            let stride = b.input(next).desc.strides[0] as u64;
            let mut strides = vec![0; r];
            strides[r - 1] = stride;
            bias = Some(b.input_view(next).with(strides, 1));
            next += 1;
        }
        if op.residual {
            residual = Some(b.input_view(next));
        }
    }
    let family = match (w.dtype.is_block(), linear) {
        (true, _) => "blocks",
        (false, Some(_)) => "linear",
        (false, None) => "matmul",
    };
    Ok(Product {
        variant: for_output(&format!("{family}_{base}"), y.dtype),
        constants,
        tile,
        wide: ["matvec_nk", "blocks_matvec"].into_iter().find(|&base| base == name),
        y: b.output_view(0),
        a: operand(0, r - 1, r - 1, k),
        b: operand(1, r - 2, r - 2, k / unit),
        activation,
        bias,
        residual,
        a_k: a.strides[r - 1] as u64,
        b_k: w.strides[r - 2] as u64,
        unit,
        sizes,
    })
}

impl Product {
    fn views(&self) -> Vec<&View> {
        [&self.y, &self.a, &self.b].into_iter().chain(&self.bias).chain(&self.residual).collect()
    }

    /// Adds up parts of k: halved until they fit and have at most `most_steps` steps.
    fn in_parts_of_k(&mut self, b: &mut Builder<'_>, k: u64, most_steps: u64) -> Result<(), Reason> {
        let (a, w) = (self.a.clone(), self.b.clone());
        let unit = self.unit;
        let mut part = k;
        let pieces = loop {
            part = part.div_ceil(2).next_multiple_of(unit);
            self.a.inner = (part - 1) * self.a_k + 1;
            self.b.inner = (part / unit - 1) * self.b_k + 1;
            match windows(&self.sizes, &self.views(), b.caps) {
                Ok(pieces) if part <= most_steps => break pieces,
                Ok(_) => {}
                Err(reason) if part <= unit => return Err(reason),
                Err(_) => {}
            }
        };
        for first in (0..k).step_by(part as usize) {
            let size = part.min(k - first);
            self.a = View { start: a.start + first * self.a_k, inner: (size - 1) * self.a_k + 1, ..a.clone() };
            let (start, inner) = (w.start + first / unit * self.b_k, (size / unit - 1) * self.b_k + 1);
            self.b = View { start, inner, ..w.clone() };
            for piece in &pieces {
                self.launch(b, piece, size, first > 0)?;
            }
        }
        Ok(())
    }

    fn launch(&self, b: &mut Builder<'_>, piece: &Piece, k: u64, accumulate: bool) -> Result<(), Reason> {
        let rank = piece.sizes.len();
        let (m, n) = (piece.sizes[rank - 2], piece.sizes[rank - 1]);
        let batch = &piece.sizes[..rank - 2];
        let (y, y_base) = self.y.bind(piece, b.caps);
        let mut bindings = vec![y];
        let (mut a_base, mut b_base) = (0, 0);
        for (view, base) in [(&self.a, &mut a_base), (&self.b, &mut b_base)] {
            if k == 0 {
                bindings.push(b.dummy(&self.variant)?);
            } else {
                let (binding, first) = view.bind(piece, b.caps);
                bindings.push(binding);
                *base = first;
            }
        }
        let (mut bias_base, mut residual_base) = (0, 0);
        if !self.variant.starts_with("matmul") {
            for (view, base) in [(&self.bias, &mut bias_base), (&self.residual, &mut residual_base)] {
                match view {
                    Some(view) => {
                        let (binding, first) = view.bind(piece, b.caps);
                        bindings.push(binding);
                        *base = first;
                    }
                    None => bindings.push(b.dummy(&self.variant)?),
                }
            }
        }
        let tiles_m = if self.tile.0 == 0 { 1 } else { m.div_ceil(self.tile.0) };
        let tiles_n = n.div_ceil(self.tile.1);
        let tiles = batch.iter().product::<u64>() * tiles_m * tiles_n;
        let stride = |view: Option<&View>, d: usize| word(view.map_or(0, |v| v.strides[d]));
        let residual = self.residual.as_ref();
        let mut params = vec![word(m)?, word(n)?, word(k)?, word(tiles)?, word(tiles_m)?, word(tiles_n)?];
        params.extend([batch.len() as u32, u32::from(accumulate), y_base, a_base, b_base, residual_base]);
        params.extend([bias_base, stride(self.bias.as_ref(), rank - 1)?, self.activation, self.more()]);
        params.extend([stride(Some(&self.a), rank - 2)?, word(self.a_k)?, word(self.b_k)?]);
        params.push(word(self.b.strides[rank - 1] * self.b.scale())?);
        params.extend([stride(Some(&self.y), rank - 2)?, stride(Some(&self.y), rank - 1)?]);
        params.extend([stride(residual, rank - 2)?, stride(residual, rank - 1)?]);
        for d in 0..4 {
            if d < batch.len() {
                params.push(word(batch[d])?);
                for view in [&self.y, &self.a, &self.b] {
                    params.push(word(view.strides[d] * view.scale())?);
                }
            } else {
                params.extend([1, 0, 0, 0]);
            }
        }
        for d in 0..4 {
            params.push(if d < batch.len() { stride(residual, d)? } else { 0 });
        }
        let wide = self.wide.filter(|_| k > 0 && self.aligned(piece, k, a_base, b_base));
        let variant = match wide {
            Some(base) => self.variant.replacen(base, &format!("{base}_wide"), 1),
            None => self.variant.clone(),
        };
        let pairs = k > 0 && self.b.dtype.block_bytes() == 2 && self.b_k == 1;
        let pairs = pairs && whole(&self.b, 2, [k, u64::from(b_base)], piece);
        let own = [("Y", code(self.y.dtype)), ("PAIRS", f64::from(u8::from(pairs)))];
        let kept = self.constants.iter().filter(|(name, _)| *name != "Y");
        let constants: Vec<_> = kept.copied().chain(own).collect();
        b.launch(&variant, &constants, bindings, params, tiles)
    }

    /// What follows the sum besides the activation, as in `matmul/shared.wesl`.
    fn more(&self) -> u32 {
        let part =
            |view: &Option<View>, has: u32, at: u32| view.as_ref().map_or(0, |v| has | (code(v.dtype) as u32) << at);
        part(&self.bias, 1, 4) | part(&self.residual, 2, 8)
    }

    /// Whether the rows of a and the columns of b consist of whole 16-byte vectors.
    fn aligned(&self, piece: &Piece, k: u64, a_base: u32, b_base: u32) -> bool {
        let whole = |view: &View, base: u32| {
            view.dtype.is_block() || whole(view, u64::from(4 * view.per_word()), [k, u64::from(base)], piece)
        };
        self.a_k == 1 && self.b_k == 1 && whole(&self.a, a_base) && whole(&self.b, b_base)
    }
}

/// Whether the starts of all rows of an operand, and `more`, are multiples of `unit` elements.
fn whole(view: &View, unit: u64, more: [u64; 2], piece: &Piece) -> bool {
    let steps = piece.sizes.iter().zip(&view.strides).filter(|&(&n, _)| n > 1).map(|(_, &s)| s);
    more.into_iter().chain(steps).all(|x| x.is_multiple_of(unit))
}
