//! Stops a program before each of its system calls that change durable data, or open files, and kills it there
//! or makes the call fail. Unprivileged `ptrace(2)`; threads are followed, other programs are not.

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The fault at the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, before the kernel acts.
    Kill,
    /// The call is skipped and returns this error.
    Error(Errno),
}

/// The outcome of a traced run.
#[derive(Debug)]
pub struct Traced {
    /// The number of calls.
    pub calls: usize,
    /// The number of syncs among them.
    pub syncs: usize,
    /// The name of the disturbed call.
    pub hit: Option<&'static str>,
    /// The exit code; 137 after a kill.
    pub code: i32,
    /// Its output.
    pub out: String,
}

/// Calls that change data visible to others, or make it durable. An open counts if it may create a file, a mkdir
/// if the folder is missing: every command tries to create all of them.
const DURABLE: &[(i64, &str)] = &[
    (libc::SYS_open, "open"),
    (libc::SYS_openat, "openat"),
    (libc::SYS_openat2, "openat2"),
    (libc::SYS_mkdir, "mkdir"),
    (libc::SYS_write, "write"),
    (libc::SYS_pwrite64, "pwrite64"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_fdatasync, "fdatasync"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_renameat, "renameat"),
    (libc::SYS_rename, "rename"),
    (libc::SYS_linkat, "linkat"),
    (libc::SYS_unlink, "unlink"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_flock, "flock"),
];

/// Runs `command` with `fault` at its durable call number `at` (from 1); 0 disturbs nothing.
pub fn run(command: Command, at: usize, fault: Fault) -> Traced {
    run_with(command, |call| (call == at).then_some(fault))
}

/// Runs `command`; `decide` is called before each of its durable calls (from 1), with the program
/// stopped there.
pub fn run_with(command: Command, decide: impl FnMut(usize) -> Option<Fault>) -> Traced {
    trace(command, durable, decide)
}

/// Runs `command`; its opening number `at` (from 1) of a file below `root` fails, whether to read, list, lock or
/// sync it.
pub fn run_opening(command: Command, root: &Path, at: usize, errno: Errno) -> Traced {
    let opens = |pid, registers: &libc::user_regs_struct| {
        let (name, path, _) = opening(pid, registers)?;
        // A relative path is below a folder that was opened before.
        let path = text(pid, path)?;
        (path.is_relative() || path.starts_with(root)).then_some(name)
    };
    trace(command, opens, |call| (call == at).then_some(Fault::Error(errno)))
}

