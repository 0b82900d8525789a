//! FNV-1a with 64 bits: names data in reports. It is fixed for ever, so that hashes of different
//! versions and platforms compare; it protects against nothing but accidents.

/// A running hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fnv(u64);

impl Fnv {
    /// The hash of nothing.
    pub(crate) fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    /// Adds bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// As a number.
    pub(crate) fn value(self) -> u64 {
        self.0
    }

    /// As 16 hexadecimal digits: a JSON number would lose bits.
    pub(crate) fn hex(self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Fnv;

    #[test]
    fn agrees_with_the_published_test_vectors() {
        for (text, expected) in [("", "cbf29ce484222325"), ("a", "af63dc4c8601ec8c"), ("foobar", "85944171f73967e8")] {
            let mut hash = Fnv::new();
            hash.update(text.as_bytes());
            assert_eq!(hash.hex(), expected, "{text}");
        }
    }
}
