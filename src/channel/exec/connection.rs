//! The listener of a channel with a program: it reads the program's lines, acknowledges each message once it is durable,
//! and passes on what is to be sent. A program that does not answer a ping within 30 s is killed.

use super::outlet;
use crate::channel::accept::Accepted;
use crate::channel::listening::Listening;
use crate::channel::outgoing::{PendingSend, SendResult};
use crate::core::channel::lines::{self, InvalidLine, LineBuffer, ProgramLine};
use crate::core::channel::settings::ChannelSettings;
use crate::core::config::SandboxMode;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Kind, Result};
use crate::process::sandbox::Sandbox;
use crate::process::{self, Launch, OutputTo, RunningProgram};
use crate::store::fs::At;
use crate::store::fs::watch::{Watch, Woken};
use crate::store::workspace::{Workspace, program_env, programs};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout};
use std::time::Duration;

/// The time in seconds between two pings, and the longest wait for an answer.
const PING: i64 = 30;
/// How long a program may take to end after its stdin.
const GRACE: Duration = Duration::from_secs(10);
/// While so many bytes wait for the program to read, nothing is read from it.
const MAX_PENDING: usize = 1 << 20;

/// The exit code of a program that cannot reach its server, as of `sysexits.h`.
const UNAVAILABLE: i32 = 69;
/// The longest wait between two attempts to reach a server, in seconds.
const MAX_BACK_OFF: i64 = 300;

pub(super) fn run(listening: &Listening) -> Result<()> {
    let (workspace, name, settings) = (listening.workspace, listening.name, listening.settings);
    if settings.command.is_empty() {
        return Err(Fault::config(outlet::no_command(name)));
    }
    programs::check(workspace, &settings.command)?;
    let mut attempts = 0;
    loop {
        let fault = match run_once(listening, &mut attempts) {
            // No network is no crash: this process waits and tries again.
            Err(fault) if fault.kind == Kind::Unavailable && !listening.once => fault,
            other => return other,
        };
        let next = workspace.world.now().plus_seconds((1 << attempts.min(16)).min(MAX_BACK_OFF));
        attempts += 1;
        listening.unreachable(&fault, next);
        if listening.wait_until(next)? {
            return Ok(());
        }
    }
}

/// Runs the program to its end. `attempts` is set to 0 once it has answered a ping.
fn run_once(listening: &Listening, attempts: &mut u32) -> Result<()> {
    let name = listening.name;
    let mut program = start(listening)?;
    let (Some(stdin), Some(stdout)) = (program.stdin.take(), program.stdout.take()) else {
        return Err(Fault::new(Kind::Machine, "the program has no pipes"));
    };
    let mut connection = Connection::new(listening, stdin, stdout)?;
    let result = connection.serve();
    let is_asked_to_end = connection.is_ending;
    if connection.was_connected {
        *attempts = 0;
    }
    connection.give_up();
    drop(connection);
    let may_end = matches!(result, Ok(true));
    let is_over = program.ends_within(if may_end { GRACE } else { Duration::ZERO });
    if !is_over {
        program.kill();
    }
    let (code, last) = program.wait()?;
    result?;
    if is_asked_to_end {
        return Ok(());
    }
    let why = if last.is_empty() { String::new() } else { format!(": {last}") };
    let kind = match code {
        78 => Kind::Config,
        UNAVAILABLE => Kind::Unavailable,
        _ => Kind::Later,
    };
    Err(Fault::new(kind, format!("the program of channel `{name}` has ended with {code}{why}")))
}

