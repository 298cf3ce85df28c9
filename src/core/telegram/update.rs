//! An update of Telegram as a message: chats, topics, mentions, replies, forwards, edits and files. Everything is read
//! leniently: an odd field is as good as a missing one. Source: core.telegram.org/bots/api#update.

use crate::core::channel::inbound::{Inbound, Place, Quote};
use crate::core::event::stamp::Stamp;
use jiff::Timestamp;
use serde_json::Value;

/// The bot, as `getMe` describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BotAccount {
    /// Its number.
    pub id: i64,
    /// Its name, without the `@`.
    pub username: String,
}

/// A file of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteFile {
    /// Its id for `getFile`.
    pub id: String,
    /// A name for people; it is no path.
    pub name: String,
    /// Its size in bytes, if the service says so.
    pub size: Option<u64>,
}

/// The number of an update; `None` for one that is none.
#[must_use]
pub fn number(update: &Value) -> Option<i64> {
    update["update_id"].as_i64()
}

/// The message of an update and its files; `None` for every other kind of update.
#[must_use]
pub fn message(update: &Value, bot: &BotAccount, with_edits: bool) -> Option<(Inbound, Vec<RemoteFile>)> {
    let edited = &update["edited_message"];
    let (message, is_edit) = match &update["message"] {
        Value::Object(_) => (&update["message"], false),
        _ if with_edits && edited.is_object() => (edited, true),
        _ => return None,
    };
    let number = message["message_id"].as_i64().filter(|n| *n > 0)?;
    let chat = &message["chat"];
    let (chat_id, kind) = (chat["id"].as_i64()?, chat["type"].as_str()?);
    // A message in the name of a chat: an anonymous administrator, or a channel that is joined to the group.
    let sender = &message["from"];
    let speaks_as_chat = message["sender_chat"].is_object();
    let sender_id = sender["id"].as_i64().or_else(|| message["sender_chat"]["id"].as_i64())?;
    let written = if message["text"].is_string() { "text" } else { "caption" };
    let text = message[written].as_str().unwrap_or_default();
    let entities = &message[if written == "text" { "entities" } else { "caption_entities" }];
    let files = files(message);
    if text.trim().is_empty() && files.is_empty() {
        return None;
    }
    let reply = &message["reply_to_message"];
    let quoted = Some(quote(message, reply, bot)).filter(|quote| !quote.text.is_empty());
    let place = match kind {
        "private" => Place::Direct,
        _ => Place::Group {
            id: chat_id.to_string(),
            is_mentioned: mentions(text, entities, bot),
            is_reply: reply["from"]["id"].as_i64() == Some(bot.id),
        },
    };
    // The thread's number is part of the address only where the chat has topics: elsewhere it names a chain of replies.
    let topic = message["message_thread_id"].as_i64().filter(|_| message["is_topic_message"] == true);
    let at = message[if is_edit { "edit_date" } else { "date" }].as_i64();
    let text = without_own_name(text, bot);
    let mut inbound = Inbound {
        platform_id: if is_edit { format!("{number}e{}", at.unwrap_or_default()) } else { number.to_string() },
        at: at.and_then(|seconds| Timestamp::from_second(seconds).ok()).map(Stamp::from),
        sender: sender_id.to_string(),
        is_bot: speaks_as_chat || sender["is_bot"] == true || sender_id == bot.id,
        place,
        reply_to: topic.map_or_else(|| chat_id.to_string(), |topic| format!("{chat_id}/{topic}")),
        text: if is_edit { format!("Edited message {number}: {text}") } else { text },
        quoted,
        forwarded_from: origin(&message["forward_origin"]),
        ..Inbound::default()
    };
    for (key, value) in [
        ("name", name(sender)),
        ("username", text_of(&sender["username"])),
        ("language", text_of(&sender["language_code"])),
        ("chat", text_of(&chat["title"])),
        ("edited", if is_edit { number.to_string() } else { String::new() }),
    ] {
        if !value.is_empty() {
            inbound.labels.insert(key.to_owned(), value);
        }
    }
    Some((inbound, files))
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}

fn name(user: &Value) -> String {
    [&user["first_name"], &user["last_name"]].map(text_of).join(" ").trim().to_owned()
}

/// A user or a chat for readers.
fn author(user: &Value, bot: &BotAccount) -> String {
    if user["id"].as_i64() == Some(bot.id) {
        return "you".to_owned();
    }
    let id = user["id"].as_i64().map_or_else(|| "an unknown sender".to_owned(), |id| id.to_string());
    [name(user), text_of(&user["title"])].into_iter().find(|text| !text.is_empty()).unwrap_or(id)
}

fn quote(message: &Value, reply: &Value, bot: &BotAccount) -> Quote {
    let texts =
        [&message["quote"]["text"], &reply["text"], &reply["caption"], &message["external_reply"]["quote"]["text"]];
    // A message of another chat is quoted with its origin alone; a channel's message has no author but the chat.
    let elsewhere = origin(&message["external_reply"]["origin"]).filter(|_| !reply.is_object());
    let writer = [&reply["from"], &reply["sender_chat"]].into_iter().find(|who| who.is_object());
    Quote {
        author: elsewhere.unwrap_or_else(|| author(writer.unwrap_or(&Value::Null), bot)),
        text: texts.into_iter().find_map(Value::as_str).unwrap_or_default().to_owned(),
        is_own: reply["from"]["id"].as_i64() == Some(bot.id),
    }
}

