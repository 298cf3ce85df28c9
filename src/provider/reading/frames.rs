//! Splitting a body into frames. The framing is recognised by the first bytes, because many servers and gateways send
//! another content type: server-sent events (WHATWG HTML, 9.2), JSON documents one after the other, a web page, or
//! plain text. Chunks may split characters and line ends; every byte is scanned once, and at most [`MAX_ANSWER`] bytes
//! are buffered without a frame. Bytes that are not UTF-8 become U+FFFD.
//!
//! Not `eventsource-stream`: it scans its buffer from the start for every chunk, so that one line of 2 MiB exceeds all
//! time limits here, and it has no limit of its own.

use crate::provider::MAX_ANSWER;
use memchr::memchr2;

/// The longest text outside of all frames that is kept, in bytes.
const MAX_STRAY: usize = 400;
/// The fields of server-sent events.
const FIELDS: [&str; 4] = ["data", "event", "id", "retry"];

/// A frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The name of a server-sent event; empty for one without a name, and for other framings.
    pub event: String,
    /// The data.
    pub data: String,
}

/// A frame is over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// The framing of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// Too few bytes have arrived.
    Unknown,
    /// Server-sent events.
    Events,
    /// JSON documents; after them perhaps lines of text.
    Documents,
    /// A web page.
    Page,
    /// Other text.
    Text,
}

/// The remainder of a body after its last complete frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// A last frame without the end that closes it. It may be cut off.
    pub frame: Option<Frame>,
    /// Text outside of all frames: an error that a gateway appends, or the whole body.
    pub stray: String,
    /// The body is a web page; `stray` has its beginning.
    pub is_page: bool,
    /// The body has no bytes but white space.
    pub is_empty: bool,
}

/// A buffer of received bytes that are not a frame yet.
#[derive(Debug)]
pub struct Frames {
    framing: Framing,
    /// The content type names server-sent events: they may begin with a field that is not known.
    is_named_events: bool,
    buffer: Vec<u8>,
    /// The start of the incomplete line or document in `buffer`.
    start: usize,
    /// `buffer` has no end of it before this index.
    seen: usize,
    /// The last line ended with a carriage return; a line feed may follow that belongs to it.
    after_return: bool,
    /// The incomplete event.
    event: Frame,
    has_data: bool,
    nesting: Nesting,
    stray: String,
}

/// The position in an incomplete JSON document.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    after_backslash: bool,
}

