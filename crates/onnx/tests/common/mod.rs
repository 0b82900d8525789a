//! Models of one node, built message by message, and a device that is slightly wrong.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, Counters, DeviceInfo, OpDesc, Pending, Plan, Program, Readback, Result,
    Support, Ticket,
};
use unisono_onnx::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use unisono_onnx::{Entry, Test, list};

pub(crate) fn tensor(name: &str, data_type: i32, dims: &[i64], raw_data: Vec<u8>) -> TensorProto {
    TensorProto { name: name.into(), data_type, dims: dims.to_vec(), raw_data, ..TensorProto::default() }
}

pub(crate) fn f32s(dims: &[i64], values: &[f32]) -> TensorProto {
    tensor("", 1, dims, values.iter().flat_map(|x| x.to_le_bytes()).collect())
}

pub(crate) fn i64s(dims: &[i64], values: &[i64]) -> TensorProto {
    TensorProto { data_type: 7, dims: dims.to_vec(), int64_data: values.to_vec(), ..TensorProto::default() }
}

pub(crate) fn u8s(dims: &[i64], values: &[u8]) -> TensorProto {
    let int32_data = values.iter().map(|&x| i32::from(x)).collect();
    TensorProto { data_type: 2, dims: dims.to_vec(), int32_data, ..TensorProto::default() }
}

pub(crate) fn attribute(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, ..AttributeProto::default() }
}

pub(crate) fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto { name: name.into(), s: s.into(), ..AttributeProto::default() }
}

/// A model of one node with one data set.
pub(crate) struct Node {
    pub(crate) model: ModelProto,
    pub(crate) inputs: Vec<TensorProto>,
    pub(crate) outputs: Vec<TensorProto>,
}

impl Node {
    pub(crate) fn new(op_type: &str, version: i64) -> Node {
        let node = NodeProto { op_type: op_type.into(), ..NodeProto::default() };
        let graph = Some(GraphProto { node: vec![node], ..GraphProto::default() });
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version }];
        Node { model: ModelProto { graph, opset_import }, inputs: Vec::new(), outputs: Vec::new() }
    }

    fn graph(&mut self) -> &mut GraphProto {
        self.model.graph.as_mut().unwrap()
    }

    pub(crate) fn with(mut self, attribute: AttributeProto) -> Node {
        self.graph().node[0].attribute.push(attribute);
        self
    }

    pub(crate) fn absent(mut self) -> Node {
        self.graph().node[0].input.push(String::new());
        self
    }

    pub(crate) fn input(mut self, tensor: TensorProto) -> Node {
        let name = format!("x{}", self.inputs.len());
        self.graph().node[0].input.push(name.clone());
        self.graph().input.push(info(&name, &tensor));
        self.inputs.push(tensor);
        self
    }

    pub(crate) fn output(mut self, tensor: TensorProto) -> Node {
        let name = format!("y{}", self.outputs.len());
        self.graph().node[0].output.push(name.clone());
        self.graph().output.push(info(&name, &tensor));
        self.outputs.push(tensor);
        self
    }

    /// Writes the files of a test into `folder`.
    pub(crate) fn write(&self, folder: &Path) {
        let data = folder.join("test_data_set_0");
        fs::create_dir_all(&data).unwrap();
        fs::write(folder.join("model.onnx"), self.model.encode_to_vec()).unwrap();
        for (kind, tensors) in [("input", &self.inputs), ("output", &self.outputs)] {
            for (i, tensor) in tensors.iter().enumerate() {
                fs::write(data.join(format!("{kind}_{i}.pb")), tensor.encode_to_vec()).unwrap();
            }
        }
    }

    /// The same through the files.
    pub(crate) fn test(&self) -> Test {
        let folder = tempfile::tempdir().unwrap();
        self.write(&folder.path().join("test_it"));
        let entries: Vec<Entry> = list(folder.path(), &[]).unwrap();
        assert_eq!(entries.len(), 1);
        Test::read(&entries[0]).unwrap()
    }
}

fn info(name: &str, tensor: &TensorProto) -> ValueInfoProto {
    let shape = Some(TensorShapeProto { dim: tensor.dims.iter().map(|_| DimensionProto {}).collect() });
    let tensor_type = Some(TensorTypeProto { elem_type: tensor.data_type, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

/// A device whose f32 results are wrong by a factor.
#[derive(Debug)]
pub(crate) struct Nudged(pub(crate) Arc<dyn Backend>, pub(crate) f32);

impl Backend for Nudged {
    fn info(&self) -> &DeviceInfo {
        self.0.info()
    }
    fn supports(&self, op: &OpDesc) -> Support {
        self.0.supports(op)
    }
    fn kernels(&self, op: &OpDesc) -> Vec<Arc<str>> {
        self.0.kernels(op)
    }
    fn alloc(&self, desc: &BufferDesc) -> Result<Buffer> {
        self.0.alloc(desc)
    }
    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.write(buffer, offset, bytes)
    }
    fn read(&self, buffer: &Buffer, range: Range<u64>) -> Readback {
        let factor = self.1;
        let nudge = |b: &[u8]| (f32::from_le_bytes(b.try_into().unwrap()) * factor).to_le_bytes();
        let bytes = self.0.read(buffer, range).wait().map(|b| b.chunks_exact(4).flat_map(nudge).collect());
        Pending::ready(bytes)
    }
    fn compile(&self, program: &Program) -> Result<Arc<dyn Plan>> {
        self.0.compile(program)
    }
    fn submit(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Ticket> {
        self.0.submit(plan, bindings)
    }
    fn counters(&self) -> Counters {
        self.0.counters()
    }
}
