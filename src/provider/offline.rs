//! The built-in model: deterministic, without network. It notes a message that begins with "remember", and answers from
//! the notes and from earlier messages of the session. A question that takes more than one look-up goes to the memory
//! agent, is answered here, or is searched for with the file tools, by the way in which its agent uses the memory.

use crate::core::context::memory_guide::MemoryWay;
use crate::core::event::session_name;
use crate::core::fault::Result;
use crate::core::memory::query::Query;
use crate::core::memory::recall::{NoteSearch, SearchedFile};
use crate::core::model::services::SERVICES;
use crate::core::model::{Call, Message, Reply};
use crate::core::tool::DISPATCH;
use crate::provider::ModelCall;
use crate::store::memory::{self, NotePlace, NoteQuery, admit};
use crate::world::{self, World};
use regex::Regex;
use serde_json::{Value, json};
use std::sync::LazyLock;

static REMEMBER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?is)^\s*(?:please\s+)?remember\s*(?::|\bthat\b)?\s*(.+)$").ok());
/// Questions about all that is known of a subject, and the request to tidy.
static SEVERAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)^\s*(?:please\s+)?(?:(?:do|what do) (?:you|we) know about\b|(?:tell me|list|find) (?:everything|all)\b|tidy\b)")
        .ok()
});
/// The name of the tool that searches files.
const SEARCH: &str = "search";
/// The most notes in an answer to a question about all of them.
const MOST: usize = 5;

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
    let reply = match call.request.messages.last() {
        Some(Message::Tool { name, content, .. }) => after_call(name, content),
        last => answer(call, last.map(Message::content).unwrap_or_default())?,
    };
    (call.on_text)(&reply.content);
    Ok(reply)
}

/// The variables of the environment that hold keys of known services, in the order of the services.
pub fn keys_in_environment(world: &World) -> impl Iterator<Item = &'static str> {
    let variables = SERVICES.iter().map(|service| service.key_env);
    variables.filter(|variable| !variable.is_empty() && world.var(variable).is_some())
}

fn says(content: impl Into<String>) -> Reply {
    Reply { content: content.into(), ..Reply::default() }
}

fn calls(name: &str, arguments: Value) -> Reply {
    let call = Call { id: String::new(), name: name.to_owned(), arguments };
    Reply { calls: vec![call], ..Reply::default() }
}

fn answer(call: &ModelCall, text: &str) -> Result<Reply> {
    if let Some(note) = note(text) {
        if let Err(fault) = admit::check(call.workspace, &note, false) {
            return Ok(says(format!("I did not note that: {fault}")));
        }
        let content = format!("Noted in {}", NotePlace::Daily.file(call.at));
        return Ok(Reply { content, remember: vec![note], ..Reply::default() });
    }
    let is_several = SEVERAL.as_ref().is_some_and(|several| several.is_match(text));
    let memories = &call.workspace.config()?.memories;
    let is_keeper = session_name::agent(&call.lane.name) == memories.agent;
    match memories.way {
        MemoryWay::Agent if is_several && !is_keeper && offers(call, DISPATCH, &memories.agent) => {
            return Ok(calls(DISPATCH, json!({"agent_id": memories.agent, "task": text})));
        }
        MemoryWay::Skill if !is_keeper && offers(call, SEARCH, "") && !offers(call, "recall", "") => {
            return Ok(file_search(call, text)?.unwrap_or_else(|| says(UNKNOWN)));
        }
        _ => {}
    }
    let notes = if call.may_recall { found_notes(call, text, if is_several { MOST } else { 1 })? } else { None };
    let answer = match notes {
        None => earlier_message(call)?.map(|said| format!("you said: {said}")),
        notes => notes,
    };
    Ok(says(answer.unwrap_or_else(|| UNKNOWN.to_owned())))
}

const UNKNOWN: &str = "I have no note about that. Tell me with \"remember that …\", or set a model in claw.yaml.";

/// Whether the request has this tool, and its description of arguments has this value.
fn offers(call: &ModelCall, name: &str, value: &str) -> bool {
    let tool = call.request.tools.iter().find(|tool| tool.name == name);
    tool.is_some_and(|tool| value.is_empty() || tool.parameters.to_string().contains(&format!("\"{value}\"")))
}

/// The answer after a call: the other agent's result, or the lines that were found.
fn after_call(name: &str, result: &str) -> Reply {
    if name == DISPATCH {
        let answer = serde_json::from_str::<Value>(result).ok();
        let answer = answer.and_then(|answer| answer["result"].as_str().map(ToOwned::to_owned));
        return says(answer.unwrap_or_else(|| result.to_owned()));
    }
    let lines: Vec<&str> = result.lines().filter(|line| line.starts_with("memories/")).take(MOST).collect();
    says(if lines.is_empty() { UNKNOWN.to_owned() } else { lines.join("\n") })
}

/// A search with the file tools for the words of a question; `None` if it has none.
fn file_search(call: &ModelCall, text: &str) -> Result<Option<Reply>> {
    let query = Query::new(text, &call.workspace.config()?.memories.languages);
    let words: Vec<String> = query.words().map(regex::escape).collect();
    let arguments = json!({"pattern": words.join("|"), "path": memory::FOLDER, "ignore_case": true, "limit": MOST});
    Ok((!words.is_empty()).then(|| calls(SEARCH, arguments)))
}

/// The text to note, if the message asks for that.
fn note(text: &str) -> Option<String> {
    let note = REMEMBER.as_ref()?.captures(text)?.get(1)?.as_str().trim();
    (!note.ends_with('?')).then(|| note.to_owned())
}

/// The lines of the notes that match best, each with its place.
fn found_notes(call: &ModelCall, text: &str, limit: usize) -> Result<Option<String>> {
    let wanted = NoteQuery { text, limit, since: None, folder: None };
    let found = memory::search(call.workspace, &wanted)?;
    let lines: Vec<String> =
        found.iter().map(|note| format!("{} ({}:{})", note.passage.line, note.shown_path(), note.number)).collect();
    Ok((!lines.is_empty()).then(|| lines.join("\n")))
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
    use super::{SEVERAL, after_call, note};

    #[test]
    fn remember_is_an_instruction_and_not_a_question() {
        assert_eq!(note("remember that the NAS is 10.0.0.7").as_deref(), Some("the NAS is 10.0.0.7"));
        assert_eq!(note("Please remember: milk").as_deref(), Some("milk"));
        assert_eq!(note("remember thatcher").as_deref(), Some("thatcher"));
        assert_eq!(note("remember when we met?"), None);
        assert_eq!(note("do you remember the NAS"), None);
    }

    #[test]
    fn questions_about_all_that_is_known_take_several_lookups() {
        let is_several = |text: &str| SEVERAL.as_ref().unwrap().is_match(text);
        for text in [
            "What do you know about Anna?",
            "do you know about the NAS",
            "Tell me everything about it",
            "tidy the notes",
        ] {
            assert!(is_several(text), "{text}");
        }
        for text in ["what is the NAS?", "do you know the NAS?", "I know about it", "tidying is dull"] {
            assert!(!is_several(text), "{text}");
        }
        assert_eq!(after_call("subagent_dispatch", r#"{"result":"Yes","session_id":"x"}"#).content, "Yes");
        assert_eq!(after_call("search", "memories/a.md:1: x\n[cut]").content, "memories/a.md:1: x");
    }
}
