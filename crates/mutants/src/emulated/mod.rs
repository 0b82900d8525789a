//! Kernels on the host in f32, as a device might write them: three orders of summation, with and
//! without flushing subnormal numbers, and with one planted fault or none. They are the opposite of
//! the oracle on purpose: f32, composed stage by stage, and wrong on request.

mod attention;
mod rows;

use half::{bf16, f16};
use unisono_conformance::{Case, read_logical};
use unisono_core::op::{ArgOp, BinaryOp, Linear, Op, ReduceOp, RopePairing, UnaryOp};
use unisono_core::{DType, TensorDesc};

/// In which order terms are added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order {
    /// From the first term to the last.
    Forward,
    /// From the last to the first.
    Backward,
    /// The sum of the sums of both halves.
    Pairwise,
}

/// One way to be wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The last term of a sum is not added.
    DropLastTerm,
    /// Sums are kept in f16.
    HalfAccumulator,
    /// Operands of products pass through f16.
    StageInHalf,
    /// The last element of an output is never written.
    LastElementMissing,
    /// The two operands change places.
    SwapOperands,
    /// Scores are not scaled.
    Unscaled,
    /// Heads of queries share the wrong heads of keys.
    WrongHead,
    /// One key too many is seen.
    MaskOffByOne,
    /// The mask is not read.
    IgnoreMask,
    /// The maximum is not subtracted, or starts at zero.
    NoMaximum,
    /// The variance is mean x² − μ².
    OnePassVariance,
    /// The eps of a norm is left out.
    NoEps,
    /// A sum is not divided by the number of its terms.
    SumForMean,
    /// `add_rms_norm` normalises its first operand in place of the sum.
    NormOfInput,
    /// A rope pairs the wrong elements.
    WrongPairing,
    /// A rope turns the other way; a power forgets the sign of its base.
    WrongSign,
    /// Indices out of range are clamped to the range.
    ClampIndex,
    /// Of equal elements the last one wins.
    LastOfTies,
    /// 16-bit results are cut off; a floor rounds toward zero.
    Truncate,
    /// tanh is a quotient of exponentials that overflow.
    TanhByExponentials,
    /// gelu uses the approximation by tanh; erf is not careful near 0.
    TanhForErf,
    /// The bias is left out.
    NoBias,
    /// The residual is added before the activation.
    ResidualFirst,
    /// A concatenation takes its parts from the end.
    BackwardAxis,
    /// Ties round away from zero.
    RoundAway,
    /// The window has one key too many.
    WindowOffByOne,
    /// The mask is added before the softcap.
    MaskBeforeCap,
    /// The share of a sink goes to the last key.
    SinkHasValue,
    /// The sink of another head is used.
    WrongSink,
    /// The sink is left out.
    NoSink,
    /// The block table is not read.
    WrongPage,
    /// The sequence of a query is taken for its batch.
    WrongSequence,
    /// A masked element of a log softmax is 0.
    MaskedLogIsZero,
    /// A row of a cache is divided by the size of a page.
    WrongRow,
    /// A running sum has a term too many or too few.
    ExclusiveOffByOne,
    /// A running sum or a sort goes the other way.
    WrongDirection,
    /// Channels belong to the wrong group.
    WrongGroup,
    /// The dilation is taken for 1.
    NoDilation,
    /// The padding is one larger.
    PaddingOffByOne,
}

/// A device made of a rounding order, a flush mode and a fault.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// In which order terms are added.
    pub order: Order,
    /// Whether subnormal numbers become zero.
    pub flush: bool,
    /// What is wrong, if anything.
    pub fault: Option<Fault>,
}

/// A logical tensor of f32; indices beyond 2²⁴ keep their sign and size, which is all they need.
pub(crate) struct T {
    pub(crate) shape: Vec<usize>,
    pub(crate) x: Vec<f32>,
}

impl T {
    pub(crate) fn last(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    pub(crate) fn row(&self, i: usize) -> &[f32] {
        &self.x[i * self.last()..(i + 1) * self.last()]
    }

    pub(crate) fn rows(&self) -> usize {
        self.x.len().checked_div(self.last()).unwrap_or(0)
    }
}

impl Host {
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub(crate) fn f(&self, x: f32) -> f32 {
        if self.flush && x.is_subnormal() { 0.0 } else { x }
    }

