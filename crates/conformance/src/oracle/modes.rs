//! What the numeric modes that a device declares add to the bounds of products.
//!
//! A mode replaces an error model, it does not loosen a tolerance: whatever it does not concern, and
//! exact data as far as the mode keeps it exact, is held to the bounds of every other device.

use unisono_core::NumericMode;
use unisono_core::op::{Op, OpDesc};

use crate::bound::FLOOR;

/// Relative error of one f16 operation, in either direction.
const UNIT: f64 = 1.0 / 1024.0;

/// The smallest normal f16: anything below may be flushed.
const FLOOR_F16: f64 = 1.0 / 16384.0;

/// f16 holds every integer up to here.
const EXACT_F16: f64 = 2048.0;

/// The largest f16.
const MAX_F16: f64 = 65504.0;

/// Which modes a device declares.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Modes {
    /// Products are rounded to f16 and summed in f16.
    f16_accumulate: bool,
    /// Activations that meet blocks are 8-bit integers.
    int8_activations: bool,
}

impl Modes {
    pub(crate) fn new(modes: &[NumericMode]) -> Modes {
        Modes {
            f16_accumulate: modes.contains(&NumericMode::F16Accumulate),
            int8_activations: modes.contains(&NumericMode::Int8Activations),
        }
    }

    /// The bound and the probable error of a sum of `terms` products whose magnitudes add up to
    /// `size`, where it is accumulated in f16; `None` where it is not.
    ///
    /// Each product is rounded once and passes at most `terms − 1` sums: (1 + u)ⁿ − 1, which unlike
    /// γₙ exists for every n. Each of the 2n operations may flush. Where a partial sum may reach the
    /// largest f16, nothing is guaranteed.
    pub(super) fn sum(self, terms: usize, size: f64, integers: bool) -> Option<(f64, f64)> {
        if !self.f16_accumulate {
            return None;
        }
        if integers && size <= EXACT_F16 {
            return Some((0.0, 0.0));
        }
        let n = terms as f64;
        let chain = (n * UNIT.ln_1p()).exp_m1();
        if size * (1.0 + chain) >= MAX_F16 {
            return Some((f64::INFINITY, f64::INFINITY));
        }
        let flushed = 2.0 * n * FLOOR_F16;
        Some((chain * size + flushed, (5.0 * n.sqrt() * UNIT).min(chain) * size + flushed))
    }

    /// For each activation of a row how far it may be off, where the weights are in blocks of
    /// `block` elements and activations become 8-bit integers: half a step of the block's scale
    /// amax/127, and what the arithmetic adds to the quotient (2⁻¹² of that at most).
    pub(super) fn activation_errors(self, row: &[f64], block: usize) -> Option<Vec<f64>> {
        if !self.int8_activations || block <= 1 {
            return None;
        }
        let errors = row.chunks(block).flat_map(|block| {
            let largest = block.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            // A scale below the smallest normal f32 may be flushed, and the block with it.
            let error = (largest / 254.0 * (1.0 + 1.0 / 4096.0)).max(largest.min(128.0 * FLOOR));
            std::iter::repeat_n(error, block.len())
        });
        Some(errors.collect())
    }
}

/// The modes among `modes` that the bounds of an operation depend on.
pub(crate) fn concerned(desc: &OpDesc, modes: &[NumericMode]) -> Vec<NumericMode> {
    let product = matches!(desc.op, Op::MatMul | Op::MatMulId | Op::Linear(_));
    let concerns = |mode: &NumericMode| match mode {
        NumericMode::F16Accumulate => product || matches!(desc.op, Op::Attention(_) | Op::Conv1d(_) | Op::Conv2d(_)),
        NumericMode::Int8Activations => product && desc.inputs[1].dtype.is_block(),
        _ => false,
    };
    modes.iter().copied().filter(concerns).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_changes_without_a_declaration() {
        assert!(Modes::default().sum(8, 1.0, false).is_none());
        assert!(Modes::default().activation_errors(&[1.0; 32], 32).is_none());
    }

    #[test]
    fn f16_keeps_small_integers_and_gives_up_at_its_range() {
        let modes = Modes::new(&[NumericMode::F16Accumulate]);
        assert_eq!(modes.sum(100, 2048.0, true), Some((0.0, 0.0)));
        assert!(modes.sum(100, 2049.0, true).unwrap().0 > 2.0);
        let (bound, quality) = modes.sum(10_000, 1.0, false).unwrap();
        assert!(bound.is_finite() && quality < bound);
        assert_eq!(modes.sum(2, 65_500.0, false).unwrap().0, f64::INFINITY);
    }

    #[test]
    fn half_a_step_of_the_blocks_own_scale() {
        let modes = Modes::new(&[NumericMode::Int8Activations]);
        let row: Vec<f64> = (0..64).map(|i| if i < 32 { 2.54 } else { 0.0 }).collect();
        let errors = modes.activation_errors(&row, 32).unwrap();
        assert!((errors[0] - 0.01).abs() < 1e-5 && errors[63] == 0.0, "{errors:?}");
        assert!(modes.activation_errors(&row, 1).is_none(), "plain weights meet plain activations");
    }
}
