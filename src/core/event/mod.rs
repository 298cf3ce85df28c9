//! The event: one JSON object, immutable once published. Users and programs submit a [`Draft`], and
//! [`Draft::complete`] turns it into an [`Event`]. Unknown fields are kept.

pub mod address;
pub mod dispatch;
pub mod dropped;
pub mod entry;
pub mod id;
pub mod origin;
pub mod post;
pub mod retry;
pub mod scheduled;
pub mod session_name;
pub mod stamp;

use crate::core::event::address::Address;
use crate::core::event::id::{Derived, Id};
use crate::core::event::origin::Origin;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Result};
use crate::core::text::front_matter;
use crate::core::text::problem::nearest;
use crate::core::text::yaml;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version of the format that this program writes, and the highest that it accepts.
pub const VERSION: u32 = 1;
/// The largest event file, in bytes; a larger one is refused without reading it.
pub const MAX_BYTES: u64 = 4 << 20;
/// The key of [`Event::meta`] with the JSON Schema of the answer.
pub const ANSWER_SCHEMA: &str = "schema";
/// The deepest nesting of a field with arbitrary JSON.
const DEPTH: usize = 64;

/// The kind of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A message to an agent, or its answer.
    #[default]
    Message,
    /// A task that an agent gives to another agent.
    Dispatch,
    /// The result of a dispatch.
    Result,
    /// The prompt of a schedule.
    Cron,
    /// The prompt of the heartbeat.
    Heartbeat,
    /// A note for the memory.
    Remember,
    /// The owner's decision about a tool call.
    Approval,
    /// A command about a session.
    Control,
    /// A notice of a failure.
    Notice,
    /// A text that was sent to this conversation by a turn of another session. No model is asked.
    Post,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Message,
        Self::Dispatch,
        Self::Result,
        Self::Cron,
        Self::Heartbeat,
        Self::Remember,
        Self::Approval,
        Self::Control,
        Self::Notice,
        Self::Post,
    ];

    /// The name in an event's file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Dispatch => "dispatch",
            Self::Result => "result",
            Self::Cron => "cron",
            Self::Heartbeat => "heartbeat",
            Self::Remember => "remember",
            Self::Approval => "approval",
            Self::Control => "control",
            Self::Notice => "notice",
            Self::Post => "post",
        }
    }
}

