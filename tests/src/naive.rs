//! A backend that is simple on purpose: one thread, buffers of bytes, one kernel per primitive.
//!
//! It is written only against `unisono-core`, as a third party would write one. It has no
//! composite: `unisono_core::lower` turns those into primitives. Nor has it the whole vocabulary:
//! [`covers`] says which part, the suite counts the rest as unsupported. Every kernel loads its inputs as
//! `f64` in row-major order, whatever their type and strides, computes by the formula of the
//! contract and stores once; nothing here is fast, everything should be easy to check.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use half::{bf16, f16};
use unisono_core::op::{ArgOp, BinaryOp, Op, OpDesc, ReduceOp, Rope, RopePairing, Softmax, UnaryOp};
use unisono_core::{
    Backend, Bindings, Buffer, BufferDesc, Counters, DType, DeviceInfo, DeviceKind, Error, ErrorKind, KernelChoice,
    KernelSource, Operand, Pending, Plan, Program, Readback, Reason, Result, SlotId, SlotKind, Step, Support,
    TensorDesc, Ticket, lower, support,
};

mod memory;
mod order;

use memory::{Memory, Meter};

/// The name of the only kernel that each primitive has.
pub const KERNEL: &str = "naive";

/// The device.
#[derive(Debug)]
pub struct Naive {
    info: DeviceInfo,
    /// Locked during every submission, so that they run one after the other.
    queue: Mutex<Counters>,
    meter: Arc<Meter>,
}

impl Default for Naive {
    fn default() -> Naive {
        let mut info = DeviceInfo::new("naive", "Naive host backend", DeviceKind::Cpu);
        info.vendor = "cpu".into();
        info.api = "naive".into();
        Naive { info, queue: Mutex::default(), meter: Meter::new(u64::MAX) }
    }
}

impl Naive {
    /// A device with this much memory, which it states or keeps to itself.
    pub fn with_memory(bytes: u64, stated: bool) -> Naive {
        let mut device = Naive::default();
        device.info.memory = stated.then_some(bytes);
        device.meter = Meter::new(bytes);
        device
    }
}

/// A kernel that panics must not take the device with it: poisoned locks are taken over.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A compiled program: there is nothing to compile beyond lowering.
#[derive(Debug)]
struct NaivePlan(Program);

impl Plan for NaivePlan {
    fn program(&self) -> &Program {
        &self.0
    }
    fn kernel_names(&self) -> Vec<Arc<str>> {
        self.0.steps().iter().map(|_| Arc::from(KERNEL)).collect()
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// The selector: `supports`, `kernels` and `compile` all ask it, so they cannot disagree.
fn select(desc: &OpDesc) -> Result<(), Reason> {
    desc.validate().map_err(|e| Reason::Invalid(e.to_string()))?;
    let missing = || Reason::Op(format!("no kernel for {}", desc.op.name()));
    covers(desc).then_some(()).ok_or_else(missing)
}

/// Whether the backend has a kernel: the primitives of a Llama model on floats, reductions, order,
/// windows, and movement of plain elements of up to four bytes, with casts to floats from floats and u32.
pub fn covers(desc: &OpDesc) -> bool {
    let operands = || desc.inputs.iter().chain(&desc.outputs).map(|d| d.dtype);
    let floats = || operands().all(DType::is_float);
    let words = operands().all(|dtype| !dtype.is_block() && dtype.block_bytes() <= 4);
    let moved = |x: DType, y: DType| x == y || (y.is_float() && (x.is_float() || x == DType::U32));
    words
        && match &desc.op {
            Op::Copy => moved(desc.inputs[0].dtype, desc.outputs[0].dtype),
            Op::Concat(_) | Op::GatherRows | Op::ScatterRows => true,
            Op::Softmax(_) | Op::RmsNorm(_) | Op::LayerNorm(_) | Op::Rope(_) | Op::MatMul => true,
            Op::Unary(op) => floats() && unary(*op, 1.0).is_ok(),
            Op::Binary(op) => floats() && binary(*op).is_ok(),
            Op::ScaleShift(_) => floats(),
            Op::Reduce(_) | Op::ArgReduce(_) | Op::CumSum(_) | Op::TopK(_) | Op::ArgSort(_) => true,
            Op::GroupNorm(_) | Op::L2Norm(_) | Op::Im2Col(_) => true,
            _ => false,
        }
}

impl Backend for Naive {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, op: &OpDesc) -> Support {
        support(op, &select)
    }

    fn kernels(&self, op: &OpDesc) -> Vec<Arc<str>> {
        select(op).map(|()| Arc::from(KERNEL)).into_iter().collect()
    }

    fn kernel_source(&self, op: &OpDesc, kernel: &str) -> Vec<KernelSource> {
        let own = select(op).is_ok() && kernel == KERNEL;
        let text = || include_str!("naive.rs").to_owned();
        own.then(|| KernelSource { name: "naive.rs".into(), constants: Vec::new(), text: text() }).into_iter().collect()
    }

    fn alloc(&self, desc: &BufferDesc) -> Result<Buffer> {
        self.meter.alloc(desc.bytes)
    }

    fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset.checked_add(bytes.len() as u64).ok_or_else(|| Error::invalid("offset overflows"))?;
        buffer.check_range(&(offset..end))?;
        let _queue = lock(&self.queue);
        buffer.downcast::<Memory>()?.lock()[offset as usize..end as usize].copy_from_slice(bytes);
        Ok(())
    }

