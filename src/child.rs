//! Running a program: bounded in time and output, and never longer than we live.
//!
//! Between us and the program stands a watcher, this same binary: it adopts every descendant
//! (`PR_SET_CHILD_SUBREAPER`), inherits the lane's lock, and when the program ends, its time is up,
//! or we are gone, it kills them all before it lets go. So nothing that a killed worker had started
//! goes on beside whoever resumes its work.

use crate::core::fault::{Fault, Kind, Result};
use command_fds::{CommandFdExt, FdMapping};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The hidden argument that makes this binary a watcher.
pub const WATCH: &str = "__watch";
/// The exit code of a watcher whose program ran out of time (as `timeout(1)`).
const TIMED_OUT: i32 = 124;
/// The exit code of a watcher whose program cannot be run (as the shell's).
const NOT_FOUND: i32 = 127;
/// What a watcher complains with when it cannot run the program at all.
const CANNOT: &str = "claw: cannot run it: ";
/// Set in the environment of every program that is run: `ask` inside of one would wait for itself.
pub const INSIDE: &str = "CLAW_INSIDE";
const CONTROL_FD: i32 = 3;

/// What shall be run.
#[derive(Debug)]
pub struct Program<'a> {
    /// The program and its arguments; no shell is between.
    pub command: &'a [String],
    /// Where.
    pub dir: &'a Path,
    /// More environment.
    pub env: &'a [(&'a str, String)],
    /// What it reads.
    pub input: Vec<u8>,
    /// How long it may run.
    pub timeout: Duration,
    /// How much it may write, in bytes.
    pub max_output: u64,
    /// The locks of the lane and its slots, which the watcher holds on to.
    pub locks: Vec<OwnedFd>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; 128 and the signal where one ended it.
    pub code: i32,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// The last line that it complained with.
    pub complaint: String,
}

/// Runs a program to its end.
///
/// # Errors
/// `Config` where it cannot be run, `Unavailable` where its time was up, `Failed` where it wrote too
/// much, `Machine` where no process can be made.
pub fn run(program: Program) -> Result<Ended> {
    let name = program.command.first().cloned().unwrap_or_default();
    let no_process = |e: &dyn std::fmt::Display| Fault::new(Kind::Machine, format!("cannot start `{name}`: {e}"));
    let (control, hold) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| no_process(&e))?;
    let mut command = Command::new("/proc/self/exe");
    let (milliseconds, locks) = (program.timeout.as_millis().to_string(), program.locks.len().to_string());
    command.args([WATCH, &milliseconds, &locks]).args(program.command).current_dir(program.dir);
    command.envs(program.env.iter().map(|(k, v)| (k, v))).env(INSIDE, "1");
    // What the terminal says to us is not said to the watcher, which ends when we do.
    command.process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let handed = std::iter::once(control).chain(program.locks).zip(CONTROL_FD..);
    let mappings = handed.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).collect();
    command.fd_mappings(mappings).map_err(|e| no_process(&e))?;
    let begun = Instant::now();
    let mut child = command.spawn().map_err(|e| no_process(&e))?;
    // The command holds our copies of what was mapped.
    drop(command);
    let (input, mut output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let thread = || std::thread::Builder::new().stack_size(128 << 10);
    let writer = thread().spawn(move || input.map(|mut pipe| pipe.write_all(&program.input)));
    let reader = thread().spawn(move || last_line(errors));
    let (Ok(writer), Ok(reader)) = (writer, reader) else {
        drop(hold);
        let _ = child.wait();
        return Err(no_process(&"no thread can be made"));
    };
    let mut stdout = Vec::new();
    let limit = program.max_output;
    if let Some(pipe) = &mut output {
        let _ = pipe.take(limit + 1).read_to_end(&mut stdout);
    }
    let is_too_much = stdout.len() as u64 > limit;
    if is_too_much {
        // Our end of the control pipe closes: the watcher ends everything.
        drop(hold);
        drop(output);
        let _ = child.wait();
        return Err(Fault::new(Kind::Failed, format!("`{name}` wrote more than {limit} bytes")));
    }
    let status = child.wait().map_err(|e| no_process(&e))?;
    drop(hold);
    let _ = writer.join();
    let complaint = reader.join().unwrap_or_default();
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    match code {
        NOT_FOUND if complaint.starts_with(CANNOT) => {
            Err(Fault::config(format!("cannot run `{name}`: {}", &complaint[CANNOT.len()..])))
        }
        TIMED_OUT if begun.elapsed() >= program.timeout => {
            Err(Fault::new(Kind::Unavailable, format!("`{name}` did not end within {:?}", program.timeout)))
        }
        code => Ok(Ended { code, stdout, complaint }),
    }
}