/// An event as it is stored in a box.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Event {
    /// The format's version.
    pub v: u32,
    /// Its permanent id.
    pub id: Id,
    /// Its kind.
    pub kind: EventKind,
    /// The sender.
    #[serde(alias = "source")]
    pub from: Address,
    /// The destination of the answer.
    pub reply_to: Address,
    /// The agent that answers, if the sender chose one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The session, if the sender chose one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The text.
    #[serde(alias = "text")]
    pub content: String,
    /// The event that this event answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<Id>,
    /// The instant of its creation.
    #[cfg_attr(test, schemars(with = "String"))]
    pub created_at: Timestamp,
    /// The event is not processed before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub not_before: Option<Timestamp>,
    /// No attempt is made after this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub expires_at: Option<Timestamp>,
    /// The error, in a notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The number of events in the chain of causes before this one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hops: u32,
    /// Attached files, relative to the workspace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<String>,
    /// The sender's class, text from outside, and the agents that passed it on.
    #[serde(default, skip_serializing_if = "Origin::is_default")]
    pub origin: Origin,
    /// Data that a channel or a stage stores with the event.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub meta: Map<String, Value>,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if wants a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// An event as it is submitted: every field is optional.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Draft {
    /// The version of the format, if the writer names one.
    pub v: Option<u32>,
    /// See [`Event::kind`].
    pub kind: EventKind,
    /// See [`Event::from`].
    #[serde(alias = "source")]
    pub from: Option<Address>,
    /// See [`Event::reply_to`].
    pub reply_to: Option<Address>,
    /// See [`Event::agent`].
    #[serde(alias = "agent_id")]
    pub agent: Option<String>,
    /// See [`Event::session`].
    pub session: Option<String>,
    /// See [`Event::content`].
    #[serde(alias = "text")]
    pub content: Option<String>,
    /// See [`Event::in_reply_to`].
    pub in_reply_to: Option<Id>,
    /// See [`Event::not_before`].
    pub not_before: Option<Timestamp>,
    /// See [`Event::expires_at`].
    pub expires_at: Option<Timestamp>,
    /// See [`Event::error`].
    pub error: Option<String>,
    /// See [`Event::attachments`].
    pub attachments: Vec<String>,
    /// See [`Event::meta`].
    pub meta: Map<String, Value>,
    /// Unknown fields; an id and a creation time set by the writer end here too.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Draft {
    /// A message with this text.
    #[must_use]
    pub fn message(content: impl Into<String>) -> Self {
        Self { content: Some(content.into()), ..Self::default() }
    }

    /// Parses a dropped file by the extension of its name: `.json` is an event; `.md` and `.txt` are its content, and
    /// their front matter may set fields. The draft has only the fields that a drop may set ([`dropped`]).
    ///
    /// # Errors
    /// `Data`, with line and column for malformed content, and for other types of file.
    pub fn from_file(name: &str, bytes: &[u8]) -> Result<Self> {
        let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix.to_ascii_lowercase());
        if !matches!(suffix.as_deref(), Some("json" | "md" | "txt" | "markdown")) {
            return Err(Fault::data("not an event").hint("drop .md, .txt or .json files"));
        }
        let text =
            std::str::from_utf8(bytes).map_err(|e| Fault::data(format!("not UTF-8 at byte {}", e.valid_up_to())))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let draft = match suffix.as_deref() {
            Some("json") => json(text)?,
            Some("md" | "txt" | "markdown") => {
                let parts = front_matter::split(text)?;
                if let Some(key) = parts.yaml.and_then(yaml::repeated_key) {
                    let message =
                        format!("front matter: the key `{}` is there twice (line {})", key.name, key.line + 1);
                    return Err(Fault::data(message));
                }
                let mut draft: Self = match parts.yaml {
                    Some(yaml) => serde_yaml::from_str(yaml).map_err(|e| Fault::data(format!("front matter: {e}")))?,
                    None => Self::default(),
                };
                draft.content.get_or_insert_with(|| parts.body.trim_end().to_owned());
                draft
            }
            _ => return Err(Fault::data("not an event").hint("drop .md, .txt or .json files")),
        };
        if draft.v.is_some_and(|v| v > VERSION) {
            return Err(newer_version(draft.v.unwrap_or_default()));
        }
        check_depth(&draft.meta)?;
        check_depth(&draft.extra)?;
        if draft.content.as_deref().is_none_or(|c| c.trim().is_empty()) {
            let fault = Fault::data("it has no content");
            let guess = draft.extra.keys().find_map(|key| {
                let near = nearest(key, ["content", "text"].into_iter())?;
                Some(format!("unknown field `{key}`, did you mean `{near}`?"))
            });
            return Err(Fault { hint: guess, ..fault });
        }
        dropped::accept(name, draft)
    }

    /// The event `id`, made of this draft at `now`. The sender is `me` if the draft names none. The answer goes to the
    /// draft's `reply_to`, else to the sender that the draft names, else to `home`.
    #[must_use]
    pub fn complete(self, id: Id, now: Stamp, me: &Address, home: &Address) -> Event {
        // Nothing is delivered to a dropped file.
        let sender = self.from.clone().filter(|from| from.channel() != dropped::CHANNEL);
        let reply_to = self.reply_to.or(sender).unwrap_or_else(|| home.clone());
        Event {
            v: VERSION,
            id,
            kind: self.kind,
            from: self.from.unwrap_or_else(|| me.clone()),
            reply_to,
            agent: self.agent,
            session: self.session,
            content: self.content.unwrap_or_default(),
            in_reply_to: self.in_reply_to,
            created_at: now.timestamp(),
            not_before: self.not_before,
            expires_at: self.expires_at,
            error: self.error,
            hops: 0,
            attachments: self.attachments,
            origin: Origin::default(),
            meta: self.meta,
            extra: self.extra,
        }
    }
}

impl Event {
    /// Parses an event file of a box.
    ///
    /// # Errors
    /// `Data` where the file is incomplete, not JSON, has a field of the wrong type, or is of a newer version.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Err(Fault::data("the file is empty: its writer was interrupted"));
        }
        let text =
            std::str::from_utf8(bytes).map_err(|e| Fault::data(format!("not UTF-8 at byte {}", e.valid_up_to())))?;
        let event: Self = json(text)?;
        check_depth(&event.meta)?;
        check_depth(&event.extra)?;
        if event.v > VERSION { Err(newer_version(event.v)) } else { Ok(event) }
    }

    /// The event as one line of JSON.
    ///
    /// # Errors
    /// `Data` where serialisation fails, which does not happen for events parsed or made here.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|e| Fault::data(format!("event {}: {e}", self.id)))
    }

    /// An event caused by `self`: it has a derived id, and the same `reply_to` and origin.
    #[must_use]
    pub fn child(&self, derived: Derived, number: u32, from: &Address, content: String, now: Stamp) -> Self {
        let kind = match derived {
            Derived::Reply | Derived::Condition => EventKind::Message,
            Derived::Memory => EventKind::Remember,
            Derived::Notice => EventKind::Notice,
            Derived::Approval => EventKind::Approval,
            Derived::Dispatch => EventKind::Dispatch,
            Derived::Post => EventKind::Post,
        };
        let draft = Draft {
            kind,
            from: Some(from.clone()),
            reply_to: Some(self.reply_to.clone()),
            content: Some(content),
            in_reply_to: Some(self.id.clone()),
            ..Draft::default()
        };
        let mut event = draft.complete(self.id.derive(derived, number), now, from, &self.reply_to);
        event.hops = self.hops.saturating_add(1);
        event.origin = self.origin.clone();
        event
    }

    /// The instant of `expires_at`.
    #[must_use]
    pub fn expires(&self) -> Option<Stamp> {
        self.expires_at.map(Stamp::from)
    }
}

