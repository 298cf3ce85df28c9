//! `post_message`: sends a message from a scheduled run, which has no reader of its own. The message's id is derived from
//! the call's number, so that a repeated call sends it once.

use crate::core::event::EventKind;
use crate::core::event::address::Address;
use crate::core::event::id::Derived;
use crate::core::event::post;
use crate::core::event::scheduled::Scheduled;
use crate::core::fault::{Fault, Result};
use crate::core::tool::{self, Class};
use crate::store::queue::publish;
use crate::tool::ToolContext;
use crate::tool::builtin::{self, Builtin};
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) const POST: Builtin = Builtin {
    name: "post_message",
    class: Class::Repeats,
    description: "Send a message to the owner, or to the destination of this scheduled task. Use it if the reader \
                  should learn something now; your answer is then not sent, too. The message becomes part of the \
                  conversation with its reader.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "content": {"type": "string", "description": "The text."},
                "to": {"type": "string", "description": "Another destination, as an address, if the owner's settings allow it."},
            },
            "required": ["content"],
            "additionalProperties": false,
        })
    },
    run,
    offer: builtin::if_granted,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PostArguments {
    content: String,
    to: Option<String>,
}

fn run(context: &ToolContext, arguments: &Value) -> Result<String> {
    let args: PostArguments = tool::arguments(arguments)?;
    if args.content.trim().is_empty() {
        return Err(Fault::data("there is nothing to send: content is empty"));
    }
    let to = destination(context, args.to.as_deref())?;
    let (event, session) = (context.event, &context.lane.name);
    let from = Address::parse(&format!("agent:{}", context.agent.id))?;
    let now = context.workspace.world.now();
    let mut message = event.child(Derived::Post, context.number, &from, args.content.trim_end().to_owned(), now);
    message.kind = EventKind::Message;
    message.reply_to = to.clone();
    message.session = Some(session.clone());
    message.origin = context.origin.clone();
    let post = post::of(&message, session, &from, now);
    publish::check_size(&message)?;
    publish::inbox(context.workspace, &post)?;
    publish::outbox(context.workspace, &message)?;
    Ok(format!("sent to {to}"))
}

/// The destination: that of the job, else the default one; another one only if the settings list it.
fn destination(context: &ToolContext, to: Option<&str>) -> Result<Address> {
    let (config, home) = (context.workspace.config()?, context.workspace.home()?);
    let own = Scheduled::of(context.event).filter(|scheduled| scheduled.delivers).map(|_| &context.event.reply_to);
    let Some(to) = to else {
        return own.or(home.as_ref()).cloned().ok_or_else(|| {
            Fault::data("nothing was sent: this task has no destination")
                .hint("the owner sets `deliver_to` in its CRON.md or in claw.yaml")
        });
    };
    let to = Address::parse(to)?;
    let mut known = own.into_iter().chain(&home).chain(&config.crons.post_to);
    if known.any(|known| *known == to) {
        return Ok(to);
    }
    Err(Fault::data(format!("nothing was sent: {to} is not among the destinations that the owner allows"))
        .hint("leave out `to`; the owner can list addresses under crons.post_to in claw.yaml"))
}
