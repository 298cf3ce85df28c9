//! The display of a turn on a terminal: the answer's text as it arrives, on stdout; its steps dimmed, and a line that
//! shows what is going on, on stderr.

use crate::command::terminal::out;
use crate::command::terminal::style::live::LiveMarkdown;
use crate::command::terminal::style::markdown::{TerminalLook, render};
use crate::command::terminal::style::spinner::Spinner;
use crate::command::terminal::style::{self};
use crate::command::terminal::transcript::STEP;
use crate::core::fault::Result;
use crate::core::session::transcript::{call_line, one_line};
use crate::stage::turn::progress::Progress;
use crate::world::{self, World};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The label of the spinner while no tool runs.
const THINKING: &str = "waiting for the model";

/// The display.
#[derive(Debug)]
pub(crate) struct Screen {
    /// Text is printed as it arrives.
    pub(crate) is_live: bool,
    steps: Steps,
    /// Answers begin with the agent's name.
    has_names: bool,
    /// The terminal for which Markdown is laid out; `None`: the text is printed as it is.
    look: Option<TerminalLook>,
    line: Mutex<ScreenLine>,
    spinner: Mutex<Option<Spinner>>,
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
    /// The layout of the text.
    live: Option<LiveMarkdown>,
    /// The last line has no line break yet.
    is_open: bool,
    /// The text before the last step.
    earlier: String,
}

impl Screen {
    /// A display for this process's stdout and stderr.
    pub(crate) fn new(world: &World, has_names: bool) -> Self {
        let is_terminal = out::is_stderr_terminal();
        let steps = match () {
            () if world::is_quiet() => Steps::Hidden,
            () if is_terminal && style::has_colour(world, is_terminal) => Steps::Dimmed,
            () if is_terminal || has_names => Steps::Plain,
            () => Steps::Hidden,
        };
        let is_live = out::is_terminal();
        Self { is_live, steps, has_names, look: Self::look(world), line: Mutex::default(), spinner: Mutex::default() }
    }

    /// The terminal of stdout.
    fn look(world: &World) -> Option<TerminalLook> {
        let is_terminal = out::is_terminal();
        style::width(world).map(|width| TerminalLook {
            width,
            has_colour: style::has_colour(world, is_terminal),
            is_unicode: style::is_unicode(world),
        })
    }

    /// The same display, which prints nothing before the answer.
    pub(crate) fn quiet(self) -> Self {
        Self { is_live: false, steps: Steps::Hidden, ..self }
    }

    /// The same display, which prints the text as the model wrote it.
    pub(crate) fn raw(self) -> Self {
        Self { look: None, ..self }
    }

    /// Starts a turn of the agent `name`; the spinner runs until [`Screen::finish`].
    pub(crate) fn begin(&self, name: &str, world: &World) {
        *self.line() = ScreenLine { name: name.to_owned(), ..ScreenLine::default() };
        let shows = self.steps != Steps::Hidden || self.is_live;
        *self.spinner() = shows.then(|| Spinner::start(world, THINKING));
    }

    /// Ends the spinner.
    pub(crate) fn finish(&self) {
        *self.spinner() = None;
    }

    /// Prints the progress of the turn.
    pub(crate) fn show(&self, progress: Progress) {
        let mut line = self.line();
        self.with_spinner(Spinner::clear);
        match progress {
            Progress::Text(text) if self.is_live && !text.is_empty() => self.text(&mut line, text),
            Progress::Call(call) => {
                end(&mut line);
                let text = call_line(call, STEP);
                if self.steps != Steps::Hidden {
                    self.step(&format!("  {text}"));
                }
                self.with_spinner(|spinner| spinner.label(&text));
            }
            Progress::Result(outcome) => {
                // A call that waits for approval has no result; the answer of the turn, or a dialog, is about it.
                if self.steps != Steps::Hidden && outcome.asks.is_none() {
                    self.step(&format!("    {}", one_line(&outcome.result, STEP)));
                }
                self.with_spinner(|spinner| spinner.label(THINKING));
            }
            Progress::Retry(seconds, status) => {
                end(&mut line);
                out::message(&format!("retrying in {seconds} s ({status})"));
            }
            Progress::Text(_) => {}
        }
        self.with_spinner(|spinner| spinner.hide(line.is_open));
    }

    fn text(&self, line: &mut ScreenLine, text: &str) {
        let name = if line.text.is_empty() { self.prefix(Some(&line.name)) } else { String::new() };
        let (shown, is_open) = match self.look {
            None => (out::escape_controls(text), !text.ends_with('\n')),
            Some(look) => {
                let markdown = line.live.get_or_insert_with(|| LiveMarkdown::new(look));
                let shown = markdown.push(text);
                (shown, markdown.is_open())
            }
        };
        // Text that could not be printed makes the difference to the answer, which is then printed whole.
        if (name.is_empty() && shown.is_empty()) || out::raw(&(name.clone() + &shown)).is_ok() {
            line.text.push_str(text);
            line.is_open = is_open || (!name.is_empty() && shown.is_empty());
        }
    }

    /// Prints an answer, unless its text was already printed as it arrived. `name` is the agent; `None` for an answer of
    /// the program itself, which is no Markdown.
    ///
    /// # Errors
    /// `Closed` if stdout is closed.
    pub(crate) fn answer(&self, name: Option<&str>, content: &str) -> Result<()> {
        let mut line = self.line();
        self.finish();
        let is_printed = !line.text.is_empty() && line.text.trim_end() == content.trim_end();
        end(&mut line);
        if is_printed {
            return Ok(());
        }
        let prefix = self.prefix(name);
        match self.look.filter(|_| name.is_some()) {
            Some(look) => out::raw(&(prefix + &render(content, look))),
            None if self.is_live => out::content(&(prefix + &out::escape_controls(content) + "\n")),
            None => out::content(&(prefix + content + "\n")),
        }
    }

    /// Prints the answer of a turn whose requests for approval a dialog shows, unless its text was printed as it arrived.
    ///
    /// # Errors
    /// As [`Screen::answer`].
    pub(crate) fn answer_before_dialog(&self, name: Option<&str>, content: &str) -> Result<()> {
        self.finish_line();
        let is_printed = content.is_empty() || self.line().earlier.trim_end() == content.trim_end();
        if is_printed { Ok(()) } else { self.answer(name, content) }
    }

    /// Ends an incomplete line.
    pub(crate) fn finish_line(&self) {
        self.finish();
        end(&mut self.line());
    }

    fn prefix(&self, name: Option<&str>) -> String {
        name.filter(|_| self.has_names).map(|name| format!("{name}: ")).unwrap_or_default()
    }

    fn step(&self, text: &str) {
        if self.steps == Steps::Dimmed { out::dimmed_stderr_line(text) } else { out::stderr_line(text) }
    }

    fn with_spinner(&self, act: impl FnOnce(&Spinner)) {
        if let Some(spinner) = self.spinner().as_ref() {
            act(spinner);
        }
    }

    fn line(&self) -> MutexGuard<'_, ScreenLine> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spinner(&self) -> MutexGuard<'_, Option<Spinner>> {
        self.spinner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prints the rest of the text, ends an incomplete line and forgets the printed text.
fn end(line: &mut ScreenLine) {
    if let Some(mut live) = line.live.take() {
        let rest = live.finish();
        if !rest.is_empty() {
            let _ = out::raw(&rest);
            line.is_open = false;
        }
    }
    if std::mem::take(&mut line.is_open) {
        let _ = out::raw("\n");
    }
    let text = std::mem::take(&mut line.text);
    if !text.is_empty() {
        line.earlier = text;
    }
}
