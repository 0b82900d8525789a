//! The rule by which script and tests make the data of a GGUF golden: see the head of
//! `scripts/gguf_goldens.py`. Only the head of a file is stored.

use half::f16;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use unisono::DType;

use super::weights::{TensorRecipe, hexadecimal, seed, uniform};

/// Offsets of tensors are multiples of this.
const ALIGNMENT: usize = 32;

/// How the data of one GGUF file are made.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct FileRecipe {
    /// SHA-256 of the whole file.
    sha256: String,
    /// The tensors in the order of the file.
    tensors: Vec<GgufTensor>,
}

#[derive(Clone, Debug, Deserialize)]
struct GgufTensor {
    name: String,
    shape: Vec<usize>,
    #[serde(rename = "type")]
    kind: String,
    /// Of a plain tensor.
    #[serde(default)]
    offset: f64,
    #[serde(default)]
    scale: f64,
    /// Of blocks.
    #[serde(default)]
    fields: Vec<Field>,
    /// The bytes themselves, in hexadecimal: of what no rule gives.
    bytes: Option<String>,
}

/// A scale within each block of a tensor.
#[derive(Clone, Debug, Deserialize)]
struct Field {
    byte: usize,
    kind: String,
    centre: f64,
    spread: f64,
}

impl FileRecipe {
    /// The whole file: `head` and the data. Panics where it is not the file that was written.
    pub(crate) fn make(&self, model: &str, head: Vec<u8>) -> Vec<u8> {
        let mut file = head;
        for tensor in &self.tensors {
            file.extend(tensor.make(model));
            file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        }
        assert_eq!(hexadecimal(&Sha256::digest(&file)), self.sha256, "{model}: another file than the script wrote");
        file
    }

    /// The element types of its tensors.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().map(|tensor| tensor.kind.as_str())
    }
}

impl GgufTensor {
    fn make(&self, model: &str) -> Vec<u8> {
        if let Some(bytes) = &self.bytes {
            let digits: Vec<u8> = bytes.chars().map(|c| c.to_digit(16).expect("a hexadecimal digit") as u8).collect();
            return digits.as_chunks().0.iter().map(|[high, low]| high << 4 | low).collect();
        }
        if self.fields.is_empty() {
            return TensorRecipe::new(&self.name, &self.shape, &self.kind, self.offset, self.scale).make(model).bytes;
        }
        let dtype = DType::from_name(&self.kind.to_lowercase()).expect("a block format");
        let (size, count) = (dtype.block_bytes(), self.shape.iter().product::<usize>() / dtype.block_elements());
        let bytes_of = seed(model, &self.name);
        let mut data: Vec<u8> = (0..count * size).map(|i| ((uniform(bytes_of, i) + 1.0) * 128.0) as u8).collect();
        let fields_of = seed(model, &format!("{}/fields", self.name));
        for (block, bytes) in data.chunks_mut(size).enumerate() {
            for (i, field) in self.fields.iter().enumerate() {
                let value = field.centre + field.spread * uniform(fields_of, block * self.fields.len() + i);
                match field.kind.as_str() {
                    "f16" => {
                        bytes[field.byte..field.byte + 2].copy_from_slice(&f16::from_f32(value as f32).to_le_bytes());
                    }
                    "exponent" => bytes[field.byte] = value.floor() as u8,
                    other => panic!("the field {other} is unknown"),
                }
            }
        }
        data
    }
}
