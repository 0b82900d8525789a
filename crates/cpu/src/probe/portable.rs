//! Probe loops in plain Rust, in the shape in which the portable kernels are written: lanes in arrays
//! that compilers turn into vectors.

use std::hint::black_box;

use super::Loops;

const LANES: usize = 8;
const CHAINS: usize = 6;

pub(super) const LOOPS: Loops = Loops {
    fma: (fma, (CHAINS * LANES * 2) as u32),
    dot_int8: (dot_int8, 64),
    sum: (sum, LANES as u32),
    read,
    copy,
    triad,
};

fn fma(rounds: u32) -> f32 {
    let (factor, term) = (black_box(0.999f32), black_box(0.001f32));
    let mut chains = [[0f32; LANES]; CHAINS];
    for _ in 0..rounds {
        for chain in &mut chains {
            chain.iter_mut().for_each(|lane| *lane = *lane * factor + term);
        }
    }
    chains.iter().flatten().sum()
}

fn dot_int8(rounds: u32) -> i32 {
    let b: [i8; 32] = black_box([3; 32]);
    let mut a: [i8; 32] = black_box([1; 32]);
    let mut total = 0i32;
    for _ in 0..rounds {
        let sum: i32 = a.iter().zip(&b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
        total = total.wrapping_add(sum);
        a[0] = total as i8;
    }
    total
}

fn sum(rounds: u32) -> f32 {
    let factor = black_box(0.1f32);
    let mut lanes = [1f32; LANES];
    for _ in 0..rounds {
        lanes = [lanes.iter().sum::<f32>() * factor; LANES];
    }
    lanes[0]
}

fn read(a: &[f32], rounds: u32) -> f32 {
    let mut sums = [0f32; 4 * LANES];
    for _ in 0..rounds {
        for line in black_box(a).chunks_exact(4 * LANES) {
            sums.iter_mut().zip(line).for_each(|(sum, a)| *sum += a);
        }
    }
    sums.iter().sum()
}

fn copy(a: &[f32], y: &mut [f32], rounds: u32) {
    for _ in 0..rounds {
        black_box(&mut *y).copy_from_slice(black_box(a));
    }
}

fn triad(a: &[f32], b: &[f32], y: &mut [f32], rounds: u32) {
    let factor = black_box(0.5f32);
    for _ in 0..rounds {
        let arrays = black_box(a).iter().zip(b);
        black_box(&mut *y).iter_mut().zip(arrays).for_each(|(y, (a, b))| *y = a + factor * b);
    }
}
