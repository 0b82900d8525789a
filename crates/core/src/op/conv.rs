//! Convolution: windows of an image as columns, and the composites that multiply them with weights.
//!
//! "Convolution" is the cross-correlation of neural networks: the kernel is not mirrored. Padding
//! is with zeros.

use super::{BinaryOp, Op, check};
use crate::desc::TensorDesc;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::lower::Lowering;
use crate::program::{Operand, Step};

/// The windows of an image as columns of a matrix:
/// `y[b, (c·kh + i)·kw + j, oy·ow + ox] = x[b, c, oy·sh + i·dh − ph, ox·sw + j·dw − pw]`, zero outside
/// the image, with stride `s`, dilation `d` and padding `p`.
///
/// * `x`: `[batch, channels, h, w]`
/// * `y`: `[batch, channels·kh·kw, oh·ow]` with `oh = ⌊(h + 2·ph − dh·(kh − 1) − 1) / sh⌋ + 1`, `ow`
///   alike. An image whose padded size is below the kernel's extent is refused.
/// * Element types: the same, or two floats. Nothing is computed; exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Im2Col {
    /// Height and width of the window, at least 1.
    pub kernel: [usize; 2],
    /// Steps between windows, at least 1.
    pub stride: [usize; 2],
    /// Zeros before and after each dimension.
    pub padding: [usize; 2],
    /// Steps within a window, at least 1.
    pub dilation: [usize; 2],
}

impl Im2Col {
    /// Windows in each dimension of an image of `size`.
    pub fn windows(&self, size: [usize; 2]) -> Result<[usize; 2]> {
        let mut count = [0; 2];
        for d in 0..2 {
            let (kernel, stride, dilation) = (self.kernel[d], self.stride[d], self.dilation[d]);
            if kernel == 0 || stride == 0 || dilation == 0 {
                let message = format!("kernel {kernel}, stride {stride} and dilation {dilation} must be at least 1");
                return Err(Error::invalid(message));
            }
            let padded = self.padding[d].checked_mul(2).and_then(|p| p.checked_add(size[d]));
            let extent = (kernel - 1).checked_mul(dilation).and_then(|e| e.checked_add(1));
            let (Some(padded), Some(extent)) = (padded, extent) else {
                return Err(Error::invalid("padding or the extent of the kernel overflows"));
            };
            let room = padded.checked_sub(extent).ok_or_else(|| {
                Error::shape(format!("the kernel extends over {extent} elements, the padded input has {padded}"))
            })?;
            count[d] = room / stride + 1;
        }
        Ok(count)
    }

    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let (x, y) = (&inputs[0], &outputs[0]);
        check::castable(("x", x), ("y", y))?;
        check::rank("x", x, 4)?;
        let [oh, ow] = self.windows([x.shape[2], x.shape[3]])?;
        let rows = x.shape[1].checked_mul(self.kernel[0]).and_then(|r| r.checked_mul(self.kernel[1]));
        let (Some(rows), Some(columns)) = (rows, oh.checked_mul(ow)) else {
            return Err(Error::shape("the number of columns overflows"));
        };
        check::shape("y", y, &[x.shape[0], rows, columns])
    }
}

/// `y[b, o, oy, ox] = bias[o] + Σ weight[o, c, i, j] · x[b, g·C + c, oy·sh + i·dh − ph, ox·sw + j·dw − pw]`,
/// where `C = channels / groups` and `g = o / (out / groups)` is the group of `o`.
///
/// * `x`: `[batch, channels, h, w]`; `weight`: `[out, channels / groups, kh, kw]`; `bias`: `[out]`
/// * `y`: `[batch, out, oh, ow]`, sizes as for [`Im2Col`]; all floats, each its own
///
/// `groups` divides `channels` and `out`; with `groups = channels` the convolution is depthwise.
/// Error: that of a matrix product with `K = C·kh·kw`, and one more rounding for the bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Steps between windows, at least 1.
    pub stride: [usize; 2],
    /// Zeros before and after each dimension.
    pub padding: [usize; 2],
    /// Steps within a window, at least 1.
    pub dilation: [usize; 2],
    /// Into how many groups the channels fall, at least one.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
}

/// [`Conv2d`] over one dimension: `x` is `[batch, channels, length]`, `weight`
/// `[out, channels / groups, k]`, `y` `[batch, out, windows]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv1d {
    /// Steps between windows, at least 1.
    pub stride: usize,
    /// Zeros before and after the sequence.
    pub padding: usize,
    /// Steps within a window, at least 1.
    pub dilation: usize,
    /// Into how many groups the channels fall, at least one.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
}

