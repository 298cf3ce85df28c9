//! Records, in order, every operation of a program on a tree that a power cut could undo, and builds the
//! trees that a power cut may leave. Unprivileged `ptrace(2)`: threads are followed, other programs are
//! not, and one changing call is let in at a time, so that the order is the real one.

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// An operation. Paths are relative to the tree; an unnamed file has the path that `/proc` reports for
/// it.
#[derive(Clone, Debug)]
pub enum Op {
    /// An unnamed file was opened.
    Unnamed(String),
    /// A file was created.
    Create(String),
    /// A folder was created.
    Mkdir(String),
    /// A file got another name, or its first one.
    Link(String, String),
    /// A file was moved.
    Rename(String, String),
    /// A name was removed.
    Unlink(String),
    /// Bytes were written at this offset.
    Write(String, usize, Vec<u8>),
    /// A file was truncated.
    Truncate(String, usize),
    /// A file or a folder was synced.
    Sync(String),
    /// Text was printed.
    Print(String),
}

/// One operation, and the contents of the file outside of the tree at its begin and its end.
#[derive(Debug)]
pub struct Step {
    pub op: Op,
    pub before: String,
    pub after: String,
}

/// A recorded run.
#[derive(Debug)]
pub struct Recorded {
    pub steps: Vec<Step>,
    pub code: i32,
}

/// The effect of a call that has begun.
enum Begun {
    Open { path: String, flags: i32, is_new: bool },
    Write { file: String, at: usize, buffer: u64 },
    Print { buffer: u64 },
    Sure(Op),
}

struct Recorder<'a> {
    root: &'a Path,
    outside: &'a Path,
}

/// Runs `command` to its end and records its operations below `root`. With `kill_at` (from 1) it is killed
/// before that operation (failing calls do not count). `outside` is a file beside the tree that is read all the time.
pub fn record(mut command: Command, root: &Path, outside: &Path, kill_at: usize) -> Recorded {
    #[expect(unsafe_code, reason = "only the child itself can ask to be traced")]
    // SAFETY: between fork and exec only ptrace(PTRACE_TRACEME) is called, a bare system call.
    unsafe {
        command.pre_exec(|| ptrace::traceme().map_err(Into::into));
    }
    #[expect(clippy::zombie_processes, reason = "the loop below waits for it as its tracer")]
    let child = command.spawn().unwrap();
    let main = Pid::from_raw(i32::try_from(child.id()).unwrap());
    // Tracing belongs to a thread, so other tests' children are not ours to wait for.
    let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
    assert!(matches!(waitpid(main, Some(flags)).unwrap(), WaitStatus::Stopped(_, Signal::SIGTRAP)));
    ptrace::setoptions(main, options).unwrap();
    ptrace::syscall(main, None).unwrap();
    let recorder = Recorder { root, outside };
    let mut run = Recorded { steps: Vec::new(), code: -1 };
    let mut inside: HashMap<Pid, bool> = HashMap::new();
    let mut busy: Option<(Pid, Begun, String)> = None;
    let mut parked: VecDeque<Pid> = VecDeque::new();
    loop {
        // A thread parked at the entry of its call continues when no other thread is in a call.
        let parked_next = if busy.is_none() { parked.pop_front() } else { None };
        let (pid, is_entry) = if let Some(pid) = parked_next {
            (pid, true)
        } else {
            match waitpid(Pid::from_raw(-1), Some(flags)).unwrap() {
                WaitStatus::PtraceSyscall(pid) => {
                    let was_inside = inside.insert(pid, true).unwrap_or(false);
                    inside.insert(pid, !was_inside);
                    (pid, !was_inside)
                }
                WaitStatus::Stopped(pid, signal) => {
                    let signal = (!matches!(signal, Signal::SIGSTOP | Signal::SIGTRAP)).then_some(signal);
                    let _ = ptrace::syscall(pid, signal);
                    continue;
                }
                WaitStatus::PtraceEvent(pid, ..) => {
                    let _ = ptrace::syscall(pid, None);
                    continue;
                }
                WaitStatus::Exited(pid, code) if pid == main => {
                    run.code = code;
                    break;
                }
                WaitStatus::Signaled(pid, signal, _) if pid == main => {
                    run.code = 128 + signal as i32;
                    break;
                }
                _ => continue,
            }
        };
        let Ok(registers) = ptrace::getregs(pid) else { continue };
        if is_entry {
            if let Some(call) = recorder.entry(pid, &registers) {
                if busy.is_some() {
                    parked.push_back(pid);
                    continue;
                }
                if run.steps.len() + 1 == kill_at {
                    let _ = nix::sys::signal::kill(main, Signal::SIGKILL);
                    continue;
                }
                busy = Some((pid, call, recorder.seen()));
            }
        } else if busy.as_ref().is_some_and(|(at, ..)| *at == pid)
            && let Some((_, call, before)) = busy.take()
        {
            let result = registers.rax.cast_signed();
            if result >= 0 {
                let after = recorder.seen();
                let ops = recorder.exit(pid, call, usize::try_from(result).unwrap());
                let step = |op| Step { op, before: before.clone(), after: after.clone() };
                run.steps.extend(ops.into_iter().map(step));
            }
        }
        let _ = ptrace::syscall(pid, None);
    }
    run
}

