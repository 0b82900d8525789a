//! Block formats in the contract: which conversions, layouts and products are possible, and what the
//! errors say.

use unisono_core::op::Op;
use unisono_core::{DType, OpDesc, Result, TensorDesc};

fn desc(dtype: DType, shape: &[usize]) -> TensorDesc {
    TensorDesc::contiguous(dtype, shape).unwrap()
}

fn copy(x: TensorDesc, y: TensorDesc) -> Result<OpDesc> {
    OpDesc::new(Op::Copy, vec![x], vec![y])
}

fn refusal(result: Result<OpDesc>) -> String {
    result.expect_err("the operation is refused").to_string()
}

#[test]
fn every_block_format_decodes_and_all_but_two_are_made() {
    for block in DType::BLOCKS {
        for float in DType::FLOATS {
            assert!(copy(desc(block, &[3, 512]), desc(float, &[3, 512])).is_ok(), "{block} to {float}");
            let made = copy(desc(float, &[3, 512]), desc(block, &[3, 512]));
            assert_eq!(made.is_ok(), block.is_quantisable(), "{float} to {block}");
        }
        assert!(copy(desc(block, &[3, 512]), desc(block, &[3, 512])).is_ok());
        let ints = refusal(copy(desc(block, &[3, 512]), desc(DType::I32, &[3, 512])));
        assert!(ints.contains("decode to f32"), "{ints}");
    }
    let refused: Vec<DType> = DType::BLOCKS.into_iter().filter(|d| !d.is_quantisable()).collect();
    assert_eq!(refused, [DType::Iq4Nl, DType::Iq4Xs]);
}

#[test]
fn formats_and_block_axes_have_to_agree() {
    let two = refusal(copy(desc(DType::Q4_0, &[2, 64]), desc(DType::Q8_0, &[2, 64])));
    assert!(two.contains("cast to a float first"), "{two}");
    let turned = desc(DType::Q8_0, &[64, 32]).transposed(0, 1).unwrap();
    let axes = refusal(copy(turned, desc(DType::Q8_0, &[32, 64])));
    assert!(axes.contains("different dimensions"), "{axes}");
    assert!(copy(turned, desc(DType::F16, &[32, 64])).is_ok());
    let floats = desc(DType::F32, &[64, 32]).transposed(0, 1).unwrap();
    assert!(copy(floats, desc(DType::Q8_0, &[32, 64])).is_ok());
    let ready = refusal(copy(desc(DType::F32, &[32]), desc(DType::Iq4Nl, &[32])));
    assert!(ready.contains("ready blocks"), "{ready}");
}

#[test]
fn rows_of_blocks_are_gathered_as_floats_and_scattered_as_blocks() {
    let ids = desc(DType::U32, &[5]);
    let gather = |table: TensorDesc, y: TensorDesc| OpDesc::new(Op::GatherRows, vec![table, ids], vec![y]);
    assert!(gather(desc(DType::Q4K, &[9, 256]), desc(DType::F16, &[5, 256])).is_ok());
    assert!(gather(desc(DType::Q8_0, &[9, 32]), desc(DType::Q8_0, &[5, 32])).is_err());
    assert!(gather(desc(DType::F32, &[9, 32]), desc(DType::Q8_0, &[5, 32])).is_err());
    let columns = desc(DType::Q8_0, &[32, 64]).transposed(0, 1).unwrap();
    let along = refusal(gather(columns, desc(DType::F32, &[5, 32])));
    assert!(along.contains("along its rows"), "{along}");

    let scatter = |src: TensorDesc, dst: TensorDesc| OpDesc::new(Op::ScatterRows, vec![src, ids], vec![dst]);
    assert!(scatter(desc(DType::F32, &[5, 2, 32]), desc(DType::Q8_0, &[9, 2, 32])).is_ok());
    assert!(scatter(desc(DType::Iq4Nl, &[5, 32]), desc(DType::Iq4Nl, &[9, 32])).is_ok());
    assert!(scatter(desc(DType::F32, &[5, 32]), desc(DType::Iq4Nl, &[9, 32])).is_err());
    assert!(scatter(desc(DType::Q8_0, &[5, 32]), desc(DType::F32, &[9, 32])).is_err());
    assert!(scatter(desc(DType::F32, &[5, 32]), columns).is_err());
}

#[test]
fn weights_in_blocks_lie_along_the_summed_dimension() {
    let a = desc(DType::F16, &[3, 64]);
    let y = desc(DType::F32, &[3, 7]);
    let matmul = |a: TensorDesc, b: TensorDesc| OpDesc::new(Op::MatMul, vec![a, b], vec![y]);
    assert!(matmul(a, desc(DType::Q5_1, &[7, 64]).transposed(0, 1).unwrap()).is_ok());
    let wrong = OpDesc::new(Op::MatMul, vec![a, desc(DType::Q5_1, &[64, 32])], vec![desc(DType::F32, &[3, 32])]);
    let wrong = refusal(wrong);
    assert!(wrong.contains("not along the summed dimension"), "{wrong}");
    let activations = desc(DType::Q8_0, &[3, 64]);
    assert!(matmul(activations, desc(DType::F32, &[64, 7])).is_err());
}

#[test]
fn experts_are_checked() {
    let weights = |dtype: DType| desc(dtype, &[4, 10, 64]).transposed(1, 2).unwrap();
    let a = desc(DType::F32, &[3, 1, 64]).broadcast_to(&[3, 2, 64]).unwrap();
    let y = desc(DType::F32, &[3, 2, 10]);
    let ids = |dtype: DType, shape: &[usize]| desc(dtype, shape);
    let product = |b: TensorDesc, ids: TensorDesc| OpDesc::new(Op::MatMulId, vec![a, b, ids], vec![y]);
    for dtype in [DType::F32, DType::BF16, DType::Q4_0, DType::Mxfp4] {
        assert!(product(weights(dtype), ids(DType::I32, &[3, 2])).is_ok(), "{dtype}");
    }
    assert!(product(desc(DType::F32, &[4, 64, 10]), ids(DType::U32, &[3, 2])).is_ok());
    assert!(product(weights(DType::I32), ids(DType::U32, &[3, 2])).is_err());
    assert!(product(weights(DType::F32), ids(DType::F32, &[3, 2])).is_err());
    assert!(product(weights(DType::F32), ids(DType::U32, &[3, 4])).is_err());
    let inner = refusal(product(desc(DType::F32, &[4, 63, 10]), ids(DType::U32, &[3, 2])));
    assert!(inner.contains("matmul_id") && inner.contains("inner sizes differ"), "{inner}");
    let one = product(weights(DType::F32), ids(DType::U32, &[3, 2])).unwrap();
    assert_eq!(one.flops(), 2 * 3 * 2 * 10 * 64);
    // Of the activations one row per token moves, of the experts all four.
    assert_eq!(one.bytes(), 4 * (3 * 64 + 4 * 640 + 6 + 60));
}
