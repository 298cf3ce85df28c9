//! Printing: results on stdout, everything else on stderr. A reader that has gone ends us quietly.

use crate::core::event::id::Id;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::bounded_lines::{BoundedLine, Lines};
use crate::stage::outcome::{EventOutcome, Outcome};
use crate::store::queue::locate;
use crate::store::workspace::Workspace;
use crate::world::World;
use std::collections::HashSet;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};

/// Prints one line.
///
/// # Errors
/// `Closed` where nobody reads it any more.
pub fn line(text: &str) -> Result<()> {
    raw(&format!("{text}\n"))
}

/// Prints text as it is, at once.
///
/// # Errors
/// `Closed` where nobody reads it any more.
pub fn raw(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|e| match e.kind() {
        ErrorKind::BrokenPipe => Fault::new(Kind::Closed, "nobody reads stdout"),
        _ => Fault::new(Kind::Machine, format!("cannot write to stdout: {e}")),
    })
}

/// Prints a value as one line of JSON.
///
/// # Errors
/// `Closed` where nobody reads it any more.
pub fn json(value: &impl serde::Serialize) -> Result<()> {
    line(&serde_json::to_string(value).map_err(|e| Fault::data(e.to_string()))?)
}

/// Tells the person something.
pub fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "claw: {text}");
}

/// Tells of an outcome that is not fine, and returns what it means for the exit code.
#[must_use]
pub fn report(outcome: &Outcome) -> u8 {
    let id = outcome.id.short();
    match &outcome.state {
        EventOutcome::Done(_) => 0,
        EventOutcome::Waiting(due, fault) => {
            tell(&format!("{id} waits until {}: {fault}", crate::world::local(*due)));
            75
        }
        EventOutcome::Failed(fault) => {
            tell(&format!("{id} failed: {fault}"));
            1
        }
        EventOutcome::GivenBack(fault) if fault.kind == Kind::Closed => 0,
        EventOutcome::GivenBack(fault) => {
            tell(&format!("{id} is as it was: {fault}"));
            75
        }
    }
}

/// The ids that were given: as arguments, or one per line on stdin where the argument is `-`. `each`
/// is called as they come, once for an event: a file and its reason, say, are one. What cannot be done with one is
/// told, also that it means no event. The exit code.
///
/// # Errors
/// As [`words`].
pub fn ids(workspace: &Workspace, arguments: &[String], mut each: impl FnMut(Id) -> Result<()>) -> Result<u8> {
    let mut seen = HashSet::new();
    words(arguments, |text| {
        let id = locate::resolve(workspace, text)?;
        if seen.insert(id.clone()) { each(id) } else { Ok(()) }
    })
}

/// What was given: the arguments, or one per line on stdin where the argument is `-`. `each` is called as they
/// come; what cannot be done with one is told, and the others are done. The exit code is the worst of theirs.
///
/// # Errors
/// Where stdin cannot be read; the machine's trouble, and where nobody reads stdout any more.
pub fn words(arguments: &[String], mut each: impl FnMut(&str) -> Result<()>) -> Result<u8> {
    let mut code = 0;
    let mut take = |text: &str| match each(text) {
        Err(io_fault) if matches!(io_fault.kind, Kind::Machine | Kind::Closed) => Err(io_fault),
        Err(io_fault) => {
            fault(&io_fault);
            code = code.max(io_fault.exit_code());
            Ok(())
        }
        Ok(()) => Ok(()),
    };
    for argument in arguments {
        if argument != "-" {
            take(argument)?;
            continue;
        }
        for text in io::stdin().lock().lines() {
            let text = text.map_err(|e| Fault::data(format!("stdin: {e}")))?;
            if !text.trim().is_empty() {
                take(text.trim())?;
            }
        }
    }
    Ok(code)
}

/// The text that was given: the arguments, or stdin where they are `-`.
///
/// # Errors
/// `Usage` where there is none, or `-` is not alone; `Data` where it is not UTF-8 or too long.
pub fn text(arguments: &[String]) -> Result<String> {
    let text = match arguments {
        [dash] if dash == "-" => stdin()?,
        [dash, ..] if dash == "-" => {
            let hint =
                "claw ask puts what is piped in behind the words; a text that begins with a dash is quoted whole";
            return Err(Fault::new(Kind::Usage, "- is stdin, and stands alone").hint(hint));
        }
        words => words.join(" "),
    };
    if text.trim().is_empty() {
        return Err(Fault::new(Kind::Usage, "there is no text").hint("give it as an argument, or - to read stdin"));
    }
    Ok(text)
}

