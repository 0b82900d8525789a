//! One node with its operands on a device: what a mapping sees of an operator call.

use std::collections::HashMap;

use unisono_conformance::read_integers;
use unisono_core::op::Scalar;
use unisono_core::{DType, Device, Tensor, TensorDesc};

use crate::error::Stop;
use crate::proto::{AttributeProto, NodeProto, TensorProto};

/// What a mapping gives: the outputs in the operator's order.
pub(crate) type Outcome = Result<Vec<Tensor>, Stop>;

/// Elements that a shape given as data may ask for.
const MAX_ELEMENTS: usize = 1 << 26;

/// An operator call.
pub(crate) struct Call<'a> {
    pub(crate) device: &'a Device,
    pub(crate) opset: i64,
    node: &'a NodeProto,
    inputs: Vec<Option<Tensor>>,
}

impl<'a> Call<'a> {
    /// The call of `node`, whose operands are among `values`.
    pub(crate) fn new(
        device: &'a Device,
        opset: i64,
        node: &'a NodeProto,
        values: &HashMap<String, Tensor>,
    ) -> Result<Call<'a>, Stop> {
        let find = |name: &String| match (name.is_empty(), values.get(name)) {
            (true, _) => Ok(None),
            (false, Some(tensor)) => Ok(Some(tensor.clone())),
            (false, None) => Err(Stop::Malformed(format!("{}: nothing computes '{name}'", node.op_type))),
        };
        let inputs = node.input.iter().map(find).collect::<Result<_, _>>()?;
        Ok(Call { device, opset, node, inputs })
    }

    /// Input `i`, which the operator needs.
    pub(crate) fn x(&self, i: usize) -> Result<&Tensor, Stop> {
        self.opt(i).ok_or_else(|| Stop::Malformed(format!("{} has no input {i}", self.node.op_type)))
    }

    /// Input `i`, if it is there.
    pub(crate) fn opt(&self, i: usize) -> Option<&Tensor> {
        self.inputs.get(i)?.as_ref()
    }

    /// All inputs, of an operator that takes any number.
    pub(crate) fn all(&self) -> Result<Vec<&Tensor>, Stop> {
        (0..self.inputs.len()).map(|i| self.x(i)).collect()
    }

    /// Whether anyone wants output `i`.
    pub(crate) fn wants(&self, i: usize) -> bool {
        self.node.output.get(i).is_some_and(|name| !name.is_empty())
    }

    /// How many outputs the node names.
    pub(crate) fn output_count(&self) -> usize {
        self.node.output.len()
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.node.attribute.iter().find(|a| a.name == name)
    }

    /// Whether the attribute is given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    /// An integer attribute.
    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |a| a.i)
    }

    /// A real attribute.
    pub(crate) fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).map_or(default, |a| a.f)
    }

    /// A list of integers.
    pub(crate) fn list(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|a| &a.ints[..])
    }

    /// A text attribute.
    pub(crate) fn text(&self, name: &str, default: &str) -> String {
        self.attribute(name).map_or_else(|| default.to_owned(), |a| String::from_utf8_lossy(&a.s).into_owned())
    }

    /// A tensor attribute.
    pub(crate) fn tensor(&self, name: &str) -> Option<&TensorProto> {
        self.attribute(name)?.t.as_ref()
    }

    /// Input `i` as integers on the host: shapes, axes and counts are constants of a program.
    pub(crate) fn integers(&self, i: usize) -> Result<Option<Vec<i64>>, Stop> {
        self.opt(i).map(integers).transpose()
    }

    /// The one integer of input `i`.
    pub(crate) fn integer(&self, i: usize) -> Result<Option<i64>, Stop> {
        let Some(list) = self.integers(i)? else { return Ok(None) };
        let first = list.first().ok_or_else(|| Stop::Malformed(format!("input {i} is empty")))?;
        Ok(Some(*first))
    }

    /// The list of integers that newer versions of the operator take as input `i` and older ones as
    /// an attribute.
    pub(crate) fn axes(&self, i: usize, name: &str) -> Result<Option<Vec<i64>>, Stop> {
        Ok(match self.integers(i)? {
            Some(list) => Some(list),
            None => self.list(name).map(<[i64]>::to_vec),
        })
    }

    /// A shape that is given as data, checked for its size.
    pub(crate) fn shape(&self, sizes: &[i64]) -> Result<Vec<usize>, Stop> {
        let sizes: Option<Vec<usize>> = sizes.iter().map(|&s| usize::try_from(s).ok()).collect();
        let total = |s: &[usize]| s.iter().try_fold(1usize, |n, &s| n.checked_mul(s));
        sizes
            .filter(|s| total(s).is_some_and(|n| n <= MAX_ELEMENTS))
            .ok_or_else(|| Stop::Malformed(format!("{}: a shape is negative or too large", self.node.op_type)))
    }

    /// A tensor of one number.
    pub(crate) fn full(&self, dtype: DType, shape: &[usize], value: impl Into<Scalar>) -> Result<Tensor, Stop> {
        Ok(self.device.full(dtype, shape, value)?)
    }

    /// `0, 1, … n − 1` as `i32`.
    pub(crate) fn iota(&self, n: usize) -> Result<Tensor, Stop> {
        let values: Vec<i32> = (0..n as i32).collect();
        Ok(self.device.tensor(&values, &[n])?)
    }

    /// A form of the operator that is not mapped.
    pub(crate) fn unmapped(&self, what: impl std::fmt::Display) -> Stop {
        Stop::Unmapped(format!("{}: {what} is not mapped", self.node.op_type))
    }

    /// A node that breaks its operator's rules.
    pub(crate) fn malformed(&self, what: impl std::fmt::Display) -> Stop {
        Stop::Malformed(format!("{}: {what}", self.node.op_type))
    }
}

