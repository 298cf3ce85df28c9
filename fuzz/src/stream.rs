//! Streams: the body of a model server, and the lines of a channel's program. Split into any pieces, each has the same
//! meaning, or the same error.

use claw::core::channel::inbound::{Inbound, derived_id};
use claw::core::channel::lines::{self, LineBuffer, ProgramLine};
use claw::core::event::stamp::Stamp;
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
