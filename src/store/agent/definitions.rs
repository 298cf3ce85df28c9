//! Reading agents, crons and the guide, and listing the definitions in a workspace.

use crate::core::config::FILE;
use crate::core::definition::headline::{self, Headline};
use crate::core::definition::{self, Agent, Cron};
use crate::core::event::session_name;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::settings::Model;
use crate::core::text::problem::{Problem, nearest};
use crate::store::fs::contained::{self, DefinitionError};
use crate::store::fs::file_cache::FileCache;
use crate::store::fs::lease;
use crate::store::fs::{if_there, io_fault, unreadable};
use crate::store::workspace::Workspace;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The tool for the shared task list.
pub const TASKS: &str = "tasks";
/// The files of the guide, which every agent gets.
pub(crate) const GUIDE: [&str; 2] = ["AGENTS.md", "BOOTSTRAP.md"];
/// The longest CRON.md, in bytes.
const MAX_CRON: u64 = 256 << 10;

/// Parsed agents, by id.
#[derive(Default)]
struct AgentCache(FileCache<Arc<Agent>>);

/// The settings that count even if an agent's file is invalid otherwise.
#[derive(Debug, Default)]
pub struct Outline {
    /// Its model connection.
    pub llm: Arc<Model>,
    /// The names in its `write`.
    pub write: Vec<String>,
}

/// The outline of each agent's file, by the agent's id.
#[derive(Default)]
struct OutlineCache(FileCache<Arc<Outline>>);

/// The texts of the guide, under one key.
#[derive(Default)]
struct GuideCache(FileCache<Guide>);

/// Parsed scheduled tasks, by id.
#[derive(Default)]
struct CronCache(FileCache<Arc<Cron>>);

/// The agent `id`. Warnings about its files are printed, once. While a file is invalid or open for writing, the last
/// valid version that this process has read stays in force, and the problem is printed.
///
/// # Errors
/// `Data` with a suggestion if there is no such agent; `Config` if its file is invalid and was never valid.
pub fn agent(workspace: &Workspace, id: &str) -> Result<Arc<Agent>> {
    session_name::check_agent(id)?;
    let files = ["AGENT.md", "SOUL.md"].map(|name| workspace.path("agents").join(id).join(name));
    let cache = workspace.caches.of::<AgentCache>();
    let before = cache.0.last(id);
    let read = || {
        if before.is_some() && files.iter().any(|path| lease::is_being_written(path)) {
            return Err(Fault::new(Kind::Later, format!("agents/{id} is being written")));
        }
        read_agent(workspace, id).map(Arc::new)
    };
    let read = cache.0.get(id, &files, workspace.world.now(), read);
    match (read, before) {
        (Err(fault), Some(before)) if fault.kind == Kind::Later => Ok(before),
        (Err(fault), Some(before)) if fault.kind == Kind::Config => {
            workspace.world.say(&format!("{fault}; the last valid version of {id} stays in force"));
            Ok(before)
        }
        (read, _) => read,
    }
}

/// Every agent by its folder's name, or the problem with its files.
///
/// # Errors
/// `Machine` on a disk error.
pub fn agents(workspace: &Workspace) -> Result<Vec<(String, Result<Arc<Agent>>)>> {
    let is_there = |id: &str| workspace.path("agents").join(id).join("AGENT.md").exists();
    let mut agents = Vec::new();
    for id in folders(workspace, "agents")? {
        match agent(workspace, &id) {
            Err(fault) if fault.kind == Kind::Machine => return Err(fault),
            Err(_) if !is_there(&id) => {}
            read => agents.push((id, read)),
        }
    }
    Ok(agents)
}

/// The model connection in each AGENT.md, even if the file is invalid otherwise: its keys must be hidden all the same.
///
/// # Errors
/// `Machine` on a disk error.
pub fn llms(workspace: &Workspace) -> Result<Vec<Arc<Model>>> {
    Ok(outlines(workspace)?.iter().map(|outline| outline.llm.clone()).collect())
}

