//! The watcher of a program: it adopts every descendant (`PR_SET_CHILD_SUBREAPER`) and holds the lane's lock. It kills
//! all descendants when the program ends, its time is up, it has too many threads or too much memory, or the process that
//! started it is gone. Then it releases the lock.

use crate::process::sandbox::{self, View, WatchedSandbox};
use crate::process::{CANNOT_RUN, CONTROL_FD, NOT_FOUND, TIMED_OUT, exit_code};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most threads that a sandboxed program and its children may have at once. The watcher counts them, because the
/// kernel's limit is per user, and does not apply to root.
const MAX_THREADS: u64 = 512;
/// The time between two counts of threads and memory.
const COUNT_INTERVAL: Duration = Duration::from_millis(100);

/// Runs `claw __watch MILLISECONDS LOCKS SANDBOX COUNT PATH… PROGRAM…` and returns the exit code. The COUNT paths are
/// those that a sandboxed program sees. Descriptor 3 is the end of the control pipe, which closes with the process that
/// started the watcher; the Landlock ruleset follows it, if SANDBOX has one, and then LOCKS lock descriptors.
#[must_use]
pub fn watch(arguments: &[String]) -> u8 {
    let code = watched(arguments).unwrap_or_else(|message| {
        let _ = writeln!(io::stderr(), "{CANNOT_RUN}{message}");
        NOT_FOUND
    });
    u8::try_from(code).unwrap_or(1)
}

fn watched(arguments: &[String]) -> Result<i32, String> {
    let [milliseconds, locks, sandbox, visible, arguments @ ..] = arguments else {
        return Err("nothing to run".to_owned());
    };
    let visible = visible.parse().ok().and_then(|count| arguments.split_at_checked(count));
    let Some((visible, [program, arguments @ ..])) = visible else { return Err("nothing to run".to_owned()) };
    let milliseconds: u64 = milliseconds.parse().map_err(|_| "no time limit")?;
    let locks: i32 = locks.parse().map_err(|_| "no number of locks")?;
    let sandbox = WatchedSandbox::from_argument(sandbox)?;
    let is_sandboxed = sandbox.is_some();
    let rulesets = i32::from(sandbox.is_some_and(|sandbox| sandbox.has_ruleset));
    #[expect(unsafe_code, reason = "an inherited descriptor has no owner but its number")]
    // SAFETY: the only caller that starts a watcher (`run_streaming`) maps these numbers to open descriptors; nothing
    // in this fresh process owns them yet, and each is taken once.
    let mut passed = (CONTROL_FD..=CONTROL_FD + rulesets + locks).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    let control = passed.next().ok_or("no pipe")?;
    let ruleset = if rulesets > 0 { passed.next() } else { None };
    let locks: Vec<OwnedFd> = passed.collect();
    for fd in locks.iter().chain([&control]).chain(&ruleset) {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC).map_err(|e| e.to_string())?;
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(|e| e.to_string())?;
    // A service manager may signal every process: the watcher must still outlive the program. The program does not
    // inherit signal handlers, as it would inherit ignored signals.
    let received = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        signal_hook::flag::register(signal, received.clone()).map_err(|e| e.to_string())?;
    }
    let max_memory = sandbox::max_memory();
    let prepared = sandbox.map(|sandbox| sandbox.prepare(max_memory)).transpose()?;
    let view = match visible {
        [] => None,
        _ => Some(View::new(visible, std::env::current_dir().map_err(|e| e.to_string())?)),
    };
    let confined = Arc::new((prepared, ruleset));
    let start = |view: Option<View>| {
        let (mut command, confined) = (Command::new(program), Arc::clone(&confined));
        #[expect(
            unsafe_code,
            reason = "only the child itself can enter its sandbox and request its death with its parent"
        )]
        // SAFETY: this process has one thread, so after the fork no lock is held by a missing thread, and the child may
        // do everything that a process may; of the parent's memory it uses only its own copies of `view` and `confined`.
        unsafe {
            command.pre_exec(move || {
                rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
                let (prepared, ruleset) = &*confined;
                let Some(prepared) = prepared else { return Ok(()) };
                view.as_ref().map_or(Ok(()), |view| view.enter(ruleset.as_ref()))?;
                prepared.drop_rights()?;
                ruleset.as_ref().map_or(Ok(()), sandbox::restrict)?;
                prepared.filter_calls()
            });
        }
        command.args(arguments).process_group(0).spawn()
    };
    // Without namespaces the sandbox still denies all access; a program that cannot be run fails in both ways.
    let namespaced = view.map(|view| start(Some(view)));
    let child = namespaced.and_then(Result::ok).map_or_else(|| start(None), Ok).map_err(|e| e.to_string())?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("no process id")?;
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|e| e.to_string())?;
    let end = Instant::now() + Duration::from_millis(milliseconds);
    let mut code = TIMED_OUT;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let wait = if is_sandboxed { left.min(COUNT_INTERVAL) } else { left };
        let wait =
            Timespec { tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX), tv_nsec: wait.subsec_nanos().into() };
        let mut fds = [
            PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(control.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, Some(&wait)) {
            Err(rustix::io::Errno::INTR) => continue,
            Ok(0) if is_sandboxed && !left.is_zero() => {
                let Some(excess) = excess(max_memory) else { continue };
                let _ = writeln!(io::stderr(), "claw: killed: {excess}");
                code = 128 + Signal::KILL.as_raw();
                break;
            }
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        if !fds[0].revents().is_empty()
            && let Ok(Some((_, status))) = rustix::process::waitpid(Some(pid), WaitOptions::empty())
        {
            code = exit_code(status);
        }
        break;
    }
    kill_descendants();
    // A process that waits for a lock watches for the close of a writable descriptor of the lock file. So these close
    // after the locks are released.
    let write = |fd: &OwnedFd| OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let notifiers: Vec<_> = locks.iter().map(write).collect();
    drop(locks);
    drop(notifiers);
    Ok(code)
}

