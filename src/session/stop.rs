//! Stop strings over streamed text: nothing that may turn out to be the start of one is let through early.

/// Watches one stream of text.
#[derive(Clone, Debug, Default)]
pub(super) struct StopFilter {
    strings: Vec<String>,
    held: String,
}

impl StopFilter {
    pub(super) fn new(strings: Vec<String>) -> Self {
        Self { strings, held: String::new() }
    }

    /// The text that can be shown now, and whether a stop string came after it.
    pub(super) fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        let found = self.strings.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        let end = found.unwrap_or_else(|| self.safe_length());
        let shown = self.held[..end].to_owned();
        self.held = if found.is_some() { String::new() } else { self.held[end..].to_owned() };
        (shown, found.is_some())
    }

    /// What was held back and is now known to be no stop string.
    pub(super) fn flush(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Up to the longest end of the held text that a stop string starts with.
    fn safe_length(&self) -> usize {
        let longest = self.strings.iter().map(String::len).max().unwrap_or(0);
        let first = self.held.len().saturating_sub(longest);
        (first..self.held.len())
            .filter(|&at| self.held.is_char_boundary(at))
            .find(|&at| self.strings.iter().any(|stop| stop.starts_with(&self.held[at..])))
            .unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_stop_string_is_shown_at_any_cut() {
        let cases: [(&[&str], &str, &str, bool); 7] = [
            (&["END"], "some text END more", "some text ", true),
            (&["END"], "EN EEND", "EN E", true),
            (&["END"], "never EN", "never EN", false),
            (&["aab", "ab"], "xaaab", "xa", true),
            (&["\n\n", "é😀"], "a\né😁b\né😀", "a\né😁b\n", true),
            (&[], "anything", "anything", false),
            (&["long stop", "op"], "a long sto op", "a long sto ", true),
        ];
        for (stops, text, expected, stopped) in cases {
            let boundaries: Vec<usize> = (0..=text.len()).filter(|&at| text.is_char_boundary(at)).collect();
            for &first in &boundaries {
                for &second in boundaries.iter().filter(|&&at| at >= first) {
                    let mut filter = StopFilter::new(stops.iter().map(|&stop| stop.to_owned()).collect());
                    let mut shown = String::new();
                    let mut found = false;
                    for part in [&text[..first], &text[first..second], &text[second..]] {
                        let (part, stop) = filter.push(part);
                        shown += &part;
                        found = stop;
                        if stop {
                            break;
                        }
                    }
                    if !found {
                        shown += &filter.flush();
                    }
                    assert_eq!((shown.as_str(), found), (expected, stopped), "{text:?} cut at {first}, {second}");
                }
            }
        }
    }
}
