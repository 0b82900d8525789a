//! Stop strings. Text that could be the beginning of one is held back until it cannot, so a stop
//! string is never given out, wherever the borders of tokens are.

use unisono_core::{Error, Result};

/// Watches a stream of text for stop strings.
///
/// What is found does not depend on how the text is cut into pieces: the string that is complete
/// first counts, of several that end at one place the longest.
#[derive(Clone, Debug)]
pub struct StopWatch {
    stops: Vec<String>,
    held: String,
    found: Option<usize>,
}

impl StopWatch {
    /// Watches for these strings. None of them may be empty.
    pub fn new(stops: &[String]) -> Result<StopWatch> {
        if let Some(i) = stops.iter().position(String::is_empty) {
            return Err(Error::invalid(format!("stop string {i} is empty")));
        }
        Ok(StopWatch { stops: stops.to_vec(), held: String::new(), found: None })
    }

    /// Adds text and returns what is certain to be no part of a stop string. Nothing any more once
    /// one was found.
    pub fn push(&mut self, piece: &str) -> String {
        if self.found.is_some() {
            return String::new();
        }
        self.held.push_str(piece);
        let found = self.stops.iter().enumerate().filter_map(|(i, stop)| {
            let start = self.held.find(stop.as_str())?;
            Some((start + stop.len(), start, i))
        });
        if let Some((_, start, i)) = found.min() {
            self.found = Some(i);
            self.held.truncate(start);
            return std::mem::take(&mut self.held);
        }
        let rest = self.held.split_off(self.certain());
        std::mem::replace(&mut self.held, rest)
    }

    /// Which of the stop strings was found.
    pub fn found(&self) -> Option<usize> {
        self.found
    }

    /// The text held back, which is no stop string since nothing follows.
    pub fn finish(self) -> String {
        self.held
    }

    /// Bytes of `held` before the first place where a stop string may begin.
    fn certain(&self) -> usize {
        let may_begin = |at: &usize| {
            let tail = &self.held[*at..];
            self.stops.iter().any(|stop| stop.starts_with(tail))
        };
        let places = self.held.char_indices().map(|(at, _)| at);
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let near = self.held.len().saturating_sub(longest);
        places.filter(|&at| at >= near).find(may_begin).unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::StopWatch;

    /// What is given out and which string ended it.
    fn watch(stops: &[&str], pieces: &[&str]) -> (String, Option<usize>) {
        let stops: Vec<String> = stops.iter().map(|&s| s.to_owned()).collect();
        let mut watch = StopWatch::new(&stops).unwrap();
        let mut text: String = pieces.iter().map(|piece| watch.push(piece)).collect();
        let found = watch.found();
        text.push_str(&watch.finish());
        (text, found)
    }

    /// Every way to cut `text` into pieces of characters gives the same.
    #[track_caller]
    fn every_cut(stops: &[&str], text: &str, expected: (&str, Option<usize>)) {
        let places: Vec<usize> = text.char_indices().map(|(i, _)| i).skip(1).collect();
        for mask in 0u32..1 << places.len() {
            let mut pieces = Vec::new();
            let mut start = 0;
            for (bit, &place) in places.iter().enumerate() {
                if mask >> bit & 1 == 1 {
                    pieces.push(&text[start..place]);
                    start = place;
                }
            }
            pieces.push(&text[start..]);
            assert_eq!(watch(stops, &pieces), (expected.0.to_owned(), expected.1), "{pieces:?}");
        }
    }

    #[test]
    fn what_is_found_does_not_depend_on_the_pieces() {
        every_cut(&["END"], "a EN ENDx", ("a EN ", Some(0)));
        every_cut(&["END"], "EEENDEND", ("EE", Some(0)));
        every_cut(&["END"], "x EN", ("x EN", None));
        every_cut(&["abc", "b"], "xabcy", ("xa", Some(1)));
        every_cut(&["bc", "abc"], "xabcy", ("x", Some(1)));
        every_cut(&["aab"], "aaab", ("a", Some(0)));
        every_cut(&["é…"], "né é…n", ("né ", Some(0)));
        every_cut(&[], "free", ("free", None));
        every_cut(&["aa"], "aaaa", ("", Some(0)));
    }

    #[test]
    fn text_is_held_back_only_as_long_as_it_may_be_a_stop() {
        let mut watch = StopWatch::new(&["\n\nUser:".to_owned()]).unwrap();
        assert_eq!(watch.push("Hello"), "Hello");
        assert_eq!(watch.push(" you\n"), " you");
        assert_eq!(watch.push("\nU"), "");
        assert_eq!(watch.push("p."), "\n\nUp.");
        assert_eq!(watch.push("\n\n\nUser"), "\n");
        assert_eq!(watch.push(": and"), "");
        assert_eq!((watch.found(), watch.push("more")), (Some(0), String::new()));
        assert!(StopWatch::new(&["a".to_owned(), String::new()]).is_err());
    }
}