/// The last line that is not empty; the pipe is read to its end, at most a kibibyte is kept.
fn last_line(pipe: Option<impl Read>) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0u8; 4096];
    if let Some(mut pipe) = pipe {
        while let Ok(n @ 1..) = pipe.read(&mut buffer) {
            kept.extend_from_slice(&buffer[..n]);
            let excess = kept.len().saturating_sub(1024);
            kept.drain(..excess);
        }
    }
    let text = String::from_utf8_lossy(&kept);
    text.lines().rev().map(str::trim_end).find(|l| !l.is_empty()).unwrap_or_default().to_owned()
}

/// The watcher: `claw __watch MILLISECONDS LOCKS PROGRAM…`, with a pipe whose end is ours as descriptor
/// 3, and as many locks behind it. Returns the exit code.
#[must_use]
pub fn watch(arguments: &[String]) -> u8 {
    let code = watched(arguments).unwrap_or_else(|complaint| {
        let _ = writeln!(std::io::stderr(), "{CANNOT}{complaint}");
        NOT_FOUND
    });
    u8::try_from(code).unwrap_or(1)
}

fn watched(arguments: &[String]) -> std::result::Result<i32, String> {
    let [milliseconds, locks, program, arguments @ ..] = arguments else { return Err("nothing to run".to_owned()) };
    let milliseconds: u64 = milliseconds.parse().map_err(|_| "no time limit")?;
    let locks: i32 = locks.parse().map_err(|_| "no number of locks")?;
    #[expect(unsafe_code, reason = "an inherited descriptor has no owner but its number")]
    // SAFETY: whoever starts a watcher maps these numbers to open descriptors (`run` above, and only
    // there); nothing in this fresh process owns them yet, and each is taken once.
    let mut handed = (CONTROL_FD..=CONTROL_FD + locks).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    let control = handed.next().ok_or("no pipe")?;
    let locks: Vec<OwnedFd> = handed.collect();
    for fd in locks.iter().chain([&control]) {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC).map_err(|e| e.to_string())?;
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(|e| e.to_string())?;
    // A service manager may tell every process to end: the watcher outlives the program all the same.
    // Handlers, unlike ignored signals, are not handed on to the program.
    let heard = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        signal_hook::flag::register(signal, heard.clone()).map_err(|e| e.to_string())?;
    }
    let mut command = Command::new(program);
    #[expect(unsafe_code, reason = "only the child itself can ask to die with its parent")]
    // SAFETY: between fork and exec only prctl(PR_SET_PDEATHSIG) is called, a bare system call that
    // touches no memory and takes no lock.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    let child = command.args(arguments).process_group(0).spawn().map_err(|e| e.to_string())?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("no process id")?;
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|e| e.to_string())?;
    let end = Instant::now() + Duration::from_millis(milliseconds);
    let mut code = TIMED_OUT;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left =
            Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
        let mut fds = [
            PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(control.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, Some(&left)) {
            Err(rustix::io::Errno::INTR) => continue,
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        if !fds[0].revents().is_empty()
            && let Ok(Some((_, status))) = rustix::process::waitpid(Some(pid), WaitOptions::empty())
        {
            code = status.exit_status().or_else(|| status.terminating_signal().map(|s| 128 + s)).unwrap_or(1);
        }
        break;
    }
    kill_descendants();
    // Whoever waits for a lock is woken by the closing of a written descriptor, after the unlock.
    let write = |fd: &OwnedFd| OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let bells: Vec<_> = locks.iter().map(write).collect();
    drop(locks);
    drop(bells);
    Ok(code)
}

/// Kills until there is nobody left. What a child leaves behind becomes our own child.
fn kill_descendants() {
    loop {
        for pid in children() {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Our children by `/proc/self/task/*/children`, or where the kernel has no such file, by everybody's
/// parent in `/proc/*/stat`.
fn children() -> Vec<Pid> {
    let me = rustix::process::getpid();
    let pid = |text: &str| text.parse().ok().and_then(Pid::from_raw);
    let listed = format!("/proc/self/task/{}/children", me.as_raw_nonzero());
    if let Ok(text) = std::fs::read_to_string(listed) {
        return text.split_whitespace().filter_map(pid).collect();
    }
    let parent = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|e| e.file_name().into_string().ok())
        .filter(|name| parent(name) == Some(me.as_raw_nonzero().get()))
        .filter_map(|name| pid(&name))
        .collect()
}
