//! A writer of GGUF files for tests: what it writes need not be right.

/// A value of the metadata: its type and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Field(pub(crate) u32, pub(crate) Vec<u8>);

pub(crate) fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

impl Field {
    pub(crate) fn u32(value: u32) -> Field {
        Field(4, value.to_le_bytes().to_vec())
    }

    pub(crate) fn f32(value: f32) -> Field {
        Field(6, value.to_le_bytes().to_vec())
    }

    pub(crate) fn text(value: &str) -> Field {
        Field(8, string(value))
    }

    pub(crate) fn array(kind: u32, count: u64, bytes: &[u8]) -> Field {
        Field(9, [&kind.to_le_bytes()[..], &count.to_le_bytes(), bytes].concat())
    }

    pub(crate) fn texts(values: &[&str]) -> Field {
        let bytes: Vec<u8> = values.iter().flat_map(|text| string(text)).collect();
        Field::array(8, values.len() as u64, &bytes)
    }
}

/// A tensor: dimensions the fastest first, as in the file.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dims: Vec<u64>,
    pub(crate) kind: u32,
    pub(crate) data: Vec<u8>,
    /// Instead of the next free place.
    pub(crate) offset: Option<u64>,
}

/// A file before it is written.
#[derive(Clone, Debug)]
pub(crate) struct Gguf {
    pub(crate) version: u32,
    pub(crate) alignment: usize,
    pub(crate) fields: Vec<(String, Field)>,
    pub(crate) tensors: Vec<Tensor>,
    /// Instead of their numbers.
    pub(crate) tensor_count: Option<u64>,
    pub(crate) field_count: Option<u64>,
}

impl Gguf {
    pub(crate) fn new() -> Gguf {
        let (fields, tensors) = (Vec::new(), Vec::new());
        Gguf { version: 3, alignment: 32, fields, tensors, tensor_count: None, field_count: None }
    }

    pub(crate) fn field(&mut self, key: &str, value: Field) -> &mut Gguf {
        self.fields.retain(|(other, _)| other != key);
        self.fields.push((key.to_owned(), value));
        self
    }

    /// Adds a tensor of a row-major shape.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize], kind: u32, data: Vec<u8>) -> &mut Gguf {
        let dims = shape.iter().rev().map(|&n| n as u64).collect();
        self.tensors.push(Tensor { name: name.to_owned(), dims, kind, data, offset: None });
        self
    }

    /// Adds a tensor in f32.
    pub(crate) fn floats(&mut self, name: &str, shape: &[usize], values: &[f64]) -> &mut Gguf {
        self.tensor(name, shape, 0, values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        file.extend(self.field_count.unwrap_or(self.fields.len() as u64).to_le_bytes());
        for (key, Field(kind, bytes)) in &self.fields {
            file.extend(string(key));
            file.extend(kind.to_le_bytes());
            file.extend(bytes);
        }
        let mut data: Vec<u8> = Vec::new();
        for tensor in &self.tensors {
            data.resize(data.len().next_multiple_of(self.alignment), 0);
            file.extend(string(&tensor.name));
            file.extend((tensor.dims.len() as u32).to_le_bytes());
            file.extend(tensor.dims.iter().flat_map(|n| n.to_le_bytes()));
            file.extend(tensor.kind.to_le_bytes());
            file.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.data);
        }
        file.resize(file.len().next_multiple_of(self.alignment), 0);
        [file, data].concat()
    }
}
