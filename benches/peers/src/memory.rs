//! What memory gives: a plain loop that reads as many bytes as the weights of a cold row, from as
//! much memory, with the same number of threads.

use std::hint::black_box;

use anyhow::Result;

use crate::measure::{Entry, Runner};
use crate::row::Row;

/// Words of a piece that one step of the loop sums.
const PIECE: usize = 4096;

struct Read {
    words: Vec<u64>,
    /// Words of one run.
    run: usize,
    at: usize,
    threads: usize,
}

impl Runner for Read {
    fn run(&mut self, iterations: usize) -> Result<()> {
        let (words, start, total) = (&self.words[..], self.at, self.run * iterations);
        let share = total.div_ceil(self.threads);
        std::thread::scope(|scope| {
            for thread in 0..self.threads {
                let first = start + thread * share;
                let count = share.min(total.saturating_sub(thread * share));
                scope.spawn(move || black_box(sum(words, first, count)));
            }
        });
        self.at = (start + total) % self.words.len();
        Ok(())
    }

    fn output(&mut self) -> Result<Option<Vec<f32>>> {
        Ok(None)
    }
}

/// The sum of `count` words from `first` on, round and round.
fn sum(words: &[u64], first: usize, count: usize) -> u64 {
    let (mut total, mut at, mut left) = (0u64, first % words.len(), count);
    while left > 0 {
        let n = left.min(PIECE).min(words.len() - at);
        let piece = words[at..at + n].iter().fold(0u64, |s, &w| s.wrapping_add(w));
        total = total.wrapping_add(piece);
        at = (at + n) % words.len();
        left -= n;
    }
    total
}

/// The loop beside a cold row.
pub(crate) fn prepare(row: &Row, threads: usize) -> Entry {
    let run = row.work.rotating_bytes() / size_of::<u64>();
    // Touched, so that every page exists.
    let words = (0..(run * row.copies()) as u64).collect();
    Entry::new("memory", "", Read { words, run, at: 0, threads })
}
