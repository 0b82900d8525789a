//! Operations of any size: what is summed over, walked along or chosen from grows, the rest stays.

use unisono_core::op::*;
use unisono_core::{DType, Op, OpDesc, TensorDesc};

use crate::select::tests::{op, t};

/// An operation of some size; one that it cannot have becomes another.
type Family = Box<dyn Fn(usize) -> OpDesc>;

/// The longest sum of products: a longer one is more launches of the same kind.
const LONGEST: usize = 300_000;

fn weight(dtype: DType, k: usize, n: usize) -> TensorDesc {
    t(dtype, &[n, k]).transposed(0, 1).expect("transposed")
}

fn products(list: &mut Vec<(String, Family)>) {
    for m in [1, 5, 40, 300] {
        for (name, dtype, along_n) in [("nk", DType::F16, false), ("kn", DType::F32, true)] {
            let b = move |k| if along_n { t(dtype, &[k, 40]) } else { weight(dtype, k, 40) };
            let matmul = move |k: usize| {
                let k = k.min(LONGEST);
                op(Op::MatMul, &[t(dtype, &[m, k]), b(k)], &[t(DType::F32, &[m, 40])])
            };
            list.push((format!("matmul_{name} m={m}"), Box::new(matmul)));
            let linear = Linear { bias: true, activation: Activation::Silu, residual: false };
            let y = t(dtype, &[m, 40]);
            let with_bias = move |k: usize| {
                let k = k.min(LONGEST);
                op(Op::Linear(linear), &[t(dtype, &[m, k]), b(k), t(dtype, &[40])], &[y])
            };
            list.push((format!("linear_{name} m={m}"), Box::new(with_bias)));
        }
        for (format, y) in [(DType::Q4_0, DType::F32), (DType::Q6K, DType::F16)] {
            let blocks = move |k: usize| {
                let k = k.min(LONGEST).next_multiple_of(format.block_elements());
                op(Op::MatMul, &[t(y, &[m, k]), weight(format, k, 40)], &[t(y, &[m, 40])])
            };
            list.push((format!("matmul_{format} m={m}"), Box::new(blocks)));
        }
    }
    for (format, y) in
        [(DType::F32, DType::F32), (DType::F16, DType::F16), (DType::Q8_0, DType::F32), (DType::Q4K, DType::F16)]
    {
        let experts = move |tokens: usize, k: usize| {
            let k = k.min(LONGEST).next_multiple_of(format.block_elements());
            let b = t(format, &[5, 10, k]).transposed(1, 2).expect("transposed");
            op(Op::MatMulId, &[t(y, &[tokens, 2, k]), b, t(DType::U32, &[tokens, 2])], &[t(y, &[tokens, 2, 10])])
        };
        list.push((format!("experts_{format} of k"), Box::new(move |k| experts(40, k))));
        list.push((format!("experts_{format} of tokens"), Box::new(move |tokens| experts(tokens.min(1 << 20), 640))));
    }
}

fn rows(list: &mut Vec<(String, Family)>) {
    let eps = Real(1e-5);
    for d in [DType::F32, DType::F16, DType::BF16] {
        let mut add = |name: &str, f: Family| list.push((format!("{name} {d}"), f));
        for f in [ReduceOp::Mean, ReduceOp::Max, ReduceOp::Prod] {
            let row = move |n| op(Op::Reduce(Reduce { op: f, axis: 1 }), &[t(d, &[3, n])], &[t(d, &[3, 1])]);
            let column = move |n| op(Op::Reduce(Reduce { op: f, axis: 0 }), &[t(d, &[n, 300])], &[t(d, &[1, 300])]);
            add(&format!("reduce {f:?} row"), Box::new(row));
            add(&format!("reduce {f:?} column"), Box::new(column));
        }
        let arg = move |n| {
            op(Op::ArgReduce(ArgReduce { op: ArgOp::Max, axis: 1 }), &[t(d, &[2, n])], &[t(DType::U32, &[2, 1])])
        };
        add("arg", Box::new(arg));
        let cumsum = move |shape: &[usize], axis| {
            op(Op::CumSum(CumSum { axis, exclusive: true, reverse: true }), &[t(d, shape)], &[t(d, shape)])
        };
        add("cumsum row", Box::new(move |n| cumsum(&[2, 2, n], 2)));
        add("cumsum column", Box::new(move |n| cumsum(&[2, n, 300], 1)));
        let softmax = Softmax { mask: true, limits: true, ..Softmax::new(0.5) };
        let x = move |n| t(d, &[3, n]);
        add("softmax", Box::new(move |n| op(Op::Softmax(softmax), &[x(n), x(n), t(DType::U32, &[3])], &[x(n)])));
        let w = move |n| t(d, &[n]);
        add("rms_norm", Box::new(move |n| op(Op::RmsNorm(RmsNorm { eps, weight: true }), &[x(n), w(n)], &[x(n)])));
        let layer = LayerNorm { eps, weight: true, bias: true };
        add("layer_norm", Box::new(move |n| op(Op::LayerNorm(layer), &[x(n), w(n), w(n)], &[x(n)])));
        add("l2_norm", Box::new(move |n| op(Op::L2Norm(L2Norm { eps }), &[x(n)], &[x(n)])));
        for z in [DType::F32, DType::F16] {
            let add_norm = move |n| op(Op::AddRmsNorm(AddRmsNorm { eps }), &[x(n), x(n), w(n)], &[t(z, &[3, n]), x(n)]);
            add(&format!("add_rms_norm {z}"), Box::new(add_norm));
        }
        for (rank, inner) in [(1, vec![1]), (3, vec![3, 7])] {
            let shape = move |n: usize| [&[2, 6, n][..], &inner[..rank - 1]].concat();
            let norm = GroupNorm { groups: 2, eps, weight: true, bias: false };
            // Gaps, so that the dimensions of a channel stay apart.
            let gaps = move |n: usize| {
                let shape = shape(n);
                let wide: Vec<usize> = shape.iter().map(|s| s + 1).collect();
                let strides = t(d, &wide).strides;
                TensorDesc::strided(d, &shape, &strides).expect("strided")
            };
            add(
                &format!("group_norm {rank}"),
                Box::new(move |n| op(Op::GroupNorm(norm), &[gaps(n), w(6)], &[gaps(n)])),
            );
        }
        let order =
            move |n| op(Op::ArgSort(ArgSort { descending: false }), &[t(d, &[2, n])], &[t(DType::U32, &[2, n])]);
        add("argsort", Box::new(order));
        for part in [2, 100] {
            let top = move |n: usize| {
                let k = (n / part).max(1);
                op(Op::TopK(TopK { k, smallest: false }), &[t(d, &[2, n])], &[t(d, &[2, k]), t(DType::U32, &[2, k])])
            };
            add(&format!("topk 1/{part}"), Box::new(top));
        }
    }
    for d in [DType::I32, DType::U32] {
        let cumsum = CumSum { axis: 1, exclusive: false, reverse: false };
        let sum = Reduce { op: ReduceOp::Sum, axis: 1 };
        let x = move |n| t(d, &[2, n]);
        list.push((format!("reduce {d}"), Box::new(move |n| op(Op::Reduce(sum), &[x(n)], &[t(d, &[2, 1])]))));
        list.push((format!("cumsum {d}"), Box::new(move |n| op(Op::CumSum(cumsum), &[x(n)], &[x(n)]))));
    }
}

