//! `remember` and `recall`: notes for good. What is to be remembered goes out as an event, under an id that
//! the call's number makes, so that a repeated call is one note.

use crate::core::event::address::Address;
use crate::core::event::id::Derived;
use crate::core::event::session_name;
use crate::core::fault::Result;
use crate::core::tool::{self, Class};
use crate::store::memory;
use crate::store::queue::publish;
use crate::tool::{Builtin, ToolContext};
use serde::Deserialize;
use serde_json::{Value, json};

/// The most lines of a search that are told.
const MAX_FOUND: usize = 50;

pub(super) const REMEMBER: Builtin = Builtin {
    name: "remember",
    class: Class::Repeats,
    description: "Write something down for good, in memories/. Give one fact in one or two sentences that will be \
                  understood without this conversation. It is filed under today unless a topic or a project is named.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": "What to remember."},
                "topic": {"type": "string", "description": "File it in memories/topics/<topic>.md instead."},
                "project": {"type": "string", "description": "File it in memories/projects/<project>.md instead."},
            },
            "required": ["text"],
            "additionalProperties": false,
        })
    },
    run: remember,
};

pub(super) const RECALL: Builtin = Builtin {
    name: "recall",
    class: Class::Reads,
    description: "Search everything that was ever remembered, by words. Best lines first, each with its file and line.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "Words to look for."},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_FOUND, "description": "How many lines, 10 if left out."},
            },
            "required": ["query"],
            "additionalProperties": false,
        })
    },
    run: recall,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
    topic: Option<String>,
    project: Option<String>,
}

fn remember(context: &ToolContext, arguments: &Value) -> Result<String> {
    let note: Note = tool::arguments(arguments)?;
    if note.text.trim().is_empty() {
        return Err(crate::core::fault::Fault::data("there is nothing to remember: text is empty"));
    }
    let shelf = memory::NotePlace::named(note.topic.as_deref(), note.project.as_deref())?;
    let session = &context.lane.name;
    let from = Address::parse(&format!("agent:{}", session_name::agent(session)))?;
    let mut event =
        context.event.child(Derived::Memory, context.number, &from, note.text, context.workspace.world.now());
    event.session = Some(session.clone());
    for (key, value) in [("topic", note.topic), ("project", note.project)] {
        if let Some(value) = value {
            event.meta.insert(key.to_owned(), Value::String(value));
        }
    }
    publish::check_size(&event)?;
    publish::inbox(context.workspace, &event)?;
    Ok(format!("noted in {}", shelf.file(event.id.stamp())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecallQuery {
    query: String,
    limit: Option<usize>,
}

fn recall(context: &ToolContext, arguments: &Value) -> Result<String> {
    let search: RecallQuery = tool::arguments(arguments)?;
    let limit = search.limit.unwrap_or(10).clamp(1, MAX_FOUND);
    let found = memory::search(context.workspace, &search.query, limit)?;
    if found.is_empty() {
        return Ok("nothing found".to_owned());
    }
    let lines = found.iter().map(|line| format!("{}:{}: {}", line.path, line.number, line.text));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
