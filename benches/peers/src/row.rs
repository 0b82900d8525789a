//! What is timed: the rows of the table as data, with the numbers that make a time comparable.

use unisono::{DType, NumericMode, TensorDesc};

/// Bytes over which the operands of a cold row rotate: more than a last-level cache holds.
const COLD_BYTES: usize = 256 << 20;

/// A function of each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Silu,
    GeluErf,
    GeluTanh,
}

/// A normalisation of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Norm {
    Softmax,
    /// With a factor per column.
    Rms,
    /// With a factor and a bias per column.
    Layer,
}

/// An operation with its shapes. Activations are f32 throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// `x·Wᵀ`: x is `[m, k]`, the weight `[n, k]` of type `dtype`.
    Product { dtype: DType, m: usize, n: usize, k: usize },
    /// Queries `[heads, tokens, dim]`, keys and values `[kv_heads, kv, dim]` of type `dtype`.
    Attention { dtype: DType, heads: usize, kv_heads: usize, tokens: usize, kv: usize, dim: usize, causal: bool },
    /// Rows of `shape`, the last dimension normalised.
    Norm { norm: Norm, shape: [usize; 3] },
    /// Elements of `[rows, cols]`.
    Function { function: Function, rows: usize, cols: usize },
    /// `[tokens, heads, dim]`, halves rotated against each other, positions 0, 1, ….
    Rope { tokens: usize, heads: usize, dim: usize },
}

/// A line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The name to choose it by.
    pub(crate) id: String,
    pub(crate) work: Work,
    /// Whether weights, or keys and values, come from memory at every run.
    pub(crate) cold: bool,
    /// Whether Unisono computes in the mode `int8-activations`, as other libraries always do where weights are
    /// in blocks.
    pub(crate) int8: bool,
}

/// The unit in which a row is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    GflopPerSecond,
    GbPerSecond,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Unit::GflopPerSecond => "GFLOP/s",
            Unit::GbPerSecond => "GB/s",
        }
    }
}

impl Row {
    /// How many copies of the rotating operands there are.
    pub(crate) fn copies(&self) -> usize {
        if self.cold { COLD_BYTES / self.work.rotating_bytes() + 2 } else { 1 }
    }

    /// The bytes or operations of one run, and their unit per second.
    pub(crate) fn amount(&self) -> (f64, Unit) {
        match self.work {
            _ if self.cold => (self.work.rotating_bytes() as f64, Unit::GbPerSecond),
            Work::Product { m, n, k, .. } => (2.0 * (m * n * k) as f64, Unit::GflopPerSecond),
            Work::Attention { heads, tokens, kv, dim, causal, .. } => {
                let all = 4.0 * (heads * tokens * kv * dim) as f64;
                (if causal { all / 2.0 } else { all }, Unit::GflopPerSecond)
            }
            Work::Norm { shape, .. } => (8.0 * shape.iter().product::<usize>() as f64, Unit::GbPerSecond),
            Work::Function { rows, cols, .. } => (8.0 * (rows * cols) as f64, Unit::GbPerSecond),
            Work::Rope { tokens, heads, dim } => (8.0 * (tokens * heads * dim) as f64, Unit::GbPerSecond),
        }
    }
}

impl Work {
    /// Bytes of weights, or of keys and values, that one run reads; 0 where nothing rotates.
    pub(crate) fn rotating_bytes(&self) -> usize {
        match *self {
            Work::Product { dtype, n, k, .. } => bytes(dtype, &[n, k]),
            Work::Attention { dtype, kv_heads, kv, dim, .. } => 2 * bytes(dtype, &[kv_heads, kv, dim]),
            _ => 0,
        }
    }

