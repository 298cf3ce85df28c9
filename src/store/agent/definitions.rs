//! Reading agents, and what every definition in the workspace says about itself.

use crate::core::config::FILE;
use crate::core::definition::headline::{self, Headline};
use crate::core::definition::{self, Agent, Cron};
use crate::core::event::session_name;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::settings::Model;
use crate::core::text::problem::{Problem, nearest};
use crate::store::fs::contained::{self, Unread};
use crate::store::fs::lease;
use crate::store::fs::{if_there, io_fault, unreadable};
use crate::store::workspace::Workspace;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The tool by which agents reach the shared list.
pub const TASKS: &str = "tasks";
/// What the guide stands in.
pub(crate) const GUIDE: [&str; 2] = ["AGENTS.md", "BOOTSTRAP.md"];
/// The longest CRON.md, in bytes.
const MAX_CRON: u64 = 256 << 10;

/// The agent `id`. Warnings about its file are said, once. While the file is bad, or somebody is writing it, the
/// agent stays as this process last knew it; what is bad is said.
///
/// # Errors
/// `Data` where there is no such agent, with a guess; `Config` where its file is bad and was never good.
pub fn agent(workspace: &Workspace, id: &str) -> Result<Arc<Agent>> {
    session_name::check_agent(id)?;
    let files = ["AGENT.md", "SOUL.md"].map(|name| workspace.path("agents").join(id).join(name));
    let before = workspace.caches.agents.last(id);
    let read = || {
        if before.is_some() && files.iter().any(|path| lease::is_being_written(path)) {
            return Err(Fault::new(Kind::Later, format!("agents/{id} is being written")));
        }
        read_agent(workspace, id).map(Arc::new)
    };
    let read = workspace.caches.agents.get(id, &files, workspace.world.now(), read);
    match (read, before) {
        (Err(fault), Some(before)) if fault.kind == Kind::Later => Ok(before),
        (Err(fault), Some(before)) if fault.kind == Kind::Config => {
            workspace.world.say(&format!("{fault}; {id} stays as it was"));
            Ok(before)
        }
        (read, _) => read,
    }
}

/// Every agent that there is, by its folder, or what is wrong with it.
///
/// # Errors
/// Where the machine cannot read them.
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

/// How each agent's file says that its model is reached, also where that file is bad: for what must be hidden of it.
///
/// # Errors
/// Where the machine cannot read one.
pub fn llms(workspace: &Workspace) -> Result<Vec<Arc<Model>>> {
    let llm = |id: String| {
        let file = workspace.path("agents").join(&id).join("AGENT.md");
        let read = || match fs::read_to_string(&file).map_err(|e| io_fault("read", &file, &e)) {
            Err(fault) if fault.kind == Kind::Machine => Err(fault),
            // Who may not read it cannot find a key in it either.
            text => Ok(Arc::new(definition::agent::llm(&text.unwrap_or_default()))),
        };
        workspace.caches.llms.get(&id, std::slice::from_ref(&file), workspace.world.now(), read)
    };
    folders(workspace, "agents")?.into_iter().map(llm).collect()
}

fn read_agent(workspace: &Workspace, id: &str) -> Result<Agent> {
    let path = format!("agents/{id}/AGENT.md");
    let read = |path: &str| {
        let file = workspace.path(path);
        if_there(fs::read_to_string(&file)).map_err(|e| unreadable(path, &file, &e))
    };
    let Some(text) = read(&path)? else { return Err(unknown(workspace, id)) };
    let soul = read(&format!("agents/{id}/SOUL.md"))?;
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

/// That there is no agent `id`, with a guess; also where it is named, if the settings do.
#[must_use]
pub fn unknown(workspace: &Workspace, id: &str) -> Fault {
    let fault = missing(workspace, id);
    let is_default = workspace.config().is_ok_and(|config| config.default_agent == id);
    let named = if is_default { format!(", which default_agent in {FILE} names") } else { String::new() };
    Fault { message: fault.message.clone() + &named, ..fault }
}

/// That there is no agent `id`, with a guess.
#[must_use]
pub fn missing(workspace: &Workspace, id: &str) -> Fault {
    let (ids, bare): (Vec<String>, Vec<String>) =
        folders(workspace, "agents").unwrap_or_default().into_iter().partition(|id| has_agent(workspace, id));
    let fault = Fault::data(format!("there is no agent `{}`", id.escape_debug()));
    if bare.iter().any(|bare| bare == id) {
        return fault.hint(format!("agents/{id} is there, but has no AGENT.md"));
    }
    match nearest(id, ids.iter().map(String::as_str)) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint(format!("there are: {}", ids.join(", "))),
    }
}

