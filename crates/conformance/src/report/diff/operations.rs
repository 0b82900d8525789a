//! The errors of two devices, or of one before and after, next to each other: an operation and element
//! type a row, the largest error/bound of each with the case that has it.

use std::collections::HashMap;

use serde::Serialize;

use crate::report::{Number, OperationErrors};

/// One operation on one element type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperationDifference {
    /// The operation.
    pub family: String,
    /// The element type.
    pub dtype: String,
    /// In the first report; none where nothing was compared.
    pub before: Option<ErrorsOf>,
    /// In the second.
    pub after: Option<ErrorsOf>,
}

/// The errors of one side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorsOf {
    /// Results that were compared with the oracle.
    pub results: usize,
    /// The largest error/bound.
    pub ratio: Number,
    /// The case that has it.
    pub case: String,
    /// The kernel that has it.
    pub kernel: String,
}

impl ErrorsOf {
    fn of(row: &OperationErrors) -> ErrorsOf {
        ErrorsOf { results: row.results, ratio: row.ratio, case: row.case.clone(), kernel: row.kernel.clone() }
    }
}

/// Every row of either side: those of the first in its order, then what only the second has.
pub(super) fn side_by_side(before: &[OperationErrors], after: &[OperationErrors]) -> Vec<OperationDifference> {
    let mut rest: HashMap<(&str, &str), &OperationErrors> =
        after.iter().map(|row| ((row.family.as_str(), row.dtype.as_str()), row)).collect();
    let mut rows = Vec::new();
    let mut push = |row: &OperationErrors, before, after| {
        rows.push(OperationDifference { family: row.family.clone(), dtype: row.dtype.clone(), before, after });
    };
    for row in before {
        let other = rest.remove(&(row.family.as_str(), row.dtype.as_str()));
        push(row, Some(ErrorsOf::of(row)), other.map(ErrorsOf::of));
    }
    let added = after.iter().filter(|row| rest.contains_key(&(row.family.as_str(), row.dtype.as_str())));
    added.for_each(|row| push(row, None, Some(ErrorsOf::of(row))));
    rows
}
