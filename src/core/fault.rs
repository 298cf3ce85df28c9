//! The one error of the library: a kind (it decides the exit code and whether a retry can help), a message that
//! names the failure and its place, and a hint with the way out where there is one.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The class of a failure. The numbers are the process's exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A permanent failure: a retry will not help (exit 1).
    Failed,
    /// The command line was wrong (exit 2).
    Usage,
    /// The data was bad: an event, a definition, an id (exit 65, `EX_DATAERR`).
    Data,
    /// A service is not there or returned an invalid response; it may recover (exit 69, `EX_UNAVAILABLE`).
    Unavailable,
    /// Not now: a lock, a limit, a due time (exit 75, `EX_TEMPFAIL`).
    Later,
    /// The budget is used up (exit 75). An event that waits for it waits without end, and no attempt is counted.
    Spent,
    /// The machine failed: disk full, read-only, out of handles (exit 75). The event is never the reason, so no
    /// attempt is counted.
    Machine,
    /// The configuration is wrong (exit 78, `EX_CONFIG`).
    Config,
    /// The reader of our output has closed it (exit 0, and nothing is printed).
    Closed,
}

/// The cause of a failure, for callers that act on it where the kind is not specific enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The request is longer than the model's context window; no model with this window can answer it unchanged.
    Overflow,
    /// The service may have refused the request for its length; it does not say so clearly.
    PerhapsOverflow,
    /// The service answers in a way that cannot be read, and will do so again.
    Unreadable,
    /// The service rejected the credentials: the key is wrong, missing or its credit is used up.
    Refused,
    /// The model's answer has no text and no tool calls.
    Empty,
    /// The service is overloaded or limits the rate; holds its HTTP status.
    Busy(u16),
    /// The answer could not be printed, so that it was not delivered.
    Unprinted,
    /// The answer is older than its channel keeps answers, so that it was not sent.
    TooOld,
}

/// A failure with its message and its hint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Decides the exit code and the retry.
    pub kind: Kind,
    /// The failure and its place, one sentence without a final full stop.
    pub message: String,
    /// An action with which the reader can solve the problem.
    pub hint: Option<String>,
    /// The wait that the other side asked for, in seconds.
    pub after: Option<u64>,
    /// A specific cause, for callers that act on it.
    pub cause: Option<Cause>,
}

/// The longest message, in bytes: it is repeated in a notice, a reason file and the journal.
const MAX_MESSAGE: usize = 4096;

/// The result of nearly every function here.
pub type Result<T> = std::result::Result<T, Fault>;

impl Fault {
    /// A failure of `kind`; a message over 4 KiB is cut.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MAX_MESSAGE {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE));
            message.push('…');
        }
        Self { kind, message, hint: None, after: None, cause: None }
    }

    /// Bad data (exit 65).
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Kind::Data, message)
    }

    /// Bad configuration (exit 78).
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// The same failure with a way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with the wait, in seconds, that the other side asked for.
    #[must_use]
    pub fn after(mut self, seconds: Option<u64>) -> Self {
        self.after = seconds;
        self
    }

    /// The same failure with its cause.
    #[must_use]
    pub fn cause(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }

    /// True where a later retry of the same operation can succeed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind, Kind::Unavailable | Kind::Later | Kind::Spent | Kind::Machine | Kind::Config)
    }

    /// The process exit code (`sysexits.h` where it has one).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Closed => 0,
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Data => 65,
            Kind::Unavailable => 69,
            Kind::Later | Kind::Spent | Kind::Machine => 75,
            Kind::Config => 78,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_follows_the_message_in_parentheses() {
        assert_eq!(Fault::data("bad id").to_string(), "bad id");
        assert_eq!(Fault::data("bad id").hint("use another").to_string(), "bad id (use another)");
    }

    #[test]
    fn long_message_is_cut_between_characters() {
        let message = Fault::data("ü".repeat(MAX_MESSAGE)).message;
        assert_eq!(message, format!("{}…", "ü".repeat(MAX_MESSAGE / 2)));
    }
}
