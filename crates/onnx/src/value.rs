//! Tensors of a test: from ONNX's message to an element type of the contract, a shape and bytes.

use unisono_core::{DType, TensorDesc};

use crate::error::{Error, Result};
use crate::proto::TensorProto;

/// A tensor on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Element type.
    pub dtype: DType,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// The elements, row-major and little-endian.
    pub bytes: Vec<u8>,
}

/// The contract's word for a number of `TensorProto.DataType`; the name of the type where it has none.
pub(crate) fn dtype(number: i32) -> std::result::Result<DType, &'static str> {
    Ok(match number {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        12 => DType::U32,
        16 => DType::BF16,
        4 => return Err("uint16"),
        5 => return Err("int16"),
        8 => return Err("string"),
        11 => return Err("float64"),
        13 => return Err("uint64"),
        14 => return Err("complex64"),
        15 => return Err("complex128"),
        17 => return Err("float8e4m3fn"),
        18 => return Err("float8e4m3fnuz"),
        19 => return Err("float8e5m2"),
        20 => return Err("float8e5m2fnuz"),
        21 => return Err("uint4"),
        22 => return Err("int4"),
        23 => return Err("float4e2m1"),
        24 => return Err("float8e8m0"),
        25 => return Err("uint2"),
        26 => return Err("int2"),
        _ => return Err("an unknown element type"),
    })
}

impl Value {
    /// The elements of `tensor`. An error where the type has no word in the contract, or where the
    /// elements given are not as many as the shape asks for. What is allocated is at most a small
    /// multiple of the message.
    pub fn from_proto(tensor: &TensorProto) -> Result<Value> {
        let fail = |why: String| Error::Malformed(format!("tensor '{}': {why}", tensor.name));
        let dtype = dtype(tensor.data_type).map_err(|name| fail(format!("its element type is {name}")))?;
        if tensor.data_location != 0 {
            return Err(fail("its elements lie in another file".into()));
        }
        let shape: Vec<usize> = tensor
            .dims
            .iter()
            .map(|&d| usize::try_from(d).map_err(|_| fail(format!("a dimension is {d}"))))
            .collect::<Result<_>>()?;
        let desc = TensorDesc::contiguous(dtype, &shape).map_err(|e| fail(e.to_string()))?;
        let typed = |given: usize| {
            if given == desc.elements() {
                Ok(())
            } else {
                Err(fail(format!("{given} elements are given for the shape {shape:?}")))
            }
        };
        let bytes: Vec<u8> = if !tensor.raw_data.is_empty() {
            if tensor.raw_data.len() as u64 != desc.span_bytes() {
                let given = tensor.raw_data.len();
                return Err(fail(format!("{given} bytes are given for {dtype} of the shape {shape:?}")));
            }
            tensor.raw_data.clone()
        } else if dtype == DType::F32 {
            typed(tensor.float_data.len())?;
            tensor.float_data.iter().flat_map(|x| x.to_le_bytes()).collect()
        } else if dtype == DType::I64 {
            typed(tensor.int64_data.len())?;
            tensor.int64_data.iter().flat_map(|x| x.to_le_bytes()).collect()
        } else if dtype == DType::U32 {
            typed(tensor.uint64_data.len())?;
            tensor.uint64_data.iter().flat_map(|&x| (x as u32).to_le_bytes()).collect()
        } else {
            typed(tensor.int32_data.len())?;
            let size = dtype.block_bytes();
            tensor.int32_data.iter().flat_map(|x| x.to_le_bytes().into_iter().take(size)).collect()
        };
        Ok(Value { dtype, shape, bytes })
    }

    /// Its layout.
    pub fn desc(&self) -> Result<TensorDesc> {
        TensorDesc::contiguous(self.dtype, &self.shape).map_err(|e| Error::Malformed(e.to_string()))
    }
}