impl Conv2d {
    /// The windows of a weight with this kernel.
    pub fn columns(&self, kernel: [usize; 2]) -> Im2Col {
        Im2Col { kernel, stride: self.stride, padding: self.padding, dilation: self.dilation }
    }

    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        check::rank("x", &inputs[0], 4)?;
        check::rank("weight", &inputs[1], 4)?;
        check::rank("y", &outputs[0], 4)?;
        self.check_images(inputs, &outputs[0])
    }

    fn check_images(&self, inputs: &[TensorDesc], y: &TensorDesc) -> Result<()> {
        let (x, w) = (&inputs[0], &inputs[1]);
        check::floats(&[("x", x), ("weight", w), ("y", y)])?;
        let (channels, out) = (x.shape[1], w.shape[0]);
        if self.groups == 0 || !channels.is_multiple_of(self.groups) || !out.is_multiple_of(self.groups) {
            let message = format!("{} groups do not divide {channels} channels and {out} outputs", self.groups);
            return Err(Error::shape(message));
        }
        if w.shape[1] != channels / self.groups {
            let message = format!("weight takes {} channels, a group has {}", w.shape[1], channels / self.groups);
            return Err(Error::shape(message));
        }
        let [oh, ow] = self.columns([w.shape[2], w.shape[3]]).windows([x.shape[2], x.shape[3]])?;
        let wanted = [x.shape[0], out, oh, ow];
        if *y.shape != wanted {
            return Err(Error::shape(format!("y has {}x{} windows of {}, not {wanted:?}", oh, ow, y.shape)));
        }
        if self.bias
            && let Some(bias) = inputs.get(2)
        {
            check::floats(&[("bias", bias)])?;
            check::shape("bias", bias, &[out])?;
        }
        Ok(())
    }

    /// The windows as columns, a matrix product for each group, then the bias.
    pub(super) fn decompose(&self, step: &Step, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, w, y) = (step.inputs[0], step.inputs[1], step.outputs[0]);
        if y.desc.is_empty() {
            return Ok(());
        }
        let [batch, out, oh, ow] = [y.desc.shape[0], y.desc.shape[1], y.desc.shape[2], y.desc.shape[3]];
        let [channels, kh, kw] = [x.desc.shape[1], w.desc.shape[2], w.desc.shape[3]];
        let (groups, pixels) = (self.groups, oh * ow);
        let terms = channels / groups * kh * kw;

        let columns =
            lowering.temporary(TensorDesc::contiguous(x.desc.dtype, &[batch, channels * kh * kw, pixels])?)?;
        lowering.push(Op::Im2Col(self.columns([kh, kw])), &[x], &[columns])?;
        let columns = columns.with_desc(TensorDesc::contiguous(x.desc.dtype, &[batch, groups, terms, pixels])?);

        let shape = [groups, out / groups, terms];
        let weight = match w.desc.reshaped(&shape)? {
            Some(desc) => w.with_desc(desc),
            None => {
                let copy = lowering.temporary(w.desc.to_contiguous(w.desc.dtype))?;
                lowering.push(Op::Copy, &[w], &[copy])?;
                copy.with_desc(TensorDesc::contiguous(w.desc.dtype, &shape)?)
            }
        };
        let weight = weight.with_desc(weight.desc.with_axis(0, batch)?);

        let product = [batch, groups, out / groups, pixels];
        if !self.bias
            && let Some(desc) = y.desc.reshaped(&product)?
        {
            return lowering.push(Op::MatMul, &[weight, columns], &[y.with_desc(desc)]);
        }
        let sums = lowering.temporary(TensorDesc::contiguous(DType::F32, &product)?)?;
        lowering.push(Op::MatMul, &[weight, columns], &[sums])?;
        let sums = sums.with_desc(TensorDesc::contiguous(DType::F32, &y.desc.shape)?);
        match step.inputs.get(2).filter(|_| self.bias) {
            Some(bias) => {
                let per_pixel =
                    bias.desc.reshaped(&[out, 1, 1])?.ok_or_else(|| Error::internal("a vector reshapes"))?;
                let bias = bias.with_desc(per_pixel.broadcast_to(&y.desc.shape)?);
                lowering.push(Op::Binary(BinaryOp::Add), &[sums, bias], &[y])
            }
            None => lowering.push(Op::Copy, &[sums], &[y]),
        }
    }
}

impl Conv1d {
    /// The same over images of height 1.
    pub fn as_2d(&self) -> Conv2d {
        Conv2d {
            stride: [1, self.stride],
            padding: [0, self.padding],
            dilation: [1, self.dilation],
            groups: self.groups,
            bias: self.bias,
        }
    }

    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        check::rank("x", &inputs[0], 3)?;
        check::rank("weight", &inputs[1], 3)?;
        check::rank("y", &outputs[0], 3)?;
        let mut images = inputs.to_vec();
        images[0] = inputs[0].with_axis(2, 1)?;
        images[1] = inputs[1].with_axis(2, 1)?;
        self.as_2d().check_images(&images, &outputs[0].with_axis(2, 1)?)
    }

    pub(super) fn decompose(&self, step: &Step, lowering: &mut Lowering<'_>) -> Result<()> {
        let image = |o: &Operand| Ok::<_, Error>(o.with_desc(o.desc.with_axis(2, 1)?));
        let mut images = step.clone();
        images.inputs[0] = image(&step.inputs[0])?;
        images.inputs[1] = image(&step.inputs[1])?;
        images.outputs[0] = image(&step.outputs[0])?;
        self.as_2d().decompose(&images, lowering)
    }
}
