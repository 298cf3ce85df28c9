//! Lines of something that may be of any size: one at a time, cut where they are long, and no more of it
//! than a budget of bytes.

use memchr::memchr;
use std::io::{BufRead, Result};

/// Reads lines within bounds.
pub struct Lines<R> {
    source: R,
    /// How many bytes may still be read.
    left: u64,
    /// How many bytes of a line are kept.
    keep: usize,
}

/// A line, as far as it was kept: it is in the buffer that was handed over, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundedLine {
    /// All of it.
    Whole,
    /// Its beginning.
    Cut,
    /// There is no more.
    End,
    /// There may be more, but the budget is used up.
    Spent,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `source`, of which at most `budget` bytes are read; `keep` bytes of each are kept.
    pub fn new(source: R, budget: u64, keep: usize) -> Self {
        Self { source, left: budget, keep }
    }

    /// What comes first, without taking it: enough to see what kind of thing this is.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn peek(&mut self) -> Result<&[u8]> {
        self.source.fill_buf()
    }

    /// How many bytes may still be read.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next line, without `\n` or `\r\n`.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn next(&mut self, line: &mut Vec<u8>) -> Result<BoundedLine> {
        line.clear();
        let (mut is_cut, mut is_any) = (false, false);
        loop {
            let buffer = self.source.fill_buf()?;
            if buffer.is_empty() {
                if !is_any {
                    return Ok(BoundedLine::End);
                }
                break;
            }
            if self.left == 0 {
                return Ok(BoundedLine::Spent);
            }
            let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
            let end = memchr(b'\n', &buffer[..most]);
            let part = &buffer[..end.unwrap_or(most)];
            // One more than is kept, so that the end of `\r\n` is no reason to say that a line was cut.
            let room = (self.keep + 1).saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            is_cut |= part.len() > room;
            is_any = true;
            let used = end.map_or(most, |end| end + 1);
            self.source.consume(used);
            self.left -= used as u64;
            if end.is_some() {
                break;
            }
        }
        if !is_cut && line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.len() > self.keep {
            line.truncate(self.keep);
            is_cut = true;
        }
        Ok(if is_cut { BoundedLine::Cut } else { BoundedLine::Whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, repeat};

    fn all(text: &str, budget: u64, keep: usize) -> Vec<(BoundedLine, String)> {
        // A small buffer, so that lines lie across its ends.
        let mut lines = Lines::new(BufReader::with_capacity(3, text.as_bytes()), budget, keep);
        let mut line = Vec::new();
        let mut found = Vec::new();
        loop {
            let how = lines.next(&mut line).unwrap();
            if matches!(how, BoundedLine::End | BoundedLine::Spent) {
                found.push((how, String::new()));
                return found;
            }
            found.push((how, String::from_utf8(line.clone()).unwrap()));
        }
    }

    fn said(lines: &[(BoundedLine, &str)]) -> Vec<(BoundedLine, String)> {
        lines.iter().map(|(how, text)| (*how, (*text).to_owned())).collect()
    }

    #[test]
    fn lines_are_whole_whatever_ends_them() {
        let whole = |lines: &[&str]| -> Vec<(BoundedLine, String)> {
            let lines = lines.iter().map(|line| (BoundedLine::Whole, (*line).to_owned()));
            lines.chain([(BoundedLine::End, String::new())]).collect()
        };
        assert_eq!(all("", 99, 9), whole(&[]));
        assert_eq!(all("a\n\nbcdef", 99, 9), whole(&["a", "", "bcdef"]));
        assert_eq!(all("a\r\nabcd\r\n", 99, 4), whole(&["a", "abcd"]));
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_one_is_not() {
        assert_eq!(
            all("abcdefgh\nab\nabcd", 99, 3),
            said(&[
                (BoundedLine::Cut, "abc"),
                (BoundedLine::Whole, "ab"),
                (BoundedLine::Cut, "abc"),
                (BoundedLine::End, "")
            ])
        );
    }

    #[test]
    fn a_budget_ends_what_has_no_end() {
        let mut lines = Lines::new(BufReader::new(repeat(b'x')), 1 << 20, 10);
        assert_eq!(lines.next(&mut Vec::new()).unwrap(), BoundedLine::Spent);
        assert_eq!(all("ab\ncd\n", 3, 9), said(&[(BoundedLine::Whole, "ab"), (BoundedLine::Spent, "")]));
    }
}
