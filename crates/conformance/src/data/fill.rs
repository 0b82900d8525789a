//! The classes of values that operands are filled with, element by element.

use unisono_core::{DType, TensorDesc};

use super::block_fill::{Scales, block};
use super::convert::{encode, for_each_position};
use super::{POISON_BYTE, Stream};

/// A rule from (stream, logical index) to a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fill {
    /// Integers of magnitude at most `max`.
    Integers { max: u64 },
    /// Bell-shaped.
    Normal { mean: f64, scale: f64 },
    /// Uniform between two numbers.
    Uniform { low: f64, high: f64 },
    /// Either sign, magnitudes uniform in the exponent: `2^min_exp ≤ |x| < 2^(max_exp + 1)`.
    Wide { min_exp: i32, max_exp: i32 },
    /// These values in turn, in logical row-major order.
    Cycle(Vec<f64>),
    /// These integers in turn, exact also where `f64` is not.
    Integral(Vec<i64>),
    /// Along `axis`, each even element is large and the next one nearly its opposite.
    Cancel { axis: usize, scale: f64 },
    /// Bell-shaped, but one element of each row (the last dimension) is `hot`.
    Hot { hot: f64 },
    /// Bell-shaped below `seen` along `axis`, `beyond` with random signs from there on.
    Beyond { axis: usize, seen: usize, beyond: f64 },
    /// Keys or values `[caches or pages, heads, keys, width]`: bell-shaped where a key is below what
    /// its cache or page holds (`live`, 0 where the list has ended), else 3·10³⁷ with random signs:
    /// what freed memory may hold.
    Live { scale: f64, live: Vec<usize> },
    /// Bit patterns `start + i·step`; NaN and ∞ are made finite by clearing an exponent bit.
    Bits { start: u32, step: u32 },
    /// These bit patterns in turn: NaNs with a sign and a payload of their own, among others.
    Words(Vec<u32>),
    /// An additive mask that hides the last `size − tokens + i + 1` and later columns of row `i`.
    CausalMask,
    /// A mask: of four elements one is −∞, the rest bell-shaped; row 0 is all −∞. A boolean one is
    /// false where the other would be −∞.
    RandomMask,
    /// Indices below `rows`.
    Indices { rows: usize },
    /// Indices below `rows`, but every third is out of range (huge, the first beyond, negative).
    StrayIndices { rows: usize },
    /// Distinct indices below `rows`, spread.
    Distinct { rows: usize },
    /// Cosine (`sine` false) or sine of a random angle from rational functions, alike on every
    /// platform; both tables share `angles`.
    Circle { sine: bool },
    /// Ready blocks: random codes under scales of this kind.
    Blocks(Scales),
}

impl Fill {
    /// The standard normal distribution.
    pub(crate) const NORMAL: Fill = Fill::Normal { mean: 0.0, scale: 1.0 };

    /// Bell-shaped around 0.
    pub(crate) fn normal(scale: f64) -> Fill {
        Fill::Normal { mean: 0.0, scale }
    }

    /// One value everywhere.
    pub(crate) fn constant(value: f64) -> Fill {
        Fill::Cycle(vec![value])
    }

    /// The bits of the element with the given logical index and row-major number.
    fn bits(&self, stream: &Stream, desc: &TensorDesc, index: &[usize], i: u64) -> u64 {
        if let Fill::Bits { start, step } = *self {
            let low = start.wrapping_add((i as u32).wrapping_mul(step));
            // The upper half of a long element differs from the lower one.
            let high = if desc.dtype == DType::I64 { low.rotate_left(13) ^ step } else { 0 };
            return u64::from(high) << 32 | u64::from(finite_bits(desc.dtype, low));
        }
        if let Fill::Integral(ref values) = *self {
            return values.get(i as usize % values.len().max(1)).copied().unwrap_or(0) as u64;
        }
        if let Fill::Words(ref words) = *self {
            return words.get(i as usize % words.len().max(1)).copied().unwrap_or(0).into();
        }
        let value = self.value(stream, desc, index, i);
        // A device may read a subnormal f16 as zero. Only cases that are about that contain one.
        let explicit = matches!(self, Fill::Cycle(_));
        let tiny = desc.dtype == DType::F16 && !explicit && value.abs() < 1.0 / 16384.0;
        encode(desc.dtype, if tiny { 0.0 } else { value })
    }

