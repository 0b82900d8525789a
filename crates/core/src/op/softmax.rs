//! Softmax over the last dimension, with everything that attention needs around it: masks, row
//! limits, a window, sinks. `log_softmax` is the same operation with another last step.

use super::{Real, check};
use crate::desc::TensorDesc;
use crate::dtype::DType;
use crate::error::Result;

/// `y = exp(z − m) / (Σ exp(z − m) + exp(sink − m))` with `z = scale·x + mask` and `m` the largest
/// of all z and the sink, over the last dimension; with `log`, `y = z − m − ln(…)` of the same sum.
///
/// Inputs are `x [mask] [limits] [sinks]`:
///
/// * `mask` has the shape of `x` (broadcast already). Floating point: added, and −∞ means "masked".
///   [`DType::Bool`]: an element takes part where it is true.
/// * `limits`: u32, the shape of `x` without its last dimension (broadcast already): how many
///   leading elements `e` of each row take part (all of them if it is larger). Without limits `e`
///   is the length of the row. With `window = Some(w)`, elements `e − w..e` take part.
/// * `sinks`: any float, the shape of `x` without its last dimension (broadcast already), finite:
///   one more logit per row that takes its share of the sum and gives no element (attention sinks:
///   Xiao et al. 2023; as learned logits: OpenAI's gpt-oss).
///
/// A masked element gives 0; with `log`, the lowest finite number of `y`'s type, which stands for
/// −∞. A row that is masked entirely gives that in every element, with or without a sink. Empty
/// rows give nothing. Nothing is guaranteed about a row with a NaN or with +∞; the other rows are
/// what they are without it.
///
/// Error: `p·(ε + Σ p·ε + γ + …)`, and for `log` about `Σ p·ε + 2⁻²¹ + u·|z − m|`; see
/// `docs/numerics.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Softmax {
    /// Factor on `x` before the mask is added.
    pub scale: Real,
    /// Whether there is a mask, additive or boolean.
    pub mask: bool,
    /// Whether there are row limits.
    pub limits: bool,
    /// How many of the elements below the limit take part, counted from the limit down. At least 1.
    pub window: Option<u32>,
    /// Whether there are sinks.
    pub sinks: bool,
    /// Whether the result is the logarithm (`log_softmax`).
    pub log: bool,
}

/// Where the optional inputs of a [`Softmax`] are in its list of inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoftmaxInputs {
    /// The mask.
    pub mask: Option<usize>,
    /// The row limits.
    pub limits: Option<usize>,
    /// The sinks.
    pub sinks: Option<usize>,
}

impl Softmax {
    /// The softmax of `scale·x`, nothing masked.
    pub fn new(scale: f32) -> Softmax {
        Softmax { scale: Real(scale), mask: false, limits: false, window: None, sinks: false, log: false }
    }

    /// Where the optional inputs are.
    pub fn inputs(&self) -> SoftmaxInputs {
        let mut next = 1..;
        let mut take = |present: bool| if present { next.next() } else { None };
        SoftmaxInputs { mask: take(self.mask), limits: take(self.limits), sinks: take(self.sinks) }
    }

    pub(super) fn check(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> Result<()> {
        let (x, y) = (&inputs[0], &outputs[0]);
        check::floats(&[("x", x), ("y", y)])?;
        check::finite("scale", self.scale.0)?;
        check::min_rank("x", x, 1)?;
        check::shape("y", y, &x.shape)?;
        check::window(self.window)?;
        let at = self.inputs();
        if let Some(mask) = at.mask.map(|i| &inputs[i]) {
            check::mask("mask", mask)?;
            check::shape("mask", mask, &x.shape)?;
        }
        if let Some(limits) = at.limits.map(|i| &inputs[i]) {
            check::dtype("limits", limits, DType::U32)?;
            check::shape("limits", limits, &x.shape.without_last(1))?;
        }
        if let Some(sinks) = at.sinks.map(|i| &inputs[i]) {
            check::floats(&[("sinks", sinks)])?;
            check::shape("sinks", sinks, &x.shape.without_last(1))?;
        }
        Ok(())
    }
}
