//! Tensors of a checkpoint, put on a device as they are stored.
//!
//! Networks ask for tensors by their Hugging Face names and shapes, whatever the format is. Every
//! error names the file and the tensor.

use std::borrow::Cow;
use std::collections::BTreeMap;

use unisono_core::{DType, Device, Error, Result, Tensor};

use super::conventions::Conventions;
use super::data::Data;
use super::gguf::{self, Architecture};
use super::progress::Progress;
use super::safetensors::Header;
use super::source::{Files, Source};
use super::tensor::TensorInfo;
use super::text::shown;

/// What base models are called in front of their tensors. Checkpoints of the base model alone lack
/// it, checkpoints of a model around it have it.
const PREFIXES: [&str; 4] = ["model.", "transformer.", "bert.", "language_model."];

/// The tensors of a checkpoint, not uploaded yet.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    files: Vec<(&'a str, &'a Data)>,
    /// Each tensor with the index of its file, by its name there.
    tensors: BTreeMap<String, (usize, TensorInfo)>,
    /// The names of a GGUF model.
    naming: Option<Architecture>,
    progress: Option<Progress<'a>>,
    /// What the files say twice.
    notes: Vec<String>,
}

impl<'a> Weights<'a> {
    /// Reads the headers of all files.
    pub(crate) fn open(source: &'a Source) -> Result<Weights<'a>> {
        let mut weights =
            Weights { files: Vec::new(), tensors: BTreeMap::new(), naming: None, progress: None, notes: Vec::new() };
        match &source.files {
            Files::Gguf(set) => {
                weights.naming = Some(set.architecture);
                for part in &set.parts {
                    weights.add(&part.name, &part.data, part.file.tensors().clone())?;
                }
            }
            Files::Random(random) => {
                for file in &random.files {
                    weights.add(file.name, &file.data, file.tensors.clone())?;
                }
            }
            Files::Safetensors { shards, index } => {
                // Copies in other files than the index names: an overlay over a base, say.
                let mut copies: BTreeMap<String, &str> = BTreeMap::new();
                for shard in shards {
                    let mut tensors = Header::parse(&shard.name, shard.data.bytes()?)?.into_tensors();
                    if let Some(index) = index {
                        let named = |tensor: &str| index.file_of(tensor).is_none_or(|file| file == shard.name);
                        let other = tensors.keys().filter(|tensor| !named(tensor));
                        copies.extend(other.map(|tensor| (tensor.clone(), shard.name.as_str())));
                        tensors.retain(|tensor, _| named(tensor));
                    }
                    weights.add(&shard.name, &shard.data, tensors)?;
                }
                if let Some(index) = index {
                    index.check(|tensor| weights.file_of(tensor).or_else(|| copies.get(tensor).copied()))?;
                }
                if let Some((tensor, copy)) = copies.first_key_value() {
                    let (count, file) = (copies.len(), weights.file_of(tensor).unwrap_or_default());
                    let tensor = shown(tensor);
                    weights.notes.push(format!(
                        "{count} tensors are in more files than the index names, such as {tensor} in {file} and {copy}; \
                         the index decides"
                    ));
                }
            }
        }
        Ok(weights)
    }

    fn add(&mut self, name: &'a str, data: &'a Data, tensors: BTreeMap<String, TensorInfo>) -> Result<()> {
        for (tensor, info) in tensors {
            if let Some(other) = self.file_of(&tensor) {
                let message = format!("tensor {} is in {other} and again in {name}", shown(&tensor));
                return Err(Error::invalid(message));
            }
            self.tensors.insert(tensor, (self.files.len(), info));
        }
        self.files.push((name, data));
        Ok(())
    }

    fn file_of(&self, tensor: &str) -> Option<&'a str> {
        let (file, _) = self.tensors.get(tensor)?;
        self.files.get(*file).map(|(name, _)| *name)
    }

    /// What was found twice and how that was decided.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The names of the files.
    pub(crate) fn file_names(&self) -> String {
        self.files.iter().map(|(file, _)| *file).collect::<Vec<_>>().join(", ")
    }

    /// In what the tensors differ from those of Hugging Face besides their names.
    pub(crate) fn conventions(&self) -> Conventions {
        self.naming.map_or_else(Conventions::default, Architecture::conventions)
    }

    /// Whether there is a tensor of this Hugging Face name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Elements of all tensors together.
    pub(crate) fn elements(&self) -> u64 {
        let elements = |info: &TensorInfo| info.shape.iter().fold(1u64, |all, &n| all.saturating_mul(n as u64));
        self.tensors.values().fold(0, |all, (_, info)| all.saturating_add(elements(info)))
    }

