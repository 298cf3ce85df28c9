//! `remember` and `recall`: permanent notes. A note is published as an event whose id is derived from the call's
//! number, so that a repeated call makes one note.

use crate::core::event::address::Address;
use crate::core::event::id::Derived;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Result};
use crate::core::text::data_mark;
use crate::core::tool::{self, Class};
use crate::store::memory::{self, FoundNote, NoteQuery};
use crate::store::queue::publish;
use crate::tool::ToolContext;
use crate::tool::builtin::{self, Builtin};
use jiff::civil::Date;
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
    description: "Search all notes in memories/ by words; other forms of a word match too. Returns the best passages \
                  first, each as path:line [headings] (day): text. The tool read shows more of the file.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "The words to search for."},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_FOUND, "description": "The most passages to return. Default: 10."},
                "since": {"type": "string", "description": "Only notes of this day and later days: YYYY-MM-DD."},
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
    since: Option<Date>,
}

fn recall(context: &ToolContext, arguments: &Value) -> Result<String> {
    let search: RecallArguments = tool::arguments(arguments)?;
    let limit = search.limit.unwrap_or(10).clamp(1, MAX_FOUND);
    let wanted = NoteQuery { text: &search.query, limit, since: search.since, folder: None };
    let found = memory::search(context.workspace, &wanted)?;
    if found.is_empty() {
        return Ok("nothing found".to_owned());
    }
    let shown: Vec<String> = found.iter().map(|note| shown(context, note)).collect();
    Ok(shown.join("\n"))
}

/// A passage with its place. Text from outside is marked as data.
fn shown(context: &ToolContext, note: &FoundNote) -> String {
    let FoundNote { path, number, passage, .. } = note;
    let heading = if passage.heading.is_empty() { String::new() } else { format!(" [{}]", passage.heading) };
    let day = passage.day.map(|day| format!(" ({day})")).unwrap_or_default();
    let text = passage.text.replace('\n', "\n  ");
    let text = match &passage.source {
        Some(source) => {
            context.inherit_taint(Some(source));
            format!("\n{}", data_mark::mark(source, &text, context.workspace.world.random()))
        }
        None => format!(" {text}"),
    };
    format!("{path}:{number}{heading}{day}:{text}")
}
