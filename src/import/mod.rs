//! Importing the workspaces of other programs, and exporting this one's. A row in [`PROGRAMS`] is one foreign program:
//! its file recognises a source, plans what becomes of each file, and reads its sessions. The source is only read.

pub mod build;
pub mod claw_export;
pub mod conversation;
mod definition;
pub mod export;
mod openclaw;
mod openclaw_cron;
mod openclaw_session;
mod pickle_bot;
pub mod plan;
pub mod secrets;
pub mod session_file;
pub mod source;

use crate::core::event::address::safe_name;
use crate::core::fault::{Fault, Result};
use crate::import::plan::ImportPlan;
use crate::import::session_file::SessionContent;
use crate::import::source::Source;
use jiff::Timestamp;

/// A program whose workspaces can be imported.
#[derive(Clone, Copy, Debug)]
pub struct ForeignProgram {
    /// Its name.
    pub name: &'static str,
    recognises: fn(&Source) -> bool,
    plan: fn(&Import, &mut ImportPlan) -> Result<()>,
    read: fn(&str, &str, &mut SessionContent),
}

/// Every program, the most specific marks first.
pub const PROGRAMS: [ForeignProgram; 3] = [claw_export::PROGRAM, pickle_bot::PROGRAM, openclaw::PROGRAM];

/// The parts of an import.
#[derive(Debug)]
pub struct Import<'a> {
    /// The folder.
    pub source: &'a Source,
    /// The present instant: a job that never runs again is not valid.
    pub now: Timestamp,
    program: ForeignProgram,
}

impl<'a> Import<'a> {
    /// Recognises the program that has made the source.
    ///
    /// # Errors
    /// `Data` if no program is recognised.
    pub fn of(source: &'a Source, now: Timestamp) -> Result<Self> {
        let found = PROGRAMS.into_iter().find(|program| (program.recognises)(source));
        let is_workspace = source.has(crate::core::config::FILE);
        match found {
            Some(program) if program.name == claw_export::PROGRAM.name || !is_workspace => {
                Ok(Self { source, now, program })
            }
            _ if is_workspace => Err(Fault::data(format!("{} is a workspace of claw", source.root.display()))
                .hint("write a copy that can be imported with `claw export DIR`")),
            _ => {
                let names = PROGRAMS.map(|program| program.name).join(", ");
                Err(Fault::data(format!("{} is no workspace of a known program ({names})", source.root.display()))
                    .hint("name the folder with its settings, agents/ or memory/"))
            }
        }
    }

    /// The fate of every file.
    ///
    /// # Errors
    /// If a file of the source cannot be read.
    pub fn plan(&self) -> Result<ImportPlan> {
        let mut plan = ImportPlan::new(self.program.name);
        (self.program.plan)(self, &mut plan)?;
        Ok(plan)
    }

    /// Plans a copy of `path` as `target`. A file with a key stays; one whose target is taken is kept aside.
    fn copy(&self, plan: &mut ImportPlan, path: &str, target: &str) -> Result<()> {
        if !self.keeps_secret(plan, path)? {
            plan.copy(path, target);
        }
        Ok(())
    }

    /// Plans to keep `path` aside. A file with a key stays.
    fn aside(&self, plan: &mut ImportPlan, path: &str) -> Result<()> {
        if !self.keeps_secret(plan, path)? {
            plan.aside(path, &[]);
        }
        Ok(())
    }

    /// Whether the file stays because it has a key.
    fn keeps_secret(&self, plan: &mut ImportPlan, path: &str) -> Result<bool> {
        let size = self.source.files.binary_search_by(|file| file.path.as_str().cmp(path));
        let size = size.ok().and_then(|at| self.source.files.get(at)).map_or(0, |file| file.size);
        let line = if size <= secrets::MOST { secrets::line(&self.source.text(path)?) } else { None };
        if let Some(line) = line {
            plan.secrets.push(format!("{path}: line {line}"));
            plan.stays(path, format!("line {line} has what looks like a key"));
        }
        Ok(line.is_some())
    }
}

/// The path of the log of a session that the source calls `name`.
fn session_path(agent: &str, name: &str, most: usize) -> String {
    let room = most.saturating_sub(agent.len() + 1).max(16);
    let name = safe_name(name.trim_matches('.'), room);
    format!("sessions/{agent}.{name}/log.jsonl")
}
