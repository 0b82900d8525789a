//! Parameters and constants: clamp, scale and shift, borders, and tensors filled with one value.

use unisono_core::op::{Clamp, Op, Pad, Real, Scalar, ScaleShift};
use unisono_core::{DType, Dims, Result};

use super::movement::bits;
use super::{Draft, FLOATS, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

const LAYOUTS: [[Layout; 2]; 4] = [
    [Layout::Plain; 2],
    [Layout::Transposed, Layout::Gap(1)],
    [Layout::SharedRow, Layout::Plain],
    [Layout::Skip, Layout::Reversed],
];

fn functions(sink: Sink<'_>) -> Result<()> {
    let shapes: [&[usize]; 5] = [&[257], &[33, 65], &[0], &[5, 7, 3], &[]];
    let ops = [
        [(0.0, 6.0), (-1.0, 1.0), (f32::NEG_INFINITY, 0.5), (-0.25, f32::INFINITY)]
            .map(|(min, max)| Op::Clamp(Clamp { min: Real(min), max: Real(max) })),
        [(2.0, 1.0), (0.1, -3.7), (-1e3, 0.0), (1.0, 1e-3)]
            .map(|(scale, shift)| Op::ScaleShift(ScaleShift { scale: Real(scale), shift: Real(shift) })),
    ];
    for ops in ops {
        for (i, shape) in shapes.into_iter().enumerate() {
            for (t, dtype) in FLOATS.into_iter().enumerate() {
                let turn = i + t;
                let to = if turn % 4 == 3 { DType::F32 } else { dtype };
                let [from, place] = pick(&LAYOUTS, turn);
                let (data, fill) = pick(&[0, 1], turn + i)
                    .eq(&0)
                    .then_some(())
                    .map_or((DataClass::Normal, Fill::normal(3.0)), |()| (DataClass::Exact, Fill::Integers { max: 8 }));
                let params = format!(
                    "dtype={},shape={},layout={}_{},variant={}",
                    types(&[dtype, to]),
                    dims(shape),
                    from.name(),
                    place.name(),
                    turn % 4
                );
                Draft::new(ops[turn % 4].clone(), "shape", params, data)
                    .input(from.desc(dtype, shape)?, fill)
                    .output(place.desc(to, shape)?)
                    .quick_if(i < 2 && t == i)
                    .add(sink)?;
            }
        }
    }
    Ok(())
}

/// The value of a border or of a filled tensor; one that the type has to convert.
fn value(dtype: DType, i: usize) -> Scalar {
    let ints = [Scalar::Int(0), Scalar::Int(-3), Scalar::Int((77 << 32) + 201), Scalar::Real(Real(-7.9))];
    let floats = [Scalar::Real(Real(0.0)), Scalar::Real(Real(0.1)), Scalar::Int(-2049), Scalar::Real(Real(-1e5))];
    if dtype.is_float() { pick(&floats, i) } else { pick(&ints, i) }
}

fn name(value: Scalar) -> String {
    match value {
        Scalar::Real(x) => format!("real{}", x.0),
        Scalar::Int(i) => format!("int{i}"),
    }
}

fn pads(sink: Sink<'_>) -> Result<()> {
    let rows: [(&[usize], &[usize], &[usize]); 8] = [
        (&[5], &[1], &[2]),
        (&[33, 65], &[0, 3], &[1, 0]),
        (&[7, 5, 3], &[1, 1, 1], &[1, 1, 1]),
        (&[2, 3, 4, 5], &[0, 0, 2, 1], &[0, 1, 0, 2]),
        (&[0, 4], &[2, 1], &[0, 1]),
        (&[4, 4], &[0, 0], &[0, 0]),
        (&[], &[], &[]),
        (&[3, 300], &[2, 17], &[1, 40]),
    ];
    for (i, (shape, before, after)) in rows.into_iter().enumerate() {
        for n in 0..3 {
            let dtype = pick(&DType::PLAIN, i + 3 * n);
            let [from, place] = pick(&LAYOUTS, i + n);
            let place = if place == Layout::Gap(1) && i % 2 == 0 { Layout::Skip } else { place };
            let value = value(dtype, i + n);
            let op = Pad { before: Dims::new(before)?, after: Dims::new(after)?, value };
            let grown: Vec<usize> = (0..shape.len()).map(|d| before[d] + shape[d] + after[d]).collect();
            let params = format!(
                "dtype={dtype},shape={},before={},after={},value={},layout={}_{}",
                dims(shape),
                dims(before),
                dims(after),
                name(value),
                from.name(),
                place.name()
            );
            Draft::new(Op::Pad(op), "border", params, DataClass::Bits)
                .input(from.desc(dtype, shape)?, bits(dtype))
                .output(place.desc(dtype, &grown)?)
                .quick_if([1, 3, 2].get(n) == Some(&i))
                .add(sink)?;
        }
    }
    Ok(())
}

fn fills(sink: Sink<'_>) -> Result<()> {
    let shapes: [&[usize]; 5] = [&[257], &[33, 65], &[], &[3, 0], &[7, 5, 3]];
    for (t, dtype) in DType::PLAIN.into_iter().enumerate() {
        for n in 0..2 {
            let shape = pick(&shapes, t + 2 * n);
            let place = pick(&[Layout::Plain, Layout::Skip, Layout::Gap(3), Layout::Transposed], t + n);
            let value = value(dtype, t + n + 1);
            let params = format!("dtype={dtype},shape={},value={},layout={}", dims(shape), name(value), place.name());
            Draft::new(Op::Fill(value), "value", params, DataClass::Bits)
                .dtype(dtype)
                .output(place.desc(dtype, shape)?)
                .quick_if(n == 0 && [0, 1, 5, 8].contains(&t))
                .add(sink)?;
        }
    }
    Ok(())
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    functions(sink)?;
    pads(sink)?;
    fills(sink)
}
