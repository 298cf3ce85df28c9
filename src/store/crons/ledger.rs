//! The ledger of a job: `.claw/crons/<id>.jsonl`, append-only, written under one lock. It is the memory of the schedule:
//! the mailboxes may be pruned, and the job's file may be touched. A line with the sum of all lines before it follows at
//! least every 16 KiB, so that only the end of the file is read.

use crate::core::crons::heartbeat;
use crate::core::crons::line::CronLine;
use crate::core::crons::state::JobState;
use crate::core::event::address::safe_name;
use crate::core::fault::{Fault, Result};
use crate::store::crons::LEDGERS;
use crate::store::fs::file_cache::FileCache;
use crate::store::fs::{At, durable, if_there};
use crate::store::workspace::Workspace;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of lines after which the sum is written.
const SUM_AFTER: u64 = 16 << 10;
/// The part of the end that is read first, in bytes.
const WINDOW: u64 = 48 << 10;
/// The start of a line with the sum.
const SUM: &[u8] = b"\n{\"t\":\"state\",";
/// The longest name of a ledger's file, without its ending.
const MAX_NAME: usize = 120;

/// The end of a ledger.
#[derive(Clone, Debug, Default)]
pub struct CronLedger {
    /// The sum of all lines.
    pub state: JobState,
    /// Bytes since the last line with the sum.
    unsummed: u64,
}

/// The ends of ledgers, by job.
#[derive(Default)]
struct CronLedgerCache(FileCache<Arc<CronLedger>>);

/// The name of a job's ledger.
#[must_use]
pub fn name(id: &str) -> String {
    if id == heartbeat::ID { id.to_owned() } else { safe_name(id, MAX_NAME) }
}

/// The file of a ledger.
pub(super) fn path(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.path(LEDGERS).join(format!("{name}.jsonl"))
}

/// Reads the end of a ledger; an empty one if there is none.
///
/// # Errors
/// If it exists and cannot be read.
pub fn read(workspace: &Workspace, name: &str) -> Result<Arc<CronLedger>> {
    let path = path(workspace, name);
    let files = std::slice::from_ref(&path);
    workspace.caches.of::<CronLedgerCache>().0.get(name, files, workspace.world.now(), || {
        let Some(file) = if_there(File::open(&path)).at("read", &path)? else { return Ok(Arc::default()) };
        end(&file).map(Arc::new).at("read", &path)
    })
}

/// Appends lines to a job's ledger under [`crate::store::crons::lock`], durable on return except for a new file's name
/// (see [`sync_names`]), and adds them to `ledger`, its end.
///
/// # Errors
/// If they cannot be written; then none of them was.
pub fn append(workspace: &Workspace, name: &str, ledger: &mut CronLedger, lines: &[CronLine]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut after = ledger.clone();
    // The leading newline ends a torn line; readers skip empty lines.
    let mut text = String::from("\n");
    for line in lines {
        after.state.add(line);
        text += &json(line)?;
    }
    after.unsummed += text.len() as u64;
    if after.unsummed >= SUM_AFTER {
        text.push('\n');
        text += &json(&CronLine::State(Box::new(after.state.clone())))?;
        after.unsummed = 0;
    }
    durable::append(&path(workspace, name), text.as_bytes(), true, workspace.sync()?)?;
    *ledger = after;
    Ok(())
}

/// Makes the names of ledgers durable, once for several.
///
/// # Errors
/// If the sync fails.
pub fn sync_names(workspace: &Workspace) -> Result<()> {
    durable::sync_dir(&workspace.path(LEDGERS), workspace.sync()?)
}

/// Passes every line of a job's ledger to `see`, oldest first. Torn lines are skipped.
///
/// # Errors
/// If it exists and cannot be read.
pub fn each(workspace: &Workspace, name: &str, mut see: impl FnMut(CronLine)) -> Result<()> {
    let path = path(workspace, name);
    let Some(file) = if_there(File::open(&path)).at("read", &path)? else { return Ok(()) };
    let (mut lines, mut line) = (BufReader::new(file), Vec::new());
    while {
        line.clear();
        lines.read_until(b'\n', &mut line).at("read", &path)? > 0
    } {
        if line.ends_with(b"\n")
            && let Ok(line) = serde_json::from_slice(&line)
        {
            see(line);
        }
    }
    Ok(())
}

/// The instants after `after` that have run or wait, however old their lines are.
///
/// # Errors
/// As [`each`].
pub fn ran_after(workspace: &Workspace, name: &str, after: Timestamp) -> Result<BTreeSet<Timestamp>> {
    let mut ran = BTreeSet::new();
    each(workspace, name, |line| match line {
        CronLine::Fired { due, by_hand: false, .. } | CronLine::Queued { due, .. } if due > after => {
            ran.insert(due);
        }
        _ => {}
    })?;
    Ok(ran)
}