    fn read(&self, buffer: &Buffer, range: Range<u64>) -> Readback {
        let _queue = lock(&self.queue);
        Pending::ready(buffer.check_range(&range).and_then(|()| {
            let memory = buffer.downcast::<Memory>()?.lock();
            Ok(memory[range.start as usize..range.end as usize].to_vec())
        }))
    }

    fn compile(&self, program: &Program) -> Result<Arc<dyn Plan>> {
        let program = lower(program, &|op| select(op).is_ok())?;
        for step in program.steps() {
            let desc = step.desc();
            select(&desc).map_err(|reason| reason.into_error(&desc).on_device(&self.info.id))?;
            if let KernelChoice::Named(name) = &step.kernel
                && **name != *KERNEL
            {
                return Err(Reason::Op(format!("there is no kernel {name}")).into_error(&desc));
            }
        }
        lock(&self.queue).plans += 1;
        Ok(Arc::new(NaivePlan(program)))
    }

    fn submit(&self, plan: &Arc<dyn Plan>, bindings: &Bindings) -> Result<Ticket> {
        let foreign = || Error::invalid("the plan belongs to another device");
        let NaivePlan(program) = plan.as_any().downcast_ref().ok_or_else(foreign)?;
        bindings.validate(program)?;
        let mut counters = lock(&self.queue);
        let mut slots = Vec::new();
        for (i, slot) in program.slots().iter().enumerate() {
            slots.push(match (&slot.kind, bindings.get(SlotId(i as u32))) {
                (SlotKind::Constant(bytes), _) => {
                    let buffer = self.alloc(&BufferDesc::new(slot.bytes))?;
                    buffer.downcast::<Memory>()?.lock()[..bytes.len()].copy_from_slice(bytes);
                    buffer
                }
                (SlotKind::Temporary, _) => self.alloc(&BufferDesc::new(slot.bytes))?,
                (_, Some(buffer)) => buffer.clone(),
                (_, None) => return Err(Error::invalid(format!("slot {i} has no buffer bound"))),
            });
        }
        for step in program.steps() {
            run_step(step, &slots)?;
        }
        counters.submissions += 1;
        counters.dispatches += program.steps().len() as u64;
        Ok(Pending::ready(Ok(())))
    }

    fn counters(&self) -> Counters {
        let (bytes_now, bytes_peak) = self.meter.read();
        Counters { bytes_now, bytes_peak, ..*lock(&self.queue) }
    }
}

/// Where each element lies within the slot, in elements and in row-major order of its index.
fn positions(operand: &Operand) -> Vec<usize> {
    let mut all = vec![operand.offset];
    for (&size, &stride) in operand.desc.shape.iter().zip(operand.desc.strides.iter()) {
        all = all.iter().flat_map(|&at| (0..size).map(move |i| at + i * stride)).collect();
    }
    all
}

