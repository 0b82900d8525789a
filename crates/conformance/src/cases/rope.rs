//! Rotary embedding: both pairings, partial rotation, positions anywhere and outside the table.

use unisono_core::op::{Op, Rope, RopePairing};
use unisono_core::{DType, Result};

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
                for (j, positions) in [DType::U32, DType::I32].into_iter().enumerate() {
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
                            quick: turn % 3 == i % 3 && j == p,
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
    Ok(())
}
