//! `remember`: the lane `memories`, one note after the other. The synced note is the commit point. Git is waited for
//! a little, because somebody else may be at work in the repository; what it does not take by then is a note all the
//! same, and holds up none behind it.

use crate::core::event::Event;
use crate::core::event::session_name;
use crate::core::fault::Result;
use crate::stage::outcome::{Outcome, Patience, Standing, crashed, settle};
use crate::stage::worker::handler::Work;
use crate::store::lock::Lane;
use crate::store::memory::{self, Shelf};
use crate::store::queue::spool::Job;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, Line};
use crate::store::workspace::mailbox::Side;

/// How often git is asked to commit a note, about a quarter of a minute.
const COMMITS: u32 = 3;

/// Notes.
pub struct Remember<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
}

impl Work for Remember<'_> {
    fn side(&self) -> Side {
        Side::Inbox
    }

    fn wants(&self, lane: &str) -> bool {
        lane == session_name::MEMORIES
    }

    fn key<'k>(&self, lane: &'k str) -> &'k str {
        lane
    }

    fn slots(&self, _: &str) -> Result<Vec<(String, u32)>> {
        Ok(Vec::new())
    }

    fn run(&self, job: Job, lane: &Lane) -> Outcome {
        let id = job.entry.id.clone();
        let event = match job.read() {
            Ok(event) => event,
            Err(fault) => return settle(self.workspace, Side::Inbox, job, fault, None, Patience::Waits),
        };
        let place = crashed(&job).map_or_else(|| self.note(&job, lane, &event), Err);
        match place {
            Ok(place) => {
                let noted =
                    Line { to: "done".into(), why: place.clone(), ..Line::of(Side::Inbox, "remember", &job.entry) };
                match job.done() {
                    Ok(()) => {
                        journal::write(self.workspace, noted);
                        Outcome { id, state: Standing::Done(vec![place]) }
                    }
                    Err(fault) => Outcome { id, state: Standing::Untouched(fault) },
                }
            }
            Err(fault) => settle(self.workspace, Side::Inbox, job, fault, Some(&event), Patience::Waits),
        }
    }
}

impl Remember<'_> {
    fn note(&self, job: &Job, lane: &Lane, event: &Event) -> Result<String> {
        let to = shelf(event)?;
        let place = memory::note(self.workspace, &to, &event.id, &event.content)?;
        match memory::commit(self.workspace, lane, &to, &event.id, &event.content) {
            Err(fault) if job.entry.tries.attempts >= COMMITS => {
                self.workspace.world.say(&format!("{fault}; it stays as it is, for you to commit"));
                Ok(place)
            }
            committed => committed.map(|()| place),
        }
    }
}

fn shelf(event: &Event) -> Result<Shelf> {
    let text = |key: &str| event.meta.get(key).and_then(|v| v.as_str());
    Shelf::named(text("topic"), text("project"))
}