/// The outline of each AGENT.md; `write` has also the names of the last valid version that this process has read, which
/// may be in force.
///
/// # Errors
/// `Machine` on a disk error.
pub fn outlines(workspace: &Workspace) -> Result<Vec<Arc<Outline>>> {
    let agents = workspace.caches.of::<AgentCache>();
    let outline = |id: String| {
        let file = workspace.path("agents").join(&id).join("AGENT.md");
        let read = || match fs::read_to_string(&file).map_err(|e| io_fault("read", &file, &e)) {
            Err(fault) if fault.kind == Kind::Machine => Err(fault),
            // If this process may not read the file, it cannot print a key from it either.
            text => {
                let text = text.unwrap_or_default();
                let last = agents.0.last(&id).and_then(|agent| agent.write.clone()).into_iter().flatten();
                let write = definition::agent::write(&text).into_iter().chain(last).collect();
                Ok(Arc::new(Outline { llm: Arc::new(definition::agent::llm(&text)), write }))
            }
        };
        let files = std::slice::from_ref(&file);
        workspace.caches.of::<OutlineCache>().0.get(&id, files, workspace.world.now(), read)
    };
    folders(workspace, "agents")?.into_iter().map(outline).collect()
}

fn read_agent(workspace: &Workspace, id: &str) -> Result<Agent> {
    let path = format!("agents/{id}/AGENT.md");
    let read = |path: &str| {
        let file = workspace.path(path);
        if_there(fs::read_to_string(&file)).map_err(|e| unreadable(path, &file, &e))
    };
    let Some(text) = read(&path)? else { return Err(unknown(workspace, id)) };
    let soul = read(&format!("agents/{id}/SOUL.md"))?.map(|soul| soul.trim_start_matches('\u{feff}').to_owned());
    let (agent, warnings) = definition::agent::read(id, &path, &text, soul)?;
    for warning in warnings {
        workspace.world.say(&warning.to_string());
    }
    Ok(agent)
}

/// Whether there is a folder for agent `id`.
#[must_use]
pub fn has_agent(workspace: &Workspace, id: &str) -> bool {
    session_name::check_agent(id).is_ok() && workspace.path(&format!("agents/{id}/AGENT.md")).is_file()
}

/// The fault that there is no agent `id`, with a suggestion; it mentions `default_agent` if that names it.
#[must_use]
pub fn unknown(workspace: &Workspace, id: &str) -> Fault {
    let fault = missing(workspace, id);
    let is_default = workspace.config().is_ok_and(|config| config.default_agent == id);
    let named = if is_default { format!(", which default_agent in {FILE} names") } else { String::new() };
    Fault { message: fault.message.clone() + &named, ..fault }
}

/// The fault that there is no agent `id`, with a suggestion.
#[must_use]
pub fn missing(workspace: &Workspace, id: &str) -> Fault {
    let (ids, bare): (Vec<String>, Vec<String>) =
        folders(workspace, "agents").unwrap_or_default().into_iter().partition(|id| has_agent(workspace, id));
    let fault = Fault::data(format!("there is no agent `{}`", id.escape_debug()));
    if bare.iter().any(|bare| bare == id) {
        return fault.hint(format!("agents/{id} exists, but has no AGENT.md"));
    }
    match nearest(id, ids.iter().map(String::as_str)) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint(format!("there are: {}", ids.join(", "))),
    }
}

/// The folders in `kind` (`agents`, `skills`, `crons`), sorted.
///
/// # Errors
/// If they cannot be listed.
pub fn folders(workspace: &Workspace, kind: &str) -> Result<Vec<String>> {
    let dir = workspace.path(kind);
    // Not cached: the target of a link may change without a change in this folder.
    let is_one = |name: &&String| !name.starts_with('.') && dir.join(name).is_dir();
    Ok(workspace.names(kind)?.iter().filter(is_one).cloned().collect())
}

