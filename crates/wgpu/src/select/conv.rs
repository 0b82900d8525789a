//! Convolution straight from its formula, the windows of an image as columns, and normalisation over
//! groups of channels: kernels with parameter blocks of their own.

use unisono_core::op::{Conv2d, GroupNorm, Im2Col};
use unisono_core::{Reason, TensorDesc};

use super::builder::{Builder, code, for_output, word};
use super::rows::row_lanes;
use super::window::{Piece, View, collapse, windows};

/// Elements of a workgroup of `im2col`.
const COLUMNS_PER_GROUP: u64 = 1024;
/// Invocations of a workgroup of `conv_direct`.
const LANES: u64 = 64;

/// Elements that an index into these dimensions spans.
fn span(shape: &[usize], strides: &[usize]) -> u64 {
    shape.iter().zip(strides).map(|(&n, &s)| (n.saturating_sub(1) * s) as u64).sum::<u64>() + 1
}

fn words(values: &[usize]) -> Result<Vec<u32>, Reason> {
    values.iter().map(|&v| word(v as u64)).collect()
}

/// Images of height 1 for sequences.
fn image(d: &TensorDesc) -> TensorDesc {
    if d.rank() == 4 { *d } else { d.with_axis(2, 1).unwrap_or(*d) }
}

fn pair(d: [usize; 2], i: usize) -> u64 {
    d[i] as u64
}

pub(super) fn im2col(b: &mut Builder<'_>, op: &Im2Col) -> Result<(), Reason> {
    let (x, y) = (&b.input(0).desc, &b.output(0).desc);
    if y.dtype.block_bytes() > 4 {
        return Err(Reason::DType(format!("windows of {} have no kernel", y.dtype)));
    }
    let size = [x.shape[2], x.shape[3]];
    let [_, across] = op.windows(size).map_err(|e| Reason::Invalid(e.to_string()))?;
    let (window, pixels) = (op.kernel[0] * op.kernel[1], y.shape[2]);
    let columns = span(&[window, pixels], &y.strides[1..]);
    let y_view = b.output_view(0).with(vec![y.strides[0] as u64, (window * y.strides[1]) as u64], columns);
    let x_strides = x.strides[..2].iter().map(|&s| s as u64).collect();
    let x_view = b.input_view(0).with(x_strides, span(&x.shape[2..], &x.strides[2..]));
    let views: Vec<&View> = if x.is_empty() { vec![&y_view] } else { vec![&y_view, &x_view] };
    let kernel = for_output("im2col", y.dtype);
    for piece in windows(&[x.shape[0] as u64, x.shape[1] as u64], &views, b.caps)? {
        let (to, y_base) = y_view.bind(&piece, b.caps);
        let (from, x_base) = if x.is_empty() { (b.dummy(&kernel)?, 0) } else { x_view.bind(&piece, b.caps) };
        let count = piece.count() * (window * pixels) as u64;
        let mut params = vec![word(count)?, word(piece.sizes[1])?, word(pixels as u64)?, word(across as u64)?];
        for list in [size, op.kernel, op.stride, op.padding, op.dilation] {
            params.extend(words(&list)?);
        }
        params.extend([y_base, x_base]);
        params.extend(words(&[y.strides[0], y.strides[1], y.strides[2], 0])?);
        params.extend(words(&x.strides)?);
        let constants = [("Y", code(y.dtype)), ("A", code(x.dtype))];
        b.launch(&kernel, &constants, vec![to, from], params, count.div_ceil(COLUMNS_PER_GROUP))?;
    }
    Ok(())
}

pub(super) fn direct(b: &mut Builder<'_>, op: &Conv2d) -> Result<(), Reason> {
    let (x, w, y) = (image(&b.input(0).desc), image(&b.input(1).desc), image(&b.output(0).desc));
    let bias = op.bias.then(|| b.input(2).desc);
    let s = |d: &TensorDesc, i: usize| d.strides[i] as u64;
    // The space is batch, output channel, row of y.
    let y_view = b.output_view(0).with(vec![s(&y, 0), s(&y, 1), s(&y, 2)], span(&y.shape[3..], &y.strides[3..]));
    let x_view = b.input_view(0).with(vec![s(&x, 0), 0, 0], span(&x.shape[1..], &x.strides[1..]));
    let w_view = b.input_view(1).with(vec![0, s(&w, 0), 0], span(&w.shape[1..], &w.strides[1..]));
    let bias_view = bias.map(|d| b.input_view(2).with(vec![0, s(&d, 0), 0], 1));
    let empty = x.is_empty() || w.is_empty();
    let mut views = vec![&y_view];
    if !empty {
        views.extend([&x_view, &w_view]);
    }
    views.extend(&bias_view);
    let kernel = for_output("conv_direct", y.dtype);
    let unit = u64::from(y_view.per_word());
    let mut constants = vec![("Y", code(y.dtype)), ("A", code(x.dtype)), ("B", code(w.dtype)), ("UNIT", unit as f64)];
    constants.extend(bias.map(|d| ("C", code(d.dtype))));
    let space = [y.shape[0] as u64, y.shape[1] as u64, y.shape[2] as u64];
    for piece in windows(&space, &views, b.caps)? {
        let (to, y_base) = y_view.bind(&piece, b.caps);
        let mut bindings = vec![to];
        let mut bases = vec![y_base];
        for view in [(!empty).then_some(&x_view), (!empty).then_some(&w_view), bias_view.as_ref()] {
            let (binding, base) = match view {
                Some(view) => view.bind(&piece, b.caps),
                None => (b.dummy(&kernel)?, 0),
            };
            bindings.push(binding);
            bases.push(base);
        }
        let count = piece.count() * y.shape[3] as u64;
        let mut params = vec![word(count)?, word(piece.sizes[1])?, word(piece.sizes[2])?, word(y.shape[3] as u64)?];
        params.extend([word(piece.start[1])?, word(piece.start[2])?]);
        // Without an element to read no channel is visited.
        params.push(if empty { 0 } else { word(w.shape[1] as u64)? });
        params.push(word((y.shape[1] / op.groups) as u64)?);
        for i in 0..2 {
            params.push(word(x.shape[2 + i] as u64)?);
        }
        for list in [[w.shape[2], w.shape[3]], op.stride, op.padding, op.dilation] {
            params.extend([word(pair(list, 0))?, word(pair(list, 1))?]);
        }
        params.extend([u32::from(op.bias), word(bias.map_or(0, |d| s(&d, 0)))?]);
        params.extend(bases);
        for d in [&y, &x, &w] {
            params.extend(words(&d.strides)?);
        }
        b.launch(&kernel, &constants, bindings, params, count.div_ceil(LANES * unit))?;
    }
    Ok(())
}

