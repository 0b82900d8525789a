//! An ONNX model of one node, as the bytes of its file.
//!
//! ONNX Runtime takes models and not operations, so each row becomes a model. The file format is a
//! protobuf of which one node needs a dozen fields; a writer for those is shorter than the
//! description that a generator would start from. Field numbers are those of `onnx.proto`.

/// The version of the file format: that of the ONNX release which made [`OPSET`].
const FORMAT: u64 = 10;
/// The version of ONNX's own operators: the first with `Attention`.
const OPSET: u64 = 23;
/// Where ONNX Runtime's own operators live, and their version.
pub(crate) const MICROSOFT: &str = "com.microsoft";

/// The type of a tensor's elements; the values are those of `TensorProto.DataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    F32 = 1,
    U8 = 2,
    I64 = 7,
    F16 = 10,
}

/// A setting of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Int(i64),
    Float(f32),
    Text(&'static str),
}

/// A weight: its numbers are part of the model.
#[derive(Clone, Debug)]
pub(crate) struct Constant {
    pub(crate) element: Element,
    pub(crate) shape: Vec<usize>,
    /// Little-endian elements in row-major order.
    pub(crate) bytes: Vec<u8>,
}

/// A node with its operands: first what a run is given, `x0`, `x1`, …, then the constants; its
/// result is `y`.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// Empty for ONNX's own operators.
    pub(crate) domain: &'static str,
    pub(crate) operator: &'static str,
    pub(crate) settings: Vec<(&'static str, Value)>,
    pub(crate) inputs: Vec<(Element, Vec<usize>)>,
    pub(crate) constants: Vec<Constant>,
    pub(crate) output: (Element, Vec<usize>),
}

/// The name of the `i`th operand that a run is given.
pub(crate) fn input_name(i: usize) -> String {
    format!("x{i}")
}

/// The name of the result.
pub(crate) const OUTPUT: &str = "y";

impl Model {
    /// The file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut node = Message::default();
        let inputs: Vec<String> = (0..self.inputs.len()).map(input_name).collect();
        let constants: Vec<String> = (0..self.constants.len()).map(|i| format!("c{i}")).collect();
        for name in inputs.iter().chain(&constants) {
            node.bytes(1, name.as_bytes());
        }
        node.bytes(2, OUTPUT.as_bytes()).bytes(4, self.operator.as_bytes());
        for (name, value) in &self.settings {
            node.message(5, &setting(name, *value));
        }
        node.bytes(7, self.domain.as_bytes());

        let mut graph = Message::default();
        graph.message(1, &node).bytes(2, b"row");
        for (name, constant) in constants.iter().zip(&self.constants) {
            let mut tensor = Message::default();
            for &size in &constant.shape {
                tensor.number(1, size as u64);
            }
            tensor.number(2, constant.element as u64).bytes(8, name.as_bytes()).bytes(9, &constant.bytes);
            graph.message(5, &tensor);
        }
        for (name, (element, shape)) in inputs.iter().zip(&self.inputs) {
            graph.message(11, &described(name, *element, shape));
        }
        graph.message(12, &described(OUTPUT, self.output.0, &self.output.1));

        let mut model = Message::default();
        model.number(1, FORMAT).message(7, &graph);
        for (domain, version) in [("", OPSET), (MICROSOFT, 1)] {
            let mut set = Message::default();
            set.bytes(1, domain.as_bytes()).number(2, version);
            model.message(8, &set);
        }
        model.0
    }
}

fn setting(name: &str, value: Value) -> Message {
    let mut message = Message::default();
    message.bytes(1, name.as_bytes());
    match value {
        Value::Float(v) => message.float(2, v).number(20, 1),
        // A negative number is the 64-bit number of the same bits.
        Value::Int(v) => message.number(3, v as u64).number(20, 2),
        Value::Text(v) => message.bytes(4, v.as_bytes()).number(20, 3),
    };
    message
}

/// Name, type and shape of an operand or a result.
fn described(name: &str, element: Element, shape: &[usize]) -> Message {
    let mut sizes = Message::default();
    for &size in shape {
        let mut dimension = Message::default();
        dimension.number(1, size as u64);
        sizes.message(1, &dimension);
    }
    let (mut tensor, mut kind, mut value) = (Message::default(), Message::default(), Message::default());
    tensor.number(1, element as u64).message(2, &sizes);
    kind.message(1, &tensor);
    value.bytes(1, name.as_bytes()).message(2, &kind);
    value
}

/// A protobuf message as far as it is written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// Seven bits a byte, the lowest first; all but the last byte have the top bit set.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: u64) -> &mut Message {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Message {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn message(&mut self, field: u64, value: &Message) -> &mut Message {
        self.bytes(field, &value.0)
    }

    fn float(&mut self, field: u64, value: f32) -> &mut Message {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_protobuf_has_them() {
        let written = |write: fn(&mut Message)| {
            let mut message = Message::default();
            write(&mut message);
            message.0
        };
        // The examples of the format's own documentation.
        assert_eq!(written(|m| _ = m.number(1, 150)), [0x08, 0x96, 0x01]);
        assert_eq!(written(|m| _ = m.bytes(2, b"testing")), b"\x12\x07testing");
        assert_eq!(written(|m| _ = m.number(1, 127)), [0x08, 0x7f]);
        assert_eq!(written(|m| _ = m.number(1, 128)), [0x08, 0x80, 0x01]);
        assert_eq!(written(|m| _ = m.number(20, 1)), [0xa0, 0x01, 0x01]);
        assert_eq!(written(|m| _ = m.float(2, 1.0)), [0x15, 0, 0, 0x80, 0x3f]);
        let minus_two = [&[0x18, 0xfe][..], &[0xff; 8], &[0x01]].concat();
        assert_eq!(setting("", Value::Int(-2)).0[2..13], minus_two);
    }

    #[test]
    fn a_model_carries_its_node_and_its_constants() {
        let constant = Constant { element: Element::U8, shape: vec![3], bytes: vec![7, 8, 9] };
        let model = Model {
            domain: MICROSOFT,
            operator: "Op",
            settings: vec![("t", Value::Text("v"))],
            inputs: vec![(Element::F32, vec![1, 200])],
            constants: vec![constant],
            output: (Element::F32, vec![2]),
        };
        let node =
            b"\x0a\x02x0\x0a\x02c0\x12\x01y\x22\x02Op\x2a\x09\x0a\x01t\x22\x01v\xa0\x01\x03\x3a\x0dcom.microsoft";
        let tensor = b"\x08\x03\x10\x02\x42\x02c0\x4a\x03\x07\x08\x09";
        let input = b"\x0a\x02x0\x12\x0f\x0a\x0d\x08\x01\x12\x09\x0a\x02\x08\x01\x0a\x03\x08\xc8\x01";
        let output = b"\x0a\x01y\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x02";
        let mut graph = Vec::new();
        for (tag, part) in [(0x0a, &node[..]), (0x12, b"row"), (0x2a, tensor), (0x5a, input), (0x62, output)] {
            graph.extend([tag, part.len() as u8]);
            graph.extend(part);
        }
        let sets = b"\x42\x04\x0a\x00\x10\x17\x42\x11\x0a\x0dcom.microsoft\x10\x01";
        let length = [u8::try_from(graph.len()).unwrap()];
        assert_eq!(model.encode(), [b"\x08\x0a\x3a", &length[..], &graph, sets].concat());
    }
}
