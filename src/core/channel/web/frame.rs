//! Frames of WebSocket clients: JSON objects. `{"type":"auth","token","cursor"?}` logs in, anything without a `type` or
//! with `"message"` is a message: `{source?, content, agent_id?, session?, id?}`.

use serde::Deserialize;
use serde_json::{Value, json};

/// The longest frame and message, in bytes.
pub const MAX_FRAME: usize = 256 << 10;
/// The longest `id`, in bytes.
const MAX_ID: usize = 128;
/// The longest `source`, in bytes.
const MAX_SOURCE: usize = 64;

/// A frame of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame {
    /// The first frame of a client without an `Authorization` header.
    Auth {
        /// The token.
        token: String,
        /// The place in the journal after which it continues.
        cursor: Option<String>,
    },
    /// A message to an agent.
    Message(ClientMessage),
}

/// A message of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientMessage {
    /// The client's own id: the same one is the same event.
    pub id: Option<String>,
    /// A label below the client's address.
    pub source: Option<String>,
    /// The text.
    pub content: String,
    /// The agent that answers.
    pub agent: Option<String>,
    /// The conversation; only the owner may name one.
    pub session: Option<String>,
}

/// Why a frame is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameError {
    /// The reason, in words for the client's author.
    pub message: String,
    /// The offset in bytes at which the JSON ends to be valid.
    pub at: Option<usize>,
    /// The id of the message, if it could be read.
    pub id: Option<String>,
    /// The same message may be accepted later.
    pub may_repeat: bool,
}

impl FrameError {
    /// An error without a place.
    pub fn new(message: impl Into<String>, id: Option<String>) -> Self {
        Self { message: message.into(), at: None, id, may_repeat: false }
    }

    /// The same, for a message that may be accepted later.
    #[must_use]
    pub fn repeatable(self) -> Self {
        Self { may_repeat: true, ..self }
    }

    /// The frame that reports it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut frame = json!({"type": "error", "message": self.message});
        if let Some(at) = self.at {
            frame["at"] = at.into();
        }
        if let Some(id) = &self.id {
            frame["id"] = id.as_str().into();
        }
        if self.may_repeat {
            frame["again"] = true.into();
        }
        frame
    }
}

#[derive(Deserialize)]
struct RawFrame {
    #[serde(rename = "type")]
    kind: Option<String>,
    token: Option<String>,
    cursor: Option<String>,
    id: Option<String>,
    source: Option<String>,
    #[serde(alias = "text")]
    content: Option<String>,
    #[serde(alias = "agent")]
    agent_id: Option<String>,
    session: Option<String>,
}

/// Parses a frame.
///
/// # Errors
/// The reason and, for malformed JSON, its place.
pub fn parse(text: &str) -> Result<ClientFrame, FrameError> {
    // The parser would take an array for an object's fields in order.
    if !text.trim_start().starts_with('{') {
        return Err(FrameError { at: Some(0), ..FrameError::new("a frame is a JSON object", None) });
    }
    let raw: RawFrame = serde_json::from_str(text).map_err(|e| {
        let before: usize = text.split_inclusive('\n').take(e.line().saturating_sub(1)).map(str::len).sum();
        let message = e.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        FrameError { at: Some(before + e.column().saturating_sub(1)), ..FrameError::new(message, None) }
    })?;
    match raw.kind.as_deref() {
        Some("auth") => match raw.token {
            Some(token) => Ok(ClientFrame::Auth { token, cursor: raw.cursor }),
            None => Err(FrameError::new("`token` is missing", None)),
        },
        None | Some("message") => message(raw).map(ClientFrame::Message),
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            Err(FrameError::new(
                format!("there is no type `{}`; send a message or `auth`", shown.escape_debug()),
                raw.id,
            ))
        }
    }
}

fn message(raw: RawFrame) -> Result<ClientMessage, FrameError> {
    let is_plain =
        |text: &str, most: usize| !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control);
    if raw.id.as_ref().is_some_and(|id| !is_plain(id, MAX_ID)) {
        return Err(FrameError::new(format!("`id` must have 1 to {MAX_ID} bytes without control characters"), None));
    }
    let bad = |message: String| Err(FrameError::new(message, raw.id.clone()));
    if raw.source.as_ref().is_some_and(|source| !is_plain(source.trim(), MAX_SOURCE)) {
        return bad(format!("`source` must have 1 to {MAX_SOURCE} bytes without control characters"));
    }
    match raw.content {
        None => bad("`content` is missing".to_owned()),
        Some(content) if content.trim().is_empty() => bad("`content` is empty".to_owned()),
        Some(content) => Ok(ClientMessage {
            id: raw.id,
            source: raw.source.map(|source| source.trim().to_owned()),
            content,
            agent: raw.agent_id,
            session: raw.session,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_logins_are_read() {
        let frame = parse(r#"{"source":" ci ","content":"hi","agent_id":"cookie","id":"7","more":[1]}"#);
        let message = ClientMessage {
            id: Some("7".into()),
            source: Some("ci".into()),
            content: "hi".into(),
            agent: Some("cookie".into()),
            session: None,
        };
        assert_eq!(frame, Ok(ClientFrame::Message(message)));
        let auth = parse(r#"{"type":"auth","token":"t"}"#);
        assert_eq!(auth, Ok(ClientFrame::Auth { token: "t".into(), cursor: None }));
    }

    #[test]
    fn malformed_frame_is_an_error_with_its_place() {
        let at = |text: &str| parse(text).unwrap_err().at;
        assert_eq!((at("{\"content\": }"), at("{\n\"content\": x}"), at("")), (Some(12), Some(13), Some(0)));
        for bad in [
            "[]",
            "[null,null,null,null,null,\"x\",null,null]",
            "7",
            "null",
            "{}",
            r#"{"content":7}"#,
            r#"{"content":" "}"#,
            r#"{"type":"auth"}"#,
            r#"{"type":"x","content":"y"}"#,
            r#"{"content":"x","id":""}"#,
            "{\"content\":\"x\",\"id\":\"a\\u0000\"}",
            r#"{"content":"x","source":" "}"#,
            r#"{"content":"x","content":"y"}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let error = parse(r#"{"id":"7","content":""}"#).unwrap_err();
        assert_eq!(error.to_json(), json!({"type": "error", "message": "`content` is empty", "id": "7"}));
        let busy = FrameError::new("busy", Some("7".into())).repeatable();
        assert_eq!(busy.to_json(), json!({"type": "error", "message": "busy", "id": "7", "again": true}));
        let deep = "[".repeat(10_000);
        assert!(parse(&deep).is_err());
    }
}
