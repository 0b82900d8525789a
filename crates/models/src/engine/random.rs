//! Random numbers for sampling: PCG-XSH-RR 64/32 (O'Neill 2014), the same on every platform and
//! for good, which no crate of generators promises for its default.

/// A stream of random numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pcg32 {
    state: u64,
    increment: u64,
}

const MULTIPLIER: u64 = 6_364_136_223_846_793_005;

impl Pcg32 {
    /// The generator with this seed, on stream number `stream`.
    pub(crate) fn new(seed: u64, stream: u64) -> Pcg32 {
        let mut pcg = Pcg32 { state: 0, increment: stream << 1 | 1 };
        pcg.next_u32();
        pcg.state = pcg.state.wrapping_add(seed);
        pcg.next_u32();
        pcg
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        let old = self.state;
        self.state = old.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
        let mixed = (((old >> 18) ^ old) >> 27) as u32;
        mixed.rotate_right((old >> 59) as u32)
    }

    /// Uniform in `[0, 1)`, with 53 bits.
    pub(crate) fn next_f64(&mut self) -> f64 {
        let bits = u64::from(self.next_u32()) << 32 | u64::from(self.next_u32());
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::Pcg32;

    #[test]
    fn the_numbers_are_those_that_its_author_publishes() {
        // The first outputs of the reference implementation's demonstration, seed 42 on stream 54.
        let mut pcg = Pcg32::new(42, 54);
        let expected = [0xa15c_02b7, 0x7b47_f409, 0xba1d_3330, 0x83d2_f293, 0xbfa4_784b, 0xcbed_606e];
        assert_eq!([(); 6].map(|()| pcg.next_u32()), expected);
    }
}
