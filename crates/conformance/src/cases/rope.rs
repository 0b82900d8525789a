//! Rotary embedding: both pairings, partial rotation, positions anywhere and outside the table; and
//! its composite with the write into a key cache of any layout.

use unisono_core::op::{Op, Rope, RopePairing, RopeWrite};
use unisono_core::{DType, Result, TensorDesc};

use super::{Draft, FLOATS, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

#[derive(Clone, Copy)]
struct Row {
    shape: [usize; 4],
    rotated: usize,
    table_rows: usize,
    pairing: RopePairing,
    types: [DType; 2],
    layout: Layout,
    positions: DType,
    data: DataClass,
    quick: bool,
}

const STRAY: DataClass = DataClass::Adversarial("stray");

fn add(sink: Sink<'_>, row: Row) -> Result<()> {
    let [tx, ty] = row.types;
    let x = match row.data {
        DataClass::Exact => Fill::Integers { max: 8 },
        DataClass::Wide => Fill::Wide { min_exp: -12, max_exp: 12 },
        _ => Fill::NORMAL,
    };
    let positions = match row.data {
        STRAY => Fill::StrayIndices { rows: row.table_rows },
        _ => Fill::Indices { rows: row.table_rows },
    };
    let params = format!(
        "dtype={},shape={},rotated={},table={},pairing={},positions={},layout={}",
        types(&row.types),
        dims(&row.shape),
        row.rotated,
        row.table_rows,
        row.pairing.name(),
        row.positions,
        row.layout.name(),
    );
    let table = [row.table_rows, row.rotated / 2];
    Draft::new(Op::Rope(Rope { pairing: row.pairing }), "rotate", params, row.data)
        .input(row.layout.desc(tx, &row.shape)?, x)
        .input(Layout::Plain.desc(DType::F32, &table)?, Fill::Circle { sine: false })
        .input(Layout::Plain.desc(DType::F32, &table)?, Fill::Circle { sine: true })
        .input(Layout::Plain.desc(row.positions, &row.shape[..2])?, positions)
        .output(row.layout.desc(ty, &row.shape)?)
        .quick_if(row.quick)
        .add(sink)
}

/// Where a key cache has its dimensions `[blocks, size, heads, head_dim]`.
const CACHES: [&str; 4] = ["token_major", "head_major", "gapped", "transposed"];

#[derive(Clone, Copy)]
struct Write {
    /// Batch, tokens, heads, head_dim.
    shape: [usize; 4],
    rotated: usize,
    /// Blocks and rows of each.
    cache: [usize; 2],
    place: &'static str,
    pairing: RopePairing,
    /// x, dst.
    types: [DType; 2],
    index: DType,
    data: DataClass,
    quick: bool,
}

fn cache_desc(place: &str, dtype: DType, [blocks, size]: [usize; 2], [heads, d]: [usize; 2]) -> Result<TensorDesc> {
    match place {
        "head_major" => TensorDesc::contiguous(dtype, &[blocks, heads, size, d])?.transposed(1, 2),
        "gapped" => Layout::Gap(5).desc(dtype, &[blocks, size, heads, d]),
        "transposed" => TensorDesc::contiguous(dtype, &[blocks, heads, d, size])?.permuted(&[0, 3, 1, 2]),
        _ => TensorDesc::contiguous(dtype, &[blocks, size, heads, d]),
    }
}

fn add_write(sink: Sink<'_>, row: Write) -> Result<()> {
    let [batch, tokens, heads, head_dim] = row.shape;
    let [tx, ty] = row.types;
    let rows = row.cache[0] * row.cache[1];
    let (x, indices) = match row.data {
        DataClass::Exact => (Fill::Integers { max: 8 }, Fill::Distinct { rows }),
        // Every second row is written; the rest lies outside the cache.
        STRAY => {
            let stray = |i: usize| [rows as f64, f64::from(i32::MAX), -1.0][i % 3];
            let at =
                |i: usize| if i.is_multiple_of(2) && i < rows { ((i * 7 + 3) % rows) as f64 } else { stray(i / 2) };
            let step_fits = !rows.is_multiple_of(7);
            (Fill::NORMAL, Fill::Cycle((0..batch * tokens).map(|i| if step_fits { at(i) } else { stray(i) }).collect()))
        }
        _ => (Fill::NORMAL, Fill::Distinct { rows }),
    };
    let params = format!(
        "dtype={},shape={},rotated={},cache={},place={},pairing={},index={}",
        types(&row.types),
        dims(&row.shape),
        row.rotated,
        dims(&row.cache),
        row.place,
        row.pairing.name(),
        row.index,
    );
    let table = [40, row.rotated / 2];
    let table_rows = if row.data == STRAY { Fill::StrayIndices { rows: 40 } } else { Fill::Indices { rows: 40 } };
    Draft::new(Op::RopeWrite(RopeWrite { pairing: row.pairing }), "write", params, row.data)
        .input(Layout::Plain.desc(tx, &row.shape)?, x)
        .input(Layout::Plain.desc(DType::F32, &table)?, Fill::Circle { sine: false })
        .input(Layout::Plain.desc(DType::F32, &table)?, Fill::Circle { sine: true })
        .input(Layout::Plain.desc(DType::U32, &row.shape[..2])?, table_rows)
        .input(Layout::Gap(1).desc(row.index, &row.shape[..2])?, indices)
        .output(cache_desc(row.place, ty, row.cache, [heads, head_dim])?)
        .initial(Fill::NORMAL)
        .quick_if(row.quick)
        .add(sink)
}

fn writes(sink: Sink<'_>) -> Result<()> {
    // What is written; rotated dimensions; blocks and rows of the cache.
    let shapes = [
        ([1, 1, 2, 64], 64, [1, 50]),
        ([2, 5, 3, 32], 32, [2, 16]),
        ([3, 1, 4, 80], 32, [10, 16]),
        ([1, 17, 2, 128], 128, [5, 8]),
        ([2, 3, 1, 33], 32, [6, 1]),
        ([1, 40, 2, 16], 16, [1, 45]),
        ([1, 2, 2, 10], 0, [3, 3]),
        ([0, 2, 2, 8], 8, [2, 2]),
        ([1, 2, 2, 8], 8, [0, 4]),
    ];
    let data = [DataClass::Normal, STRAY, DataClass::Exact];
    for (i, (shape, rotated, cache)) in shapes.into_iter().enumerate() {
        for (j, place) in CACHES.into_iter().enumerate() {
            for (t, dtype) in FLOATS.into_iter().enumerate() {
                let turn = i + 2 * j + t;
                let row = Write {
                    shape,
                    rotated,
                    cache,
                    place,
                    pairing: pick(&[RopePairing::HalfSplit, RopePairing::Interleaved], i + j),
                    types: if turn % 4 == 3 { [DType::F32, dtype] } else { [dtype; 2] },
                    index: pick(&[DType::U32, DType::I32, DType::I64], turn),
                    data: pick(&data, turn),
                    quick: t == i % 3 && j == i % 4,
                };
                add_write(sink, row)?;
            }
        }
    }
    let many = Write {
        shape: [1, 20000, 2, 16],
        rotated: 16,
        cache: [1300, 16],
        place: "head_major",
        pairing: RopePairing::HalfSplit,
        types: [DType::F16; 2],
        index: DType::U32,
        data: DataClass::Normal,
        quick: false,
    };
    add_write(sink, many)
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    // batch, tokens, heads, head_dim; rotated dimensions.
    let shapes = [
        ([1, 1, 1, 2], 2),
        ([1, 1, 8, 64], 64),
        ([2, 7, 3, 64], 64),
        ([1, 5, 4, 128], 128),
        ([1, 33, 2, 80], 80),
        ([2, 3, 4, 80], 32),
        ([1, 4, 2, 33], 32),
        ([3, 1, 32, 16], 16),
        ([1, 65, 1, 6], 2),
        ([1, 2, 2, 10], 0),
        ([0, 2, 2, 8], 8),
        ([1, 0, 2, 8], 8),
        ([1, 17, 5, 256], 256),
    ];
    let data = [DataClass::Normal, STRAY, DataClass::Exact, DataClass::Wide];
    let layouts = [Layout::Plain, Layout::Plain, Layout::Gap(8), Layout::Reversed, Layout::Transposed];
    for (i, (shape, rotated)) in shapes.into_iter().enumerate() {
        for (p, pairing) in [RopePairing::HalfSplit, RopePairing::Interleaved].into_iter().enumerate() {
            for (t, dtype) in FLOATS.into_iter().enumerate() {
                // Long positions with one of the types each.
                let positions = [DType::U32, DType::I32, DType::I64].into_iter().enumerate();
                for (j, positions) in positions.filter(|(j, _)| *j < 2 || t == i % 3) {
                    let turn = i + p + t + 2 * j;
                    let mixed = turn % 5 == 4;
                    add(
                        sink,
                        Row {
                            shape,
                            rotated,
                            table_rows: pick(&[64, 1, 4096, 17], turn),
                            pairing,
                            types: if mixed { [DType::F32, dtype] } else { [dtype; 2] },
                            layout: pick(&layouts, turn),
                            positions,
                            data: pick(&data, turn),
                            quick: (turn % 3 == i % 3 && j == p) || (j == 2 && i == 0 && p == 0),
                        },
                    )?;
                }
            }
        }
    }
    for dtype in FLOATS {
        for pairing in [RopePairing::HalfSplit, RopePairing::Interleaved] {
            add(
                sink,
                Row {
                    shape: [1, 70000, 1, 4],
                    rotated: 4,
                    table_rows: 131_072,
                    pairing,
                    types: [dtype; 2],
                    layout: Layout::Plain,
                    positions: DType::U32,
                    data: DataClass::Normal,
                    quick: false,
                },
            )?;
        }
    }
    writes(sink)
}