/// One element as stored, in the first bytes.
type Raw = [u8; 4];

fn load_raw(slots: &[Buffer], operand: &Operand) -> Result<Vec<Raw>> {
    let size = operand.desc.dtype.block_bytes();
    let memory = slots[operand.slot.index()].downcast::<Memory>()?.lock();
    let element = |at: usize| std::array::from_fn(|i| if i < size { memory[at * size + i] } else { 0 });
    Ok(positions(operand).into_iter().map(element).collect())
}

/// Writes `elements`, row-major from element number `first` on.
fn store_raw(slots: &[Buffer], operand: &Operand, first: usize, elements: &[Raw]) -> Result<()> {
    let size = operand.desc.dtype.block_bytes();
    let mut memory = slots[operand.slot.index()].downcast::<Memory>()?.lock();
    for (at, element) in positions(operand).into_iter().skip(first).zip(elements) {
        memory[at * size..(at + 1) * size].copy_from_slice(&element[..size]);
    }
    Ok(())
}

fn decode(dtype: DType, raw: Raw) -> Result<f64> {
    let [a, b, ..] = raw;
    Ok(match dtype {
        DType::F32 => f64::from(f32::from_le_bytes(raw)),
        DType::I32 => f64::from(i32::from_le_bytes(raw)),
        DType::U32 | DType::U8 | DType::Bool => f64::from(u32::from_le_bytes(raw)),
        DType::F16 => f16::from_le_bytes([a, b]).to_f64(),
        DType::BF16 => bf16::from_le_bytes([a, b]).to_f64(),
        _ => return Err(Error::dtype(format!("{dtype} cannot be loaded"))),
    })
}

fn encode(dtype: DType, value: f64) -> Result<Raw> {
    let short = |[a, b]: [u8; 2]| [a, b, 0, 0];
    Ok(match dtype {
        DType::F32 => (value as f32).to_le_bytes(),
        DType::I32 => (value as i32).to_le_bytes(),
        DType::U32 | DType::U8 | DType::Bool => (value as u32).to_le_bytes(),
        DType::F16 => short(f16::from_f32(value as f32).to_le_bytes()),
        DType::BF16 => short(bf16::from_f32(value as f32).to_le_bytes()),
        _ => return Err(Error::dtype(format!("{dtype} cannot be stored"))),
    })
}

fn load(slots: &[Buffer], operand: &Operand) -> Result<Vec<f64>> {
    load_raw(slots, operand)?.into_iter().map(|raw| decode(operand.desc.dtype, raw)).collect()
}

fn store(slots: &[Buffer], operand: &Operand, values: &[f64]) -> Result<()> {
    let raw: Vec<Raw> = values.iter().map(|&v| encode(operand.desc.dtype, v)).collect::<Result<_>>()?;
    store_raw(slots, operand, 0, &raw)
}

/// Elements in the type of `to`: bit for bit where the types agree, else rounded once.
fn cast(slots: &[Buffer], from: &Operand, to: &TensorDesc) -> Result<Vec<Raw>> {
    if from.desc.dtype == to.dtype {
        return load_raw(slots, from);
    }
    load(slots, from)?.into_iter().map(|v| encode(to.dtype, v)).collect()
}