    fn value(&self, s: &Stream, desc: &TensorDesc, index: &[usize], i: u64) -> f64 {
        let shape = &desc.shape;
        let sign = |c: u64| if s.bits(c) & 1 == 0 { 1.0 } else { -1.0 };
        match *self {
            Fill::Integers { max } => s.below(i, 2 * max + 1) as f64 - max as f64,
            Fill::Normal { mean, scale } => mean + scale * s.normal(i),
            Fill::Uniform { low, high } => low + (high - low) * s.unit(i),
            Fill::Wide { min_exp, max_exp } => {
                let e = min_exp + s.below(3 * i, (max_exp - min_exp + 1).max(1) as u64) as i32;
                sign(3 * i + 1) * (1.0 + s.unit(3 * i + 2)) * power_of_two(e)
            }
            Fill::Cycle(ref values) => values.get(i as usize % values.len().max(1)).copied().unwrap_or(0.0),
            Fill::Cancel { axis, scale } => {
                // A pair shares the counter of its even member and differs in the last places.
                let odd = index[axis] % 2 == 1;
                let below: usize = shape[axis + 1..].iter().product();
                let pair = if odd { i - below as u64 } else { i };
                let x = scale * s.normal(pair);
                if odd { -x * (1.0 + s.normal(i + (1 << 40)) / 4096.0) } else { x }
            }
            Fill::Hot { hot } => {
                let n = *shape.last().unwrap_or(&1) as u64;
                let (row, column) = (i / n, i % n);
                if column == s.below(row + (1 << 40), n) { hot } else { s.normal(i) }
            }
            Fill::Beyond { axis, seen, beyond } => {
                if index[axis] < seen {
                    s.normal(i)
                } else {
                    sign(i) * beyond
                }
            }
            Fill::Live { scale, ref live } => {
                if index[2] < live.get(index[0]).copied().unwrap_or(0) {
                    scale * s.normal(i)
                } else {
                    sign(i) * 3e37
                }
            }
            Fill::CausalMask => {
                let (tokens, kv) = (shape[shape.len() - 2], shape[shape.len() - 1]);
                let (row, column) = (index[shape.len() - 2], index[shape.len() - 1]);
                if column + tokens <= kv + row { 0.0 } else { f64::NEG_INFINITY }
            }
            Fill::RandomMask => {
                let first_row = shape.len() >= 2 && index[shape.len() - 2] == 0;
                match first_row || s.below(2 * i, 4) == 0 {
                    hidden if desc.dtype == DType::Bool => f64::from(u8::from(!hidden)),
                    true => f64::NEG_INFINITY,
                    false => s.normal(2 * i + 1),
                }
            }
            Fill::Indices { rows } => s.below(i, rows as u64) as f64,
            Fill::StrayIndices { rows } => match (i % 3, (i / 3) % 3) {
                (1, 0) => rows as f64,
                (1, 1) if desc.dtype == DType::U32 => f64::from(u32::MAX),
                (1, 1) => -1.0,
                (1, _) => f64::from(i32::MAX),
                _ => s.below(i, rows as u64) as f64,
            },
            Fill::Distinct { rows } => {
                let rows = rows.max(1) as u64;
                // An odd multiplier that shares no factor with the number of rows.
                let step = [7, 11, 13, 17, 1].into_iter().find(|p| !rows.is_multiple_of(*p) || *p == 1).unwrap_or(1);
                ((i * step + s.below(1 << 40, rows)) % rows) as f64
            }
            Fill::Circle { sine } => {
                // Tables are separate operands; the angle must not depend on the operand's stream.
                let t = 2.0 * Stream::new("circle", 0).unit(i) - 1.0;
                (if sine { 2.0 * t } else { 1.0 - t * t }) / (1.0 + t * t)
            }
            // Handled as bit patterns and as bytes.
            Fill::Bits { .. } | Fill::Integral(_) | Fill::Words(_) | Fill::Blocks(_) => 0.0,
        }
    }
}