    pub(crate) fn sum(&self, terms: &[f32]) -> f32 {
        let terms = if self.has(Fault::DropLastTerm) { &terms[..terms.len().saturating_sub(1)] } else { terms };
        if self.has(Fault::HalfAccumulator) {
            return terms.iter().fold(f16::ZERO, |s, &x| f16::from_f32(s.to_f32() + x)).to_f32();
        }
        match self.order {
            Order::Forward => terms.iter().fold(0.0, |s, &x| self.f(s + self.f(x))),
            Order::Backward => terms.iter().rev().fold(0.0, |s, &x| self.f(s + self.f(x))),
            Order::Pairwise => match terms {
                [] => 0.0,
                [x] => self.f(*x),
                _ => {
                    let (a, b) = terms.split_at(terms.len() / 2);
                    self.f(self.sum(a) + self.sum(b))
                }
            },
        }
    }

    pub(crate) fn dot(&self, a: impl Iterator<Item = f32>, b: impl Iterator<Item = f32>) -> f32 {
        let staged = |x: f32| if self.has(Fault::StageInHalf) { f16::from_f32(x).to_f32() } else { x };
        let terms: Vec<f32> = a.zip(b).map(|(a, b)| staged(a) * staged(b)).collect();
        self.sum(&terms)
    }

    pub(crate) fn tanh(&self, z: f32) -> f32 {
        if self.has(Fault::TanhByExponentials) { ((2.0 * z).exp() - 1.0) / ((2.0 * z).exp() + 1.0) } else { z.tanh() }
    }