/// Kills until no descendant is left. The orphans of a killed process become children of this one. All are stopped
/// before any is killed, so that they cannot keep forking.
fn kill_descendants() {
    loop {
        for signal in [Signal::STOP, Signal::KILL] {
            for pid in descendants() {
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        // Some are still dying: wait for the next one.
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// The limit that all descendants together exceed, if there is one. `max_memory` is in bytes.
fn excess(max_memory: u64) -> Option<String> {
    let (mut threads, mut memory) = (0, 0);
    for pid in descendants() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        threads += field("Threads:").unwrap_or(1);
        // Pages of files are not counted: the kernel drops them when memory is short.
        memory += (field("RssAnon:").unwrap_or(0) + field("RssShmem:").unwrap_or(0)) << 10;
    }
    if threads > MAX_THREADS {
        return Some(format!("more than {MAX_THREADS} processes or threads at once"));
    }
    (memory > max_memory).then(|| format!("more than {} MiB of memory", max_memory >> 20))
}

/// All descendants of this process.
fn descendants() -> Vec<Pid> {
    let mut all = children(rustix::process::getpid());
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        all.extend(children(pid));
        next += 1;
    }
    all
}

/// The children of a process, from `/proc/PID/task/*/children`; where the kernel has no such file, from the parents in
/// `/proc/*/stat`.
fn children(of: Pid) -> Vec<Pid> {
    let of = of.as_raw_nonzero().get();
    let pid = |text: &str| text.parse().ok().and_then(Pid::from_raw);
    let tasks = std::fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let mut listed = tasks.map(|task| std::fs::read_to_string(task.path().join("children"))).peekable();
    if listed.peek().is_none_or(Result::is_ok) {
        return listed.flatten().flat_map(|text| text.split_whitespace().filter_map(pid).collect::<Vec<_>>()).collect();
    }
    let parent = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|e| e.file_name().into_string().ok())
        .filter(|name| parent(name) == Some(of))
        .filter_map(|name| pid(&name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_all_descendants_is_counted() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let few = excess(0);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(few.as_deref(), Some("more than 0 MiB of memory"));
        assert_eq!(excess(u64::MAX), None);
    }
}
