//! Kernels that visit elements one by one: functions, copies, concatenation, gathered and scattered
//! rows. All share one parameter block: sizes and the strides of up to three operands.

use unisono_core::Reason;
use unisono_core::op::{BinaryOp, Concat, Gate, UnaryOp};

use super::builder::{Builder, code, for_output, word};
use super::window::{Piece, View, collapse, windows};
use crate::launch::Binding;

/// Elements that one workgroup visits (`PER_INVOCATION · GROUP` in the shader).
const PER_GROUP: u64 = 1024;

/// What a map needs besides its operands.
struct Map<'a> {
    kernel: &'a str,
    constants: Vec<(&'static str, f64)>,
    extra: [u32; 4],
}

impl<'a> Map<'a> {
    fn new(kernel: &'a str) -> Map<'a> {
        Map { kernel, constants: Vec::new(), extra: [0; 4] }
    }

    fn op(mut self, op: u32) -> Map<'a> {
        self.constants.push(("OP", f64::from(op)));
        self
    }
}

pub(super) fn unary(b: &mut Builder<'_>, op: UnaryOp) -> Result<(), Reason> {
    let code = unary_code(op)?;
    floats(b)?;
    let views = [b.output_view(0), b.input_view(0)];
    over_output(b, &Map::new("unary").op(code), &views)
}

/// The code of a function in `shared/activation.wesl`.
pub(super) fn unary_code(op: UnaryOp) -> Result<u32, Reason> {
    Ok(match op {
        UnaryOp::Neg => 0,
        UnaryOp::Exp => 1,
        UnaryOp::Rsqrt => 2,
        UnaryOp::Tanh => 3,
        UnaryOp::Sigmoid => 4,
        UnaryOp::Silu => 5,
        UnaryOp::Gelu => 6,
        UnaryOp::GeluTanh => 7,
        _ => return Err(Reason::Op(format!("there is no kernel for {}", op.name()))),
    })
}

pub(super) fn binary(b: &mut Builder<'_>, op: BinaryOp) -> Result<(), Reason> {
    let code = match op {
        _ if !b.output(0).desc.dtype.is_float() => return floats(b),
        BinaryOp::Add => 0,
        BinaryOp::Sub => 1,
        BinaryOp::Mul => 2,
        BinaryOp::Div => 3,
        _ => return Err(Reason::Op(format!("there is no kernel for {}", op.name()))),
    };
    let views = [b.output_view(0), b.input_view(0), b.input_view(1)];
    over_output(b, &Map::new("binary").op(code), &views)
}

/// Declines what is not computed in f32.
fn floats(b: &Builder<'_>) -> Result<(), Reason> {
    let dtype = b.output(0).desc.dtype;
    if dtype.is_float() { Ok(()) } else { Err(Reason::DType(format!("there is no kernel for {dtype}"))) }
}

pub(super) fn gated(b: &mut Builder<'_>, gate: Gate) -> Result<(), Reason> {
    if gate != Gate::SwiGlu {
        return Err(Reason::Op(format!("there is no kernel for {}", gate.name())));
    }
    let views = [b.output_view(0), b.input_view(0), b.input_view(1)];
    over_output(b, &Map::new("binary").op(4), &views)
}

pub(super) fn copy(b: &mut Builder<'_>) -> Result<(), Reason> {
    if b.input(0).desc.dtype != b.output(0).desc.dtype {
        floats(b)?;
        if !b.input(0).desc.dtype.is_float() {
            return Err(Reason::DType(format!("there is no cast from {}", b.input(0).desc.dtype)));
        }
    }
    let views = [b.output_view(0), b.input_view(0)];
    over_output(b, &Map::new("copy"), &views)
}

/// A copy with cast between two views of the shape of the first output.
pub(super) fn copy_view(b: &mut Builder<'_>, y: &View, x: &View) -> Result<(), Reason> {
    over_output(b, &Map::new("copy"), &[y.clone(), x.clone()])
}