    /// Bytes of all tensors.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.tensors.values().map(|(_, info)| info.bytes.len() as u64).sum()
    }

    /// Tells `tell` how many bytes of tensors were read, and how many there are.
    pub(crate) fn with_progress(mut self, tell: &'a dyn Fn(u64, u64)) -> Weights<'a> {
        self.progress = Some(Progress::new(self.total_bytes(), tell));
        self
    }

    /// Uploads a floating-point tensor as stored, block formats included. Fails where it is
    /// missing, of another shape or of an element type that operations cannot read.
    pub(crate) fn upload(&self, device: &Device, name: &str, shape: &[usize]) -> Result<Tensor> {
        let (dtype, bytes) = self.bytes(name, shape)?;
        device.tensor_from_bytes(dtype, &bytes, shape)
    }

    /// The element type and the bytes of a tensor of the given shape.
    pub(crate) fn bytes(&self, name: &str, shape: &[usize]) -> Result<(DType, Cow<'a, [u8]>)> {
        let Some((tensor, index, info)) = self.find(name) else {
            let files = self.file_names();
            let also = self.naming.and_then(|naming| gguf::translate(naming, name));
            let also = also.map_or_else(String::new, |also| format!(" (there {also})"));
            return Err(Error::invalid(format!("tensor {name}{also} is missing in {files}")));
        };
        let (file, data) = self.files.get(index).ok_or_else(|| Error::internal("a tensor without a file"))?;
        let Some(dtype) = info.stored.dtype().filter(|dtype| dtype.is_float() || dtype.is_block()) else {
            let (is, tensor) = (info.stored, shown(tensor));
            let blocks = if self.naming.is_some() { " and the block formats of docs/quantisation.md" } else { "" };
            let message = format!("{file}: tensor {tensor} is {is}; F32, F16 and BF16{blocks} are possible");
            return Err(Error::dtype(message));
        };
        if info.shape != shape {
            let (has, tensor) = (&info.shape, shown(tensor));
            let message = format!("{file}: tensor {tensor} has shape {has:?}, the configuration asks for {shape:?}");
            return Err(Error::shape(message));
        }
        let bytes = data.bytes()?.get(info.bytes.clone());
        let bytes = bytes.ok_or_else(|| Error::internal(format!("{file}: tensor {} lies outside", shown(tensor))))?;
        if let Some(progress) = &self.progress {
            progress.add(bytes.len() as u64);
        }
        Ok((dtype, Cow::Borrowed(bytes)))
    }

    /// Whether two tensors have the same shape and values, in whatever types of floats.
    pub(crate) fn equal(&self, a: &str, b: &str) -> Result<bool> {
        let (Some((_, file_a, a)), Some((_, file_b, b))) = (self.find(a), self.find(b)) else { return Ok(false) };
        if a.shape != b.shape {
            return Ok(false);
        }
        let bytes = |file: usize, info: &TensorInfo| {
            let (_, data) = self.files.get(file).ok_or_else(|| Error::internal("a tensor without a file"))?;
            Ok::<_, Error>(data.bytes()?.get(info.bytes.clone()).unwrap_or_default())
        };
        let (bytes_a, bytes_b) = (bytes(file_a, a)?, bytes(file_b, b)?);
        if a.stored == b.stored && bytes_a == bytes_b {
            return Ok(true);
        }
        let (Some(a), Some(b)) = (values(a, bytes_a), values(b, bytes_b)) else { return Ok(false) };
        Ok(a.eq(b))
    }

    /// The tensor of a Hugging Face name: its name in the file, the file and the description.
    fn find(&self, name: &str) -> Option<(&str, usize, &TensorInfo)> {
        let get =
            |name: &str| self.tensors.get_key_value(name).map(|(name, (file, info))| (name.as_str(), *file, info));
        if let Some(naming) = self.naming {
            return get(&gguf::translate(naming, name)?);
        }
        let without = || PREFIXES.iter().filter_map(|prefix| name.strip_prefix(prefix)).find_map(get);
        let with = || PREFIXES.iter().find_map(|prefix| get(&format!("{prefix}{name}")));
        get(name).or_else(without).or_else(with)
    }

    pub(super) fn into_list(self) -> Vec<(String, String, TensorInfo)> {
        let file = |i: usize| self.files.get(i).map_or("", |(name, _)| *name).to_owned();
        self.tensors.into_iter().map(|(tensor, (i, info))| (tensor, file(i), info)).collect()
    }
}

/// The elements of a tensor of floats.
fn values<'a>(info: &TensorInfo, bytes: &'a [u8]) -> Option<Box<dyn Iterator<Item = f32> + 'a>> {
    match info.stored.dtype()? {
        DType::F32 => Some(Box::new(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)))),
        DType::F16 => Some(Box::new(bytes.as_chunks().0.iter().map(|&b| half::f16::from_le_bytes(b).to_f32()))),
        DType::BF16 => Some(Box::new(bytes.as_chunks().0.iter().map(|&b| half::bf16::from_le_bytes(b).to_f32()))),
        _ => None,
    }
}
