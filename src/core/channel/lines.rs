//! The line protocol of a channel's program: one JSON object a line, UTF-8, at most 1 MiB. Schemas:
//! `docs/schema/exec-from-program.json` and `docs/schema/exec-to-program.json`.

use crate::core::channel::inbound::{Inbound, Place, Quote};
use crate::core::json::lenient;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The longest line, in bytes.
pub const MAX_LINE: usize = 1 << 20;

/// A line of the program.
#[derive(Clone, Debug, PartialEq)]
pub enum ProgramLine {
    /// A message; the id is echoed as the program wrote it.
    Message(Value, Box<Inbound>),
    /// A message was sent, with an optional receipt.
    Sent(String, String),
    /// A message was not sent. `after`: seconds after which it may be tried again.
    Failed {
        /// The event.
        id: String,
        /// The reason.
        why: String,
        /// The wait, if a retry makes sense.
        after: Option<u64>,
    },
    /// The answer to a ping.
    Pong(u64),
}

/// An invalid line: its id, if it has one, and the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct InvalidLine {
    /// The id as the program wrote it, or null.
    pub id: Value,
    /// The reason.
    pub why: String,
}

/// Parses a line. Unknown keys are ignored: they set nothing.
///
/// # Errors
/// The reason, if it is not a JSON object of this protocol.
pub fn parse(line: &[u8]) -> Result<ProgramLine, InvalidLine> {
    let invalid = |id: &Value, why: &str| InvalidLine { id: id.clone(), why: why.to_owned() };
    let text = std::str::from_utf8(line).map_err(|_| invalid(&Value::Null, "the line is not UTF-8"))?;
    let Some(Value::Object(line)) = lenient::parse(text).map(lenient::resolved) else {
        return Err(invalid(&Value::Null, "the line is not a JSON object"));
    };
    let id = line.get("id").filter(|id| id.is_string() || id.is_i64() || id.is_u64()).cloned().unwrap_or_default();
    read(&line, &id).map_err(|why| InvalidLine { id, why })
}

fn read(line: &Map<String, Value>, id: &Value) -> Result<ProgramLine, String> {
    if let Some(number) = line.get("pong") {
        return number.as_u64().map(ProgramLine::Pong).ok_or_else(|| "`pong` is not a number".to_owned());
    }
    if line.contains_key("sent") {
        return Ok(ProgramLine::Sent(name(line, "sent")?, optional(line, "receipt")?.unwrap_or_default()));
    }
    if line.contains_key("failed") {
        let after = match line.get("retry_after") {
            None | Some(Value::Null) => None,
            Some(seconds) => Some(
                seconds
                    .as_u64()
                    .or_else(|| seconds.as_f64().map(whole_seconds))
                    .ok_or("`retry_after` is not a number of seconds")?,
            ),
        };
        let why = optional(line, "why")?.unwrap_or_else(|| "the program gave no reason".to_owned());
        return Ok(ProgramLine::Failed { id: name(line, "failed")?, why, after });
    }
    if id.is_null() && line.get("id").is_some_and(|id| !id.is_null()) {
        // It could not be echoed as the program wrote it.
        return Err("`id` is not a text or a whole number".to_owned());
    }
    Ok(ProgramLine::Message(id.clone(), Box::new(message(line)?)))
}

/// Seconds rounded up.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value is clamped to the range")]
fn whole_seconds(seconds: f64) -> u64 {
    seconds.clamp(0.0, 1e9).ceil() as u64
}

fn message(line: &Map<String, Value>) -> Result<Inbound, String> {
    let (platform_id, sender) = (name(line, "id")?, name(line, "from")?);
    let chat = optional(line, "chat")?.filter(|chat| *chat != sender);
    let thread = optional(line, "thread")?.filter(|thread| !thread.is_empty());
    let flag = |key: &str| match line.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(flag) => flag.as_bool().ok_or_else(|| format!("`{key}` is not true or false")),
    };
    let place = match &chat {
        None => Place::Direct,
        Some(id) => Place::Group { id: id.clone(), is_mentioned: flag("mentioned")?, is_reply: flag("reply")? },
    };
    let attachments = match line.get("attachments") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(all)) => {
            let path = |value: &Value| value.as_str().map(ToOwned::to_owned);
            all.iter().map(path).collect::<Option<_>>().ok_or("`attachments` is not a list of paths")?
        }
        Some(_) => return Err("`attachments` is not a list of paths".to_owned()),
    };
    let quoted = match line.get("quoted") {
        None | Some(Value::Null) => None,
        Some(Value::Object(quoted)) => Some(Quote {
            author: optional(quoted, "from")?.unwrap_or_default(),
            text: optional(quoted, "text")?.unwrap_or_default(),
            is_own: quoted.get("own").and_then(Value::as_bool).unwrap_or_default(),
        }),
        Some(_) => return Err("`quoted` is not an object".to_owned()),
    };
    let mut labels = BTreeMap::new();
    for key in ["name", "time"] {
        labels.extend(optional(line, key)?.map(|value| (key.to_owned(), value)));
    }
    let text = match line.get("text") {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) if !attachments.is_empty() => String::new(),
        _ => return Err("`text` is missing".to_owned()),
    };
    Ok(Inbound {
        authenticated: None,
        agent: None,
        session: None,
        platform_id,
        at: None,
        reply_to: match (chat, thread) {
            (Some(chat), Some(thread)) => format!("{chat}/{thread}"),
            (Some(chat), None) => chat,
            (None, _) => sender.clone(),
        },
        sender,
        is_bot: flag("bot")?,
        place,
        text,
        quoted,
        forwarded_from: optional(line, "forwarded_from")?,
        attachments,
        labels,
    })
}

