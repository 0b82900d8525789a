//! A folder of node tests: what it holds, read and checked before anything runs.
//!
//! The layout is ONNX's own: `NAME/model.onnx` and, for each data set, `NAME/test_data_set_N/` with
//! `input_M.pb` and `output_M.pb`. Files come from anywhere, so sizes are limited and every number
//! in them is checked.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use prost::Message;
use unisono_conformance::glob_matches;
use unisono_core::MAX_RANK;

use crate::error::{Error, Result};
use crate::proto::{GraphProto, ModelProto, TensorProto, ValueInfoProto};
use crate::value::{self, Value};

/// The largest file that is read. The node tests are far below; real models have no place here.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Data sets and tensors of a test are counted up to this number.
const MAX_ENTRIES: usize = 1024;

/// One test of a folder, not yet read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub path: PathBuf,
}

/// The tests of a folder whose name equals one of `patterns` or matches it as a glob, by name; all
/// of them where there is no pattern.
pub fn list(folder: &Path, patterns: &[String]) -> Result<Vec<Entry>> {
    let read = fs::read_dir(folder).map_err(|source| Error::Io { path: folder.display().to_string(), source })?;
    let mut entries = Vec::new();
    for entry in read {
        let entry = entry.map_err(|source| Error::Io { path: folder.display().to_string(), source })?;
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let wanted = patterns.is_empty() || patterns.iter().any(|p| *p == name || glob_matches(p, &name));
        if wanted && path.join("model.onnx").is_file() {
            entries.push(Entry { name, path });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// The version of ONNX that generated a folder, from its `manifest.json`.
pub fn version(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join("manifest.json")).ok()?;
    let manifest: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(manifest["onnx"].as_str()?.to_owned())
}

/// Inputs and expected outputs of one run.
#[derive(Clone, Debug, Default)]
pub struct DataSet {
    /// One tensor for each input of the graph.
    pub inputs: Vec<Value>,
    /// One tensor for each output of the graph.
    pub outputs: Vec<Value>,
}

/// A test that was read.
#[derive(Clone, Debug)]
pub struct Test {
    /// The folder's name.
    pub name: String,
    /// The graph.
    pub graph: GraphProto,
    /// Version of ONNX's own operators.
    pub opset: i64,
    /// Its data; empty where the contract has no word for a type, which [`foreign`](Self::foreign)
    /// names.
    pub data: Vec<DataSet>,
}

impl Test {
    /// Reads a test.
    pub fn read(entry: &Entry) -> Result<Test> {
        let model: ModelProto = decode(&entry.path.join("model.onnx"))?;
        let own = model.opset_import.iter().find(|o| o.domain.is_empty() || o.domain == "ai.onnx");
        let opset = own.map_or(0, |o| o.version);
        let graph = model.graph.ok_or_else(|| Error::Malformed(format!("{}: the model has no graph", entry.name)))?;
        if graph.node.is_empty() {
            return Err(Error::Malformed(format!("{}: the graph has no node", entry.name)));
        }
        let mut test = Test { name: entry.name.clone(), graph, opset, data: Vec::new() };
        if test.foreign().is_some() {
            return Ok(test);
        }
        let sets = (0..MAX_ENTRIES).map(|i| entry.path.join(format!("test_data_set_{i}")));
        for set in sets.take_while(|set| set.is_dir()) {
            let inputs = tensors(&set, "input", &test.graph.input)?;
            let outputs = tensors(&set, "output", &test.graph.output)?;
            test.data.push(DataSet { inputs, outputs });
        }
        if test.data.is_empty() {
            return Err(Error::Malformed(format!("{}: there is no test_data_set_0", entry.name)));
        }
        Ok(test)
    }

    /// What the contract has no word for among the types of inputs and outputs, if anything.
    pub fn foreign(&self) -> Option<String> {
        self.graph.input.iter().chain(&self.graph.output).find_map(|info| {
            let Some(tensor) = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
                return Some("the contract has no sequences, maps and optional values".to_owned());
            };
            let rank = tensor.shape.as_ref().map_or(0, |s| s.dim.len());
            match value::dtype(tensor.elem_type) {
                Err(name) => Some(format!("the contract has no element type {name}")),
                Ok(_) if rank > MAX_RANK => Some(format!("the contract has {MAX_RANK} dimensions, not {rank}")),
                Ok(_) => None,
            }
        })
    }

    /// The operator of a test of one node, `several operators` else.
    pub fn operator(&self) -> String {
        match &self.graph.node[..] {
            [node] if node.domain.is_empty() || node.domain == "ai.onnx" => node.op_type.clone(),
            [node] => format!("{}.{}", node.domain, node.op_type),
            _ => "several operators".to_owned(),
        }
    }
}

fn tensors(folder: &Path, kind: &str, infos: &[ValueInfoProto]) -> Result<Vec<Value>> {
    if infos.len() > MAX_ENTRIES {
        return Err(Error::Malformed(format!("{}: {} {kind}s are too many", folder.display(), infos.len())));
    }
    (0..infos.len())
        .map(|i| {
            let path = folder.join(format!("{kind}_{i}.pb"));
            let tensor: TensorProto = decode(&path)?;
            Value::from_proto(&tensor).map_err(|e| Error::Malformed(format!("{}: {e}", path.display())))
        })
        .collect()
}

/// Reads a message from a file of a limited size.
fn decode<M: Message + Default>(path: &Path) -> Result<M> {
    let io = |source| Error::Io { path: path.display().to_string(), source };
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(io)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::Malformed(format!("{}: over {MAX_FILE_BYTES} bytes", path.display())));
    }
    M::decode(&bytes[..]).map_err(|e| Error::Malformed(format!("{}: {e}", path.display())))
}
