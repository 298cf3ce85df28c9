//! `claw` under load, beside the floor: the minimum that disk and kernel need for the same work, measured in the
//! same run.
//!
//! `cargo bench --bench scale [-- --quick] [-- PART…]` prints one table; `--quick` runs a tenth of everything, with
//! the targets of the whole. The parts are `wake`, `through`, `pending`, `growth`
//! and `lanes`.

mod gauge;

use claw::core::event::address::Address;
use claw::core::event::entry::Entry;
use claw::core::event::id::Id;
use claw::core::event::session_name;
use claw::core::event::stamp::Stamp;
use claw::core::event::{Draft, Event};
use claw::store::workspace::Workspace;
use claw::store::workspace::journal;
use claw::store::workspace::mailbox::{Mailbox, State};
use claw::world::World;
use gauge::bench::Bench;
use gauge::child;
use gauge::table::{self, Row, median};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::collections::HashSet;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The durable writes of an event between `inbox/new` and its end: the session's log, the answer in the outbox,
/// the temporary message, and two lines of its receipt.
const PAIRS: u32 = 5;
/// The sessions that a throughput is spread over.
const SESSIONS: u32 = 200;
/// Time limit; anything longer counts as stuck.
const PATIENCE: Duration = Duration::from_mins(2);

/// One part of the table.
type Part<'a> = &'a dyn Fn() -> Result<Vec<Row>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|a| a == flag);
    if !has("--bench") {
        println!("nothing is measured here but by `cargo bench --bench scale`");
        return Ok(());
    }
    let bench = Bench::new("scale", has("--quick"))?;
    let parts: [(&str, Part); 5] = [
        ("wake", &|| Ok([bench.wake("none")?, bench.wake("full")?].into_iter().flatten().collect())),
        ("through", &|| {
            let (full, none) = (bench.through("full", 400)?, bench.through("none", 4000)?);
            Ok(vec![full.ratio_at_most(2.0), none.at_least(2000.0)])
        }),
        ("pending", &|| bench.pending()),
        ("growth", &|| bench.growth()),
        ("lanes", &|| Ok(vec![bench.lanes(1)?, bench.lanes(2)?])),
    ];
    let is_named = |name: &str| arguments.iter().any(|a| a == name);
    let is_all = arguments.iter().all(|a| a.starts_with('-'));
    let mut rows = Vec::new();
    for (_, part) in parts.iter().filter(|(name, _)| is_all || is_named(name)) {
        rows.extend(part()?);
    }
    table::print(&rows);
    Ok(())
}

impl Bench {
    /// That many, or a tenth.
    fn count(&self, most: u32) -> u32 {
        if self.is_quick { most.div_ceil(10) } else { most }
    }

    fn claw(&self, workspace: &Workspace, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_claw"));
        command.arg("-w").arg(&workspace.root).args(arguments);
        command
    }

    /// A fresh workspace with the offline model.
    fn workspace(&self, sync: &str) -> Result<Workspace> {
        // Each has a folder of its own to the end: ext4 creates files slowly after many removals.
        let root = (0..1_000_000).map(|n| self.dir.join(format!("workspace-{n}"))).find(|root| !root.exists());
        let root = root.ok_or("no name is left")?;
        child::run(self.command(env!("CARGO_BIN_EXE_claw")).arg("init").arg(&root))?;
        let mut file = File::options().append(true).open(root.join("claw.yaml"))?;
        writeln!(file, "sync: {sync}")?;
        let told = |fault: claw::core::fault::Fault| fault.message;
        let workspace = Workspace::find(World::real().map_err(told)?, Some(&root)).map_err(told)?;
        workspace.make_layout().map_err(told)?;
        // Pending writes of other programs must not count.
        rustix::fs::sync();
        Ok(workspace)
    }

    /// `supervise`, watching.
    fn supervise(&self, workspace: &Workspace) -> Result<child::Running> {
        let mut running = child::Running(self.claw(workspace, &["supervise"]).stderr(Stdio::piped()).spawn()?);
        let mut line = String::new();
        let mut said = BufReader::new(running.0.stderr.take().ok_or("no stderr")?);
        said.read_line(&mut line)?;
        if !line.contains("supervising") {
            return Err(format!("supervise says: {line}").into());
        }
        Ok(running)
    }