fn run_step(step: &Step, slots: &[Buffer]) -> Result<()> {
    let y = &step.outputs[0];
    let input = |i: usize| load(slots, &step.inputs[i]);
    let shape = |i: usize| &*step.inputs[i].desc.shape;
    let values = match &step.op {
        Op::Copy => return store_raw(slots, y, 0, &cast(slots, &step.inputs[0], &y.desc)?),
        Op::Concat(op) => {
            let parts: Vec<_> = step.inputs.iter().map(|x| load_raw(slots, x)).collect::<Result<_>>()?;
            let outer: usize = y.desc.shape[..op.axis].iter().product();
            let slice = |part: &Vec<Raw>, o: usize| part[o * (part.len() / outer)..][..part.len() / outer].to_vec();
            let joined = (0..outer).flat_map(|o| parts.iter().flat_map(move |part| slice(part, o)));
            return store_raw(slots, y, 0, &joined.collect::<Vec<_>>());
        }
        Op::GatherRows => {
            let table = cast(slots, &step.inputs[0], &y.desc)?;
            let width = shape(0)[1..].iter().product::<usize>();
            let zeros = vec![Raw::default(); width];
            let row = |index| in_range(index, shape(0)[0]).map_or(&zeros[..], |row| &table[row * width..][..width]);
            let rows: Vec<Raw> = input(1)?.into_iter().flat_map(row).copied().collect();
            return store_raw(slots, y, 0, &rows);
        }
        Op::ScatterRows => {
            let src = cast(slots, &step.inputs[0], &y.desc)?;
            let width = shape(0)[1..].iter().product::<usize>();
            for (i, index) in input(1)?.into_iter().enumerate() {
                if let Some(row) = in_range(index, y.desc.shape[0]) {
                    store_raw(slots, y, row * width, &src[i * width..][..width])?;
                }
            }
            return Ok(());
        }
        Op::Unary(op) => input(0)?.into_iter().map(|x| unary(*op, x)).collect::<Result<_>>()?,
        Op::Binary(op) => input(0)?.into_iter().zip(input(1)?).map(binary(*op)?).collect(),
        Op::ScaleShift(op) => {
            input(0)?.into_iter().map(|x| x * f64::from(op.scale.0) + f64::from(op.shift.0)).collect()
        }
        Op::Reduce(op) if y.desc.dtype.is_index() => {
            along(&input(0)?, shape(0), op.axis, |x| Ok(order::integers(op.op, x, y.desc.dtype)))?
        }
        Op::Reduce(op) => along(&input(0)?, shape(0), op.axis, |x| match op.op {
            ReduceOp::Sum => Ok(x.iter().sum()),
            ReduceOp::Mean => Ok(x.iter().sum::<f64>() / x.len() as f64),
            ReduceOp::Max | ReduceOp::Min if x.iter().any(|v| v.is_nan()) => Ok(f64::NAN),
            ReduceOp::Max => Ok(x.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            ReduceOp::Min => Ok(x.iter().copied().fold(f64::INFINITY, f64::min)),
            ReduceOp::Prod => Ok(x.iter().product()),
            _ => Err(no_kernel(op.op.name())),
        })?,
        Op::ArgReduce(op) => along(&input(0)?, shape(0), op.axis, |x| {
            let better = |a, b| if op.op == ArgOp::Max { a > b } else { a < b };
            let best = (0..x.len()).fold(0, |best, i| if better(x[i], x[best]) { i } else { best });
            Ok(x.iter().position(|v| v.is_nan()).unwrap_or(best) as f64)
        })?,
        Op::CumSum(op) => order::cumsum(op, &input(0)?, shape(0), y.desc.dtype),
        Op::ArgSort(op) => rows(&input(0)?, shape(0), |x| order::sorted(x, op.descending)),
        Op::TopK(op) => {
            let x = cast(slots, &step.inputs[0], &y.desc)?;
            let n = shape(0)[shape(0).len() - 1];
            let order = rows(&input(0)?, shape(0), |x| order::sorted(x, !op.smallest)[..op.k].to_vec());
            let at = |(i, j): (usize, &f64)| x[i / op.k * n + *j as usize];
            store_raw(slots, y, 0, &order.iter().enumerate().map(at).collect::<Vec<_>>())?;
            return store(slots, &step.outputs[1], &order);
        }
        Op::GroupNorm(op) => {
            let weight = if op.weight { Some(input(1)?) } else { None };
            let bias = if op.bias { Some(input(1 + usize::from(op.weight))?) } else { None };
            order::group_norm(op, &input(0)?, shape(0), weight.as_deref(), bias.as_deref())
        }
        Op::L2Norm(op) => rows(&input(0)?, shape(0), |x| {
            let length = x.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::from(op.eps.0));
            x.iter().map(|v| v / length).collect()
        }),
        Op::Im2Col(op) => {
            let x = cast(slots, &step.inputs[0], &y.desc)?;
            let raw: Vec<Raw> = order::im2col(op, shape(0)).into_iter().map(|i| i.map_or([0; 4], |i| x[i])).collect();
            return store_raw(slots, y, 0, &raw);
        }
        Op::Softmax(op) => {
            let at = op.inputs();
            let optional = |i: Option<usize>| i.map(input).transpose();
            let mut mask = optional(at.mask)?;
            if let (Some(mask), Some(i)) = (&mut mask, at.mask)
                && step.inputs[i].desc.dtype == DType::Bool
            {
                mask.iter_mut().for_each(|m| *m = if *m == 0.0 { f64::NEG_INFINITY } else { 0.0 });
            }
            let lowest = match y.desc.dtype {
                DType::F16 => -65504.0,
                DType::BF16 => f64::from(f32::from_bits(0xff7f_0000)),
                _ => f64::from(f32::MIN),
            };
            softmax(op, &input(0)?, shape(0), [mask, optional(at.limits)?, optional(at.sinks)?], lowest)
        }
        Op::RmsNorm(op) => {
            let w = if op.weight { input(1)? } else { ones(shape(0)) };
            rows(&input(0)?, shape(0), |x| {
                let mean_square = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
                let scale = (mean_square + f64::from(op.eps.0)).sqrt().recip();
                x.iter().zip(&w).map(|(v, w)| v * scale * w).collect()
            })
        }
        Op::LayerNorm(op) => {
            let w = if op.weight { input(1)? } else { ones(shape(0)) };
            let bias = if op.bias { input(1 + usize::from(op.weight))? } else { vec![0.0; w.len()] };
            rows(&input(0)?, shape(0), |x| {
                let mean = x.iter().sum::<f64>() / x.len() as f64;
                let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
                let scale = (variance + f64::from(op.eps.0)).sqrt().recip();
                x.iter().zip(w.iter().zip(&bias)).map(|(v, (w, b))| (v - mean) * scale * w + b).collect()
            })
        }
        Op::Rope(op) => rope(op, shape(0), shape(1), [&input(0)?, &input(1)?, &input(2)?, &input(3)?]),
        Op::MatMul => matmul(&input(0)?, shape(0), &input(1)?, shape(1)),
        op => return Err(no_kernel(op.name())),
    };
    store(slots, y, &values)
}