/// Starts the program in its state folder's workspace, with its environment and, if it is set, its sandbox.
fn start(listening: &Listening) -> Result<RunningProgram> {
    let (workspace, name, settings) = (listening.workspace, listening.name, listening.settings);
    let state = workspace.path(crate::store::channel::FOLDER).join(name);
    workspace.make_dir(&state, 2)?;
    let (inherits, mut env) = program_env::of(&workspace.world, &settings.env);
    env.extend([
        ("CLAW_CHANNEL", name.to_owned()),
        ("CLAW_STATE", state.display().to_string()),
        ("CLAW_WORKSPACE", workspace.root.display().to_string()),
        ("CLAW_ONCE", u8::from(listening.once).to_string()),
    ]);
    let sandbox = sandbox(workspace, settings, &state)?;
    let own = name.to_owned();
    process::start(
        Launch {
            command: &settings.command,
            dir: &workspace.root,
            env: &env,
            inherits,
            sandbox: sandbox.as_ref(),
            locks: (listening.locks)()?,
        },
        OutputTo::Here(Box::new(move |line| crate::world::log(&format!("{own}: {line}")))),
    )
}

fn sandbox(workspace: &Workspace, settings: &ChannelSettings, state: &Path) -> Result<Option<Sandbox>> {
    let Some(sandbox) = &settings.sandbox else { return Ok(None) };
    let root = workspace.real_root();
    let resolved = |path: &String| {
        let path = root.join(path);
        fs::canonicalize(&path).map_err(|e| Fault::config(format!("sandbox: {}: {e}", path.display())))
    };
    let mut read: Vec<PathBuf> = sandbox.read.iter().map(resolved).collect::<Result<_>>()?;
    read.extend(programs::of(workspace, &settings.command)?.into_iter().map(|program| root.join(program.path)));
    let mut write: Vec<PathBuf> = sandbox.write.iter().map(resolved).collect::<Result<_>>()?;
    write.push(fs::canonicalize(state).at("find", state)?);
    let is_required = workspace.config()?.sandbox.mode != SandboxMode::BestEffort;
    Ok(Some(Sandbox {
        read,
        write,
        list: vec![root.clone()],
        private: vec![root],
        network: sandbox.network,
        is_required,
    }))
}

/// Bytes for the program, with the event that they send.
struct PendingLine {
    bytes: Vec<u8>,
    send: Option<String>,
}

struct Connection<'a> {
    listening: &'a Listening<'a>,
    /// `None` once the program is asked to end.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    events: OwnedFd,
    watch: Watch,
    lines: LineBuffer,
    pending: VecDeque<PendingLine>,
    /// Bytes of the first pending line that are written.
    written: usize,
    /// The deliveries that the program has not answered; true if it may have read them.
    sends: BTreeMap<String, (PendingSend, bool)>,
    /// The number of the last ping, and until when it must be answered.
    ping: (u64, Option<Stamp>),
    next_ping: Stamp,
    /// The listener is asked to end.
    is_ending: bool,
    /// The program has answered a ping.
    was_connected: bool,
}

/// Numbers of the descriptors in the epoll set.
const STDIN: u64 = 0;
const STDOUT: u64 = 1;
const OUTGOING: u64 = 2;
const STOP: u64 = 3;

impl<'a> Connection<'a> {
    fn new(listening: &'a Listening<'a>, stdin: ChildStdin, stdout: ChildStdout) -> Result<Self> {
        let events = epoll::create(CreateFlags::CLOEXEC).map_err(machine)?;
        let add = |fd, number, flags| epoll::add(&events, fd, EventData::new_u64(number), flags);
        add(stdout.as_fd(), STDOUT, EventFlags::IN)
            .and_then(|()| add(stdin.as_fd(), STDIN, EventFlags::empty()))
            .and_then(|()| add(listening.outgoing.fd(), OUTGOING, EventFlags::IN))
            .and_then(|()| add(listening.stop, STOP, EventFlags::IN))
            .and_then(|()| rustix::fs::fcntl_setfl(&stdin, OFlags::NONBLOCK))
            .map_err(machine)?;
        Ok(Self {
            listening,
            stdin: Some(stdin),
            stdout,
            events,
            watch: Watch::new(&[])?,
            lines: LineBuffer::default(),
            pending: VecDeque::new(),
            written: 0,
            sends: BTreeMap::new(),
            ping: (0, None),
            next_ping: listening.workspace.world.now(),
            is_ending: false,
            was_connected: false,
        })
    }

