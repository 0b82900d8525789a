//! Packed elements as burn's tensors of one dimension, and back.

use anyhow::{Result, bail};
use burn_tensor::kind::Basic;
use burn_tensor::{
    Bool, BoolStore, DType as Burn, Device, FloatDType, Int, IntDType, Tensor, TensorCreationOptions, TensorData,
};
use unisono_core::DType;

use crate::frame::Host;

/// burn has a kind of tensor for each kind of element.
#[derive(Clone)]
pub(super) enum Value {
    Float(Tensor<1>),
    Int(Tensor<1, Int>),
    Bool(Tensor<1, Bool>),
}

pub(super) fn float_type(dtype: DType) -> Option<FloatDType> {
    Some(match dtype {
        DType::F32 => FloatDType::F32,
        DType::F16 => FloatDType::F16,
        DType::BF16 => FloatDType::BF16,
        _ => return None,
    })
}

pub(super) fn int_type(dtype: DType) -> Option<IntDType> {
    Some(match dtype {
        DType::I8 => IntDType::I8,
        DType::U8 => IntDType::U8,
        DType::I32 => IntDType::I32,
        DType::U32 => IntDType::U32,
        DType::I64 => IntDType::I64,
        _ => return None,
    })
}

/// How to make a tensor of a type on the device of this adapter.
pub(super) fn options(dtype: impl Into<Burn>) -> TensorCreationOptions {
    TensorCreationOptions::new(Device::flex()).with_dtype(dtype.into())
}

/// A new shape for the elements of one dimension. In burn's `reshape` a 0 stands for "as before", so an
/// empty tensor is made anew.
pub(super) trait Shaped<K: Basic> {
    fn shaped<const D: usize>(self, shape: [usize; D]) -> Tensor<D, K>;
}

impl<K: Basic> Shaped<K> for Tensor<1, K> {
    fn shaped<const D: usize>(self, shape: [usize; D]) -> Tensor<D, K> {
        if shape.contains(&0) { empty(&self, shape) } else { self.reshape(shape) }
    }
}

/// All elements in one dimension.
pub(super) trait Flat<K: Basic> {
    fn flat(self) -> Tensor<1, K>;
}

impl<const D: usize, K: Basic> Flat<K> for Tensor<D, K> {
    fn flat(self) -> Tensor<1, K> {
        let elements = self.dims().iter().product::<usize>();
        if elements == 0 { empty(&self, [0]) } else { self.reshape([elements]) }
    }
}

fn empty<const A: usize, const B: usize, K: Basic>(like: &Tensor<A, K>, shape: [usize; B]) -> Tensor<B, K> {
    Tensor::empty(shape, TensorCreationOptions::new(like.device()).with_dtype(like.dtype()))
}

fn data(host: &Host, dtype: Burn) -> TensorData {
    let elements = host.shape.iter().product::<usize>();
    TensorData::from_bytes_vec(host.bytes.clone(), [elements], dtype)
}

impl Value {
    pub(super) fn load(host: &Host) -> Result<Value> {
        if let Some(dtype) = float_type(host.dtype) {
            return Ok(Value::Float(Tensor::from_data(data(host, dtype.into()), options(dtype))));
        }
        if let Some(dtype) = int_type(host.dtype) {
            return Ok(Value::Int(Tensor::from_data(data(host, dtype.into()), options(dtype))));
        }
        if host.dtype == DType::Bool {
            let bytes: Tensor<1, Int> = Tensor::from_data(data(host, Burn::U8), options(Burn::U8));
            return Ok(Value::Bool(bytes.not_equal_elem(0)));
        }
        bail!("{} is no type of a tensor", host.dtype)
    }

    /// The elements in the type `dtype`, by burn's own cast.
    pub(super) fn store(self, dtype: DType, shape: &[usize]) -> Result<Host> {
        let data = match self.cast(dtype)? {
            Value::Float(x) => x.into_data(),
            Value::Int(x) => x.into_data(),
            Value::Bool(x) => x.into_data(),
        };
        let agrees = match data.dtype() {
            Burn::Bool(BoolStore::Native | BoolStore::U8) => dtype == DType::Bool,
            got => float_type(dtype).map(Burn::from) == Some(got) || int_type(dtype).map(Burn::from) == Some(got),
        };
        if !agrees {
            bail!("the result is {:?}, not {dtype}", data.dtype());
        }
        Ok(Host { dtype, shape: shape.to_vec(), bytes: data.as_bytes().to_vec() })
    }

    pub(super) fn cast(self, dtype: DType) -> Result<Value> {
        let (float, int) = (float_type(dtype), int_type(dtype));
        Ok(match (self, float, int) {
            (Value::Float(x), Some(to), _) => Value::Float(x.cast(to)),
            (Value::Float(x), _, Some(to)) => Value::Int(x.cast(to)),
            (Value::Float(x), ..) => Value::Bool(x.not_equal_elem(0.0)),
            (Value::Int(x), Some(to), _) => Value::Float(x.cast(to)),
            (Value::Int(x), _, Some(to)) => Value::Int(x.cast(to)),
            (Value::Int(x), ..) => Value::Bool(x.not_equal_elem(0)),
            (Value::Bool(x), Some(to), _) => Value::Float(x.cast(to)),
            (Value::Bool(x), _, Some(to)) => Value::Int(x.cast(to)),
            (Value::Bool(x), ..) => Value::Bool(x),
        })
    }

    pub(super) fn float(self) -> Result<Tensor<1>> {
        if let Value::Float(x) = self { Ok(x) } else { bail!("not a float") }
    }

    pub(super) fn int(self) -> Result<Tensor<1, Int>> {
        if let Value::Int(x) = self { Ok(x) } else { bail!("not an integer") }
    }

    pub(super) fn bool(self) -> Result<Tensor<1, Bool>> {
        if let Value::Bool(x) = self { Ok(x) } else { bail!("not a truth value") }
    }
}