    fn unary(&self, op: UnaryOp, x: f32) -> f32 {
        let tanh = |z: f32| self.tanh(z);
        let gelu_tanh = |x: f32| 0.5 * x * (1.0 + tanh(0.797_884_6 * (x + 0.044_715 * x * x * x)));
        match op {
            UnaryOp::Neg => -x,
            UnaryOp::Exp => x.exp(),
            UnaryOp::Rsqrt => 1.0 / x.sqrt(),
            UnaryOp::Tanh => tanh(x),
            UnaryOp::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            UnaryOp::Silu => x / (1.0 + (-x).exp()),
            UnaryOp::Gelu if self.has(Fault::TanhForErf) => gelu_tanh(x),
            UnaryOp::Gelu => 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)),
            UnaryOp::GeluTanh => gelu_tanh(x),
            UnaryOp::Abs => x.abs(),
            UnaryOp::Sign if x == 0.0 => x,
            UnaryOp::Sign => x.signum(),
            UnaryOp::Square => x * x,
            UnaryOp::Sqrt => x.sqrt(),
            UnaryOp::Recip => 1.0 / x,
            UnaryOp::Log => x.ln(),
            UnaryOp::Sin => x.sin(),
            UnaryOp::Cos => x.cos(),
            // The rational approximation loses small arguments to cancellation.
            UnaryOp::Erf if x.abs() < 0.5 && !self.has(Fault::TanhForErf) => {
                let z = x * x;
                let terms = [1.0 / 9360.0, -1.0 / 1320.0, 1.0 / 216.0, -1.0 / 42.0, 0.1, -1.0 / 3.0, 1.0];
                std::f32::consts::FRAC_2_SQRT_PI * x * terms.iter().fold(0.0, |sum, &c| sum * z + c)
            }
            UnaryOp::Erf => erf(x),
            UnaryOp::Relu => x.max(0.0),
            UnaryOp::GeluQuick => x / (1.0 + (-1.702 * x).exp()),
            UnaryOp::Softplus if self.has(Fault::NoMaximum) => (1.0 + x.exp()).ln(),
            UnaryOp::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            UnaryOp::Floor if self.has(Fault::Truncate) => x.trunc(),
            UnaryOp::Floor => x.floor(),
            UnaryOp::Ceil => x.ceil(),
            _ if self.has(Fault::RoundAway) => x.round(),
            _ => x.round_ties_even(),
        }
    }

    fn matmul(&self, a: &T, b: &T) -> T {
        let r = a.shape.len();
        let [m, k, n] = [a.shape[r - 2], a.shape[r - 1], b.shape[r - 1]];
        let mut shape = a.shape.clone();
        shape[r - 1] = n;
        let mut x = Vec::new();
        for row in 0..shape[..r - 1].iter().product() {
            for j in 0..n {
                let column = (0..k).map(|p| b.x[(row / m * k + p) * n + j]);
                x.push(self.dot((0..k).map(|p| a.x[row * k + p]), column));
            }
        }
        T { shape, x }
    }

    fn linear(&self, op: &Linear, x: &[T]) -> T {
        let mut y = self.matmul(&x[0], &x[1]);
        let n = y.last();
        let mut rest = x[2..].iter();
        let bias = rest.next().filter(|_| op.bias);
        let residual = if op.bias { rest.next() } else { x.get(2) };
        for (i, y) in y.x.iter_mut().enumerate() {
            let bias = bias.filter(|_| !self.has(Fault::NoBias)).map_or(0.0, |t| t.x[i % n]);
            let residual = residual.map_or(0.0, |t| t.x[i]);
            let early = self.has(Fault::ResidualFirst);
            let before = *y + bias + if early { residual } else { 0.0 };
            let after = op.activation.unary().map_or(before, |op| self.unary(op, before));
            *y = self.f(after + if early { 0.0 } else { residual });
        }
        y
    }

    fn rms_norm(&self, x: &T, weight: &T, eps: f32) -> T {
        let n = x.last() as f32;
        let eps = if self.has(Fault::NoEps) { 0.0 } else { eps };
        let mut y = Vec::new();
        for i in 0..x.rows() {
            let squares = self.dot(x.row(i).iter().copied(), x.row(i).iter().copied());
            let mean = if self.has(Fault::SumForMean) { squares } else { squares / n };
            let r = 1.0 / (mean + eps).sqrt();
            y.extend(x.row(i).iter().zip(&weight.x).map(|(x, w)| self.f(x * r * w)));
        }
        T { shape: x.shape.clone(), x: y }
    }

    fn layer_norm(&self, x: &T, weight: &T, bias: &T, eps: f32) -> T {
        let n = x.last() as f32;
        let mut y = Vec::new();
        for i in 0..x.rows() {
            let row = x.row(i);
            let mean = self.sum(row) / n;
            let variance = if self.has(Fault::OnePassVariance) {
                self.dot(row.iter().copied(), row.iter().copied()) / n - mean * mean
            } else {
                self.dot(row.iter().map(|x| x - mean), row.iter().map(|x| x - mean)) / n
            };
            let r = 1.0 / (variance + eps).sqrt();
            y.extend(row.iter().zip(&weight.x).zip(&bias.x).map(|((x, w), b)| self.f((x - mean) * r * w + b)));
        }
        T { shape: x.shape.clone(), x: y }
    }

    fn rope(&self, pairing: RopePairing, x: &[T]) -> T {
        let (x, cos, sin, positions) = (&x[0], &x[1], &x[2], &x[3]);
        let half = cos.shape[1];
        let halves = (pairing == RopePairing::HalfSplit) != self.has(Fault::WrongPairing);
        let mut y = x.x.clone();
        for head in 0..x.rows() {
            let mut position = positions.x[head / x.shape[2]];
            if self.has(Fault::ClampIndex) {
                position = position.clamp(0.0, cos.shape[0] as f32 - 1.0);
            }
            let inside = position >= 0.0 && position < cos.shape[0] as f32;
            for i in 0..half {
                let at = head * x.last();
                let (a, b) = if halves { (at + i, at + i + half) } else { (at + 2 * i, at + 2 * i + 1) };
                let table = |t: &T| if inside { t.x[position as usize * half + i] } else { 0.0 };
                let s = if self.has(Fault::WrongSign) { -table(sin) } else { table(sin) };
                (y[a], y[b]) = (self.f(x.x[a] * table(cos) - x.x[b] * s), self.f(x.x[b] * table(cos) + x.x[a] * s));
            }
        }
        T { shape: x.shape.clone(), x: y }
    }

    /// Calls `f` with the elements of each line along `axis`.
    fn lines(&self, x: &T, axis: usize, mut f: impl FnMut(&[f32]) -> f32) -> T {
        let n = x.shape[axis];
        let inner: usize = x.shape[axis + 1..].iter().product();
        let outer: usize = x.shape[..axis].iter().product();
        let line = |o: usize, i: usize| (0..n).map(|j| x.x[(o * n + j) * inner + i]).collect::<Vec<_>>();
        let y = (0..outer * inner).map(|l| f(&line(l / inner, l % inner))).collect();
        let mut shape = x.shape.clone();
        shape[axis] = 1;
        T { shape, x: y }
    }

    fn row_index(&self, index: f32, rows: usize) -> Option<usize> {
        if self.has(Fault::ClampIndex) && rows > 0 {
            return Some(index.clamp(0.0, rows as f32 - 1.0) as usize);
        }
        (index >= 0.0 && index < rows as f32).then_some(index as usize)
    }

    fn compute(&self, case: &Case, x: &[T], initial: Option<T>) -> Vec<T> {
        let like = |t: &T, x: Vec<f32>| T { shape: t.shape.clone(), x };
        vec![match &case.desc.op {
            Op::Copy => like(&x[0], x[0].x.clone()),
            Op::Concat(op) => {
                let outer: usize = x[0].shape[..op.axis].iter().product();
                let mut y = Vec::new();
                for o in 0..outer {
                    let parts: Vec<&T> =
                        if self.has(Fault::BackwardAxis) { x.iter().rev().collect() } else { x.iter().collect() };
                    for part in parts {
                        let block: usize = part.shape[op.axis..].iter().product();
                        y.extend_from_slice(&part.x[o * block..(o + 1) * block]);
                    }
                }
                T { shape: case.desc.outputs[0].shape.to_vec(), x: y }
            }
            Op::GatherRows => {
                let width: usize = x[0].shape[1..].iter().product();
                let y = x[1].x.iter().flat_map(|&i| match self.row_index(i, x[0].shape[0]) {
                    Some(r) => x[0].x[r * width..(r + 1) * width].to_vec(),
                    None => vec![0.0; width],
                });
                T { shape: case.desc.outputs[0].shape.to_vec(), x: y.collect() }
            }
            Op::ScatterRows => {
                let mut dst = initial.expect("scatter_rows has former content");
                let width: usize = x[0].shape[1..].iter().product();
                for (i, &index) in x[1].x.iter().enumerate() {
                    if let Some(r) = self.row_index(index, dst.shape[0]) {
                        dst.x[r * width..(r + 1) * width].copy_from_slice(&x[0].x[i * width..(i + 1) * width]);
                    }
                }
                dst
            }
            Op::Unary(op) => like(&x[0], x[0].x.iter().map(|&x| self.f(self.unary(*op, x))).collect()),
            Op::Binary(op) => {
                let (a, b) = if self.has(Fault::SwapOperands) { (&x[1], &x[0]) } else { (&x[0], &x[1]) };
                let f = |a: f32, b: f32| match op {
                    BinaryOp::Add => a + b,
                    BinaryOp::Sub => a - b,
                    BinaryOp::Mul => a * b,
                    BinaryOp::Pow if self.has(Fault::WrongSign) => a.abs().powf(b),
                    BinaryOp::Pow => a.powf(b),
                    BinaryOp::Minimum => a.min(b),
                    BinaryOp::Maximum => a.max(b),
                    _ => a / b,
                };
                like(a, a.x.iter().zip(&b.x).map(|(&a, &b)| self.f(f(self.f(a), self.f(b)))).collect())
            }
            Op::Gated(op) => {
                let (gate, up) = if self.has(Fault::SwapOperands) { (&x[1], &x[0]) } else { (&x[0], &x[1]) };
                like(gate, gate.x.iter().zip(&up.x).map(|(&g, &u)| self.f(self.unary(op.unary(), g) * u)).collect())
            }
            Op::Reduce(op) => self.lines(&x[0], op.axis, |line| match op.op {
                ReduceOp::Sum => self.sum(line),
                ReduceOp::Mean if self.has(Fault::SumForMean) => self.sum(line),
                ReduceOp::Mean => self.sum(line) / line.len() as f32,
                // A maximum that starts at zero is a classic.
                ReduceOp::Prod => self.product(line),
                ReduceOp::Min => {
                    line.iter().copied().fold(if self.has(Fault::NoMaximum) { 0.0 } else { f32::INFINITY }, f32::min)
                }
                _ if self.has(Fault::NoMaximum) => line.iter().copied().fold(0.0, f32::max),
                _ => line.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            }),
            Op::ArgReduce(op) => self.lines(&x[0], op.axis, |line| {
                let later = self.has(Fault::LastOfTies);
                let sign = if op.op == ArgOp::Max { 1.0 } else { -1.0 };
                let better = |a: f32, b: f32| sign * a > sign * b || (later && a == b);
                (1..line.len()).fold(0, |best, i| if better(line[i], line[best]) { i } else { best }) as f32
            }),
            Op::Softmax(op) => {
                let n = x[0].last();
                let at = op.inputs();
                let boolean = at.mask.is_some_and(|i| case.desc.inputs[i].dtype == DType::Bool);
                let lowest = match case.desc.outputs[0].dtype {
                    DType::F16 => -65504.0,
                    DType::BF16 => f32::from_bits(0xff7f_0000),
                    _ => f32::MIN,
                };
                let mut y = Vec::new();
                for i in 0..x[0].rows() {
                    let more = usize::from(self.has(Fault::MaskOffByOne));
                    let end = at.limits.map_or(n, |l| x[l].x[i] as usize).saturating_add(more).min(n);
                    let range = self.window(op.window, end);
                    let scale = if self.has(Fault::Unscaled) { 1.0 } else { op.scale.0 };
                    let (mut z, mut seen) = (Vec::new(), Vec::new());
                    for (j, &value) in x[0].row(i).iter().enumerate() {
                        let (sees, add) = self.mask_at(at.mask.map(|m| &x[m]), boolean, i * n + j);
                        z.push(value * scale + add);
                        seen.push(sees && range.contains(&j));
                    }
                    y.extend(self.softmax(&z, &seen, at.sinks.map(|s| x[s].x[i]), op.log.then_some(lowest)));
                }
                like(&x[0], y)
            }
            Op::CumSum(op) => self.cumsum(op, &x[0]),
            Op::TopK(op) => return self.topk(op, &x[0]).into(),
            Op::ArgSort(op) => self.argsort(&x[0], op.descending),
            Op::GroupNorm(op) => self.group_norm(op, x),
            Op::L2Norm(op) => self.l2_norm(&x[0], op.eps.0),
            Op::Im2Col(op) => self.im2col(op, &x[0]),
            Op::Conv1d(op) => self.conv1d(op, x),
            Op::Conv2d(op) => self.conv2d(op, x),
            Op::RmsNorm(op) => {
                let ones = like(&x[0], vec![1.0; x[0].last()]);
                self.rms_norm(&x[0], if op.weight { &x[1] } else { &ones }, op.eps.0)
            }
            Op::LayerNorm(op) => {
                let (ones, zeros) = (like(&x[0], vec![1.0; x[0].last()]), like(&x[0], vec![0.0; x[0].last()]));
                let weight = if op.weight { &x[1] } else { &ones };
                let bias = if op.bias { &x[1 + usize::from(op.weight)] } else { &zeros };
                self.layer_norm(&x[0], weight, bias, op.eps.0)
            }
            Op::AddRmsNorm(op) => {
                let dtype = case.desc.outputs[0].dtype;
                let stored = |v: f32| self.f(round(dtype, v, false));
                let sum = like(&x[0], x[0].x.iter().zip(&x[1].x).map(|(a, b)| stored(a + b)).collect());
                let y = self.rms_norm(if self.has(Fault::NormOfInput) { &x[0] } else { &sum }, &x[2], op.eps.0);
                return vec![sum, y];
            }
            Op::Rope(op) => self.rope(op.pairing, x),
            Op::RopeWrite(op) => {
                let mut dst = initial.expect("rope_write has former content");
                let rotated = self.rope(op.pairing, x);
                let (size, heads, d) = (dst.shape[1], dst.shape[2], dst.shape[3]);
                for (i, &index) in x[4].x.iter().enumerate() {
                    if let Some(row) = self.row_index(index, dst.shape[0] * size) {
                        let row = if self.has(Fault::WrongRow) { row / size } else { row };
                        let width = heads * d;
                        dst.x[row * width..][..width].copy_from_slice(&rotated.x[i * width..][..width]);
                    }
                }
                dst
            }
            Op::MatMul => self.matmul(&x[0], &x[1]),
            Op::MatMulId => {
                let (k, n) = (x[1].shape[1], x[1].shape[2]);
                let mut y = Vec::new();
                for (i, &id) in x[2].x.iter().enumerate() {
                    let expert = self.row_index(id, x[1].shape[0]);
                    let column = |j: usize, e: usize| (0..k).map(move |p| (e * k + p) * n + j);
                    let product =
                        |j: usize, e: usize| self.dot(x[0].row(i).iter().copied(), column(j, e).map(|at| x[1].x[at]));
                    y.extend((0..n).map(|j| expert.map_or(0.0, |e| product(j, e))));
                }
                T { shape: case.desc.outputs[0].shape.to_vec(), x: y }
            }
            Op::Linear(op) => self.linear(op, x),
            Op::Attention(op) => self.attention(case, op, x),
            other => panic!("no host kernel for {}", other.name()),
        }]
    }

    /// Runs a case and gives the bytes of its outputs, with 0xFF where nothing is written.
    ///
    /// # Panics
    ///
    /// If `inputs` are not those of the case, or the operation has no emulated kernel.
    pub fn run(&self, case: &Case, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let read = |d: &TensorDesc, bytes: &[u8]| T {
            shape: d.shape.to_vec(),
            x: read_logical(d, bytes).expect("whole inputs").into_iter().map(|x| x as f32).collect(),
        };
        let x: Vec<T> = case.desc.inputs.iter().zip(inputs).map(|(d, b)| read(d, b)).collect();
        let initial = case.initial_output_bytes(0).map(|b| read(&case.desc.outputs[0], &b));
        let outputs = self.compute(case, &x, initial);
        case.desc.outputs.iter().zip(outputs).map(|(d, t)| self.store(d, &t.x)).collect()
    }

    fn store(&self, desc: &TensorDesc, values: &[f32]) -> Vec<u8> {
        let size = desc.dtype.block_bytes();
        let mut bytes = vec![0xFF; desc.span_bytes() as usize];
        let written = values.len() - usize::from(self.has(Fault::LastElementMissing) && !values.is_empty());
        for (i, &x) in values[..written].iter().enumerate() {
            let (mut rest, mut at) = (i, 0);
            for (&d, &s) in desc.shape.iter().zip(desc.strides.iter()).rev() {
                at += rest % d * s;
                rest /= d;
            }
            let x = round(desc.dtype, x, self.has(Fault::Truncate));
            let stored = match desc.dtype {
                DType::F16 => f16::from_f32(x).to_le_bytes().to_vec(),
                DType::BF16 => bf16::from_f32(x).to_le_bytes().to_vec(),
                DType::U32 => (x as u32).to_le_bytes().to_vec(),
                _ => x.to_le_bytes().to_vec(),
            };
            bytes[at * size..(at + 1) * size].copy_from_slice(&stored);
        }
        bytes
    }
}

/// `x` as `dtype` holds it, rounded to nearest or cut off.
fn round(dtype: DType, x: f32, truncate: bool) -> f32 {
    let cut = |bits: u32| f32::from_bits(x.to_bits() & !((1 << bits) - 1));
    match dtype {
        DType::F16 if truncate => cut(13),
        DType::BF16 if truncate => cut(16),
        DType::F16 => f16::from_f32(x).to_f32(),
        DType::BF16 => bf16::from_f32(x).to_f32(),
        _ => x,
    }
}

/// Abramowitz & Stegun 7.1.26, the approximation that kernels use.
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let p = ((((1.061_405_4 * t - 1.453_152_1) * t + 1.421_413_8) * t - 0.284_496_72) * t + 0.254_829_6) * t;
    (1.0 - p * (-x * x).exp()).copysign(x)
}