/// Runs `command`; `decide` is called before each call (from 1) of those in `calls`, by number and name.
pub fn run_at(calls: &[(i64, &'static str)], command: Command, decide: impl FnMut(usize) -> Option<Fault>) -> Traced {
    let named = |_: Pid, registers: &libc::user_regs_struct| {
        calls.iter().find(|(number, _)| *number == registers.orig_rax.cast_signed()).map(|(_, name)| *name)
    };
    trace(command, named, decide)
}

fn trace(
    mut command: Command,
    counts: impl Fn(Pid, &libc::user_regs_struct) -> Option<&'static str>,
    mut decide: impl FnMut(usize) -> Option<Fault>,
) -> Traced {
    #[expect(unsafe_code, reason = "only the child itself can ask to be traced")]
    // SAFETY: between fork and exec only ptrace(PTRACE_TRACEME) is called, a bare system call.
    unsafe {
        command.pre_exec(|| ptrace::traceme().map_err(Into::into));
    }
    #[expect(clippy::zombie_processes, reason = "the loop below waits for it as its tracer")]
    let mut child = command.spawn().unwrap();
    let root = Pid::from_raw(i32::try_from(child.id()).unwrap());
    // Tracing belongs to a thread, so other tests' children are not ours to wait for.
    let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
    assert!(matches!(waitpid(root, Some(flags)).unwrap(), WaitStatus::Stopped(_, Signal::SIGTRAP)));
    ptrace::setoptions(root, options).unwrap();
    ptrace::syscall(root, None).unwrap();
    let mut inside: HashMap<Pid, bool> = HashMap::new();
    let mut refused: HashMap<Pid, Errno> = HashMap::new();
    let mut traced = Traced { calls: 0, syncs: 0, hit: None, code: -1, out: String::new() };
    loop {
        let status = match waitpid(Pid::from_raw(-1), Some(flags)) {
            Ok(status) => status,
            Err(Errno::ECHILD) => break,
            Err(e) => panic!("{e}"),
        };
        match status {
            WaitStatus::PtraceSyscall(pid) => {
                let is_entry = !std::mem::replace(inside.entry(pid).or_insert(false), false);
                let Ok(mut registers) = ptrace::getregs(pid) else { continue };
                if is_entry {
                    inside.insert(pid, true);
                    if let Some(name) = counts(pid, &registers) {
                        traced.calls += 1;
                        traced.syncs += usize::from(name.ends_with("sync"));
                        if let Some(fault) = decide(traced.calls) {
                            traced.hit = Some(name);
                            match fault {
                                Fault::Kill => {
                                    let _ = nix::sys::signal::kill(root, Signal::SIGKILL);
                                    continue;
                                }
                                Fault::Error(errno) => {
                                    registers.orig_rax = u64::MAX;
                                    ptrace::setregs(pid, registers).unwrap();
                                    refused.insert(pid, errno);
                                }
                            }
                        }
                    }
                } else if let Some(errno) = refused.remove(&pid) {
                    registers.rax = (-(errno as i64)).cast_unsigned();
                    ptrace::setregs(pid, registers).unwrap();
                }
                let _ = ptrace::syscall(pid, None);
            }
            WaitStatus::Stopped(pid, signal) => {
                let signal = (!matches!(signal, Signal::SIGSTOP | Signal::SIGTRAP)).then_some(signal);
                let _ = ptrace::syscall(pid, signal);
            }
            WaitStatus::PtraceEvent(pid, ..) => {
                let _ = ptrace::syscall(pid, None);
            }
            WaitStatus::Exited(pid, code) if pid == root => {
                traced.code = code;
                break;
            }
            WaitStatus::Signaled(pid, signal, _) if pid == root => {
                traced.code = 128 + signal as i32;
                break;
            }
            _ => {}
        }
    }
    if let Some(mut pipe) = child.stdout.take() {
        let _ = std::io::Read::read_to_string(&mut pipe, &mut traced.out);
    }
    traced
}

/// The call's name, if it concerns durable data: not a call that only reads, not stdout, not the eventfd of
/// threads.
fn durable(pid: Pid, registers: &libc::user_regs_struct) -> Option<&'static str> {
    let number = registers.orig_rax.cast_signed();
    let (_, name) = DURABLE.iter().find(|(known, _)| *known == number)?;
    let makes = (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) as u64;
    let is_reading = opening(pid, registers).is_some_and(|(_, _, flags)| flags & makes == 0);
    let file = || std::fs::read_link(format!("/proc/{pid}/fd/{}", registers.rdi)).unwrap_or_default();
    let is_other = *name == "write" && (registers.rdi <= 2 || file().starts_with("anon_inode:[eventfd]"));
    let is_there = *name == "mkdir" && text(pid, registers.rdi).is_some_and(|path| path.exists());
    (!is_reading && !is_other && !is_there).then_some(*name)
}

/// The name of an opening call, the address of its path, and its flags.
fn opening(pid: Pid, registers: &libc::user_regs_struct) -> Option<(&'static str, u64, u64)> {
    match registers.orig_rax.cast_signed() {
        // The flags are the first field of its third argument.
        libc::SYS_openat2 => {
            let mut flags = [0; 8];
            File::open(format!("/proc/{pid}/mem")).ok()?.read_exact_at(&mut flags, registers.rdx).ok()?;
            Some(("openat2", registers.rsi, u64::from_le_bytes(flags)))
        }
        libc::SYS_open => Some(("open", registers.rdi, registers.rsi)),
        libc::SYS_openat => Some(("openat", registers.rsi, registers.rdx)),
        _ => None,
    }
}

/// The path at `address` in the program.
fn text(pid: Pid, address: u64) -> Option<PathBuf> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut bytes = [0; 4096];
    // The page may end before that many bytes.
    let read = memory.read_at(&mut bytes, address).ok()?;
    let end = bytes[..read].iter().position(|byte| *byte == 0)?;
    Some(PathBuf::from(OsStr::from_bytes(&bytes[..end])))
}
