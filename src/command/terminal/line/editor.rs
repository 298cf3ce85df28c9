//! The line editor of `chat`: the history of earlier chats, messages of several lines, and completion of slash commands,
//! their arguments, and files after `@`.

use crate::command::terminal::line::mentions;
use crate::core::config::OFFLINE;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::slash::completion;
use crate::core::slash::table::ArgumentKind;
use crate::store::agent::definitions;
use crate::store::session::{self, approvals, history};
use crate::store::workspace::Workspace;
use rustyline::completion::Completer;
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{History, MemHistory};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{
    Cmd, CompletionType, ConditionalEventHandler, Config, Context, Event, EventContext, EventHandler, Helper, KeyCode,
    KeyEvent, Modifiers, Movement, RepeatCount,
};

/// The maximum number of lines in the history.
const LINES: usize = 1000;
const PROMPT: &str = "> ";

/// Lines from a terminal.
pub(crate) struct Editor<'w> {
    workspace: &'w Workspace,
    inner: rustyline::Editor<CommandCompleter<'w>, MemHistory>,
}

impl<'w> Editor<'w> {
    /// An editor with the history of earlier chats.
    ///
    /// # Errors
    /// If the terminal cannot be used.
    pub(crate) fn new(workspace: &'w Workspace) -> Result<Self> {
        let config = Config::builder().completion_type(CompletionType::List).build();
        let mut lines = MemHistory::new();
        lines.set_max_len(LINES).map_err(|e| unusable(&e))?;
        // A leading space keeps a line out of the history, as in shells.
        lines.ignore_space(true);
        for line in history::load(workspace, LINES) {
            lines.add(&line).map_err(|e| unusable(&e))?;
        }
        let mut inner = rustyline::Editor::with_history(config, lines).map_err(|e| unusable(&e))?;
        inner.set_history_ignore_space(true);
        inner.set_helper(Some(CommandCompleter(workspace)));
        inner.bind_sequence(KeyEvent::ctrl('c'), EventHandler::Conditional(Box::new(Interrupted)));
        // Terminals send Alt-Enter as Escape and a carriage return, or a line feed.
        for key in [KeyCode::Enter, KeyCode::Char('\r'), KeyCode::Char('\n')] {
            inner.bind_sequence(KeyEvent(key, Modifiers::ALT), EventHandler::Simple(Cmd::Newline));
        }
        Ok(Self { workspace, inner })
    }

    /// The next line; `None` at the end of the input.
    ///
    /// # Errors
    /// If the terminal cannot be read.
    pub(crate) fn line(&mut self) -> Result<Option<String>> {
        loop {
            return match self.inner.readline(PROMPT) {
                Ok(line) => {
                    if self.inner.add_history_entry(&line).unwrap_or(false) {
                        history::add(self.workspace, &line);
                    }
                    Ok(Some(unescaped(&line)))
                }
                Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
                // The window was resized.
                Err(ReadlineError::Signal(_)) => continue,
                Err(e) => Err(unusable(&e)),
            };
        }
    }
}

/// Whether the message goes on in a next line: its last line ends with a backslash that is not escaped itself.
fn goes_on(text: &str) -> bool {
    text.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// The message without the backslashes that only join its lines.
fn unescaped(text: &str) -> String {
    let mut lines: Vec<&str> = text.split('\n').collect();
    let last = lines.len().saturating_sub(1);
    lines.iter_mut().take(last).filter(|line| goes_on(line)).for_each(|line| *line = line.trim_end_matches('\\'));
    lines.join("\n")
}

fn unusable(error: &ReadlineError) -> Fault {
    Fault::new(Kind::Failed, format!("the terminal cannot be read: {error}"))
}

/// Ctrl-C clears the line; on an empty line it ends the chat.
struct Interrupted;

impl ConditionalEventHandler for Interrupted {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext) -> Option<Cmd> {
        (!context.line().is_empty()).then_some(Cmd::Kill(Movement::WholeBuffer))
    }
}

/// Completion of slash commands and their arguments.
struct CommandCompleter<'w>(&'w Workspace);

impl Helper for CommandCompleter<'_> {}
impl Hinter for CommandCompleter<'_> {
    type Hint = String;
}
impl Highlighter for CommandCompleter<'_> {}
impl Validator for CommandCompleter<'_> {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        Ok(if goes_on(context.input()) { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Completer for CommandCompleter<'_> {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let ids = |takes| match takes {
            ArgumentKind::Agent => definitions::folders(self.0, "agents").unwrap_or_default(),
            ArgumentKind::Skill => definitions::folders(self.0, "skills").unwrap_or_default(),
            ArgumentKind::Cron => definitions::folders(self.0, "crons").unwrap_or_default(),
            ArgumentKind::Approval => {
                approvals::pending(self.0).unwrap_or_default().iter().map(|a| a.id.short().to_string()).collect()
            }
            ArgumentKind::Model => {
                let config = self.0.config();
                let names = config.map(|config| config.models.keys().cloned().collect::<Vec<_>>());
                names.unwrap_or_default().into_iter().chain([OFFLINE.to_owned()]).collect()
            }
            ArgumentKind::Session => {
                let mut names = session::names(self.0).unwrap_or_default();
                names.sort_unstable();
                names
            }
            ArgumentKind::Text => Vec::new(),
        };
        let before = line.get(..at).unwrap_or_default();
        if let Some(found) = mentions::complete(before, self.0.world.var("HOME")) {
            return Ok(found);
        }
        Ok(completion::complete(before, &ids).unwrap_or((at, Vec::new())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backslash_joins_lines() {
        assert!(goes_on("a\\") && goes_on("a\nb\\\\\\") && !goes_on("a\\\\") && !goes_on("a") && !goes_on(""));
        assert_eq!(unescaped("a\\\nb\nc\\\\\nd"), "a\nb\nc\\\\\nd");
    }
}
