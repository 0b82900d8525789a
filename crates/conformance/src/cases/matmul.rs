//! Matrix products: tile sizes and their neighbours, decode rows, long sums, every layout.

use unisono_core::op::Op;
use unisono_core::{DType, Result};

use super::{Draft, FLOATS, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

/// Layouts of a, b and y with their name in ids.
pub(super) const LAYOUTS: [(&str, [Layout; 3]); 6] = [
    ("nt", [Layout::Plain, Layout::Transposed, Layout::Plain]),
    ("nn", [Layout::Plain, Layout::Plain, Layout::Plain]),
    ("tn", [Layout::Transposed, Layout::Plain, Layout::Plain]),
    ("tt", [Layout::Transposed, Layout::Transposed, Layout::Transposed]),
    ("gap", [Layout::Gap(3), Layout::Gap(1), Layout::Gap(5)]),
    ("skip", [Layout::Skip, Layout::Skip, Layout::Skip]),
];

/// Element types of a, b and y where they differ: activations in f32 with weights in 16 bits, and
/// 16 bits in with f32 out.
pub(super) const MIXED: [[DType; 3]; 6] = [
    [DType::F32, DType::F16, DType::F32],
    [DType::F32, DType::BF16, DType::F32],
    [DType::F16, DType::F16, DType::F32],
    [DType::BF16, DType::BF16, DType::F32],
    [DType::F16, DType::BF16, DType::F16],
    [DType::F32, DType::F32, DType::F16],
];

/// What fills a and b for a class of data; magnitudes keep a 16-bit result finite.
pub(super) fn fills(data: DataClass, types: [DType; 3], rank: usize) -> [Fill; 2] {
    let half = types.contains(&DType::F16);
    match data {
        DataClass::Exact => [Fill::Integers { max: 8 }, Fill::Integers { max: 8 }],
        DataClass::Wide => {
            let (min_exp, max_exp) = if half { (-8, 3) } else { (-20, 20) };
            [Fill::Wide { min_exp, max_exp }, Fill::Wide { min_exp, max_exp }]
        }
        DataClass::Adversarial("cancel") => [Fill::Cancel { axis: rank - 1, scale: 100.0 }, Fill::constant(1.5)],
        DataClass::Adversarial("huge") => [Fill::Wide { min_exp: 17, max_exp: 20 }, Fill::normal(0.01)],
        DataClass::Adversarial("small") => [Fill::normal(1e-4), Fill::normal(1e-3)],
        _ => [Fill::NORMAL, Fill::NORMAL],
    }
}

const CANCEL: DataClass = DataClass::Adversarial("cancel");
const HUGE: DataClass = DataClass::Adversarial("huge");

struct Row<'a> {
    name: &'static str,
    batch: &'a [usize],
    mkn: [usize; 3],
    types: [DType; 3],
    layout: usize,
    data: DataClass,
    quick: bool,
}

fn add(sink: Sink<'_>, row: &Row<'_>) -> Result<()> {
    let [m, k, n] = row.mkn;
    let (layout, [la, lb, ly]) = LAYOUTS[row.layout % LAYOUTS.len()];
    let shape = |r: usize, c: usize| [row.batch, &[r, c]].concat();
    let batch = if row.batch.is_empty() { String::new() } else { format!("batch={},", dims(row.batch)) };
    let params = format!("dtype={},{batch}m={m},k={k},n={n},layout={layout}", types(&row.types));
    let [fa, fb] = fills(row.data, row.types, row.batch.len() + 2);
    Draft::new(Op::MatMul, row.name, params, row.data)
        .input(la.desc(row.types[0], &shape(m, k))?, fa)
        .input(lb.desc(row.types[1], &shape(k, n))?, fb)
        .output(ly.desc(row.types[2], &shape(m, n))?)
        .quick_if(row.quick)
        .add(sink)
}

