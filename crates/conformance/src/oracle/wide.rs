//! Movement of 64-bit elements: the lower and the upper words move alike, so the oracle of 32-bit
//! elements answers for each half.

use unisono_core::op::{Op, OpDesc, Pad, Scalar};
use unisono_core::{DType, Error, Result, TensorDesc};

use super::integer::{self, Number, to_integer};
use crate::check::Expected;
use crate::data::read_integers;

/// Whether `desc` moves 64-bit elements and computes nothing.
pub(super) fn moves(desc: &OpDesc) -> bool {
    let moved = matches!(desc.op, Op::Copy | Op::Concat(_) | Op::GatherRows | Op::ScatterRows | Op::Pad(_) | Op::Where);
    moved && desc.outputs[0].dtype == DType::I64 && (desc.op != Op::Copy || desc.inputs[0].dtype == DType::I64)
}

pub(super) fn evaluate(desc: &OpDesc, inputs: &[Vec<u8>], initial: &[Option<Vec<u8>>]) -> Result<Vec<Expected>> {
    let halves: Vec<Vec<f64>> = [0, 32]
        .into_iter()
        .map(|shift| {
            let mut half = desc.clone();
            if let Op::Pad(pad) = &desc.op {
                let value = to_integer(DType::I64, Number::from(pad.value));
                let word = (value as u64 >> shift) as u32;
                half.op = Op::Pad(Pad { value: Scalar::Int(i64::from(word)), ..*pad });
            }
            // Indices are no data: they stay as they are.
            let indices = matches!(desc.op, Op::GatherRows | Op::ScatterRows).then_some(1);
            let mut words = Vec::new();
            for (i, (d, bytes)) in desc.inputs.iter().zip(inputs).enumerate() {
                words.push(if d.dtype == DType::I64 && Some(i) != indices {
                    half.inputs[i] = d.to_contiguous(DType::U32);
                    plane(d, bytes, shift)?
                } else {
                    bytes.clone()
                });
            }
            half.outputs[0] = desc.outputs[0].to_contiguous(DType::U32);
            let former = initial
                .iter()
                .map(|bytes| bytes.as_ref().map(|bytes| plane(&desc.outputs[0], bytes, shift)).transpose());
            let expected = super::evaluate(&half, &words, &former.collect::<Result<Vec<_>>>()?)?;
            expected.into_iter().next().map(|e| e.values).ok_or_else(|| Error::internal("there is an output"))
        })
        .collect::<Result<_>>()?;
    let join = |(&low, &high): (&f64, &f64)| (u64::from(low as u32) | u64::from(high as u32) << 32) as i64;
    Ok(vec![integer::exact(DType::I64, halves[0].iter().zip(&halves[1]).map(join).collect())])
}

/// One word of each element, row-major.
fn plane(desc: &TensorDesc, bytes: &[u8], shift: u32) -> Result<Vec<u8>> {
    let elements = read_integers(desc, bytes).ok_or_else(|| Error::invalid(format!("too few bytes for {desc}")))?;
    Ok(elements.iter().flat_map(|&i| ((i as u64 >> shift) as u32).to_le_bytes()).collect())
}
