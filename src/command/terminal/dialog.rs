//! Questions to the user on a terminal. Prompts go to stderr, so that stdout has results only.

use crate::command::terminal::out;
use crate::core::fault::{Fault, Kind, Result};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{ErrorKind, Read};

/// The longest line, in bytes.
const MAX_LINE: usize = 16 << 10;

/// Whether a user can be asked: stdin is a terminal.
#[must_use]
pub(crate) fn can_ask() -> bool {
    out::is_typed()
}

/// Asks for a line; Enter alone is `default`. `None` at the end of the input.
///
/// # Errors
/// If the terminal cannot be read.
pub(crate) fn line(prompt: &str, default: &str) -> Result<Option<String>> {
    let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
    out::prompt(&format!("{prompt}{shown}: "));
    let Some(line) = read_line(&mut stdin()?)? else { return Ok(None) };
    let line = line.trim();
    Ok(Some(if line.is_empty() { default.to_owned() } else { line.to_owned() }))
}

/// As [`line`]; the end of the input leaves the command.
///
/// # Errors
/// `Usage` at the end of the input; if the terminal cannot be read.
pub(crate) fn need(prompt: &str, default: &str) -> Result<String> {
    line(prompt, default)?.ok_or_else(left)
}

/// The fault of a user who has left a dialog. Nothing was changed.
pub(crate) fn left() -> Fault {
    Fault::new(Kind::Failed, "left without a change")
}

/// Asks a question with yes or no; other answers are asked again.
///
/// # Errors
/// As [`need`].
pub(crate) fn yes(prompt: &str, default: bool) -> Result<bool> {
    loop {
        out::prompt(&format!("{prompt} [{}] ", if default { "Y/n" } else { "y/N" }));
        let answer = read_line(&mut stdin()?)?.ok_or_else(left)?;
        match &answer.trim().to_lowercase()[..] {
            "" => return Ok(default),
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => {}
        }
    }
}

/// Asks for a text that is not shown. Ctrl-U and Backspace correct it; the terminal's mode is restored at the end.
///
/// # Errors
/// `Failed` if the user leaves with Ctrl-C or Ctrl-D; if the terminal cannot be read.
pub(crate) fn secret(prompt: &str) -> Result<String> {
    let (mut input, terminal) = (stdin()?, stdin()?);
    // Before the prompt, so that nothing of a key that is typed at once is shown.
    let hidden = Hidden::begin(&terminal)?;
    out::prompt(prompt);
    let mut text: Vec<u8> = Vec::new();
    let typed = loop {
        match byte(&mut input) {
            Err(fault) => break Err(fault),
            // The end, Ctrl-C, Ctrl-D.
            Ok(None | Some(3 | 4)) => break Err(left()),
            Ok(Some(b'\r' | b'\n')) => break Ok(()),
            Ok(Some(8 | 127)) => drop(text.pop()),
            Ok(Some(21)) => text.clear(),
            Ok(Some(byte)) if text.len() < MAX_LINE => text.push(byte),
            Ok(Some(_)) => {}
        }
    };
    drop(hidden);
    out::prompt("\n");
    typed?;
    String::from_utf8(text).map_err(|_| Fault::data("this is no key: it is not UTF-8"))
}

/// A terminal without echo, line editing and signals, until this is dropped.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn begin(terminal: &'a File) -> Result<Self> {
        let fault = |e| Fault::new(Kind::Machine, format!("the terminal cannot hide a key: {e}"));
        let before = tcgetattr(terminal).map_err(fault)?;
        let mut mode = before.clone();
        mode.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        mode.special_codes[SpecialCodeIndex::VMIN] = 1;
        mode.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Now, &mode).map_err(fault)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

fn stdin() -> Result<File> {
    out::stdin_file().map(File::from)
}

/// A line without its end; `None` at the end of the input. Bytes are read one by one, so that none of the next line is
/// lost.
fn read_line(input: &mut File) -> Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        match byte(input)? {
            None if line.is_empty() => return Ok(None),
            None | Some(b'\n') => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
            Some(byte) if line.len() < MAX_LINE => line.push(byte),
            Some(_) => {}
        }
    }
}

fn byte(input: &mut File) -> Result<Option<u8>> {
    let mut byte = [0];
    loop {
        match input.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(Fault::new(Kind::Failed, format!("the terminal cannot be read: {e}"))),
        }
    }
}
