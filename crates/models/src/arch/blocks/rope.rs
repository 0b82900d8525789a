//! Rotary embedding of queries and keys, with the tables of a model on the device.

use unisono_core::op::RopePairing;
use unisono_core::{Device, Result, Tensor};

use super::Loader;
use crate::config::{ModelConfig, RopeConfig};
use crate::rope::rope_tables;

/// The rotary embeddings of a model's layers: one, or a second for layers with a window.
#[derive(Debug)]
pub(crate) struct Ropes {
    global: Option<Rope>,
    local: Option<Rope>,
}

/// Tables f32 `[context_len, rotary_dim / 2]`, and which elements form pairs.
#[derive(Clone, Debug)]
pub(crate) struct Rope {
    cos: Tensor,
    sin: Tensor,
    pairing: RopePairing,
}

impl Ropes {
    /// Uploads the tables for `context_len` positions.
    pub(crate) fn load(loader: &Loader<'_>, config: &ModelConfig, context_len: usize) -> Result<Ropes> {
        loader.check_size(config)?;
        let pairing = match loader.conventions().rope_interleaved {
            true => RopePairing::Interleaved,
            false => RopePairing::HalfSplit,
        };
        let load = |rope: &Option<RopeConfig>| {
            rope.as_ref().map(|rope| Rope::load(loader.device(), rope, context_len, pairing)).transpose()
        };
        Ok(Ropes { global: load(&config.rope)?, local: load(&config.local_rope)? })
    }

    /// That of layer `layer`.
    pub(crate) fn of_layer(&self, config: &ModelConfig, layer: usize) -> Option<Rope> {
        let local = self.local.as_ref().filter(|_| config.is_sliding(layer));
        local.or(self.global.as_ref()).cloned()
    }
}

impl Rope {
    fn load(device: &Device, rope: &RopeConfig, context_len: usize, pairing: RopePairing) -> Result<Rope> {
        let tables = rope_tables(rope, context_len);
        let shape = [context_len, rope.rotary_dim / 2];
        Ok(Rope { cos: device.tensor(&tables.cos, &shape)?, sin: device.tensor(&tables.sin, &shape)?, pairing })
    }

    /// Rotates `x [n, heads, head_dim]` by `positions [n]`.
    pub(crate) fn rotate(&self, x: &Tensor, positions: &Tensor) -> Result<Tensor> {
        let positions = positions.unsqueeze(0)?;
        x.unsqueeze(0)?.rope(&self.cos, &self.sin, &positions, self.pairing)?.squeeze(0)
    }
}
