//! The rule by which script and tests make the weights of a golden model: see the head of
//! `scripts/model_goldens.py`. Nothing of a model but its recipe is stored.

use half::{bf16, f16};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// How the weights of one model are made.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Recipe {
    /// SHA-256 of the bytes of all tensors, in their order.
    sha256: String,
    /// The tensors, by name.
    pub(crate) tensors: Vec<TensorRecipe>,
}

/// How one tensor is made.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TensorRecipe {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: String,
    offset: f64,
    scale: f64,
}

/// A tensor as a file stores it.
#[derive(Clone, Debug)]
pub(crate) struct StoredTensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: String,
    pub(crate) bytes: Vec<u8>,
}

/// FNV-1a, 64 bits.
fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The seed of a tensor of a model.
pub(crate) fn seed(model: &str, tensor: &str) -> u64 {
    fnv1a(model.bytes().chain([b'/']).chain(tensor.bytes()))
}

/// Element `i` of the numbers in [−1, 1) that belong to a seed: splitmix64 (Steele, Lea & Flood
/// 2014), its upper 24 bits.
pub(crate) fn uniform(seed: u64, i: usize) -> f64 {
    let mut z = seed.wrapping_add((i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 40) as f64 / f64::from(1u32 << 23) - 1.0
}

impl TensorRecipe {
    /// A recipe for `shape` with values in `offset ± scale`.
    pub(crate) fn new(name: &str, shape: &[usize], dtype: &str, offset: f64, scale: f64) -> TensorRecipe {
        TensorRecipe { name: name.into(), shape: shape.into(), dtype: dtype.into(), offset, scale }
    }

    /// The same values under another name and shape.
    pub(crate) fn renamed(&self, name: &str, shape: &[usize]) -> TensorRecipe {
        TensorRecipe { name: name.into(), shape: shape.into(), ..self.clone() }
    }

    /// The tensor of the model of this name.
    pub(crate) fn make(&self, model: &str) -> StoredTensor {
        let seed = seed(model, &self.name);
        let count = self.shape.iter().product();
        let values = (0..count).map(|i| (self.offset + self.scale * uniform(seed, i)) as f32);
        let bytes = match self.dtype.as_str() {
            "F32" => values.flat_map(f32::to_le_bytes).collect(),
            "F16" => values.flat_map(|x| f16::from_f32(x).to_le_bytes()).collect(),
            "BF16" => values.flat_map(|x| bf16::from_f32(x).to_le_bytes()).collect(),
            other => panic!("tensor {} has the unknown type {other}", self.name),
        };
        StoredTensor { name: self.name.clone(), shape: self.shape.clone(), dtype: self.dtype.clone(), bytes }
    }
}

impl Recipe {
    /// All tensors of the model of this name. Panics where they are not what the script made.
    pub(crate) fn make(&self, model: &str) -> Vec<StoredTensor> {
        self.make_with(model, |tensor| tensor.make(model))
    }

    /// As [`make`](Self::make), where some tensors are made in another way.
    pub(crate) fn make_with(&self, model: &str, one: impl Fn(&TensorRecipe) -> StoredTensor) -> Vec<StoredTensor> {
        let tensors: Vec<StoredTensor> = self.tensors.iter().map(one).collect();
        assert_eq!(digest(&tensors), self.sha256, "{model}: other weights than the script made");
        tensors
    }
}

/// SHA-256 of the bytes of tensors, in hexadecimal.
fn digest(tensors: &[StoredTensor]) -> String {
    let mut hash = Sha256::new();
    tensors.iter().for_each(|tensor| hash.update(&tensor.bytes));
    hexadecimal(&hash.finalize())
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A safetensors file: the header's length, the header, the data.
pub(crate) fn safetensors(tensors: &[StoredTensor]) -> Vec<u8> {
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for tensor in tensors {
        let start = end;
        end += tensor.bytes.len();
        let info = serde_json::json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]});
        header.insert(tensor.name.clone(), info);
    }
    let header = serde_json::Value::Object(header).to_string().into_bytes();
    let mut file = Vec::with_capacity(8 + header.len() + end);
    file.extend((header.len() as u64).to_le_bytes());
    file.extend(header);
    tensors.iter().for_each(|tensor| file.extend(&tensor.bytes));
    file
}
