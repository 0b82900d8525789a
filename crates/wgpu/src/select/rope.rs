//! Rotary position embedding: one kernel over the elements of the input, which writes them to where
//! they are in the output, or into the rows of a cache.

use unisono_core::op::RopePairing;
use unisono_core::{DType, Reason};

use super::builder::{Builder, code, for_output, word};
use super::window::{View, windows};

/// Elements that one workgroup visits (`PER_INVOCATION · GROUP` in the shader).
const PER_GROUP: u64 = 1024;

/// Rows that an index can name: a negative one is beyond all of them.
const MOST_ROWS: u64 = 1 << 31;

pub(super) fn rope(b: &mut Builder<'_>, pairing: RopePairing) -> Result<(), Reason> {
    let y = &b.output(0).desc;
    let last = y.shape[3].saturating_sub(1) as u64 * y.strides[3] as u64;
    let view = b.output_view(0).with(lead(&y.strides), last + 1);
    build(b, "rope", pairing, &view, None)
}

pub(super) fn rope_write(b: &mut Builder<'_>, pairing: RopePairing) -> Result<(), Reason> {
    let dst = &b.output(0).desc;
    let rows = dst.shape[0] as u64 * dst.shape[1] as u64;
    if rows > MOST_ROWS {
        return Err(Reason::Limit(format!("{rows} rows of a cache exceed what an index can name")));
    }
    // Every token may write any row; heads keep their place.
    let span = |d: usize| dst.shape[d].saturating_sub(1) as u64 * dst.strides[d] as u64;
    let view = b.output_view(0).with(vec![0, 0, dst.strides[2] as u64], span(0) + span(1) + span(3) + 1);
    let indices = b.input_view(4);
    let indices_strides = vec![indices.strides[0], indices.strides[1], 0];
    build(b, "rope_write", pairing, &view, Some(&(indices.with(indices_strides, 1), rows)))
}

fn lead(strides: &[usize]) -> Vec<u64> {
    strides[..3].iter().map(|&s| s as u64).collect()
}

/// Over the heads of `x`; with the indices of a cache and its rows, where these say.
fn build(
    b: &mut Builder<'_>,
    kernel: &str,
    pairing: RopePairing,
    y_view: &View,
    cache: Option<&(View, u64)>,
) -> Result<(), Reason> {
    let (x, cos, sin, y) = (&b.input(0).desc, &b.input(1).desc, &b.input(2).desc, &b.output(0).desc);
    let positions = &b.input(3).desc;
    let sizes: Vec<u64> = x.shape.iter().map(|&n| n as u64).collect();
    // A head stays whole: both elements of a pair are read together.
    let (outer, head_dim) = (&sizes[..3], sizes[3]);
    let x_view = b.input_view(0).with(lead(&x.strides), (head_dim - 1) * x.strides[3] as u64 + 1);
    let at = b.input_view(3).with(vec![positions.strides[0] as u64, positions.strides[1] as u64, 0], 1);
    let table_view = |i: usize| b.input_view(i).with(vec![0; 3], b.input(i).desc.span() as u64);
    let (cos_view, sin_view) = (table_view(1), table_view(2));
    let unit = y_view.per_word();
    let kernel = for_output(kernel, y.dtype);
    let constants = [
        ("Y", code(y.dtype)),
        ("A", code(x.dtype)),
        ("B", code(cos.dtype)),
        ("C", code(sin.dtype)),
        ("D", code(positions.dtype)),
        ("UNIT", f64::from(unit)),
        ("HALF_SPLIT", f64::from(u8::from(pairing == RopePairing::HalfSplit))),
    ];
    let mut views = vec![y_view, &x_view, &at];
    views.extend(cache.map(|(indices, _)| indices));
    let tables = !cos.is_empty();
    if tables {
        views.extend([&cos_view, &sin_view]);
    }
    for piece in windows(outer, &views, b.caps)? {
        let (y_bound, y_base) = y_view.bind(&piece, b.caps);
        let (x_bound, x_base) = x_view.bind(&piece, b.caps);
        let (at_bound, at_base) = at.bind(&piece, b.caps);
        let ((cos_bound, cos_base), (sin_bound, sin_base)) = if tables {
            (cos_view.bind(&piece, b.caps), sin_view.bind(&piece, b.caps))
        } else {
            ((b.dummy(&kernel)?, 0), (b.dummy(&kernel)?, 0))
        };
        let count = piece.count() * head_dim;
        let shift = if y.strides[3] == 1 { y_base % unit } else { 0 };
        let mut params = vec![word(count)?, shift, word(cos.shape[1] as u64)?, word(cos.shape[0] as u64)?];
        for d in 0..3 {
            params.push(word(piece.sizes[d])?);
        }
        params.push(word(head_dim)?);
        params.extend([y_base, x_base, cos_base, sin_base]);
        for strides in [&y.strides[..], &x.strides[..]] {
            for &s in strides {
                params.push(word(s as u64)?);
            }
        }
        for stride in [cos.strides[0], cos.strides[1], sin.strides[0], sin.strides[1]] {
            params.push(word(stride as u64)?);
        }
        params.extend([at_base, word(positions.strides[0] as u64)?, word(positions.strides[1] as u64)?, 0]);
        let mut bindings = vec![y_bound, x_bound, cos_bound, sin_bound, at_bound];
        if let Some((indices, rows)) = cache {
            let (bound, base) = indices.bind(&piece, b.caps);
            bindings.push(bound);
            params.extend([base, word(indices.strides[0])?, word(indices.strides[1])?, word(*rows)?]);
            params.extend([word(y.shape[1] as u64)?, u32::from(indices.dtype == DType::I64), 0, 0]);
        }
        let groups = (count + u64::from(shift)).div_ceil(PER_GROUP);
        b.launch(&kernel, &constants, bindings, params, groups)?;
    }
    Ok(())
}
