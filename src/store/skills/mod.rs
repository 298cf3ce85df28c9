//! The skills in `skills/`, and whether this machine meets their requirements.

pub mod scripts;

use crate::core::definition::skill::{self, Machine, Skill};
use crate::core::fault::{Fault, Result};
use crate::core::text::problem::{Problem, nearest};
use crate::core::text::template;
use crate::store::agent::definitions;
use crate::store::fs::contained::{self, DefinitionError};
use crate::store::fs::file_cache::FileCache;
use crate::store::workspace::Workspace;
use rustix::fs::Access;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The folder's name in a workspace.
pub const FOLDER: &str = "skills";
/// The longest SKILL.md, in bytes.
const MAX: u64 = 256 << 10;

/// Parsed skills, by id.
#[derive(Default)]
struct SkillCache(FileCache<ParsedSkill>);

/// Paths at which programs that skills need were found, by name.
#[derive(Default)]
struct ProgramPaths(Mutex<HashMap<String, PathBuf>>);

/// A parsed skill, and the warnings about its file.
pub type ParsedSkill = Arc<(Skill, Vec<Problem>)>;

/// The state of a skill.
#[derive(Debug)]
pub struct SkillStatus {
    /// The folder's name.
    pub id: String,
    /// The skill, or the problem with its file.
    pub read: std::result::Result<ParsedSkill, Problem>,
    /// The requirements that this machine lacks.
    pub missing: Vec<String>,
}

impl SkillStatus {
    /// The skill, if it is offered to agents.
    #[must_use]
    pub fn offered(&self) -> Option<&Skill> {
        self.read.as_ref().ok().map(|found| &found.0).filter(|_| self.missing.is_empty())
    }

    /// The reason why the skill is not offered; empty if it is.
    #[must_use]
    pub fn unavailable_reason(&self) -> String {
        match &self.read {
            Ok(_) => self.missing.join("; "),
            Err(problem) => problem.to_string(),
        }
    }
}

/// Every folder in `skills/`, sorted.
///
/// # Errors
/// If they cannot be listed.
pub fn all(workspace: &Workspace) -> Result<Vec<SkillStatus>> {
    let machine = RequirementLookup::new(workspace);
    definitions::folders(workspace, FOLDER)?.into_iter().map(|id| status(workspace, id, &machine)).collect()
}

/// Finds a skill by its folder's name, or else by the name in its file.
///
/// # Errors
/// `Data` with a suggestion if there is none.
pub fn find(workspace: &Workspace, name: &str) -> Result<SkillStatus> {
    let machine = RequirementLookup::new(workspace);
    let ids = definitions::folders(workspace, FOLDER)?;
    if ids.iter().any(|id| id == name) {
        return status(workspace, name.to_owned(), &machine);
    }
    let mut all: Vec<SkillStatus> =
        ids.iter().map(|id| status(workspace, id.clone(), &machine)).collect::<Result<_>>()?;
    let is_it = |status: &SkillStatus| status.read.as_ref().is_ok_and(|found| found.0.name == name);
    if let Some(at) = all.iter().position(is_it) {
        return Ok(all.swap_remove(at));
    }
    let fault = Fault::data(format!("there is no skill `{}`", name.escape_debug()));
    Err(match nearest(name, ids.iter().map(String::as_str)) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None if ids.is_empty() => fault.hint("this workspace has no skills"),
        None => fault.hint(format!("there are: {}", ids.join(", "))),
    })
}

/// The problems with skills, for `claw check`; a read error is a problem too.
#[must_use]
pub fn problems(workspace: &Workspace) -> Vec<Problem> {
    let found = |id: &String| match read(workspace, id) {
        Ok(Ok(found)) => found.1.clone(),
        Ok(Err(problem)) => vec![problem],
        Err(fault) => vec![Problem::error(FOLDER, fault.to_string())],
    };
    match definitions::folders(workspace, FOLDER) {
        Ok(ids) => ids.iter().flat_map(found).collect(),
        Err(fault) => vec![Problem::error(FOLDER, fault.to_string())],
    }
}

fn status(workspace: &Workspace, id: String, lookup: &RequirementLookup) -> Result<SkillStatus> {
    let read = read(workspace, &id)?;
    let missing = read.as_ref().map(|found| found.0.needs.missing(&lookup.machine())).unwrap_or_default();
    Ok(SkillStatus { id, read, missing })
}

fn read(workspace: &Workspace, id: &str) -> Result<std::result::Result<ParsedSkill, Problem>> {
    let dir = workspace.path(FOLDER);
    let name = Path::new(id).join("SKILL.md");
    let files = [dir.join(&name)];
    DefinitionError::separate(workspace.caches.of::<SkillCache>().0.get(id, &files, workspace.world.now(), || {
        let path = format!("{FOLDER}/{id}/SKILL.md");
        let text = contained::definition(&dir, &name, &path, MAX)?;
        let (skill, mut warnings) = skill::read(id, &path, &text)?;
        warnings.extend(template::unknown(&path, &text, false));
        Ok(Arc::new((skill, warnings)))
    }))
}

/// Lookup of programs in `$PATH` and of environment variables; each program is looked up once.
struct RequirementLookup<'a> {
    has_bin: Box<dyn Fn(&str) -> bool + 'a>,
    has_env: Box<dyn Fn(&str) -> bool + 'a>,
}

impl<'a> RequirementLookup<'a> {
    fn new(workspace: &'a Workspace) -> Self {
        let path = workspace.world.var("PATH").unwrap_or_default();
        let known: RefCell<HashMap<String, bool>> = RefCell::default();
        let is_program = |file: &PathBuf| file.is_file() && rustix::fs::access(file, Access::EXEC_OK).is_ok();
        let is_there = move |name: &str| {
            let programs = workspace.caches.of::<ProgramPaths>();
            let mut found = programs.0.lock().unwrap_or_else(PoisonError::into_inner);
            if found.get(name).is_some_and(is_program) {
                return true;
            }
            let file = std::env::split_paths(path).map(|dir| dir.join(name)).find(is_program);
            let is_found = file.is_some();
            found.extend(file.map(|file| (name.to_owned(), file)));
            is_found
        };
        Self {
            has_bin: Box::new(move |name| {
                *known.borrow_mut().entry(name.to_owned()).or_insert_with(|| !name.is_empty() && is_there(name))
            }),
            has_env: Box::new(|name| workspace.world.var(name).is_some()),
        }
    }

    fn machine(&self) -> Machine<'_> {
        Machine { has_bin: &self.has_bin, has_env: &self.has_env, os: std::env::consts::OS }
    }
}
