//! Printing: results on stdout, messages on stderr. If the reader of stdout has ended, the command ends without a
//! message.
//!
//! No control character of a foreign text (a file's name, a message, an answer, a server's error) reaches a terminal:
//! reports and messages are escaped here, contents where stdout is a terminal, and only [`raw`] prints a text unchanged.

use crate::core::event::id::Id;
use crate::core::fault::{Cause, Fault, Kind, Result};
use crate::core::text::bounded_lines::{BoundedLine, Lines};
use crate::core::text::visible;
pub use crate::core::text::visible::{escape_controls, plain, row};
use crate::process::interactive;
use crate::stage::outcome::{EventOutcome, Outcome};
use crate::store::queue::locate;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::State;
use crate::world::{self, World};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::tcgetwinsize;
use std::collections::HashSet;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Prints a line of a report, escaped as [`plain`], into a pipe too: `claw status | head` ends at a terminal.
///
/// # Errors
/// `Closed` if stdout is closed.
pub fn line(text: &str) -> Result<()> {
    raw(&format!("{}\n", plain(text)))
}

/// Prints lines of a report, escaped as [`plain`]; in `$CLAW_PAGER` or `$PAGER`, else `less`, if they are more than the
/// terminal shows.
///
/// # Errors
/// `Closed` if stdout is closed.
pub fn paged(world: &World, lines: &[String]) -> Result<()> {
    let pager = ["CLAW_PAGER", "PAGER"].into_iter().find_map(|name| world.var(name)).unwrap_or("less");
    let is_long = is_terminal() && is_typed() && terminal_height().is_some_and(|rows| lines.len() >= rows);
    if is_long && pager != "cat" && world.var("TERM").is_some_and(|term| term != "dumb") {
        let text: String = lines.iter().map(|line| plain(line) + "\n").collect();
        if interactive::page(pager, &text) {
            return Ok(());
        }
    }
    lines.iter().try_for_each(|text| line(text))
}

/// Prints the content of a message or a file: unchanged for a program, escaped as [`escape_controls`] on a terminal.
///
/// # Errors
/// `Closed` if stdout is closed.
pub fn content(text: &str) -> Result<()> {
    if is_terminal() { raw(&escape_controls(text)) } else { raw(text) }
}

/// Prints unchanged text and flushes it: text of this program, or one that is escaped already.
///
/// # Errors
/// `Closed` if stdout is closed.
pub fn raw(text: &str) -> Result<()> {
    let closed = || Fault::new(Kind::Closed, "stdout is closed");
    if WAS_CLOSED.load(Ordering::Relaxed) {
        return Err(closed());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|e| match e.kind() {
        ErrorKind::BrokenPipe => closed(),
        _ => Fault::new(Kind::Machine, format!("cannot write to stdout: {e}")),
    })
}

/// Stdout was closed when the process began.
static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Records whether stdout is closed. It must run before the standard library starts: that replaces a closed stdout by
/// `/dev/null`, which would accept every answer.
pub extern "C" fn note_closed_stdout() {
    WAS_CLOSED.store(rustix::io::fcntl_getfd(io::stdout()).is_err(), Ordering::Relaxed);
}

/// The fault for the user if an answer could not be printed: it was not delivered (exit 1). Other faults are unchanged.
#[must_use]
pub fn answer_stays(fault: Fault) -> Fault {
    if fault.cause != Some(Cause::Unprinted) || fault.kind == Kind::Failed {
        return fault;
    }
    let message = format!("the answer was not delivered: {}", fault.message);
    Fault { kind: Kind::Failed, message, ..fault }.hint("it stays in outbox/ready; claw deliver prints it")
}

/// Prints a value as one line of JSON.
///
/// # Errors
/// `Closed` if stdout is closed.
pub fn json(value: &impl serde::Serialize) -> Result<()> {
    json_lines(&(serde_json::to_string(value).map_err(|e| Fault::data(e.to_string()))? + "\n"))
}

/// Prints lines of JSON, without the control characters that JSON permits.
///
/// # Errors
/// `Closed` if stdout is closed.
pub fn json_lines(text: &str) -> Result<()> {
    raw(&visible::json(text))
}

/// Prints a message on stderr, unless `--quiet` was given.
pub fn message(text: &str) {
    if !world::is_quiet() {
        error(text);
    }
}

