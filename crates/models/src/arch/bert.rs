//! BERT encoders (Devlin et al. 2019), as `BertModel`: learned positions and token types, attention
//! in both directions, a layer norm after each addition. Heads for masked tokens and the pooler are
//! left out: what is wanted of an encoder here is its hidden states.

use unisono_core::{AttentionOptions, DType, Error, Result, Tensor};

use super::blocks::{Linear, Loader, Mlp, Norm, Projections};
use super::{Encoder, EncoderInputs};
use crate::config::ModelConfig;

/// An encoder on a device.
#[derive(Debug)]
pub(crate) struct Bert {
    /// `[vocab, hidden]`.
    tokens: Tensor,
    /// f32 `[positions, hidden]`.
    positions: Tensor,
    /// `[types, hidden]`.
    types: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
    head_dim: usize,
    scale: f32,
    parameters: u64,
}

/// `x = norm(x + attention(x))`, then `x = norm(x + mlp(x))`.
#[derive(Debug)]
struct Layer {
    projections: Projections,
    output: Linear,
    attention_norm: Norm,
    mlp: Mlp,
    mlp_norm: Norm,
}

/// Loads `embeddings` and the layers `encoder.layer.N`.
pub(crate) fn load(loader: &Loader<'_>, config: &ModelConfig) -> Result<Bert> {
    let (hidden, inner, eps) = (config.hidden_size, config.intermediate_size, config.norm_eps);
    let model = loader.at("bert");
    let table = |name: &str, rows| model.tensor(&format!("embeddings.{name}_embeddings.weight"), &[rows, hidden]);
    let layer = |i: usize| {
        let layer = model.at(format_args!("encoder.layer.{i}"));
        let attention = layer.at("attention");
        let up = layer.linear("intermediate.dense", [inner, hidden], true)?;
        let down = layer.linear("output.dense", [hidden, inner], true)?;
        Ok(Layer {
            projections: Projections::separate(&attention.at("self"), config, ["query", "key", "value"])?,
            output: attention.linear("output.dense", [hidden, hidden], true)?,
            attention_norm: attention.layer_norm("output.LayerNorm", hidden, eps)?,
            mlp: Mlp::Plain { up, down, act: config.hidden_act },
            mlp_norm: layer.layer_norm("output.LayerNorm", hidden, eps)?,
        })
    };
    Ok(Bert {
        tokens: table("word", config.vocab_size)?,
        // The first rows are added as they are, so the table is decoded here, once.
        positions: table("position", config.max_position_embeddings)?.cast(DType::F32)?,
        types: table("token_type", config.type_vocab_size)?,
        norm: model.layer_norm("embeddings.LayerNorm", hidden, eps)?,
        layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
        heads: config.num_attention_heads,
        head_dim: config.head_dim,
        scale: config.attention_scale,
        parameters: loader.parameters(),
    })
}

impl Bert {
    /// What the tokens of each text read from each other: `x [batch · tokens, hidden]` to the same
    /// shape.
    fn attention(&self, layer: &Layer, x: &Tensor, [batch, tokens]: [usize; 2], limits: &Tensor) -> Result<Tensor> {
        let (heads, head_dim) = (self.heads, self.head_dim);
        let by_text = |t: &Tensor| t.reshape(&[batch, tokens, heads, head_dim])?.permute(&[0, 2, 1, 3]);
        let [q, k, v] = layer.projections.forward(x, [heads, heads, head_dim])?;
        let options = AttentionOptions { scale: Some(self.scale), limits: Some(limits), ..AttentionOptions::default() };
        let y = by_text(&q)?.attention(&by_text(&k)?, &by_text(&v)?, options)?;
        layer.output.forward(&y.permute(&[0, 2, 1, 3])?.reshape(&[batch * tokens, heads * head_dim])?)
    }
}

impl Encoder for Bert {
    fn hidden(&self, inputs: &EncoderInputs) -> Result<Tensor> {
        let &[batch, tokens] = inputs.tokens.shape() else {
            return Err(Error::shape(format!("tokens have shape {:?}, not [batch, tokens]", inputs.tokens.shape())));
        };
        let words = self.tokens.gather_rows_as(&inputs.tokens, DType::F32)?;
        let typed = words.add(&self.types.gather_rows_as(&inputs.types, DType::F32)?)?;
        let embedded = typed.add(&self.positions.slice(0, 0..tokens)?)?;
        let hidden = embedded.shape().last().copied().unwrap_or(0);
        let mut x = self.norm.forward(&embedded.reshape(&[batch * tokens, hidden])?)?;
        // Every token of a text sees all of its tokens, none of the padding.
        let limits = inputs.lengths.unsqueeze(1)?;
        for layer in &self.layers {
            let attended = self.attention(layer, &x, [batch, tokens], &limits)?;
            (_, x) = layer.attention_norm.after_add(&attended, &x)?;
            (_, x) = layer.mlp_norm.after_add(&layer.mlp.forward(&x)?, &x)?;
        }
        x.reshape(&[batch, tokens, hidden])
    }

    fn parameters(&self) -> u64 {
        self.parameters
    }
}
