//! The cost of a received message until its event is durable, beside a bare synced file; the memory of an idle listener;
//! and a channel's times beside one that hangs and one that crashes.
//!
//! `cargo bench --bench receive [-- --quick]` prints one table. The first figures are medians of runs that alternate with
//! the floor's.

mod gauge;

use claw::channel::accept::{Accepted, accept};
use claw::core::channel::inbound::Inbound;
use claw::core::event::stamp::Stamp;
use claw::store::workspace::Workspace;
use claw::world::World;
use gauge::child::Running;
use gauge::table::{self, Row, median};
use serde_json::{Value, json};
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TEXT: &str = "where is the NAS?";
/// The option with which this program is that of a channel.
const PROGRAM: &str = "--program";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [option, count, file] = &arguments[..]
        && option == PROGRAM
    {
        return program(count.parse()?, Path::new(file));
    }
    if !arguments.iter().any(|a| a == "--bench") {
        println!("nothing is measured here but by `cargo bench --bench receive`");
        return Ok(());
    }
    let runs = if arguments.iter().any(|a| a == "--quick") { 50 } else { 1_000 };
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("receive-{}", std::process::id()));
    let rows = measured(&dir, runs);
    fs::remove_dir_all(&dir)?;
    table::print(&rows?);
    Ok(())
}

fn measured(dir: &Path, runs: usize) -> Result<Vec<Row>> {
    let mut rows = durable(&dir.join("durable"), runs)?;
    rows.push(idle(&dir.join("idle"))?);
    rows.push(apart(dir, runs)?);
    Ok(rows)
}

/// A workspace with the channel `irc` whose program is this one, and others.
fn workspace(dir: &Path, count: usize, others: &str) -> Result<()> {
    fs::create_dir_all(dir)?;
    let program = json!([std::env::current_exe()?, PROGRAM, count.to_string(), dir.join("times")]);
    let irc = format!("{{type: exec, allow: [ann], command: {program}}}");
    Ok(fs::write(dir.join("claw.yaml"), format!("model: offline\nchannels:\n  irc: {irc}\n{others}"))?)
}

fn durable(dir: &Path, runs: usize) -> Result<Vec<Row>> {
    workspace(dir, 0, "")?;
    fs::create_dir_all(dir.join("floor"))?;
    let workspace = Workspace::open(World::real()?, dir.to_owned(), true)?;
    workspace.make_layout()?;
    let (mut with_instant, mut without, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..runs {
        let began = Instant::now();
        receive(&workspace, number, Some(workspace.world.now()))?;
        with_instant.push(millis(began));
        let began = Instant::now();
        receive(&workspace, runs + number, None)?;
        without.push(millis(began));
        let began = Instant::now();
        bare(&dir.join("floor"), number)?;
        floor.push(millis(began));
    }
    let floor = median(floor);
    Ok(vec![
        Row::millis("received to durable, id of an instant", median(with_instant), floor),
        Row::millis("received to durable, id of the first receipt", median(without), floor),
    ])
}

fn receive(workspace: &Workspace, number: usize, at: Option<Stamp>) -> Result<()> {
    let inbound = Inbound {
        platform_id: number.to_string(),
        at,
        sender: "ann".to_owned(),
        reply_to: "ann".to_owned(),
        text: TEXT.to_owned(),
        ..Inbound::default()
    };
    match accept(workspace, "irc", inbound)? {
        Accepted::Published(_) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// A file, its name and its folder, synced.
fn bare(folder: &Path, number: usize) -> Result<()> {
    let mut file = File::create_new(folder.join(number.to_string()))?;
    file.write_all(TEXT.as_bytes())?;
    file.sync_all()?;
    Ok(File::open(folder)?.sync_all()?)
}

/// The memory of a listener whose program is silent, beside that of a sleeping program.
fn idle(dir: &Path) -> Result<Row> {
    workspace(dir, 0, "")?;
    let listener = started(dir, &["listen", "irc"])?;
    times(dir)?;
    let floor = Running(Command::new("sleep").arg("1000").spawn()?);
    let row = Row::mebibytes("an idle listener, anonymous", listener.memory("RssAnon")?, floor.memory("RssAnon")?);
    Ok(row.at_most(2.5))
}

/// The 99th percentile from written to acknowledged of a channel, beside a hanging and a crashing one, and alone.
fn apart(dir: &Path, runs: usize) -> Result<Row> {
    let others = "  hangs: {type: exec, command: [sleep, '1000']}\n  crashes: {type: exec, command: ['false']}\n";
    let (mut beside, mut alone) = (Vec::new(), Vec::new());
    for round in 0..5 {
        for (others, found) in [(others, &mut beside), ("", &mut alone)] {
            let dir = dir.join(format!("apart-{round}-{}", others.len()));
            workspace(&dir, runs, others)?;
            let _supervisor = started(&dir, &["supervise", "listen"])?;
            let mut times = times(&dir)?;
            times.sort_by(f64::total_cmp);
            found.push(times[times.len() * 99 / 100]);
        }
    }
    let row = Row::millis("beside two bad channels, p99, beside alone", median(beside), median(alone));
    Ok(row.ratio_at_most(1.2))
}

fn started(dir: &Path, arguments: &[&str]) -> Result<Running> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claw"));
    // A named workspace is trusted.
    command
        .arg("-w")
        .arg(dir)
        .args(arguments)
        .env("XDG_STATE_HOME", dir.join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(Running(command.spawn()?))
}

/// The times that the channel's program has measured, once it has finished.
fn times(dir: &Path) -> Result<Vec<f64>> {
    let end = Instant::now() + Duration::from_mins(2);
    while Instant::now() < end {
        if let Ok(text) = fs::read_to_string(dir.join("times")) {
            return Ok(serde_json::from_str(&text)?);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err("the channel's program did not finish".into())
}

/// The program of the channel: writes each message once the last one is acknowledged, and the times at the end.
fn program(count: usize, file: &Path) -> Result<()> {
    let (mut out, mut times, mut began) = (std::io::stdout(), Vec::new(), None::<Instant>);
    for line in std::io::stdin().lock().lines() {
        let line: Value = serde_json::from_str(&line?)?;
        if let Some(number) = line.get("ping") {
            writeln!(out, "{}", json!({"pong": number}))?;
            out.flush()?;
        }
        if line.get("ack").is_some() {
            times.extend(began.take().map(millis));
        }
        if began.is_some() {
            continue;
        }
        if times.len() < count {
            began = Some(Instant::now());
            writeln!(out, "{}", json!({"id": times.len().to_string(), "from": "ann", "text": TEXT}))?;
            out.flush()?;
        } else if !file.exists() {
            let whole: PathBuf = file.with_extension("tmp");
            fs::write(&whole, serde_json::to_string(&times)?)?;
            fs::rename(&whole, file)?;
        }
    }
    Ok(())
}

fn millis(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}
