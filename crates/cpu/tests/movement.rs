//! Copies, casts, concatenation, and rows gathered and scattered: results are exact.

mod common;

use common::{Host, ODD, check, decode, encode};
use unisono_core::DType;
use unisono_core::op::{Concat, Op};

/// A value as it is after storage in `dtype`.
fn stored(dtype: DType, value: f64) -> f64 {
    let mut bytes = [0u8; 4];
    encode(dtype, value, &mut bytes[..dtype.block_bytes()]);
    decode(dtype, &bytes)
}

/// Integers below 2⁷ survive every dtype, so a cast is exact.
fn small(host: Host, seed: usize) -> Host {
    host.fill(|i| ((i * 7 + seed) % 120) as f64)
}

#[test]
fn copies_keep_every_dtype_and_layout() {
    for n in ODD {
        for dtype in DType::PLAIN.into_iter().filter(|d| *d != DType::I64) {
            for x in Host::layouts(dtype, &[2, n, 5]) {
                for y in Host::layouts(dtype, &[2, n, 5]) {
                    let x = small(x.clone(), n);
                    check(&Op::Copy, std::slice::from_ref(&x), &[y], &|_, i| (x.get(i), 0.0));
                }
            }
        }
    }
}

#[test]
fn transposes_and_broadcasts_are_copied() {
    for (rows, cols) in [(1, 7), (33, 65), (129, 31), (64, 64), (300, 200)] {
        for dtype in [DType::F32, DType::F16, DType::U8] {
            let x = small(Host::new(dtype, &[2, cols, rows]), 1).view(|d| d.transposed(1, 2));
            check(&Op::Copy, std::slice::from_ref(&x), &[Host::new(dtype, &[2, rows, cols])], &|_, i| (x.get(i), 0.0));
            let wide = small(Host::new(dtype, &[1, cols]), 2).view(|d| d.broadcast_to(&[rows, cols]));
            check(&Op::Copy, std::slice::from_ref(&wide), &[Host::new(dtype, &[rows, cols])], &|_, i| {
                (wide.get(i), 0.0)
            });
        }
    }
}

#[test]
fn casts_round_to_nearest_even() {
    let values = [1.0 + 1.0 / 2048.0, 1.0 + 3.0 / 2048.0, 70000.0, -1e30, 1e-7, 0.1, -0.0, 3.3e38];
    for from in DType::FLOATS {
        for to in DType::FLOATS {
            let x = Host::strided(from, &[8], &[3], 1).fill(|i| values[i]);
            for y in Host::layouts(to, &[8]) {
                check(&Op::Copy, std::slice::from_ref(&x), &[y], &|_, i| (stored(to, x.get(i)), 0.0));
            }
        }
    }
}

#[test]
fn concat_joins_along_any_axis() {
    for axis in 0..3 {
        for dtype in [DType::F32, DType::BF16, DType::Bool] {
            let sizes = [3, 0, 17, 1];
            let shape = |n: usize| [2, 5, 4].iter().enumerate().map(|(i, &s)| if i == axis { n } else { s }).collect();
            let parts: Vec<Host> = sizes
                .iter()
                .enumerate()
                .map(|(i, &n)| {
                    let shape: Vec<usize> = shape(n);
                    small(Host::layouts(dtype, &shape).swap_remove(i % 3), i * 31)
                })
                .collect();
            let total: Vec<usize> = shape(21);
            let inner: usize = total[axis + 1..].iter().product();
            let op = Op::Concat(Concat { axis, inputs: 4 });
            for y in Host::layouts(dtype, &total) {
                check(&op, &parts, &[y], &|_, i| {
                    let (before, rest) = (i / (21 * inner), i % (21 * inner));
                    let (mut along, within) = (rest / inner, rest % inner);
                    let part = parts.iter().find(|p| {
                        let n = p.desc.shape[axis];
                        if along < n {
                            return true;
                        }
                        along -= n;
                        false
                    });
                    let part = part.unwrap();
                    (part.get((before * part.desc.shape[axis] + along) * inner + within), 0.0)
                });
            }
        }
    }
}

#[test]
fn gather_reads_zero_outside_the_table() {
    let rows = [0, 9, 3, 3, 10, 4_000_000_000u32, 1];
    for width in ODD {
        for (from, to) in
            [(DType::F32, DType::F32), (DType::F16, DType::F32), (DType::BF16, DType::F16), (DType::U8, DType::U8)]
        {
            for signed in [false, true] {
                let dtype = if signed { DType::I32 } else { DType::U32 };
                let index = |i: usize| if signed && rows[i] > 100 { -1.0 } else { f64::from(rows[i]) };
                let indices = Host::strided(dtype, &[7, 1], &[2, 9], 1).fill(index);
                for (table, y) in Host::layouts(from, &[10, width])
                    .into_iter()
                    .zip(Host::layouts(to, &[7, 1, width]).into_iter().rev())
                {
                    let table = small(table, 3);
                    check(&Op::GatherRows, &[table.clone(), indices.clone()], &[y], &|_, i| {
                        let row = index(i / width);
                        let value =
                            if (0.0..10.0).contains(&row) { table.get(row as usize * width + i % width) } else { 0.0 };
                        (stored(to, value), 0.0)
                    });
                }
            }
        }
    }
}

#[test]
fn scatter_keeps_what_no_index_names() {
    let rows = [4.0, 11.0, 0.0, -1.0, 2.0];
    for width in ODD {
        for (from, to) in [(DType::F32, DType::F32), (DType::F32, DType::F16), (DType::I32, DType::I32)] {
            let indices = Host::new(DType::I32, &[5]).fill(|i| rows[i]);
            for (src, dst) in
                Host::layouts(from, &[5, width]).into_iter().zip(Host::layouts(to, &[6, width]).into_iter().rev())
            {
                let (src, dst) = (small(src, 1), small(dst, 77));
                check(&Op::ScatterRows, &[src.clone(), indices.clone()], std::slice::from_ref(&dst), &|_, i| {
                    let named = rows.iter().position(|&r| r == (i / width) as f64);
                    (named.map_or(dst.get(i), |r| src.get(r * width + i % width)), 0.0)
                });
            }
        }
    }
}

#[test]
fn nothing_is_moved_for_empty_tensors() {
    let none = Host::new(DType::F32, &[0, 4]);
    check(&Op::Copy, std::slice::from_ref(&none), &[Host::new(DType::F16, &[0, 4])], &|_, _| (0.0, 0.0));
    let indices = Host::new(DType::U32, &[3]).fill(|i| i as f64);
    check(&Op::GatherRows, &[none, indices], &[Host::new(DType::F32, &[3, 4])], &|_, _| (0.0, 0.0));
    let no_indices = Host::new(DType::U32, &[0]);
    let dst = small(Host::new(DType::F32, &[6, 4]), 5);
    check(&Op::ScatterRows, &[Host::new(DType::F32, &[0, 4]), no_indices], std::slice::from_ref(&dst), &|_, i| {
        (dst.get(i), 0.0)
    });
}