    /// The largest `‖a − b‖ / ‖b‖` at which two outputs agree: what the narrowest type that a
    /// library computes with costs.
    pub(crate) fn bound(&self) -> f64 {
        match self {
            Work::Product { dtype: DType::F32, .. } | Work::Norm { .. } => 1e-4,
            Work::Product { dtype: DType::F16 | DType::BF16, .. } | Work::Attention { dtype: DType::F16, .. } => 1e-2,
            // Activations become 8-bit numbers in other libraries.
            Work::Product { .. } => 2e-2,
            // Tables of 16-bit floats, angles in f32.
            Work::Attention { .. } | Work::Function { .. } | Work::Rope { .. } => 2e-3,
        }
    }
}

/// Bytes of a contiguous tensor.
pub(crate) fn bytes(dtype: DType, shape: &[usize]) -> usize {
    TensorDesc::contiguous(dtype, shape).map_or(0, |d| d.span_bytes() as usize)
}

const FORMATS: [DType; 7] = [DType::F32, DType::F16, DType::BF16, DType::Q4_0, DType::Q8_0, DType::Q4K, DType::Q6K];

fn product(dtype: DType, m: usize, n: usize, k: usize, cold: bool) -> Row {
    let heat = if cold { " cold" } else { "" };
    Row { id: format!("{dtype} {m}x{n}x{k}{heat}"), work: Work::Product { dtype, m, n, k }, cold, int8: false }
}

fn decode(dtype: DType) -> Row {
    let work = Work::Attention { dtype, heads: 32, kv_heads: 8, tokens: 1, kv: 2048, dim: 128, causal: false };
    Row { id: format!("attention decode 32/8x2048x128 {dtype} cold"), work, cold: true, int8: false }
}

fn rest() -> Vec<Row> {
    let row = |id: &str, work| Row { id: id.to_owned(), work, cold: false, int8: false };
    let rows = [512, 1, 4096];
    let function = |function| Work::Function { function, rows: 512, cols: 4096 };
    vec![
        row("softmax 32x512x512", Work::Norm { norm: Norm::Softmax, shape: [32, 512, 512] }),
        row("rms_norm 512x4096", Work::Norm { norm: Norm::Rms, shape: rows }),
        row("layer_norm 512x4096", Work::Norm { norm: Norm::Layer, shape: rows }),
        row("silu 512x4096", function(Function::Silu)),
        row("gelu erf 512x4096", function(Function::GeluErf)),
        row("gelu tanh 512x4096", function(Function::GeluTanh)),
        row("rope 512x32x128", Work::Rope { tokens: 512, heads: 32, dim: 128 }),
    ]
}

/// The rows for the CPU.
pub(crate) fn cpu() -> Vec<Row> {
    let mut rows: Vec<Row> = [512, 1024, 2048].map(|n| product(DType::F32, n, n, n, false)).into();
    rows.extend([DType::F16, DType::BF16].map(|d| product(d, 2048, 2048, 2048, false)));
    for dtype in FORMATS {
        let products = [1, 8, 128].map(|m| product(dtype, m, 4096, 4096, m == 1));
        let name = |row: &Row| format!("{} {}", row.id, NumericMode::Int8Activations.name());
        let int8 =
            products.iter().filter(|_| dtype.is_block()).map(|row| Row { id: name(row), int8: true, ..row.clone() });
        rows.extend(int8.collect::<Vec<_>>().into_iter().chain(products.clone()));
    }
    let prefill =
        Work::Attention { dtype: DType::F32, heads: 32, kv_heads: 32, tokens: 512, kv: 512, dim: 128, causal: true };
    rows.push(Row { id: "attention prefill 32x512x128 f32".into(), work: prefill, cold: false, int8: false });
    rows.extend([decode(DType::F32), decode(DType::F16)]);
    rows.extend(rest());
    rows
}

/// The rows for an adapter: what the peer there has, small enough for a software driver.
pub(crate) fn adapter() -> Vec<Row> {
    let mut rows: Vec<Row> = [256, 512, 1024].map(|n| product(DType::F32, n, n, n, false)).into();
    rows.push(product(DType::F32, 1, 4096, 4096, false));
    let same = ["softmax", "layer_norm", "silu"];
    rows.extend(rest().into_iter().filter(|r| same.iter().any(|s| r.id.starts_with(s))));
    rows
}
