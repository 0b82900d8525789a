//! The rows as ONNX models of one node, with the operators that ONNX Runtime's own optimiser would
//! put there for its CPU provider.
//!
//! Left out are products whose weights that provider has no kernel for: with f16 weights it widens
//! them to f32 when the session is made, so that the row would be that of f32 with two conversions;
//! a product in bf16, and blocks with several scales (q4_k, q6_k), it does not have.

use anyhow::Result;
use half::f16;
use unisono::DType;

use crate::data::{Data, EPS, rope_tables};
use crate::onnx_model::{Constant, Element, MICROSOFT, Model, Value};
use crate::row::{Function, Norm, Work};

/// Elements of a block of q4_0 and q8_0.
const BLOCK: usize = 32;
/// `MatMulNBits` multiplies bytes: activations become 8-bit numbers, block by block.
const INT8: i64 = 4;

/// A row in ONNX Runtime.
pub(crate) struct Prepared {
    pub(crate) model: Model,
    /// The bytes of what a run is given.
    pub(crate) operands: Vec<Vec<u8>>,
    pub(crate) variant: &'static str,
}

/// The model of a row with its operands, or `None` where no operator serves it.
pub(crate) fn prepared(work: &Work, data: &Data) -> Result<Option<Prepared>> {
    let (model, variant) = match *work {
        Work::Product { dtype: DType::F32, m, n, k } => {
            let weight = transposed(&bytemuck::pod_collect_to_vec(&data.weight), n, k);
            let model = Model { output: (Element::F32, vec![m, n]), ..node("MatMul", &[m, k]) };
            (Model { constants: vec![f32s(&weight, &[k, n])], ..model }, "prepacked")
        }
        Work::Product { dtype: dtype @ (DType::Q4_0 | DType::Q8_0), m, n, k } => {
            let (bits, (scales, bytes)) = match dtype {
                DType::Q4_0 => (4, q4_0(&data.weight)),
                _ => (8, q8_0(&data.weight)),
            };
            let shape = vec![n, k / BLOCK, BLOCK * bits / 8];
            let numbers = [
                ("K", k as i64),
                ("N", n as i64),
                ("bits", bits as i64),
                ("block_size", BLOCK as i64),
                ("accuracy_level", INT8),
            ];
            let model = Model {
                domain: MICROSOFT,
                settings: numbers.map(|(name, value)| (name, Value::Int(value))).into(),
                constants: vec![Constant { element: Element::U8, shape, bytes }, f32s(&scales, &[n, k / BLOCK])],
                output: (Element::F32, vec![m, n]),
                ..node("MatMulNBits", &[m, k])
            };
            (model, "MatMulNBits, 8-bit activations")
        }
        Work::Product { .. } => return Ok(None),
        Work::Attention { .. } => return Ok(attention(work, data)),
        Work::Norm { norm, shape } => {
            let (factor, bias) = (f32s(&data.factor, &[data.factor.len()]), f32s(&data.bias, &[data.bias.len()]));
            let (operator, constants) = match norm {
                Norm::Softmax => ("Softmax", vec![]),
                Norm::Rms => ("SimplifiedLayerNormalization", vec![factor]),
                Norm::Layer => ("LayerNormalization", vec![factor, bias]),
            };
            let mut settings = vec![("axis", Value::Int(-1))];
            if norm != Norm::Softmax {
                settings.push(("epsilon", Value::Float(EPS)));
            }
            (Model { settings, constants, ..node(operator, &shape) }, "")
        }
        Work::Function { function, rows, cols } => {
            let gelu =
                |kind| Model { settings: vec![("approximate", Value::Text(kind))], ..node("Gelu", &[rows, cols]) };
            let model = match function {
                Function::Silu => Model {
                    domain: MICROSOFT,
                    settings: vec![("alpha", Value::Float(1.0))],
                    ..node("QuickGelu", &[rows, cols])
                },
                Function::GeluErf => gelu("none"),
                Function::GeluTanh => gelu("tanh"),
            };
            (model, "")
        }
        Work::Rope { tokens, heads, dim } => {
            let [cos, sin] = rope_tables(tokens, dim).map(|table| f32s(&table, &[tokens, dim / 2]));
            // One number: the position of the first token.
            let first = Constant { element: Element::I64, shape: vec![1], bytes: 0i64.to_le_bytes().into() };
            // Without settings it rotates halves; the size of a head is that of the tables.
            let model = node("RotaryEmbedding", &[1, tokens, heads * dim]);
            (Model { domain: MICROSOFT, constants: vec![first, cos, sin], ..model }, "")
        }
    };
    Ok(Some(Prepared { model, operands: vec![bytemuck::cast_slice(&data.x).to_vec()], variant }))
}

