//! The one error of the library: a kind (it decides the exit code and whether trying again can
//! help), a message that says what and where, and, where there is one, the way out.

use std::fmt;

/// What a failure means to whoever called. The numbers are the process's exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something failed, and trying again will not help (exit 1).
    Failed,
    /// The command line was wrong (exit 2).
    Usage,
    /// The data was bad: an event, a definition, an id (exit 65, `EX_DATAERR`).
    Data,
    /// A service is not there or answered nonsense; it may come back (exit 69, `EX_UNAVAILABLE`).
    Unavailable,
    /// Not now: a lock, a limit, a due time (exit 75, `EX_TEMPFAIL`).
    Later,
    /// The budget is spent (exit 75). What waits for it waits as long as it takes, and no attempt is counted.
    Spent,
    /// The machine is in trouble: disk full, read-only, out of handles (exit 75). It is never the
    /// event's fault, so no attempt is counted.
    Machine,
    /// The configuration is wrong (exit 78, `EX_CONFIG`).
    Config,
    /// Whoever read our output has gone (exit 0, and nothing is said).
    Closed,
}

/// What a failure is about, where somebody acts on that and the kind does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The request is longer than the model's window: as it is, nobody will answer it.
    Overflow,
    /// The service did not accept who asks: a key that is wrong, missing or spent.
    Refused,
    /// The model has answered without a word.
    Empty,
}

/// A failure: what, where, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// Decides the exit code and the retry.
    pub kind: Kind,
    /// What happened and where, one sentence without a final full stop.
    pub message: String,
    /// What the reader can do about it.
    pub hint: Option<String>,
    /// How long the other side asked us to wait, in seconds.
    pub after: Option<u64>,
    /// What it is about, where somebody acts on that.
    pub cause: Option<Cause>,
}

/// The longest message, in bytes: it is repeated in a notice, a reason and the journal.
const MAX_MESSAGE: usize = 4096;

/// The result of nearly every function here.
pub type Result<T> = std::result::Result<T, Fault>;

impl Fault {
    /// A failure of `kind` with its message, which is cut where somebody has made it very long.
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

    /// The same failure, with what it is about.
    #[must_use]
    pub fn cause(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }

    /// True where trying the same thing later can help.
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
