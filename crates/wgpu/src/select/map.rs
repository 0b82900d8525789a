//! Kernels that visit elements one by one, and movement among them: copies, casts, concatenation,
//! gathered and scattered rows. All share one parameter block: sizes and the strides of up to four
//! operands.

use unisono_core::op::{Concat, UnaryOp};
use unisono_core::{DType, Reason};

use super::builder::{Builder, code, for_output, word};
use super::window::{Piece, View, collapse, windows};

/// Elements that one workgroup visits (`PER_INVOCATION · GROUP` in the shader).
const PER_GROUP: u64 = 1024;

/// What a map needs besides its operands.
#[derive(Clone)]
pub(super) struct Map<'a> {
    kernel: &'a str,
    constants: Vec<(&'static str, f64)>,
    extra: [u32; 4],
}

impl<'a> Map<'a> {
    pub(super) fn new(kernel: &'a str) -> Map<'a> {
        Map { kernel, constants: Vec::new(), extra: [0; 4] }
    }

    pub(super) fn op(self, op: u32) -> Map<'a> {
        self.constant("OP", f64::from(op))
    }

    pub(super) fn constant(mut self, name: &'static str, value: f64) -> Map<'a> {
        self.constants.push((name, value));
        self
    }

    /// Whether view `i` of the launch holds indices.
    fn is_index(&self, i: usize) -> bool {
        i == 2 && matches!(self.kernel, "gather_rows" | "scatter_rows")
    }

    pub(super) fn parameters(mut self, first: u32, second: u32) -> Map<'a> {
        self.extra = [first, second, 0, 0];
        self
    }
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

/// `y = x` with cast, of the output's shape.
pub(super) fn copy(b: &mut Builder<'_>) -> Result<(), Reason> {
    let (y, x) = (b.output_view(0), b.input_view(0));
    copy_view(b, &y, &x)
}

/// A copy with cast between two views of the shape of the first output.
pub(super) fn copy_view(b: &mut Builder<'_>, y: &View, x: &View) -> Result<(), Reason> {
    let sizes = sizes(&b.output(0).desc.shape);
    copy_over(b, &sizes, y, x)
}

/// A copy with cast between two views of these sizes.
pub(super) fn copy_over(b: &mut Builder<'_>, sizes: &[u64], y: &View, x: &View) -> Result<(), Reason> {
    if x.dtype != y.dtype && !(x.dtype.is_float() && y.dtype.is_float()) {
        let map = Map::new("cast").constant("FROM", kind(x.dtype)).constant("TO", kind(y.dtype));
        return over(b, &map, sizes, &[y.clone(), x.clone()]);
    }
    moved(b, &Map::new("copy"), sizes, &[y.clone(), x.clone()], 0)
}

/// What elements of a type mean, as in `shared/integer.wesl`.
pub(super) fn kind(dtype: DType) -> f64 {
    match dtype {
        DType::I32 => 1.0,
        DType::U32 => 2.0,
        DType::I8 => 3.0,
        DType::U8 => 4.0,
        DType::Bool => 5.0,
        DType::I64 => 6.0,
        _ => 0.0,
    }
}

/// A map that moves elements bit for bit. Those of 64 bits go in two launches, one for the lower
/// words and one for the upper ones, each with its half of `value`; indices stay what they are.
pub(super) fn moved(
    b: &mut Builder<'_>,
    map: &Map<'_>,
    sizes: &[u64],
    views: &[View],
    value: u64,
) -> Result<(), Reason> {
    let words = |half: u64| {
        let mut map = map.clone();
        if map.kernel == "fill" {
            map.extra[0] = (value >> (32 * half)) as u32;
        }
        map
    };
    if views[0].dtype != DType::I64 {
        return over(b, &words(0), sizes, views);
    }
    for half in 0..2 {
        let views: Vec<View> = views
            .iter()
            .enumerate()
            // A truth value or an index among the operands is no data.
            .map(|(i, v)| if v.dtype == DType::I64 && !map.is_index(i) { v.clone().half(half) } else { v.clone() })
            .collect();
        let mut map = words(half);
        map.extra[3] *= 2;
        over(b, &map, sizes, &views)?;
    }
    Ok(())
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
            let x = b.input_view(i);
            copy_over(b, &sizes, &y, &x)?;
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
        return moved(b, &Map::new("fill"), &sizes, &[b.output_view(0)], 0);
    }
    for (first, rows) in row_windows(b, 0, total, row_stride)? {
        let inner = (rows - 1) * row_stride + 1;
        let mut window = b.input_view(0).with(table_strides.clone(), inner);
        window.start += first * row_stride;
        let extra = [word(first)?, word(first + rows)?, word(total)?, word(row_stride)?];
        let map = Map { extra, ..Map::new("gather_rows") };
        let views = [b.output_view(0), window, index.clone()];
        moved(b, &map, &sizes, &views, 0)?;
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
        let views = [window, b.input_view(0), index];
        moved(b, &map, &sizes, &views, 0)?;
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

pub(super) fn sizes(shape: &[usize]) -> Vec<u64> {
    shape.iter().map(|&n| n as u64).collect()
}

pub(super) fn over_output(b: &mut Builder<'_>, map: &Map<'_>, views: &[View]) -> Result<(), Reason> {
    let sizes = sizes(&b.output(0).desc.shape);
    over(b, map, &sizes, views)
}

/// Whether a launch visits vectors of four f32 of every operand one after the other, and has a shader
/// for that.
fn whole_vectors(map: &Map<'_>, count: u64, strides: &[Vec<u64>], views: &[View], bases: &[u32; 4]) -> bool {
    matches!(map.kernel, "unary" | "binary")
        && count.is_multiple_of(4)
        && strides.iter().all(|s| s[..] == [1])
        && views.iter().zip(bases).all(|(v, base)| v.dtype == DType::F32 && base.is_multiple_of(4))
}

/// Launches a map over a space; views are y, then the inputs.
pub(super) fn over(b: &mut Builder<'_>, map: &Map<'_>, sizes: &[u64], views: &[View]) -> Result<(), Reason> {
    let all: Vec<&View> = views.iter().collect();
    let y = &views[0];
    let unit = y.per_word();
    let mut constants = map.constants.clone();
    constants.push(("UNIT", f64::from(unit)));
    for (name, view) in ["Y", "A", "B", "C"].into_iter().zip(views) {
        constants.push((name, code(view.dtype)));
    }
    for piece in windows(sizes, &all, b.caps)? {
        let strides: Vec<Vec<u64>> = views.iter().map(|v| v.strides.clone()).collect();
        let (dims, strides) = collapse(&piece.sizes, &strides);
        let mut bindings = Vec::new();
        let mut bases = [0; 4];
        for (i, view) in views.iter().enumerate() {
            let (binding, base) = view.bind(&piece, b.caps);
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
        for d in 0..6 {
            params.push(word(strides.get(3).and_then(|s| s.get(d)).copied().unwrap_or(0))?);
        }
        params.extend([0, bases[3]]);
        let groups = (piece.count() + u64::from(shift)).div_ceil(PER_GROUP);
        let kernel = match whole_vectors(map, piece.count(), &strides, views, &bases) {
            true => format!("wide_{}", map.kernel),
            false => for_output(map.kernel, y.dtype),
        };
        b.launch(&kernel, &constants, bindings, params, groups)?;
    }
    Ok(())
}
