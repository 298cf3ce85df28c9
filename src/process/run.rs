//! Starting the watcher of a program and collecting the program's result.

use super::output::{self, OutputEnd, ProgramOutput};
use super::sandbox::{OpenedSandbox, Sandbox, WatchedSandbox};
use super::{CANNOT_RUN, CONTROL_FD, INSIDE, Invocation, Launch, NOT_FOUND, TIMED_OUT, WATCH};
use crate::core::fault::{Fault, Kind, Result};
use command_fds::{CommandFdExt, FdMapping};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a program to its end, and passes its stdout to `on_output` as it arrives.
///
/// # Errors
/// As [`super::run`].
pub fn run_streaming(run: Invocation, on_output: &mut dyn FnMut(&[u8])) -> Result<ProgramOutput> {
    let Invocation { command, dir, env, inherits, sandbox, input: text, timeout, max_output, locks, stop } = run;
    let name = command.first().cloned().unwrap_or_default();
    let begun = Instant::now();
    let program = Launch { command, dir, env, inherits, sandbox, locks };
    let (mut child, hold) = spawn(program, timeout, [Stdio::piped(), Stdio::piped(), Stdio::piped()])?;
    let mut hold = Some(hold);
    let (input, mut output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let thread = || std::thread::Builder::new().stack_size(128 << 10);
    let writer = thread().spawn(move || {
        // A program need not read all of its input.
        let _ = input.map(|mut pipe| pipe.write_all(&text));
    });
    let reader = thread().spawn(move || output::read_tail(errors));
    let (Ok(writer), Ok(reader)) = (writer, reader) else {
        drop(hold.take());
        let _ = child.wait();
        return Err(no_process(&name, &"no thread can be made"));
    };
    let limit = max_output;
    let (mut stdout, end) =
        output.as_mut().map_or_else(Default::default, |pipe| output::read(pipe, limit, stop, on_output));
    let mut aborted = match end {
        OutputEnd::TooMuch => Some(format!("`{name}` wrote more than {limit} bytes")),
        OutputEnd::Closed if !output::is_stopped_first(&child, stop) => None,
        OutputEnd::Closed | OutputEnd::Stopped => Some(format!("`{name}` was stopped")),
    }
    .map(|why| Fault::new(Kind::Failed, why));
    stdout.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    if aborted.is_some() {
        // Closes this end of the control pipe: the watcher kills the program.
        hold.take();
    }
    drop(output);
    let status = child.wait().map_err(|e| no_process(&name, &e))?;
    drop(hold);
    let _ = writer.join();
    let stderr = reader.join().unwrap_or_default();
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    if let (NOT_FOUND, Some(why)) = (code, stderr.strip_prefix(CANNOT_RUN)) {
        return Err(Fault::config(format!("cannot run `{name}`: {}", why.trim_end())));
    }
    if code == TIMED_OUT && begun.elapsed() >= timeout {
        aborted = aborted.or(Some(Fault::new(Kind::Unavailable, format!("`{name}` did not end within {timeout:?}"))));
    }
    Ok(ProgramOutput { code, stdout, stderr, aborted })
}

fn no_process(name: &str, error: &dyn std::fmt::Display) -> Fault {
    Fault::new(Kind::Machine, format!("cannot start `{name}`: {error}"))
}

/// Starts the watcher of a program with these stdin, stdout and stderr. It kills the program after `timeout`, and when
/// the returned pipe is closed.
///
/// # Errors
/// As [`super::run`].
pub(super) fn spawn(program: Launch, timeout: Duration, streams: [Stdio; 3]) -> Result<(Child, OwnedFd)> {
    let name = program.command.first().cloned().unwrap_or_default();
    let no_process = |e: &dyn std::fmt::Display| no_process(&name, e);
    let (control, hold) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| no_process(&e))?;
    let opened = program.sandbox.map(Sandbox::open).transpose();
    let opened =
        opened.map_err(|fault| Fault { message: format!("cannot run `{name}`: {}", fault.message), ..fault })?;
    let mut command = watcher_command(&program, timeout, opened.as_ref());
    let [stdin, stdout, stderr] = streams;
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    let ruleset = opened.and_then(|sandbox| sandbox.ruleset);
    let passed = std::iter::once(control).chain(ruleset).chain(program.locks).zip(CONTROL_FD..);
    let mappings = passed.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).collect();
    command.fd_mappings(mappings).map_err(|e| no_process(&e))?;
    let child = command.spawn().map_err(|e| match e.raw_os_error() {
        Some(libc::E2BIG) => Fault::config(format!("cannot run `{name}`: its arguments and environment are too long")),
        // Another argument would be run, so this is no fault of the machine.
        _ if e.kind() == std::io::ErrorKind::InvalidInput => {
            Fault::data(format!("cannot run `{name}`: an argument contains a NUL character (\\0)"))
        }
        _ => no_process(&e),
    })?;
    // The end of this function drops the command, which owns this process's copies of the mapped descriptors.
    Ok((child, hold))
}

/// The command of the watcher.
fn watcher_command(program: &Launch, timeout: Duration, sandbox: Option<&OpenedSandbox>) -> Command {
    let mut command = Command::new("/proc/self/exe");
    let [milliseconds, locks] = [timeout.as_millis().to_string(), program.locks.len().to_string()];
    command.arg(WATCH).args([milliseconds, locks, WatchedSandbox::to_argument(sandbox.map(|sandbox| sandbox.watched))]);
    let visible = sandbox.map(|sandbox| &*sandbox.visible).unwrap_or_default();
    command.arg(visible.len().to_string()).args(visible);
    command.args(program.command).current_dir(program.dir);
    if !program.inherits {
        command.env_clear();
    }
    command.envs(program.env.iter().map(|(k, v)| (k, v))).env(INSIDE, "1");
    // Signals of the terminal do not reach the watcher, which ends when this process does.
    command.process_group(0);
    command
}

/// Replaces this process with a program, in the same folder and terminal, as `exec` in a shell. Returns only on
/// failure, with the reason.
#[must_use]
pub fn exec(command: &[String], env: &[(&str, &str)]) -> Fault {
    let [program, arguments @ ..] = command else { return Fault::new(Kind::Usage, "there is no command") };
    let error = Command::new(program).args(arguments).envs(env.iter().copied()).exec();
    Fault::new(Kind::Failed, format!("cannot run `{program}`: {error}"))
}
