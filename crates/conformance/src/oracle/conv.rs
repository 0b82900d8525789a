//! Convolution, straight from its formula.

use unisono_core::TensorDesc;
use unisono_core::op::{Conv1d, Conv2d, Im2Col};

use super::movement::{cast, moved};
use super::{Modes, Tensor};
use crate::bound::{Elements, FLOOR, gamma, probable};
use crate::check::Expected;

/// Row or column of the image that window `o` sees at place `k` of its kernel; none in the padding.
fn place(o: usize, k: usize, [stride, dilation, padding, size]: [usize; 4]) -> Option<usize> {
    (o * stride + k * dilation).checked_sub(padding).filter(|&i| i < size)
}

pub(super) fn im2col(op: &Im2Col, x: &Tensor, out: &TensorDesc) -> Expected {
    let [channels, h, w] = [x.desc.shape[1], x.desc.shape[2], x.desc.shape[3]];
    let [kh, kw] = op.kernel;
    let down = [op.stride[0], op.dilation[0], op.padding[0], h];
    let across = [op.stride[1], op.dilation[1], op.padding[1], w];
    let columns = (w + 2 * op.padding[1] - op.dilation[1] * (kw - 1) - 1) / op.stride[1] + 1;
    let mut values = Vec::with_capacity(out.elements());
    for b in 0..out.shape[0] {
        for row in 0..out.shape[1] {
            let (c, i, j) = (row / (kh * kw), row / kw % kh, row % kw);
            for window in 0..out.shape[2] {
                let at = place(window / columns, i, down).zip(place(window % columns, j, across));
                let value = at.map_or(0.0, |(iy, ix)| x.values[((b * channels + c) * h + iy) * w + ix]);
                values.push(cast(x.desc.dtype, out.dtype, value));
            }
        }
    }
    moved(x.desc.dtype, out.dtype, values)
}

/// As a matrix product with one term for each place of the kernel and channel of the group, padding
/// included, and one more for the bias.
pub(super) fn conv2d(op: &Conv2d, x: &[Tensor], out: &TensorDesc, modes: Modes) -> Expected {
    let (image, weight) = (&x[0], &x[1]);
    let bias = x.get(2).filter(|_| op.bias);
    let [channels, h, w] = [image.desc.shape[1], image.desc.shape[2], image.desc.shape[3]];
    let [outputs, per_group, kh, kw] = [0, 1, 2, 3].map(|d| weight.desc.shape[d]);
    let [oh, ow] = [out.shape[2], out.shape[3]];
    let down = [op.stride[0], op.dilation[0], op.padding[0], h];
    let across = [op.stride[1], op.dilation[1], op.padding[1], w];
    let integers = x.iter().all(|t| t.values.iter().all(|v| v.fract() == 0.0));
    let terms = per_group * kh * kw + usize::from(op.bias);
    let mut y = Elements::new(out.dtype, out.elements());
    for i in 0..out.elements() {
        let (b, o, oy, ox) = (i / (ow * oh * outputs), i / (ow * oh) % outputs, i / ow % oh, i % ow);
        let first = o / (outputs / op.groups) * per_group;
        let start = bias.map_or(0.0, |t| t.values[o]);
        let (mut sum, mut size) = (start, start.abs());
        for c in 0..per_group {
            for ky in 0..kh {
                let Some(iy) = place(oy, ky, down) else { continue };
                for kx in 0..kw {
                    let Some(ix) = place(ox, kx, across) else { continue };
                    let product = image.values[((b * channels + first + c) * h + iy) * w + ix]
                        * weight.values[((o * per_group + c) * kh + ky) * kw + kx];
                    sum += product;
                    size += product.abs();
                }
            }
        }
        let exact = integers && size <= 16_777_216.0;
        let error = |chain: fn(usize) -> f64| if exact { 0.0 } else { chain(terms) * size + terms as f64 * FLOOR };
        let (bound, quality) = modes.sum(terms, size, integers).unwrap_or_else(|| (error(gamma), error(probable)));
        y.push(sum, bound, quality);
    }
    y.finish()
}

/// A sequence is an image of height 1.
pub(super) fn conv1d(op: &Conv1d, x: &[Tensor], out: &TensorDesc, modes: Modes) -> Expected {
    let flat = |d: &TensorDesc| TensorDesc {
        shape: d.shape.inserted(2, 1).unwrap_or(d.shape),
        strides: d.strides.inserted(2, 0).unwrap_or(d.strides),
        ..*d
    };
    let image = |t: &Tensor| Tensor { desc: flat(&t.desc), values: t.values.clone() };
    let images: Vec<Tensor> = x.iter().enumerate().map(|(i, t)| if i < 2 { image(t) } else { t.clone() }).collect();
    let op = Conv2d {
        stride: [1, op.stride],
        padding: [0, op.padding],
        dilation: [1, op.dilation],
        groups: op.groups,
        bias: op.bias,
    };
    conv2d(&op, &images, &flat(out), modes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use unisono_core::DType;

    fn tensor(shape: &[usize], values: &[f64]) -> Tensor {
        Tensor { desc: TensorDesc::contiguous(DType::F32, shape).unwrap(), values: values.to_vec() }
    }

    #[test]
    fn a_sequence_by_hand() {
        // Two channels in two groups; padding 1, stride 2, dilation 1.
        let x = [
            tensor(&[1, 2, 4], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
            tensor(&[2, 1, 3], &[1.0, 0.0, -1.0, 0.5, 1.0, 0.5]),
            tensor(&[2], &[10.0, 0.0]),
        ];
        let out = TensorDesc::contiguous(DType::F32, &[1, 2, 2]).unwrap();
        let op = Conv1d { stride: 2, padding: 1, dilation: 1, groups: 2, bias: true };
        assert_eq!(conv1d(&op, &x, &out, Modes::default()).values, [8.0, 8.0, 8.0, 14.0]);
    }

    #[test]
    fn columns_by_hand() {
        let x = tensor(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let op = Im2Col { kernel: [1, 2], stride: [1, 1], padding: [0, 1], dilation: [1, 2] };
        let out = TensorDesc::contiguous(DType::F32, &[1, 2, 4]).unwrap();
        assert_eq!(im2col(&op, &x, &out).values, [0.0, 1.0, 0.0, 3.0, 2.0, 0.0, 4.0, 0.0]);
    }
}
