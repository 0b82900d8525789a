//! Attention over many keys: what a long context is to a kernel whose invocations walk along the keys.
//!
//! Some drivers end the loops of an invocation after 65,535 rounds, all loops counted together and
//! without a word (Mesa's software drivers up to 22.3 do), so a part of the keys is left out. A mean
//! over so many keys would hardly move. Here every query is hot in one column: almost all of its
//! weight is on one key, which may be anywhere, and several queries have several such keys.

use unisono_core::op::Visibility;
use unisono_core::{DType, Result};

use super::attention_features::{BASE, F32, HOT, Row, Serving, add, add_serving};
use super::{Sink, pick};

const F16: [DType; 4] = [DType::F16; 4];
const CACHED: [DType; 4] = [DType::F32, DType::F16, DType::F16, DType::F32];
const BLOCKS: [DType; 4] = [DType::F32, DType::Q8_0, DType::Q8_0, DType::F32];

/// The longest context.
const MOST: usize = 131_072;

fn wide(head_dim: usize) -> Row {
    Row {
        name: "many_keys",
        batch: 1,
        head_dim,
        v_dim: head_dim,
        visibility: Visibility::All,
        types: F32,
        data: HOT,
        ..BASE
    }
}

/// One query of four heads, and eight queries of one.
fn queries(row: Row, tokens: usize) -> Row {
    Row { tokens, heads: if tokens == 1 { [4, 1] } else { [1, 1] }, ..row }
}

fn contiguous(sink: Sink<'_>) -> Result<()> {
    let causal = Visibility::Causal;
    // Narrow heads, of which one is small enough for the quick level.
    add(sink, Row { heads: [8, 1], tokens: 1, kv: 64_000, quick: true, ..wide(4) })?;
    add(sink, Row { heads: [4, 1], tokens: 1, kv: 120_000, ..wide(4) })?;
    let sizes = [
        (256, 1, 24_000),
        (256, 8, 12_000),
        (128, 1, 32_768),
        (128, 1, 40_000),
        (128, 8, 20_000),
        (64, 1, 50_000),
        (64, 1, 65_536),
        (64, 8, 28_000),
        (192, 1, 65_537),
        (48, 8, 65_535),
    ];
    for (head_dim, tokens, kv) in sizes {
        add(sink, Row { kv, ..queries(wide(head_dim), tokens) })?;
    }
    for (i, head_dim) in [64, 80, 96, 128, 256].into_iter().enumerate() {
        for tokens in [1, 8] {
            let types = if head_dim == 256 { F16 } else { pick(&[F32, CACHED, F16], i) };
            let visibility = if tokens == 1 { Visibility::All } else { causal };
            add(sink, Row { kv: MOST, types, visibility, ..queries(wide(head_dim), tokens) })?;
        }
    }
    let base = Row { kv: 40_000, ..queries(wide(64), 8) };
    for row in [
        Row { types: BLOCKS, ..base },
        Row { types: BLOCKS, kv: MOST, ..queries(wide(128), 1) },
        Row { kv: MOST, window: Some(30_000), visibility: causal, ..base },
        Row { kv: MOST, window: Some(30_000), visibility: Visibility::Limits, tokens: 7, ..base },
        Row { visibility: Visibility::Limits, tokens: 7, heads: [6, 2], ..base },
        Row { sinks: Some(2.0), softcap: Some(30.0), token_major: true, ..base },
        Row { mask: Some("bool"), tokens: 3, ..base },
        Row { v_dim: 200, head_dim: 40, token_major: true, ..base },
        // A prompt after a long cache, and heads that only the decomposition takes.
        Row { tokens: 300, heads: [2, 1], kv: 20_000, visibility: causal, types: CACHED, ..base },
        Row { head_dim: 288, v_dim: 288, kv: 70_000, tokens: 1, heads: [2, 1], ..base },
    ] {
        add(sink, row)?;
    }
    Ok(())
}

/// The same on pages and with several sequences in one call.
fn serving(sink: Sink<'_>) -> Result<()> {
    let base = Row { visibility: Visibility::Limits, heads: [4, 1], tokens: 1, ..wide(64) };
    let one = |page, length: &'static [usize]| Serving { lengths: length, fresh: &[], page, strays: 0 };
    let ragged = |page, lengths: &'static [usize], fresh: &'static [usize]| Serving { lengths, fresh, page, strays: 1 };
    for (row, serving) in [
        (base, one(16, &[40_000])),
        (Row { types: F16, ..base }, one(256, &[MOST])),
        (Row { tokens: 8, heads: [1, 1], ..base }, one(64, &[50_000, 700])),
        (Row { head_dim: 128, v_dim: 128, types: CACHED, ..base }, one(64, &[100_001])),
        (base, ragged(64, &[50_000, 5, 33_333], &[1, 1, 1])),
        (Row { heads: [6, 2], ..base }, ragged(32, &[30_000, 5, 12_345], &[8, 1, 3])),
        (Row { heads: [1, 1], ..base }, ragged(0, &[60_000, 9, 40_000, 50_000], &[1, 1, 1, 5])),
        (Row { heads: [2, 2], window: Some(20_000), types: BLOCKS, ..base }, ragged(64, &[45_000, 70_000], &[3, 2])),
    ] {
        add_serving(sink, row, &serving)?;
    }
    Ok(())
}

pub(super) fn cases(sink: Sink<'_>) -> Result<()> {
    contiguous(sink)?;
    serving(sink)
}