impl Recorder<'_> {
    fn seen(&self) -> String {
        fs::read_to_string(self.outside).unwrap_or_default()
    }

    /// The operation that a call is about to do below the root.
    fn entry(&self, pid: Pid, registers: &libc::user_regs_struct) -> Option<Begun> {
        let (a, b, c, d) = (registers.rdi, registers.rsi, registers.rdx, registers.r10);
        let cwd = u64::from(libc::AT_FDCWD.cast_unsigned());
        let sure = |op| Some(Begun::Sure(op));
        match registers.orig_rax.cast_signed() {
            libc::SYS_open => self.open(pid, cwd, a, b),
            libc::SYS_openat => self.open(pid, a, b, c),
            libc::SYS_write if a == 1 => Some(Begun::Print { buffer: b }),
            libc::SYS_write => {
                let file = self.file(pid, a)?;
                let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{a}")).ok()?;
                let field = |name: &str| info.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
                let flags = i32::from_str_radix(field("flags:")?, 8).ok()?;
                let position = field("pos:")?.parse().ok()?;
                let size = || fs::metadata(format!("/proc/{pid}/fd/{a}")).unwrap().len();
                let at = if flags & libc::O_APPEND != 0 { size() } else { position };
                Some(Begun::Write { file, at: usize::try_from(at).unwrap(), buffer: b })
            }
            libc::SYS_pwrite64 => {
                Some(Begun::Write { file: self.file(pid, a)?, at: usize::try_from(d).unwrap(), buffer: b })
            }
            libc::SYS_ftruncate => sure(Op::Truncate(self.file(pid, a)?, usize::try_from(b).unwrap())),
            libc::SYS_fsync | libc::SYS_fdatasync => sure(Op::Sync(self.file(pid, a)?)),
            libc::SYS_mkdir => sure(Op::Mkdir(self.path(pid, cwd, a)?)),
            libc::SYS_mkdirat => sure(Op::Mkdir(self.path(pid, a, b)?)),
            libc::SYS_rename => sure(Op::Rename(self.path(pid, cwd, a)?, self.path(pid, cwd, b)?)),
            libc::SYS_renameat | libc::SYS_renameat2 => sure(Op::Rename(self.path(pid, a, b)?, self.path(pid, c, d)?)),
            libc::SYS_link => sure(Op::Link(self.path(pid, cwd, a)?, self.path(pid, cwd, b)?)),
            libc::SYS_linkat => sure(Op::Link(self.path(pid, a, b)?, self.path(pid, c, d)?)),
            libc::SYS_unlink | libc::SYS_rmdir => sure(Op::Unlink(self.path(pid, cwd, a)?)),
            libc::SYS_unlinkat => sure(Op::Unlink(self.path(pid, a, b)?)),
            libc::SYS_writev | libc::SYS_pwritev | libc::SYS_pwritev2 | libc::SYS_fallocate
                if self.file(pid, a).is_some() =>
            {
                panic!("a call that the recorder does not know: {}", registers.orig_rax)
            }
            _ => None,
        }
    }

    fn open(&self, pid: Pid, dir: u64, path: u64, flags: u64) -> Option<Begun> {
        let flags = i32::try_from(flags & 0x7fff_ffff).ok()?;
        let is_unnamed = flags & libc::O_TMPFILE == libc::O_TMPFILE;
        if !is_unnamed && flags & (libc::O_CREAT | libc::O_TRUNC) == 0 {
            return None;
        }
        let path = self.path(pid, dir, path)?;
        let is_new = self.root.join(&path).symlink_metadata().is_err();
        Some(Begun::Open { path, flags, is_new })
    }

    /// The operation that a successful call did.
    fn exit(&self, pid: Pid, call: Begun, result: usize) -> Vec<Op> {
        match call {
            Begun::Open { flags, .. } if flags & libc::O_TMPFILE == libc::O_TMPFILE => {
                vec![Op::Unnamed(self.file(pid, result as u64).unwrap())]
            }
            Begun::Open { path, is_new: true, .. } => vec![Op::Create(path)],
            Begun::Open { path, flags, .. } if flags & libc::O_TRUNC != 0 => vec![Op::Truncate(path, 0)],
            Begun::Open { .. } => vec![],
            Begun::Write { file, at, buffer } => vec![Op::Write(file, at, memory(pid, buffer, result))],
            Begun::Print { buffer } => {
                vec![Op::Print(String::from_utf8_lossy(&memory(pid, buffer, result)).into_owned())]
            }
            Begun::Sure(op) => vec![op],
        }
    }

    /// A descriptor's file, if it is below the root.
    fn file(&self, pid: Pid, fd: u64) -> Option<String> {
        self.relative(&fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?)
    }

    /// The path at this address, if it is below the root; `/proc/self/fd/N` is that descriptor's file.
    fn path(&self, pid: Pid, dir: u64, address: u64) -> Option<String> {
        let bytes = memory(pid, address, 4096);
        let text = String::from_utf8(bytes.split(|b| *b == 0).next()?.to_vec()).ok()?;
        if let Some(fd) = text.strip_prefix("/proc/self/fd/") {
            return self.file(pid, fd.parse().ok()?);
        }
        // An int: the upper half of the register is undefined.
        let base = match i32::from_le_bytes(dir.to_le_bytes()[..4].try_into().unwrap()) {
            libc::AT_FDCWD => fs::read_link(format!("/proc/{pid}/cwd")),
            fd => fs::read_link(format!("/proc/{pid}/fd/{fd}")),
        };
        self.relative(&base.unwrap_or_default().join(text))
    }

    fn relative(&self, path: &Path) -> Option<String> {
        path.strip_prefix(self.root).ok().map(|p| p.to_str().unwrap().to_owned())
    }
}

