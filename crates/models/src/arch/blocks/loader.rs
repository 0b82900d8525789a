//! Getting named tensors onto a device, and counting them.

use std::borrow::Cow;
use std::cell::Cell;

use unisono_core::{DType, Device, Error, Result, Tensor};

use super::norm::NormForm;
use super::{Linear, Norm};
use crate::config::ModelConfig;
use crate::formats::{Conventions, Weights};

/// Loads the tensors below one prefix of a checkpoint. Every error names the tensor.
#[derive(Debug)]
pub(crate) struct Loader<'a> {
    device: &'a Device,
    weights: &'a Weights<'a>,
    parameters: &'a Cell<u64>,
    prefix: String,
    /// Whether the output projection is wanted.
    head: bool,
}

impl<'a> Loader<'a> {
    /// All tensors of a checkpoint. `parameters` counts the elements that are loaded.
    pub(crate) fn new(device: &'a Device, weights: &'a Weights<'a>, parameters: &'a Cell<u64>) -> Loader<'a> {
        Loader { device, weights, parameters, prefix: String::new(), head: true }
    }

    /// Those below `name`, a part of a path without dots at its ends.
    pub(crate) fn at(&self, name: impl std::fmt::Display) -> Loader<'a> {
        Loader { prefix: format!("{}{name}.", self.prefix), ..*self }
    }

    /// With the output projection, or without.
    pub(crate) fn with_head(self, head: bool) -> Loader<'a> {
        Loader { head, ..self }
    }

    /// The embedding table `embedding.weight` and the output projection `lm_head`, both
    /// `[vocab, hidden]`. They are one tensor, of whichever name is stored, if the model ties them.
    pub(crate) fn embedding_and_head(&self, embedding: &str, config: &ModelConfig) -> Result<(Tensor, Option<Linear>)> {
        let (shape, embedding) = ([config.vocab_size, config.hidden_size], format!("{embedding}.weight"));
        let tied = config.tie_word_embeddings;
        let name = if tied { self.first_of([&embedding, "lm_head.weight"]) } else { &embedding };
        let tokens = self.tensor(name, &shape)?;
        let head = match (self.head, tied) {
            (false, _) => None,
            (true, true) => Some(Linear::new(tokens.clone(), None)),
            (true, false) => Some(self.linear("lm_head", shape, false)?),
        };
        Ok((tokens, head))
    }

    /// The device.
    pub(crate) fn device(&self) -> &Device {
        self.device
    }

    /// Number of elements loaded so far.
    pub(crate) fn parameters(&self) -> u64 {
        self.parameters.get()
    }

    /// Fails where the configuration claims more weights than the files hold, before anything is
    /// made of the sizes that it claims.
    pub(crate) fn check_size(&self, config: &ModelConfig) -> Result<()> {
        let (claimed, held) = (config.q_size() as u64 * config.hidden_size as u64, self.weights.elements());
        if claimed > held {
            let (heads, head_dim, hidden) = (config.num_attention_heads, config.head_dim, config.hidden_size);
            let sizes = format!("{heads} heads of {head_dim} elements and a hidden size of {hidden}");
            let files = self.weights.file_names();
            return Err(Error::invalid(format!("{sizes} need more weights than the {held} of {files}")));
        }
        Ok(())
    }

    /// How the file is to be read.
    pub(crate) fn conventions(&self) -> Conventions {
        self.weights.conventions()
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.weights.contains(&self.full(name))
    }

    /// The first of `names` that exists; the first of all, for the error, if none does.
    pub(crate) fn first_of<'n>(&self, names: [&'n str; 2]) -> &'n str {
        if !self.has(names[0]) && self.has(names[1]) { names[1] } else { names[0] }
    }

    /// A tensor as it is stored, in any element type that products read.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.count(shape);
        self.weights.upload(self.device, &self.full(name), shape)
    }

    /// A tensor of floats, which norms and biases are.
    pub(crate) fn vector(&self, name: &str, n: usize) -> Result<Tensor> {
        let tensor = self.tensor(name, &[n])?;
        if tensor.dtype().is_float() { Ok(tensor) } else { Err(self.not_floats(name, tensor.dtype())) }
    }

    fn not_floats(&self, name: &str, dtype: DType) -> Error {
        Error::dtype(format!("tensor {} is {dtype}; f32, f16 and bf16 are possible", self.full(name)))
    }

    /// The element type and the bytes of a tensor, which counts as loaded.
    pub(crate) fn bytes(&self, name: &str, shape: &[usize]) -> Result<(DType, Cow<'a, [u8]>)> {
        self.count(shape);
        self.weights.bytes(&self.full(name), shape)
    }

    /// A linear layer `name.weight` of shape `[out, in]`, and `name.bias` if asked for.
    pub(crate) fn linear(&self, name: &str, [out, input]: [usize; 2], bias: bool) -> Result<Linear> {
        let weight = self.tensor(&format!("{name}.weight"), &[out, input])?;
        let bias = bias.then(|| self.vector(&format!("{name}.bias"), out)).transpose()?;
        Ok(Linear::new(weight, bias))
    }

    /// A linear layer with a bias whose weight may be stored as `[in, out]` (GPT-2's `Conv1D`).
    pub(crate) fn conv1d(&self, name: &str, [out, input]: [usize; 2]) -> Result<Linear> {
        if !self.conventions().transposed_conv1d {
            return self.linear(name, [out, input], true);
        }
        let weight = self.tensor(&format!("{name}.weight"), &[input, out])?.transpose(0, 1)?;
        Ok(Linear::new(weight, Some(self.vector(&format!("{name}.bias"), out)?)))
    }

    /// An RMS norm with the weight `name.weight` of `n` elements.
    pub(crate) fn rms_norm(&self, name: &str, n: usize, eps: f32, form: NormForm) -> Result<Norm> {
        let name = format!("{name}.weight");
        if form == NormForm::Weight || self.conventions().norm_has_one {
            return Ok(Norm::Rms { weight: self.vector(&name, n)?, eps });
        }
        let (dtype, bytes) = self.bytes(&name, &[n])?;
        let mut weight = floats(dtype, &bytes).ok_or_else(|| self.not_floats(&name, dtype))?;
        weight.iter_mut().for_each(|w| *w += 1.0);
        Ok(Norm::Rms { weight: self.device.tensor(&weight, &[n])?, eps })
    }

    /// A layer norm with weight and bias of `n` elements; old files call them `gamma` and `beta`.
    pub(crate) fn layer_norm(&self, name: &str, n: usize, eps: f32) -> Result<Norm> {
        let part = |new: &str, old: &str| {
            let (new, old) = (format!("{name}.{new}"), format!("{name}.{old}"));
            self.vector(self.first_of([&new, &old]), n)
        };
        Ok(Norm::Layer { weight: part("weight", "gamma")?, bias: part("bias", "beta")?, eps })
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn count(&self, shape: &[usize]) {
        let elements: u64 = shape.iter().map(|&n| n as u64).product();
        self.parameters.set(self.parameters.get() + elements);
    }
}

/// Elements as stored, in f32; `None` if they are not floats.
fn floats(dtype: DType, bytes: &[u8]) -> Option<Vec<f32>> {
    match dtype {
        DType::F32 => Some(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()),
        DType::F16 => Some(bytes.as_chunks().0.iter().map(|&b| half::f16::from_le_bytes(b).to_f32()).collect()),
        DType::BF16 => Some(bytes.as_chunks().0.iter().map(|&b| half::bf16::from_le_bytes(b).to_f32()).collect()),
        _ => None,
    }
}
