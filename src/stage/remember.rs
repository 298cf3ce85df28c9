//! `remember`: the lane `memories`, one note after the other. The synced note is the commit point; its git commit waits
//! for nothing, and trouble with git delays no note.

use crate::core::event::Event;
use crate::core::event::session_name;
use crate::core::fault::Result;
use crate::stage::outcome::{EventOutcome, Outcome, RetryPolicy, crashed, end_failed_attempt};
use crate::stage::worker::handler::Handler;
use crate::store::lock::Lane;
use crate::store::memory::{self, NotePlace, admit, history};
use crate::store::queue::spool::Job;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal::{self, JournalLine};
use crate::store::workspace::mailbox::Mailbox;

/// The handler of notes.
pub struct Remember<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
}

impl Handler for Remember<'_> {
    fn mailbox(&self) -> Mailbox {
        Mailbox::Inbox
    }

    fn handles(&self, lane: &str) -> bool {
        lane == session_name::MEMORIES
    }

    fn limit_key<'k>(&self, lane: &'k str) -> &'k str {
        lane
    }

    fn slots(&self, _: &str) -> Result<Vec<(String, u32)>> {
        Ok(Vec::new())
    }

    fn may_run_apart(&self, _: &Job) -> bool {
        true
    }

    fn run(&self, job: Job, _: &Lane) -> Outcome {
        let id = job.entry.id.clone();
        let event = match job.read() {
            Ok(event) => event,
            Err(fault) => {
                return end_failed_attempt(self.workspace, Mailbox::Inbox, job, fault, None, RetryPolicy::UntilExpired);
            }
        };
        let place = match crashed(&job) {
            Some(fault) => self.written(&event).and_then(|place| place.ok_or(fault)),
            None => self.note(&event),
        };
        match place {
            Ok(place) => {
                let noted = JournalLine {
                    to: "done".into(),
                    why: place.clone(),
                    ..JournalLine::of(Mailbox::Inbox, "remember", &job.entry)
                };
                match job.done() {
                    Ok(()) => {
                        journal::write(self.workspace, noted);
                        Outcome { id, state: EventOutcome::Done(vec![place]) }
                    }
                    Err(fault) => Outcome { id, state: EventOutcome::GivenBack(fault) },
                }
            }
            Err(fault) => {
                end_failed_attempt(self.workspace, Mailbox::Inbox, job, fault, Some(&event), RetryPolicy::UntilExpired)
            }
        }
    }
}

impl Remember<'_> {
    /// The place of the note, if an earlier worker has written it. A git commit may be missing.
    fn written(&self, event: &Event) -> Result<Option<String>> {
        memory::written(self.workspace, &note_place(event)?, event)
    }

    fn note(&self, event: &Event) -> Result<String> {
        let to = note_place(event)?;
        let subject = format!("remember: {}", event.content);
        let names = memory::files(&to, event)?;
        if memory::written(self.workspace, &to, event)?.is_none() {
            // Before the history lists the change, which names the text.
            admit::check(self.workspace, &event.content, admit::is_forced(self.workspace, event)?)?;
        }
        history::change(self.workspace, &memory::author(event), &subject, &names, || {
            memory::note(self.workspace, &to, event).map(|noted| (noted.place, noted.written))
        })
    }
}

fn note_place(event: &Event) -> Result<NotePlace> {
    let text = |key: &str| event.meta.get(key).and_then(|v| v.as_str());
    NotePlace::named(text("topic"), text("project"))
}