impl Nesting {
    /// Takes the next byte; true if it ends the document.
    fn take(&mut self, byte: u8) -> bool {
        if self.in_string {
            let is_escaped = std::mem::take(&mut self.after_backslash);
            match byte {
                b'\\' if !is_escaped => self.after_backslash = true,
                b'"' if !is_escaped => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

impl Frames {
    /// An empty buffer for a body with this content type.
    #[must_use]
    pub fn new(content_type: &str) -> Self {
        Self {
            framing: Framing::Unknown,
            is_named_events: content_type.trim_start().to_ascii_lowercase().starts_with("text/event-stream"),
            buffer: Vec::new(),
            start: 0,
            seen: 0,
            after_return: false,
            event: Frame::default(),
            has_data: false,
            nesting: Nesting::default(),
            stray: String::new(),
        }
    }

    /// Appends a chunk.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame, if there is one.
    ///
    /// # Errors
    /// If a frame is over [`MAX_ANSWER`].
    pub fn pop(&mut self) -> Result<Option<Frame>, TooLong> {
        if self.framing == Framing::Unknown {
            self.recognise(false);
        }
        let frame = match self.framing {
            Framing::Events => self.event(),
            Framing::Documents => self.document(),
            Framing::Unknown | Framing::Page | Framing::Text => None,
        };
        let held = self.event.data.len() + self.buffer.len() - self.start;
        if frame.is_none() && held as u64 > MAX_ANSWER { Err(TooLong) } else { Ok(frame) }
    }

    /// The remainder after the last chunk.
    ///
    /// # Errors
    /// If a frame is over [`MAX_ANSWER`].
    pub fn end(mut self) -> Result<Rest, TooLong> {
        if self.framing == Framing::Unknown {
            self.recognise(true);
        }
        let mut rest = Rest { is_empty: self.framing == Framing::Unknown, ..Rest::default() };
        match self.framing {
            Framing::Events => {
                self.push(b"\n\n");
                rest.frame = self.pop()?;
            }
            Framing::Documents if self.nesting.depth > 0 => {
                let data = lossy(&self.buffer[self.start..]);
                rest.frame = Some(Frame { data, ..Frame::default() });
            }
            Framing::Documents => {
                self.push(b"\n");
                rest.frame = self.pop()?;
            }
            Framing::Page | Framing::Text => {
                rest.is_page = self.framing == Framing::Page;
                let text = lossy(&self.buffer);
                self.add_stray(text.trim());
            }
            Framing::Unknown => {}
        }
        rest.stray = self.stray;
        Ok(rest)
    }

    /// Determines the framing by the first bytes that are not white space.
    fn recognise(&mut self, is_all: bool) {
        let blank = |b: &u8| b.is_ascii_whitespace() || *b == 0x1e;
        let mark = b"\xef\xbb\xbf";
        let begin = if self.buffer.starts_with(mark) { mark.len() } else { 0 };
        let Some(first) = self.buffer[begin..].iter().position(|b| !blank(b)).map(|at| begin + at) else { return };
        let text = &self.buffer[first..];
        if !is_all && mark.starts_with(&text[..text.len().min(mark.len())]) {
            return;
        }
        let line = &text[..memchr2(b'\n', b'\r', text).unwrap_or(text.len())];
        let is_whole_line = is_all || line.len() < text.len() || line.len() > MAX_STRAY;
        let field = line.split(|b| *b == b':').next().unwrap_or_default();
        let is_field = field.len() < line.len() || is_whole_line;
        self.framing = match text.first() {
            Some(b'{' | b'[') => Framing::Documents,
            Some(b'<') => Framing::Page,
            Some(b':') => Framing::Events,
            _ if self.is_named_events => Framing::Events,
            _ if is_field && FIELDS.iter().any(|known| known.as_bytes() == field) => Framing::Events,
            _ if is_field || !FIELDS.iter().any(|known| known.as_bytes().starts_with(field)) => Framing::Text,
            _ => return,
        };
        (self.start, self.seen) = (first, first);
    }

    /// The next line.
    fn line(&mut self) -> Option<String> {
        if self.after_return && self.start < self.buffer.len() {
            self.after_return = false;
            self.start += usize::from(self.buffer[self.start] == b'\n');
            self.seen = self.start;
        }
        let Some(at) = memchr2(b'\n', b'\r', &self.buffer[self.seen..]) else {
            self.forget();
            self.seen = self.buffer.len();
            return None;
        };
        let end = self.seen + at;
        let line = lossy(&self.buffer[self.start..end]);
        self.after_return = self.buffer[end] == b'\r';
        self.start = end + 1;
        self.seen = self.start;
        Some(line)
    }

    /// Drops the bytes before the incomplete line or document.
    fn forget(&mut self) {
        self.buffer.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
    }

    fn event(&mut self) -> Option<Frame> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if std::mem::take(&mut self.has_data) && !event.data.is_empty() {
                    return Some(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => {
                    if self.has_data {
                        self.event.data.push('\n');
                    }
                    self.has_data = true;
                    self.event.data += value;
                }
                "event" => value.clone_into(&mut self.event.event),
                // Comments and fields without a meaning here.
                "" | "id" | "retry" => {}
                // A gateway that fails writes its error without `data:`.
                _ if line.starts_with('{') => return Some(Frame { data: line, ..Frame::default() }),
                _ => self.add_stray(&line),
            }
        }
        None
    }

    fn document(&mut self) -> Option<Frame> {
        loop {
            if self.nesting.depth == 0 {
                let separates = |b: &u8| b.is_ascii_whitespace() || matches!(b, b',' | 0x1e);
                let skipped = self.buffer[self.start..].iter().take_while(|b| separates(b)).count();
                self.start += skipped;
                self.seen = self.start.max(self.seen);
                match self.buffer.get(self.start) {
                    None => {
                        self.forget();
                        return None;
                    }
                    Some(b'{' | b'[') => {}
                    Some(_) => {
                        let line = self.line()?;
                        self.add_stray(&line);
                        continue;
                    }
                }
            }
            while let Some(byte) = self.buffer.get(self.seen).copied() {
                self.seen += 1;
                if self.nesting.take(byte) {
                    let data = lossy(&self.buffer[self.start..self.seen]);
                    self.start = self.seen;
                    return Some(Frame { data, ..Frame::default() });
                }
            }
            self.forget();
            return None;
        }
    }

    fn add_stray(&mut self, text: &str) {
        let room = MAX_STRAY.saturating_sub(self.stray.len());
        if room > 1 && !self.stray.is_empty() {
            self.stray.push('\n');
        }
        self.stray += crate::core::text::cut::cut(text, room);
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The frames and the rest of a body that arrives in chunks of `size` bytes.
    fn split(kind: &str, body: &[u8], size: usize) -> Result<(Vec<Frame>, Rest), TooLong> {
        let mut frames = Frames::new(kind);
        let mut all = Vec::new();
        for piece in body.chunks(size.max(1)) {
            frames.push(piece);
            while let Some(frame) = frames.pop()? {
                all.push(frame);
            }
        }
        let rest = frames.end()?;
        Ok((all, rest))
    }

    fn data(body: &[u8], size: usize) -> Vec<String> {
        let (frames, rest) = split("", body, size).unwrap();
        frames.into_iter().chain(rest.frame).map(|frame| frame.data).collect()
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
                assert_eq!(data(stream.as_bytes(), size), ["{\"a\":\n\"é🦀\"}", "[DONE]"], "{end:?} {size}");
            }
        }
        let named = split("", b"event: error\ndata: {}\n\n", 3).unwrap().0;
        assert_eq!(named, [Frame { event: "error".into(), data: "{}".into() }]);
    }

    #[test]
    fn documents_may_follow_each_other_in_any_layout() {
        let bodies: &[(&str, &[&str])] = &[
            ("{\"é\":1}\r\n\n  {\"b\":2}\n{\"c\":3}", &["{\"é\":1}", "{\"b\":2}", "{\"c\":3}"]),
            ("{\"a\": {\n  \"b\": \"}{\\\"\\\\\"\n}}", &["{\"a\": {\n  \"b\": \"}{\\\"\\\\\"\n}}"]),
            ("\u{1e}{}\n\u{1e}{\"x\":[]}\n", &["{}", "{\"x\":[]}"]),
            ("[{\"error\": {}}]", &["[{\"error\": {}}]"]),
            ("{\"a\":1}{\"cut\": \"o", &["{\"a\":1}", "{\"cut\": \"o"]),
        ];
        for (body, expected) in bodies {
            for size in 1..20 {
                assert_eq!(data(body.as_bytes(), size), *expected, "{size}");
            }
        }
    }

    #[test]
    fn text_of_a_gateway_is_kept_beside_the_frames() {
        for size in [1, 7, 999] {
            let (frames, rest) = split("", b"data: {\"a\":1}\n\nupstream error: reset\n", size).unwrap();
            assert_eq!((frames.len(), &rest.stray[..]), (1, "upstream error: reset"));
            let (frames, rest) = split("", b"data: {\"a\":1}\n\n{\"error\": \"x\"}\n", size).unwrap();
            assert_eq!((frames.len(), &frames[1].data[..], &rest.stray[..]), (2, "{\"error\": \"x\"}", ""));
            let (frames, rest) = split("", b"{\"a\":1}\nInternal Server Error", size).unwrap();
            assert_eq!((frames.len(), &rest.stray[..]), (1, "Internal Server Error"));
        }
    }

    #[test]
    fn page_and_text_are_recognised_and_an_empty_body_too() {
        for size in [1, 3, 999] {
            let page = split("application/json", b"\n <!doctype html><title>x</title>", size).unwrap().1;
            assert!(page.is_page && page.stray.starts_with("<!doctype"), "{page:?}");
            let text = split("", b"Bad gateway", size).unwrap().1;
            assert_eq!((&text.stray[..], text.is_page, text.is_empty), ("Bad gateway", false, false));
            let text = split("", b"dat", size).unwrap().1;
            assert_eq!(text.stray, "dat");
            assert!(split("", b" \n\r\n", size).unwrap().1.is_empty);
            let named = split("TEXT/EVENT-STREAM; charset=utf-8", b"x: y\n\ndata: 1\n\n", size).unwrap().0;
            assert_eq!(named.len(), 1);
        }
    }

    #[test]
    fn endless_frame_is_an_error_and_invalid_utf8_is_replaced() {
        let long = vec![b'x'; usize::try_from(MAX_ANSWER).unwrap() + 1];
        for begin in [&b"data: "[..], b"{\"", b"<", b"x"] {
            assert_eq!(split("", &[begin, &long].concat(), 8192), Err(TooLong));
        }
        let lines = "data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(100_000);
        assert_eq!(split("", lines.as_bytes(), 8192), Err(TooLong));
        assert_eq!(data(b"data: \xff\n\n", 3), ["\u{fffd}"]);
    }

    proptest! {
        #[test]
        fn chunk_size_does_not_change_the_frames(
            body in "(\u{feff})?(data: ?|event:|:|\r|\n|\r\n|é|x|\\{|\\}|\\[|\"|\\\\|<){0,60}",
            size in 1usize..9,
        ) {
            for kind in ["", "text/event-stream"] {
                let bytes = body.as_bytes();
                prop_assert_eq!(split(kind, bytes, size), split(kind, bytes, usize::MAX));
            }
        }
    }
}