/// The bits with an exponent of all ones made finite.
fn finite_bits(dtype: DType, bits: u32) -> u32 {
    let (exponent, highest) = match dtype {
        DType::F32 => (0x7F80_0000, 0x4000_0000),
        DType::F16 => (0x7C00, 0x4000),
        DType::BF16 => (0x7F80, 0x4000),
        _ => return bits,
    };
    if bits & exponent == exponent { bits & !highest } else { bits }
}

/// 2^e, exact for every normal f64.
pub(crate) fn power_of_two(e: i32) -> f64 {
    f64::from_bits(((e + 1023).clamp(1, 2046) as u64) << 52)
}

/// The storage of `desc` over its span: the fill's values, poison in the gaps. Elements that share
/// storage (broadcast views) get the value of their first index.
pub(crate) fn fill_bytes(desc: &TensorDesc, fill: &Fill, stream: &Stream) -> Vec<u8> {
    let size = desc.dtype.block_bytes();
    let mut bytes = vec![POISON_BYTE; desc.span_bytes() as usize];
    if desc.is_empty() {
        return bytes;
    }
    let distinct: Vec<usize> =
        desc.shape.iter().zip(desc.strides.iter()).map(|(&d, &s)| if s == 0 { 1 } else { d }).collect();
    if desc.dtype.is_block() {
        fill_blocks(desc, fill, stream, &distinct, &mut bytes);
        return bytes;
    }
    let weights = desc.shape.contiguous_strides();
    for_each_position(desc, &distinct, |index, at| {
        let i = index.iter().zip(weights.iter()).map(|(&i, &w)| i * w).sum::<usize>();
        let bits = fill.bits(stream, desc, index, i as u64).to_le_bytes();
        bytes[at * size..(at + 1) * size].copy_from_slice(&bits[..size]);
    });
    bytes
}

