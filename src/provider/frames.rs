//! A stream cut into frames: server-sent events (WHATWG HTML, 9.2), of which only the data counts, or one JSON
//! document a line. Bytes come in any pieces, characters and line ends split between them; every byte is looked
//! at once, and at most [`MAX_ANSWER`] of them are held without a frame.
//!
//! Not `eventsource-stream`: it begins anew at the start of its buffer with every piece that comes, so that one
//! line of 2 MiB takes it longer than all time limits here, and it has no bounds of its own.

use crate::provider::MAX_ANSWER;
use memchr::memchr2;

/// How a stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Events,
    /// One document a line.
    Lines,
}

/// Why a stream cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// There is no end to it.
    TooLong,
    /// It is not UTF-8.
    NotUtf8,
}

/// What has come of a stream, and is no frame yet.
#[derive(Debug)]
pub struct Frames {
    framing: Framing,
    buffer: Vec<u8>,
    /// Where in `buffer` the line begins that is not whole.
    start: usize,
    /// Up to where there is no line end in it.
    seen: usize,
    /// The last line ended with a carriage return, to which a line feed may belong.
    after_return: bool,
    is_first: bool,
    /// The data of the event that is not whole.
    data: String,
}

impl Frames {
    /// Nothing yet.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self {
            framing,
            buffer: Vec::new(),
            start: 0,
            seen: 0,
            after_return: false,
            is_first: true,
            data: String::new(),
        }
    }

    /// Takes a piece in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// Where the stream cannot be cut.
    pub fn pop(&mut self) -> Result<Option<String>, FrameError> {
        while let Some(line) = self.line()? {
            if let Some(frame) = self.take(&line) {
                return Ok(Some(frame));
            }
        }
        let held = self.data.len() + self.buffer.len();
        if held as u64 > MAX_ANSWER { Err(FrameError::TooLong) } else { Ok(None) }
    }

    /// The last frame, where the stream ended without the line end that closes it. It may be cut off.
    ///
    /// # Errors
    /// Where that is no text.
    pub fn end(mut self) -> Result<Option<String>, FrameError> {
        self.push(b"\n\n");
        self.pop()
    }

    fn line(&mut self) -> Result<Option<String>, FrameError> {
        if self.after_return && self.start < self.buffer.len() {
            self.after_return = false;
            self.start += usize::from(self.buffer[self.start] == b'\n');
            self.seen = self.start;
        }
        let Some(at) = memchr2(b'\n', b'\r', &self.buffer[self.seen..]) else {
            self.buffer.drain(..self.start);
            self.start = 0;
            self.seen = self.buffer.len();
            return Ok(None);
        };
        let end = self.seen + at;
        let line = std::str::from_utf8(&self.buffer[self.start..end]).map_err(|_| FrameError::NotUtf8)?;
        let line = line.strip_prefix('\u{feff}').filter(|_| self.is_first).unwrap_or(line).to_owned();
        self.is_first = false;
        self.after_return = self.buffer[end] == b'\r';
        self.start = end + 1;
        self.seen = self.start;
        Ok(Some(line))
    }

    /// The frame that ends with this line.
    fn take(&mut self, line: &str) -> Option<String> {
        if self.framing == Framing::Lines {
            return Some(line.trim()).filter(|line| !line.is_empty()).map(ToOwned::to_owned);
        }
        if line.is_empty() {
            return Some(std::mem::take(&mut self.data)).filter(|data| !data.is_empty());
        }
        // A comment has no name; of the other fields none says more than the data does.
        if let Some(("data", value)) = line.split_once(':').or(Some((line, ""))) {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data += value.strip_prefix(' ').unwrap_or(value);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The frames of a stream that comes in pieces of this size.
    fn cut(framing: Framing, stream: &[u8], size: usize) -> Result<Vec<String>, FrameError> {
        let mut frames = Frames::new(framing);
        let mut all = Vec::new();
        for piece in stream.chunks(size.max(1)) {
            frames.push(piece);
            while let Some(frame) = frames.pop()? {
                all.push(frame);
            }
        }
        all.extend(frames.end()?);
        Ok(all)
    }

    #[test]
    fn events_are_their_data_whatever_stands_around_it() {
        let lines = [
            "\u{feff}: keep-alive",
            "",
            "event: delta",
            "id: 7",
            "data: {\"a\":",
            "data:\"é🦀\"}",
            "",
            "retry: 10",
            "",
            "data",
            "",
            "data: [DONE]",
        ];
        for end in ["\n", "\r\n", "\r"] {
            let stream = lines.join(end);
            for size in 1..20 {
                let got = cut(Framing::Events, stream.as_bytes(), size).unwrap();
                assert_eq!(got, ["{\"a\":\n\"é🦀\"}", "[DONE]"], "{end:?} {size}");
            }
        }
    }

    #[test]
    fn every_line_is_a_document_also_the_last_one_without_its_end() {
        let stream = "{\"é\":1}\r\n\n  {\"b\":2}\n{\"c\":3}";
        for size in 1..20 {
            let got = cut(Framing::Lines, stream.as_bytes(), size).unwrap();
            assert_eq!(got, ["{\"é\":1}", "{\"b\":2}", "{\"c\":3}"], "{size}");
        }
    }

    #[test]
    fn what_has_no_end_is_too_long_and_what_is_no_text_is_said_so() {
        let long = vec![b'x'; usize::try_from(MAX_ANSWER).unwrap() + 1];
        for framing in [Framing::Events, Framing::Lines] {
            assert_eq!(cut(framing, &long, 8192), Err(FrameError::TooLong));
            assert_eq!(cut(framing, b"data: \xff\n", 3), Err(FrameError::NotUtf8));
        }
        let lines = "data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(100_000);
        assert_eq!(cut(Framing::Events, lines.as_bytes(), 8192), Err(FrameError::TooLong));
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter(stream in "(data: ?|:|\r|\n|\r\n|é|x){0,60}", size in 1usize..9) {
            for framing in [Framing::Events, Framing::Lines] {
                prop_assert_eq!(cut(framing, stream.as_bytes(), size), cut(framing, stream.as_bytes(), usize::MAX));
            }
        }
    }
}
