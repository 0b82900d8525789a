//! How large the errors of an operation are: for each operation and element type the worst result, and
//! how all results spread over the decades of error/bound.
//!
//! One large number says little: a kernel whose results all lie at nine tenths of the bound is near to
//! failing, one with a single such case has met adversarial data. The counts tell them apart, and the
//! worst case has a name to run it by.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{CaseResult, Number};

/// The classes of error/bound that results are counted in: what each holds, from small to large.
pub const DECADES: [&str; 10] =
    ["0", "< 1e-6", "< 1e-5", "< 1e-4", "< 0.001", "< 0.01", "< 0.1", "<= 1", "<= 10", "> 10"];
/// The first class that is over the bound.
pub(super) const OVER: usize = 8;

/// The class of a ratio. What is no number is over every bound.
fn decade(ratio: f64) -> usize {
    const BELOW: [f64; 6] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1];
    match ratio {
        0.0 => 0,
        r if r <= 1.0 => 1 + BELOW.iter().take_while(|&&limit| r >= limit).count(),
        r if r <= 10.0 => OVER,
        _ => OVER + 1,
    }
}

/// The errors of one operation on one element type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationErrors {
    /// The operation.
    pub family: String,
    /// The element type under which its cases are listed.
    pub dtype: String,
    /// Results in which elements were compared. Informative cases are left out.
    pub results: usize,
    /// The largest `error / bound` among them.
    pub ratio: Number,
    /// The case that has it, the first of the suite where several do.
    pub case: String,
    /// The kernel that has it.
    pub kernel: String,
    /// How many results fall into each of the [`DECADES`].
    pub histogram: [usize; 10],
}

impl OperationErrors {
    /// The errors of every operation and element type of which something was compared, in the order of
    /// `results`.
    pub fn of(results: &[CaseResult]) -> Vec<OperationErrors> {
        let mut rows: Vec<OperationErrors> = Vec::new();
        let mut place: HashMap<(&str, &str), usize> = HashMap::new();
        for result in results.iter().filter(|r| !r.informative) {
            let Some(Number(ratio)) = result.ratio else { continue };
            // Some JSON has no NaN, and nothing may hide behind one.
            let ratio = if ratio.is_nan() { f64::INFINITY } else { ratio };
            let at = *place.entry((&result.family, &result.dtype)).or_insert_with(|| {
                rows.push(OperationErrors {
                    family: result.family.clone(),
                    dtype: result.dtype.clone(),
                    results: 0,
                    ratio: Number(-1.0),
                    case: String::new(),
                    kernel: String::new(),
                    histogram: [0; 10],
                });
                rows.len() - 1
            });
            let row = &mut rows[at];
            row.results += 1;
            row.histogram[decade(ratio)] += 1;
            if ratio > row.ratio.0 {
                row.ratio = Number(ratio);
                row.case.clone_from(&result.id);
                row.kernel.clone_from(&result.kernel);
            }
        }
        rows
    }
}

/// All rows together.
pub(super) fn histogram<'a>(rows: impl IntoIterator<Item = &'a OperationErrors>) -> [usize; 10] {
    rows.into_iter().fold([0; 10], |mut all, row| {
        all.iter_mut().zip(row.histogram).for_each(|(sum, n)| *sum += n);
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn every_ratio_has_its_decade() {
        let of = |ratio| DECADES[decade(ratio)];
        let pairs = [
            (0.0, "0"),
            (f64::MIN_POSITIVE, "< 1e-6"),
            (1e-6, "< 1e-5"),
            (0.0999, "< 0.1"),
            (0.1, "<= 1"),
            (1.0, "<= 1"),
            (1.0 + f64::EPSILON, "<= 10"),
            (10.0, "<= 10"),
            (10.1, "> 10"),
            (f64::INFINITY, "> 10"),
            (f64::NAN, "> 10"),
        ];
        assert_eq!(pairs.map(|(ratio, _)| of(ratio)), pairs.map(|(_, name)| name));
        assert!((0..OVER).all(|i| !DECADES[i].starts_with('>')) && decade(1.0) < OVER && decade(1.1) == OVER);
    }

    #[test]
    fn the_worst_case_is_named_and_the_counts_add_up() {
        let results = &report().devices[0].results;
        let rows = OperationErrors::of(results);
        let compared = results.iter().filter(|r| !r.informative && r.ratio.is_some()).count();
        assert_eq!(rows.iter().map(|r| r.results).sum::<usize>(), compared);
        assert_eq!(histogram(&rows).iter().sum::<usize>(), compared);
        let add = &rows[0];
        assert_eq!((add.family.as_str(), add.dtype.as_str(), add.ratio), ("add", "f16", Number(2.5)));
        assert_eq!((&add.case, &add.kernel), (&results[1].id, &results[1].kernel));
        let first = results.iter().position(|r| r.ratio.is_some_and(|r| r.0 == f64::INFINITY)).unwrap();
        assert_eq!(rows[1].case, results[first].id, "the first of several");
    }
}
