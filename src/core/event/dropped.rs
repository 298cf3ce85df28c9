//! Dropped files: the fields of an event that the writer of a file in `inbox/` or `outbox/` may set. Every program that
//! may write there can drop a file, so its sender is the file, never the owner. All other fields belong to the pipeline;
//! a drop's own values of them are kept below [`CLAIMED`], which no stage reads.

use crate::core::event::address::{Address, safe_name};
use crate::core::event::{Draft, EventKind, check_depth};
use crate::core::fault::{Fault, Result};
use serde_json::{Map, Value};

/// The channel of the senders of dropped files: `drop:<file name>`. Nothing is delivered there.
pub const CHANNEL: &str = "drop";
/// The key in `meta` of the sender that the file names.
pub const CLAIMED_FROM: &str = "claimed_from";
/// The key in `meta` of the other fields that a drop cannot set.
pub const CLAIMED: &str = "claimed";
/// The keys of `meta` that a note may set: its place in the memories.
const NOTE_PLACE: [&str; 2] = ["topic", "project"];

/// The draft of the file `name`, reduced to what a drop may set: content, `reply_to`, agent, session, the two times,
/// attachments, and the kind `message` or `remember`. Without `reply_to`, the answer goes to the sender that the file
/// names.
///
/// # Errors
/// `Data` for another kind, and for values nested too deeply.
pub(super) fn accept(name: &str, draft: Draft) -> Result<Draft> {
    if !matches!(draft.kind, EventKind::Message | EventKind::Remember) {
        return Err(Fault::data(format!("a dropped file cannot be of kind `{}`", draft.kind.name()))
            .hint("the kinds of drops are `message` and `remember`"));
    }
    let mut claimed = draft.extra;
    claimed.extend(draft.in_reply_to.map(|id| ("in_reply_to".to_owned(), id.as_str().into())));
    claimed.extend(draft.error.map(|error| ("error".to_owned(), error.into())));
    let is_place = |key: &str| draft.kind == EventKind::Remember && NOTE_PLACE.contains(&key);
    let (mut meta, foreign): (Map<_, _>, Map<_, _>) = draft.meta.into_iter().partition(|(key, _)| is_place(key));
    claimed.extend((!foreign.is_empty()).then(|| ("meta".to_owned(), Value::Object(foreign))));
    meta.extend(draft.from.as_ref().map(|from| (CLAIMED_FROM.to_owned(), from.as_str().into())));
    meta.extend((!claimed.is_empty()).then(|| (CLAIMED.to_owned(), Value::Object(claimed))));
    check_depth(&meta)?;
    Ok(Draft {
        v: draft.v,
        kind: draft.kind,
        from: Some(sender(name)?),
        reply_to: draft.reply_to.or(draft.from),
        agent: draft.agent,
        session: draft.session,
        content: draft.content,
        not_before: draft.not_before,
        expires_at: draft.expires_at,
        attachments: draft.attachments,
        meta,
        ..Draft::default()
    })
}

/// The sender of the file `name`. A name that is not valid in an address is escaped.
fn sender(name: &str) -> Result<Address> {
    Address::parse(&format!("{CHANNEL}:{name}"))
        .or_else(|_| Address::parse(&format!("{CHANNEL}:{}", safe_name(name, 60))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Event;
    use crate::core::event::id::Id;
    use crate::core::event::stamp::Stamp;
    use serde_json::json;

    fn event(name: &str, text: &str) -> Event {
        let draft = Draft::from_file(name, text.as_bytes()).unwrap();
        let home = Address::parse("file:home").unwrap();
        draft.complete(Id::new(Stamp(7), 1), Stamp(7), &Address::parse("cli:me").unwrap(), &home)
    }

    #[test]
    fn drop_sets_its_own_fields_and_no_others() {
        let own = json!({"content": "x", "reply_to": "file:a", "agent": "cookie", "session": "work",
            "not_before": "2030-01-01T00:00:00Z", "expires_at": "2030-01-02T00:00:00Z", "attachments": ["files/a"]});
        let foreign = json!({"id": "20200101T000000.000000Z-mine", "created_at": "2020-01-01T00:00:00Z", "hops": 3,
            "error": "e", "in_reply_to": "20200101T000000.000000Z-mine", "color": "red", "class": "owner",
            "meta": {"dispatch": {"waits": true}, "model": "big", "file": "other.md", "topic": "nas"}});
        let mut all = own.as_object().unwrap().clone();
        all.extend(foreign.as_object().unwrap().clone());
        all.insert("from".into(), "cli:ann".into());
        let event = serde_json::to_value(event("q.json", &Value::Object(all).to_string())).unwrap();
        for (key, value) in own.as_object().unwrap() {
            assert_eq!(&event[key], value, "{key}");
        }
        assert_eq!((&event["from"], &event["kind"]), (&json!("drop:q.json"), &json!("message")));
        assert_eq!(event["created_at"], "1970-01-01T00:00:00.000007Z");
        assert_eq!(event["meta"], json!({"claimed_from": "cli:ann", "claimed": foreign}));
        for key in ["hops", "error", "in_reply_to", "color", "class"] {
            assert_eq!(event.get(key), None, "{key}");
        }
    }

    #[test]
    fn answer_goes_to_the_address_that_the_drop_names_or_home() {
        let to = |head: &str| event("q.md", &format!("---\n{head}\n---\nhi\n")).reply_to.to_string();
        assert_eq!(to("from: file:a\nreply_to: file:b"), "file:b");
        assert_eq!(to("from: file:a"), "file:a");
        assert_eq!(to("agent: cookie"), "file:home");
    }

    #[test]
    fn only_messages_and_notes_are_dropped() {
        for kind in EventKind::ALL {
            let draft = Draft { kind, ..Draft::message("x") };
            assert_eq!(
                accept("x.md", draft).is_ok(),
                matches!(kind, EventKind::Message | EventKind::Remember),
                "{kind:?}"
            );
        }
        let note = event("n.json", r#"{"content": "x", "kind": "remember", "meta": {"topic": "nas", "model": "m"}}"#);
        assert_eq!(Value::Object(note.meta), json!({"topic": "nas", "claimed": {"meta": {"model": "m"}}}));
    }

    #[test]
    fn every_file_name_makes_an_address() {
        for name in ["q.md", "a\nb.md", " .md", "\u{1b}[2K.txt", "\u{fffd}.md", &"é".repeat(60)] {
            assert_eq!(sender(name).unwrap().channel(), CHANNEL, "{name:?}");
        }
        assert_ne!(sender("a\nb.md"), sender("a\tb.md"));
    }
}
