//! Layouts of operands: the ways in which a tensor of some shape may lie in memory.

use unisono_core::{DType, Result, TensorDesc};

/// How the elements of a shape are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Row-major without gaps.
    Plain,
    /// The last two dimensions swapped in memory: a transposed view.
    Transposed,
    /// Rows further apart than they are long.
    Gap(usize),
    /// Every second element of the last dimension.
    Skip,
    /// All dimensions in reverse order in memory.
    Reversed,
    /// All but the last two dimensions share their storage.
    SharedBatch,
    /// All but the last dimension share their storage: one row for all.
    SharedRow,
    /// One element for all.
    Scalar,
}

impl Layout {
    /// The name in ids.
    pub(super) fn name(self) -> String {
        match self {
            Layout::Plain => "plain".into(),
            Layout::Transposed => "transposed".into(),
            Layout::Gap(g) => format!("gap{g}"),
            Layout::Skip => "skip".into(),
            Layout::Reversed => "reversed".into(),
            Layout::SharedBatch => "shared_batch".into(),
            Layout::SharedRow => "shared_row".into(),
            Layout::Scalar => "scalar".into(),
        }
    }

    /// A descriptor of `shape` in this layout.
    pub(super) fn desc(self, dtype: DType, shape: &[usize]) -> Result<TensorDesc> {
        let plain = TensorDesc::contiguous(dtype, shape)?;
        let r = shape.len();
        let row_major = |first: usize, gap: usize| {
            let mut strides = plain.strides;
            let mut step = first;
            for i in (0..r).rev() {
                strides[i] = step;
                step *= shape[i].max(1);
                if i + 1 == r {
                    step += gap;
                }
            }
            TensorDesc::strided(dtype, shape, &strides)
        };
        let shared = |kept: usize| {
            let mut strides = plain.strides;
            strides[..r.saturating_sub(kept)].fill(0);
            TensorDesc::strided(dtype, shape, &strides)
        };
        match self {
            Layout::Plain => Ok(plain),
            Layout::Transposed if r >= 2 => {
                let mut swapped = plain.shape;
                swapped.swap(r - 2, r - 1);
                TensorDesc::contiguous(dtype, &swapped)?.transposed(r - 2, r - 1)
            }
            Layout::Transposed => Ok(plain),
            Layout::Gap(gap) => row_major(1, gap),
            Layout::Skip => row_major(2, 1),
            Layout::Reversed => {
                let mut reversed = plain.shape;
                reversed.reverse();
                let axes: Vec<usize> = (0..r).rev().collect();
                TensorDesc::contiguous(dtype, &reversed)?.permuted(&axes)
            }
            Layout::SharedBatch => shared(2),
            Layout::SharedRow => shared(1),
            Layout::Scalar => shared(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_by_hand() {
        for (layout, expected) in [
            (Layout::Plain, [12, 4, 1]),
            (Layout::Transposed, [12, 1, 3]),
            (Layout::Gap(3), [21, 7, 1]),
            (Layout::Skip, [27, 9, 2]),
            (Layout::Reversed, [1, 2, 6]),
            (Layout::SharedBatch, [0, 4, 1]),
            (Layout::SharedRow, [0, 0, 1]),
            (Layout::Scalar, [0, 0, 0]),
        ] {
            let desc = layout.desc(DType::F32, &[2, 3, 4]).unwrap();
            assert_eq!((*desc.shape).to_vec(), [2, 3, 4]);
            assert_eq!((*desc.strides).to_vec(), expected, "{}", layout.name());
        }
    }
}
