//! The end of the program.

use std::process::ExitCode;

/// The end: its code and, unless all is well, the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// 0: asked to end. 69: Discord cannot be reached. 75: try again. 78: the owner must change something.
    pub code: u8,
    /// The reason and the way out; empty if there is none.
    pub why: String,
}

impl Exit {
    /// Asked to end.
    pub fn done() -> Self {
        Self { code: 0, why: String::new() }
    }

    /// A new start may help.
    pub fn later(why: impl Into<String>) -> Self {
        Self { code: 75, why: why.into() }
    }

    /// Discord cannot be reached: claw waits, and says so in its status.
    pub fn unreachable(why: impl Into<String>) -> Self {
        Self { code: 69, why: why.into() }
    }

    /// The owner must change something.
    pub fn config(why: impl Into<String>) -> Self {
        Self { code: 78, why: why.into() }
    }

    /// The token is wrong.
    pub fn wrong_token() -> Self {
        Self::config(
            "Discord refuses the token. Reset it in the developer portal (Bot, Reset Token), and put the new one into the \
             token file",
        )
    }

    /// Writes the reason to stderr.
    pub fn report(self) -> ExitCode {
        if !self.why.is_empty() {
            eprintln!("claw-discord: {}", self.why);
        }
        ExitCode::from(self.code)
    }
}
