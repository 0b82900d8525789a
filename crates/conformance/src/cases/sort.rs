//! Order: rows around every block size, ties, vocabularies, integers with and without a sign.

use unisono_core::op::{ArgSort, Op, TopK};
use unisono_core::{DType, Result};

use super::{Draft, Layout, Sink, dims, pick, types};
use crate::case::DataClass;
use crate::data::Fill;

const TIES: DataClass = DataClass::Adversarial("ties");
const EQUAL: DataClass = DataClass::Adversarial("equal");
const ZEROS: DataClass = DataClass::Adversarial("zeros");
const FALLING: DataClass = DataClass::Adversarial("falling");

const TYPES: [DType; 7] = [DType::F32, DType::F16, DType::I32, DType::BF16, DType::F32, DType::U32, DType::F16];

/// Row lengths around powers of two and around the blocks of kernels.
const LENGTHS: [usize; 22] =
    [1, 2, 3, 7, 31, 32, 33, 64, 128, 255, 256, 257, 1000, 1023, 1024, 1025, 2047, 2048, 2049, 4096, 4097, 5000];

fn fill(data: DataClass, dtype: DType, n: usize) -> Fill {
    match (data, dtype) {
        (DataClass::Bits, _) => Fill::Bits { start: 0x9E37_79B9, step: 0x85EB_CA6B },
        (TIES, _) => Fill::Integers { max: 2 },
        (EQUAL, DType::U32) => Fill::constant(7.0),
        (EQUAL, _) => Fill::constant(-3.0),
        // Zeros of both signs are one value.
        (ZEROS, _) => Fill::Cycle(vec![0.0, -0.0, -0.0, 1.0, 0.0, -0.0, -1.0]),
        (FALLING, _) => Fill::Cycle((0..n).map(|i| (n - i) as f64).collect()),
        (DataClass::Wide, _) => Fill::Wide { min_exp: -14, max_exp: 13 },
        (_, DType::I32 | DType::U32) => Fill::Bits { start: 1, step: 0x9E37_79B9 },
        _ => Fill::NORMAL,
    }
}

/// A type's own data in turn.
fn data(dtype: DType, turn: usize) -> DataClass {
    match dtype {
        DType::I32 | DType::U32 => pick(&[DataClass::Bits, TIES, DataClass::Bits, EQUAL], turn),
        DType::F32 => pick(&[DataClass::Normal, TIES, DataClass::Wide, ZEROS, FALLING], turn),
        _ => pick(&[DataClass::Normal, TIES, ZEROS, EQUAL], turn),
    }
}

struct Top<'a> {
    shape: &'a [usize],
    k: usize,
    smallest: bool,
    types: [DType; 2],
    layouts: [Layout; 3],
    data: DataClass,
    quick: bool,
}

fn top(sink: Sink<'_>, row: &Top<'_>) -> Result<()> {
    let [x, values, indices] = row.layouts;
    let n = row.shape.last().copied().unwrap_or(0);
    let mut kept = row.shape.to_vec();
    kept.pop();
    kept.push(row.k);
    let params = format!(
        "dtype={},shape={},k={},{},layout={}_{}_{}",
        types(&row.types),
        dims(row.shape),
        row.k,
        if row.smallest { "smallest" } else { "largest" },
        x.name(),
        values.name(),
        indices.name()
    );
    Draft::new(Op::TopK(TopK { k: row.k, smallest: row.smallest }), "rows", params, row.data)
        .input(x.desc(row.types[0], row.shape)?, fill(row.data, row.types[0], n))
        .output(values.desc(row.types[1], &kept)?)
        .output(indices.desc(DType::U32, &kept)?)
        .quick_if(row.quick)
        .add(sink)
}

struct Sort<'a> {
    shape: &'a [usize],
    descending: bool,
    dtype: DType,
    layouts: [Layout; 2],
    data: DataClass,
    quick: bool,
}