/// A required text; a number counts as its text.
fn name(line: &Map<String, Value>, key: &str) -> Result<String, String> {
    optional(line, key)?.filter(|text| !text.is_empty()).ok_or_else(|| format!("`{key}` is missing"))
}

fn optional(line: &Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match line.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(format!("`{key}` is not a text")),
    }
}

/// `{"ack": id}`: the message is durable.
#[must_use]
pub fn ack(id: &Value) -> Vec<u8> {
    line(&json!({"ack": id}))
}

/// `{"refused": id, "why": …}`: the message is no event.
#[must_use]
pub fn refused(id: &Value, why: &str) -> Vec<u8> {
    line(&json!({"refused": id, "why": why}))
}

/// `{"ping": n}`: the program answers `{"pong": n}`.
#[must_use]
pub fn ping(number: u64) -> Vec<u8> {
    line(&json!({"ping": number}))
}

/// `{"send": {…}}`: the program sends a message.
#[must_use]
pub fn send(id: &str, to: &str, text: &str, attempt: u32, maybe_repeated: bool) -> Vec<u8> {
    line(&json!({"send": {"id": id, "to": to, "text": text, "attempt": attempt, "maybe_repeated": maybe_repeated}}))
}

fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

/// Cuts the output of a program into lines.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// So many bytes have no newline in them.
    searched: usize,
}

impl LineBuffer {
    /// Adds output.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line, without its newline.
    ///
    /// # Errors
    /// If there is none within [`MAX_LINE`] bytes.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            let Some(end) = memchr::memchr(b'\n', &self.bytes[self.searched..]).map(|at| at + self.searched) else {
                self.searched = self.bytes.len();
                return if self.searched > MAX_LINE { Err(too_long()) } else { Ok(None) };
            };
            let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
            self.searched = 0;
            line.pop();
            if line.len() > MAX_LINE {
                return Err(too_long());
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(line));
            }
        }
    }
}