/// The folders in `kind` (`agents`, `skills`, `crons`), sorted.
///
/// # Errors
/// Where they cannot be listed.
pub fn folders(workspace: &Workspace, kind: &str) -> Result<Vec<String>> {
    let dir = workspace.path(kind);
    // Where a link leads may change without a change here.
    let is_one = |name: &&String| !name.starts_with('.') && dir.join(name).is_dir();
    Ok(workspace.names(kind)?.iter().filter(is_one).cloned().collect())
}

/// The definitions of a kind, each with what it says of itself; `file` is what such a folder must hold.
///
/// # Errors
/// Where they cannot be listed.
pub fn summaries(workspace: &Workspace, kind: &str, file: &str) -> Result<Vec<(String, Headline)>> {
    let read = |id: String| {
        let text = fs::read_to_string(workspace.path(kind).join(&id).join(file)).ok()?;
        Some((id, headline::read(&text)))
    };
    Ok(folders(workspace, kind)?.into_iter().filter_map(read).collect())
}

/// The text of a definition, as its owner wrote it.
///
/// # Errors
/// `Data` where there is none of that id, with a guess.
pub fn text(workspace: &Workspace, kind: &str, file: &str, id: &str) -> Result<String> {
    let ids = folders(workspace, kind)?;
    let known = ids.iter().find(|known| *known == id);
    if let Some(text) = known.and_then(|id| fs::read_to_string(workspace.path(kind).join(id).join(file)).ok()) {
        return Ok(text);
    }
    let fault = Fault::data(format!("there is no `{}` in {kind}/", id.escape_debug()));
    Err(match nearest(id, ids.iter().map(String::as_str)) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault,
    })
}

/// The guide's files that are there and say something: name and text.
pub type Guide = Arc<[(&'static str, String)]>;

/// AGENTS.md and BOOTSTRAP.md, in this order, as far as they are there.
///
/// # Errors
/// Where one is there and cannot be read: agents do not work without the rules that it has.
pub fn guide(workspace: &Workspace) -> Result<Guide> {
    let files = GUIDE.map(|name| workspace.path(name));
    let read = || {
        let mut texts = Vec::new();
        for (name, path) in GUIDE.into_iter().zip(&files) {
            let bytes = if_there(fs::read(path)).map_err(|e| unreadable(name, path, &e))?;
            let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
            texts.extend((!text.trim().is_empty()).then_some((name, text)));
        }
        Ok(texts.into())
    };
    workspace.caches.guides.get("guide", &files, workspace.world.now(), read)
}

/// The scheduled task `id`.
///
/// # Errors
/// Where the machine cannot read it; the inner error is the problem with its file.
pub fn cron(workspace: &Workspace, id: &str) -> Result<std::result::Result<Arc<Cron>, Problem>> {
    let dir = workspace.path("crons");
    let name = Path::new(id).join("CRON.md");
    Unread::told(workspace.caches.crons.get(id, &[dir.join(&name)], workspace.world.now(), || {
        let path = format!("crons/{id}/CRON.md");
        let text = contained::definition(&dir, &name, &path, MAX_CRON)?;
        Ok(Arc::new(definition::cron::read(id, &path, &text)?.0))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::stamp::Stamp;
    use crate::world::World;

    #[test]
    fn a_link_counts_as_soon_as_it_leads_to_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("claw.yaml"), "sync: none\n").unwrap();
        fs::create_dir_all(at("skills/here")).unwrap();
        fs::write(at("skills/README.md"), "").unwrap();
        std::os::unix::fs::symlink("../later", at("skills/later")).unwrap();
        // So late that everything has long been as it is.
        let world = World::real().unwrap().at(Stamp(i64::MAX));
        let workspace = Workspace::open(world, dir.path().to_owned(), true).unwrap();
        assert_eq!(folders(&workspace, "skills").unwrap(), ["here"]);
        fs::create_dir(at("later")).unwrap();
        assert_eq!(folders(&workspace, "skills").unwrap(), ["here", "later"]);
    }
}