    /// Events in `inbox/new` when `supervise` starts, until the last one is delivered; beside as many pairs of a
    /// file and its name as they make durable.
    fn through(&self, sync: &str, most: u32) -> Result<Row> {
        let events = self.count(most);
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..self.count(3) {
            let workspace = self.workspace(sync)?;
            for n in 0..events {
                let event = event(&workspace, n, n % SESSIONS)?;
                put(&workspace, State::New, &Entry::unrouted(event.id.clone(), None), &event)?;
            }
            rustix::fs::sync();
            let start = Instant::now();
            let running = self.supervise(&workspace)?;
            let done = workspace.path("outbox/done");
            until(|| Ok(files(&done, "json")? >= events), &format!("sync: {sync}: deliveries"))?;
            ours.push(f64::from(events) / start.elapsed().as_secs_f64());
            drop(running);
            if files(&workspace.path("outbox/files"), "md")? != events {
                return Err("not every event was delivered".into());
            }
            floor.push(f64::from(events) / self.bare(events * PAIRS, sync == "full")?);
        }
        let name = format!("sync: {sync}: {events} events under supervise");
        Ok(Row::rate(&name, median(ours), median(floor)))
    }

    /// Seconds for as many files, each written unnamed, then linked.
    fn bare(&self, pairs: u32, is_synced: bool) -> Result<f64> {
        let dir = self.dir.join("bare");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir)?;
        let start = Instant::now();
        for n in 0..pairs {
            let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::open(&dir, flags, Mode::RUSR | Mode::WUSR)?);
            file.write_all(&[b'x'; 300])?;
            if is_synced {
                file.sync_data()?;
            }
            let own = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, own, CWD, dir.join(n.to_string()), AtFlags::SYMLINK_FOLLOW)?;
            if is_synced {
                File::open(&dir)?.sync_all()?;
            }
        }
        Ok(start.elapsed().as_secs_f64())
    }

    /// The cost of one listing and one session with 100,000 events of 10,000 lanes in `inbox/ready`, beside one
    /// bare listing of that folder.
    fn pending(&self) -> Result<Vec<Row>> {
        let (events, lanes) = (self.count(100_000), self.count(10_000));
        let workspace = self.workspace("none")?;
        fill(&workspace, "pickle", 0..events, lanes)?;
        let (mut status, mut session, mut ask, mut floor) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for n in 0..5 {
            status.push(child::run(&mut self.claw(&workspace, &["status", "--json"]))?.wall * 1e3);
            let name = format!("pickle.file-{n}");
            session.push(child::run(&mut self.claw(&workspace, &["run-agent", "--session", &name]))?.wall * 1e3);
            ask.push(child::run(&mut self.claw(&workspace, &["ask", "-n", "hi"]))?.wall * 1e3);
            let start = Instant::now();
            let pending = u32::try_from(fs::read_dir(workspace.path("inbox/ready"))?.count())?;
            floor.push(start.elapsed().as_secs_f64() * 1e3);
            if pending != events - (n + 1) * (events / lanes) {
                return Err(format!("{pending} events are left after {} sessions", n + 1).into());
            }
        }
        let floor = median(floor);
        Ok(vec![
            Row::millis(&format!("{events} pending: status --json"), median(status), floor).under(100.0),
            Row::millis(&format!("{events} pending: run-agent --session"), median(session), floor).under(500.0),
            Row::millis(&format!("{events} pending: ask"), median(ask), floor).under(500.0),
        ])
    }

    /// The same events alone, beside many others, and beside many sessions.
    fn growth(&self) -> Result<Vec<Row>> {
        let (events, others, sessions) = (self.count(2000), self.count(50_000), self.count(10_000));
        let rate = |others: u32, sessions: u32| -> Result<f64> {
            let workspace = self.workspace("none")?;
            // They come after the others, which do not wait for this agent.
            fill(&workspace, "cookie", 0..others, (others / 10).max(1))?;
            fill(&workspace, "pickle", others..others + events, events / 10)?;
            for n in 0..sessions {
                let folder = workspace.path(&format!("sessions/pickle.old-{n}"));
                fs::create_dir(&folder)?;
                fs::write(folder.join("log.jsonl"), "")?;
            }
            rustix::fs::sync();
            let used = child::run(&mut self.claw(&workspace, &["run-agent", "--agent", "pickle"]))?;
            let done = files(&workspace.path("inbox/done"), "json")?;
            if done != events {
                return Err(format!("{done} of {events} events are done").into());
            }
            Ok(f64::from(events) / used.wall)
        };
        let (mut alone, mut beside, mut among) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.count(3) {
            alone.push(rate(0, 0)?);
            beside.push(rate(others, 0)?);
            among.push(rate(0, sessions)?);
        }
        let alone = median(alone);
        let row = |name: String, values| Row::rate(&name, median(values), alone).ratio_at_most(1.2);
        Ok(vec![
            row(format!("run-agent of {events}, {others} others pending"), beside),
            row(format!("run-agent of {events}, {sessions} old sessions"), among),
        ])
    }

    /// 10,000 lanes with so many events each, under one `run-agent` with few descriptors. Every lane is
    /// served once before any is served again. Beside as many renames.
    fn lanes(&self, each: u32) -> Result<Row> {
        let lanes = self.count(10_000);
        let workspace = self.workspace("none")?;
        fill(&workspace, "pickle", 0..lanes * each, lanes)?;
        let mut command = self.command("/bin/sh");
        command.args(["-c", r#"ulimit -n 256; exec "$@""#, "sh", env!("CARGO_BIN_EXE_claw"), "-w"]);
        let used = child::run(command.arg(&workspace.root).arg("run-agent"))?;
        let done = files(&workspace.path("inbox/done"), "json")?;
        if done != lanes * each {
            return Err(format!("{done} of {} events are done", lanes * each).into());
        }
        let mut order = Vec::new();
        for file in journal::files(&workspace) {
            let text = fs::read_to_string(file)?;
            let claims = text.lines().filter_map(journal::parse).filter(|line| line.kind == "claim");
            order.extend(claims.map(|line| line.lane));
        }
        for (round, claims) in order.chunks(usize::try_from(lanes)?).enumerate() {
            let served: HashSet<&String> = claims.iter().collect();
            if served.len() != claims.len() {
                let twice = claims.len() - served.len();
                return Err(format!("{twice} lanes are served twice in round {}", round + 1).into());
            }
        }
        let dir = self.dir.join("renames");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir)?;
        File::create(dir.join("0"))?;
        let start = Instant::now();
        // Into `run` and out of it.
        for n in 0..lanes * each * 2 {
            fs::rename(dir.join(n.to_string()), dir.join((n + 1).to_string()))?;
        }
        let floor = f64::from(lanes * each) / start.elapsed().as_secs_f64();
        let name = format!("{lanes} lanes of {each}, 256 descriptors, in turns");
        Ok(Row::rate(&name, f64::from(lanes * each) / used.wall, floor))
    }

    /// From the rename of a file into `inbox/` to the claim of its event, beside a thread that is woken
    /// by a rename and renames the file on.
    fn wake(&self, sync: &str) -> Result<Vec<Row>> {
        let drops = self.count(200);
        let workspace = self.workspace(sync)?;
        let running = self.supervise(&workspace)?;
        let (aside, inbox) = (self.dir.join("drop.md"), workspace.path("inbox"));
        let eye = eye(&workspace.path("inbox/run"))?;
        let mut ours = Vec::new();
        for n in 0..drops {
            fs::write(&aside, format!("---\nreply_to: file:{}\n---\nhello {n}\n", n % SESSIONS))?;
            std::thread::sleep(Duration::from_millis(30));
            let start = Instant::now();
            fs::rename(&aside, inbox.join(format!("{n}.md")))?;
            see(&eye)?;
            ours.push(start.elapsed().as_secs_f64() * 1e3);
            let delivered = || Ok(files(&workspace.path("outbox/done"), "json")? > n);
            until(delivered, "a dropped file's answer")?;
            drain(&eye);
        }
        drop(running);
        // The durable writes of a drop: its new name, the event, the event's name.
        let floor = self.bare_wake(drops, if sync == "full" { 3 } else { 0 })?;
        let row = |name: &str, part: f64, limit: f64| {
            let name = format!("sync: {sync}: drop to turn, {name}");
            let row = Row::millis(&name, quantile(&ours, part), quantile(&floor, part));
            if sync == "full" { row.ratio_at_most(3.0) } else { row.under(limit) }
        };
        Ok(vec![row("p50", 0.5, 1.0), row("p99", 0.99, 10.0)])
    }

    fn bare_wake(&self, drops: u32, syncs: u32) -> Result<Vec<f64>> {
        let dirs = ["near", "far"].map(|name| self.dir.join(name));
        for dir in &dirs {
            let _ = fs::remove_dir_all(dir);
            fs::create_dir(dir)?;
        }
        let [near, far] = dirs;
        let (theirs, mine) = (eye(&near)?, eye(&far)?);
        let (from, to) = (near.clone(), far.clone());
        let (tell, hear) = mpsc::channel::<u32>();
        let other = std::thread::spawn(move || -> std::result::Result<(), String> {
            for n in hear {
                see(&theirs).map_err(|e| e.to_string())?;
                for _ in 0..syncs {
                    let file = File::options().append(true).open(from.join(n.to_string()));
                    file.and_then(|mut file| file.write_all(b"x").and_then(|()| file.sync_data()))
                        .map_err(|e| e.to_string())?;
                }
                fs::rename(from.join(n.to_string()), to.join(n.to_string())).map_err(|e| e.to_string())?;
            }
            Ok(())
        });
        let mut times = Vec::new();
        for n in 0..drops {
            let aside = self.dir.join("drop.md");
            fs::write(&aside, "hello")?;
            tell.send(n)?;
            std::thread::sleep(Duration::from_millis(30));
            let start = Instant::now();
            fs::rename(&aside, near.join(n.to_string()))?;
            see(&mine)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        drop(tell);
        other.join().map_err(|_| "the floor's thread is gone")??;
        Ok(times)
    }
}

/// Watches renames into `dir`.
fn eye(dir: &Path) -> Result<OwnedFd> {
    let eye = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&eye, dir, WatchFlags::MOVED_TO)?;
    Ok(eye)
}