fn memory(pid: Pid, at: u64, length: usize) -> Vec<u8> {
    let file = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut bytes = vec![0; length];
    let mut got = 0;
    while got < length {
        match file.read_at(&mut bytes[got..], at + got as u64) {
            Ok(n @ 1..) => got += n,
            _ => break,
        }
    }
    bytes.truncate(got);
    bytes
}

/// The object at a path of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    Dir,
    File(Arc<Vec<u8>>),
}

/// A tree, by path.
pub type Tree = BTreeMap<String, Entry>;

/// Reads the tree on the disk.
pub fn read(root: &Path) -> Tree {
    let entries = walkdir::WalkDir::new(root).min_depth(1).into_iter().flatten();
    let entry = |e: &walkdir::DirEntry| {
        if e.file_type().is_dir() { Entry::Dir } else { Entry::File(Arc::new(fs::read(e.path()).unwrap())) }
    };
    entries.map(|e| (e.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned(), entry(&e))).collect()
}

/// Builds the tree in an empty folder.
pub fn write(root: &Path, tree: &Tree) {
    for (path, entry) in tree {
        match entry {
            Entry::Dir => fs::create_dir(root.join(path)).unwrap(),
            Entry::File(bytes) => fs::write(root.join(path), bytes.as_slice()).unwrap(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(usize),
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, new) => {
                bytes.resize(bytes.len().max(at + new.len()), 0);
                bytes[*at..at + new.len()].copy_from_slice(new);
            }
            Self::Truncate(length) => bytes.resize(*length, 0),
        }
    }

    /// Half of it.
    fn torn(&self) -> Self {
        match self {
            Self::Write(at, new) => Self::Write(*at, new[..new.len() / 2].to_vec()),
            Self::Truncate(length) => Self::Truncate(*length),
        }
    }
}

#[derive(Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

/// An operation on names: it happens whole or not at all, and is durable when one of its folders is
/// synced.
#[derive(Debug)]
struct NameOp {
    effects: Vec<(String, Option<Node>)>,
    is_durable: bool,
    text: String,
}

/// How much of a file's unsynced data a power cut leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    Lost,
    Kept,
    /// All but the last half of the last write.
    Torn,
}

/// The durable contents of a disk, and the contents that it may have.
#[derive(Debug, Default)]
pub struct Disk {
    base: BTreeMap<String, Node>,
    now: BTreeMap<String, Node>,
    unnamed: HashMap<String, usize>,
    inodes: Vec<Inode>,
    names: Vec<NameOp>,
}

impl Disk {
    /// A disk on which this tree is durable.
    pub fn new(tree: &Tree) -> Self {
        let mut disk = Self::default();
        for (path, entry) in tree {
            let node = match entry {
                Entry::Dir => Node::Dir,
                Entry::File(bytes) => {
                    disk.inodes.push(Inode { durable: bytes.to_vec(), ..Inode::default() });
                    Node::File(disk.inodes.len() - 1)
                }
            };
            disk.base.insert(path.clone(), node);
        }
        disk.now = disk.base.clone();
        disk
    }