/// Prints an error on stderr.
fn error(text: &str) {
    let _ = writeln!(io::stderr(), "claw: {}", visible::message(text));
}

/// Prints a message about an event that is not done; returns its exit code.
#[must_use]
pub fn report_outcome(outcome: &Outcome) -> u8 {
    let id = outcome.id.short();
    match &outcome.state {
        EventOutcome::Done(_) => 0,
        EventOutcome::Waiting(due, fault) => {
            error(&format!("{id} waits until {}: {fault}", world::local(*due)));
            75
        }
        EventOutcome::Failed(fault) => {
            error(&format!("{id} failed: {fault}"));
            1
        }
        // The command reports it once for all events.
        EventOutcome::GivenBack(fault) if fault.cause == Some(Cause::Unprinted) => 1,
        EventOutcome::GivenBack(fault) if fault.kind == Kind::Closed => 0,
        EventOutcome::GivenBack(fault) => {
            error(&format!("{id} is unchanged: {fault}"));
            75
        }
    }
}

/// Calls `each` once for each event of the arguments; `-` stands for one id or path per line on stdin. Two paths of one
/// event (a file and its reason) count once. A fault is printed and the others are processed. Returns the exit code.
///
/// # Errors
/// As [`each_argument`].
pub fn each_event(workspace: &Workspace, arguments: &[String], mut each: impl FnMut(Id) -> Result<()>) -> Result<u8> {
    let mut seen = HashSet::new();
    each_argument(arguments, |text| {
        let id = locate::resolve(workspace, text)?;
        if seen.insert(id.clone()) { each(id) } else { Ok(()) }
    })
}

/// The ids of all events in these states, as arguments.
///
/// # Errors
/// If a folder cannot be listed.
pub fn all_in(workspace: &Workspace, states: &[State]) -> Result<Vec<String>> {
    Ok(locate::in_states(workspace, states)?.iter().map(ToString::to_string).collect())
}

