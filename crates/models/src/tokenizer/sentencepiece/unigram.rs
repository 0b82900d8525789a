//! The model `unigram`, after SentencePiece's `unigram_model.cc`: of all ways to cut a text into
//! pieces, the one whose scores have the largest sum (Viterbi), the first found of equals.

use crate::tokenizer::TokenType;
use crate::tokenizer::sentencepiece::SentencePiece;

/// How much worse than the worst piece a character is that no piece spells.
const UNKNOWN_PENALTY: f32 = 10.0;

/// The best way to a position in the text.
#[derive(Clone, Copy, Debug)]
struct Best {
    score: f32,
    /// Where its last piece begins, and which it is; `None` for a character that no piece spells.
    start: usize,
    id: Option<u32>,
}

impl SentencePiece {
    /// The tokens of a normalised text.
    pub(super) fn encode_unigram(&self, text: &str, tokens: &mut Vec<u32>) {
        let mut best: Vec<Option<Best>> = vec![None; text.len() + 1];
        best[0] = Some(Best { score: 0.0, start: 0, id: None });
        for (start, first) in text.char_indices() {
            // Every position is reached, at the least by a character that no piece spells.
            let so_far = best[start].map_or(0.0, |b| b.score);
            let mut offer = |end: usize, score: f32, id: Option<u32>| {
                if best[end].is_none_or(|b| score > b.score) {
                    best[end] = Some(Best { score, start, id });
                }
            };
            let width = first.len_utf8();
            let mut single = false;
            let ends = text[start..].char_indices().map(|(i, c)| i + c.len_utf8());
            for len in ends.take_while(|&len| len <= self.longest) {
                let Some(&id) = self.ids.get(&text[start..start + len]) else { continue };
                let piece = &self.pieces[id as usize];
                let score = match piece.kind {
                    TokenType::Unused => continue,
                    TokenType::UserDefined => len as f32 * self.scores.1 - 0.1,
                    _ => piece.score,
                };
                single |= len == width;
                offer(start + len, so_far + score, Some(id));
            }
            if !single {
                offer(start + width, so_far + self.scores.0 - UNKNOWN_PENALTY, None);
            }
        }
        let mut cut = Vec::new();
        let mut end = text.len();
        while let Some(Best { start, id, .. }) = best[end].filter(|_| end > 0) {
            cut.push((start, end, id));
            end = start;
        }
        for (start, end, id) in cut.into_iter().rev() {
            match id {
                Some(id) => tokens.push(id),
                None => self.emit_unknown(&text[start..end], tokens),
            }
        }
    }
}
