//! Host kernels of the normalisations.

use unisono_core::op::GroupNorm;

use super::arithmetic::F;
use super::{Fault, Host, T};

impl Host {
    pub(crate) fn rms_norm(&self, x: &T, weight: &T, eps: f32) -> T {
        let n = x.last() as f32;
        let eps = if self.has(Fault::NoEps) { 0.0 } else { eps };
        let mut y = Vec::new();
        for i in 0..x.rows() {
            let squares = self.dot(x.row(i).iter().copied(), x.row(i).iter().copied());
            let mean = if self.has(Fault::SumForMean) { squares } else { squares / n };
            let r = 1.0 / (mean + eps).sqrt();
            y.extend(x.row(i).iter().zip(&weight.x).map(|(&x, &w)| x * r * w));
        }
        x.like(y)
    }

    /// Mean of a row, and one over its standard deviation.
    fn moments(&self, row: &[F], eps: f32) -> (F, F) {
        let n = row.len() as f32;
        let mean = self.sum(row) / n;
        let centred = || row.iter().map(|&x| x - mean);
        let variance = if self.has(Fault::OnePassVariance) {
            self.dot(row.iter().copied(), row.iter().copied()) / n - mean * mean
        } else {
            self.dot(centred(), centred()) / n
        };
        (mean, 1.0 / (variance + eps).sqrt())
    }

    pub(crate) fn layer_norm(&self, x: &T, weight: &T, bias: &T, eps: f32) -> T {
        let mut y = Vec::new();
        for i in 0..x.rows() {
            let (mean, r) = self.moments(x.row(i), eps);
            let scale = weight.x.iter().zip(&bias.x);
            y.extend(x.row(i).iter().zip(scale).map(|(&x, (&w, &b))| (x - mean) * r * w + b));
        }
        x.like(y)
    }

    pub(crate) fn group_norm(&self, op: &GroupNorm, x: &[T]) -> T {
        let weight = x.get(1).filter(|_| op.weight);
        let bias = x.get(1 + usize::from(op.weight)).filter(|_| op.bias);
        let x = &x[0];
        let positions: usize = x.shape[2..].iter().product();
        let groups = if self.has(Fault::WrongGroup) { 1 } else { op.groups };
        let n = x.shape[1] / groups * positions;
        let mut y = Vec::new();
        for group in x.x.chunks(n.max(1)) {
            let (mean, r) = self.moments(group, op.eps.0);
            for &x_i in group {
                let channel = y.len() / positions % x.shape[1];
                let (w, b) = (weight.map_or(F(1.0), |t| t.x[channel]), bias.map_or(F(0.0), |t| t.x[channel]));
                y.push((x_i - mean) * r * w + b);
            }
        }
        x.like(y)
    }

    pub(crate) fn l2_norm(&self, x: &T, eps: f32) -> T {
        let eps = if self.has(Fault::NoEps) { 1e-30 } else { eps };
        let mut y = Vec::new();
        for i in 0..x.rows() {
            let length = self.dot(x.row(i).iter().copied(), x.row(i).iter().copied()).sqrt().max(F(eps));
            y.extend(x.row(i).iter().map(|&x| x / length));
        }
        x.like(y)
    }
}
