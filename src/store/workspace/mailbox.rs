//! The two mailboxes, and the folder of each state of an event.

use crate::core::event::id::Id;
use crate::store::workspace::Workspace;
use std::path::PathBuf;

/// A mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mailbox {
    /// Events for agents and for the memory.
    Inbox,
    /// Events to deliver.
    Outbox,
}

/// The state of an event. If one id is in several states, the later one in this order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not routed.
    New,
    /// Free to be claimed.
    Ready,
    /// Waiting for its due time.
    Wait,
    /// Claimed; orphaned if no process holds its lane.
    Run,
    /// Failed, until the owner retries or discards it.
    Failed,
}

impl Mailbox {
    /// The folder's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Outbox => "outbox",
        }
    }

    /// The folder of a state.
    #[must_use]
    pub fn dir(self, workspace: &Workspace, state: State) -> PathBuf {
        workspace.root.join(self.name()).join(state.name())
    }

    /// The folder for files that are being written.
    #[must_use]
    pub fn tmp(self, workspace: &Workspace) -> PathBuf {
        workspace.root.join(self.name()).join("tmp")
    }

    /// The path of an event that is done.
    #[must_use]
    pub fn done(self, workspace: &Workspace, id: &Id) -> PathBuf {
        workspace.root.join(self.name()).join("done").join(id.stamp().day()).join(format!("{id}.json"))
    }

    /// The path of the reason why an event in `done` has no answer: it was discarded after it had failed, or its sender
    /// was told of the failure at once.
    #[must_use]
    pub fn done_reason(self, workspace: &Workspace, id: &Id) -> PathBuf {
        self.done(workspace, id).with_extension("reason")
    }

    /// The path of the receipt of an event that was delivered.
    #[must_use]
    pub fn receipt(self, workspace: &Workspace, id: &Id) -> PathBuf {
        self.done(workspace, id).with_file_name(format!("{id}.receipt"))
    }

    /// The path of the reason why an event failed.
    #[must_use]
    pub fn reason(self, workspace: &Workspace, id: &Id) -> PathBuf {
        self.dir(workspace, State::Failed).join(format!("{id}.reason"))
    }
}

impl State {
    /// The folder's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Ready => "ready",
            Self::Wait => "wait",
            Self::Run => "run",
            Self::Failed => "failed",
        }
    }
}