/// The integers of a tensor, read back.
pub(crate) fn integers(tensor: &Tensor) -> Result<Vec<i64>, Stop> {
    let bytes = tensor.read().wait()?;
    let desc = TensorDesc::contiguous(tensor.dtype(), tensor.shape())?;
    read_integers(&desc, &bytes).ok_or_else(|| Stop::Malformed(format!("{} holds no integers", tensor.desc())))
}

/// An axis that may count from the end.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize, Stop> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(counted)
        .ok()
        .filter(|&a| a < rank)
        .ok_or_else(|| Stop::Malformed(format!("axis {axis} is outside a rank of {rank}")))
}

/// A list of axes, sorted.
pub(crate) fn axes(list: &[i64], rank: usize) -> Result<Vec<usize>, Stop> {
    let mut sorted: Vec<usize> = list.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?;
    sorted.sort_unstable();
    sorted.dedup();
    Ok(sorted)
}

/// A float in f32, where the steps of a composition happen; anything else as it is.
pub(crate) fn f32(x: &Tensor) -> Result<Tensor, Stop> {
    Ok(if x.dtype().is_float() { x.cast(DType::F32)? } else { x.clone() })
}

/// Bytes as `i32`, in which the contract computes on them; anything else as it is.
pub(crate) fn wide(x: &Tensor) -> Result<Tensor, Stop> {
    Ok(if matches!(x.dtype(), DType::I8 | DType::U8) { x.cast(DType::I32)? } else { x.clone() })
}

/// The axis moved to the end.
pub(crate) fn to_last(x: &Tensor, axis: usize) -> Result<Tensor, Stop> {
    let mut order: Vec<usize> = (0..x.shape().len()).filter(|&d| d != axis).collect();
    order.push(axis);
    Ok(x.permute(&order)?)
}

/// The last axis moved to `axis`.
pub(crate) fn from_last(x: &Tensor, axis: usize) -> Result<Tensor, Stop> {
    let last = x.shape().len() - 1;
    let mut order: Vec<usize> = (0..last).collect();
    order.insert(axis, last);
    Ok(x.permute(&order)?)
}