/// Sleeps until the next one.
fn see(eye: &OwnedFd) -> Result<()> {
    let timeout = Timespec { tv_sec: i64::try_from(PATIENCE.as_secs())?, tv_nsec: 0 };
    if poll(&mut [PollFd::new(eye, PollFlags::IN)], Some(&timeout))? == 0 {
        return Err("nothing was woken".into());
    }
    drain(eye);
    Ok(())
}

fn drain(eye: &OwnedFd) {
    let mut bytes = [0u8; 4096];
    while rustix::io::read(eye, &mut bytes).is_ok_and(|n| n > 0) {}
}

/// Repeats until the condition holds.
fn until(mut is_so: impl FnMut() -> Result<bool>, what: &str) -> Result<()> {
    let start = Instant::now();
    while !is_so()? {
        if start.elapsed() > PATIENCE {
            return Err(format!("stuck: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The `number`th event, with a place of its own. Ids are in the order of the numbers.
fn event(workspace: &Workspace, number: u32, place: u32) -> Result<Event> {
    let told = |fault: claw::core::fault::Fault| fault.message;
    let at =
        Stamp(workspace.world.now().plus_seconds(-600).0.div_euclid(600_000_000) * 600_000_000 + i64::from(number));
    let address = Address::parse(&format!("file:{place}")).map_err(told)?;
    let draft = Draft { reply_to: Some(address.clone()), ..Draft::message(format!("message {number}")) };
    Ok(draft.complete(Id::new(at, u64::from(number)), at, &address, &address))
}

/// Puts routed events of an agent's lanes into `inbox/ready`, which take turns.
fn fill(workspace: &Workspace, agent: &str, numbers: std::ops::Range<u32>, lanes: u32) -> Result<()> {
    for number in numbers {
        let event = event(workspace, number, number % lanes)?;
        let lane = session_name::at(agent, &event.reply_to);
        put(workspace, State::Ready, &Entry::fresh(event.id.clone(), lane), &event)?;
    }
    Ok(())
}

fn put(workspace: &Workspace, state: State, entry: &Entry, event: &Event) -> Result<()> {
    let json = event.to_json().map_err(|fault| fault.message)?;
    fs::write(Mailbox::Inbox.dir(workspace, state).join(entry.to_string()), json + "\n")?;
    Ok(())
}

/// How many files with that ending there are in the folders of `dir`.
fn files(dir: &Path, ending: &str) -> Result<u32> {
    let mut count = 0;
    for folder in fs::read_dir(dir)? {
        let names = fs::read_dir(folder?.path())?.flatten();
        count += u32::try_from(names.filter(|e| e.path().extension().is_some_and(|e| e == ending)).count())?;
    }
    Ok(count)
}

/// This percentile of all values.
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let above = values.iter().enumerate().find(|(n, _)| {
        let (rank, all) = (u32::try_from(n + 1), u32::try_from(values.len()));
        rank.is_ok_and(|rank| all.is_ok_and(|all| f64::from(rank) >= part * f64::from(all)))
    });
    above.map_or(f64::NAN, |(_, value)| *value)
}
