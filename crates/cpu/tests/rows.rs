//! Reductions, softmax, normalisations and rotary embedding.

mod common;

use common::{Host, ODD, U, check};
use unisono_core::DType;
use unisono_core::op::{
    AddRmsNorm, ArgOp, ArgReduce, LayerNorm, Op, Reduce, ReduceOp, RmsNorm, Rope, RopePairing, Softmax,
};

/// The elements that share result `i` of a reduction over `axis`.
fn line(x: &Host, axis: usize, i: usize) -> Vec<f64> {
    let n = x.desc.shape[axis];
    let inner: usize = x.desc.shape[axis + 1..].iter().product();
    (0..n).map(|j| x.get((i / inner * n + j) * inner + i % inner)).collect()
}

#[test]
fn reductions_over_every_axis_and_layout() {
    for n in ODD {
        let shape = [3, n, 5];
        for dtype in DType::FLOATS {
            for x in Host::layouts(dtype, &shape) {
                let x = x.random(n as u64, 3.0);
                for axis in 0..3 {
                    let mut reduced = shape;
                    reduced[axis] = 1;
                    for op in ReduceOp::ALL {
                        let y = Host::layouts(DType::F32, &reduced).swap_remove(axis);
                        check(&Op::Reduce(Reduce { op, axis }), std::slice::from_ref(&x), &[y], &|_, i| {
                            let v = line(&x, axis, i);
                            let sum: f64 = v.iter().sum();
                            let error = v.iter().map(|v| v.abs()).sum::<f64>() * v.len() as f64 * U;
                            match op {
                                ReduceOp::Sum => (sum, error),
                                ReduceOp::Mean => (sum / v.len() as f64, error / v.len() as f64),
                                ReduceOp::Prod => {
                                    let product = v.iter().product::<f64>();
                                    (product, product.abs() * v.len() as f64 * U)
                                }
                                ReduceOp::Min => (v.into_iter().fold(f64::INFINITY, f64::min), 0.0),
                                _ => (v.into_iter().fold(f64::NEG_INFINITY, f64::max), 0.0),
                            }
                        });
                    }
                    let index = Host::new(DType::U32, &reduced);
                    check(
                        &Op::ArgReduce(ArgReduce { op: ArgOp::Max, axis }),
                        std::slice::from_ref(&x),
                        &[index],
                        &|_, i| {
                            let v = line(&x, axis, i);
                            let max = v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                            (v.iter().position(|&e| e == max).unwrap() as f64, 0.0)
                        },
                    );
                }
            }
        }
    }
}

#[test]
fn ties_go_to_the_lowest_index_and_empty_sums_are_zero() {
    let x = Host::new(DType::F32, &[2, 3000]).fill(|i| if i % 3000 % 1100 == 1050 { 9.0 } else { -1.0 });
    check(&Op::ArgReduce(ArgReduce { op: ArgOp::Max, axis: 1 }), &[x], &[Host::new(DType::U32, &[2, 1])], &|_, _| {
        (1050.0, 0.0)
    });
    let low = Host::new(DType::F32, &[4]).fill(|_| f64::NEG_INFINITY);
    check(&Op::ArgReduce(ArgReduce { op: ArgOp::Max, axis: 0 }), &[low], &[Host::new(DType::U32, &[1])], &|_, _| {
        (0.0, 0.0)
    });
    let none = Host::new(DType::F32, &[2, 0, 3]);
    let sum = Op::Reduce(Reduce { op: ReduceOp::Sum, axis: 1 });
    check(&sum, &[none], &[Host::new(DType::F32, &[2, 1, 3])], &|_, _| (0.0, 0.0));
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let p: Vec<f64> = scores.iter().map(|s| if *s == f64::NEG_INFINITY { 0.0 } else { (s - max).exp() }).collect();
    let sum: f64 = p.iter().sum();
    p.into_iter().map(|p| if sum > 0.0 { p / sum } else { 0.0 }).collect()
}