/// All of stdin, at most what an event may have.
///
/// # Errors
/// `Data` where it is not UTF-8 or too long.
pub fn stdin() -> Result<String> {
    let bytes = stdin_bytes(crate::core::event::MAX_BYTES / 2)?;
    String::from_utf8(bytes)
        .map_err(|e| Fault::data(format!("stdin is not UTF-8 at byte {}", e.utf8_error().valid_up_to())))
}

/// All of stdin, at most `limit` bytes.
///
/// # Errors
/// `Data` where it is longer.
pub fn stdin_bytes(limit: u64) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|e| Fault::data(format!("stdin: {e}")))?;
    if bytes.len() as u64 > limit {
        return Err(Fault::data(format!("stdin has more than {limit} bytes")).hint("put it into files/ and name it"));
    }
    Ok(bytes)
}

/// Shows each line of stdin to `take`, until that says that it has had enough; one that no event could hold or
/// that is not UTF-8 is shown as a fault.
///
/// # Errors
/// Where stdin cannot be read; what `take` says.
pub fn lines(mut take: impl FnMut(Result<String>) -> Result<bool>) -> Result<()> {
    let most = usize::try_from(crate::core::event::MAX_BYTES / 2).unwrap_or(usize::MAX);
    let mut lines = Lines::new(io::stdin().lock(), u64::MAX, most);
    let mut line = Vec::new();
    loop {
        let read = lines.next(&mut line).map_err(|e| Fault::data(format!("stdin: {e}")))?;
        let text = match read {
            BoundedLine::End | BoundedLine::Spent => return Ok(()),
            BoundedLine::Cut => Err(Fault::data(format!("a line has more than {most} bytes"))),
            BoundedLine::Whole => String::from_utf8(std::mem::take(&mut line))
                .map_err(|e| Fault::data(format!("a line is not UTF-8 at byte {}", e.utf8_error().valid_up_to()))),
        };
        if !take(text)? {
            return Ok(());
        }
    }
}

/// Tells of a fault, and the way out.
pub fn fault(fault: &Fault) {
    tell(&fault.message);
    if let Some(hint) = &fault.hint {
        aside(&format!("      {hint}"));
    }
}

/// Prints a line beside the result, on stderr.
pub fn aside(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The text with nothing in it that a terminal acts on or that shows other than it stands: what somebody
/// else has written is seen as it is. Line breaks and tabs stay.
#[must_use]
pub fn plain(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t')
            || matches!(u32::from(c), 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x2069 | 0xfeff | 0xe0000..=0xe007f)
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

/// As [`plain`], in one line: a line break too is seen as what it is.
#[must_use]
pub fn row(text: &str) -> String {
    plain(text).replace('\n', "\\n")
}

/// The text with nothing in it that a terminal acts on: what a model says may be what somebody else has
/// written. Line breaks, tabs and everything that is shown stay.
#[must_use]
pub fn tame(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && !matches!(c, '\n' | '\t') { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

/// What makes a terminal show text less bright, and bright again (ECMA-48, 8.3.117).
pub const DIM: &str = "\x1b[2m";
/// The end of [`DIM`].
pub const BRIGHT: &str = "\x1b[0m";

/// Whether stdout may have colours: a terminal, and nobody has said no (<https://no-color.org>).
#[must_use]
pub fn has_colour(world: &World) -> bool {
    is_terminal() && world.var("NO_COLOR").is_none()
}

/// Whether a person types what stands on stdin.
#[must_use]
pub fn is_typed() -> bool {
    io::stdin().is_terminal()
}

/// Whether a person sees stdout.
#[must_use]
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::{plain, row};

    #[test]
    fn what_a_terminal_would_act_on_is_shown_instead() {
        assert_eq!(plain("a\tb\nä 猫"), "a\tb\nä 猫");
        assert_eq!(plain("rm -rf x\r\x1b[2Kls"), "rm -rf x\\u{d}\\u{1b}[2Kls");
        assert_eq!(plain("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(row("ls\n\rrm"), "ls\\n\\u{d}rm");
    }
}
