use unisono_core::DType;

use super::super::decode;
use super::*;

/// Blocks with every byte value somewhere, and finite scales.
fn blocks(dtype: DType, elements: usize) -> Vec<u8> {
    let bytes = elements / dtype.block_elements() * dtype.block_bytes();
    // Bytes below 0x7C as the upper half of an f16 are never an exponent of all ones.
    (0..bytes).map(|i| ((i * 73 + i / 251 * 19) % 256) as u8 & 0xBB).collect()
}

fn activations(elements: usize) -> Vec<f32> {
    // No quotient lies halfway between two integers.
    (0..elements).map(|i| (i as f32 * 0.37).sin() + 0.1).collect()
}

fn levels() -> Vec<(Simd, Level)> {
    let mut all: Vec<(Simd, Level)> = Simd::all().into_iter().map(|simd| (simd, Level::of(simd))).collect();
    #[cfg(target_arch = "x86_64")]
    if Simd::detect().has_avx2() {
        all.push((Simd::detect().without_avx512(), Level::Avx2));
    }
    all.dedup();
    all
}

/// What a quantised activation is, element by element.
fn rounded(x: &[f32], block: usize) -> Vec<f64> {
    let of_block = |x: &[f32]| {
        let scale = f64::from(x.iter().fold(0f32, |a, x| a.max(x.abs()))) / 127.0;
        x.iter()
            .map(|&x| if scale == 0.0 { 0.0 } else { (f64::from(x) / scale).round_ties_even() * scale })
            .collect::<Vec<_>>()
    };
    x.chunks(block).flat_map(of_block).collect()
}

#[test]
fn products_are_those_of_the_decoded_blocks_and_the_rounded_activations() {
    for dtype in DType::BLOCKS {
        for elements in [256, 1024, 1024 + dtype.block_elements() % 256 * 3, 256 + dtype.block_elements()] {
            let parts = elements.div_ceil(PART);
            let (bytes, x) = (blocks(dtype, COLS * elements), activations(ROWS * elements));
            let mut decoded = vec![0f32; COLS * elements];
            // SAFETY: there are `COLS` columns of as many elements.
            unsafe { decode(Simd::Portable, dtype, bytes.as_ptr(), &mut decoded) };
            let rows: Vec<Vec<f64>> = x.chunks(elements).map(|x| rounded(x, dtype.block_elements())).collect();
            let kind = kind(dtype);
            for (simd, level) in levels() {
                let stale = Weights { code: [1; PART], factor: [f32::NAN; LANES], offset: [f32::NAN; LANES] };
                let mut w = vec![stale; COLS * parts];
                for (column, to) in bytes.chunks(bytes.len() / COLS).zip(w.chunks_mut(parts)) {
                    unpack((simd, level), dtype, column, to);
                }
                let stale = Activations { code: [1; PART], scale: [f32::NAN; LANES], ..Activations::ZERO };
                let mut a = vec![stale; ROWS * parts];
                for (row, to) in x.chunks(elements).zip(a.chunks_mut(parts)) {
                    quantise(simd, row, dtype.block_elements(), kind.zero().into(), to);
                }
                let right = |c: usize, r: usize, sum: f32| {
                    let products = || decoded[c * elements..].iter().zip(&rows[r]).map(|(&w, &x)| f64::from(w) * x);
                    let (exact, size) = (products().sum::<f64>(), products().map(f64::abs).sum::<f64>());
                    let what = format!("{dtype} {level:?} {elements} {c},{r}");
                    assert!((f64::from(sum) - exact).abs() <= 1e-5 * size, "{what}: {sum}, not {exact}");
                };
                for (cols, n) in [(COLS, ROWS), (COLS, 3), (COLS, 2), (COLS, 1), (1, 1), (3, 2)] {
                    // SAFETY: there are as many columns and rows.
                    let sums = unsafe { dots(level, kind, (w.as_ptr(), cols), (a.as_ptr(), n), (parts, 0..parts)) };
                    for (c, sums) in sums.iter().enumerate() {
                        for (r, &sum) in sums.iter().enumerate() {
                            if c < cols && r < n { right(c, r, sum) } else { assert_eq!(sum, 0.0) }
                        }
                    }
                }
                if !reads_blocks(level, dtype) {
                    continue;
                }
                for n in 1..=ROWS {
                    let column = &bytes[..bytes.len() / COLS];
                    // SAFETY: there are as many rows.
                    let sums = unsafe { dots_of_blocks(level, dtype, column, (a.as_ptr(), n), parts) };
                    sums[..n].iter().enumerate().for_each(|(r, &sum)| right(0, r, sum));
                    assert!(sums[n..].iter().all(|&sum| sum == 0.0));
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_stays_so_and_what_is_tiny_vanishes() {
    for (simd, level) in levels() {
        let bytes = blocks(DType::Q8_0, PART);
        let mut w = [Weights { code: [0; PART], factor: [0.0; LANES], offset: [0.0; LANES] }];
        unpack((simd, level), DType::Q8_0, &bytes, &mut w);
        for (value, expect) in [(f32::NAN, f32::NAN), (f32::INFINITY, f32::NAN), (1e-37, 0.0)] {
            let mut x = [0f32; PART];
            x[100] = value;
            let mut a = [Activations::ZERO];
            quantise(simd, &x, 32, 128, &mut a);
            // SAFETY: one column and one row of one part.
            let sum = unsafe { dots(level, kind(DType::Q8_0), (w.as_ptr(), 1), (a.as_ptr(), 1), (1, 0..1)) }[0][0];
            assert!(sum == expect || sum.is_nan() && expect.is_nan(), "{level:?} {value}: {sum}");
        }
    }
}
