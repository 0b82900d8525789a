//! Rows by index. candle refuses an index out of range; where the contract says that such an index
//! reads zero and writes nothing, a user of candle masks it, as here.

use candle_core::{DType, Device, Result, Tensor};

/// The indices as i64, with `other` in the place of each that is out of range, and where they are in
/// range.
fn bounded(indices: &Tensor, rows: usize, other: i64) -> Result<(Tensor, Tensor)> {
    let indices = indices.to_dtype(DType::I64)?.flatten_all()?;
    let fits = indices.ge(0i64)?.mul(&indices.lt(rows as i64)?)?;
    let other = Tensor::full(other, indices.shape(), &Device::Cpu)?;
    Ok((fits.where_cond(&indices, &other)?, fits))
}

/// `table[indices]` along the first dimension of a matrix, zero where an index is out of range.
pub(super) fn rows(table: &Tensor, indices: &Tensor) -> Result<Tensor> {
    let (count, width) = table.dims2()?;
    if count == 0 || width == 0 {
        return Tensor::zeros((indices.elem_count(), width), table.dtype(), &Device::Cpu);
    }
    let (indices, fits) = bounded(indices, count, 0)?;
    let y = table.index_select(&indices, 0)?;
    fits.unsqueeze(1)?.broadcast_as(y.shape())?.where_cond(&y, &y.zeros_like()?)
}

/// A matrix with `src` in the rows that `indices` name. One row more takes what names no row.
pub(super) fn scatter(former: &Tensor, indices: &Tensor, src: &Tensor) -> Result<Tensor> {
    let (count, width) = former.dims2()?;
    if src.elem_count() == 0 || width == 0 {
        return Ok(former.clone());
    }
    let spare = Tensor::zeros((1, width), former.dtype(), &Device::Cpu)?;
    let all = Tensor::cat(&[former, &spare], 0)?;
    let (indices, _) = bounded(indices, count, count as i64)?;
    let indices = indices.unsqueeze(1)?.broadcast_as(src.shape())?.contiguous()?;
    all.scatter(&indices, src, 0)?.narrow(0, 0, count)
}
