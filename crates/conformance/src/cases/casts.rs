//! Casts between any two plain types, long elements and long indices. Every pair of types has a
//! case over the ends of both ranges and the ties of rounding.

use unisono_core::op::{Concat, Op};
use unisono_core::{DType, Result};

use super::integer::edges;
use super::movement::bits;
use super::{Draft, Layout, Sink, pick};
use crate::case::DataClass;
use crate::data::Fill;

const EDGE: DataClass = DataClass::Adversarial("edge");

/// Floats around the ends of the integer types, with fractions; and both zeros.
fn real_edges() -> Vec<f64> {
    let ends = [127.0, 128.0, 255.0, 256.0, 2_147_483_520.0, 2_147_483_648.0, 4_294_967_040.0, 4_294_967_296.0];
    let far = [9.223_371_5e18, 9.223_372e18, 1.8e19, 3e38, 65504.0];
    let small = [0.0, 0.4, 0.5, 0.999, 1.0, 1.5, 2.5, 7.9, 126.9, 127.5, 128.9, 1e-40, 6e-8, 16_777_215.0, 65.0];
    ends.into_iter().chain(far).chain(small).flat_map(|x| [x, -x]).collect()
}

/// Integers at the ties of f32, f16 and bf16 and one beside them, as far as the type holds them.
fn ties(dtype: DType) -> Vec<i64> {
    let mut list = edges(dtype);
    let wide = [2049, 2051, 4098, 257, 259, 65519, 65520, 65535, 16_777_217, 16_777_219, 33_554_433, 33_554_435];
    let long = [
        (1i64 << 40) + (1 << 16),
        (1 << 40) + (1 << 16) + 1,
        (3 << 40) + (1 << 17),
        (257 << 40) + 1,
        257 << 40,
        (1 << 62) + (1 << 38),
        (1 << 62) + (1 << 38) + 1,
    ];
    match dtype {
        DType::I32 => list.extend(wide.iter().flat_map(|&x| [x, -x])),
        DType::U32 => list.extend(wide.iter().flat_map(|&x| [x, x << 7])),
        DType::I64 => list.extend(wide.iter().chain(&long).flat_map(|&x| [x, -x, x + (x << 20)])),
        DType::I8 | DType::U8 => {
            let first = if dtype == DType::I8 { -128 } else { 0 };
            list = (first..first + 256).collect();
        }
        _ => {}
    }
    list
}

fn edge_fill(dtype: DType) -> Fill {
    if dtype.is_float() { Fill::Cycle(real_edges()) } else { Fill::Integral(ties(dtype)) }
}

fn pairs(sink: Sink<'_>) -> Result<()> {
    let layouts = [[Layout::Plain; 2], [Layout::Gap(1), Layout::Skip], [Layout::Transposed, Layout::Plain]];
    for (i, from) in DType::PLAIN.into_iter().enumerate() {
        for (j, to) in DType::PLAIN.into_iter().enumerate() {
            if from == to || (from.is_float() && to.is_float()) {
                continue;
            }
            // Of the 66 pairs, those in quick reach every type on both sides.
            let quick = [(0, 3), (0, 8), (1, 5), (2, 7), (3, 1), (4, 2), (5, 4), (6, 0), (7, 6), (8, 1), (8, 0)];
            Draft::new(Op::Copy, "cast_edge", format!("dtype={from}_{to}"), EDGE)
                .input(Layout::Plain.desc(from, &[260])?, edge_fill(from))
                .output(Layout::Plain.desc(to, &[260])?)
                .quick_if(quick.contains(&(i, j)))
                .add(sink)?;
            let [lx, ly] = pick(&layouts, i + j);
            let params = format!("dtype={from}_{to},layout={}_{}", lx.name(), ly.name());
            Draft::new(Op::Copy, "cast_layout", params, DataClass::Bits)
                .input(lx.desc(from, &[9, 37])?, bits(from))
                .output(ly.desc(to, &[9, 37])?)
                .add(sink)?;
        }
    }
    Ok(())
}

