//! The built-in model: deterministic, without network. It notes a message that begins with "remember", and answers from
//! the notes and from earlier messages of the session.

use crate::core::fault::Result;
use crate::core::memory::query::Query;
use crate::core::memory::recall::{NoteSearch, SearchedFile};
use crate::core::model::services::SERVICES;
use crate::core::model::{Message, Reply};
use crate::provider::ModelCall;
use crate::store::memory::{self, NotePlace, NoteQuery};
use crate::world::{self, World};
use regex::Regex;
use std::sync::LazyLock;

static REMEMBER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?is)^\s*(?:please\s+)?remember\s*(?::|\bthat\b)?\s*(.+)$").ok());

pub(super) fn ask(call: &mut ModelCall) -> Result<Reply> {
    call.workspace.warn_once(
        "offline",
        "no model is configured, so the built-in offline one answers from memories/; `claw setup` configures one",
    );
    // A key may appear long after `init`.
    if let Some(variable) = keys_in_environment(&call.workspace.world).next() {
        call.workspace
            .world
            .say(&format!("{variable} is set, but the offline model answers; `claw setup` uses the key"));
    }
    let messages = &call.request.messages;
    let text = messages.last().map(Message::content).unwrap_or_default();
    let reply = if let Some(note) = note(text) {
        let content = format!("Noted in {}", NotePlace::Daily.file(call.at));
        Reply { content, remember: vec![note], ..Reply::default() }
    } else {
        let note = if call.may_recall { found_note(call, text)? } else { None };
        let answer = match note {
            None => earlier_message(call)?.map(|said| format!("you said: {said}")),
            note => note,
        };
        let content = answer.unwrap_or_else(|| {
            "I have no note about that. Tell me with \"remember that …\", or set a model in claw.yaml.".to_owned()
        });
        Reply { content, ..Reply::default() }
    };
    (call.on_text)(&reply.content);
    Ok(reply)
}

/// The variables of the environment that hold keys of known services, in the order of the services.
pub fn keys_in_environment(world: &World) -> impl Iterator<Item = &'static str> {
    let variables = SERVICES.iter().map(|service| service.key_env);
    variables.filter(|variable| !variable.is_empty() && world.var(variable).is_some())
}

/// The text to note, if the message asks for that.
fn note(text: &str) -> Option<String> {
    let note = REMEMBER.as_ref()?.captures(text)?.get(1)?.as_str().trim();
    (!note.ends_with('?')).then(|| note.to_owned())
}

/// The line of the notes that matches best.
fn found_note(call: &ModelCall, text: &str) -> Result<Option<String>> {
    let wanted = NoteQuery { text, limit: 1, since: None, folder: None };
    let found = memory::search(call.workspace, &wanted)?.into_iter().next();
    Ok(found.map(|note| format!("{} ({}:{})", note.passage.line, note.path, note.number)))
}

/// The earlier message of the user that matches the last one best.
fn earlier_message(call: &ModelCall) -> Result<Option<String>> {
    let Some((last, before)) = call.request.messages.split_last() else { return Ok(None) };
    let languages = &call.workspace.config()?.memories.languages;
    let mut search = NoteSearch::new(Query::new(last.content(), languages), None);
    let said: Vec<&str> = before
        .iter()
        .filter_map(|message| match message {
            Message::User { content, .. } if !content.trim().ends_with('?') => Some(content.as_str()),
            _ => None,
        })
        .collect();
    for text in &said {
        // Each message is one line, so that it is found as a whole.
        search.add(SearchedFile { path: String::new(), day: None, changed: None }, &text.replace('\n', " "));
    }
    let today = call.at.timestamp().to_zoned(world::zone()).date();
    let (_, found) = search.finish(1, today);
    Ok(found.first().map(|line| said[line.file].to_owned()))
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