    /// Serves until the program has ended its output: true. False if it was asked to end and hangs.
    fn serve(&mut self) -> Result<bool> {
        let world = &self.listening.workspace.world;
        loop {
            let now = world.now();
            match self.ping.1 {
                Some(until) if until <= now && self.is_ending => return Ok(false),
                Some(until) if until <= now => {
                    let message = format!(
                        "the program of channel `{}` has not answered a ping for {PING} s",
                        self.listening.name
                    );
                    return Err(Fault::new(Kind::Later, message));
                }
                // The clock may have been set back.
                Some(until) if until > now.plus_seconds(PING) => self.ping.1 = Some(now.plus_seconds(PING)),
                None if self.next_ping <= now || self.next_ping > now.plus_seconds(PING) => self.send_ping(now),
                Some(_) | None => {}
            }
            self.write()?;
            self.select()?;
            let next = self.ping.1.unwrap_or(self.next_ping);
            if self.watch.wait(world, Some(next), Some(self.events.as_fd()))? != Woken::Other {
                continue;
            }
            for number in self.ready()? {
                match number {
                    STDOUT if !self.read()? => return Ok(true),
                    OUTGOING => self.take_sends(),
                    STOP => self.begin_end(),
                    _ => {}
                }
            }
        }
    }

    /// Chooses the descriptors to wait for. A program that does not read is not read from.
    fn select(&self) -> Result<()> {
        let waiting: usize = self.pending.iter().map(|line| line.bytes.len()).sum();
        let read = if waiting > MAX_PENDING { EventFlags::empty() } else { EventFlags::IN };
        let write = if waiting > 0 { EventFlags::OUT } else { EventFlags::empty() };
        epoll::modify(&self.events, &self.stdout, EventData::new_u64(STDOUT), read).map_err(machine)?;
        match &self.stdin {
            Some(stdin) => epoll::modify(&self.events, stdin, EventData::new_u64(STDIN), write).map_err(machine),
            None => Ok(()),
        }
    }

