//! The slash commands as values, and the permission that each of them needs.

/// A parsed slash command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlashCommand {
    /// List the commands.
    Help,
    /// Show the agent that answers here.
    Agent,
    /// From now on this agent answers here.
    Bind(String),
    /// From now on the agent (second) answers at addresses that match the pattern (first).
    Route(String, String),
    /// List the bindings.
    Bindings,
    /// List the agents.
    Agents,
    /// List the skills, or show one.
    Skills(Option<String>),
    /// List the crons, or show one.
    Crons(Option<String>),
    /// Show the session, its file and its length.
    Session,
    /// Show the size of the context that is sent to the model.
    Context,
    /// Show the usage of the models.
    Usage,
    /// Compact the context, with attention to a focus.
    Compact(Option<String>),
    /// Start a new conversation.
    New,
    /// Stop the running turn.
    Stop,
    /// List the pending approvals.
    Pending,
    /// Approve a tool call.
    Approve(String),
    /// Deny a tool call.
    Deny(String),
}

/// The users that may give a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Every participant of the conversation: the command is about that conversation only, and nothing is lost by it.
    Participant,
    /// The owner only: the command shows the owner's files or decides in the owner's name.
    Owner,
}

impl SlashCommand {
    /// The permission that the command needs. Every participant may stop a turn or start a new conversation, because
    /// nothing is lost by that. Only the owner may bind another agent, because that agent may have more rights.
    #[must_use]
    pub fn permission(&self) -> Permission {
        match self {
            // `/usage` shows only this conversation to a participant; the rest is shown to the owner only.
            Self::Usage
            | Self::Help
            | Self::New
            | Self::Stop
            | Self::Session
            | Self::Context
            | Self::Compact(_)
            | Self::Agent => Permission::Participant,
            Self::Bind(_)
            | Self::Route(..)
            | Self::Bindings
            | Self::Agents
            | Self::Skills(_)
            | Self::Crons(_)
            | Self::Pending
            | Self::Approve(_)
            | Self::Deny(_) => Permission::Owner,
        }
    }
}
