//! `remember` and `recall`: permanent notes. A note is published as an event whose id is derived from the call's
//! number, so that a repeated call makes one note.

pub(super) mod guard;
mod recall;

pub(super) use recall::RECALL;

use crate::core::event::address::Address;
use crate::core::event::id::Derived;
use crate::core::event::origin::SenderClass;
use crate::core::event::session_name;
use crate::core::fault::Result;
use crate::core::text::secret;
use crate::core::tool::{self, Class};
use crate::store::memory::replace::Replaced;
use crate::store::memory::{self, admit};
use crate::store::queue::publish;
use crate::tool::ToolContext;
use crate::tool::builtin::{self, Builtin};
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) const REMEMBER: Builtin = Builtin {
    name: secret::NOTING_TOOL,
    class: Class::Repeats,
    description: "Save a note permanently in memories/. Write one fact in one or two sentences that can be understood \
                  without this conversation. The note goes into today's file unless a topic or a project is given. If \
                  the fact is noted already, the result says where. Secrets are refused.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": "The note."},
                "topic": {"type": "string", "description": "Save the note in memories/topics/<topic>.md instead."},
                "project": {"type": "string", "description": "Save the note in memories/projects/<project>.md instead."},
                "replaces": {"type": "string", "description": "path:line of a fact that no longer holds, as recall shows it; it is struck out."},
            },
            "required": ["text"],
            "additionalProperties": false,
        })
    },
    run: remember,
    offer: builtin::if_granted,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RememberArguments {
    text: String,
    topic: Option<String>,
    project: Option<String>,
    replaces: Option<String>,
}

fn remember(context: &ToolContext, arguments: &Value) -> Result<String> {
    let note: RememberArguments = tool::arguments(arguments)?;
    let workspace = context.workspace;
    admit::check(workspace, &note.text, false)?;
    let place = memory::NotePlace::named(note.topic.as_deref(), note.project.as_deref())?;
    let session = &context.lane.name;
    let from = Address::parse(&format!("agent:{}", session_name::agent(session)))?;
    let mut event = context.event.child(Derived::Memory, context.number, &from, note.text, workspace.world.now());
    let file = place.file(event.created_at.into());
    if let Some(named) = &note.replaces {
        // A call that is repeated after a kill may have replaced the fact already.
        if memory::written(workspace, &place, &event)?.is_none() {
            Replaced::at(workspace, named, &event.content)?.write(&mut event.meta)?;
        }
    } else if let Some(known) = memory::find(workspace, &event.content, &file, &event.id)? {
        return Ok(format!("already at {known}"));
    }
    (event.session, event.origin) = (Some(session.clone()), context.origin.clone());
    event.origin.taint = source(context);
    for (key, value) in [("topic", note.topic), ("project", note.project)] {
        if let Some(value) = value {
            event.meta.insert(key.to_owned(), Value::String(value));
        }
    }
    publish::check_size(&event)?;
    publish::inbox(workspace, &event)?;
    Ok(format!("noted in {file}"))
}

/// The source of the content that the turn writes: text from outside, or a sender other than the owner.
pub(super) fn source(context: &ToolContext) -> Option<String> {
    let is_owners = context.origin.class.is_none_or(|class| class == SenderClass::Owner);
    context.origin.taint.clone().or_else(|| (!is_owners).then(|| context.event.from.as_str().to_owned()))
}
