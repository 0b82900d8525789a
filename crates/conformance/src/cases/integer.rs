//! Arithmetic of integers: the ends of their ranges, division by zero, wrapping.

use unisono_core::op::{BinaryOp, Op, UnaryOp};
use unisono_core::{DType, Result};

use super::{Draft, Layout, Sink, dims, pick};
use crate::case::DataClass;
use crate::data::Fill;

const EDGE: DataClass = DataClass::Adversarial("edge");

/// Numbers at the ends of a type's range and around zero; a long one also beyond what f64 holds.
pub(super) fn edges(dtype: DType) -> Vec<i64> {
    let (low, high) = match dtype {
        DType::I64 => (i64::MIN, i64::MAX),
        DType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        DType::U32 => (0, i64::from(u32::MAX)),
        DType::I8 => (-128, 127),
        DType::U8 => (0, 255),
        _ => return vec![0, 1, 1, 0, 1],
    };
    let mut list = vec![0, 1, low, high, low + 1, high - 1, high / 2, high / 2 + 1, 3, 7, 100];
    if low < 0 {
        list.extend([-1, -2, -7, low / 2, -100]);
    }
    if dtype == DType::I64 {
        let unit = 1i64 << 53;
        list.extend([unit + 1, -unit - 1, 1 << 31, 1 << 32, (1 << 32) + 5, -(1 << 31) - 1, -(1 << 32)]);
    }
    list
}

/// The second operand meets each element of the first with another one: the lists' lengths share
/// no factor.
pub(super) fn edge_pair(dtype: DType) -> [Fill; 2] {
    let a = edges(dtype);
    let mut b: Vec<i64> = a.iter().rev().copied().collect();
    b.push(0);
    [Fill::Integral(a), Fill::Integral(b)]
}

fn unary(sink: Sink<'_>) -> Result<()> {
    let functions = UnaryOp::ALL.into_iter().filter(|op| op.takes(DType::I32));
    for (k, op) in functions.enumerate() {
        for (t, dtype) in [DType::I32, DType::I64].into_iter().enumerate() {
            let shape = [[41usize, 3], [7, 19]][t];
            for (l, layout) in [Layout::Plain, Layout::Transposed].into_iter().enumerate() {
                let params = format!("dtype={dtype},shape={},layout={}", dims(&shape), layout.name());
                Draft::new(Op::Unary(op), "integer", params, EDGE)
                    .input(layout.desc(dtype, &shape)?, Fill::Integral(edges(dtype)))
                    .output(Layout::Plain.desc(dtype, &shape)?)
                    .quick_if(t == 0 && l == k % 2 && k % 2 == 0)
                    .add(sink)?;
            }
        }
    }
    Ok(())
}

fn binary(sink: Sink<'_>) -> Result<()> {
    let functions = BinaryOp::ALL.into_iter().filter(|op| op.takes(DType::I32));
    for (k, op) in functions.enumerate() {
        for (t, dtype) in [DType::I32, DType::U32, DType::I64].into_iter().enumerate() {
            let [a, b] = edge_pair(dtype);
            let n = a_len(&a) * a_len(&b);
            Draft::new(Op::Binary(op), "integer", format!("dtype={dtype},n={n}"), EDGE)
                .input(Layout::Plain.desc(dtype, &[n])?, a)
                .input(Layout::Plain.desc(dtype, &[n])?, b)
                .output(Layout::Plain.desc(dtype, &[n])?)
                .quick_if(t == k % 2)
                .add(sink)?;
            let layouts = pick(
                &[
                    [Layout::Plain, Layout::SharedRow, Layout::Gap(1)],
                    [Layout::Transposed, Layout::Scalar, Layout::Plain],
                    [Layout::Skip, Layout::Plain, Layout::Reversed],
                ],
                k + t,
            );
            let shape = [5, 33, 7];
            let names = layouts.map(Layout::name).join("_");
            let fill = Fill::Bits { start: 12345, step: 0x9E37_79B1 };
            Draft::new(Op::Binary(op), "integer_layout", format!("dtype={dtype},layout={names}"), DataClass::Bits)
                .input(layouts[0].desc(dtype, &shape)?, fill)
                .input(layouts[1].desc(dtype, &shape)?, Fill::Bits { start: 7, step: 0x85EB_CA6B })
                .output(layouts[2].desc(dtype, &shape)?)
                .add(sink)?;
        }
    }
    Ok(())
}

fn a_len(fill: &Fill) -> usize {
    match fill {
        Fill::Integral(list) => list.len(),
        _ => 1,
    }
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    unary(sink)?;
    binary(sink)
}
