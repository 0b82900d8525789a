//! Rows gathered and scattered by index: embeddings and the write into a cache, with indices out
//! of range.

use unisono_core::op::Op;
use unisono_core::{DType, Result};

use super::movement::bits;
use super::{Draft, FLOATS, Layout, Sink, dims, pick};
use crate::case::DataClass;
use crate::data::Fill;

const STRAY: DataClass = DataClass::Adversarial("stray");

/// Element types: the same on both sides, or a cast between floats on the way.
const TYPES: [(DType, DType); 10] = [
    (DType::F32, DType::F32),
    (DType::F16, DType::F16),
    (DType::BF16, DType::BF16),
    (DType::F16, DType::F32),
    (DType::F32, DType::F16),
    (DType::BF16, DType::F32),
    (DType::F32, DType::BF16),
    (DType::U32, DType::U32),
    (DType::I32, DType::I32),
    (DType::F16, DType::BF16),
];

fn gather(sink: Sink<'_>) -> Result<()> {
    let shapes: [(&[usize], &[usize]); 10] = [
        (&[5, 4], &[3]),
        (&[17, 33], &[2, 7]),
        (&[1, 64], &[65]),
        (&[100, 1], &[9]),
        (&[9], &[31]),
        (&[7, 3, 5], &[4]),
        (&[7, 3, 5], &[2, 2]),
        (&[0, 8], &[3]),
        (&[6, 0], &[3]),
        (&[6, 8], &[0]),
    ];
    for (i, (table, indices)) in shapes.into_iter().enumerate() {
        for (t, (from, to)) in TYPES.into_iter().enumerate() {
            let stray = (i + t) % 2 == 1 || table[0] == 0;
            let data = if stray { STRAY } else { DataClass::Bits };
            let index = pick(&[DType::U32, DType::I32], i / 2 + t);
            let layout = pick(&[Layout::Plain, Layout::Gap(3), Layout::Plain, Layout::Transposed, Layout::Skip], i + t);
            let rows = table[0];
            let fill = if stray { Fill::StrayIndices { rows } } else { Fill::Indices { rows } };
            let y = [indices, &table[1..]].concat();
            let params = format!(
                "dtype={from}_{to},table={},indices={}_{index},layout={}",
                dims(table),
                dims(indices),
                layout.name()
            );
            Draft::new(Op::GatherRows, "rows", params, data)
                .input(layout.desc(from, table)?, bits(from))
                .input(Layout::Plain.desc(index, indices)?, fill)
                .output(layout.desc(to, &y)?)
                .quick_if(t % 5 == i % 5)
                .add(sink)?;
        }
    }
    for dtype in FLOATS {
        Draft::new(Op::GatherRows, "many", format!("dtype={dtype},table=300x4,indices=70000"), DataClass::Bits)
            .input(Layout::Plain.desc(dtype, &[300, 4])?, bits(dtype))
            .input(Layout::Plain.desc(DType::U32, &[70000])?, Fill::Indices { rows: 300 })
            .output(Layout::Plain.desc(dtype, &[70000, 4])?)
            .add(sink)?;
    }
    Ok(())
}

fn scatter(sink: Sink<'_>) -> Result<()> {
    // Rows of src, shape of dst.
    let shapes: [(usize, &[usize]); 10] = [
        (1, &[5, 4]),
        (3, &[5, 4]),
        (5, &[5, 33]),
        (7, &[64, 65]),
        (4, &[9]),
        (2, &[7, 3, 5]),
        (6, &[6, 2, 3, 4]),
        (0, &[4, 3]),
        (3, &[0, 3]),
        (3, &[4, 0]),
    ];
    for (i, (n, dst)) in shapes.into_iter().enumerate() {
        for (t, (from, to)) in TYPES.into_iter().enumerate() {
            let rows = dst[0];
            // One stray index among distinct ones: the next row behind the end, or far away.
            let stray = rows < n || (i + t) % 3 == 2;
            let data = if stray { STRAY } else { DataClass::Bits };
            let index = pick(&[DType::I32, DType::U32], i / 2 + t);
            let fill = match (stray, index) {
                (false, _) => Fill::Distinct { rows },
                (true, DType::I32) => {
                    Fill::Cycle((0..n).map(|j| if j == 1 { -1.0 } else { (rows + n - 1 - j) as f64 }).collect())
                }
                (true, _) => {
                    let far = f64::from(u32::MAX);
                    Fill::Cycle(
                        (0..n).map(|j| if j == 1 { far } else { (rows + n / 2).saturating_sub(j) as f64 }).collect(),
                    )
                }
            };
            let layout = pick(&[Layout::Plain, Layout::Gap(3), Layout::Plain, Layout::Reversed, Layout::Skip], i + t);
            let mut src = dst.to_vec();
            src[0] = n;
            let params = format!("dtype={from}_{to},n={n},dst={},indices={index},layout={}", dims(dst), layout.name());
            Draft::new(Op::ScatterRows, "rows", params, data)
                .input(layout.desc(from, &src)?, bits(from))
                .input(Layout::Plain.desc(index, &[n])?, fill)
                .output(layout.desc(to, dst)?)
                .initial(bits(to))
                .quick_if(t % 5 == i % 5)
                .add(sink)?;
        }
    }
    for dtype in FLOATS {
        Draft::new(Op::ScatterRows, "many", format!("dtype={dtype},n=70000,dst=70001x2"), DataClass::Bits)
            .input(Layout::Plain.desc(dtype, &[70000, 2])?, bits(dtype))
            .input(Layout::Plain.desc(DType::U32, &[70000])?, Fill::Distinct { rows: 70001 })
            .output(Layout::Plain.desc(dtype, &[70001, 2])?)
            .initial(bits(dtype))
            .add(sink)?;
    }
    Ok(())
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    gather(sink)?;
    scatter(sink)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::read_logical;
    use std::collections::HashSet;

    /// The contract asks for distinct indices; those out of range count as well.
    #[test]
    fn scattered_indices_are_distinct() {
        let mut all = Vec::new();
        scatter(&mut all).unwrap();
        for case in all {
            let bytes = case.input_bytes(1).unwrap();
            let indices = read_logical(&case.desc.inputs[1], &bytes).unwrap();
            let distinct: HashSet<u64> = indices.iter().map(|x| x.to_bits()).collect();
            assert_eq!(distinct.len(), indices.len(), "{}: {indices:?}", case.id);
        }
    }
}