fn sort(sink: Sink<'_>, row: &Sort<'_>) -> Result<()> {
    let [x, y] = row.layouts;
    let n = row.shape.last().copied().unwrap_or(0);
    let order = if row.descending { "descending" } else { "ascending" };
    let layout = format!("{}_{}", x.name(), y.name());
    let params = format!("dtype={},shape={},{order},layout={layout}", row.dtype, dims(row.shape));
    Draft::new(Op::ArgSort(ArgSort { descending: row.descending }), "rows", params, row.data)
        .input(x.desc(row.dtype, row.shape)?, fill(row.data, row.dtype, n))
        .output(y.desc(DType::U32, row.shape)?)
        .quick_if(row.quick)
        .add(sink)
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    let plain = [Layout::Plain; 3];
    let layouts = [
        plain,
        [Layout::Gap(3), Layout::Plain, Layout::Gap(1)],
        [Layout::Transposed, Layout::Gap(1), Layout::Plain],
        [Layout::Skip, Layout::Transposed, Layout::Skip],
    ];
    for (i, n) in LENGTHS.into_iter().enumerate() {
        for turn in [i, i + 3] {
            let dtype = pick(&TYPES, turn);
            let shape = [pick(&[1, 3, 5], turn), n];
            let k = [1, 2, n / 2, n, 5, 40][turn % 6].min(n);
            let cast = dtype.is_float() && turn % 4 == 2;
            let types = [dtype, if cast { DType::F32 } else { dtype }];
            let all = pick(&layouts, turn);
            let (data, quick) = (data(dtype, i / 2 + turn), turn == i && matches!(i, 2 | 3 | 6 | 8 | 11 | 12 | 18));
            top(sink, &Top { shape: &shape, k, smallest: turn % 3 == 1, types, layouts: all, data, quick })?;
            let quick = turn == i + 3 && matches!(i, 2 | 4 | 6 | 12 | 18);
            let [x, y, _] = all;
            sort(
                sink,
                &Sort { shape: &shape, descending: turn.is_multiple_of(2), dtype, layouts: [x, y], data, quick },
            )?;
        }
    }
    let tops: [(&[usize], usize, bool, DType, DataClass); 14] = [
        (&[7], 3, false, DType::F32, TIES),
        (&[3, 0], 0, false, DType::F32, DataClass::Normal),
        (&[3, 9], 0, true, DType::F32, DataClass::Normal),
        (&[0, 9], 2, false, DType::F16, DataClass::Normal),
        (&[2, 3, 4, 33], 4, false, DType::BF16, DataClass::Normal),
        (&[70_000, 3], 1, false, DType::F32, TIES),
        (&[500, 128], 8, false, DType::F32, DataClass::Normal),
        (&[1, 128_256], 40, false, DType::F32, TIES),
        (&[2, 128_256], 64, false, DType::F16, DataClass::Normal),
        (&[1, 128_256], 1, true, DType::F32, EQUAL),
        (&[1, 128_256], 1024, false, DType::F32, DataClass::Normal),
        (&[1, 20_000], 1025, false, DType::F32, DataClass::Wide),
        (&[2, 6000], 6000, true, DType::I32, DataClass::Bits),
        (&[1, 1_000_003], 100, false, DType::F32, FALLING),
    ];
    for (shape, k, smallest, dtype, data) in tops {
        top(sink, &Top { shape, k, smallest, types: [dtype; 2], layouts: plain, data, quick: false })?;
    }
    let sorts: [(&[usize], bool, DType, DataClass); 8] = [
        (&[5], true, DType::F32, TIES),
        (&[3, 0], true, DType::F32, DataClass::Normal),
        (&[2, 3, 4, 9], false, DType::F16, TIES),
        (&[70_000, 2], true, DType::F32, TIES),
        (&[1, 100_000], false, DType::F32, DataClass::Normal),
        (&[1, 100_000], true, DType::F32, TIES),
        (&[2, 128_256], true, DType::BF16, DataClass::Normal),
        (&[1, 128_257], false, DType::I32, DataClass::Bits),
    ];
    for (shape, descending, dtype, data) in sorts {
        sort(sink, &Sort { shape, descending, dtype, layouts: [Layout::Plain; 2], data, quick: false })?;
    }
    Ok(())
}
