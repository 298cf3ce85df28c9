//! Streams: the body of a model server, and the lines of a channel's program. Split into any pieces, each has the same
//! meaning, or the same error.

use claw::core::channel::inbound::{Inbound, derived_id};
use claw::core::channel::lines::{self, LineBuffer, ProgramLine};
use claw::core::event::stamp::Stamp;
use claw::core::json::lenient;
use claw::core::telegram::update::{self, BotAccount};
use claw::provider::dissect;

/// Server-sent events, of all protocols that have them.
pub fn events(data: &[u8]) {
    for provider in ["openai", "responses", "anthropic"] {
        means_one_thing(provider, data);
    }
}

/// One document a line.
pub fn lines(data: &[u8]) {
    means_one_thing("ollama", data);
}

fn means_one_thing(provider: &str, data: &[u8]) {
    let whole = dissect(provider, data, usize::MAX);
    for size in [1, 7] {
        assert_eq!(dissect(provider, data, size), whole, "{provider}: pieces of {size} mean something else");
    }
}

/// The lines of a channel's program.
pub fn program(data: &[u8]) {
    let whole = lines_of(data, usize::MAX);
    for size in [1, 7] {
        assert_eq!(lines_of(data, size), whole, "pieces of {size} bytes mean something else");
    }
    for line in whole.iter().flatten() {
        let Ok(ProgramLine::Message(id, inbound)) = lines::parse(line) else { continue };
        let answer = lines::ack(&id);
        assert!(answer.ends_with(b"\n") && !answer[..answer.len() - 1].contains(&b'\n'), "{id}");
        assert!(!inbound.platform_id.is_empty() && !inbound.sender.is_empty() && !inbound.reply_to.is_empty());
        assert!(inbound.at.is_none(), "a program gives no instant");
        is_data(&inbound);
        let at = Stamp(1_795_221_690_000_000);
        assert!(derived_id("irc", &inbound, at).is_some_and(|id| id.stamp() == at), "{inbound:?}");
    }
}

/// An update of Telegram.
pub fn update(data: &[u8]) {
    let Some(update) = lenient::parse(&String::from_utf8_lossy(data)).map(lenient::resolved) else { return };
    let bot = BotAccount { id: 4242, username: "clawtest_bot".to_owned() };
    let _ = update::number(&update);
    for with_edits in [false, true] {
        let Some((inbound, files)) = update::message(&update, &bot, with_edits) else { continue };
        assert!(!inbound.text.trim().is_empty() || !files.is_empty() || update.to_string().contains("clawtest_bot"));
        assert!(inbound.sender.parse::<i64>().is_ok(), "{}", inbound.sender);
        assert!(inbound.sender != "4242" || inbound.is_bot, "the bot talks to itself");
        let (chat, topic) = inbound.reply_to.split_once('/').unwrap_or((&inbound.reply_to, "0"));
        assert!(chat.parse::<i64>().is_ok() && topic.parse::<i64>().is_ok(), "{}", inbound.reply_to);
        assert!(files.iter().all(|file| !file.id.is_empty() && !file.name.is_empty()));
        is_data(&inbound);
        let at = Stamp(1_795_221_690_000_000);
        assert!(derived_id("telegram", &inbound, at).is_some_and(|id| id.stamp() == at), "{inbound:?}");
    }
}

/// Text of others is behind a mark, and taints.
fn is_data(inbound: &Inbound) {
    let content = inbound.content(7);
    if inbound.forwarded_from.is_some() {
        assert!(content.starts_with("<data-") && inbound.taint("irc").is_some(), "{content}");
    } else {
        assert!(content.starts_with(inbound.text.trim()), "{content}");
    }
}

/// The lines before the first error, and whether there is one.
fn lines_of(data: &[u8], size: usize) -> Vec<Option<Vec<u8>>> {
    let (mut buffer, mut found) = (LineBuffer::default(), Vec::new());
    for piece in data.chunks(size.min(data.len().max(1))) {
        buffer.push(piece);
        loop {
            match buffer.next_line() {
                Ok(Some(line)) => found.push(Some(line)),
                Ok(None) => break,
                Err(_) => {
                    found.push(None);
                    return found;
                }
            }
        }
    }
    found
}
