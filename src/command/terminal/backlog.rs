//! Progress of commands that work through the folders: while they run, a line on stderr shows how much is left.

use crate::command::terminal::style::spinner::Spinner;
use crate::store::queue::{drops, listing};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// The time between two looks at the folders.
const LOOK: Duration = Duration::from_secs(1);

/// Does the work; on a terminal, the rest of it is shown meanwhile.
pub(crate) fn watched<T>(workspace: &Workspace, work: impl FnOnce() -> T) -> T {
    let spinner = Spinner::start(&workspace.world, "working");
    if !spinner.is_shown() {
        return work();
    }
    std::thread::scope(|scope| {
        let (over, is_over) = mpsc::channel::<()>();
        let spinner = &spinner;
        scope.spawn(move || {
            while is_over.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                spinner.count(&label(&rest(workspace)));
            }
        });
        let done = work();
        drop(over);
        done
    })
}

/// The numbers of files to take in, of events to route, to answer and to deliver.
fn rest(workspace: &Workspace) -> [usize; 4] {
    let count = |mailbox, state| listing::list(workspace, mailbox, state).map_or(0, |entries| entries.len());
    [
        drops::count(workspace, Mailbox::Inbox),
        count(Mailbox::Inbox, State::New),
        count(Mailbox::Inbox, State::Ready),
        count(Mailbox::Outbox, State::Ready),
    ]
}

fn label(rest: &[usize; 4]) -> String {
    let parts = rest.iter().zip(["files to take in", "to route", "to answer", "to deliver"]);
    let parts: Vec<String> = parts.filter(|(n, _)| **n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if parts.is_empty() { "tidying up".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn rest_is_named_by_the_work_that_it_needs() {
        assert_eq!(label(&[12_000, 64, 0, 1]), "12000 files to take in, 64 to route, 1 to deliver");
        assert_eq!(label(&[0; 4]), "tidying up");
    }
}
