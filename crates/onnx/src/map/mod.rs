//! ONNX operators as programs over the operations of the contract.
//!
//! [`OPERATORS`] is the list of what is mapped, and with that one half of the rule of what counts as
//! covered; the other half are the element types. A mapping uses nothing but the contract: views,
//! operations and constants. What it reads back on the host are shapes, axes and counts, which a
//! program has as constants.

mod attention;
mod elementwise;
mod index;
mod linear;
mod movement;
mod norm;
mod quantise;
mod reduce;

use unisono_core::op::{ArgOp, BinaryOp, CompareOp, LogicalOp, ReduceOp, UnaryOp};

use crate::call::{Call, Outcome};
use reduce::Form;

/// Writes one operator call as operations of the contract.
pub(crate) type Mapping = fn(&Call<'_>) -> Outcome;

/// The mapped operators of ONNX's own domain, by name.
pub(crate) static OPERATORS: &[(&str, Mapping)] = &[
    ("Abs", |c| elementwise::unary(c, UnaryOp::Abs)),
    ("Add", |c| elementwise::fold(c, BinaryOp::Add)),
    ("And", |c| elementwise::logical(c, LogicalOp::And)),
    ("ArgMax", |c| reduce::arg(c, ArgOp::Max)),
    ("ArgMin", |c| reduce::arg(c, ArgOp::Min)),
    ("Attention", attention::attention),
    ("BatchNormalization", norm::batch_norm),
    ("Cast", movement::cast),
    ("CastLike", movement::cast_like),
    ("CausalConvWithState", linear::causal_conv),
    ("Ceil", |c| elementwise::unary(c, UnaryOp::Ceil)),
    ("Celu", elementwise::celu),
    ("Clip", elementwise::clip),
    ("Concat", movement::concat),
    ("ConstantOfShape", movement::constant_of_shape),
    ("Conv", linear::conv),
    ("ConvInteger", linear::conv_integer),
    ("Cos", |c| elementwise::unary(c, UnaryOp::Cos)),
    ("Cosh", |c| elementwise::hyperbolic(c, 1.0)),
    ("CumSum", reduce::cumsum),
    ("DepthToSpace", movement::depth_to_space),
    ("DequantizeLinear", quantise::dequantise),
    ("Div", |c| elementwise::fold(c, BinaryOp::Div)),
    ("DynamicQuantizeLinear", quantise::dynamic),
    ("Elu", elementwise::elu),
    ("Equal", |c| elementwise::compare(c, CompareOp::Eq)),
    ("Erf", |c| elementwise::unary(c, UnaryOp::Erf)),
    ("Exp", |c| elementwise::unary(c, UnaryOp::Exp)),
    ("Expand", movement::expand),
    ("Flatten", movement::flatten),
    ("Floor", |c| elementwise::unary(c, UnaryOp::Floor)),
    ("Gather", index::gather),
    ("GatherElements", index::gather_elements),
    ("GatherND", index::gather_nd),
    ("Gelu", elementwise::gelu),
    ("Gemm", linear::gemm),
    ("Greater", |c| elementwise::compare(c, CompareOp::Gt)),
    ("GreaterOrEqual", |c| elementwise::compare(c, CompareOp::Ge)),
    ("GroupNormalization", norm::group_norm),
    ("HardSigmoid", elementwise::hard_sigmoid),
    ("HardSwish", elementwise::hard_swish),
    ("Hardmax", reduce::hardmax),
    ("Identity", movement::identity),
    ("InstanceNormalization", norm::instance_norm),
    ("IsInf", elementwise::is_inf),
    ("IsNaN", elementwise::is_nan),
    ("LayerNormalization", norm::layer_norm),
    ("LeakyRelu", elementwise::leaky_relu),
    ("Less", |c| elementwise::compare(c, CompareOp::Lt)),
    ("LessOrEqual", |c| elementwise::compare(c, CompareOp::Le)),
    ("Log", |c| elementwise::unary(c, UnaryOp::Log)),
    ("LogSoftmax", |c| norm::softmax(c, true)),
    ("LpNormalization", norm::lp_norm),
    ("MatMul", linear::matmul),
    ("MatMulInteger", linear::matmul_integer),
    ("Max", |c| elementwise::fold(c, BinaryOp::Maximum)),
    ("Mean", elementwise::mean),
    ("MeanVarianceNormalization", norm::mean_variance),
    ("Min", |c| elementwise::fold(c, BinaryOp::Minimum)),
    ("Mish", elementwise::mish),
    ("Mod", elementwise::modulo),
    ("Mul", |c| elementwise::fold(c, BinaryOp::Mul)),
    ("Neg", |c| elementwise::unary(c, UnaryOp::Neg)),
    ("Not", |c| elementwise::unary(c, UnaryOp::Not)),
    ("OneHot", movement::one_hot),
    ("Or", |c| elementwise::logical(c, LogicalOp::Or)),
    ("PRelu", elementwise::prelu),
    ("Pad", movement::pad),
    ("Pow", elementwise::pow),
    ("QLinearMatMul", quantise::qlinear_matmul),
    ("QuantizeLinear", quantise::quantise),
    ("RMSNormalization", norm::rms_norm),
    ("Reciprocal", |c| elementwise::unary(c, UnaryOp::Recip)),
    ("ReduceL1", |c| reduce::reduce(c, Form::L1)),
    ("ReduceL2", |c| reduce::reduce(c, Form::L2)),
    ("ReduceLogSum", |c| reduce::reduce(c, Form::LogSum)),
    ("ReduceLogSumExp", |c| reduce::reduce(c, Form::LogSumExp)),
    ("ReduceMax", |c| reduce::reduce(c, Form::Plain(ReduceOp::Max))),
    ("ReduceMean", |c| reduce::reduce(c, Form::Plain(ReduceOp::Mean))),
    ("ReduceMin", |c| reduce::reduce(c, Form::Plain(ReduceOp::Min))),
    ("ReduceProd", |c| reduce::reduce(c, Form::Plain(ReduceOp::Prod))),
    ("ReduceSum", |c| reduce::reduce(c, Form::Plain(ReduceOp::Sum))),
    ("ReduceSumSquare", |c| reduce::reduce(c, Form::SumSquare)),
    ("Relu", |c| elementwise::unary(c, UnaryOp::Relu)),
    ("Reshape", movement::reshape),
    ("ReverseSequence", index::reverse_sequence),
    ("RotaryEmbedding", attention::rotary),
    ("Round", |c| elementwise::unary(c, UnaryOp::Round)),
    ("Scatter", index::scatter_elements),
    ("ScatterElements", index::scatter_elements),
    ("ScatterND", index::scatter_nd),
    ("Selu", elementwise::selu),
    ("Shrink", elementwise::shrink),
    ("Sigmoid", |c| elementwise::unary(c, UnaryOp::Sigmoid)),
    ("Sign", |c| elementwise::unary(c, UnaryOp::Sign)),
    ("Sin", |c| elementwise::unary(c, UnaryOp::Sin)),
    ("Sinh", |c| elementwise::hyperbolic(c, -1.0)),
    ("Slice", movement::slice),
    ("Softmax", |c| norm::softmax(c, false)),
    ("Softplus", |c| elementwise::unary(c, UnaryOp::Softplus)),
    ("Softsign", elementwise::softsign),
    ("SpaceToDepth", movement::space_to_depth),
    ("Split", movement::split),
    ("Sqrt", |c| elementwise::unary(c, UnaryOp::Sqrt)),
    ("Squeeze", movement::squeeze),
    ("Sub", |c| elementwise::fold(c, BinaryOp::Sub)),
    ("Sum", |c| elementwise::fold(c, BinaryOp::Add)),
    ("SwiGLU", elementwise::swiglu),
    ("Swish", elementwise::swish),
    ("Tan", elementwise::tan),
    ("Tanh", |c| elementwise::unary(c, UnaryOp::Tanh)),
    ("TensorScatter", index::tensor_scatter),
    ("ThresholdedRelu", elementwise::thresholded_relu),
    ("Tile", movement::tile),
    ("TopK", reduce::topk),
    ("Transpose", movement::transpose),
    ("Trilu", movement::trilu),
    ("Unsqueeze", movement::unsqueeze),
    ("Where", elementwise::choose),
    ("Xor", |c| elementwise::logical(c, LogicalOp::Xor)),
];

/// Operators that only say constants of a graph. Alone they compute nothing on a device, so a test
/// of one of them is not covered; within a graph they are needed.
static CONSTANTS: &[(&str, Mapping)] = &[("Constant", movement::constant), ("Shape", movement::shape)];

/// The mapping of an operator.
pub(crate) fn find(domain: &str, operator: &str) -> Option<Mapping> {
    let own = domain.is_empty() || domain == "ai.onnx";
    let mut known = OPERATORS.iter().chain(CONSTANTS);
    known.find(|(name, _)| own && *name == operator).map(|(_, mapping)| *mapping)
}

/// Whether a test of this operator alone says anything about a device.
pub(crate) fn computes(operator: &str) -> bool {
    !CONSTANTS.iter().any(|(name, _)| *name == operator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_sorted_and_distinct() {
        assert!(OPERATORS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(find("", "MatMul").is_some() && find("ai.onnx.ml", "MatMul").is_none());
    }
}
