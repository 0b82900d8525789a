//! The model `bpe`, after SentencePiece's `bpe_model.cc`: of all neighbours that together are a
//! piece, the two with the best score are joined, the leftmost of equals, until none is left.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use crate::tokenizer::TokenType;
use crate::tokenizer::sentencepiece::SentencePiece;

/// A part of the text, in a list whose links survive joining.
#[derive(Clone, Copy, Debug)]
struct Symbol {
    start: usize,
    len: usize,
    prev: Option<usize>,
    next: Option<usize>,
    /// A token that was found, which is not joined.
    fixed: Option<u32>,
}

/// Two neighbours that may be joined.
#[derive(Debug, PartialEq)]
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Length of both together: the pair is out of date if it differs.
    len: usize,
}

impl Eq for Pair {}

impl Ord for Pair {
    fn cmp(&self, other: &Pair) -> Ordering {
        // `+ 0.0` makes the zeros equal.
        (self.score + 0.0).total_cmp(&(other.score + 0.0)).then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Pair) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl SentencePiece {
    /// The tokens of a normalised text.
    pub(super) fn encode_bpe(&self, text: &str, tokens: &mut Vec<u32>) {
        let (symbols, cuts) = self.join(text);
        let mut at = (!symbols.is_empty()).then_some(0);
        while let Some(symbol) = at.map(|i| symbols[i]) {
            match symbol.fixed {
                Some(id) => tokens.push(id),
                None => self.emit(&text[symbol.start..symbol.start + symbol.len], &cuts, tokens),
            }
            at = symbol.next;
        }
    }

    /// Joins characters to pieces. The map says how unused pieces were joined, which are cut again.
    fn join<'t>(&self, text: &'t str) -> (Vec<Symbol>, HashMap<&'t str, usize>) {
        let mut symbols: Vec<Symbol> = Vec::new();
        let mut push = |start, len, fixed| {
            let i = symbols.len();
            let prev = i.checked_sub(1);
            symbols.push(Symbol { start, len, prev, next: None, fixed });
            if let Some(prev) = prev {
                symbols[prev].next = Some(i);
            }
        };
        let mut end = 0;
        let characters =
            |from: usize, to: usize| text[from..to].char_indices().map(move |(i, c)| (from + i, c.len_utf8()));
        for (start, len, id) in self.defined.find(text) {
            characters(end, start).for_each(|(i, len)| push(i, len, None));
            push(start, len, Some(id));
            end = start + len;
        }
        characters(end, text.len()).for_each(|(i, len)| push(i, len, None));

        let (mut queue, mut cuts) = (BinaryHeap::new(), HashMap::new());
        let mut offer =
            |symbols: &[Symbol], left: Option<usize>, right: Option<usize>, queue: &mut BinaryHeap<Pair>| {
                let (Some(left), Some(right)) = (left, right) else { return };
                let (a, b) = (symbols[left], symbols[right]);
                let whole = &text[a.start..b.start + b.len];
                if a.fixed.is_some() || b.fixed.is_some() {
                    return;
                }
                let Some(&id) = self.ids.get(whole) else { return };
                let piece = &self.pieces[id as usize];
                queue.push(Pair { score: piece.score, left, right, len: whole.len() });
                if piece.kind == TokenType::Unused {
                    cuts.insert(whole, a.len);
                }
            };
        for right in 1..symbols.len() {
            offer(&symbols, Some(right - 1), Some(right), &mut queue);
        }
        while let Some(Pair { left, right, len, .. }) = queue.pop() {
            let (a, b) = (symbols[left], symbols[right]);
            if a.len == 0 || b.len == 0 || a.len + b.len != len {
                continue;
            }
            symbols[left].len = len;
            symbols[left].next = b.next;
            symbols[right].len = 0;
            if let Some(next) = b.next {
                symbols[next].prev = Some(left);
            }
            offer(&symbols, a.prev, Some(left), &mut queue);
            offer(&symbols, Some(left), b.next, &mut queue);
        }
        (symbols, cuts)
    }

    /// The token of a joined part; of an unused one, the tokens of its halves.
    fn emit(&self, part: &str, cuts: &HashMap<&str, usize>, tokens: &mut Vec<u32>) {
        let mut open = vec![part];
        while let Some(part) = open.pop() {
            let id = self.ids.get(part).copied();
            let unused = id.is_some_and(|id| self.pieces[id as usize].kind == TokenType::Unused);
            match (id, cuts.get(part)) {
                (_, Some(&cut)) if unused => open.extend([&part[cut..], &part[..cut]]),
                (Some(id), _) => tokens.push(id),
                (None, _) => self.emit_unknown(part, tokens),
            }
        }
    }
}
