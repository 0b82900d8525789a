//! The table of variants: which shaders exist, from which file, and what they need.
//!
//! Read by the build script, which assembles each row; a row costs nothing where it is not used.

/// One variant as it is to be assembled.
pub(crate) struct Row {
    /// Unique name.
    pub(crate) name: &'static str,
    /// WESL file under `wesl/`, without its extension.
    pub(crate) file: &'static str,
    /// Conditional sections that are switched on.
    pub(crate) features: &'static [&'static str],
    /// Needs 16-bit arithmetic.
    pub(crate) f16: bool,
    /// Needs subgroup operations.
    pub(crate) subgroups: bool,
    /// Invocations of a workgroup.
    pub(crate) workgroup_size: [u32; 3],
    /// Workgroup memory, at most.
    pub(crate) workgroup_bytes: u32,
}

const fn row(
    name: &'static str,
    file: &'static str,
    features: &'static [&'static str],
    lanes: u32,
    workgroup_bytes: u32,
) -> Row {
    Row { name, file, features, f16: false, subgroups: false, workgroup_size: [lanes, 1, 1], workgroup_bytes }
}

/// Every variant. A name that ends in `.sub` writes elements smaller than a word.
pub(crate) const ROWS: &[Row] = &[
    row("copy", "movement/copy", &["inputs1"], 256, 0),
    row("copy.sub", "movement/copy", &["inputs1", "sub"], 256, 0),
    row("gather_rows", "movement/gather", &["inputs2"], 256, 0),
    row("gather_rows.sub", "movement/gather", &["inputs2", "sub"], 256, 0),
    row("scatter_rows", "movement/scatter", &["inputs2"], 256, 0),
    row("scatter_rows.sub", "movement/scatter", &["inputs2", "sub"], 256, 0),
    row("unary", "elementwise/unary", &["inputs1"], 256, 0),
    row("unary.sub", "elementwise/unary", &["inputs1", "sub"], 256, 0),
    row("binary", "elementwise/binary", &["inputs2"], 256, 0),
    row("binary.sub", "elementwise/binary", &["inputs2", "sub"], 256, 0),
];
