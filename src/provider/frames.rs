//! Splitting a stream into frames: server-sent events (WHATWG HTML, 9.2), of which only the data is used, or one JSON
//! document per line. Chunks may split characters and line ends; every byte is scanned once, and at most [`MAX_ANSWER`]
//! bytes are buffered without a frame.
//!
//! Not `eventsource-stream`: it scans its buffer from the start for every chunk, so that one line of 2 MiB exceeds all
//! time limits here, and it has no limit of its own.

use crate::provider::MAX_ANSWER;
use memchr::memchr2;

/// The framing of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Events,
    /// One document per line.
    Lines,
}

/// A stream that cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A frame is over the limit.
    TooLong,
    /// A line is not UTF-8.
    NotUtf8,
}

/// A buffer of received bytes that are not a frame yet.
#[derive(Debug)]
pub struct Frames {
    framing: Framing,
    buffer: Vec<u8>,
    /// The start of the incomplete line in `buffer`.
    start: usize,
    /// `buffer` has no line end before this index.
    seen: usize,
    /// The last line ended with a carriage return; a line feed may follow that belongs to it.
    after_return: bool,
    is_first: bool,
    /// The data of the incomplete event.
    data: String,
}

impl Frames {
    /// An empty buffer.
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

    /// Appends a chunk.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame, if there is one.
    ///
    /// # Errors
    /// If the stream cannot be split.
    pub fn pop(&mut self) -> Result<Option<String>, FrameError> {
        while let Some(line) = self.line()? {
            if let Some(frame) = self.take(&line) {
                return Ok(Some(frame));
            }
        }
        let held = self.data.len() + self.buffer.len();
        if held as u64 > MAX_ANSWER { Err(FrameError::TooLong) } else { Ok(None) }
    }

    /// The last frame of a stream that ended without the line end that closes it. It may be cut off.
    ///
    /// # Errors
    /// If it is not UTF-8.
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

    /// The frame that this line completes.
    fn take(&mut self, line: &str) -> Option<String> {
        if self.framing == Framing::Lines {
            return Some(line.trim()).filter(|line| !line.is_empty()).map(ToOwned::to_owned);
        }
        if line.is_empty() {
            return Some(std::mem::take(&mut self.data)).filter(|data| !data.is_empty());
        }
        // A comment has an empty name; the other fields repeat information of the data.
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

    /// The frames of a stream that arrives in chunks of `size` bytes.
    fn split(framing: Framing, stream: &[u8], size: usize) -> Result<Vec<String>, FrameError> {
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
    fn event_is_its_data_without_other_fields_and_comments() {
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
                let got = split(Framing::Events, stream.as_bytes(), size).unwrap();
                assert_eq!(got, ["{\"a\":\n\"é🦀\"}", "[DONE]"], "{end:?} {size}");
            }
        }
    }

    #[test]
    fn every_line_is_a_document_even_without_the_last_newline() {
        let stream = "{\"é\":1}\r\n\n  {\"b\":2}\n{\"c\":3}";
        for size in 1..20 {
            let got = split(Framing::Lines, stream.as_bytes(), size).unwrap();
            assert_eq!(got, ["{\"é\":1}", "{\"b\":2}", "{\"c\":3}"], "{size}");
        }
    }

    #[test]
    fn endless_frame_and_invalid_utf8_are_errors() {
        let long = vec![b'x'; usize::try_from(MAX_ANSWER).unwrap() + 1];
        for framing in [Framing::Events, Framing::Lines] {
            assert_eq!(split(framing, &long, 8192), Err(FrameError::TooLong));
            assert_eq!(split(framing, b"data: \xff\n", 3), Err(FrameError::NotUtf8));
        }
        let lines = "data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(100_000);
        assert_eq!(split(Framing::Events, lines.as_bytes(), 8192), Err(FrameError::TooLong));
    }

    proptest! {
        #[test]
        fn chunk_size_does_not_change_the_frames(stream in "(data: ?|:|\r|\n|\r\n|é|x){0,60}", size in 1usize..9) {
            for framing in [Framing::Events, Framing::Lines] {
                prop_assert_eq!(split(framing, stream.as_bytes(), size), split(framing, stream.as_bytes(), usize::MAX));
            }
        }
    }
}
