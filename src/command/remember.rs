//! `claw remember [TEXT|-]`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::event::{Draft, EventKind};
use crate::core::fault::Result;
use crate::stage::outcome::{EventOutcome, Outcome, failures};
use crate::stage::remember::Remember;
use crate::stage::worker::pool;
use crate::stage::{follow, route};
use crate::store::memory::NotePlace;
use crate::store::queue::publish;
use crate::store::workspace::clock;
use serde_json::Value;

/// Save a note in the memories
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Save it in memories/topics/NAME.md [default: today's daily note]
    #[arg(long, value_name = "NAME", conflicts_with = "project")]
    topic: Option<String>,
    /// Save it in memories/projects/NAME.md
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// The note; `-` reads it from stdin. Without it, pending notes are saved
    #[arg(value_name = "TEXT|-")]
    text: Vec<String>,
}

/// Saves notes, and prints `file:line` of each.
///
/// # Errors
/// `Data` for an invalid name; `Machine` if the machine fails.
pub fn run(args: Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    let work = Remember { workspace: &workspace };
    let mut code = 0;
    let mut closed = Ok(());
    let mut report = |outcome: Outcome| {
        code = code.max(out::report_outcome(&outcome));
        if let EventOutcome::Done(places) = &outcome.state {
            for place in places {
                closed = closed.clone().and_then(|()| out::line(place));
            }
        }
    };
    if args.text.is_empty() {
        failures(route::all(&workspace)?.failed).for_each(&mut report);
        pool::drain(&workspace, &work, 1, &mut report)?;
        return closed.map(|()| code);
    }
    NotePlace::named(args.topic.as_deref(), args.project.as_deref())?;
    let mut draft = Draft { kind: EventKind::Remember, ..Draft::message(out::text(&args.text)?) };
    for (key, name) in [("topic", args.topic), ("project", args.project)] {
        draft.meta.extend(name.map(|name| (key.to_owned(), Value::from(name))));
    }
    let id = clock::next_id(&workspace)?;
    publish::inbox(&workspace, &publish::complete(&workspace, draft, id.clone())?)?;
    failures(route::published(&workspace)?.failed).for_each(&mut report);
    follow::run_until_done(&workspace, &[&work], &id).map(&mut report)?;
    closed.map(|()| code)
}