/// The weight of a norm that has none.
fn ones(shape: &[usize]) -> Vec<f64> {
    vec![1.0; shape.last().copied().unwrap_or(0)]
}

fn no_kernel(op: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("no kernel for {op}"))
}

fn in_range(index: f64, rows: usize) -> Option<usize> {
    (index >= 0.0 && index < rows as f64).then_some(index as usize)
}

/// Applies `f` to each row (last dimension).
fn rows(x: &[f64], shape: &[usize], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let width = shape.last().copied().unwrap_or(1).max(1);
    x.chunks_exact(width).flat_map(f).collect()
}

/// Reduces `axis` to one value with `f`.
fn along(x: &[f64], shape: &[usize], axis: usize, f: impl Fn(&[f64]) -> Result<f64>) -> Result<Vec<f64>> {
    let (outer, n) = (shape[..axis].iter().product::<usize>(), shape[axis]);
    let inner: usize = shape[axis + 1..].iter().product();
    let line = |o: usize, i: usize| (0..n).map(move |k| x[(o * n + k) * inner + i]).collect::<Vec<_>>();
    (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))).map(|(o, i)| f(&line(o, i))).collect()
}

fn binary(op: BinaryOp) -> Result<fn((f64, f64)) -> f64> {
    Ok(match op {
        BinaryOp::Add => |(a, b)| a + b,
        BinaryOp::Sub => |(a, b)| a - b,
        BinaryOp::Mul => |(a, b)| a * b,
        BinaryOp::Div => |(a, b)| a / b,
        BinaryOp::Rem => |(a, b)| a % b,
        _ => return Err(no_kernel(op.name())),
    })
}