/// A copy over another space: views are y and x.
pub(super) fn copy_over(b: &mut Builder<'_>, sizes: &[u64], views: &[View]) -> Result<(), Reason> {
    over(b, &Map::new("copy"), sizes, views)
}

/// Scattered rows over another space: views are dst, src and the indices.
pub(super) fn scatter_over(b: &mut Builder<'_>, extra: [u64; 4], sizes: &[u64], views: &[View]) -> Result<(), Reason> {
    let [first, end, total, stride] = extra;
    let extra = [word(first)?, word(end)?, word(total)?, word(stride)?];
    over(b, &Map { extra, ..Map::new("scatter_rows") }, sizes, views)
}

/// One copy for each input, into its part of the output.
pub(super) fn concat(b: &mut Builder<'_>, op: &Concat) -> Result<(), Reason> {
    let mut at = 0;
    for i in 0..op.inputs {
        let x = b.input(i);
        let mut y = b.output_view(0);
        y.start += at * y.strides[op.axis];
        at += x.desc.shape[op.axis] as u64;
        if !x.desc.is_empty() {
            let sizes = sizes(&x.desc.shape);
            let views = [y, b.input_view(i)];
            over(b, &Map::new("copy"), &sizes, &views)?;
        }
    }
    Ok(())
}

pub(super) fn gather(b: &mut Builder<'_>) -> Result<(), Reason> {
    let (table, indices, y) = (b.input(0), b.input(1), b.output(0));
    let lead = indices.desc.rank();
    let width = y.desc.rank() - lead;
    let total = table.desc.shape[0] as u64;
    let mut index_strides: Vec<u64> = indices.desc.strides.iter().map(|&s| s as u64).collect();
    index_strides.resize(lead + width, 0);
    let mut table_strides = vec![0; lead];
    table_strides.extend(table.desc.strides[1..].iter().map(|&s| s as u64));
    let row_stride = table.desc.strides[0] as u64;
    let index = b.input_view(1).with(index_strides, 1);
    let sizes = sizes(&y.desc.shape);
    if total == 0 {
        let table = b.input_view(0).with(table_strides, 1);
        let map = Map { extra: [0, 0, 0, 0], ..Map::new("gather_rows") };
        return over_with_dummy(b, &map, &sizes, &[b.output_view(0), table, index]);
    }
    for (first, rows) in row_windows(b, 0, total, row_stride)? {
        let inner = (rows - 1) * row_stride + 1;
        let mut window = b.input_view(0).with(table_strides.clone(), inner);
        window.start += first * row_stride;
        let extra = [word(first)?, word(first + rows)?, word(total)?, word(row_stride)?];
        let map = Map { extra, ..Map::new("gather_rows") };
        over(b, &map, &sizes, &[b.output_view(0), window, index.clone()])?;
    }
    Ok(())
}

pub(super) fn scatter(b: &mut Builder<'_>) -> Result<(), Reason> {
    let (src, indices, dst) = (b.input(0), b.input(1), b.output(0));
    let width = src.desc.rank() - 1;
    let total = dst.desc.shape[0] as u64;
    let mut index_strides = vec![0; width + 1];
    index_strides[0] = indices.desc.strides[0] as u64;
    let mut dst_strides = vec![0];
    dst_strides.extend(dst.desc.strides[1..].iter().map(|&s| s as u64));
    let row_stride = dst.desc.strides[0] as u64;
    let sizes = sizes(&src.desc.shape);
    for (first, rows) in row_windows(b, 2, total, row_stride)? {
        let inner = (rows - 1) * row_stride + 1;
        let mut window = b.output_view(0).with(dst_strides.clone(), inner);
        window.start += first * row_stride;
        let extra = [word(first)?, word(first + rows)?, 0, word(row_stride)?];
        let map = Map { extra, ..Map::new("scatter_rows") };
        let index = b.input_view(1).with(index_strides.clone(), 1);
        over(b, &map, &sizes, &[window, b.input_view(0), index])?;
    }
    Ok(())
}

