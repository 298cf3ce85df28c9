//! Reading agents, and what every definition in the workspace says about itself.

use crate::core::config::FILE;
use crate::core::definition::{self, Agent, Cron};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model_settings::Model;
use crate::core::problem::{Problem, nearest};
use crate::core::session;
use crate::core::summary::{self, Summary};
use crate::store::contained;
use crate::store::lease;
use crate::store::unreadable;
use crate::store::workspace::Workspace;
use std::convert::Infallible;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

/// The tool by which agents reach the shared list.
pub const TASKS: &str = "tasks";
/// What the guide stands in.
pub(super) const GUIDE: [&str; 2] = ["AGENTS.md", "BOOTSTRAP.md"];
/// The longest CRON.md, in bytes.
const MAX_CRON: u64 = 256 << 10;

/// The agent `id`. Warnings about its file are said, once. While the file is bad, or somebody is writing it, the
/// agent stays as this process last knew it; what is bad is said.
///
/// # Errors
/// `Data` where there is no such agent, with a guess; `Config` where its file is bad and was never good.
pub fn agent(workspace: &Workspace, id: &str) -> Result<Arc<Agent>> {
    session::check_agent(id)?;
    let files = ["AGENT.md", "SOUL.md"].map(|name| workspace.path("agents").join(id).join(name));
    let before = workspace.memo.agents.last(id);
    let read = || {
        if before.is_some() && files.iter().any(|path| lease::is_being_written(path)) {
            return Err(Fault::new(Kind::Later, format!("agents/{id} is being written")));
        }
        read_agent(workspace, id).map(Arc::new)
    };
    let read = workspace.memo.agents.get(id, &files, workspace.world.now(), read);
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
#[must_use]
pub fn agents(workspace: &Workspace) -> Vec<(String, Result<Arc<Agent>>)> {
    let is_there = |id: &str| workspace.path("agents").join(id).join("AGENT.md").exists();
    let read = folders(workspace, "agents").into_iter().map(|id| (agent(workspace, &id), id));
    read.filter(|(read, id)| read.is_ok() || is_there(id)).map(|(read, id)| (id, read)).collect()
}

/// How each agent's file says that its model is reached, also where that file is bad: for what must be hidden of it.
#[must_use]
pub fn llms(workspace: &Workspace) -> Vec<Arc<Model>> {
    let llm = |id: String| {
        let file = workspace.path("agents").join(&id).join("AGENT.md");
        let read = || Ok::<_, Infallible>(Arc::new(definition::llm(&fs::read_to_string(&file).unwrap_or_default())));
        let Ok(llm) = workspace.memo.llms.get(&id, std::slice::from_ref(&file), workspace.world.now(), read);
        llm
    };
    folders(workspace, "agents").into_iter().map(llm).collect()
}

fn read_agent(workspace: &Workspace, id: &str) -> Result<Agent> {
    let path = format!("agents/{id}/AGENT.md");
    let text = match fs::read_to_string(workspace.path(&path)) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(unknown(workspace, id));
        }
        Err(e) => return Err(unreadable(&path, &workspace.path(&path), &e)),
    };
    let soul_path = format!("agents/{id}/SOUL.md");
    let soul = match fs::read_to_string(workspace.path(&soul_path)) {
        Ok(soul) => Some(soul),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => return Err(unreadable(&soul_path, &workspace.path(&soul_path), &e)),
    };
    let (agent, warnings) = definition::agent(id, &path, &text, soul)?;
    for warning in warnings {
        workspace.world.say(&warning.to_string());
    }
    Ok(agent)
}

/// Whether there is a folder for agent `id`.
#[must_use]
pub fn has_agent(workspace: &Workspace, id: &str) -> bool {
    session::check_agent(id).is_ok() && workspace.path(&format!("agents/{id}/AGENT.md")).is_file()
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
        folders(workspace, "agents").into_iter().partition(|id| has_agent(workspace, id));
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
#[must_use]
pub fn folders(workspace: &Workspace, kind: &str) -> Vec<String> {
    let dir = workspace.path(kind);
    // Where a link leads may change without a change here.
    let is_one = |name: &&String| !name.starts_with('.') && dir.join(name).is_dir();
    workspace.names(kind).iter().filter(is_one).cloned().collect()
}

/// The guide's files that are there and say something: name and text.
pub type Guide = Arc<[(&'static str, String)]>;
/// The definitions of a kind, each with what it says of itself; `file` is what such a folder must hold.
#[must_use]
pub fn summaries(workspace: &Workspace, kind: &str, file: &str) -> Vec<(String, Summary)> {
    let read = |id: String| {
        let text = fs::read_to_string(workspace.path(kind).join(&id).join(file)).ok()?;
        Some((id, summary::read(&text)))
    };
    folders(workspace, kind).into_iter().filter_map(read).collect()
}

/// The text of a definition, as its owner wrote it.
///
/// # Errors
/// `Data` where there is none of that id, with a guess.
pub fn text(workspace: &Workspace, kind: &str, file: &str, id: &str) -> Result<String> {
    let ids = folders(workspace, kind);
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

/// AGENTS.md and BOOTSTRAP.md, in this order, as far as they are there.
#[must_use]
pub fn guide(workspace: &Workspace) -> Guide {
    let files = GUIDE.map(|name| workspace.path(name));
    let read = || {
        let texts = files.each_ref().map(|path| fs::read(path).unwrap_or_default());
        let texts = texts.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok::<_, Infallible>(GUIDE.into_iter().zip(texts).filter(|(_, text)| !text.trim().is_empty()).collect())
    };
    let Ok(guide) = workspace.memo.guides.get("guide", &files, workspace.world.now(), read);
    guide
}

/// The scheduled task `id`.
///
/// # Errors
/// The problem with its file.
pub fn cron(workspace: &Workspace, id: &str) -> std::result::Result<Arc<Cron>, Problem> {
    let dir = workspace.path("crons");
    let name = Path::new(id).join("CRON.md");
    workspace.memo.crons.get(id, &[dir.join(&name)], workspace.world.now(), || {
        let path = format!("crons/{id}/CRON.md");
        let text = contained::text(&dir, &name, MAX_CRON).map_err(|e| Problem::error(&path, e.to_string()))?;
        definition::cron(id, &path, &text).map(|(cron, _)| Arc::new(cron))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::stamp::Stamp;
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
        assert_eq!(folders(&workspace, "skills"), ["here"]);
        fs::create_dir(at("later")).unwrap();
        assert_eq!(folders(&workspace, "skills"), ["here", "later"]);
    }
}