#[test]
fn softmax_with_scale_mask_and_limits() {
    for n in ODD {
        for dtype in DType::FLOATS {
            for (mask, limits) in [(false, false), (true, false), (false, true), (true, true)] {
                let x = Host::layouts(dtype, &[4, 2, n]).swap_remove(n % 3).random(n as u64, 30.0);
                // Row 1 is masked entirely; a row of each batch has limit 0 or one over the size.
                let m = Host::new(DType::F32, &[4, 1, n])
                    .fill(|i| if i / n == 1 || i % 5 == 3 { f64::NEG_INFINITY } else { (i % 3) as f64 })
                    .view(|d| d.broadcast_to(&[4, 2, n]));
                let l = Host::new(DType::U32, &[4, 2]).fill(|i| [0, 1, n / 2, n, n + 9, 2, n, 1][i] as f64);
                let mut inputs = vec![x.clone()];
                inputs.extend(mask.then(|| m.clone()));
                inputs.extend(limits.then(|| l.clone()));
                let op = Op::Softmax(Softmax { mask, limits, ..Softmax::new(0.5) });
                for y in Host::layouts(dtype, &[4, 2, n]) {
                    check(&op, &inputs, &[y], &|_, i| {
                        let (row, limit) = (i / n, if limits { l.get(i / n) as usize } else { n });
                        let score = |j: usize| {
                            let masked = if mask { m.get(row * n + j) } else { 0.0 };
                            if j < limit { 0.5 * x.get(row * n + j) + masked } else { f64::NEG_INFINITY }
                        };
                        let p = softmax(&(0..n).map(score).collect::<Vec<_>>())[i % n];
                        (p, p * (300.0 + n as f64) * U)
                    });
                }
            }
        }
    }
}

#[test]
fn normalisations_of_every_layout() {
    for n in ODD {
        for dtype in DType::FLOATS {
            let weight = Host::strided(DType::BF16, &[n], &[2], 1).random(1, 2.0);
            let bias = Host::new(DType::F32, &[n]).random(2, 2.0);
            for (x, y) in
                Host::layouts(dtype, &[2, 3, n]).into_iter().zip(Host::layouts(dtype, &[2, 3, n]).into_iter().rev())
            {
                let x = x.random(n as u64, 5.0);
                let row = |i: usize| (0..n).map(|j| x.get(i / n * n + j)).collect::<Vec<_>>();
                let rms = Op::RmsNorm(RmsNorm { eps: 1e-5.into(), weight: true });
                check(&rms, &[x.clone(), weight.clone()], std::slice::from_ref(&y), &|_, i| {
                    let square = row(i).iter().map(|v| v * v).sum::<f64>() / n as f64;
                    let want = x.get(i) / (square + f64::from(1e-5f32)).sqrt() * weight.get(i % n);
                    (want, want.abs() * (8.0 + n as f64) * U)
                });
                let layer = Op::LayerNorm(LayerNorm { eps: 1e-5.into(), weight: true, bias: true });
                check(&layer, &[x.clone(), weight.clone(), bias.clone()], &[y], &|_, i| {
                    let mean = row(i).iter().sum::<f64>() / n as f64;
                    let variance = row(i).iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
                    let r = 1.0 / (variance + f64::from(1e-5f32)).sqrt();
                    let want = (x.get(i) - mean) * r * weight.get(i % n) + bias.get(i % n);
                    (want, (r * weight.get(i % n).abs() * (n as f64 + 8.0) * 5.0 + want.abs() * 8.0 + 2.0) * U)
                });
            }
        }
    }
}

/// A mean far above the deviation breaks one-pass variances; squares over the range of f32 break
/// plain sums of squares.
#[test]
fn normalisations_survive_hard_numbers() {
    let n = 512;
    let ones = Host::new(DType::F32, &[n]).fill(|_| 1.0);
    let zeros = Host::new(DType::F32, &[n]).fill(|_| 0.0);
    let offset = Host::new(DType::F32, &[1, n]).fill(|i| 8192.0 + (i % 2) as f64);
    let layer = Op::LayerNorm(LayerNorm { eps: 0.0.into(), weight: true, bias: true });
    let y = Host::new(DType::F32, &[1, n]);
    check(&layer, &[offset, ones.clone(), zeros], std::slice::from_ref(&y), &|_, i| ((i % 2) as f64 * 2.0 - 1.0, 1e-5));
    for size in [1e25, 1e-25] {
        let x = Host::new(DType::F32, &[1, n]).fill(|i| if i % 2 == 0 { size } else { -size });
        let rms = Op::RmsNorm(RmsNorm { eps: 0.0.into(), weight: true });
        check(&rms, &[x, ones.clone()], std::slice::from_ref(&y), &|_, i| (1.0 - (i % 2) as f64 * 2.0, 1e-6));
    }
}