fn long_elements(sink: Sink<'_>) -> Result<()> {
    let long = DType::I64;
    let layouts = [
        [Layout::Plain, Layout::Plain],
        [Layout::Transposed, Layout::Gap(1)],
        [Layout::Skip, Layout::Reversed],
        [Layout::SharedRow, Layout::Plain],
    ];
    for (i, [from, to]) in layouts.into_iter().enumerate() {
        let name = |l: Layout| l.name();
        let params = format!("dtype=i64,layout={}_{}", name(from), name(to));
        Draft::new(Op::Copy, "long", params.clone(), DataClass::Bits)
            .input(from.desc(long, &[5, 33, 7])?, bits(long))
            .output(to.desc(long, &[5, 33, 7])?)
            .quick_if(i == 1)
            .add(sink)?;
        for (t, dtype) in [long, DType::I8, DType::Bool].into_iter().enumerate() {
            let params = format!("dtype={dtype},layout={}_{}", name(from), name(to));
            Draft::new(Op::Concat(Concat { axis: 1, inputs: 2 }), "narrow_and_long", params, DataClass::Bits)
                .input(from.desc(dtype, &[4, 3, 5])?, bits(dtype))
                .input(Layout::Plain.desc(dtype, &[4, 6, 5])?, bits(dtype))
                .output(to.desc(dtype, &[4, 9, 5])?)
                .quick_if(i == t && t < 2)
                .add(sink)?;
        }
        let fill = Fill::Integral(vec![3, 0, 17, -1, 4, (1 << 32) + 2, i64::MIN, 18, 1 << 31, 16]);
        for (t, dtype) in [DType::F32, DType::F16, long].into_iter().enumerate() {
            let params = format!("dtype={dtype},indices=i64,layout={}_{}", name(from), name(to));
            Draft::new(Op::GatherRows, "long_index", params, DataClass::Adversarial("stray"))
                .input(from.desc(dtype, &[18, 6])?, bits(dtype))
                .input(Layout::Skip.desc(long, &[10])?, fill.clone())
                .output(to.desc(dtype, &[10, 6])?)
                .quick_if(i == 0 && t == 0)
                .add(sink)?;
        }
        let distinct = Fill::Integral(vec![3, 0, 17, -1, (1 << 32) + 2, 5, i64::MAX, 18]);
        for (t, dtype) in [DType::BF16, DType::F32, long].into_iter().enumerate() {
            let place = if to == Layout::Plain { Layout::Gap(2) } else { to };
            let params = format!("dtype={dtype},indices=i64,layout={}_{}", name(from), name(place));
            Draft::new(Op::ScatterRows, "long_index", params, DataClass::Adversarial("stray"))
                .input(from.desc(dtype, &[8, 6])?, bits(dtype))
                .input(Layout::Plain.desc(long, &[8])?, distinct.clone())
                .output(place.desc(dtype, &[18, 6])?)
                .initial(bits(dtype))
                .quick_if(i == 1 && t == 1)
                .add(sink)?;
        }
    }
    Ok(())
}

/// Every finite 16-bit float as every other kind of number. NaN and ∞ are in `nan`.
fn all_inputs(sink: Sink<'_>) -> Result<()> {
    for from in [DType::F16, DType::BF16] {
        for to in DType::PLAIN.into_iter().filter(|to| !to.is_float()) {
            Draft::new(Op::Copy, "cast_all", format!("dtype={from}_{to}"), DataClass::Bits)
                .input(Layout::Plain.desc(from, &[65536])?, Fill::Bits { start: 0, step: 1 })
                .output(Layout::Plain.desc(to, &[65536])?)
                .add(sink)?;
        }
    }
    Ok(())
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    pairs(sink)?;
    all_inputs(sink)?;
    long_elements(sink)
}
