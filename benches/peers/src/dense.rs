//! The products of the crates gemm and faer: plain slices in, a plain slice out.

#[cfg(feature = "gemm")]
use ::gemm::{Parallelism, f16};
use anyhow::Result;
use unisono::DType;

use crate::data::Data;
use crate::measure::{Entry, Runner};
use crate::row::{Row, Work};

type Call<T> = Box<dyn Fn(&mut [T], &[T], &[T])>;

struct Dense<T> {
    x: Vec<T>,
    weights: Vec<Vec<T>>,
    y: Vec<T>,
    at: usize,
    call: Call<T>,
    wide: fn(T) -> f32,
}

impl<T: Copy> Runner for Dense<T> {
    fn run(&mut self, iterations: usize) -> Result<()> {
        for _ in 0..iterations {
            self.at = (self.at + 1) % self.weights.len();
            (self.call)(&mut self.y, &self.x, &self.weights[self.at]);
        }
        Ok(())
    }

    fn output(&mut self) -> Result<Option<Vec<f32>>> {
        Ok(Some(self.y.iter().map(|&v| (self.wide)(v)).collect()))
    }
}

/// The crate gemm: f32, and f16 with activations in f16 as well.
#[cfg(feature = "gemm")]
pub(crate) fn gemm(row: &Row, data: &Data, threads: usize) -> Option<Entry> {
    let Work::Product { dtype, m, n, k } = row.work else { return None };
    let parallel = Parallelism::Rayon(threads);
    match dtype {
        DType::F32 => {
            let weight: Vec<f32> = bytemuck::pod_collect_to_vec(&data.weight);
            let runner = Dense {
                x: data.x.clone(),
                weights: vec![weight; row.copies()],
                y: vec![0.0; m * n],
                at: 0,
                call: Box::new(move |y, x, w| product([m, n, k], y, x, w, 1.0, parallel)),
                wide: |v| v,
            };
            Some(Entry::new("gemm", "", runner))
        }
        DType::F16 => {
            let weight = data.weight.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]])).collect();
            let runner = Dense {
                x: data.x.iter().map(|&v| f16::from_f32(v)).collect(),
                weights: vec![weight; row.copies()],
                y: vec![f16::ZERO; m * n],
                at: 0,
                call: Box::new(move |y, x, w| product([m, n, k], y, x, w, f16::ONE, parallel)),
                wide: f16::to_f32,
            };
            Some(Entry::new("gemm", "f16 activations", runner))
        }
        _ => None,
    }
}

/// `y [m, n] = x [m, k] · w [n, k]ᵀ`.
#[cfg(feature = "gemm")]
fn product<T: Copy + 'static>([m, n, k]: [usize; 3], y: &mut [T], x: &[T], w: &[T], one: T, parallel: Parallelism) {
    assert!(y.len() == m * n && x.len() == m * k && w.len() == n * k, "operands have the sizes of their shapes");
    let (rows_x, rows_y, columns_w) = (k as isize, n as isize, k as isize);
    // SAFETY: the three slices hold all elements that their strides reach, as asserted above, and
    // only `y`, which is borrowed mutably, is written.
    unsafe {
        ::gemm::gemm(
            m,
            n,
            k,
            y.as_mut_ptr(),
            1,
            rows_y,
            false,
            x.as_ptr(),
            1,
            rows_x,
            w.as_ptr(),
            columns_w,
            1,
            one,
            one,
            false,
            false,
            false,
            parallel,
        );
    }
}

/// faer's product: f32.
#[cfg(feature = "faer")]
pub(crate) fn faer(row: &Row, data: &Data, threads: usize) -> Option<Entry> {
    use ::faer::linalg::matmul::matmul;
    use ::faer::{Accum, MatMut, MatRef, Par};
    let Work::Product { dtype: DType::F32, m, n, k } = row.work else { return None };
    let weight: Vec<f32> = bytemuck::pod_collect_to_vec(&data.weight);
    let parallel = Par::rayon(threads);
    let call = move |y: &mut [f32], x: &[f32], w: &[f32]| {
        let y = MatMut::from_row_major_slice_mut(y, m, n);
        let x = MatRef::from_row_major_slice(x, m, k);
        // The rows of the weight are the columns of its transpose.
        let w = MatRef::from_column_major_slice(w, k, n);
        matmul(y, Accum::Replace, x, w, 1.0, parallel);
    };
    let runner = Dense {
        x: data.x.clone(),
        weights: vec![weight; row.copies()],
        y: vec![0.0; m * n],
        at: 0,
        call: Box::new(call),
        wide: |v| v,
    };
    Some(Entry::new("faer", "", runner))
}