/// Fills block by block; the number of a block is the logical number of its first element. Fills
/// for numbers give blocks of ordinary scales.
fn fill_blocks(desc: &TensorDesc, fill: &Fill, stream: &Stream, distinct: &[usize], bytes: &mut [u8]) {
    let (size, elements) = (desc.dtype.block_bytes(), desc.dtype.block_elements());
    let scales = |index: &[usize]| match *fill {
        Fill::Blocks(scales) => scales,
        Fill::Live { ref live, .. } if index[2] >= live.get(index[0]).copied().unwrap_or(0) => Scales::Max,
        _ => Scales::Normal,
    };
    let weights = desc.shape.contiguous_strides();
    for_each_position(desc, distinct, |index, at| {
        if at % elements == 0 {
            let first = index.iter().zip(weights.iter()).map(|(&i, &w)| i * w).sum::<usize>();
            let block = block(desc.dtype, scales(index), stream, first as u64);
            bytes[at / elements * size..][..size].copy_from_slice(&block);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{decode, read_logical};

    fn values(fill: &Fill, dtype: DType, shape: &[usize]) -> Vec<f64> {
        let desc = TensorDesc::contiguous(dtype, shape).unwrap();
        decode(dtype, &fill_bytes(&desc, fill, &Stream::new("test", 0)))
    }

    #[test]
    fn gaps_hold_poison_and_values_do_not_depend_on_strides() {
        let gappy = TensorDesc::strided(DType::F32, &[2, 2], &[5, 2]).unwrap();
        let bytes = fill_bytes(&gappy, &Fill::NORMAL, &Stream::new("test", 0));
        assert_eq!(bytes.len(), 8 * 4);
        assert!(bytes[4..8].iter().chain(&bytes[12..20]).all(|&b| b == POISON_BYTE));
        assert_eq!(read_logical(&gappy, &bytes).unwrap(), values(&Fill::NORMAL, DType::F32, &[2, 2]));
    }

    #[test]
    fn all_patterns_of_16_bits_are_finite() {
        let x = values(&Fill::Bits { start: 0, step: 1 }, DType::F16, &[65536]);
        assert!(x.iter().all(|x| x.is_finite()));
        let distinct: std::collections::HashSet<u64> = x.iter().map(|x| x.to_bits()).collect();
        assert_eq!(distinct.len(), 63488);
    }

    #[test]
    fn special_fills_do_what_they_say() {
        let mask = values(&Fill::CausalMask, DType::F16, &[2, 3]);
        let hidden = f64::NEG_INFINITY;
        assert_eq!(mask, [0.0, 0.0, hidden, 0.0, 0.0, 0.0]);
        let mut distinct = values(&Fill::Distinct { rows: 14 }, DType::U32, &[14]);
        distinct.sort_by(f64::total_cmp);
        assert_eq!(distinct, (0..14).map(f64::from).collect::<Vec<_>>());
        let hot = values(&Fill::Hot { hot: 100.0 }, DType::F32, &[3, 8]);
        assert!(hot.chunks(8).all(|row| row.iter().filter(|&&x| x == 100.0).count() == 1));
        let stray = values(&Fill::StrayIndices { rows: 4 }, DType::I32, &[9]);
        assert_eq!([stray[1], stray[4], stray[7]], [4.0, -1.0, f64::from(i32::MAX)]);
        let pairs = values(&Fill::Cancel { axis: 0, scale: 1e4 }, DType::F32, &[4, 3]);
        assert!((0..3).all(|j| (pairs[j] + pairs[3 + j]).abs() <= pairs[j].abs() / 500.0));
    }

    #[test]
    fn blocks_are_valid_and_keep_their_class() {
        for dtype in DType::BLOCKS {
            let x = |scales| values(&Fill::Blocks(scales), dtype, &[3, 2048]);
            let size = |x: &[f64]| x.iter().map(|x| x.abs()).sum::<f64>() / x.len() as f64;
            let exact = x(Scales::Exact);
            assert!(exact.iter().all(|x| x.fract() == 0.0) && size(&exact) < 240.0, "{dtype}: {}", size(&exact));
            assert!(exact.iter().any(|&x| x < 0.0) && exact.iter().any(|&x| x > 0.0), "{dtype}");
            let normal = size(&x(Scales::Normal));
            assert!((0.2..3.0).contains(&normal), "{dtype}: {normal}");
            assert!(x(Scales::Zero).iter().all(|&x| x == 0.0), "{dtype}");
            assert!(x(Scales::Max).iter().all(|x| x.is_finite()) && size(&x(Scales::Max)) > 1e5, "{dtype}");
            let least = size(&x(Scales::Subnormal));
            assert!(least > 0.0 && least < 1.0, "{dtype}: {least}");
        }
    }

    #[test]
    fn blocks_do_not_depend_on_strides() {
        let plain = TensorDesc::contiguous(DType::Q4_0, &[4, 64]).unwrap();
        let gappy = TensorDesc::strided(DType::Q4_0, &[4, 64], &[96, 1]).unwrap();
        let [a, b] = [plain, gappy].map(|desc| {
            let bytes = fill_bytes(&desc, &Fill::Blocks(Scales::Normal), &Stream::new("test", 0));
            read_logical(&desc, &bytes).unwrap()
        });
        assert_eq!(a, b);
        let turned = gappy.transposed(0, 1).unwrap();
        let bytes = fill_bytes(&gappy, &Fill::Blocks(Scales::Normal), &Stream::new("test", 0));
        let columns = read_logical(&turned, &bytes).unwrap();
        assert!((0..256).all(|i| columns[i] == a[i % 4 * 64 + i / 4]));
    }

    /// A change of the generator changes every published result; this pins it.
    #[test]
    fn generator_is_pinned() {
        let mut hash = 0u64;
        for fill in [
            Fill::Integers { max: 8 },
            Fill::NORMAL,
            Fill::Uniform { low: -1.0, high: 3.0 },
            Fill::Wide { min_exp: -20, max_exp: 20 },
            Fill::Hot { hot: 1e4 },
            Fill::RandomMask,
            Fill::Circle { sine: true },
        ] {
            for x in values(&fill, DType::F32, &[7, 13]) {
                hash = hash.rotate_left(7) ^ x.to_bits();
            }
        }
        assert_eq!(hash, 0x273a_2b5d_6776_22a2, "got {hash:#018x}");
    }
}
