//! The display of a turn on a terminal: the answer's text as it arrives, on stdout; its steps dimmed, on stderr.

use crate::command::terminal::out;
use crate::command::terminal::transcript::STEP;
use crate::core::fault::Result;
use crate::core::session::transcript::{call_line, one_line};
use crate::stage::turn::progress::Progress;
use crate::world::World;
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The display.
#[derive(Debug)]
pub(crate) struct Screen {
    /// Text is printed as it arrives.
    pub(crate) is_live: bool,
    steps: Steps,
    /// Answers begin with the agent's name.
    has_names: bool,
    line: Mutex<ScreenLine>,
}

/// The style of a turn's steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Steps {
    Hidden,
    Plain,
    /// Less bright than the text.
    Dimmed,
}

/// The text printed since the last step.
#[derive(Debug, Default)]
struct ScreenLine {
    /// The agent's name.
    name: String,
    /// The model's text since the last step, unescaped.
    text: String,
    /// The last line has no line break yet.
    is_open: bool,
}

impl Screen {
    /// A display for this process's stdout and stderr.
    pub(crate) fn new(world: &World, has_names: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let steps = match () {
            () if is_terminal && world.var("NO_COLOR").is_none() => Steps::Dimmed,
            () if is_terminal || has_names => Steps::Plain,
            () => Steps::Hidden,
        };
        Self { is_live: out::is_terminal(), steps, has_names, line: Mutex::default() }
    }

    /// The same display, which prints nothing before the answer.
    pub(crate) fn quiet(self) -> Self {
        Self { is_live: false, steps: Steps::Hidden, ..self }
    }

    /// Starts a turn of the agent `name`.
    pub(crate) fn begin(&self, name: &str) {
        *self.line() = ScreenLine { name: name.to_owned(), ..ScreenLine::default() };
    }

    /// Prints the progress of the turn.
    pub(crate) fn show(&self, progress: Progress) {
        let mut line = self.line();
        match progress {
            Progress::Text(text) if self.is_live && !text.is_empty() => {
                let name = if line.text.is_empty() { self.prefix(Some(&line.name)) } else { String::new() };
                // Text that could not be printed makes the difference to the answer, which is then printed whole.
                if out::raw(&(name + &out::escape_controls(text))).is_ok() {
                    line.text.push_str(text);
                    line.is_open = !text.ends_with('\n');
                }
            }
            Progress::Call(call) if self.steps != Steps::Hidden => {
                end(&mut line);
                self.step(&format!("  {}", call_line(call, STEP)));
            }
            Progress::Result(outcome) if self.steps != Steps::Hidden => {
                self.step(&format!("    {}", one_line(&outcome.result, STEP)));
            }
            Progress::Retry(seconds, status) => {
                end(&mut line);
                out::message(&format!("retrying in {seconds} s ({status})"));
            }
            Progress::Call(_) => end(&mut line),
            Progress::Text(_) | Progress::Result(_) => {}
        }
    }

    /// Prints an answer, unless its text was already printed as it arrived. `name` is the agent; `None` for an answer of
    /// the program itself.
    ///
    /// # Errors
    /// `Closed` if stdout is closed.
    pub(crate) fn answer(&self, name: Option<&str>, content: &str) -> Result<()> {
        let mut line = self.line();
        if !line.text.is_empty() && line.text.trim_end() == content.trim_end() {
            end(&mut line);
            return Ok(());
        }
        end(&mut line);
        let content = if self.is_live { out::escape_controls(content) } else { content.to_owned() };
        out::content(&(self.prefix(name) + &content + "\n"))
    }

    /// Ends an incomplete line.
    pub(crate) fn finish_line(&self) {
        end(&mut self.line());
    }

    fn prefix(&self, name: Option<&str>) -> String {
        name.filter(|_| self.has_names).map(|name| format!("{name}: ")).unwrap_or_default()
    }

    fn step(&self, text: &str) {
        if self.steps == Steps::Dimmed { out::dimmed_stderr_line(text) } else { out::stderr_line(text) }
    }

    fn line(&self) -> MutexGuard<'_, ScreenLine> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends an incomplete line and forgets the printed text.
fn end(line: &mut ScreenLine) {
    if std::mem::take(&mut line.is_open) {
        let _ = out::raw("\n");
    }
    line.text.clear();
}