/// Sizes around every tile edge, with primes; small enough for the quick level.
const EDGES: [[usize; 3]; 20] = [
    [1, 1, 1],
    [2, 3, 5],
    [1, 64, 1],
    [7, 1, 9],
    [15, 16, 17],
    [16, 16, 16],
    [31, 32, 33],
    [32, 33, 31],
    [33, 31, 32],
    [63, 64, 65],
    [64, 64, 64],
    [65, 63, 64],
    [33, 127, 65],
    [17, 128, 129],
    [129, 17, 65],
    [13, 129, 37],
    [64, 65, 127],
    [32, 256, 64],
    [5, 511, 11],
    [97, 41, 101],
];

/// Larger ones, for the full level.
const LARGE: [[usize; 3]; 10] = [
    [127, 129, 128],
    [128, 128, 128],
    [129, 127, 131],
    [255, 64, 257],
    [256, 256, 256],
    [100, 300, 200],
    [64, 1000, 96],
    [65, 1023, 33],
    [500, 64, 500],
    [513, 33, 129],
];

/// Decode shapes: few rows, many columns.
const DECODE: [[usize; 2]; 8] =
    [[64, 64], [63, 129], [256, 250], [255, 513], [512, 1000], [1024, 128], [1536, 256], [2048, 64]];

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    let data = [DataClass::Exact, DataClass::Normal, DataClass::Wide, CANCEL];
    for (i, mkn) in EDGES.into_iter().enumerate() {
        for (t, dtype) in FLOATS.into_iter().enumerate() {
            for layout in 0..LAYOUTS.len() {
                let data = pick(&data, i + t + layout);
                let quick = layout == (2 * i + t) % 4 && (dtype == DType::F32 || i % 2 == t % 2);
                add(sink, &Row { name: "plain", batch: &[], mkn, types: [dtype; 3], layout, data, quick })?;
            }
        }
        let types = pick(&MIXED, i);
        let data = pick(&data, i / 2);
        add(sink, &Row { name: "mixed", batch: &[], mkn, types, layout: i / 6, data, quick: i % 2 == 0 })?;
        add(
            sink,
            &Row { name: "mixed", batch: &[], mkn, types: pick(&MIXED, i + 3), layout: i % 5, data, quick: false },
        )?;
    }
    for (i, mkn) in LARGE.into_iter().enumerate() {
        for (t, dtype) in FLOATS.into_iter().enumerate() {
            for layout in 0..2 {
                let data = pick(&data, i + t + layout);
                add(sink, &Row { name: "plain", batch: &[], mkn, types: [dtype; 3], layout, data, quick: false })?;
            }
        }
    }
    for (i, [k, n]) in DECODE.into_iter().enumerate() {
        for m in 1..=8 {
            for (t, dtype) in FLOATS.into_iter().enumerate() {
                let types = if (m + t) % 3 == 0 { pick(&MIXED[..4], i + t) } else { [dtype; 3] };
                let data = pick(&data, i + m + t);
                let quick = m * k * n < 300_000 && (m - 1 + i) % 4 == t;
                add(
                    sink,
                    &Row { name: "decode", batch: &[], mkn: [m, k, n], types, layout: (m / 4) % 2, data, quick },
                )?;
            }
        }
    }
    for (i, mkn) in [[1, 256, 4096], [1, 1024, 1023], [2, 1024, 1000], [1, 64, 32000]].into_iter().enumerate() {
        for dtype in FLOATS {
            let data = pick(&data, i);
            add(sink, &Row { name: "wide", batch: &[], mkn, types: [dtype; 3], layout: 0, data, quick: false })?;
        }
    }
    long_sums(sink)?;
    empty(sink)?;
    batches(sink)?;
    for (i, mkn) in [[33, 64, 33], [1, 128, 65], [40, 40, 72]].into_iter().enumerate() {
        for (j, types) in [[DType::F32; 3], MIXED[0], MIXED[1]].into_iter().enumerate() {
            add(sink, &Row { name: "plain", batch: &[], mkn, types, layout: 0, data: HUGE, quick: i == j })?;
            let small = DataClass::Adversarial("small");
            add(sink, &Row { name: "plain", batch: &[], mkn, types, layout: 1, data: small, quick: i == j })?;
        }
    }
    Ok(())
}

