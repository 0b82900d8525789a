//! The bytes that tokens stand for, where a vocabulary says them: exact decoding of byte-level
//! vocabularies, also of added tokens, whose text is not spelled in byte letters.

/// What each token of a byte-level vocabulary decodes to.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) bytes: Box<[u8]>,
    pub(super) special: bool,
}

impl Pieces {
    pub(super) fn new(pieces: Vec<Piece>) -> Pieces {
        Pieces { pieces }
    }

    /// The text of tokens; bytes that are no UTF-8 become U+FFFD.
    pub(super) fn decode(&self, tokens: &[u32], special: bool) -> String {
        let found = tokens.iter().filter_map(|&id| self.pieces.get(id as usize));
        let bytes: Vec<u8> = found.filter(|p| special || !p.special).flat_map(|p| &p.bytes).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The letter that byte-level vocabularies write for a byte: itself where it is printable in
/// Latin-1, else a letter from U+0100 on, in order (GPT-2's table).
pub(super) fn byte_letter(byte: u8) -> char {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !printable(b)).count() as u32;
    char::from_u32(256 + before).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The bytes of a token spelled in byte letters; `None` if it contains another character.
pub(super) fn letter_bytes(token: &str) -> Option<Vec<u8>> {
    token.chars().map(byte_of).collect()
}

fn byte_of(letter: char) -> Option<u8> {
    match u32::from(letter) {
        code @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => Some(code as u8),
        // The 68 bytes without a printable letter: 0 to 32, 127 to 160, 173.
        code @ 0x100..=0x120 => Some((code - 0x100) as u8),
        code @ 0x121..=0x142 => Some((code - 0x121 + 0x7F) as u8),
        0x143 => Some(0xAD),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{byte_letter, byte_of};

    #[test]
    fn letters_and_bytes_are_one_to_one() {
        let letters: std::collections::BTreeSet<char> = (0..=255).map(byte_letter).collect();
        assert_eq!(letters.len(), 256);
        for byte in 0..=255 {
            assert_eq!(byte_of(byte_letter(byte)), Some(byte));
        }
        assert_eq!((byte_letter(b' '), byte_letter(b'\n'), byte_of('\u{144}'), byte_of(' ')), ('Ġ', 'Ċ', None, None));
    }
}
