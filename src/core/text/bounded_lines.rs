//! Reads lines from a source of any size: one at a time, each cut to a length, and only up to a budget of bytes.

use memchr::memchr;
use std::io::{BufRead, Result};

/// The longest end of a cut line that is kept, in bytes: room for the longest mark of a note.
const MAX_TAIL: usize = 8 << 10;

/// A reader of lines with a limit per line and a limit in total.
pub struct Lines<R> {
    source: R,
    /// Bytes that may still be read.
    left: u64,
    /// The longest line that is returned whole, in bytes.
    max_line: usize,
    /// The last bytes of the line that was cut off, at most [`MAX_TAIL`].
    tail: Vec<u8>,
}

/// The outcome of [`Lines::next`]; the line itself, without its line end, is in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundedLine {
    /// The buffer has the whole line.
    Whole,
    /// The buffer has the beginning of a longer line.
    Cut,
    /// The source has no more lines.
    End,
    /// The budget is used up; the source may have more lines.
    Spent,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `source`: at most `budget` bytes are read, and lines are cut to `max_line` bytes.
    pub fn new(source: R, budget: u64, max_line: usize) -> Self {
        Self { source, left: budget, max_line, tail: Vec::new() }
    }

    /// The next bytes, without consuming them: enough to recognise the type of the content.
    ///
    /// # Errors
    /// Where the source cannot be read.
    pub fn peek(&mut self) -> Result<&[u8]> {
        self.source.fill_buf()
    }

    /// Bytes that may still be read.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The end of the last line, if it was cut: a mark there tells where the line is from.
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Reads the next line into `line`, without `\n` or `\r\n`.
    ///
    /// # Errors
    /// Where the source cannot be read.
    pub fn next(&mut self, line: &mut Vec<u8>) -> Result<BoundedLine> {
        line.clear();
        self.tail.clear();
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
            // One byte more than the limit, so that the `\r` of a line of exactly that length does not count as a cut.
            let room = (self.max_line + 1).saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            is_cut |= part.len() > room;
            let rest = &part[part.len().min(room)..];
            self.tail.extend_from_slice(&rest[rest.len().saturating_sub(MAX_TAIL)..]);
            self.tail.drain(..self.tail.len().saturating_sub(MAX_TAIL));
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
        if line.len() > self.max_line {
            self.tail.splice(..0, line.drain(self.max_line..));
            self.tail.drain(..self.tail.len().saturating_sub(MAX_TAIL));
            is_cut = true;
        }
        Ok(if is_cut { BoundedLine::Cut } else { BoundedLine::Whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, repeat};

    fn read_all(text: &str, budget: u64, max_line: usize) -> Vec<(BoundedLine, String)> {
        // A small buffer, so that lines cross its ends.
        let mut lines = Lines::new(BufReader::with_capacity(3, text.as_bytes()), budget, max_line);
        let mut line = Vec::new();
        let mut found = Vec::new();
        loop {
            let outcome = lines.next(&mut line).unwrap();
            if matches!(outcome, BoundedLine::End | BoundedLine::Spent) {
                found.push((outcome, String::new()));
                return found;
            }
            found.push((outcome, String::from_utf8(line.clone()).unwrap()));
        }
    }

    fn expected(lines: &[(BoundedLine, &str)]) -> Vec<(BoundedLine, String)> {
        lines.iter().map(|(outcome, text)| (*outcome, (*text).to_owned())).collect()
    }

    #[test]
    fn line_ends_are_removed_in_all_forms() {
        let whole = |lines: &[&str]| -> Vec<(BoundedLine, String)> {
            let lines = lines.iter().map(|line| (BoundedLine::Whole, (*line).to_owned()));
            lines.chain([(BoundedLine::End, String::new())]).collect()
        };
        assert_eq!(read_all("", 99, 9), whole(&[]));
        assert_eq!(read_all("a\n\nbcdef", 99, 9), whole(&["a", "", "bcdef"]));
        assert_eq!(read_all("a\r\nabcd\r\n", 99, 4), whole(&["a", "abcd"]));
    }

    #[test]
    fn long_line_is_cut_and_the_next_one_is_whole() {
        assert_eq!(
            read_all("abcdefgh\nab\nabcd", 99, 3),
            expected(&[
                (BoundedLine::Cut, "abc"),
                (BoundedLine::Whole, "ab"),
                (BoundedLine::Cut, "abc"),
                (BoundedLine::End, "")
            ])
        );
    }

    #[test]
    fn end_of_a_cut_line_is_kept() {
        let text = format!("abcdef\n{}end\r\nab", "x".repeat(2 * MAX_TAIL));
        let mut lines = Lines::new(BufReader::with_capacity(5, text.as_bytes()), 99_999, 4);
        let mut line = Vec::new();
        lines.next(&mut line).unwrap();
        assert_eq!((&line[..], lines.tail()), (&b"abcd"[..], &b"ef"[..]));
        lines.next(&mut line).unwrap();
        assert_eq!((&line[..], lines.tail().len()), (&b"xxxx"[..], MAX_TAIL));
        assert!(lines.tail().ends_with(b"xend\r"));
        lines.next(&mut line).unwrap();
        assert_eq!((&line[..], lines.tail()), (&b"ab"[..], &b""[..]));
    }

    #[test]
    fn budget_stops_an_endless_line() {
        let mut lines = Lines::new(BufReader::new(repeat(b'x')), 1 << 20, 10);
        assert_eq!(lines.next(&mut Vec::new()).unwrap(), BoundedLine::Spent);
        assert_eq!(read_all("ab\ncd\n", 3, 9), expected(&[(BoundedLine::Whole, "ab"), (BoundedLine::Spent, "")]));
    }
}