/// ONNX's `Attention`: heads before tokens, keys and values are given to each run.
fn attention(work: &Work, data: &Data) -> Option<Prepared> {
    let Work::Attention { dtype, heads, kv_heads, tokens, kv, dim, causal } = *work else { return None };
    let (element, queries, variant) = match dtype {
        DType::F32 => (Element::F32, bytemuck::cast_slice(&data.x).to_vec(), ""),
        DType::F16 => {
            (Element::F16, data.x.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(), "f16 activations")
        }
        _ => return None,
    };
    let (given, cache) = ((element, vec![1, heads, tokens, dim]), (element, vec![1, kv_heads, kv, dim]));
    let model = Model {
        settings: vec![("is_causal", Value::Int(causal.into()))],
        inputs: vec![given.clone(), cache.clone(), cache],
        output: given,
        ..node("Attention", &[])
    };
    Some(Prepared { model, operands: vec![queries, data.weight.clone(), data.values.clone()], variant })
}

/// A node of ONNX's own that makes f32 numbers of as many.
fn node(operator: &'static str, shape: &[usize]) -> Model {
    let floats = (Element::F32, shape.to_vec());
    Model {
        domain: "",
        operator,
        settings: Vec::new(),
        inputs: vec![floats.clone()],
        constants: Vec::new(),
        output: floats,
    }
}

fn f32s(values: &[f32], shape: &[usize]) -> Constant {
    Constant { element: Element::F32, shape: shape.to_vec(), bytes: bytemuck::cast_slice(values).to_vec() }
}

/// A weight `[n, k]` as `[k, n]`.
fn transposed(weight: &[f32], n: usize, k: usize) -> Vec<f32> {
    (0..n * k).map(|i| weight[i % n * k + i / n]).collect()
}

/// The scales of blocks, which begin with them, and the bytes that follow in each.
fn blocks(bytes: &[u8], size: usize) -> (Vec<f32>, impl Iterator<Item = &[u8]>) {
    let blocks = bytes.chunks_exact(2 + size);
    let scales = blocks.clone().map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect();
    (scales, blocks.map(|b| &b[2..]))
}

/// Scales, and the numbers in `MatMulNBits`' order: neighbours share a byte, where in q4_0 it is
/// the numbers `j` and `j + 16`. In both, 8 stands for zero.
fn q4_0(bytes: &[u8]) -> (Vec<f32>, Vec<u8>) {
    let (scales, blocks) = blocks(bytes, BLOCK / 2);
    let mut numbers = Vec::with_capacity(bytes.len());
    for block in blocks {
        for half in [0, 4] {
            numbers.extend(block.chunks_exact(2).map(|b| (b[0] >> half & 15) | (b[1] >> half & 15) << 4));
        }
    }
    (scales, numbers)
}

/// Scales, and the numbers with 128 for zero, where q8_0 has signed bytes.
fn q8_0(bytes: &[u8]) -> (Vec<f32>, Vec<u8>) {
    let (scales, blocks) = blocks(bytes, BLOCK);
    (scales, blocks.flatten().map(|b| b ^ 0x80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks that begin with 0.5 and −2.
    fn two_blocks(first: &[u8], second: &[u8]) -> Vec<u8> {
        let scale = |v: f32| f16::from_f32(v).to_le_bytes();
        [&scale(0.5), first, &scale(-2.0), second].concat()
    }

    #[test]
    fn neighbours_of_q4_0_come_to_share_a_byte() {
        // The number j is j % 16 in the first block and 15 − j % 16 in the second.
        let stored: Vec<u8> = (0..16).map(|j| j | j << 4).collect();
        let reversed: Vec<u8> = stored.iter().rev().copied().collect();
        // The upper half of the numbers differs from the lower.
        let upper_zero: Vec<u8> = stored.iter().map(|b| b & 15).collect();
        let ascending = [0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe];
        let descending = [0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01];
        let (scales, numbers) = q4_0(&two_blocks(&stored, &reversed));
        assert_eq!(scales, [0.5, -2.0]);
        assert_eq!(numbers, [ascending, ascending, descending, descending].concat());
        let (_, numbers) = q4_0(&two_blocks(&upper_zero, &stored));
        assert_eq!(numbers, [ascending, [0; 8], ascending, ascending].concat());
    }

    #[test]
    fn numbers_of_q8_0_lose_their_sign() {
        let first: Vec<u8> = (-16i8..16).map(|v| v as u8).collect();
        let second = [[0x80, 0x7f]; 16].concat();
        let (scales, numbers) = q8_0(&two_blocks(&first, &second));
        assert_eq!(scales, [0.5, -2.0]);
        let expected: Vec<u8> = (112..144).chain([0, 255].repeat(16)).collect();
        assert_eq!(numbers, expected);
    }

    #[test]
    fn a_weight_is_transposed() {
        assert_eq!(transposed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}
