//! The cost of listing many sessions, beside reading a file of each.
//!
//! `cargo bench --bench sessions [-- --quick]` prints one table. Every figure is the median of runs that alternate
//! with the floor's.

mod gauge;

use gauge::child;
use gauge::table::{self, Row, median};
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How many sessions there are.
const SESSIONS: usize = 10_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|a| a == "--bench") {
        println!("nothing is measured here but by `cargo bench --bench sessions`");
        return Ok(());
    }
    let runs = if arguments.iter().any(|a| a == "--quick") { 5 } else { 30 };
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sessions-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let measured = listed(&dir, runs);
    fs::remove_dir_all(&dir)?;
    table::print(&measured?);
    Ok(())
}

/// `claw sessions`, from start to end: with an empty index, so that all logs must be read; with a complete index; after
/// a turn in one session. The floor reads one small file per session: the cost of a list kept beside each
/// log.
fn listed(dir: &Path, runs: usize) -> Result<[Row; 3]> {
    fs::write(dir.join("claw.yaml"), "model: offline\nsync: none\n")?;
    let logs = (0..SESSIONS).map(|n| made(dir, n)).collect::<Result<Vec<PathBuf>>>()?;
    let index = dir.join(".claw/sessions.jsonl");
    fs::create_dir_all(dir.join(".claw"))?;
    let (mut first, mut known, mut grown, mut floor) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (run, log) in logs.iter().enumerate().take(runs) {
        let _ = fs::remove_file(&index);
        first.push(list(dir)?);
        known.push(list(dir)?);
        fs::File::options().append(true).open(log)?.write_all(line(run + SESSIONS).as_bytes())?;
        grown.push(list(dir)?);
        floor.push(read(&dir.join("sessions"))?);
    }
    let floor = median(floor);
    let row = |name: &str, runs: Vec<f64>| Row::millis(&format!("{SESSIONS} sessions: {name}"), median(runs), floor);
    Ok([
        row("listed, nothing known of them", first),
        row("listed, all known", known).under(50.0),
        row("listed, one has had a turn since", grown).under(50.0),
    ])
}

/// Makes a session, and returns its log.
fn made(dir: &Path, n: usize) -> Result<PathBuf> {
    let folder = dir.join(format!("sessions/pickle.ask-20261121T080500.{n:06}Z-k{n:05}"));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("log.jsonl"), line(n))?;
    // The file that the floor reads.
    fs::write(folder.join("head.json"), [b'x'; 300])?;
    Ok(folder.join("log.jsonl"))
}

/// A turn in a log.
fn line(n: usize) -> String {
    let id = format!("20261121T080500.{n:06}Z-k{n:05}");
    let (at, said) =
        ("2026-11-21T08:05:00.123456Z", "What is due this week, and what have I forgotten to do last week?");
    let event = format!(
        r#"{{"v":1,"id":"{id}","kind":"message","from":"cli:ann","reply_to":"cli:ann.k","content":"{said}","created_at":"{at}"}}"#
    );
    format!(
        "{{\"t\":\"in\",\"at\":\"{at}\",\"event\":{event}}}\n\
         {{\"t\":\"model\",\"at\":\"{at}\",\"id\":\"{id}\",\"model\":\"m\",\"ms\":1,\"reply\":{{\"content\":\"{}\",\"usage\":{{\"input\":10,\"output\":5}}}}}}\n\
         {{\"t\":\"done\",\"at\":\"{at}\",\"ids\":[\"{id}\"],\"out\":[{event}]}}\n",
        "A long answer. ".repeat(50)
    )
}

/// Milliseconds that a list takes, with everything in it.
fn list(dir: &Path) -> Result<f64> {
    let out = dir.join("list");
    let mut command = Command::new(env!("CARGO_BIN_EXE_claw"));
    command.env_clear().env("HOME", dir).env("TZ", "UTC").arg("-w").arg(dir).arg("sessions");
    command.stdin(Stdio::null()).stdout(fs::File::create(&out)?).stderr(Stdio::null());
    let used = child::run(&mut command)?;
    let text = fs::read_to_string(out)?;
    let titles = text.matches("What is due this week").count();
    if titles != SESSIONS {
        return Err(format!("{titles} of {SESSIONS} sessions are listed").into());
    }
    Ok(used.wall * 1e3)
}

/// Milliseconds for a small file of each session.
fn read(sessions: &Path) -> Result<f64> {
    let begun = Instant::now();
    let mut bytes = 0;
    for folder in fs::read_dir(sessions)? {
        bytes += fs::read(folder?.path().join("head.json"))?.len();
    }
    if bytes == 300 * SESSIONS { Ok(begun.elapsed().as_secs_f64() * 1e3) } else { Err("not all was read".into()) }
}
