//! Selection where operands are in block formats, for devices that are not at hand.

use unisono_core::op::{Activation, Linear};
use unisono_core::{DType, Op, OpDesc, TensorDesc};

use super::candidates;
use super::tests::{check, default_limits, devices, op, t};
use crate::caps::Caps;
use crate::launch::{Launch, Source};

fn weight(dtype: DType, k: usize, n: usize) -> TensorDesc {
    t(dtype, &[n, k]).transposed(0, 1).expect("transposed")
}

fn product(dtype: DType, float: DType, m: usize, k: usize, n: usize) -> OpDesc {
    op(Op::MatMul, &[t(float, &[m, k]), weight(dtype, k, n)], &[t(float, &[m, n])])
}

fn experts(dtype: DType, float: DType, tokens: usize) -> OpDesc {
    let b = t(dtype, &[5, 10, 512]).transposed(1, 2).expect("transposed");
    let a = t(float, &[tokens, 1, 512]).broadcast_to(&[tokens, 2, 512]).expect("broadcast");
    op(Op::MatMulId, &[a, b, t(DType::U32, &[tokens, 2])], &[t(float, &[tokens, 2, 10])])
}

/// One of every operation on this block format, with this float.
fn every_op(block: DType, float: DType) -> Vec<OpDesc> {
    let (x, blocks) = (t(float, &[7, 512]), t(block, &[7, 512]));
    let index = t(DType::I32, &[7]);
    let table = t(block, &[9, 512]);
    let linear = Linear { bias: true, activation: Activation::Silu, residual: true };
    let y = t(float, &[3, 10]);
    let mut ops = vec![
        op(Op::Copy, &[blocks], &[x]),
        op(Op::Copy, &[blocks], &[blocks]),
        op(Op::GatherRows, &[table, index], &[x]),
        op(Op::GatherRows, &[t(block, &[0, 512]), index], &[x]),
        op(Op::ScatterRows, &[blocks, index], &[table]),
        product(block, float, 1, 512, 10),
        product(block, float, 100, 512, 100),
        op(Op::Linear(linear), &[t(float, &[3, 512]), weight(block, 512, 10), t(float, &[10]), y], &[y]),
        op(Op::MatMul, &[t(float, &[2, 0]), weight(block, 0, 3)], &[t(float, &[2, 3])]),
        experts(block, float, 2),
        experts(block, float, 40),
    ];
    if block.is_quantisable() {
        ops.push(op(Op::Copy, &[x], &[blocks]));
        ops.push(op(Op::ScatterRows, &[x, index], &[table]));
    }
    ops
}

#[test]
fn every_format_has_kernels_on_every_device() {
    for caps in devices() {
        for (i, block) in DType::BLOCKS.into_iter().enumerate() {
            for desc in every_op(block, DType::FLOATS[i % 3]) {
                check(&desc, 0, &caps);
                check(&desc, 1280, &caps);
            }
        }
    }
}

#[test]
fn experts_of_floats_have_kernels_on_every_device() {
    for caps in devices() {
        for float in DType::FLOATS {
            for tokens in [1, 40] {
                let names = candidates(&experts(float, DType::F32, tokens), &caps).expect("candidates");
                assert_eq!(names.len(), 2);
                check(&experts(float, DType::F32, tokens), 1237, &caps);
            }
            let b = t(float, &[5, 24, 10]);
            let desc = op(Op::MatMulId, &[t(float, &[3, 2, 24]), b, t(DType::I32, &[3, 2])], &[t(float, &[3, 2, 10])]);
            check(&desc, 3, &caps);
            for (experts, k) in [(0, 24), (5, 0)] {
                let (a, b) = (t(float, &[3, 2, k]), t(float, &[experts, k, 10]));
                let desc = op(Op::MatMulId, &[a, b, t(DType::I32, &[3, 2])], &[t(float, &[3, 2, 10])]);
                check(&desc, 0, &caps);
            }
        }
    }
}

