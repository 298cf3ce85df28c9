//! `claw why [ID]`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::fault::{Fault, Result};
use crate::report::story::Story;
use crate::store::queue::locate;
use crate::store::workspace::mailbox::Mailbox;

/// Tell the whole story of one event, and of everything that other agents were asked for it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which event [default: the last one that came in]
    #[arg(value_name = "ID|PATH")]
    id: Option<String>,
    /// Print one JSON document a box that has the event
    #[arg(long)]
    json: bool,
}

/// Tells the story of one event, from files alone; the journal adds how long it took.
///
/// # Errors
/// `Data` where there is no such event.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    let id = match &args.id {
        Some(text) => locate::resolve(&workspace, text)?,
        None => locate::newest(&workspace)?.ok_or_else(|| Fault::data("there is no event yet"))?,
    };
    let mut told = false;
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        if let Some(found) = locate::of(&workspace, mailbox, &id)?.into_iter().next() {
            let story = Story::of(&workspace, &id, &found)?;
            if args.json {
                out::json(&story)?;
            } else {
                tell(&story)?;
            }
            told = true;
        }
    }
    if told {
        Ok(0)
    } else {
        Err(Fault::data(format!("there is no event {id}")).hint("what is done is kept for keep.done_days"))
    }
}

fn tell(story: &Story) -> Result<()> {
    let row = |what: &str, text: &str| out::line(&format!("  {what:<7} {}", out::row(text)));
    out::line(&format!("{}  {}", story.id, out::row(&story.stands)))?;
    row(story.mailbox, &story.came)?;
    if let Some(route) = &story.route {
        row("route", route)?;
    }
    if let Some(model) = &story.model {
        let steps = if story.steps == 1 { "1 step".to_owned() } else { format!("{} steps", story.steps) };
        row("turn", &format!("{model}, {steps}"))?;
    }
    for what in &story.collected {
        row("turn", what)?;
    }
    tree(&story.asked, 1)?;
    for place in &story.noted {
        row("noted", place)?;
    }
    for out in &story.out {
        row(out.what, &out.stands)?;
    }
    Ok(())
}

/// Whom its turn has asked, and whom they have.
fn tree(asked: &[Story], depth: usize) -> Result<()> {
    for child in asked {
        let who = child.agent.as_deref().unwrap_or("nobody");
        let session = child.session.as_ref().map(|session| format!(", session {session}")).unwrap_or_default();
        let indent = "  ".repeat(depth);
        let stands = out::row(&child.stands);
        out::line(&format!("{indent}asked   {who} ({}): {stands}{session}", child.id.short()))?;
        tree(&child.asked, depth + 1)?;
    }
    Ok(())
}
