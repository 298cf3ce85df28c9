//! The line on stderr that shows that something goes on: the time since it began, and the running tool. It is drawn from
//! a thread, erased before anything else is printed, and absent where stderr is no capable terminal.

use super::{columns, is_capable, is_unicode};
use crate::command::terminal::out;
use crate::core::text::visible::row;
use crate::world::{self, World};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Nothing is drawn before.
const PATIENCE: Duration = Duration::from_millis(400);
const TICK: Duration = Duration::from_millis(120);
/// Erases the line (ECMA-48, EL).
const ERASE: &str = "\r\x1b[K";

#[derive(Debug)]
struct SpinnerState {
    label: String,
    begun: Instant,
    is_hidden: bool,
    is_drawn: bool,
    is_over: bool,
    frame: usize,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<SpinnerState>,
    changed: Condvar,
}

/// A spinner that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Spinner {
    shared: Option<Arc<Shared>>,
    thread: Option<JoinHandle<()>>,
}

impl Spinner {
    /// Starts a spinner, if stderr is a terminal that can erase a line.
    pub(crate) fn start(world: &World, label: &str) -> Self {
        if !out::is_stderr_terminal() || !is_capable(world) || world::is_quiet() {
            return Self { shared: None, thread: None };
        }
        let state = SpinnerState {
            label: label.to_owned(),
            begun: Instant::now(),
            is_hidden: false,
            is_drawn: false,
            is_over: false,
            frame: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let frames: &'static [&'static str] = if is_unicode(world) {
            &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]
        } else {
            &["|", "/", "-", "\\"]
        };
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(move || draw(&own, frames)).ok();
        Self { shared: Some(shared), thread }
    }

    /// Whether a line is drawn.
    pub(crate) fn is_shown(&self) -> bool {
        self.shared.is_some()
    }

    /// Names the present work; its time begins now.
    pub(crate) fn label(&self, label: &str) {
        if let Some(shared) = &self.shared {
            let mut state = lock(shared);
            erase(&mut state);
            (state.label, state.begun, state.is_hidden) = (label.to_owned(), Instant::now(), false);
        }
    }

    /// Replaces the text and keeps the time, for counts.
    pub(crate) fn count(&self, label: &str) {
        if let Some(shared) = &self.shared {
            label.clone_into(&mut lock(shared).label);
        }
    }

    /// Erases the line, so that something can be printed. It is drawn again at the next tick, unless it is hidden.
    pub(crate) fn clear(&self) {
        if let Some(shared) = &self.shared {
            erase(&mut lock(shared));
        }
    }

    /// Erases the line until the next label: the cursor is within a line of text.
    pub(crate) fn hide(&self, is_hidden: bool) {
        if let Some(shared) = &self.shared {
            let mut state = lock(shared);
            erase(&mut state);
            state.is_hidden = is_hidden;
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            let mut state = lock(shared);
            erase(&mut state);
            state.is_over = true;
            drop(state);
            shared.changed.notify_all();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, SpinnerState> {
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn erase(state: &mut SpinnerState) {
    if std::mem::take(&mut state.is_drawn) {
        out::status_line(ERASE);
    }
}

fn draw(shared: &Shared, frames: &[&str]) {
    let mut state = lock(shared);
    while !state.is_over {
        let (next, _) = shared.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner);
        state = next;
        let elapsed = state.begun.elapsed();
        if state.is_over || state.is_hidden || elapsed < PATIENCE {
            continue;
        }
        state.frame += 1;
        let frame = frames[state.frame % frames.len()];
        let line = fitted(&format!("{frame} {} s  {}", elapsed.as_secs(), row(&state.label)), out::stderr_width());
        // The cursor stays at the beginning, so that a message of another part of the program overwrites the line.
        out::status_line(&format!("{ERASE}{line}\r"));
        state.is_drawn = true;
    }
}

/// The text, cut to the width: a line that wraps could not be erased.
fn fitted(text: &str, width: usize) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if columns(&shown) + columns(c.encode_utf8(&mut [0; 4])) >= width {
            break;
        }
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::fitted;

    #[test]
    fn line_is_shorter_than_the_terminal() {
        assert_eq!(fitted("abcdef", 4), "abc");
        assert_eq!(fitted("日本語", 6), "日本");
        assert_eq!(fitted("abc", 80), "abc");
    }
}