/// Calls `each` for each argument; `-` stands for the lines of stdin, which are processed as they arrive. A fault is
/// printed and the others are processed. Returns the largest exit code.
///
/// # Errors
/// If stdin cannot be read; `Machine` and `Closed` faults of `each`.
pub fn each_argument(arguments: &[String], mut each: impl FnMut(&str) -> Result<()>) -> Result<u8> {
    let mut code = 0;
    let mut take = |text: &str| match each(text) {
        Err(fault) if matches!(fault.kind, Kind::Machine | Kind::Closed) => Err(fault),
        Err(fault) => {
            print_fault(&fault);
            code = code.max(fault.exit_code());
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

/// The text of the arguments, or of stdin if the only argument is `-`.
///
/// # Errors
/// `Usage` for an empty text, or if `-` is not the only argument; `Data` if stdin is not UTF-8 or too long.
pub fn text(arguments: &[String]) -> Result<String> {
    let text = match arguments {
        [dash] if dash == "-" => stdin()?,
        [dash, ..] if dash == "-" => {
            let hint =
                "claw ask appends piped input to its arguments; quote a text that begins with a dash as one argument";
            return Err(Fault::new(Kind::Usage, "`-` (stdin) cannot be combined with other arguments").hint(hint));
        }
        words => words.join(" "),
    };
    if text.trim().is_empty() {
        return Err(Fault::new(Kind::Usage, "there is no text").hint("give it as an argument, or `-` to read stdin"));
    }
    Ok(text)
}

/// The file that is this process's stdin.
///
/// # Errors
/// If the process is out of descriptors.
pub fn stdin_file() -> Result<OwnedFd> {
    let own = io::stdin().as_fd().try_clone_to_owned();
    own.map_err(|e| Fault::new(Kind::Machine, format!("cannot use stdin: {e}")))
}

/// All of stdin, at most half of the largest event.
///
/// # Errors
/// `Data` if it is not UTF-8 or too long.
pub fn stdin() -> Result<String> {
    text_of(stdin_bytes(crate::core::event::MAX_BYTES / 2)?)
}

/// All of stdin, as [`stdin`]. If it does not end within `patience`, `on_slow` is called once, before the wait goes on.
///
/// # Errors
/// As [`stdin`].
pub fn stdin_patiently(patience: Duration, on_slow: &dyn Fn()) -> Result<String> {
    let (mut bytes, begun, mut is_told) = (Vec::new(), Instant::now(), false);
    let file = std::fs::File::from(stdin_file()?);
    let limit = crate::core::event::MAX_BYTES / 2;
    while bytes.len() as u64 <= limit {
        let left = patience.saturating_sub(begun.elapsed());
        if !is_told && !is_readable(&file, left)? {
            is_told = true;
            on_slow();
        }
        let mut chunk = [0; 8 << 10];
        match (&file).read(&mut chunk) {
            Ok(0) => return text_of(bytes),
            Ok(length) => bytes.extend_from_slice(&chunk[..length]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(Fault::data(format!("stdin: {e}"))),
        }
    }
    Err(too_much(limit))
}

/// Whether a file has bytes, or has ended, within this time.
fn is_readable(file: &std::fs::File, within: Duration) -> Result<bool> {
    let mut waits = [PollFd::new(file, PollFlags::IN)];
    let limit =
        Timespec { tv_sec: i64::try_from(within.as_secs()).unwrap_or(i64::MAX), tv_nsec: within.subsec_nanos().into() };
    match poll(&mut waits, Some(&limit)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(true),
        Err(e) => Err(Fault::new(Kind::Machine, format!("cannot wait for stdin: {e}"))),
    }
}

fn text_of(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes)
        .map_err(|e| Fault::data(format!("stdin is not UTF-8 at byte {}", e.utf8_error().valid_up_to())))
}

fn too_much(limit: u64) -> Fault {
    Fault::data(format!("stdin has more than {limit} bytes")).hint("put it into a file below files/ and name that")
}

/// All of stdin, at most `limit` bytes.
///
/// # Errors
/// `Data` if it is longer.
pub fn stdin_bytes(limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|e| Fault::data(format!("stdin: {e}")))?;
    if bytes.len() as u64 > limit {
        return Err(too_much(limit));
    }
    Ok(bytes)
}

/// Calls `take` with each line of stdin until it returns false. A line that is not UTF-8 or too long for an event is
/// passed as a fault.
///
/// # Errors
/// If stdin cannot be read; the errors of `take`.
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

/// Prints a fault and its hint on stderr.
pub fn print_fault(fault: &Fault) {
    error(&fault.message);
    if let Some(hint) = &fault.hint {
        stderr_line(&format!("      {}", visible::message(hint)));
    }
}

/// Prints a question on stderr, without a line end.
pub fn prompt(text: &str) {
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{}", plain(text)).and_then(|()| stderr.flush());
}

/// Prints a line on stderr, without the program's name.
pub fn stderr_line(text: &str) {
    let _ = writeln!(io::stderr(), "{}", plain(text));
}

/// As [`stderr_line`], dimmed.
pub fn dimmed_stderr_line(text: &str) {
    let _ = writeln!(io::stderr(), "{DIM}{}{BRIGHT}", plain(text));
}

/// The escape sequence for dimmed text (ECMA-48, 8.3.117).
pub const DIM: &str = "\x1b[2m";
/// The end of [`DIM`].
pub const BRIGHT: &str = "\x1b[0m";

/// Draws on the last line of a terminal at stderr: text of this program, with escape sequences.
pub fn status_line(text: &str) {
    let mut stderr = io::stderr();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// The width of the terminal at stdout, in columns, if it has one.
#[must_use]
pub fn terminal_width() -> Option<usize> {
    width_of(io::stdout().as_fd())
}

/// The width of the terminal at stderr, in columns; 80 if it has none.
#[must_use]
pub fn stderr_width() -> usize {
    width_of(io::stderr().as_fd()).unwrap_or(80)
}

fn width_of(stream: BorrowedFd) -> Option<usize> {
    let size = tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// The height of the terminal at stdout, in lines, if it has one.
#[must_use]
pub fn terminal_height() -> Option<usize> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_row)).filter(|rows| *rows > 0)
}

/// Whether stderr is a terminal.
#[must_use]
pub fn is_stderr_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether stdin is a terminal.
#[must_use]
pub fn is_typed() -> bool {
    io::stdin().is_terminal()
}

/// Whether stdout is a terminal.
#[must_use]
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}
