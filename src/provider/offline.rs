//! The built-in model: deterministic, without network. It notes a message that begins with "remember", and answers from
//! the notes and from earlier messages of the session.

use crate::core::fault::Result;
use crate::core::memory::recall::{self, NoteLine};
use crate::core::model::{Message, Reply};
use crate::provider::ModelCall;
use crate::store::memory::{self, NotePlace};
use regex::Regex;
use std::sync::LazyLock;

static REMEMBER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?is)^\s*(?:please\s+)?remember\s*(?::|\bthat\b)?\s*(.+)$").ok());

pub(super) fn ask(call: &mut ModelCall) -> Result<Reply> {
    call.workspace.warn_once(
        "offline",
        "no model is configured, so the built-in offline one answers from memories/; set `model:` in claw.yaml",
    );
    let messages = &call.request.messages;
    let text = messages.last().map(Message::content).unwrap_or_default();
    let reply = if let Some(note) = note(text) {
        let content = format!("Noted in {}", NotePlace::Daily.file(call.at));
        Reply { content, remember: vec![note], ..Reply::default() }
    } else {
        let found = if call.may_recall { memory::search(call.workspace, text, 1)? } else { Vec::new() };
        let found = found.into_iter().next();
        let content = match found.or_else(|| earlier_message(call)) {
            Some(line) if line.path.is_empty() => format!("you said: {}", line.text),
            Some(line) => format!("{} ({}:{})", line.text, line.path, line.number),
            None => {
                "I have no note about that. Tell me with \"remember that …\", or set a model in claw.yaml.".to_owned()
            }
        };
        Reply { content, ..Reply::default() }
    };
    (call.on_text)(&reply.content);
    Ok(reply)
}

/// The text to note, if the message asks for that.
fn note(text: &str) -> Option<String> {
    let note = REMEMBER.as_ref()?.captures(text)?.get(1)?.as_str().trim();
    (!note.ends_with('?')).then(|| note.to_owned())
}

/// The earlier message of the user that matches the last one best.
fn earlier_message(call: &ModelCall) -> Option<NoteLine> {
    let (last, before) = call.request.messages.split_last()?;
    let lines: Vec<NoteLine> = before
        .iter()
        .enumerate()
        .filter_map(|(number, message)| match message {
            Message::User { content, .. } if !content.trim().ends_with('?') => {
                Some(NoteLine { path: String::new(), number, text: content.clone(), source: None })
            }
            _ => None,
        })
        .collect();
    recall::search(&lines, last.content(), 1).into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::note;

    #[test]
    fn remember_is_an_instruction_and_not_a_question() {
        assert_eq!(note("remember that the NAS is 10.0.0.7").as_deref(), Some("the NAS is 10.0.0.7"));
        assert_eq!(note("Please remember: milk").as_deref(), Some("milk"));
        assert_eq!(note("remember thatcher").as_deref(), Some("thatcher"));
        assert_eq!(note("remember when we met?"), None);
        assert_eq!(note("do you remember the NAS"), None);
    }
}
