//! The watcher: it adopts every descendant of the program (`PR_SET_CHILD_SUBREAPER`), holds the lane's lock,
//! and when the program ends, its time is up, it has too many processes, or whoever started it is gone, it
//! kills them all before it lets go.

use crate::process::sandbox::{PreparedSandbox, Sandbox};
use crate::process::{CANNOT, CONTROL_FD, NOT_FOUND, TIMED_OUT};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// How many processes a program behind walls may have at once, and how often they are counted: no limit of the
/// kernel counts the processes of one program, and root's are not counted at all.
const MAX_PROCESSES: usize = 512;
const COUNTED: Duration = Duration::from_millis(100);

/// The watcher: `claw __watch MILLISECONDS LOCKS WALLS PROGRAM…`, with a pipe whose end is ours as descriptor
/// 3, and as many locks behind it. WALLS says how many bytes of stdin are the walls; what comes behind them is the
/// program's. Returns the exit code.
#[must_use]
pub fn watch(arguments: &[String]) -> u8 {
    let code = watched(arguments).unwrap_or_else(|complaint| {
        let _ = writeln!(std::io::stderr(), "{CANNOT}{complaint}");
        NOT_FOUND
    });
    u8::try_from(code).unwrap_or(1)
}

fn watched(arguments: &[String]) -> Result<i32, String> {
    let [milliseconds, locks, sandbox, program, arguments @ ..] = arguments else {
        return Err("nothing to run".to_owned());
    };
    let milliseconds: u64 = milliseconds.parse().map_err(|_| "no time limit")?;
    let locks: i32 = locks.parse().map_err(|_| "no number of locks")?;
    let sandbox: usize = sandbox.parse().map_err(|_| "no length of walls")?;
    let is_sandboxed = sandbox > 0;
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
    let mut ready = if is_sandboxed { Some(read_sandbox(sandbox)?.prepare()?) } else { None };
    let mut command = Command::new(program);
    #[expect(unsafe_code, reason = "only the child itself can close its walls and ask to die with its parent")]
    // SAFETY: this process has one thread, so after the fork no lock is held by a thread that is not there, and
    // the child may do what any process may; it touches nothing of its parent's but its own copy of `ready`.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            ready.as_mut().map_or(Ok(()), PreparedSandbox::enter)
        });
    }
    let child = command.args(arguments).process_group(0).spawn().map_err(|e| e.to_string())?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("no process id")?;
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|e| e.to_string())?;
    let end = Instant::now() + Duration::from_millis(milliseconds);
    let mut code = TIMED_OUT;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let nap = if is_sandboxed { left.min(COUNTED) } else { left };
        let nap =
            Timespec { tv_sec: i64::try_from(nap.as_secs()).unwrap_or(i64::MAX), tv_nsec: nap.subsec_nanos().into() };
        let mut fds = [
            PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(control.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, Some(&nap)) {
            Err(rustix::io::Errno::INTR) => continue,
            Ok(0) if is_sandboxed && !left.is_zero() => {
                if descendants().len() <= MAX_PROCESSES {
                    continue;
                }
                let _ = writeln!(std::io::stderr(), "claw: ended: it had more than {MAX_PROCESSES} processes at once");
                code = 128 + Signal::KILL.as_raw();
                break;
            }
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

/// The walls, and not a byte of what the program reads.
fn read_sandbox(length: usize) -> Result<Sandbox, String> {
    let mut bytes = vec![0; length];
    let read = File::open("/proc/self/fd/0").and_then(|mut stdin| stdin.read_exact(&mut bytes));
    read.map_err(|e| format!("no walls: {e}"))?;
    Sandbox::from_bytes(&bytes).ok_or_else(|| "no walls".to_owned())
}

/// Kills until there is nobody left. What a child leaves behind becomes our own child; all are stopped before
/// any is killed, so that they cannot go on multiplying.
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
        // Somebody is still dying: the next end is waited for.
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Everybody who descends from us.
fn descendants() -> Vec<Pid> {
    let mut all = children(rustix::process::getpid());
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        all.extend(children(pid));
        next += 1;
    }
    all
}

/// The children of a process by `/proc/PID/task/PID/children`, or where the kernel has no such file, by
/// everybody's parent in `/proc/*/stat`.
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
