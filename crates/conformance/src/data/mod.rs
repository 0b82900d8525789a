//! Where the data of a case comes from: a counter-based generator and the classes of values.
//!
//! An element is a pure function of (case id, operand, logical index), made of integer arithmetic
//! and correctly rounded operations only, so it is the same on every platform and needs no state.

mod block_fill;
mod blocks;
mod convert;
mod fill;

use unisono_core::{DType, Result, TensorDesc};

pub(crate) use block_fill::Scales;
pub(crate) use blocks::{E2M1, e8m0};
pub use convert::{decode, read_integers, read_logical};
pub(crate) use convert::{encode, f32_to_bf16_bits, f32_to_f16_bits, for_each_position};
pub(crate) use fill::{Fill, fill_bytes, power_of_two};

/// What fills the gaps between strided elements: every byte 0xFF, which is a NaN in each
/// floating-point type and an index out of any range.
pub const POISON_BYTE: u8 = 0xFF;

/// `elements` ordinary numbers of `dtype` as stored: bell-shaped of deviation 1, and blocks of random
/// codes under scales that give values of about that size. A pure function of its arguments, for
/// whoever needs more data than a case has; `elements` is a whole number of blocks.
pub fn ordinary_bytes(dtype: DType, elements: usize, name: &str) -> Result<Vec<u8>> {
    let desc = TensorDesc::contiguous(dtype, &[elements])?;
    let fill = if dtype.is_block() { Fill::Blocks(Scales::Normal) } else { Fill::NORMAL };
    Ok(fill_bytes(&desc, &fill, &Stream::new(name, 0)))
}

/// The generator of one operand: a 64-bit word for each counter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    key: u64,
}

impl Stream {
    /// The stream of operand `tensor` of the case `id`.
    pub(crate) fn new(id: &str, tensor: usize) -> Stream {
        // FNV-1a over the id; the mixer below does the rest.
        let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Stream { key: mix(hash ^ mix((tensor as u64).wrapping_add(1))) }
    }

    /// 64 random bits for `counter`.
    pub(crate) fn bits(&self, counter: u64) -> u64 {
        mix(self.key ^ mix(counter.wrapping_add(0x9e37_79b9_7f4a_7c15)))
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&self, counter: u64) -> f64 {
        (self.bits(counter) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform below `n`, which is small; 0 for `n = 0`.
    pub(crate) fn below(&self, counter: u64, n: u64) -> u64 {
        ((u128::from(self.bits(counter)) * u128::from(n)) >> 64) as u64
    }

    /// Nearly normal with mean 0 and variance 1: the sum of eight 16-bit uniform numbers, centred
    /// and scaled. Logarithms and cosines would differ between platforms.
    pub(crate) fn normal(&self, counter: u64) -> f64 {
        let words = [self.bits(2 * counter), self.bits(2 * counter + 1)];
        let sum: u64 = words.iter().flat_map(|w| (0..4).map(move |i| (w >> (16 * i)) & 0xFFFF)).sum();
        // The standard deviation of the sum is 65536·√(8/12).
        (sum as f64 - 4.0 * 65535.0) / 53_509.919_827_240_64
    }
}

/// The finaliser of splitmix64 (Steele, Lea & Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_independent_and_centred() {
        let s = Stream::new("a/b:x=1:seed=1", 0);
        assert_ne!(s.bits(0), Stream::new("a/b:x=1:seed=2", 0).bits(0));
        assert_ne!(s.bits(0), Stream::new("a/b:x=1:seed=1", 1).bits(0));
        let n = 20_000u64;
        let (mut mean, mut square) = (0.0, 0.0);
        for i in 0..n {
            let x = s.normal(i);
            mean += x / n as f64;
            square += x * x / n as f64;
        }
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.05, "mean {mean}, square {square}");
        assert!((0..1000).all(|i| s.below(i, 7) < 7 && (0.0..1.0).contains(&s.unit(i))));
        assert_eq!((0..1000).map(|i| s.below(i, 7)).collect::<std::collections::HashSet<_>>().len(), 7);
    }
}
