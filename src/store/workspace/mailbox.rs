//! The two boxes and their folders: where an event of a given state lies.

use crate::core::event::id::Id;
use crate::store::workspace::Workspace;
use std::path::PathBuf;

/// Which box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mailbox {
    /// What agents and the memory shall do.
    Inbox,
    /// What shall be delivered.
    Outbox,
}

/// Where in a box. The later states win where one id is in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Nobody has routed it.
    New,
    /// Free to be claimed.
    Ready,
    /// Not before its due time.
    Wait,
    /// Claimed, or orphaned where nobody holds its lane.
    Run,
    /// Until somebody acts.
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

    /// The folder for what is not whole yet.
    #[must_use]
    pub fn tmp(self, workspace: &Workspace) -> PathBuf {
        workspace.root.join(self.name()).join("tmp")
    }

    /// The place of an event that is done.
    #[must_use]
    pub fn done(self, workspace: &Workspace, id: &Id) -> PathBuf {
        workspace.root.join(self.name()).join("done").join(id.stamp().day()).join(format!("{id}.json"))
    }

    /// The receipt of an event that was delivered.
    #[must_use]
    pub fn receipt(self, workspace: &Workspace, id: &Id) -> PathBuf {
        self.done(workspace, id).with_file_name(format!("{id}.receipt"))
    }

    /// The reason why an event failed.
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
