//! The progress of a turn, for a user at a terminal.

use crate::core::event::id::Id;
use crate::core::model::Call;
use crate::core::session::record::ToolResult;

/// An event whose answer a user waits for at a terminal.
pub struct Interactive<'a> {
    /// The event.
    pub id: &'a Id,
    /// The model to use instead of the agent's.
    pub model: Option<&'a str>,
    /// Called as the turn goes on.
    pub on_progress: Option<&'a (dyn Fn(Progress) + Sync)>,
}

/// A step of a turn.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The model has written a piece of text.
    Text(&'a str),
    /// A tool is called.
    Call(&'a Call),
    /// A tool has returned.
    Result(&'a ToolResult),
    /// The model's service is busy (an HTTP status); it is asked again after so many seconds.
    Retry(u64, u16),
}
