//! `remember` and `recall`: permanent notes. A note is published as an event whose id is derived from the call's
//! number, so that a repeated call makes one note.

use crate::core::event::address::Address;
use crate::core::event::id::Derived;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Result};
use crate::core::tool::{self, Class};
use crate::store::memory;
use crate::store::queue::publish;
use crate::tool::ToolContext;
use crate::tool::builtin::{self, Builtin};
use serde::Deserialize;
use serde_json::{Value, json};

/// The most lines of a search result.
const MAX_FOUND: usize = 50;

pub(super) const REMEMBER: Builtin = Builtin {
    name: "remember",
    class: Class::Repeats,
    description: "Save a note permanently in memories/. Write one fact in one or two sentences that can be understood \
                  without this conversation. The note goes into today's file unless a topic or a project is given.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": "The note."},
                "topic": {"type": "string", "description": "Save the note in memories/topics/<topic>.md instead."},
                "project": {"type": "string", "description": "Save the note in memories/projects/<project>.md instead."},
            },
            "required": ["text"],
            "additionalProperties": false,
        })
    },
    run: remember,
    offer: builtin::if_granted,
};

pub(super) const RECALL: Builtin = Builtin {
    name: "recall",
    class: Class::Reads,
    description: "Search all notes in memories/ by words. Returns the best lines first, each as path:line: text.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "The words to search for."},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_FOUND, "description": "The most lines to return. Default: 10."},
            },
            "required": ["query"],
            "additionalProperties": false,
        })
    },
    run: recall,
    offer: builtin::if_granted,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RememberArguments {
    text: String,
    topic: Option<String>,
    project: Option<String>,
}

fn remember(context: &ToolContext, arguments: &Value) -> Result<String> {
    let note: RememberArguments = tool::arguments(arguments)?;
    if note.text.trim().is_empty() {
        return Err(Fault::data("there is nothing to remember: text is empty"));
    }
    let place = memory::NotePlace::named(note.topic.as_deref(), note.project.as_deref())?;
    let session = &context.lane.name;
    let from = Address::parse(&format!("agent:{}", session_name::agent(session)))?;
    let mut event =
        context.event.child(Derived::Memory, context.number, &from, note.text, context.workspace.world.now());
    (event.session, event.origin) = (Some(session.clone()), context.origin.clone());
    for (key, value) in [("topic", note.topic), ("project", note.project)] {
        if let Some(value) = value {
            event.meta.insert(key.to_owned(), Value::String(value));
        }
    }
    publish::check_size(&event)?;
    publish::inbox(context.workspace, &event)?;
    Ok(format!("noted in {}", place.file(event.created_at.into())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecallArguments {
    query: String,
    limit: Option<usize>,
}

fn recall(context: &ToolContext, arguments: &Value) -> Result<String> {
    let search: RecallArguments = tool::arguments(arguments)?;
    let limit = search.limit.unwrap_or(10).clamp(1, MAX_FOUND);
    let found = memory::search(context.workspace, &search.query, limit)?;
    if found.is_empty() {
        return Ok("nothing found".to_owned());
    }
    for line in &found {
        context.inherit_taint(line.source.as_ref());
    }
    let lines = found.iter().map(|line| format!("{}:{}: {}", line.path, line.number, line.text));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