    /// Applies an operation.
    pub fn apply(&mut self, op: &Op) {
        let fresh = |disk: &mut Self| {
            disk.inodes.push(Inode::default());
            disk.inodes.len() - 1
        };
        match op {
            Op::Unnamed(key) => {
                let inode = fresh(self);
                self.unnamed.insert(key.clone(), inode);
            }
            Op::Create(path) => {
                let inode = fresh(self);
                self.name(op, vec![(path.clone(), Some(Node::File(inode)))]);
            }
            Op::Mkdir(path) => self.name(op, vec![(path.clone(), Some(Node::Dir))]),
            Op::Link(from, to) => {
                let inode = self.find(from).unwrap();
                self.name(op, vec![(to.clone(), Some(Node::File(inode)))]);
            }
            Op::Rename(from, to) => {
                let node = self.find(from).map_or(Node::Dir, Node::File);
                let mut effects = vec![(from.clone(), None), (to.clone(), Some(node))];
                // A folder takes its entries along.
                for (path, node) in &self.now {
                    if let Some(rest) = path.strip_prefix(from.as_str()).filter(|rest| rest.starts_with('/')) {
                        effects.extend([(path.clone(), None), (format!("{to}{rest}"), Some(*node))]);
                    }
                }
                self.name(op, effects);
            }
            Op::Unlink(path) => self.name(op, vec![(path.clone(), None)]),
            Op::Write(file, at, bytes) => self.change(file, Change::Write(*at, bytes.clone())),
            Op::Truncate(file, length) => self.change(file, Change::Truncate(*length)),
            Op::Sync(path) => match self.find(path) {
                Some(inode) => {
                    let inode = &mut self.inodes[inode];
                    for change in inode.unsynced.drain(..) {
                        change.apply(&mut inode.durable);
                    }
                }
                None => {
                    for name in &mut self.names {
                        // The first two are the name itself, before and after.
                        name.is_durable |= name.effects.iter().take(2).any(|(entry, _)| parent(entry) == path);
                    }
                }
            },
            Op::Print(_) => {}
        }
    }

    fn find(&self, path: &str) -> Option<usize> {
        match self.now.get(path) {
            Some(Node::File(inode)) => Some(*inode),
            Some(Node::Dir) => None,
            None => self.unnamed.get(path).copied(),
        }
    }

    /// A file that has lost its last name has nothing to lose.
    fn change(&mut self, file: &str, change: Change) {
        if let Some(inode) = self.find(file) {
            self.inodes[inode].unsynced.push(change);
        }
    }

    fn name(&mut self, op: &Op, effects: Vec<(String, Option<Node>)>) {
        put(&mut self.now, &effects);
        self.names.push(NameOp { effects, is_durable: false, text: format!("{op:?}") });
    }

    /// The operations on names that may be lost: number, operation, and whether it concerns only locks and the
    /// journal.
    pub fn undecided(&self) -> Vec<(usize, &str, bool)> {
        let is_aside = |n: &NameOp| n.effects.iter().all(|(path, _)| path.starts_with(".claw/"));
        let open = self.names.iter().enumerate().filter(|(_, n)| !n.is_durable);
        open.map(|(number, n)| (number, n.text.as_str(), is_aside(n))).collect()
    }

    /// The tree after a power cut that these undecided names have survived, with so much data of every file
    /// (by its number).
    pub fn cut(&self, survives: impl Fn(usize) -> bool, data: impl Fn(usize) -> Data) -> Tree {
        let mut names = self.base.clone();
        for (number, op) in self.names.iter().enumerate() {
            if op.is_durable || survives(number) {
                put(&mut names, &op.effects);
            }
        }
        let mut tree = Tree::new();
        for (path, node) in names {
            // Contents of a lost folder are lost.
            if !parent(&path).is_empty() && tree.get(parent(&path)) != Some(&Entry::Dir) {
                continue;
            }
            let entry = match node {
                Node::Dir => Entry::Dir,
                Node::File(inode) => Entry::File(Arc::new(self.content(inode, data(inode)))),
            };
            tree.insert(path, entry);
        }
        tree
    }

    fn content(&self, inode: usize, data: Data) -> Vec<u8> {
        let Inode { durable, unsynced } = &self.inodes[inode];
        let mut bytes = durable.clone();
        match (data, unsynced.split_last()) {
            (Data::Lost, _) | (_, None) => {}
            (data, Some((last, before))) => {
                for change in before {
                    change.apply(&mut bytes);
                }
                if data == Data::Kept { last.apply(&mut bytes) } else { last.torn().apply(&mut bytes) }
            }
        }
        bytes
    }

    /// The tree as every program sees it.
    pub fn seen(&self) -> Tree {
        self.cut(|_| true, |_| Data::Kept)
    }
}

fn put(names: &mut BTreeMap<String, Node>, effects: &[(String, Option<Node>)]) {
    for (path, node) in effects {
        match node {
            Some(node) => names.insert(path.clone(), *node),
            None => names.remove(path),
        };
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// The fastest place for temporary trees.
pub fn scratch() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}