    fn ready(&self) -> Result<Vec<u64>> {
        let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 4];
        let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.events, &mut events, Some(&none)) {
            Ok(count) => Ok(events[..count].iter().map(|event| event.data.u64()).collect()),
            Err(Errno::INTR) => Ok(Vec::new()),
            Err(e) => Err(machine(e)),
        }
    }

    fn send_ping(&mut self, now: Stamp) {
        let patience = if self.is_ending { GRACE.as_secs().cast_signed() } else { PING };
        self.ping = (self.ping.0 + 1, Some(now.plus_seconds(patience)));
        self.put(lines::ping(self.ping.0), None);
    }

    fn put(&mut self, bytes: Vec<u8>, send: Option<String>) {
        if self.stdin.is_some() {
            self.pending.push_back(PendingLine { bytes, send });
        }
    }

    /// Writes as much as the pipe takes.
    fn write(&mut self) -> Result<()> {
        while let (Some(stdin), Some(line)) = (&self.stdin, self.pending.front()) {
            match rustix::io::write(stdin, &line.bytes[self.written..]) {
                Ok(count) => {
                    self.written += count;
                    if let Some((_, may_be_read)) = line.send.as_ref().and_then(|id| self.sends.get_mut(id)) {
                        *may_be_read = true;
                    }
                    if self.written == line.bytes.len() {
                        self.pending.pop_front();
                        self.written = 0;
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
                // Its output is still read to the end.
                Err(Errno::PIPE) => {
                    self.close_stdin();
                    return Ok(());
                }
                Err(e) => return Err(e).at("write to", Path::new("the program")),
            }
        }
        Ok(())
    }

    fn close_stdin(&mut self) {
        if let Some(stdin) = self.stdin.take() {
            let _ = epoll::delete(&self.events, &stdin);
        }
        self.pending.clear();
        self.written = 0;
        self.ping.1 = None;
    }

    /// Reads and handles output; false at its end. Half a line at the end is ignored.
    fn read(&mut self) -> Result<bool> {
        let mut buffer = [0u8; 8 << 10];
        match rustix::io::read(&self.stdout, &mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => self.lines.push(&buffer[..count]),
            Err(Errno::INTR | Errno::AGAIN) => return Ok(true),
            Err(e) => return Err(e).at("read from", Path::new("the program")),
        }
        while let Some(line) = self.lines.next_line().map_err(|why| Fault::new(Kind::Later, why))? {
            self.handle(&line)?;
            // The program may wait for each acknowledgement.
            self.write()?;
        }
        Ok(true)
    }

    fn handle(&mut self, line: &[u8]) -> Result<()> {
        let listening = self.listening;
        match lines::parse(line) {
            Ok(ProgramLine::Message(id, inbound)) => {
                let answer = match listening.accept(*inbound)? {
                    Accepted::Refused(why) => lines::refused(&id, &why.to_string()),
                    _ => lines::ack(&id),
                };
                self.put(answer, None);
            }
            Ok(ProgramLine::Sent(id, receipt)) => self.finish(&id, SendResult::Sent(receipt)),
            Ok(ProgramLine::Failed { id, why, after }) => self.finish(&id, SendResult::Failed { why, after }),
            Ok(ProgramLine::Pong(number)) => self.pong(number),
            Err(InvalidLine { id, why }) => {
                listening.skip(line.len());
                listening
                    .workspace
                    .world
                    .say(&format!("channel `{}`: the program wrote an invalid line: {why}", listening.name));
                self.put(lines::refused(&id, &why), None);
            }
        }
        Ok(())
    }

    fn pong(&mut self, number: u64) {
        if number != self.ping.0 || self.ping.1.is_none() {
            return;
        }
        self.ping.1 = None;
        self.next_ping = self.listening.workspace.world.now().plus_seconds(PING);
        if self.is_ending {
            self.close_stdin();
            self.ping.1 = Some(self.listening.workspace.world.now().plus_seconds(GRACE.as_secs().cast_signed()));
        } else {
            self.was_connected = true;
            self.listening.connected();
        }
    }

    fn take_sends(&mut self) {
        for pending in self.listening.outgoing.take() {
            if self.stdin.is_none() {
                pending.finish(SendResult::Unsent);
                continue;
            }
            let message = &pending.message;
            let id = message.id.clone();
            let line = lines::send(&id, &message.to, &message.text, message.attempt, message.maybe_repeated);
            self.put(line, Some(id.clone()));
            self.sends.insert(id, (pending, false));
        }
    }

    /// Reports the program's answer. One about a message that it was not given is ignored.
    fn finish(&mut self, id: &str, result: SendResult) {
        let Some((pending, _)) = self.sends.remove(id) else {
            let name = self.listening.name;
            self.listening
                .workspace
                .world
                .say(&format!("channel `{name}`: the program answered for an unknown message"));
            return;
        };
        if matches!(result, SendResult::Sent(_)) {
            self.listening.sent();
        }
        pending.finish(result);
    }

    /// Begins to end: a last ping makes sure that the program has read everything, then its stdin is closed.
    fn begin_end(&mut self) {
        self.is_ending = true;
        let _ = epoll::delete(&self.events, self.listening.stop);
        if self.stdin.is_some() {
            self.send_ping(self.listening.workspace.world.now());
        }
    }

    /// Reports every unanswered delivery.
    fn give_up(&mut self) {
        self.listening.outgoing.close();
        for (_, (pending, may_be_read)) in std::mem::take(&mut self.sends) {
            pending.finish(if may_be_read { SendResult::Unknown } else { SendResult::Unsent });
        }
    }
}

fn machine(error: Errno) -> Fault {
    Fault::new(Kind::Machine, format!("cannot wait for a program: {error}"))
}
