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
    /// Needs matrix units.
    pub(crate) matrix_units: bool,
    /// Invocations of a workgroup; at most, where `GROUP` is a constant of the pipeline.
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
    let (f16, subgroups, matrix_units) = (false, false, false);
    Row { name, file, features, f16, subgroups, matrix_units, workgroup_size: [lanes, 1, 1], workgroup_bytes }
}

/// Every variant. A name that ends in `.sub` writes elements smaller than a word.
pub(crate) const ROWS: &[Row] = &[
    row("copy", "movement/copy", &["inputs1"], 256, 0),
    row("copy.sub", "movement/copy", &["inputs1", "sub"], 256, 0),
    row("gather_rows", "movement/gather", &["inputs2"], 256, 0),
    row("gather_rows.sub", "movement/gather", &["inputs2", "sub"], 256, 0),
    row("scatter_rows", "movement/scatter", &["inputs2"], 256, 0),
    row("scatter_rows.sub", "movement/scatter", &["inputs2", "sub"], 256, 0),
    row("cast", "movement/cast", &["inputs1"], 256, 0),
    row("cast.sub", "movement/cast", &["inputs1", "sub"], 256, 0),
    row("fill", "movement/fill", &["inputs0"], 256, 0),
    row("fill.sub", "movement/fill", &["inputs0", "sub"], 256, 0),
    row("function", "elementwise/function", &["inputs1"], 256, 0),
    row("function.sub", "elementwise/function", &["inputs1", "sub"], 256, 0),
    row("bits", "elementwise/bits", &["inputs1"], 256, 0),
    row("bits.sub", "elementwise/bits", &["inputs1", "sub"], 256, 0),
    row("pair", "elementwise/pair", &["inputs2"], 256, 0),
    row("pair.sub", "elementwise/pair", &["inputs2", "sub"], 256, 0),
    row("compare.sub", "elementwise/compare", &["inputs2", "sub"], 256, 0),
    row("where", "elementwise/where", &["inputs3"], 256, 0),
    row("where.sub", "elementwise/where", &["inputs3", "sub"], 256, 0),
    row("unary", "elementwise/unary", &["inputs1"], 256, 0),
    row("unary.sub", "elementwise/unary", &["inputs1", "sub"], 256, 0),
    row("wide_unary", "elementwise/wide", &["inputs1"], 256, 0),
    row("binary", "elementwise/binary", &["inputs2"], 256, 0),
    row("binary.sub", "elementwise/binary", &["inputs2", "sub"], 256, 0),
    row("wide_binary", "elementwise/wide", &["inputs2"], 256, 0),
    Row { workgroup_size: [8, 8, 1], ..row("matmul_direct", "matmul/direct", &[], 64, 0) },
    Row { workgroup_size: [8, 8, 1], ..row("matmul_direct.sub", "matmul/direct", &["sub"], 64, 0) },
    row("matmul_columns", "matmul/columns", &[], 8, 0),
    row("matmul_columns.sub", "matmul/columns", &["sub"], 8, 0),
    Row { subgroups: true, ..row("matmul_columns_subgroups", "matmul/columns", &["subgroups"], 8, 0) },
    Row { subgroups: true, ..row("matmul_columns_subgroups.sub", "matmul/columns", &["subgroups", "sub"], 8, 0) },
    row("matmul_tiled", "matmul/tiled", &[], 256, 8192),
    row("matmul_tiled.sub", "matmul/tiled", &["sub"], 256, 8192),
    row("matmul_tiled_small", "matmul/tiled", &["small"], 64, 4096),
    row("matmul_tiled_small.sub", "matmul/tiled", &["small", "sub"], 64, 4096),
    row("matmul_matvec_nk", "matmul/matvec_nk", &[], 64, 4096),
    row("matmul_matvec_nk.sub", "matmul/matvec_nk", &["sub"], 64, 4096),
    row("matmul_matvec_nk_wide", "matmul/matvec_nk", &["wide"], 64, 4096),
    row("matmul_matvec_nk_wide.sub", "matmul/matvec_nk", &["wide", "sub"], 64, 4096),
    row("matmul_matvec_kn", "matmul/matvec_kn", &[], 128, 4096),
    row("matmul_matvec_kn.sub", "matmul/matvec_kn", &["sub"], 128, 4096),
    Row { workgroup_size: [8, 8, 1], ..row("linear_direct", "matmul/direct", &["epilogue"], 64, 0) },
    Row { workgroup_size: [8, 8, 1], ..row("linear_direct.sub", "matmul/direct", &["epilogue", "sub"], 64, 0) },
    row("linear_columns", "matmul/columns", &["epilogue"], 8, 0),
    row("linear_columns.sub", "matmul/columns", &["epilogue", "sub"], 8, 0),
    Row { subgroups: true, ..row("linear_columns_subgroups", "matmul/columns", &["epilogue", "subgroups"], 8, 0) },
    Row {
        subgroups: true,
        ..row("linear_columns_subgroups.sub", "matmul/columns", &["epilogue", "subgroups", "sub"], 8, 0)
    },
    row("linear_tiled", "matmul/tiled", &["epilogue"], 256, 8192),
    row("linear_tiled.sub", "matmul/tiled", &["epilogue", "sub"], 256, 8192),
    row("linear_tiled_small", "matmul/tiled", &["small", "epilogue"], 64, 4096),
    row("linear_tiled_small.sub", "matmul/tiled", &["small", "epilogue", "sub"], 64, 4096),
    row("linear_matvec_nk", "matmul/matvec_nk", &["epilogue"], 64, 4096),
    row("linear_matvec_nk.sub", "matmul/matvec_nk", &["epilogue", "sub"], 64, 4096),
    row("linear_matvec_nk_wide", "matmul/matvec_nk", &["wide", "epilogue"], 64, 4096),
    row("linear_matvec_nk_wide.sub", "matmul/matvec_nk", &["wide", "epilogue", "sub"], 64, 4096),
    row("linear_matvec_kn", "matmul/matvec_kn", &["epilogue"], 128, 4096),
    row("linear_matvec_kn.sub", "matmul/matvec_kn", &["epilogue", "sub"], 128, 4096),
    row("blocks_columns", "quant/columns", &["epilogue"], 8, 0),
    row("blocks_columns.sub", "quant/columns", &["epilogue", "sub"], 8, 0),
    Row { subgroups: true, ..row("blocks_columns_subgroups", "quant/columns", &["epilogue", "subgroups"], 8, 0) },
    Row {
        subgroups: true,
        ..row("blocks_columns_subgroups.sub", "quant/columns", &["epilogue", "subgroups", "sub"], 8, 0)
    },
    row("blocks_matvec", "quant/matvec", &["epilogue"], 64, 4096),
    row("blocks_matvec.sub", "quant/matvec", &["epilogue", "sub"], 64, 4096),
    row("blocks_matvec_wide", "quant/matvec", &["epilogue", "wide"], 64, 4096),
    row("blocks_matvec_wide.sub", "quant/matvec", &["epilogue", "wide", "sub"], 64, 4096),
    row("blocks_tiled", "quant/tiled", &["epilogue"], 256, 16384),
    row("blocks_tiled.sub", "quant/tiled", &["epilogue", "sub"], 256, 16384),
    row("blocks_tiled_small", "quant/tiled", &["epilogue", "small"], 64, 8192),
    row("blocks_tiled_small.sub", "quant/tiled", &["epilogue", "small", "sub"], 64, 8192),
    row("dequantise", "quant/dequantise", &["inputs1", "blocks_a"], 256, 0),
    row("dequantise.sub", "quant/dequantise", &["inputs1", "blocks_a", "sub"], 256, 0),
    row("dequantise_rows", "quant/dequantise", &["inputs2", "blocks_a", "gather"], 256, 0),
    row("dequantise_rows.sub", "quant/dequantise", &["inputs2", "blocks_a", "gather", "sub"], 256, 0),
    row("experts_rows", "matmul/experts_rows", &[], 64, 512),
    row("experts_rows.sub", "matmul/experts_rows", &["sub"], 64, 512),
    row("blocks_experts_rows", "matmul/experts_rows", &["blocks"], 64, 512),
    row("blocks_experts_rows.sub", "matmul/experts_rows", &["blocks", "sub"], 64, 512),
    row("experts_tiled", "matmul/experts_tiled", &["small"], 64, 10272),
    row("experts_tiled.sub", "matmul/experts_tiled", &["small", "sub"], 64, 10272),
    row("blocks_experts_tiled", "matmul/experts_tiled", &["small", "blocks"], 64, 10272),
    row("blocks_experts_tiled.sub", "matmul/experts_tiled", &["small", "blocks", "sub"], 64, 10272),
    row("quantise.sub", "quant/quantise", &["inputs1", "sub"], 64, 0),
    row("quantise_rows.sub", "quant/quantise", &["inputs2", "scatter", "sub"], 64, 0),
    row("reduce_row", "reduce/row", &["inputs1"], 256, 3136),
    row("reduce_row.sub", "reduce/row", &["inputs1", "sub"], 256, 3136),
    Row { subgroups: true, ..row("reduce_row_subgroups", "reduce/row", &["inputs1", "subgroups"], 256, 2048) },
    Row {
        subgroups: true,
        ..row("reduce_row_subgroups.sub", "reduce/row", &["inputs1", "subgroups", "sub"], 256, 2048)
    },
    row("reduce_column", "reduce/column", &["inputs1"], 256, 0),
    row("reduce_column.sub", "reduce/column", &["inputs1", "sub"], 256, 0),
    row("reduce_split", "reduce/row", &["inputs1", "split"], 256, 3136),
    row("reduce_integers", "reduce/integers", &["inputs1"], 256, 1024),
    row("reduce_integers.sub", "reduce/integers", &["inputs1", "sub"], 256, 1024),
    row("arg_row", "reduce/arg", &["inputs1"], 256, 2048),
    row("arg_split", "reduce/arg", &["inputs1", "split"], 256, 2048),
    row("arg_join", "reduce/arg", &["inputs1", "join"], 256, 2048),
    row("cumsum_row", "reduce/cumsum", &["inputs1"], 256, 1024),
    row("cumsum_row.sub", "reduce/cumsum", &["inputs1", "sub"], 256, 1024),
    row("cumsum_integers", "reduce/cumsum", &["inputs1", "integer"], 256, 1024),
    row("cumsum_column", "reduce/cumsum_column", &["inputs1"], 256, 0),
    row("cumsum_column.sub", "reduce/cumsum_column", &["inputs1", "sub"], 256, 0),
    row("sort_tile", "sort/tile", &["bound2"], 256, 16384),
    row("sort_tile_again", "sort/tile", &["bound2", "pairs"], 256, 16384),
    row("sort_merge", "sort/merge", &["bound2", "pairs"], 256, 0),
    row("argsort_tile", "sort/tile", &["bound2", "emit"], 256, 16384),
    row("argsort_merge", "sort/merge", &["bound2", "pairs", "emit"], 256, 0),
    row("topk_tile", "sort/tile", &["bound3", "emit", "values"], 256, 16384),
    row("topk_tile.sub", "sort/tile", &["bound3", "emit", "values", "sub"], 256, 16384),
    row("topk_tile_again", "sort/tile", &["bound4", "pairs", "emit", "values"], 256, 16384),
    row("topk_tile_again.sub", "sort/tile", &["bound4", "pairs", "emit", "values", "sub"], 256, 16384),
    row("topk_merge", "sort/merge", &["bound4", "pairs", "emit", "values"], 256, 0),
    row("topk_merge.sub", "sort/merge", &["bound4", "pairs", "emit", "values", "sub"], 256, 0),
    row("softmax", "softmax/softmax", &["inputs4"], 256, 2048),
    row("softmax.sub", "softmax/softmax", &["inputs4", "sub"], 256, 2048),
    Row { subgroups: true, ..row("softmax_subgroups", "softmax/softmax", &["inputs4", "subgroups"], 256, 1024) },
    Row {
        subgroups: true,
        ..row("softmax_subgroups.sub", "softmax/softmax", &["inputs4", "subgroups", "sub"], 256, 1024)
    },
    row("softmax_cached", "softmax/softmax", &["inputs4", "cached"], 256, 10240),
    row("softmax_cached.sub", "softmax/softmax", &["inputs4", "cached", "sub"], 256, 10240),
    Row {
        subgroups: true,
        ..row("softmax_cached_subgroups", "softmax/softmax", &["inputs4", "cached", "subgroups"], 256, 9216)
    },
    Row {
        subgroups: true,
        ..row("softmax_cached_subgroups.sub", "softmax/softmax", &["inputs4", "cached", "subgroups", "sub"], 256, 9216)
    },
    row("rms_norm", "norm/rms_norm", &["inputs2"], 256, 2048),
    row("rms_norm.sub", "norm/rms_norm", &["inputs2", "sub"], 256, 2048),
    Row { subgroups: true, ..row("rms_norm_subgroups", "norm/rms_norm", &["inputs2", "subgroups"], 256, 1024) },
    Row {
        subgroups: true,
        ..row("rms_norm_subgroups.sub", "norm/rms_norm", &["inputs2", "subgroups", "sub"], 256, 1024)
    },
    row("layer_norm", "norm/layer_norm", &["inputs3"], 256, 2048),
    row("layer_norm.sub", "norm/layer_norm", &["inputs3", "sub"], 256, 2048),
    Row { subgroups: true, ..row("layer_norm_subgroups", "norm/layer_norm", &["inputs3", "subgroups"], 256, 1024) },
    Row {
        subgroups: true,
        ..row("layer_norm_subgroups.sub", "norm/layer_norm", &["inputs3", "subgroups", "sub"], 256, 1024)
    },
    row("add_rms_norm", "norm/rms_norm", &["inputs4", "add"], 256, 2048),
    row("add_rms_norm.z", "norm/rms_norm", &["inputs4", "add", "sub_z"], 256, 2048),
    row("add_rms_norm.sub", "norm/rms_norm", &["inputs4", "add", "sub"], 256, 2048),
    row("add_rms_norm.z.sub", "norm/rms_norm", &["inputs4", "add", "sub", "sub_z"], 256, 2048),
    Row {
        subgroups: true,
        ..row("add_rms_norm_subgroups", "norm/rms_norm", &["inputs4", "add", "subgroups"], 256, 1024)
    },
    Row {
        subgroups: true,
        ..row("add_rms_norm_subgroups.z", "norm/rms_norm", &["inputs4", "add", "subgroups", "sub_z"], 256, 1024)
    },
    Row {
        subgroups: true,
        ..row("add_rms_norm_subgroups.sub", "norm/rms_norm", &["inputs4", "add", "subgroups", "sub"], 256, 1024)
    },
    Row {
        subgroups: true,
        ..row(
            "add_rms_norm_subgroups.z.sub",
            "norm/rms_norm",
            &["inputs4", "add", "subgroups", "sub", "sub_z"],
            256,
            1024,
        )
    },
    row("l2_norm", "norm/l2_norm", &["inputs1"], 256, 2048),
    row("l2_norm.sub", "norm/l2_norm", &["inputs1", "sub"], 256, 2048),
    row("group_norm", "norm/group_norm", &[], 256, 2048),
    row("group_norm.sub", "norm/group_norm", &["sub"], 256, 2048),
    row("im2col", "conv/im2col", &[], 256, 0),
    row("im2col.sub", "conv/im2col", &["sub"], 256, 0),
    row("conv_direct", "conv/direct", &[], 64, 0),
    row("conv_direct.sub", "conv/direct", &["sub"], 64, 0),
    row("rope", "rope/rope", &[], 256, 0),
    row("rope.sub", "rope/rope", &["sub"], 256, 0),
    row("rope_write", "rope/rope", &["write"], 256, 0),
    row("rope_write.sub", "rope/rope", &["write", "sub"], 256, 0),
    row("attention_16", "attention/flash", &["rows16"], 256, 12560),
    row("attention_16.sub", "attention/flash", &["rows16", "sub"], 256, 12560),
    row("attention_8", "attention/flash", &["rows8"], 128, 10512),
    row("attention_8.sub", "attention/flash", &["rows8", "sub"], 128, 10512),
    row("attention_4", "attention/flash", &["rows4"], 64, 5392),
    row("attention_4.sub", "attention/flash", &["rows4", "sub"], 64, 5392),
    row("attention_split", "attention/flash", &["rows4", "split"], 64, 5392),
    Row { subgroups: true, ..row("attention_subgroups_16", "attention/flash", &["rows16", "subgroups"], 256, 12560) },
    Row {
        subgroups: true,
        ..row("attention_subgroups_16.sub", "attention/flash", &["rows16", "subgroups", "sub"], 256, 12560)
    },
    Row { subgroups: true, ..row("attention_subgroups_8", "attention/flash", &["rows8", "subgroups"], 128, 10512) },
    Row {
        subgroups: true,
        ..row("attention_subgroups_8.sub", "attention/flash", &["rows8", "subgroups", "sub"], 128, 10512)
    },
    Row { subgroups: true, ..row("attention_subgroups_4", "attention/flash", &["rows4", "subgroups"], 64, 5392) },
    Row {
        subgroups: true,
        ..row("attention_subgroups_4.sub", "attention/flash", &["rows4", "subgroups", "sub"], 64, 5392)
    },
    Row {
        subgroups: true,
        ..row("attention_subgroups_split", "attention/flash", &["rows4", "split", "subgroups"], 64, 5392)
    },
    row("attention_combine", "attention/combine", &[], 64, 0),
    row("attention_combine.sub", "attention/combine", &["sub"], 64, 0),
    Row { subgroups: true, matrix_units: true, ..row("probe_matrix", "probe/matrix", &[], 256, 2048) },
    Row {
        f16: true,
        subgroups: true,
        matrix_units: true,
        ..row("probe_matrix_f16", "probe/matrix", &["half"], 256, 1024)
    },
    row("probe_read", "probe/memory", &["read"], 256, 0),
    row("probe_read_scalar", "probe/memory", &["read", "scalar"], 256, 0),
    row("probe_copy", "probe/memory", &["copy"], 256, 0),
    row("probe_copy_scalar", "probe/memory", &["copy", "scalar"], 256, 0),
    row("probe_triad", "probe/memory", &["triad"], 256, 0),
    row("probe_triad_scalar", "probe/memory", &["triad", "scalar"], 256, 0),
    row("probe_fma", "probe/fma", &[], 256, 0),
    Row { f16: true, ..row("probe_fma_f16", "probe/fma", &["half"], 256, 0) },
    row("probe_dot_int8", "probe/dot_int8", &[], 256, 0),
    row("probe_workgroup", "probe/workgroup", &[], 256, 16384),
    Row { subgroups: true, ..row("probe_subgroup", "probe/subgroup", &[], 256, 0) },
    row("probe_empty", "probe/empty", &[], 64, 0),
];