/// Windows of rows of the table (operand 0) or the target (operand 2): first row and how many.
fn row_windows(b: &Builder<'_>, operand: usize, total: u64, row_stride: u64) -> Result<Vec<(u64, u64)>, Reason> {
    let (view, desc) = match operand {
        0 => (b.input_view(0), &b.input(0).desc),
        _ => (b.output_view(0), &b.output(0).desc),
    };
    let row: u64 =
        desc.shape[1..].iter().zip(&desc.strides[1..]).map(|(&n, &s)| (n as u64).saturating_sub(1) * s as u64).sum();
    let pieces = windows(&[total], &[&view.with(vec![row_stride], row + 1)], b.caps).or_else(|_| {
        // A single row is too large: its width is cut by the caller's own windows.
        Ok::<_, Reason>((0..total).map(|i| Piece { start: vec![i], sizes: vec![1] }).collect())
    })?;
    let mut list: Vec<(u64, u64)> = pieces.iter().map(|p| (p.start[0], p.sizes[0])).collect();
    list.sort_unstable();
    Ok(list)
}

fn sizes(shape: &[usize]) -> Vec<u64> {
    shape.iter().map(|&n| n as u64).collect()
}

fn over_output(b: &mut Builder<'_>, map: &Map<'_>, views: &[View]) -> Result<(), Reason> {
    let sizes = sizes(&b.output(0).desc.shape);
    over(b, map, &sizes, views)
}

/// Launches a map over a space; views are y, a and perhaps b.
fn over(b: &mut Builder<'_>, map: &Map<'_>, sizes: &[u64], views: &[View]) -> Result<(), Reason> {
    launch(b, map, sizes, views, None)
}

/// The same with nothing to read in `a`.
fn over_with_dummy(b: &mut Builder<'_>, map: &Map<'_>, sizes: &[u64], views: &[View]) -> Result<(), Reason> {
    let dummy = b.dummy(map.kernel)?;
    launch(b, map, sizes, views, Some(dummy))
}

fn launch(
    b: &mut Builder<'_>,
    map: &Map<'_>,
    sizes: &[u64],
    views: &[View],
    dummy: Option<Binding>,
) -> Result<(), Reason> {
    let all: Vec<&View> = match dummy {
        Some(_) => views.iter().enumerate().filter(|&(i, _)| i != 1).map(|(_, v)| v).collect(),
        None => views.iter().collect(),
    };
    let y = &views[0];
    let unit = y.per_word();
    let mut constants = map.constants.clone();
    constants.push(("UNIT", f64::from(unit)));
    for (name, view) in ["Y", "A", "B"].into_iter().zip(views) {
        constants.push((name, code(view.dtype)));
    }
    for piece in windows(sizes, &all, b.caps)? {
        let strides: Vec<Vec<u64>> = views.iter().map(|v| v.strides.clone()).collect();
        let (dims, strides) = collapse(&piece.sizes, &strides);
        let mut bindings = Vec::new();
        let mut bases = [0; 3];
        for (i, view) in views.iter().enumerate() {
            let (binding, base) = match dummy {
                Some(dummy) if i == 1 => (dummy, 0),
                _ => view.bind(&piece, b.caps),
            };
            bindings.push(binding);
            bases[i] = base;
        }
        let shift = if strides[0].last() == Some(&1) { bases[0] % unit } else { 0 };
        let mut params = vec![word(piece.count())?, dims.len() as u32, shift, 0, 0, bases[0], bases[1], bases[2]];
        for d in 0..6 {
            params.push(word(dims.get(d).copied().unwrap_or(1))?);
            for i in 0..3 {
                params.push(word(strides.get(i).and_then(|s| s.get(d)).copied().unwrap_or(0))?);
            }
        }
        params.extend(map.extra);
        let groups = (piece.count() + u64::from(shift)).div_ceil(PER_GROUP);
        b.launch(&for_output(map.kernel, y.dtype), &constants, bindings, params, groups)?;
    }
    Ok(())
}