/// Refuses values nested deeper than [`DEPTH`]: inside a log record they would exceed the parser's own limit.
fn check_depth(fields: &Map<String, Value>) -> Result<()> {
    fn is_within(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(values) => left > 0 && values.iter().all(|value| is_within(value, left - 1)),
            Value::Object(values) => left > 0 && values.values().all(|value| is_within(value, left - 1)),
            _ => true,
        }
    }
    match fields.iter().find(|(_, value)| !is_within(value, DEPTH)) {
        Some((name, _)) => Err(Fault::data(format!("`{name}` is nested over {DEPTH} levels deep"))),
        None => Ok(()),
    }
}

fn newer_version(version: u32) -> Fault {
    Fault::data(format!("event format {version} is newer than this program's ({VERSION})")).hint("update claw")
}

fn json<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        match serde_json::from_str::<Version>(text) {
            Ok(Version { v }) if v > VERSION => newer_version(v),
            _ => Fault::data(format!("not an event: {e}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn id() -> Id {
        Id::new(Stamp(1_795_221_690_123_456), 1)
    }

    #[test]
    fn event_keeps_unknown_fields() {
        let text =
            br#"{"v":1,"id":"20261121T004130.123456Z-a","kind":"message","source":"cli:bob","reply_to":"cli:bob",
            "text":"hi","created_at":"2026-11-21T00:41:30Z","color":"red"}"#;
        let event = Event::from_json(text).unwrap();
        assert_eq!((event.from.as_str(), event.content.as_str()), ("cli:bob", "hi"));
        let again = Event::from_json(event.to_json().unwrap().as_bytes()).unwrap();
        assert_eq!(again, event);
        assert_eq!(again.extra["color"], "red");
    }

    #[test]
    fn draft_without_addresses_gets_the_defaults() {
        let event = Draft::message("x").complete(id(), Stamp(0), &address("cli:me"), &address("file:home"));
        assert_eq!((event.from.as_str(), event.reply_to.as_str()), ("cli:me", "file:home"));
    }

    #[test]
    fn markdown_front_matter_sets_fields() {
        let draft = Draft::from_file("q.md", b"---\nagent: cookie\nreply_to: file:x\n---\nhello\n\nyou\n").unwrap();
        assert_eq!(draft.agent.as_deref(), Some("cookie"));
        assert_eq!(draft.content.as_deref(), Some("hello\n\nyou"));
    }

    #[test]
    fn malformed_event_is_refused_with_the_reason() {
        let message = |bytes: &[u8]| Event::from_json(bytes).unwrap_err().message;
        assert!(message(b"").contains("empty"));
        assert!(message(b"{\"v\":1,").contains("line 1 column"));
        assert!(message(b"\xff\xfe").contains("UTF-8 at byte 0"));
        assert!(message(br#"{"v":9,"id":{"new":"shape"}}"#).contains("newer"));
        let drop = |name, bytes: &[u8]| Draft::from_file(name, bytes).unwrap_err().message;
        assert!(drop("x.json", br#"{"content":7}"#).contains("expected a string"));
        assert!(drop("x.json", br#"{"content":"x","v":2}"#).contains("newer"));
        assert!(drop("x.md", b"  \n").contains("no content"));
        let typo = Draft::from_file("x.json", br#"{"agent":"x","contnet":"x"}"#).unwrap_err();
        assert_eq!(typo.hint.as_deref(), Some("unknown field `contnet`, did you mean `content`?"));
        assert!(drop("x.png", b"x").contains("not an event"));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Event::from_json(&bytes);
            for name in ["a.json", "a.md", "a"] {
                let _ = Draft::from_file(name, &bytes);
            }
        }
    }

    #[test]
    fn kind_names_match_the_wire_names() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