fn unary(op: UnaryOp, x: f64) -> Result<f64> {
    Ok(match op {
        UnaryOp::Neg => -x,
        UnaryOp::Exp => x.exp(),
        UnaryOp::Rsqrt => x.sqrt().recip(),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        UnaryOp::Silu => x / (1.0 + (-x).exp()),
        UnaryOp::Gelu => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        UnaryOp::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        }
        _ => return Err(no_kernel(op.name())),
    })
}

/// `erf x = 2/√π · e^(−x²) · Σ 2ⁿ x²ⁿ⁺¹ / (1·3·…·(2n+1))`: every term has the sign of x.
fn erf(x: f64) -> f64 {
    let x = x.clamp(-6.0, 6.0);
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        n += 2.0;
        term *= 2.0 * x * x / n;
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

fn softmax(
    op: &Softmax,
    x: &[f64],
    shape: &[usize],
    [mask, limits, sinks]: [Option<Vec<f64>>; 3],
    lowest: f64,
) -> Vec<f64> {
    let n = shape.last().copied().unwrap_or(1).max(1);
    let mut y = Vec::with_capacity(x.len());
    for (r, row) in x.chunks_exact(n).enumerate() {
        let end = limits.as_ref().map_or(n, |l| (l[r] as usize).min(n));
        let seen = op.window.map_or(0, |w| end.saturating_sub(w as usize))..end;
        let score = |(j, v): (usize, &f64)| match &mask {
            _ if !seen.contains(&j) => f64::NEG_INFINITY,
            mask => v * f64::from(op.scale.0) + mask.as_ref().map_or(0.0, |m| m[r * n + j]),
        };
        let scores: Vec<f64> = row.iter().enumerate().map(score).collect();
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sink = sinks.as_ref().map(|s| s[r]).filter(|_| top > f64::NEG_INFINITY);
        let max = top.max(sink.unwrap_or(f64::NEG_INFINITY));
        let weight = |&s: &f64| if s == f64::NEG_INFINITY { 0.0 } else { (s - max).exp() };
        let total: f64 = scores.iter().chain(&sink).map(weight).sum();
        y.extend(scores.iter().map(|s| match s {
            _ if !op.log => weight(s) / if total == 0.0 { 1.0 } else { total },
            &f64::NEG_INFINITY => lowest,
            s => s - max - total.ln(),
        }));
    }
    y
}

fn rope(op: &Rope, shape: &[usize], table: &[usize], [x, cos, sin, positions]: [&[f64]; 4]) -> Vec<f64> {
    let (heads, dim, half) = (shape[2], shape[3], table[1]);
    let mut y = x.to_vec();
    for (head, base) in (0..x.len()).step_by(dim.max(1)).enumerate() {
        let row = in_range(positions[head / heads], table[0]);
        for i in 0..half {
            let (c, s) = row.map_or((0.0, 0.0), |row| (cos[row * half + i], sin[row * half + i]));
            let (first, second) = match op.pairing {
                RopePairing::Interleaved => (base + 2 * i, base + 2 * i + 1),
                RopePairing::HalfSplit => (base + i, base + i + half),
            };
            y[first] = x[first] * c - x[second] * s;
            y[second] = x[second] * c + x[first] * s;
        }
    }
    y
}

fn matmul(a: &[f64], a_shape: &[usize], b: &[f64], b_shape: &[usize]) -> Vec<f64> {
    let (m, k, n) = (a_shape[a_shape.len() - 2], a_shape[a_shape.len() - 1], b_shape[b_shape.len() - 1]);
    let batch: usize = a_shape[..a_shape.len() - 2].iter().product();
    let mut y = vec![0.0; batch * m * n];
    for (row, out) in y.chunks_exact_mut(n.max(1)).enumerate() {
        let matrix = row / m * k * n;
        for (i, a) in a[row * k..][..k].iter().enumerate() {
            out.iter_mut().zip(&b[matrix + i * n..][..n]).for_each(|(sum, b)| *sum += a * b);
        }
    }
    y
}
