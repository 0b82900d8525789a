//! The order of a sum, read from what it loses.
//!
//! Put +M at one place, −M at another and a unit everywhere else, with M so large that any number
//! of units vanishes beside it: what is left counts the units that were not yet added to a partial
//! sum holding M when both cancelled. So the result tells how many terms lie under the lowest common
//! node of the two places in the tree of the sum (Xie et al. 2025, "FPRev"). Here the tree is seen
//! from its first term, which is enough to name the orders that kernels have.

/// How many terms are joined by the time that term 0 and term `j` meet, for each `j ≥ 1`; `len` is
/// the number of terms, 2 and more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Joined(pub(super) Vec<usize>);

impl Joined {
    fn terms(&self) -> usize {
        self.0.len() + 1
    }

    /// The first term that joins term 0.
    pub(super) fn partner(&self) -> usize {
        (0..self.0.len()).min_by_key(|&i| (self.0[i], i)).map_or(1, |i| i + 1)
    }

    /// A term that joins as late as any.
    pub(super) fn last(&self) -> usize {
        (0..self.0.len()).max_by_key(|&i| (self.0[i], i)).map_or(1, |i| i + 1)
    }

    /// Sizes of the nodes above term 0, growing.
    fn sizes(&self) -> Vec<usize> {
        let mut sizes = self.0.clone();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// Whether every other term meets term 0 at the root only.
    pub(super) fn is_last(&self) -> bool {
        self.sizes() == [self.terms()]
    }

    /// Whether terms are added one by one, term 0 first.
    pub(super) fn is_in_order(&self) -> bool {
        self.0.iter().enumerate().all(|(i, &size)| size == i + 2)
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        let (n, sizes, stride) = (self.terms(), self.sizes(), self.partner());
        if self.is_in_order() {
            return "one sum, in order".into();
        }
        if self.is_last() {
            return "term 0 joins last, or all terms at once".into();
        }
        // The first node of several terms, then as many as are joined one by one, or by equal groups.
        let group = sizes[0];
        let by = if group == 2 { 1 } else { group };
        let run = sizes.windows(2).take_while(|w| w[1] - w[0] == by).count();
        let first = if by == 1 || run == 0 { sizes[run] } else { group };
        let rest: Vec<usize> = sizes.iter().copied().filter(|&s| s > first).collect();
        if first == 2 && doubling(first, &rest) {
            return format!("pairwise tree, first pair at distance {stride}");
        }
        let inner = match () {
            () if by == 1 && first == 2 => "pairs".to_owned(),
            () if by == 1 => format!("{first} terms in order"),
            () => format!("{first} terms at once"),
        };
        let parts = if n.is_multiple_of(first) { format!("{} partial sums", n / first) } else { "partial sums".into() };
        format!("{parts} of {inner}, neighbours {stride} apart, joined {}", joins(first, &rest))
    }
}

fn doubling(first: usize, rest: &[usize]) -> bool {
    rest.iter().enumerate().all(|(i, &size)| size == first << (i + 1))
}

/// How partial sums of `first` terms became the whole.
fn joins(first: usize, rest: &[usize]) -> String {
    match () {
        () if rest.len() == 1 => "at once".into(),
        () if doubling(first, rest) => "pairwise".into(),
        () if rest.iter().enumerate().all(|(i, &size)| size == first * (i + 2)) => "in order".into(),
        () => {
            let shown = runs(rest);
            let more = if shown.len() > 6 { ", …" } else { "" };
            format!("at {}{more} terms", shown.into_iter().take(6).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A growing list with equal steps drawn together: `8 to 64 by 4, 128`.
fn runs(list: &[usize]) -> Vec<String> {
    let mut shown = Vec::new();
    let mut rest = list;
    while let Some(&first) = rest.first() {
        let step = rest.get(1).map_or(0, |second| second - first);
        let count = 1 + rest.windows(2).take_while(|w| w[1] - w[0] == step).count();
        let count = if count < 3 { 1 } else { count };
        shown.push(if count == 1 { first.to_string() } else { format!("{first} to {} by {step}", rest[count - 1]) });
        rest = &rest[count..];
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of terms, as the emulated sums below build it.
    enum Tree {
        Leaf(usize),
        Node(Vec<Tree>),
    }

    impl Tree {
        fn leaves(&self) -> Vec<usize> {
            match self {
                Tree::Leaf(i) => vec![*i],
                Tree::Node(parts) => parts.iter().flat_map(Tree::leaves).collect(),
            }
        }

        fn joined(&self, n: usize) -> Joined {
            let mut sizes = vec![0; n - 1];
            let mut tree = self;
            while let Tree::Node(parts) = tree {
                let all = tree.leaves();
                let next = parts.iter().find(|p| p.leaves().contains(&0)).unwrap();
                let inside = next.leaves();
                all.iter().filter(|i| !inside.contains(i)).for_each(|&i| sizes[i - 1] = all.len());
                tree = next;
            }
            Joined(sizes)
        }
    }

    fn in_order(terms: Vec<Tree>) -> Tree {
        terms.into_iter().reduce(|a, b| Tree::Node(vec![a, b])).unwrap()
    }

    fn pairwise(mut terms: Vec<Tree>) -> Tree {
        while terms.len() > 1 {
            let half = terms.len() / 2;
            let upper = terms.split_off(half);
            terms = terms.into_iter().zip(upper).map(|(a, b)| Tree::Node(vec![a, b])).collect();
        }
        terms.remove(0)
    }

    fn leaves(list: impl IntoIterator<Item = usize>) -> Vec<Tree> {
        list.into_iter().map(Tree::Leaf).collect()
    }

    #[test]
    fn equal_steps_are_drawn_together() {
        assert_eq!(runs(&[8, 12, 16, 20, 64, 128, 192, 500]), ["8 to 20 by 4", "64 to 192 by 64", "500"]);
        assert_eq!(runs(&[32, 48, 64, 128, 256]), ["32 to 64 by 16", "128", "256"]);
    }

    #[test]
    fn orders_have_names() {
        let lanes = |count: usize| (0..count).map(|l| in_order(leaves((0..64).filter(|i| i % count == l)))).collect();
        let blocks = || (0..4).map(|b| in_order(leaves(16 * b..16 * b + 16))).collect::<Vec<_>>();
        let fours = || (0..16).map(|b| Tree::Node(leaves(4 * b..4 * b + 4))).collect::<Vec<_>>();
        for (tree, name) in [
            (in_order(leaves(0..64)), "one sum, in order"),
            (in_order(leaves((0..64).rev())), "term 0 joins last, or all terms at once"),
            (Tree::Node(leaves(0..64)), "term 0 joins last, or all terms at once"),
            (pairwise(leaves(0..64)), "pairwise tree, first pair at distance 32"),
            (pairwise(lanes(8)), "8 partial sums of 8 terms in order, neighbours 8 apart, joined pairwise"),
            (in_order(lanes(8)), "8 partial sums of 8 terms in order, neighbours 8 apart, joined in order"),
            (Tree::Node(lanes(4)), "4 partial sums of 16 terms in order, neighbours 4 apart, joined at once"),
            (in_order(blocks()), "4 partial sums of 16 terms in order, neighbours 1 apart, joined in order"),
            (in_order(fours()), "16 partial sums of 4 terms at once, neighbours 1 apart, joined in order"),
        ] {
            assert_eq!(tree.joined(64).describe(), name);
        }
    }
}
