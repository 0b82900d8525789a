//! Checkpoints that do not exist: the tensors of a shape, with random numbers in them.
//!
//! For measuring speed, which does not depend on what the weights say. All tensors of one element
//! type share one stretch of bytes as long as the largest, a pattern of a megabyte repeated, so a
//! model of any size is made in a moment; on the device each has memory of its own.

use std::collections::BTreeMap;

use half::{bf16, f16};
use unisono_core::{DType, Error, Result};

use super::data::Data;
use super::gguf::GgmlType;
use super::tensor::{StoredType, TensorInfo};
use crate::engine::random::Pcg32;

/// The tensors of such a checkpoint, as two files: matrices and vectors.
#[derive(Clone, Debug)]
pub(super) struct Random {
    pub(super) files: [RandomFile; 2],
}

/// Tensors of one element type.
#[derive(Clone, Debug)]
pub(super) struct RandomFile {
    pub(super) name: &'static str,
    pub(super) data: Data,
    pub(super) tensors: BTreeMap<String, TensorInfo>,
}

impl Random {
    /// Matrices of element type `dtype` with values within ±0.05 or so, and vectors (of norms) in f32
    /// around 1. Fails where blocks do not divide a row, and on types that no weight has.
    pub(super) fn new(tensors: &[(String, Vec<usize>)], dtype: DType, seed: u64) -> Result<Random> {
        let (vectors, matrices): (Vec<_>, Vec<_>) = tensors.iter().partition(|(_, shape)| shape.len() < 2);
        let mut random = Pcg32::new(seed, 1);
        let file = |name, dtype, tensors: &[&(String, Vec<usize>)], random: &mut Pcg32, centre: f32| {
            let weight = GgmlType::of(dtype).filter(|_| dtype.is_float() || dtype.is_block());
            let stored = weight.ok_or_else(|| Error::dtype(format!("weights cannot be {dtype}")))?;
            let mut all = BTreeMap::new();
            let mut longest = 0;
            for (tensor, shape) in tensors {
                let elements: usize = shape.iter().product();
                if !shape.last().is_some_and(|row| row.is_multiple_of(dtype.block_elements())) {
                    let message = format!("{tensor} {shape:?} cannot be {dtype}: blocks do not divide its rows");
                    return Err(Error::dtype(message));
                }
                let bytes = dtype.bytes_for(elements)? as usize;
                longest = longest.max(bytes);
                let info = TensorInfo { stored: StoredType::ggml(stored), shape: shape.clone(), bytes: 0..bytes };
                all.insert(tensor.clone(), info);
            }
            let data = Data::Bytes(repeated(&pattern(dtype, centre, random), longest).into());
            Ok(RandomFile { name, data, tensors: all })
        };
        let matrices = file("random matrices", dtype, &matrices, &mut random, 0.0)?;
        let vectors = file("random vectors", DType::F32, &vectors, &mut random, 1.0)?;
        Ok(Random { files: [matrices, vectors] })
    }
}

/// About a megabyte of whole blocks.
fn pattern(dtype: DType, centre: f32, random: &mut Pcg32) -> Vec<u8> {
    const BYTES: usize = 1 << 20;
    let mut number = || centre + (random.next_f64() as f32 - 0.5) * 0.1;
    match dtype {
        DType::F32 => (0..BYTES / 4).flat_map(|_| number().to_le_bytes()).collect(),
        DType::F16 => (0..BYTES / 2).flat_map(|_| f16::from_f32(number()).to_le_bytes()).collect(),
        DType::BF16 => (0..BYTES / 2).flat_map(|_| bf16::from_f32(number()).to_le_bytes()).collect(),
        _ => {
            let block = dtype.block_bytes();
            let mut bytes: Vec<u8> = (0..BYTES / block * block).map(|_| random.next_u32() as u8).collect();
            for block in bytes.chunks_exact_mut(block) {
                for (at, scale) in scales(dtype) {
                    block[at..at + 2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
                }
                if dtype == DType::Mxfp4 {
                    // 2^(120 - 127) times at most 6.
                    block[0] = 120;
                }
            }
            bytes
        }
    }
}

/// Where a block has its f16 scales (docs/quantisation.md), and values that keep its numbers small.
fn scales(dtype: DType) -> Vec<(usize, f32)> {
    match dtype {
        DType::Q4_0 => vec![(0, 5e-3)],
        DType::Q4_1 => vec![(0, 5e-3), (2, -4e-2)],
        DType::Q5_0 => vec![(0, 2.5e-3)],
        DType::Q5_1 => vec![(0, 2.5e-3), (2, -4e-2)],
        DType::Q8_0 | DType::Iq4Nl => vec![(0, 4e-4)],
        DType::Q2K => vec![(80, 1e-3), (82, 1e-3)],
        DType::Q3K => vec![(108, 4e-4)],
        DType::Q4K => vec![(0, 5e-5), (2, 4e-4)],
        DType::Q5K => vec![(0, 3e-5), (2, 4e-4)],
        DType::Q6K => vec![(208, 1e-5)],
        DType::Iq4Xs => vec![(0, 1e-5)],
        _ => Vec::new(),
    }
}

fn repeated(pattern: &[u8], bytes: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(bytes + pattern.len());
    while all.len() < bytes {
        all.extend_from_slice(pattern);
    }
    all.truncate(bytes);
    all
}