fn windows(list: &mut Vec<(String, Family)>) {
    for d in [DType::F32, DType::F16] {
        let conv = Conv2d { stride: [1, 2], padding: [1, 0], dilation: [1, 1], groups: 1, bias: false };
        let channels = move |n: usize| {
            let n = n.min(1 << 20);
            op(Op::Conv2d(conv), &[t(d, &[1, n, 4, 5]), t(d, &[3, n, 3, 3])], &[t(d, &[1, 3, 4, 2])])
        };
        list.push((format!("conv {d}"), Box::new(channels)));
        let columns = move |n: usize| {
            let n = n.min(1 << 20);
            op(Op::Im2Col(conv.columns([3, 3])), &[t(d, &[1, n, 4, 5])], &[t(d, &[1, 9 * n, 8])])
        };
        list.push((format!("im2col {d}"), Box::new(columns)));
    }
}

/// Attention over caches of this many keys: contiguous, with limits and a window, and paged with a
/// sequence for each token.
fn attention(list: &mut Vec<(String, Family)>) {
    for head_dim in [1, 20, 64, 80, 96, 128, 256] {
        for (tokens, heads, kv_heads) in [(1, 1, 1), (1, 8, 1), (8, 1, 1), (5, 6, 2), (33, 4, 4)] {
            for (window, visibility) in [(None, Visibility::Causal), (Some(5000), Visibility::Limits)] {
                let dtype = if heads == 8 && head_dim % 32 == 0 { DType::Q8_0 } else { DType::F16 };
                let y = if heads == 8 { DType::F32 } else { DType::F16 };
                let attention = Attention { window, ..Attention::new(0.3, visibility) };
                let of = move |n: usize| {
                    let kv = t(dtype, &[1, kv_heads, n, head_dim]);
                    let q = t(y, &[1, heads, tokens, head_dim]);
                    let limits = (visibility == Visibility::Limits).then(|| t(DType::U32, &[1, tokens]));
                    let inputs: Vec<TensorDesc> = [q, kv, kv].into_iter().chain(limits).collect();
                    op(Op::Attention(attention), &inputs, &[q])
                };
                list.push((format!("attention {head_dim} {tokens} {heads}x{kv_heads} {visibility:?}"), Box::new(of)));
            }
            let serving = Attention { paged: true, sequences: true, ..Attention::new(0.3, Visibility::Limits) };
            let of = move |n: usize| {
                let (q, pages) = (t(DType::F32, &[1, heads, tokens, head_dim]), n.div_ceil(64));
                let kv = t(DType::F32, &[pages, kv_heads, 64, head_dim]);
                let (each, table) = (t(DType::U32, &[1, tokens]), t(DType::U32, &[7, pages]));
                op(Op::Attention(serving), &[q, kv, kv, each, table, each], &[q])
            };
            list.push((format!("serving {head_dim} {tokens} {heads}x{kv_heads}"), Box::new(of)));
        }
    }
}

pub(super) fn families() -> Vec<(String, Family)> {
    let mut list = Vec::new();
    products(&mut list);
    rows(&mut list);
    windows(&mut list);
    attention(&mut list);
    list
}
