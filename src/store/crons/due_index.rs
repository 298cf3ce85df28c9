//! The index of due times, `.claw/crons.index`: until when each job needs no look. It is derived from other files,
//! which take precedence: an entry holds only while the job's file, its ledger and its zone are as they were, and while the
//! clock is not before the look that made it. Without the index every job is looked at.

use crate::core::config::Sync;
use crate::core::event::stamp::Stamp;
use crate::store::crons::job::CronJob;
use crate::store::crons::{FOLDER, ledger, lock};
use crate::store::fs::durable;
use crate::store::fs::file_cache::{Fingerprint, fingerprint, is_stable};
use crate::store::workspace::Workspace;
use crate::store::workspace::zones::{self, Zone};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs::{self, File};

/// The folder of the index, relative to the workspace.
const FOLDER_OF_INDEX: &str = ".claw";
/// The index in it.
const FILE: &str = "crons.index";
/// The first line: another version may compute other times.
const HEAD: &str = concat!("claw ", env!("CARGO_PKG_VERSION"));
/// So many looks cost more than a new index.
const WORTH_WRITING: usize = 32;

/// The states of a job's file and of its ledger.
pub type JobFiles = [Fingerprint; 2];

/// A job that needs no look for some time.
#[derive(Debug, Serialize, Deserialize)]
struct DueEntry {
    job: String,
    files: JobFiles,
    /// The zone that the file names, and a mark of what it was.
    zone: (Option<String>, String),
    /// When the job was looked at, in microseconds since 1970.
    from: i64,
    /// When it needs a look again, likewise; `None` if that depends on its files only.
    until: Option<i64>,
}

/// The index, during a look at all jobs.
pub struct DueIndex<'a> {
    workspace: &'a Workspace,
    /// The entries of the file that were not asked for yet.
    known: HashMap<String, DueEntry>,
    /// The entries that hold.
    valid: Vec<DueEntry>,
    /// How many of them are new.
    added: usize,
    /// The marks of zones, as of now.
    zones: HashMap<Option<String>, Option<String>>,
}

impl<'a> DueIndex<'a> {
    /// Reads the index. One that is missing, damaged or of another version is empty.
    #[must_use]
    pub fn load(workspace: &'a Workspace) -> Self {
        let text = fs::read_to_string(workspace.path(FOLDER_OF_INDEX).join(FILE)).unwrap_or_default();
        let (head, lines) = text.split_once('\n').unwrap_or_default();
        let lines = if head == HEAD { lines } else { "" };
        let entries = lines.lines().filter_map(|line| serde_json::from_str::<DueEntry>(line).ok());
        let known = entries.map(|entry| (entry.job.clone(), entry)).collect();
        Self { workspace, known, valid: Vec::new(), added: 0, zones: HashMap::new() }
    }

    /// The states of a job's files. Taken before a look: a change during the look then ends the entry.
    #[must_use]
    pub fn files(&self, id: &str) -> JobFiles {
        let file = self.workspace.path(FOLDER).join(id).join("CRON.md");
        [file, ledger::path(self.workspace, &ledger::name(id))].map(|path| fingerprint(&path))
    }

    /// When the job needs a look, if its entry holds: the inner `None` is never, unless its files change. That may be now.
    pub fn due(&mut self, id: &str, files: &JobFiles) -> Option<Option<Stamp>> {
        let entry = self.known.remove(id)?;
        let is_ahead = entry.from > self.workspace.world.now().0;
        if is_ahead || entry.files != *files || self.mark(entry.zone.0.as_deref()).as_ref() != Some(&entry.zone.1) {
            return None;
        }
        let until = entry.until.map(Stamp);
        self.valid.push(entry);
        Some(until)
    }

    /// Adds a job that was just looked at, and needs no look before `until`.
    pub fn add(&mut self, job: &CronJob, files: JobFiles, until: Option<Stamp>) {
        let now = self.workspace.world.now();
        let is_sure = files.iter().all(|file| file.is_some() && is_stable(*file, now));
        if let Some(mark) = mark(&job.zone).filter(|_| is_sure) {
            let zone = (job.cron.zone_name.clone(), mark);
            let (job, until) = (job.id.clone(), until.map(|until| until.0));
            self.valid.push(DueEntry { job, files, zone, from: now.0, until });
            self.added += 1;
        }
    }

    /// Writes the index, if there is enough news. Errors are ignored: the jobs are looked at again.
    pub fn save(self) {
        if self.added < WORTH_WRITING {
            return;
        }
        let mut text = format!("{HEAD}\n");
        for line in self.valid.iter().filter_map(|entry| serde_json::to_string(entry).ok()) {
            let _ = writeln!(text, "{line}");
        }
        if let (Ok(_lock), Ok(dir)) = (lock(self.workspace), File::open(self.workspace.path(FOLDER_OF_INDEX))) {
            let _ = durable::replace_at(&dir, OsStr::new(FILE), "crons.index.tmp", text.as_bytes(), None, Sync::None);
        }
    }

    /// The mark of the zone called `name`, or of the owner's.
    fn mark(&mut self, name: Option<&str>) -> Option<String> {
        let workspace = self.workspace;
        let read = || zones::of(workspace, name).ok().and_then(|zone| mark(&zone));
        self.zones.entry(name.map(str::to_owned)).or_insert_with(read).clone()
    }
}

/// The name of a zone and the hash of its rules; `None` for rules of which no change can be seen.
fn mark(zone: &Zone) -> Option<String> {
    (zone.name == "UTC" || !zone.data.is_empty()).then(|| format!("{} {}", zone.name, zone.data))
}