pub(super) fn group_norm(b: &mut Builder<'_>, op: &GroupNorm) -> Result<(), Reason> {
    let (x, y) = (&b.input(0).desc, &b.output(0).desc);
    let per_group = y.shape[1] / op.groups;
    let along = |view: View, d: &TensorDesc| {
        let strides = vec![d.strides[0] as u64, (per_group * d.strides[1]) as u64];
        view.with(strides, span(&[per_group], &d.strides[1..2]) + span(&d.shape[2..], &d.strides[2..]) - 1)
    };
    let (y_view, x_view) = (along(b.output_view(0), y), along(b.input_view(0), x));
    let vector = |i: usize| {
        let stride = b.input(i).desc.strides[0] as u64;
        (b.input_view(i).with(vec![0, per_group as u64 * stride], (per_group as u64 - 1) * stride + 1), stride)
    };
    let weight = op.weight.then(|| vector(1));
    let bias = op.bias.then(|| vector(1 + usize::from(op.weight)));
    let mut views = vec![&y_view, &x_view];
    views.extend(weight.iter().chain(&bias).map(|(view, _)| view));
    let kernel = for_output("group_norm", y.dtype);
    let unit = f64::from(y_view.per_word());
    let mut constants = vec![("Y", code(y.dtype)), ("A", code(x.dtype)), ("UNIT", unit)];
    constants.extend(weight.iter().map(|(view, _)| ("B", code(view.dtype))));
    constants.extend(bias.iter().map(|(view, _)| ("C", code(view.dtype))));
    let positions: Vec<u64> = y.shape[2..].iter().map(|&n| n as u64).collect();
    let strides: Vec<Vec<u64>> = [y, x].map(|d| d.strides[2..].iter().map(|&s| s as u64).collect()).to_vec();
    let (dims, strides) = collapse(&positions, &strides);
    let n = per_group as u64 * positions.iter().product::<u64>();
    let lanes = row_lanes(n, b.caps);
    constants.push(("GROUP", lanes as f64));
    for piece in windows(&[y.shape[0] as u64, op.groups as u64], &views, b.caps)? {
        let launch = Groups { op, per_group, positions: positions.iter().product(), dims: &dims, strides: &strides };
        let (mut bindings, mut bases) = (Vec::new(), Vec::new());
        for view in [Some(&y_view), Some(&x_view), weight.as_ref().map(|w| &w.0), bias.as_ref().map(|b| &b.0)] {
            let (binding, base) = match view {
                Some(view) => view.bind(&piece, b.caps),
                None => (b.dummy(&kernel)?, 0),
            };
            bindings.push(binding);
            bases.push(base);
        }
        let vectors = [&weight, &bias].map(|v| v.as_ref().map_or(0, |v| v.1));
        let params = launch.params(&piece, &bases, [y, x], vectors)?;
        b.launch(&kernel, &constants, bindings, params, piece.count())?;
    }
    Ok(())
}

/// What the launches of a group normalisation share.
struct Groups<'a> {
    op: &'a GroupNorm,
    per_group: usize,
    positions: u64,
    dims: &'a [u64],
    strides: &'a [Vec<u64>],
}

impl Groups<'_> {
    fn params(
        &self,
        piece: &Piece,
        bases: &[u32],
        [y, x]: [&TensorDesc; 2],
        vectors: [u64; 2],
    ) -> Result<Vec<u32>, Reason> {
        let op = self.op;
        let mut params = vec![word(piece.count())?, word(piece.sizes[1])?, word(self.per_group as u64)?];
        params.extend([word(self.positions)?, self.dims.len() as u32, op.eps.0.to_bits()]);
        params.extend([u32::from(op.weight), u32::from(op.bias)]);
        params.extend(bases);
        params.extend(words(&[y.strides[0], y.strides[1], x.strides[0], x.strides[1]])?);
        params.extend([word(vectors[0])?, word(vectors[1])?, 0, 0]);
        for d in 0..4 {
            params.push(word(self.dims.get(d).copied().unwrap_or(1))?);
            for strides in self.strides {
                params.push(word(strides.get(d).copied().unwrap_or(0))?);
            }
            params.push(0);
        }
        Ok(params)
    }
}
