//! The line editor of `chat`, with the history of earlier chats and completion of slash commands.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::slash::completion;
use crate::core::slash::table::ArgumentKind;
use crate::store::agent::definitions;
use crate::store::session::{approvals, history};
use crate::store::workspace::Workspace;
use rustyline::completion::Completer;
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{History, MemHistory};
use rustyline::validate::Validator;
use rustyline::{
    Cmd, CompletionType, ConditionalEventHandler, Config, Context, Event, EventContext, EventHandler, Helper, KeyEvent,
    Movement, RepeatCount,
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
                    Ok(Some(line))
                }
                Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
                // The window was resized.
                Err(ReadlineError::Signal(_)) => continue,
                Err(e) => Err(unusable(&e)),
            };
        }
    }
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
impl Validator for CommandCompleter<'_> {}

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
            ArgumentKind::Text => Vec::new(),
        };
        let before = line.get(..at).unwrap_or_default();
        Ok(completion::complete(before, &ids).unwrap_or((at, Vec::new())))
    }
}
