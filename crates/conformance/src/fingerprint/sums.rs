//! How kernels sum: the width of the accumulator, whether products are rounded before they are
//! added, and the order.

use std::sync::Arc;

use unisono_core::op::{Op, Reduce, ReduceOp};
use unisono_core::{DType, KernelChoice, OpDesc, Operand, ProgramBuilder, Result, SlotKind, Step, Support, TensorDesc};

use super::Trait;
use super::order::Joined;
use super::probe::{Probe, pack, shown};
use crate::data::{decode, power_of_two};

const GROUP: &str = "sums";
/// Terms of a sum.
const TERMS: usize = 256;
/// Columns of a product, which all compute the same.
const COLUMNS: usize = 8;
/// What cancels, and what vanishes beside it: all units together are below half of the last digit
/// of `LARGE` in f32, and both are in the range of f16.
const LARGE: f64 = 32768.0;
const UNIT: f64 = 1.0 / 1_048_576.0;
/// The most digits that are told apart.
const MOST_DIGITS: i32 = 60;

/// A kernel that sums: `rows` of terms in, one sum per row out.
struct Summing<'a> {
    probe: &'a Probe<'a>,
    op: Op,
    kernel: Arc<str>,
    /// Type of the weights of a product.
    weight: DType,
    /// Rows that one step of a product takes.
    m: usize,
    /// Whether the weights lie along k.
    along_k: bool,
}

/// The step's descriptors: terms, weights for a product, sums.
fn descs(op: &Op, m: usize, weight: DType, along_k: bool) -> Result<Vec<TensorDesc>> {
    let f32 = |shape: &[usize]| TensorDesc::contiguous(DType::F32, shape);
    if !matches!(op, Op::MatMul) {
        return Ok(vec![f32(&[m, TERMS])?, f32(&[m, 1])?]);
    }
    let weights = if along_k {
        TensorDesc::contiguous(weight, &[COLUMNS, TERMS])?.transposed(0, 1)?
    } else {
        TensorDesc::contiguous(weight, &[TERMS, COLUMNS])?
    };
    Ok(vec![f32(&[m, TERMS])?, weights, f32(&[m, COLUMNS])?])
}

/// Weights that all are `value`; in q8_0 an integer below 128.
fn weights(dtype: DType, value: f64) -> Vec<u8> {
    let n = TERMS * COLUMNS;
    if dtype == DType::Q8_0 {
        let mut block = pack(DType::F16, &[1.0]);
        block.extend([value as i8 as u8; 32]);
        return block.repeat(n / 32);
    }
    pack(dtype, &vec![value; n])
}