#[test]
fn add_rms_norm_normalises_the_sum_as_stored() {
    for n in ODD {
        for stored in DType::FLOATS {
            let x = Host::new(DType::F32, &[3, n]).random(1, 4.0);
            let residual = Host::layouts(DType::F16, &[3, n]).swap_remove(1).random(2, 4.0);
            let weight = Host::new(DType::F32, &[n]).random(3, 2.0);
            let sum = Host::layouts(stored, &[3, n]).swap_remove(2);
            let exact = sum.clone().fill(|i| f64::from(x.get(i) as f32 + residual.get(i) as f32));
            let op = Op::AddRmsNorm(AddRmsNorm { eps: 1e-6.into() });
            let outputs = [sum, Host::layouts(DType::F32, &[3, n]).swap_remove(1)];
            check(&op, &[x, residual, weight.clone()], &outputs, &|o, i| {
                let square = (0..n).map(|j| exact.get(i / n * n + j).powi(2)).sum::<f64>() / n as f64;
                let want = exact.get(i) / (square + f64::from(1e-6f32)).sqrt() * weight.get(i % n);
                if o == 0 { (exact.get(i), 0.0) } else { (want, want.abs() * (8.0 + n as f64) * U) }
            });
        }
    }
}

#[test]
fn rope_rotates_pairs_and_passes_the_rest() {
    for (heads, head_dim, half) in [(1, 2, 1), (3, 17, 8), (4, 64, 32), (2, 33, 5), (2, 4, 0)] {
        for pairing in [RopePairing::Interleaved, RopePairing::HalfSplit] {
            for dtype in DType::FLOATS {
                let shape = [2, 3, heads, head_dim];
                let angle = |i: usize| (i / half.max(1)) as f64 * 0.7 + (i % half.max(1)) as f64;
                let cos = Host::new(DType::F32, &[6, half]).fill(|i| angle(i).cos());
                let sin = Host::strided(DType::F32, &[6, half], &[1, 6], 1).fill(|i| angle(i).sin());
                let at = [0.0, 5.0, 2.0, 6.0, -1.0, 3.0];
                let positions = Host::new(DType::I32, &[2, 3]).fill(|i| at[i]);
                for (x, y) in
                    Host::layouts(dtype, &shape).into_iter().zip(Host::layouts(dtype, &shape).into_iter().rev())
                {
                    let x = x.random(9, 3.0);
                    let inputs = [x.clone(), cos.clone(), sin.clone(), positions.clone()];
                    check(&Op::Rope(Rope { pairing }), &inputs, &[y], &|_, i| {
                        let (head, d) = (i / head_dim * head_dim, i % head_dim);
                        if d >= 2 * half {
                            return (x.get(i), 0.0);
                        }
                        let (pair, second, other) = match pairing {
                            RopePairing::Interleaved => (d / 2, d % 2 == 1, d ^ 1),
                            RopePairing::HalfSplit => (d % half, d >= half, (d + half) % (2 * half)),
                        };
                        let position = at[i / (heads * head_dim)];
                        if !(0.0..6.0).contains(&position) {
                            return (0.0, 0.0);
                        }
                        let entry = position as usize * half + pair;
                        let (c, s) = (cos.get(entry), sin.get(entry));
                        let (own, partner) = (x.get(i), x.get(head + other));
                        let want = if second { own * c + partner * s } else { own * c - partner * s };
                        (want, (own.abs() + partner.abs()) * 2.0 * U)
                    });
                }
            }
        }
    }
}

#[test]
fn rows_may_be_empty() {
    for shape in [[0, 4], [3, 0]] {
        let x = Host::new(DType::F32, &shape);
        let weight = Host::new(DType::F32, &shape[1..]).random(1, 1.0);
        let y = Host::new(DType::F32, &shape);
        check(
            &Op::RmsNorm(RmsNorm { eps: 1e-5.into(), weight: true }),
            &[x.clone(), weight],
            std::slice::from_ref(&y),
            &|_, _| (0.0, 0.0),
        );
        let op = Op::Softmax(Softmax::new(1.0));
        check(&op, &[x], &[y], &|_, _| (0.0, 0.0));
    }
}