/// The names of the files of all ledgers, without their ending.
///
/// # Errors
/// If the folder exists and cannot be listed.
pub fn names(workspace: &Workspace) -> Result<Vec<String>> {
    let dir = workspace.path(LEDGERS);
    let mut names = Vec::new();
    for entry in if_there(fs::read_dir(&dir)).at("list", &dir)?.into_iter().flatten() {
        let name = entry.at("list", &dir)?.file_name();
        names.extend(name.to_str().and_then(|name| name.strip_suffix(".jsonl")).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn json(line: &CronLine) -> Result<String> {
    Ok(serde_json::to_string(line).map_err(|e| Fault::data(e.to_string()))? + "\n")
}

/// The sum of all lines. Of a long ledger only the part from the last line with a sum is read.
fn end(file: &File) -> std::io::Result<CronLedger> {
    let size = file.metadata()?.len();
    let mut window = WINDOW;
    loop {
        let start = size.saturating_sub(window);
        let mut tail = vec![0; usize::try_from(size - start).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut tail, start)?;
        let sums = memchr::memmem::rfind_iter(&tail, SUM);
        let sum = sums.map(|before| before + 1).find(|from| {
            let line = tail[*from..].split(|byte| *byte == b'\n').next().unwrap_or_default();
            serde_json::from_slice::<CronLine>(line).is_ok()
        });
        if sum.is_none() && start > 0 {
            window = window.saturating_mul(8);
            continue;
        }
        let tail = &tail[sum.unwrap_or(0)..];
        let whole = memchr::memrchr(b'\n', tail).map_or(0, |end| end + 1);
        let mut ledger = CronLedger { state: JobState::default(), unsummed: tail.len() as u64 };
        for line in tail[..whole].split(|byte| *byte == b'\n') {
            // A line that cannot be parsed was torn by a power cut or edited.
            if let Ok(line) = serde_json::from_slice(line) {
                ledger.state.add(&line);
            }
        }
        return Ok(ledger);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::crons::terms::MissedReason;
    use crate::world::World;
    use std::io::Write;

    fn workspace(dir: &std::path::Path) -> Workspace {
        fs::write(dir.join("claw.yaml"), "sync: none\n").unwrap();
        let workspace = Workspace::open(World::real().unwrap(), dir.to_owned(), true).unwrap();
        workspace.make_layout().unwrap();
        crate::store::crons::make_layout(&workspace).unwrap();
        workspace
    }

    fn missed(n: i64) -> CronLine {
        let due = Timestamp::from_second(n).unwrap();
        CronLine::Missed { at: due, due, to: None, count: 1, why: MissedReason::Late }
    }

    #[test]
    fn end_of_a_long_ledger_is_the_sum_of_all_lines() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = workspace(dir.path());
        let mut ledger = CronLedger::default();
        for n in 0..2000 {
            append(&workspace, "j", &mut ledger, &[missed(n)]).unwrap();
        }
        let file = File::open(path(&workspace, "j")).unwrap();
        assert!(file.metadata().unwrap().len() > 3 * WINDOW);
        let read = end(&file).unwrap();
        assert_eq!((read.state.misses, &read.state), (2000, &ledger.state));
        assert!(read.unsummed < SUM_AFTER);
        let mut seen = 0;
        each(&workspace, "j", |line| seen += usize::from(matches!(line, CronLine::Missed { .. }))).unwrap();
        assert_eq!(seen, 2000);
    }

    #[test]
    fn torn_lines_are_skipped_and_the_next_line_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = workspace(dir.path());
        let mut ledger = CronLedger::default();
        append(&workspace, "j", &mut ledger, &[missed(1)]).unwrap();
        let mut file = File::options().append(true).open(path(&workspace, "j")).unwrap();
        file.write_all(b"\n{\"t\":\"missed\",\"at\":\"1970-").unwrap();
        assert_eq!(end(&File::open(path(&workspace, "j")).unwrap()).unwrap().state.misses, 1);
        append(&workspace, "j", &mut ledger, &[missed(2)]).unwrap();
        file.write_all(&[0; 100]).unwrap();
        append(&workspace, "j", &mut ledger, &[missed(3)]).unwrap();
        let state = end(&File::open(path(&workspace, "j")).unwrap()).unwrap().state;
        assert_eq!((state.misses, state.until), (3, Timestamp::from_second(3).ok()));
    }
}