impl Summing<'_> {
    /// The sums of `rows`, each term times `factor`; none where columns of one row differ.
    async fn sums(&self, mut rows: Vec<Vec<f64>>, factor: f64) -> Result<Option<Vec<f64>>> {
        let count = rows.len();
        rows.resize(count.next_multiple_of(self.m), vec![0.0; TERMS]);
        let step = descs(&self.op, self.m, self.weight, self.along_k)?;
        let product = step.len() == 3;
        let width = if product { COLUMNS } else { 1 };
        let mut builder = ProgramBuilder::new();
        let all = TensorDesc::contiguous(DType::F32, &[rows.len(), TERMS])?;
        let x = builder.operand(SlotKind::Input, all);
        let w = product.then(|| builder.operand(SlotKind::Input, step[1]));
        let sums = TensorDesc::contiguous(DType::F32, &[rows.len(), width])?;
        let y = builder.operand(SlotKind::Output, sums);
        for i in (0..rows.len()).step_by(self.m) {
            let part = |o: Operand, desc, offset| Operand { offset, ..o.with_desc(desc) };
            let inputs = std::iter::once(part(x, step[0], i * TERMS)).chain(w).collect();
            let outputs = vec![part(y, step[step.len() - 1], i * width)];
            let kernel = KernelChoice::Named(self.kernel.clone());
            builder.push_step(Step { op: self.op.clone(), inputs, outputs, kernel })?;
        }
        let mut inputs = vec![pack(DType::F32, &rows.concat())];
        if product {
            inputs.push(weights(self.weight, factor));
        }
        let Some(bytes) = self.probe.run(&builder.finish(), &inputs, sums.span_bytes()).await? else { return Ok(None) };
        let values = decode(DType::F32, &bytes);
        let alike = values.chunks(width).all(|row| row.iter().all(|v| v.to_bits() == row[0].to_bits()));
        Ok(alike.then(|| values.chunks(width).take(count).map(|row| row[0]).collect()))
    }

    /// How many terms meet with term 0 and term `j`, counted from the last term if `mirrored`; none
    /// where the sums do not tell.
    async fn joined(&self, mirrored: bool) -> Result<Option<Joined>> {
        let row = |j: usize| {
            let mut row = vec![UNIT; TERMS];
            (row[0], row[j]) = (LARGE, -LARGE);
            if mirrored {
                row.reverse();
            }
            row
        };
        let Some(sums) = self.sums((1..TERMS).map(row).collect(), 1.0).await? else { return Ok(None) };
        let left: Vec<f64> = sums.iter().map(|s| s / UNIT).collect();
        let counts = left.iter().all(|&n| n == n.floor() && (0.0..=(TERMS - 2) as f64).contains(&n));
        Ok(counts.then(|| Joined(left.iter().map(|&n| TERMS - n as usize).collect())))
    }

    /// Digits that the accumulator holds: 2ᵉ + 1 − 2ᵉ is 1 as long as it does, and so is the same
    /// with −1, which moves away from zero where −2ᵉ comes first.
    async fn digits(&self, joined: &Joined) -> Result<Option<i32>> {
        let (near, far) = (joined.partner(), joined.last());
        let far = if far == near { TERMS - near } else { far };
        let row = |e: i32, one: f64| {
            let mut row = vec![0.0; TERMS];
            (row[0], row[near], row[far]) = (power_of_two(e), one, -power_of_two(e));
            row
        };
        let rows = (1..=MOST_DIGITS).flat_map(|e| [row(e, 1.0), row(e, -1.0)]).collect();
        let sums = self.sums(rows, 1.0).await?;
        Ok(sums.map(|s| s.chunks(2).position(|s| s != [1.0, -1.0]).map_or(MOST_DIGITS, |i| i as i32 + 1)))
    }

    /// Whether products are rounded before they are added.
    async fn products(&self, joined: &Joined) -> Result<&'static str> {
        // x·factor needs more digits than f32 has; x·factor − factor does not.
        let (factor, x) = match self.weight {
            DType::Q8_0 => (127.0, 1.0 + 4095.0 * power_of_two(-23)),
            _ => (1.0 + power_of_two(-10), 1.0 + 1023.0 * power_of_two(-14)),
        };
        let row = |first: f64, second: f64| {
            let mut row = vec![0.0; TERMS];
            (row[0], row[joined.partner()]) = (first, second);
            row
        };
        let Some(sums) = self.sums(vec![row(-1.0, x), row(x, -1.0)], factor).await? else { return Ok("not told") };
        let exact = sums.iter().filter(|&&s| s == (x - 1.0) * factor).count();
        Ok(["products rounded", "fused multiply-add", "products exact"][exact])
    }

    async fn describe(&self) -> Result<(String, String)> {
        let Some(joined) = self.joined(false).await? else {
            return Ok(("not told".into(), "columns differ, or what is left is no number of terms".into()));
        };
        let nothing_lost = joined.0.iter().all(|&size| size == 2);
        if nothing_lost {
            return Ok(("more digits than f32: no unit is lost beside 2^35 units".into(), String::new()));
        }
        let Some(digits) = self.digits(&joined).await? else { return Ok(("not told".into(), String::new())) };
        let width = match digits {
            24 => "24 digits (f32)".to_owned(),
            11 => "11 digits (f16)".to_owned(),
            8 => "8 digits (bf16)".to_owned(),
            53 => "53 digits (f64)".to_owned(),
            n => format!("{n} digits"),
        };
        let order = match joined.is_last() {
            true if self.joined(true).await?.is_some_and(|j| j.is_in_order()) => "one sum, from the last term".into(),
            _ => joined.describe(),
        };
        if !matches!(self.op, Op::MatMul) {
            return Ok((format!("{width}; {order}"), String::new()));
        }
        let products = self.products(&joined).await?;
        let first = shown(joined.0[0] as f64);
        let detail = format!("term 1 joins term 0 in a node of {first} of {TERMS} terms");
        Ok((format!("{width}; {products}; {order}"), detail))
    }
}

/// Every kernel for `op` on some rows, weights and layouts, each name once per number of rows.
async fn kernels(probe: &Probe<'_>, op: Op, settings: &[(usize, DType, bool)], traits: &mut Vec<Trait>) -> Result<()> {
    let mut seen: Vec<(Arc<str>, usize, DType)> = Vec::new();
    for &(m, weight, along_k) in settings {
        let operands = descs(&op, m, weight, along_k)?;
        let (outputs, inputs) = (vec![operands[operands.len() - 1]], operands[..operands.len() - 1].to_vec());
        let desc = OpDesc::new(op.clone(), inputs, outputs)?;
        if matches!(probe.backend.supports(&desc), Support::Unsupported(_)) {
            continue;
        }
        for kernel in probe.backend.kernels(&desc) {
            if seen.contains(&(kernel.clone(), m, weight)) {
                continue;
            }
            seen.push((kernel.clone(), m, weight));
            let weights = if matches!(op, Op::MatMul) { format!(", f32 x {weight}") } else { String::new() };
            let rows = if m == 1 { "1 row".to_owned() } else { format!("{m} rows") };
            let name = format!("{kernel}{weights}, {rows}");
            let summing = Summing { probe, op: op.clone(), kernel, weight, m, along_k };
            let (answer, detail) = summing.describe().await?;
            traits.push(Trait::new(GROUP, name, answer, detail));
        }
    }
    Ok(())
}

pub(super) async fn ask(probe: &Probe<'_>, traits: &mut Vec<Trait>) -> Result<()> {
    let mut settings = Vec::new();
    for weight in [DType::F32, DType::F16, DType::Q8_0] {
        for m in [1, 64] {
            settings.push((m, weight, true));
            if weight == DType::F32 {
                settings.push((m, weight, false));
            }
        }
    }
    kernels(probe, Op::MatMul, &settings, traits).await?;
    let sum = Op::Reduce(Reduce { op: ReduceOp::Sum, axis: 1 });
    kernels(probe, sum, &[(TERMS, DType::F32, true)], traits).await
}
