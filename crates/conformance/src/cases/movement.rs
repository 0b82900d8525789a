//! Copies, casts and joins: every pair of types, every layout, every bit pattern of 16 bits.

use unisono_core::op::{Concat, Op};
use unisono_core::{DType, Result, TensorDesc};

use super::{Draft, FLOATS, Layout, Sink, dims, pick};
use crate::case::DataClass;
use crate::data::Fill;

/// Bit patterns for every type; a bool is 0 or 1.
pub(super) fn bits(dtype: DType) -> Fill {
    match dtype {
        DType::Bool => Fill::Indices { rows: 2 },
        DType::U8 => Fill::Indices { rows: 256 },
        DType::I8 => Fill::Integers { max: 127 },
        DType::F16 | DType::BF16 => Fill::Bits { start: 0x8001, step: 40503 },
        _ => Fill::Bits { start: 1, step: 0x9E37_79B1 },
    }
}

fn copy(
    sink: Sink<'_>,
    name: &'static str,
    shape: &[usize],
    from: (DType, Layout),
    to: (DType, Layout),
    quick: bool,
) -> Result<()> {
    let params = format!("dtype={}_{},shape={},layout={}_{}", from.0, to.0, dims(shape), from.1.name(), to.1.name());
    Draft::new(Op::Copy, name, params, DataClass::Bits)
        .input(from.1.desc(from.0, shape)?, bits(from.0))
        .output(to.1.desc(to.0, shape)?)
        .quick_if(quick)
        .add(sink)
}

fn layouts(sink: Sink<'_>) -> Result<()> {
    let shapes: [&[usize]; 12] = [
        &[],
        &[1],
        &[0],
        &[257],
        &[5, 0, 3],
        &[33, 31],
        &[64, 65],
        &[7, 5, 3],
        &[2, 3, 32, 17],
        &[3, 2, 4, 3, 5],
        &[2, 3, 2, 3, 2, 5],
        &[129, 128],
    ];
    let pairs = [
        (Layout::Plain, Layout::Plain),
        (Layout::Transposed, Layout::Plain),
        (Layout::Plain, Layout::Transposed),
        (Layout::Reversed, Layout::Plain),
        (Layout::Gap(3), Layout::Gap(1)),
        (Layout::Skip, Layout::Plain),
        (Layout::Plain, Layout::Skip),
        (Layout::SharedRow, Layout::Plain),
        (Layout::Scalar, Layout::Gap(2)),
        (Layout::SharedBatch, Layout::Reversed),
    ];
    for (i, shape) in shapes.into_iter().enumerate() {
        for (p, (from, to)) in pairs.into_iter().enumerate() {
            for t in 0..2 {
                let dtype = pick(&DType::PLAIN[..8], i + p + 3 * t);
                let other = if dtype.is_float() && (i + p) % 2 == 0 { pick(&FLOATS, i + t) } else { dtype };
                copy(sink, "layout", shape, (dtype, from), (other, to), (i + p) % 5 == t)?;
            }
        }
    }
    Ok(())
}

/// All values of 16-bit types, all ties between them, and a spread of f32.
fn casts(sink: Sink<'_>) -> Result<()> {
    let one = |sink: Sink<'_>, name, from: DType, to: DType, n: usize, fill: Fill, quick: bool| {
        Draft::new(Op::Copy, name, format!("dtype={from}_{to},n={n}"), DataClass::Bits)
            .input(TensorDesc::contiguous(from, &[n])?, fill)
            .output(TensorDesc::contiguous(to, &[n])?)
            .quick_if(quick)
            .add(sink)
    };
    for from in [DType::F16, DType::BF16] {
        for to in FLOATS {
            one(sink, "cast_all", from, to, 65536, Fill::Bits { start: 0, step: 1 }, true)?;
        }
    }
    for to in FLOATS {
        let spread = |n: usize| Fill::Bits { start: 77, step: ((1u64 << 32) / n as u64) as u32 | 1 };
        one(sink, "cast_spread", DType::F32, to, 16384, spread(16384), true)?;
        one(sink, "cast_spread", DType::F32, to, 1 << 20, spread(1 << 20), false)?;
    }
    // Halfway between neighbours of f16, from half of the smallest subnormal to past the range; one
    // f32 before and one after.
    for (name, start) in [("cast_tie", 0x3300_1000), ("cast_below_tie", 0x3300_0FFF), ("cast_above_tie", 0x3300_1001)] {
        let n = (0x4780_0000 - 0x3300_0000) / 0x2000;
        one(sink, name, DType::F32, DType::F16, n, Fill::Bits { start, step: 0x2000 }, name == "cast_tie")?;
    }
    for (name, start) in [("cast_tie", 0x8000), ("cast_below_tie", 0x7FFF), ("cast_above_tie", 0x8001)] {
        one(sink, name, DType::F32, DType::BF16, 65536, Fill::Bits { start, step: 0x1_0000 }, name == "cast_tie")?;
    }
    Ok(())
}

fn concats(sink: Sink<'_>) -> Result<()> {
    // Sizes along the axis, and the shape with that axis left out.
    let rows: [(&[usize], &[usize], usize); 9] = [
        (&[1], &[3], 0),
        (&[2, 3], &[5], 0),
        (&[4, 1], &[7], 1),
        (&[3, 0, 2], &[2, 5], 1),
        (&[31, 33], &[3], 1),
        (&[1, 2, 3, 4], &[2, 3], 2),
        (&[5, 5], &[0], 1),
        (&[17, 1], &[2, 3, 4], 2),
        (&[64, 65, 1], &[2, 3], 0),
    ];
    for (i, (sizes, others, axis)) in rows.into_iter().enumerate() {
        for (t, dtype) in
            [DType::F32, DType::F16, DType::BF16, DType::U32, DType::I32, DType::U8].into_iter().enumerate()
        {
            let layouts = [Layout::Plain, Layout::Gap(1), Layout::Transposed, Layout::Skip];
            let place = pick(&layouts, i + t);
            let shape = |n: usize| {
                let mut s = others.to_vec();
                s.insert(axis, n);
                s
            };
            let params = format!(
                "dtype={dtype},axis={axis},sizes={},others={},layout={}",
                dims(sizes),
                dims(others),
                place.name()
            );
            let op = Op::Concat(Concat { axis, inputs: sizes.len() });
            let mut draft = Draft::new(op, "join", params, DataClass::Bits);
            for (j, &n) in sizes.iter().enumerate() {
                draft = draft.input(pick(&layouts, i + j).desc(dtype, &shape(n))?, bits(dtype));
            }
            let total = sizes.iter().sum();
            draft.output(place.desc(dtype, &shape(total))?).quick_if(t == i % 6 || t == (i + 3) % 6).add(sink)?;
        }
    }
    Ok(())
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    layouts(sink)?;
    casts(sink)?;
    for (i, from) in FLOATS.into_iter().enumerate() {
        for (j, to) in FLOATS.into_iter().enumerate() {
            copy(sink, "many", &[70000, 3], (from, Layout::Plain), (to, Layout::Gap(1)), false)?;
            copy(sink, "pair", &[9, 37], (from, Layout::Gap(2)), (to, Layout::Plain), i != j)?;
            let special = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0];
            Draft::new(Op::Copy, "special", format!("dtype={from}_{to}"), DataClass::Adversarial("nonfinite"))
                .input(Layout::Plain.desc(from, &[13])?, Fill::Cycle(special))
                .output(Layout::Plain.desc(to, &[13])?)
                .informative()
                .add(sink)?;
        }
    }
    concats(sink)
}
