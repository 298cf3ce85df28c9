//! From a message of Discord to a line for claw.

use crate::place::Kind;
use crate::wire::{Attachment, Message, Snowflake, User};
use serde_json::{Value, json};

/// The kinds of messages that people write: plain ones and replies.
const WRITTEN: [u64; 2] = [0, 19];

/// The line for claw, or none if the message is not for the bot `me`: in a channel or thread it must mention or answer
/// the bot. Messages of bots and webhooks are never for it.
pub fn line(message: &Message, kind: Kind, me: Snowflake) -> Option<Value> {
    if message.author.bot == Some(true) || message.webhook_id.is_some() || message.author.id == me {
        return None;
    }
    if !WRITTEN.contains(&message.kind) {
        return None;
    }
    let answered = message.answered.as_deref();
    let is_reply = answered.is_some_and(|answered| answered.author.id == me);
    let is_mentioned = message.mentions.iter().flatten().any(|user| user.id == me);
    if !kind.is_direct() && !is_reply && !is_mentioned {
        return None;
    }
    let forwarded = message.forwarded.iter().flatten().find_map(|snapshot| snapshot.message.content.as_deref());
    let text = text(message, forwarded, me);
    if text.is_empty() {
        return None;
    }
    let mut line = json!({
        "id": message.id.to_string(),
        "from": message.author.id.to_string(),
        "text": text,
        "name": message.author.name(),
    });
    if let Some(time) = &message.timestamp {
        line["time"] = json!(time);
    }
    if let Some(answered) = answered {
        let text = readable(answered.content.as_deref().unwrap_or_default(), answered, me);
        let from = answered.author.name();
        line["quoted"] = json!({"from": from, "text": text, "own": answered.author.id == me});
    }
    if forwarded.is_some() {
        line["forwarded_from"] = json!("an author that Discord does not name");
    }
    match kind {
        Kind::Direct(_) => {}
        Kind::Channel => line["chat"] = json!(message.channel_id.to_string()),
        Kind::Thread(parent) => {
            line["chat"] = json!(parent.to_string());
            line["thread"] = json!(message.channel_id.to_string());
        }
    }
    if !kind.is_direct() {
        line["mentioned"] = json!(is_mentioned);
        line["reply"] = json!(is_reply);
    }
    Some(line)
}

fn text(message: &Message, forwarded: Option<&str>, me: Snowflake) -> String {
    let own = message.content.as_deref().filter(|text| !text.is_empty());
    let mut text = readable(own.or(forwarded).unwrap_or_default(), message, me);
    for file in message.attachments.iter().flatten() {
        if !text.is_empty() {
            text.push('\n');
        }
        let Attachment { filename, size, url } = file;
        text.push_str(&format!("[attachment {filename}, {size} bytes: {url}]"));
    }
    text
}

/// Mentions as names. The bot's own mention at the beginning is only the address, so that commands stay commands.
fn readable(text: &str, message: &Message, me: Snowflake) -> String {
    let spellings = |id: Snowflake| [format!("<@{id}>"), format!("<@!{id}>")];
    let mut text = text.trim().to_owned();
    for own in spellings(me) {
        if let Some(rest) = text.strip_prefix(&own) {
            text = rest.trim_start().to_owned();
        }
    }
    let named = |user: &User| spellings(user.id).map(|spelling| (spelling, format!("@{}", user.name())));
    for (spelling, name) in message.mentions.iter().flatten().flat_map(named) {
        text = text.replace(&spelling, &name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Snowflake = Snowflake(99);

    fn message(more: Value) -> Message {
        let mut all = json!({
            "id": "7", "channel_id": "5", "author": {"id": "3", "username": "ann", "global_name": "Ann"}, "content": "hi",
            "timestamp": "2026-01-02T03:04:05.000000+00:00", "type": 0, "mentions": [], "attachments": [],
        });
        let Value::Object(more) = more else { panic!() };
        all.as_object_mut().unwrap().extend(more);
        serde_json::from_value(all).unwrap()
    }

    fn direct(more: Value) -> Option<Value> {
        line(&message(more), Kind::Direct(Snowflake(3)), ME)
    }

    fn mention() -> Value {
        json!({"id": "99", "username": "claw"})
    }

    #[test]
    fn direct_message_has_no_chat() {
        let expected =
            json!({"id": "7", "from": "3", "text": "hi", "name": "Ann", "time": "2026-01-02T03:04:05.000000+00:00"});
        assert_eq!(direct(json!({})), Some(expected));
    }

    #[test]
    fn message_in_a_channel_must_mention_or_answer_the_bot() {
        assert_eq!(line(&message(json!({"content": "hi all"})), Kind::Channel, ME), None);
        let asked =
            line(&message(json!({"content": "<@99> /new", "mentions": [mention()]})), Kind::Channel, ME).unwrap();
        assert_eq!(
            (&asked["text"], &asked["chat"], &asked["mentioned"], &asked["reply"]),
            (&json!("/new"), &json!("5"), &json!(true), &json!(false))
        );
        let answered =
            json!({"id": "6", "channel_id": "5", "author": {"id": "99", "username": "claw"}, "content": "which?"});
        let reply = line(&message(json!({"type": 19, "referenced_message": answered})), Kind::Thread(Snowflake(4)), ME)
            .unwrap();
        assert_eq!((&reply["chat"], &reply["thread"], &reply["reply"]), (&json!("4"), &json!("5"), &json!(true)));
        assert_eq!(reply["quoted"], json!({"from": "claw", "text": "which?", "own": true}));
    }

    #[test]
    fn messages_of_bots_and_of_discord_itself_are_skipped() {
        for skipped in [
            json!({"author": {"id": "99", "username": "claw", "bot": true}}),
            json!({"author": {"id": "4", "bot": true}}),
            json!({"author": {"id": "99"}}),
            json!({"webhook_id": "8"}),
            json!({"type": 7}),
            json!({"content": ""}),
            json!({"content": " "}),
        ] {
            assert_eq!(direct(skipped.clone()), None, "{skipped}");
        }
    }

    #[test]
    fn mentions_files_and_forwards_are_readable() {
        let bob = json!({"id": "12", "username": "bob"});
        let text = |more| direct(more).unwrap()["text"].clone();
        assert_eq!(text(json!({"content": "ask <@12> and <@!12>", "mentions": [bob]})), "ask @bob and @bob");
        let file = json!({"filename": "a.png", "size": 3, "url": "https://cdn.example/a.png"});
        assert_eq!(
            text(json!({"content": "", "attachments": [file]})),
            "[attachment a.png, 3 bytes: https://cdn.example/a.png]"
        );
        let forward = direct(json!({"content": "", "message_snapshots": [{"message": {"content": "old"}}]})).unwrap();
        assert_eq!((&forward["text"], forward.get("forwarded_from").is_some()), (&json!("old"), true));
    }
}
