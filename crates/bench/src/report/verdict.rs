//! What a report as a whole amounts to, in words: whether results are right and whether their times
//! can be relied on. A result may be right and its time noise, and a page that only says the former
//! promises too much.

use super::{Flag, Report, Row};

/// How much a report is to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Right, and nothing speaks against the times.
    Good,
    /// Right as far as it goes, and something speaks against times, or nothing was timed.
    Doubtful,
    /// Something is wrong or failed.
    Bad,
}

/// What a report amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// In one word.
    pub trust: Trust,
    /// In a few.
    pub text: String,
}

/// Rows that were timed and how many of them are in doubt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// Rows with figures.
    pub timed: usize,
    /// Those whose times vary too much, or are too few.
    pub noisy: usize,
    /// Those that are faster than the ceiling and not noisy.
    pub impossible: usize,
}

impl Doubts {
    /// Counts `rows`.
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Doubts {
        let mut doubts = Doubts::default();
        for row in rows.into_iter().filter(|row| row.figures.is_some()) {
            doubts.timed += 1;
            let noisy = row.flags.iter().any(|flag| *flag != Flag::AboveCeiling);
            doubts.noisy += usize::from(noisy);
            doubts.impossible += usize::from(!noisy && !row.flags.is_empty());
        }
        doubts
    }

    /// `5 of 5 rows noisy`, or nothing where there is no doubt.
    pub fn text(self) -> Option<String> {
        let Doubts { timed, noisy, impossible } = self;
        let parts = [(noisy, "noisy"), (impossible, "above the ceiling")];
        let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        match parts.as_slice() {
            [] => None,
            [_] if noisy > 0 => Some(format!("{noisy} of {timed} rows noisy")),
            [_] => Some(format!("{impossible} of {timed} rows above the ceiling")),
            _ => Some(format!("of {timed} rows {}", parts.join(", "))),
        }
    }
}

impl Report {
    /// What it amounts to.
    pub fn verdict(&self) -> Verdict {
        let rows = || self.devices.iter().flat_map(|d| &d.rows);
        let bad = rows().filter(|row| row.outcome.is_failure()).count();
        let doubts = Doubts::of(rows());
        let so_far = if self.complete { "" } else { " so far" };
        let (trust, text) = match (bad, doubts.timed, doubts.text()) {
            (1.., ..) => (Trust::Bad, format!("wrong results or failures: {bad} of {} rows", rows().count())),
            (_, 0, _) => (Trust::Doubtful, format!("nothing was measured{so_far}")),
            (_, _, Some(doubt)) => (Trust::Doubtful, format!("all results right{so_far}, {doubt}")),
            _ => (Trust::Good, format!("all results right{so_far}")),
        };
        Verdict { trust, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Outcome;
    use crate::report::tests::{report, row};

    fn verdict(flags: &[&[Flag]]) -> Verdict {
        let rows = flags.iter().map(|flags| Row { flags: flags.to_vec(), ..row("a/b/c:d", vec![1e-4; 15]) });
        report(rows.collect()).verdict()
    }

    #[test]
    fn noise_takes_the_green_away() {
        let says = |flags: &[&[Flag]], trust, text: &str| {
            assert_eq!(verdict(flags), Verdict { trust, text: text.into() });
        };
        says(&[&[], &[]], Trust::Good, "all results right");
        says(&[&[Flag::Spread][..]; 5], Trust::Doubtful, "all results right, 5 of 5 rows noisy");
        says(&[&[], &[Flag::Drift, Flag::AboveCeiling]], Trust::Doubtful, "all results right, 1 of 2 rows noisy");
        says(&[&[], &[Flag::AboveCeiling]], Trust::Doubtful, "all results right, 1 of 2 rows above the ceiling");
        let both: &[&[Flag]] = &[&[Flag::FewSamples], &[Flag::AboveCeiling]];
        says(both, Trust::Doubtful, "all results right, of 2 rows 1 noisy, 1 above the ceiling");
        says(&[], Trust::Doubtful, "nothing was measured");
    }

    #[test]
    fn what_is_wrong_comes_before_noise() {
        let mut all = report(vec![row("a", vec![1e-4; 15]), row("b", vec![1e-4; 15])]);
        all.complete = false;
        assert_eq!(all.verdict().text, "all results right so far");
        let spoilt = &mut all.devices[0].rows[1];
        (spoilt.outcome, spoilt.figures, spoilt.flags) = (Outcome::Wrong, None, vec![Flag::Spread]);
        let text = "wrong results or failures: 1 of 2 rows".to_owned();
        assert_eq!(all.verdict(), Verdict { trust: Trust::Bad, text });
    }
}
