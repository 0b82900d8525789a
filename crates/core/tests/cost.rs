//! What an operation costs by its descriptors alone: the figures that benchmarks divide by.

use unisono_core::op::{Rope, RopePairing, RopeWrite};
use unisono_core::{DType, Op, OpDesc, TensorDesc};

/// FLOPs and bytes come from the operation itself: a rotation reads the rows of its tables that it
/// needs and not the rest, and what is written into a cache has the cache's type.
#[test]
fn what_rotations_and_moves_of_rows_cost() {
    let of = |dtype: DType, shape: &[usize]| TensorDesc::contiguous(dtype, shape).unwrap();
    let (tokens, heads, width, rows) = (3, 4, 16, 100);
    let x = of(DType::F32, &[1, tokens, heads, width]);
    let table = of(DType::F32, &[rows, width / 2]);
    let positions = of(DType::U32, &[1, tokens]);
    let pairing = RopePairing::HalfSplit;
    let rope = OpDesc::new(Op::Rope(Rope { pairing }), vec![x, table, table, positions], vec![x]).unwrap();
    let elements = tokens * heads * width;
    // A pair of numbers takes four products and two sums: five operations for each, near enough.
    assert_eq!(rope.flops(), 5 * elements as u64);
    let tables = 2 * tokens * (width / 2) * 4;
    assert_eq!(rope.bytes(), (2 * elements * 4 + tables + tokens * 4) as u64);

    let cache = of(DType::F16, &[1, rows, heads, width]);
    let write = Op::RopeWrite(RopeWrite { pairing });
    let write = OpDesc::new(write, vec![x, table, table, positions, positions], vec![cache]).unwrap();
    assert_eq!(write.flops(), 5 * elements as u64);
    assert_eq!(write.bytes(), (elements * (4 + 2) + tables + 2 * tokens * 4) as u64);

    // 64 numbers in q8_0 are two blocks of 34 bytes.
    let (rows, ids) = (of(DType::F32, &[3, 64]), of(DType::U32, &[3]));
    let stored = of(DType::Q8_0, &[100, 64]);
    let scatter = OpDesc::new(Op::ScatterRows, vec![rows, ids], vec![stored]).unwrap();
    let gather = OpDesc::new(Op::GatherRows, vec![stored, ids], vec![rows]).unwrap();
    assert_eq!((scatter.bytes(), gather.bytes()), (3 * (64 * 4 + 4 + 68), 3 * (64 * 4 + 4 + 68)));
}