/// The ids and headlines of the definitions of a kind. `file` is the file that such a folder must contain.
///
/// # Errors
/// If they cannot be listed.
pub fn summaries(workspace: &Workspace, kind: &str, file: &str) -> Result<Vec<(String, Headline)>> {
    let read = |id: String| {
        let text = source(workspace, kind, &id, file).ok()?;
        Some((id, headline::read(&text)))
    };
    Ok(folders(workspace, kind)?.into_iter().filter_map(read).collect())
}

/// The text of a definition. Agents write skills and crons: there a link cannot lead out, and a pipe does not block.
pub(super) fn source(workspace: &Workspace, kind: &str, id: &str, file: &str) -> std::io::Result<String> {
    let (dir, name) = (workspace.path(kind), Path::new(id).join(file));
    if kind == "agents" { fs::read_to_string(dir.join(name)) } else { contained::text(&dir, &name, MAX_CRON) }
}

/// The text of a definition, unparsed.
///
/// # Errors
/// `Data` with a suggestion if there is no such definition.
pub fn text(workspace: &Workspace, kind: &str, file: &str, id: &str) -> Result<String> {
    let ids = folders(workspace, kind)?;
    let known = ids.iter().find(|known| *known == id);
    if let Some(text) = known.and_then(|id| source(workspace, kind, id, file).ok()) {
        return Ok(text);
    }
    let fault = Fault::data(format!("there is no `{}` in {kind}/", id.escape_debug()));
    Err(match nearest(id, ids.iter().map(String::as_str)) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault,
    })
}

/// The guide's files that exist and are not blank: name and text.
pub type Guide = Arc<[(&'static str, String)]>;

/// AGENTS.md and BOOTSTRAP.md, in this order, if they exist.
///
/// # Errors
/// If a file exists and cannot be read: agents do not work without its rules.
pub fn guide(workspace: &Workspace) -> Result<Guide> {
    let files = GUIDE.map(|name| workspace.path(name));
    let read = || {
        let mut texts = Vec::new();
        for (name, path) in GUIDE.into_iter().zip(&files) {
            let bytes = if_there(fs::read(path)).map_err(|e| unreadable(name, path, &e))?;
            let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).trim_start_matches('\u{feff}').to_owned();
            texts.extend((!text.trim().is_empty()).then_some((name, text)));
        }
        Ok(texts.into())
    };
    workspace.caches.of::<GuideCache>().0.get("guide", &files, workspace.world.now(), read)
}

/// The scheduled task `id`.
///
/// # Errors
/// `Machine` on a disk error; the inner error is the problem with the file.
pub fn cron(workspace: &Workspace, id: &str) -> Result<std::result::Result<Arc<Cron>, Problem>> {
    let dir = workspace.path("crons");
    let name = Path::new(id).join("CRON.md");
    DefinitionError::separate(workspace.caches.of::<CronCache>().0.get(
        id,
        &[dir.join(&name)],
        workspace.world.now(),
        || {
            let path = format!("crons/{id}/CRON.md");
            let text = contained::definition(&dir, &name, &path, MAX_CRON)?;
            Ok(Arc::new(definition::cron::read(id, &path, &text, workspace.world.now().timestamp())?.0))
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::stamp::Stamp;
    use crate::world::World;

    #[test]
    fn link_is_listed_once_its_target_is_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("claw.yaml"), "sync: none\n").unwrap();
        fs::create_dir_all(at("skills/here")).unwrap();
        fs::write(at("skills/README.md"), "").unwrap();
        std::os::unix::fs::symlink("../later", at("skills/later")).unwrap();
        // So late that every change counts as old, and is cached.
        let world = World::real().unwrap().at(Stamp(i64::MAX));
        let workspace = Workspace::open(world, dir.path().to_owned(), true).unwrap();
        assert_eq!(folders(&workspace, "skills").unwrap(), ["here"]);
        fs::create_dir(at("later")).unwrap();
        assert_eq!(folders(&workspace, "skills").unwrap(), ["here", "later"]);
    }
}
