//! Who owns which rows of the cache: a fixed share for each text, or pages that are taken as a text
//! grows and given back when it ends. Nothing is copied when pages change hands, and stale rows are
//! harmless: no token sees a row that its text did not write.

use unisono_core::{Error, ErrorKind, Result};

use crate::engine::cache::Layout;

/// Rows of the cache by text and position.
#[derive(Debug)]
pub(crate) struct Placement {
    layout: Layout,
    /// Pages that nobody owns; the last is taken next.
    free: Vec<u32>,
    /// The pages of each text, in the order of its positions.
    owned: Vec<Vec<u32>>,
    /// Most pages of a text.
    most: usize,
}

impl Placement {
    /// Places for `caches` texts of `context_len` tokens at most.
    pub(crate) fn new(layout: Layout, caches: usize, context_len: usize) -> Placement {
        let (pages, most) = match layout {
            Layout::Contiguous { .. } => (0, 0),
            Layout::Paged { pages, page_size } => (pages, context_len.div_ceil(page_size)),
        };
        // Low numbers first.
        let free = (0..pages as u32).rev().collect();
        Placement { layout, free, owned: vec![Vec::new(); caches], most }
    }

    /// Memory layout.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// Texts and the most pages of each, if there are pages.
    pub(crate) fn table_shape(&self) -> Option<[usize; 2]> {
        matches!(self.layout, Layout::Paged { .. }).then_some([self.owned.len(), self.most])
    }

    /// Pages that are free and pages there are; `None` if the cache has no pages.
    pub(crate) fn pages(&self) -> Option<[usize; 2]> {
        match self.layout {
            Layout::Contiguous { .. } => None,
            Layout::Paged { pages, .. } => Some([self.free.len(), pages]),
        }
    }

    /// Pages for `len` tokens.
    fn pages_of(&self, len: usize) -> usize {
        match self.layout {
            Layout::Contiguous { .. } => 0,
            Layout::Paged { page_size, .. } => len.div_ceil(page_size),
        }
    }

    /// Fails where a text of `len` tokens cannot fit, even alone.
    pub(crate) fn check(&self, len: usize) -> Result<()> {
        match (self.pages(), self.pages_of(len)) {
            (Some([_, pages]), asked) if asked > pages => Err(exhausted(asked, pages, pages)),
            _ => Ok(()),
        }
    }

    /// Makes room for texts of the given lengths, for all or for none.
    pub(crate) fn reserve(&mut self, lens: &[(usize, usize)]) -> Result<()> {
        let missing = |cache: usize, len| {
            let owned = self.owned.get(cache).map_or(0, Vec::len);
            self.pages_of(len).saturating_sub(owned)
        };
        let asked: usize = lens.iter().map(|&(cache, len)| missing(cache, len)).sum();
        if let Some([free, pages]) = self.pages().filter(|&[free, _]| asked > free) {
            return Err(exhausted(asked, free, pages));
        }
        for &(cache, len) in lens {
            let more = missing_pages(self.pages_of(len), self.owned.get(cache));
            let at = self.free.len().saturating_sub(more);
            let taken = self.free.split_off(at);
            if let Some(owned) = self.owned.get_mut(cache) {
                owned.extend(taken.into_iter().rev());
            }
        }
        Ok(())
    }

    /// Gives back what a text of `len` tokens does not need.
    pub(crate) fn truncate(&mut self, cache: usize, len: usize) {
        let keep = self.pages_of(len);
        if let Some(owned) = self.owned.get_mut(cache) {
            self.free.extend(owned.drain(keep.min(owned.len())..).rev());
        }
    }

    /// The row of a position for which room was made.
    pub(crate) fn row(&self, cache: usize, position: usize) -> Result<usize> {
        match self.layout {
            Layout::Contiguous { context_len, .. } => Ok(cache * context_len + position),
            Layout::Paged { page_size, .. } => {
                let page = self.owned.get(cache).and_then(|pages| pages.get(position / page_size));
                let page = page.ok_or_else(|| Error::internal("a position has no page"))?;
                Ok(*page as usize * page_size + position % page_size)
            }
        }
    }

    /// The block table, row-major: pages of each text, then numbers that are never looked up.
    pub(crate) fn table(&self) -> Vec<u32> {
        let padded = |pages: &Vec<u32>| pages.iter().copied().chain(std::iter::repeat(0)).take(self.most).collect();
        self.owned.iter().flat_map(|pages| -> Vec<u32> { padded(pages) }).collect()
    }
}

fn missing_pages(wanted: usize, owned: Option<&Vec<u32>>) -> usize {
    wanted.saturating_sub(owned.map_or(0, Vec::len))
}

fn exhausted(asked: usize, free: usize, pages: usize) -> Error {
    let message = format!(
        "the cache has {pages} pages, {free} of them free, and {asked} more are asked for: end a text or make the cache larger"
    );
    Error::new(ErrorKind::OutOfMemory, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(pages: usize) -> Placement {
        Placement::new(Layout::Paged { pages, page_size: 4 }, 3, 16)
    }

    /// Every page has one owner, or none and is free.
    fn check(p: &Placement, pages: usize) {
        let mut all: Vec<u32> = p.owned.iter().flatten().chain(&p.free).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..pages as u32).collect::<Vec<_>>());
    }

    #[test]
    fn pages_are_taken_as_texts_grow_and_given_back() {
        let mut p = placement(6);
        p.reserve(&[(0, 1), (1, 5)]).unwrap();
        assert_eq!(p.pages(), Some([3, 6]));
        let pages = p.owned.clone();
        p.reserve(&[(0, 4), (1, 8)]).unwrap();
        assert_eq!(p.owned, pages, "the pages had room");
        p.reserve(&[(0, 5)]).unwrap();
        assert_eq!((p.owned[0].len(), p.row(0, 4).unwrap()), (2, p.owned[0][1] as usize * 4));
        assert_eq!(p.row(1, 7).unwrap(), p.owned[1][1] as usize * 4 + 3);
        assert!(p.row(1, 8).is_err());
        check(&p, 6);
        assert_eq!(p.table().len(), 12);
        assert_eq!(&p.table()[4..6], p.owned[1].as_slice());
        p.truncate(1, 4);
        assert_eq!((p.owned[1].len(), p.pages()), (1, Some([3, 6])));
        p.truncate(1, 0);
        p.truncate(0, 0);
        assert_eq!(p.pages(), Some([6, 6]));
        check(&p, 6);
    }

    #[test]
    fn an_exhausted_pool_says_what_was_asked_and_changes_nothing() {
        let mut p = placement(3);
        p.reserve(&[(0, 8)]).unwrap();
        let error = p.reserve(&[(1, 4), (2, 1)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("3 pages, 1 of them free, and 2 more are asked for"), "{error}");
        assert_eq!(p.pages(), Some([1, 3]));
        p.reserve(&[(1, 4)]).unwrap();
        check(&p, 3);
        assert!(p.check(12).is_ok());
        assert!(p.check(13).unwrap_err().to_string().contains("4 more are asked for"));
    }

    #[test]
    fn contiguous_rows_follow_from_the_text() {
        let mut p = Placement::new(Layout::Contiguous { caches: 2, context_len: 10 }, 2, 10);
        p.reserve(&[(0, 10), (1, 10)]).unwrap();
        assert_eq!((p.row(1, 3).unwrap(), p.pages(), p.table_shape()), (13, None, None));
        assert!(p.table().is_empty());
    }
}