fn too_long() -> String {
    format!("the program wrote a line of more than {MAX_LINE} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(line: &str) -> Result<ProgramLine, String> {
        parse(line.as_bytes()).map_err(|invalid| invalid.why)
    }

    #[test]
    fn message_is_direct_unless_it_names_a_chat() {
        let Ok(ProgramLine::Message(id, inbound)) =
            parsed(r#"{"id": 7, "from": "ann", "text": "hi", "time": 12, "name": "Ann"}"#)
        else {
            panic!()
        };
        assert_eq!(id, 7);
        assert_eq!(
            (&*inbound.platform_id, &*inbound.sender, &*inbound.reply_to, &inbound.place),
            ("7", "ann", "ann", &Place::Direct)
        );
        assert_eq!(inbound.labels["time"], "12");
        let Ok(ProgramLine::Message(_, inbound)) =
            parsed(r##"{"id": "a", "from": "ann", "chat": "#claw", "text": "hi", "mentioned": true}"##)
        else {
            panic!()
        };
        assert_eq!(inbound.place, Place::Group { id: "#claw".into(), is_mentioned: true, is_reply: false });
        assert_eq!((&*inbound.sender, &*inbound.reply_to), ("ann", "#claw"));
        let thread = parsed(r##"{"id": "a", "from": "ann", "chat": "#claw", "thread": 9, "text": "hi"}"##);
        let Ok(ProgramLine::Message(_, inbound)) = thread else { panic!() };
        assert_eq!(
            (&inbound.place, &*inbound.reply_to),
            (&Place::Group { id: "#claw".into(), is_mentioned: false, is_reply: false }, "#claw/9")
        );
        let Ok(ProgramLine::Message(_, inbound)) = parsed(r#"{"id": "a", "from": "ann", "chat": "ann", "text": "hi"}"#)
        else {
            panic!()
        };
        assert_eq!(inbound.place, Place::Direct);
    }

    #[test]
    fn no_other_field_of_a_line_reaches_the_message() {
        let plain = parsed(r#"{"id": "1", "from": "ann", "text": "hi"}"#).unwrap();
        for field in [
            "kind",
            "session",
            "agent",
            "hops",
            "origin",
            "class",
            "source",
            "reply_to",
            "meta",
            "owner",
            "taint",
            "v",
            "error",
            "in_reply_to",
            "not_before",
        ] {
            let line = format!(r#"{{"id": "1", "from": "ann", "text": "hi", "{field}": "cli:ann"}}"#);
            assert_eq!(parsed(&line).unwrap(), plain, "{field}");
        }
    }

    #[test]
    fn answers_of_the_program_are_read() {
        assert_eq!(parsed(r#"{"pong": 3}"#), Ok(ProgramLine::Pong(3)));
        assert_eq!(parsed(r#"{"sent": "e", "receipt": 9}"#), Ok(ProgramLine::Sent("e".into(), "9".into())));
        let failed = |after| Ok(ProgramLine::Failed { id: "e".into(), why: "w".into(), after });
        assert_eq!(parsed(r#"{"failed": "e", "why": "w"}"#), failed(None));
        assert_eq!(parsed(r#"{"failed": "e", "why": "w", "retry_after": 3}"#), failed(Some(3)));
        assert_eq!(parsed(r#"{"failed": "e", "why": "w", "retry_after": 0.2}"#), failed(Some(1)));
    }

    #[test]
    fn malformed_line_is_refused_with_its_id() {
        let refused = |line: &str| parse(line.as_bytes()).unwrap_err();
        assert_eq!(
            refused(r#"{"id": "1", "from": "ann"}"#),
            InvalidLine { id: "1".into(), why: "`text` is missing".into() }
        );
        for line in [
            "",
            "[]",
            "7",
            "nonsense",
            r#"{"id": "1", "from": {}, "text": "x"}"#,
            r#"{"from": "a", "text": "x"}"#,
            r#"{"id": "", "from": "a", "text": "x"}"#,
            r#"{"id": 1.5, "from": "a", "text": "x"}"#,
            r#"{"id": 18446744073709551616, "from": "a", "text": "x"}"#,
            r#"{"id": 1, "from": "a", "text": 7}"#,
            r#"{"id": 1, "from": "a", "text": "x", "attachments": "f"}"#,
            r#"{"id": 1, "from": "a", "text": "x", "attachments": [1]}"#,
            r#"{"id": 1, "from": "a", "chat": "g", "text": "x", "mentioned": "yes"}"#,
            r#"{"pong": "x"}"#,
            r#"{"sent": null}"#,
            r#"{"failed": [], "why": 1}"#,
            r#"{"failed": "a", "retry_after": "soon"}"#,
        ] {
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
        assert_eq!(parse(b"{\"id\": \"\xff\"}").unwrap_err().id, Value::Null);
        let Ok(ProgramLine::Message(_, inbound)) = parsed(r#"{"id": "1", "from": "a", "text": "half \ud83e"}"#) else {
            panic!()
        };
        assert_eq!(inbound.text, "half \u{fffd}");
    }

    #[test]
    fn line_over_the_limit_is_an_error_and_half_a_line_is_none() {
        let mut buffer = LineBuffer::default();
        buffer.push(b"one\n\n  \ntwo\nhalf");
        let mut next = || buffer.next_line().unwrap();
        assert_eq!([next(), next(), next()], [Some(b"one".to_vec()), Some(b"two".to_vec()), None]);
        buffer.push(&vec![b'x'; MAX_LINE]);
        assert!(buffer.next_line().is_err());
        let mut whole = LineBuffer::default();
        whole.push(&[&vec![b'x'; MAX_LINE + 1][..], b"\n"].concat());
        assert!(whole.next_line().is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }

        #[test]
        fn lines_do_not_depend_on_the_pieces(text in "[a\n ]{0,40}", size in 1usize..7) {
            let (mut pieces, mut lines) = (LineBuffer::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                pieces.push(piece);
                while let Some(line) = pieces.next_line().unwrap() {
                    lines.push(line);
                }
            }
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let expected: Vec<Vec<u8>> = whole.split('\n').filter(|l| !l.trim().is_empty()).map(|l| l.as_bytes().to_vec()).collect();
            prop_assert_eq!(lines, expected);
        }
    }
}
