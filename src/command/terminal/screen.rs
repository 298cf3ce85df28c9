//! What a person sees of a turn: the text as it comes, and what is done for it, less bright. What is printed on a
//! terminal is the result on stdout; the steps beside it go to stderr.

use crate::command::terminal::out;
use crate::command::terminal::transcript::STEP;
use crate::core::fault::Result;
use crate::core::session::transcript::{call_line, one_line};
use crate::stage::turn::progress::Progress;
use crate::world::World;
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where turns are shown.
#[derive(Debug)]
pub(crate) struct Screen {
    /// Text is shown as it comes.
    pub(crate) is_live: bool,
    steps: Steps,
    /// Answers begin with the name of who gives them.
    has_names: bool,
    line: Mutex<ScreenLine>,
}

/// How the steps of a turn are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Steps {
    Hidden,
    Plain,
    /// Less bright than what is said.
    Dimmed,
}

/// What stands there.
#[derive(Debug, Default)]
struct ScreenLine {
    /// Who answers.
    name: String,
    /// What the model has said since the last step, as it said it.
    said: String,
    /// The last line has no end yet.
    is_open: bool,
}

impl Screen {
    /// Live where a person sees stdout.
    pub(crate) fn new(world: &World, has_names: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let steps = match () {
            () if is_terminal && world.var("NO_COLOR").is_none() => Steps::Dimmed,
            () if is_terminal || has_names => Steps::Plain,
            () => Steps::Hidden,
        };
        Self { is_live: out::is_terminal(), steps, has_names, line: Mutex::default() }
    }

    /// The same with nothing shown before the answer.
    pub(crate) fn quiet(self) -> Self {
        Self { is_live: false, steps: Steps::Hidden, ..self }
    }

    /// A turn of `name`'s begins.
    pub(crate) fn begin(&self, name: &str) {
        *self.line() = ScreenLine { name: name.to_owned(), ..ScreenLine::default() };
    }

    /// Shows what is heard of it.
    pub(crate) fn hear(&self, heard: Progress) {
        let mut line = self.line();
        match heard {
            Progress::Text(text) if self.is_live && !text.is_empty() => {
                let name = if line.said.is_empty() { self.name(Some(&line.name)) } else { String::new() };
                line.said.push_str(text);
                line.is_open = !text.ends_with('\n');
                let _ = out::raw(&(name + &out::tame(text)));
            }
            Progress::Call(call) if self.steps != Steps::Hidden => {
                end(&mut line);
                self.aside(&format!("  {}", call_line(call, STEP)));
            }
            Progress::Result(told) if self.steps != Steps::Hidden => {
                self.aside(&format!("    {}", one_line(&told.result, STEP)));
            }
            Progress::Call(_) => end(&mut line),
            Progress::Text(_) | Progress::Result(_) => {}
        }
    }

    /// Shows the answer of an agent, or of the system itself, but for what of it stands there already.
    ///
    /// # Errors
    /// `Closed` where nobody reads stdout.
    pub(crate) fn answer(&self, who: Option<&str>, content: &str) -> Result<()> {
        let mut line = self.line();
        if !line.said.is_empty() && line.said.trim_end() == content.trim_end() {
            end(&mut line);
            return Ok(());
        }
        end(&mut line);
        let content = if self.is_live { out::tame(content) } else { content.to_owned() };
        out::line(&(self.name(who) + &content))
    }

    /// Ends a line that was cut off.
    pub(crate) fn leave(&self) {
        end(&mut self.line());
    }

    fn name(&self, who: Option<&str>) -> String {
        who.filter(|_| self.has_names).map(|who| format!("{who}: ")).unwrap_or_default()
    }

    fn aside(&self, text: &str) {
        let text = out::plain(text);
        out::aside(&if self.steps == Steps::Dimmed { format!("{}{text}{}", out::DIM, out::BRIGHT) } else { text });
    }

    fn line(&self) -> MutexGuard<'_, ScreenLine> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes next begins a line, and is not what was said before.
fn end(line: &mut ScreenLine) {
    if std::mem::take(&mut line.is_open) {
        let _ = out::raw("\n");
    }
    line.said.clear();
}
