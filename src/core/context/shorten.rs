//! Shortening single messages, for compaction: tool results, call arguments, texts. Each cut leaves a mark.

use crate::core::model::tokens;
use crate::core::model::{Call, Message};
use crate::core::text::cut::cut;
use crate::core::text::data_mark;
use serde_json::Value;

/// Shortens the tool result or the call arguments of a message to about `limit` bytes; with a limit up to 400 also the
/// agent's text.
pub(super) fn message(message: &mut Message, limit: usize) {
    tool_result(message, limit, limit);
    if let Message::Assistant { content, calls, .. } = message {
        for call in calls {
            arguments(call, limit);
        }
        if limit <= 400 && content.len() > 2 * limit {
            *content = middle(content, limit / 4);
        }
    }
}

/// Shortens a result over `long` bytes to `shown` bytes; a mark names the place of the full text.
pub(super) fn tool_result(message: &mut Message, long: usize, shown: usize) {
    let Message::Tool { content, .. } = message else { return };
    let is_worth_it = content.len() > long && content.len() > shown + 120;
    if !is_worth_it {
        return;
    }
    // A result that was cut when it was made ends with a mark that names its file.
    let file = content.rfind("\n[cut: ").map(|at| &content[at..]).filter(|mark| mark.len() < 200);
    let mark = match file {
        Some(mark) => mark.to_owned(),
        None => format!("\n[shortened: it had {} bytes; the session's log has all of it]", content.len()),
    };
    *content = data_mark::shorten(content, shown) + &mark;
}

fn arguments(call: &mut Call, limit: usize) {
    let trim = |text: &mut String| {
        if text.len() > limit + 60 {
            *text = format!("{} [shortened: it had {} bytes]", cut(text, limit), text.len());
        }
    };
    match &mut call.arguments {
        Value::String(text) => trim(text),
        Value::Object(map) => map.values_mut().for_each(|value| match value {
            Value::String(text) => trim(text),
            Value::Array(_) | Value::Object(_) => {
                let mut text = value.to_string();
                trim(&mut text);
                if text.ends_with(" bytes]") {
                    *value = Value::String(text);
                }
            }
            _ => {}
        }),
        _ => {}
    }
}

/// The beginning and the end of a text, together at most about `most` tokens.
pub(super) fn middle(text: &str, most: usize) -> String {
    let room = most.saturating_sub(20);
    let head = tokens::cut(text, room * 2 / 3);
    let back: String = text[head.len()..].chars().rev().collect();
    let tail: String = tokens::cut(&back, room / 3).chars().rev().collect();
    format!("{head}\n[… shortened: it had {} characters …]\n{tail}", text.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::context::compact::LONG;

    #[test]
    fn shortened_result_still_names_its_file() {
        let content =
            format!("{}\n[cut: 16384 of 99999 bytes; all of it is in files/results/x-01.txt]", "r".repeat(16_384));
        let mut message = Message::Tool { call: "c".into(), name: "t".into(), content };
        tool_result(&mut message, LONG, 2_000);
        assert!(message.content().len() < 2_200);
        assert!(message.content().ends_with("all of it is in files/results/x-01.txt]"));
    }
}