/// The author of a forwarded message.
fn origin(origin: &Value) -> Option<String> {
    let own = BotAccount::default();
    match origin["type"].as_str()? {
        "user" => Some(author(&origin["sender_user"], &own)),
        "hidden_user" => Some(text_of(&origin["sender_user_name"])),
        "chat" => Some(author(&origin["sender_chat"], &own)),
        "channel" => Some(author(&origin["chat"], &own)),
        _ => Some("an unknown sender".to_owned()),
    }
}

/// Whether the text names the bot: `@name`, a mention of its account, or a command for it.
fn mentions(text: &str, entities: &Value, bot: &BotAccount) -> bool {
    let units: Vec<u16> = text.encode_utf16().collect();
    let own = format!("@{}", bot.username.to_lowercase());
    entities.as_array().into_iter().flatten().any(|entity| {
        let number = |key: &str| entity[key].as_u64().and_then(|n| usize::try_from(n).ok());
        let (Some(from), Some(length)) = (number("offset"), number("length")) else { return false };
        let part = from.checked_add(length).and_then(|to| units.get(from..to)).unwrap_or_default();
        let part = String::from_utf16_lossy(part).to_lowercase();
        match entity["type"].as_str() {
            Some("mention") => !bot.username.is_empty() && part == own,
            Some("text_mention") => entity["user"]["id"].as_i64() == Some(bot.id),
            Some("bot_command") => !bot.username.is_empty() && part.ends_with(&own),
            _ => false,
        }
    })
}

/// The text without `@name` of the bot behind a command or at its beginning, where it only addresses the bot.
fn without_own_name(text: &str, bot: &BotAccount) -> String {
    let text = text.trim();
    if bot.username.is_empty() {
        return text.to_owned();
    }
    let own = format!("@{}", bot.username.to_lowercase());
    let first = text.split_whitespace().next().unwrap_or_default();
    let lower = first.to_lowercase();
    let rest = &text[first.len()..];
    match lower.strip_suffix(&own) {
        Some("") => rest.trim_start_matches([',', ':', ' ', '\n']).to_owned(),
        Some(command) if command.starts_with('/') && lower.len() == first.len() => {
            format!("{}{rest}", &first[..command.len()])
        }
        _ => text.to_owned(),
    }
}

/// The files of a message: the largest size of a photo, documents, recordings.
fn files(message: &Value) -> Vec<RemoteFile> {
    let photo = message["photo"].as_array().and_then(|sizes| {
        sizes.iter().max_by_key(|size| {
            let side = |key: &str| size[key].as_u64().unwrap_or_default();
            side("width").saturating_mul(side("height"))
        })
    });
    let photo = photo.map(|photo| (photo, "photo.jpg"));
    let others = [
        ("document", "document"),
        ("voice", "voice.ogg"),
        ("audio", "audio.mp3"),
        ("video", "video.mp4"),
        ("video_note", "video.mp4"),
        ("animation", "animation.mp4"),
    ];
    let is_animation = message["animation"].is_object();
    let others = others
        .into_iter()
        // An animation is a document as well, for old clients.
        .filter(|(key, _)| message[*key].is_object() && !(is_animation && *key == "document"))
        .map(|(key, name)| (&message[key], name));
    let file = |(file, default): (&Value, &str)| {
        let name = text_of(&file["file_name"]);
        Some(RemoteFile {
            id: file["file_id"].as_str().filter(|id| !id.is_empty())?.to_owned(),
            name: if name.is_empty() { default.to_owned() } else { name },
            size: file["file_size"].as_u64(),
        })
    };
    photo.into_iter().chain(others).filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quotes_name_their_author() {
        let author = |fields: Value| {
            let mut update = json!({"message": {"message_id": 7, "date": 1, "text": "hi", "from": {"id": 42},
                "chat": {"id": 42, "type": "private"}, "quote": {"text": "words"}}});
            update["message"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let bot = BotAccount { id: 4242, username: "claw_bot".to_owned() };
            message(&update, &bot, true).unwrap().0.quoted.unwrap().author
        };
        let reply = |fields: Value| author(json!({"reply_to_message": fields}));
        assert_eq!(reply(json!({"from": {"id": 7, "first_name": "Eve", "last_name": "Mallory"}})), "Eve Mallory");
        assert_eq!(reply(json!({"from": {"id": 7}})), "7");
        assert_eq!(reply(json!({"from": {"id": 4242, "first_name": "Claw"}})), "you");
        assert_eq!(reply(json!({"sender_chat": {"id": -1001, "title": "News"}})), "News");
        assert_eq!(reply(json!({})), "an unknown sender");
        let elsewhere = json!({"external_reply": {"origin": {"type": "hidden_user", "sender_user_name": "Eve"}}});
        assert_eq!(author(elsewhere), "Eve");
    }
}