/// Bytes of the weight (input 1) that the launches of a recipe bind, each launch on its own.
fn bound(launches: &[Launch]) -> Vec<(u64, u64)> {
    let ranges = launches.iter().flat_map(|launch| &launch.bindings).filter(|b| b.source == Source::Input(1));
    let mut ranges: Vec<(u64, u64)> = ranges.map(|b| (b.offset, b.offset + b.size)).collect();
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

#[test]
fn a_weight_over_the_binding_limit_is_bound_in_windows_of_whole_columns() {
    let caps = Caps { max_storage_buffer_binding_size: 1 << 16, ..default_limits() };
    for block in DType::BLOCKS {
        let desc = product(block, DType::F32, 3, 1024, 500);
        for recipe in check(&desc, 512, &caps) {
            let columns: u32 = recipe.launches.iter().map(|l| l.params[1]).sum();
            assert_eq!(columns, 500, "{block} by {}", recipe.name);
            let ranges = bound(&recipe.launches);
            assert!(ranges.len() >= 2, "{block} by {}", recipe.name);
            assert!(ranges.windows(2).all(|w| w[1].0 <= w[0].1), "{block} by {}: gaps in {ranges:?}", recipe.name);
        }
    }
}

#[test]
fn a_column_over_the_binding_limit_is_summed_in_parts_of_whole_blocks() {
    let caps = Caps { max_storage_buffer_binding_size: 1 << 12, ..default_limits() };
    for (block, float) in [(DType::Q8_0, DType::F32), (DType::Q6K, DType::F16)] {
        let desc = product(block, float, 2, 8192, 3);
        for recipe in check(&desc, 256, &caps) {
            let products: Vec<&Launch> = recipe.launches.iter().filter(|l| !l.variant.name.contains("copy")).collect();
            let terms: u32 = products.iter().map(|l| l.params[0] * l.params[1] * l.params[2]).sum();
            assert_eq!(terms, 2 * 3 * 8192, "{block} by {}", recipe.name);
            assert!(products.iter().all(|l| l.params[2] % block.block_elements() as u32 == 0), "{block}");
        }
    }
}

#[test]
fn experts_over_the_binding_limit_are_bound_in_windows() {
    let caps = Caps { max_storage_buffer_binding_size: 1 << 13, ..default_limits() };
    for block in [DType::Q4_0, DType::Mxfp4, DType::F16] {
        for recipe in check(&experts(block, DType::F32, 3), 256, &caps) {
            // Words 26 and 27 of the parameters are the window's experts.
            let most = recipe.launches.iter().map(|l| l.params[27]).max();
            assert_eq!(most, Some(5), "{block} by {}", recipe.name);
            assert!(recipe.launches.len() > 1, "{block} by {}", recipe.name);
        }
    }
}

#[test]
fn many_rows_of_long_experts_take_several_launches() {
    let (tokens, k) = (1000, 16384);
    let b = t(DType::Q4_0, &[2, 10, k]).transposed(1, 2).expect("transposed");
    let inputs = [t(DType::F32, &[tokens, 3, k]), b, t(DType::U32, &[tokens, 3])];
    let desc = op(Op::MatMulId, &inputs, &[t(DType::F32, &[tokens, 3, 10])]);
    // Lavapipe ends long loops; here its bindings are no reason to split.
    let caps = Caps { max_storage_buffer_binding_size: (2 << 30) - 4, ..devices()[8].clone() };
    for recipe in check(&desc, 0, &caps) {
        // Word 4 of the parameters are the rows of a launch.
        let rows: u32 = recipe.launches.iter().map(|l| l.params[4]).sum();
        assert_eq!(rows, 3 * tokens as u32, "{}", recipe.name);
        assert_eq!(recipe.launches.len() > 1, *recipe.name == *"experts_tiled", "{}", recipe.name);
    }
}

#[test]
fn a_table_of_blocks_over_the_binding_limit_is_bound_in_windows() {
    let caps = default_limits();
    let desc =
        op(Op::GatherRows, &[t(DType::Q6K, &[100_000, 4096]), t(DType::U32, &[8])], &[t(DType::F16, &[8, 4096])]);
    for recipe in check(&desc, 256, &caps) {
        let mut next = 0;
        for launch in &recipe.launches {
            assert_eq!(launch.params[32], next);
            next = launch.params[33];
        }
        assert_eq!(next, 100_000);
        assert!(recipe.launches.len() > 2);
    }
}
