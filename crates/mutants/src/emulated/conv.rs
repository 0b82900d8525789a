//! Host kernels of convolution.

use unisono_core::op::{Conv1d, Conv2d, Im2Col};

use super::arithmetic::F;
use super::{Fault, Host, T};

impl Host {
    /// The element of a plane that window `o` sees at place `k` of the kernel.
    fn seen(&self, op: &Im2Col, size: &[usize], o: [usize; 2], k: [usize; 2]) -> Option<usize> {
        let mut at = [0; 2];
        for d in 0..2 {
            let dilation = if self.has(Fault::NoDilation) { 1 } else { op.dilation[d] };
            let padding = op.padding[d] + usize::from(self.has(Fault::PaddingOffByOne));
            at[d] = (o[d] * op.stride[d] + k[d] * dilation).checked_sub(padding).filter(|&i| i < size[d])?;
        }
        Some(at[0] * size[1] + at[1])
    }

    pub(crate) fn im2col(&self, op: &Im2Col, x: &T) -> T {
        let size = &x.shape[2..];
        let [oh, ow] = op.windows([size[0], size[1]]).expect("windows");
        let ([kh, kw], plane) = (op.kernel, size[0] * size[1]);
        let shape = vec![x.shape[0], x.shape[1] * kh * kw, oh * ow];
        let element = |e: usize| {
            let (row, pixel) = (e / (oh * ow), e % (oh * ow));
            let seen = self.seen(op, size, [pixel / ow, pixel % ow], [row / kw % kh, row % kw]);
            seen.map_or(F(0.0), |at| x.x[row / (kh * kw) * plane + at])
        };
        let x = (0..shape.iter().product()).map(element).collect();
        T::new(shape, x)
    }

    pub(crate) fn conv2d(&self, op: &Conv2d, x: &[T]) -> T {
        let (image, weight) = (&x[0], &x[1]);
        let bias = x.get(2).filter(|_| op.bias && !self.has(Fault::NoBias));
        let [outputs, per_group, kh, kw] = [0, 1, 2, 3].map(|d| weight.shape[d]);
        let (size, channels) = (&image.shape[2..], image.shape[1]);
        let columns = op.columns([kh, kw]);
        let [oh, ow] = columns.windows([size[0], size[1]]).expect("windows");
        let shape = vec![image.shape[0], outputs, oh, ow];
        let element = |e: usize| {
            let (b, o, pixel) = (e / (outputs * oh * ow), e / (oh * ow) % outputs, e % (oh * ow));
            let group = if self.has(Fault::WrongGroup) { o % op.groups } else { o / (outputs / op.groups) };
            let weights = weight.row_of(o);
            let pixels = (0..weights.len()).map(|t| {
                let (c, k) = (t / (kh * kw), [t / kw % kh, t % kw]);
                let plane = (b * channels + group * per_group + c) * size[0] * size[1];
                let seen = self.seen(&columns, size, [pixel / ow, pixel % ow], k);
                seen.map_or(F(0.0), |at| image.x[plane + at])
            });
            let sum = self.contract(pixels, weights.iter().copied());
            bias.map_or(sum, |t| sum + t.x[o])
        };
        let x = (0..shape.iter().product()).map(element).collect();
        T::new(shape, x)
    }

    pub(crate) fn conv1d(&self, op: &Conv1d, x: &[T]) -> T {
        let flat = |t: &T| {
            let mut shape = t.shape.clone();
            if shape.len() == 3 {
                shape.insert(2, 1);
            }
            T::new(shape, t.x.clone())
        };
        let y = self.conv2d(&op.as_2d(), &x.iter().map(flat).collect::<Vec<_>>());
        T::new(vec![y.shape[0], y.shape[1], y.shape[3]], y.x)
    }
}

impl T {
    /// The elements with index `i` in the first dimension.
    fn row_of(&self, i: usize) -> &[F] {
        let n: usize = self.shape[1..].iter().product();
        &self.x[i * n..(i + 1) * n]
    }
}
