//! A mixture of experts (Shazeer et al. 2017, in the form of Mixtral, Jiang et al. 2024): a router
//! scores all experts, the best few compute, their results are added with the softmax of their
//! scores as shares.

use unisono_core::{Error, Result, Tensor};

use super::Loader;
use crate::config::{Activation, ExpertsConfig, ModelConfig};

/// Router and experts of a layer.
#[derive(Debug)]
pub(crate) struct Experts {
    /// `[experts, hidden]`.
    router: Tensor,
    inputs: Inputs,
    /// `[experts, hidden, intermediate]`.
    down: Tensor,
    used: usize,
    act: Activation,
}

/// The first layer of the experts.
#[derive(Debug)]
enum Inputs {
    /// Gate and up, each `[experts, intermediate, hidden]`.
    Separate(Tensor, Tensor),
    /// `[experts, 2 · intermediate, hidden]`, the gate first.
    Fused(Tensor),
}

/// What the tensors of a mixture are called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpertNames {
    /// The router `[experts, hidden]`, by either name.
    pub(crate) router: [&'static str; 2],
    /// Above stacked experts: `gate_up_proj` `[experts, 2 · intermediate, hidden]` and `down_proj`
    /// `[experts, hidden, intermediate]`, or `gate`, `up` and `down`.
    pub(crate) stacked: &'static str,
    /// Above single experts, `0.{gate}.weight` and so on.
    pub(crate) single: &'static str,
    /// The gate of a single expert, `[intermediate, hidden]`.
    pub(crate) gate: &'static str,
    /// What it scales, `[intermediate, hidden]`.
    pub(crate) up: &'static str,
    /// The way back, `[hidden, intermediate]`.
    pub(crate) down: &'static str,
}

impl Experts {
    /// From a layer whose experts are stacked or not; single ones are joined on the way to the
    /// device.
    pub(crate) fn load(layer: &Loader<'_>, config: &ModelConfig, names: &ExpertNames) -> Result<Experts> {
        let mixture = config.experts.ok_or_else(|| Error::invalid("config.json: there are no experts"))?;
        let ExpertsConfig { experts, used } = mixture;
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let router = layer.tensor(layer.first_of(names.router), &[experts, hidden])?;
        let (stacked, single) = (layer.at(names.stacked), layer.at(names.single));
        let (inputs, down) = if stacked.has("gate_up_proj") {
            let gate_up = stacked.tensor("gate_up_proj", &[experts, 2 * inner, hidden])?;
            (Inputs::Fused(gate_up), stacked.tensor("down_proj", &[experts, hidden, inner])?)
        } else if stacked.has("gate") {
            let one = |name, shape: [usize; 2]| stacked.tensor(name, &[experts, shape[0], shape[1]]);
            let inputs = Inputs::Separate(one("gate", [inner, hidden])?, one("up", [inner, hidden])?);
            (inputs, one("down", [hidden, inner])?)
        } else {
            let joined = |name, shape| join(&single, experts, name, shape);
            let inputs = Inputs::Separate(joined(names.gate, [inner, hidden])?, joined(names.up, [inner, hidden])?);
            (inputs, joined(names.down, [hidden, inner])?)
        };
        Ok(Experts { router, inputs, down, used, act: config.hidden_act })
    }

    /// `[n, hidden]` to `[n, hidden]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (scores, ids) = x.matmul_t(&self.router)?.topk(self.used)?;
        let shares = scores.softmax(1.0, None, None)?.unsqueeze(2)?;
        let gated = match &self.inputs {
            Inputs::Separate(gate, up) => {
                x.matmul_id_t(gate, &ids)?.gated(self.act.gate(), &x.matmul_id_t(up, &ids)?)?
            }
            Inputs::Fused(both) => x.matmul_id_t(both, &ids)?.gated_split(self.act.gate())?,
        };
        gated.matmul_id_t(&self.down, &ids)?.mul(&shares)?.sum(1)?.squeeze(1)
    }
}

/// The weights of all experts as one tensor `[experts, …shape]`. Host memory holds one such tensor
/// at a time.
fn join(loader: &Loader<'_>, experts: usize, name: &str, shape: [usize; 2]) -> Result<Tensor> {
    let mut joined = None;
    for expert in 0..experts {
        let (dtype, bytes) = loader.bytes(&format!("{expert}.{name}.weight"), &shape)?;
        let (first, all) = joined.get_or_insert_with(|| (dtype, Vec::with_capacity(bytes.len() * experts)));
        if *first != dtype {
            return Err(Error::dtype(format!("{name} of expert {expert} is {dtype}, that of expert 0 {first}")));
        }
        all.extend_from_slice(&bytes);
    }
    let (dtype, bytes) = joined.ok_or_else(|| Error::internal("a mixture of no experts"))?;
    loader.device().tensor_from_bytes(dtype, &bytes, &[experts, shape[0], shape[1]])
}