/// One dropped or doubled term shows at any length, because the data is exact.
fn long_sums(sink: Sink<'_>) -> Result<()> {
    for (i, k) in [1023usize, 2047, 4097, 8191, 8192, 8193, 16385, 65537].into_iter().enumerate() {
        for (j, [m, n]) in [[1, 3], [4, 17], [33, 34]].into_iter().enumerate() {
            for (t, dtype) in FLOATS.into_iter().enumerate() {
                let types = [dtype, dtype, DType::F32];
                let quick = m * n < 100 && (5..10000).contains(&k) && j == t % 2 && (i + t) % 2 == 0;
                let data = if k <= 8193 || m == 1 { DataClass::Exact } else { DataClass::Normal };
                add(sink, &Row { name: "long", batch: &[], mkn: [m, k, n], types, layout: (i + j) % 3, data, quick })?;
            }
        }
    }
    Ok(())
}

fn empty(sink: Sink<'_>) -> Result<()> {
    for (i, mkn) in [[0, 4, 5], [4, 0, 5], [4, 5, 0], [0, 0, 0], [33, 0, 65]].into_iter().enumerate() {
        for dtype in FLOATS {
            let row = Row {
                name: "empty",
                batch: &[],
                mkn,
                types: [dtype; 3],
                layout: 1,
                data: DataClass::Normal,
                quick: i < 3 && (dtype == DType::F32 || i == 1),
            };
            add(sink, &row)?;
        }
    }
    Ok(())
}

/// Batches, and operands that all batches share.
fn batches(sink: Sink<'_>) -> Result<()> {
    let shared = [
        ("shared_b", [Layout::Plain, Layout::SharedBatch, Layout::Plain]),
        ("shared_a", [Layout::SharedBatch, Layout::Plain, Layout::Plain]),
        ("reversed", [Layout::Reversed, Layout::Reversed, Layout::Reversed]),
    ];
    let shapes: [(&[usize], [usize; 3]); 6] = [
        (&[1], [5, 7, 9]),
        (&[3], [17, 33, 16]),
        (&[2, 3], [4, 31, 8]),
        (&[2, 1, 2], [1, 65, 33]),
        (&[0], [3, 4, 5]),
        (&[70], [2, 8, 3]),
    ];
    for (i, (batch, mkn)) in shapes.into_iter().enumerate() {
        for (t, dtype) in FLOATS.into_iter().enumerate() {
            let data = pick(&[DataClass::Exact, DataClass::Normal], i + t);
            for layout in [0, 1, 4] {
                let quick = layout == [0, 1, 4][t] && i % 3 != 2;
                add(sink, &Row { name: "batch", batch, mkn, types: [dtype; 3], layout, data, quick })?;
            }
            for (j, (layout, [la, lb, ly])) in shared.into_iter().enumerate() {
                let [m, k, n] = mkn;
                let shape = |r: usize, c: usize| [batch, &[r, c]].concat();
                let params = format!("dtype={dtype},batch={},m={m},k={k},n={n},layout={layout}", dims(batch));
                let [fa, fb] = fills(data, [dtype; 3], batch.len() + 2);
                Draft::new(Op::MatMul, "batch", params, data)
                    .input(la.desc(dtype, &shape(m, k))?, fa)
                    .input(lb.desc(dtype, &shape(k, n))?, fb)
                    .output(ly.desc(dtype, &shape(m, n))?)
                    .quick_if(i % 2 == 1 && (j == (t + i) % 3 || dtype == DType::F32))
                    .add(sink)?;
            }
        }
    }
    Ok(())
}
