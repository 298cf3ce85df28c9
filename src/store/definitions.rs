//! Reading agents, and what every definition in the workspace says about itself.

use crate::core::definition::{self, Agent};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::problem::{self, Problem, nearest};
use crate::core::session;
use crate::store::workspace::Workspace;
use std::convert::Infallible;
use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;

/// The agent `id`. Warnings about its file are said, once.
///
/// # Errors
/// `Data` where there is no such agent, with a guess; `Config` where its file is bad.
pub fn agent(workspace: &Workspace, id: &str) -> Result<Arc<Agent>> {
    session::check_agent(id)?;
    let files = ["AGENT.md", "SOUL.md"].map(|name| workspace.path("agents").join(id).join(name));
    workspace.memo.agents.get(id, &files, workspace.world.now(), || read_agent(workspace, id).map(Arc::new))
}

fn read_agent(workspace: &Workspace, id: &str) -> Result<Agent> {
    let path = format!("agents/{id}/AGENT.md");
    let text = match fs::read_to_string(workspace.path(&path)) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(unknown(workspace, id));
        }
        Err(e) => return Err(Fault::new(Kind::Config, format!("{path} cannot be read: {e}"))),
    };
    let soul = fs::read_to_string(workspace.path(&format!("agents/{id}/SOUL.md"))).ok();
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

/// That there is no agent `id`, with a guess.
#[must_use]
pub fn unknown(workspace: &Workspace, id: &str) -> Fault {
    let ids = folders(workspace, "agents");
    let fault = Fault::data(format!("there is no agent `{}`", id.escape_debug()));
    match nearest(id, ids.iter().map(String::as_str)) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint(format!("there are: {}", ids.join(", "))),
    }
}

/// The folders in `kind` (`agents`, `skills`, `crons`), sorted.
#[must_use]
pub fn folders(workspace: &Workspace, kind: &str) -> Vec<String> {
    let entries = fs::read_dir(workspace.path(kind)).into_iter().flatten().flatten();
    let dirs = entries.filter(|e| e.path().is_dir());
    let mut names: Vec<String> = dirs.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.retain(|n| !n.starts_with('.'));
    names.sort();
    names
}

/// AGENTS.md and BOOTSTRAP.md, in this order, as far as they are there.
#[must_use]
pub fn guide(workspace: &Workspace) -> Arc<str> {
    let files = ["AGENTS.md", "BOOTSTRAP.md"].map(|name| workspace.path(name));
    let read = || {
        let texts = files.each_ref().map(|path| fs::read_to_string(path).unwrap_or_default());
        Ok::<_, Infallible>(Arc::from(texts.join("\n\n").trim()))
    };
    let Ok(text) = workspace.memo.guides.get("guide", &files, workspace.world.now(), read);
    text
}

/// Reads one definition: id, path, text.
type Reader<'a> = &'a dyn Fn(&str, &str, &str) -> std::result::Result<Vec<Problem>, Problem>;

/// Everything that is wrong with the definitions.
#[must_use]
pub fn problems(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut look = |kind: &str, file: &str, read: Reader| {
        for id in folders(workspace, kind) {
            let path = format!("{kind}/{id}/{file}");
            let found = match fs::read_to_string(workspace.path(&path)) {
                Ok(text) => read(&id, &path, &text),
                Err(e) if e.kind() == ErrorKind::NotFound => Err(Problem::error(&path, "is missing")),
                Err(e) => Err(Problem::error(&path, format!("cannot be read: {e}"))),
            };
            match found {
                Ok(warnings) => problems.extend(warnings),
                Err(problem) => problems.push(problem),
            }
        }
    };
    look("agents", "AGENT.md", &|id, path, text| {
        session::check_agent(id).map_err(|e| Problem::error(path, e.to_string()))?;
        let (agent, warnings) = definition::agent(id, path, text, None)?;
        let at = problem::locate(text, "model");
        // What is wrong with the settings themselves is said once, not for every agent.
        let Ok((config, _)) = workspace.read_config() else { return Ok(warnings) };
        config.choose(&agent, None).map_err(|e| Problem::error(path, e.to_string()).at(at))?;
        Ok(warnings)
    });
    look("skills", "SKILL.md", &|_, path, text| definition::skill(path, text).map(|(_, warnings)| warnings));
    look("crons", "CRON.md", &|id, path, text| {
        let (cron, warnings) = definition::cron(id, path, text)?;
        if !has_agent(workspace, &cron.agent) {
            let at = problem::locate(text, "agent");
            return Err(Problem::error(path, unknown(workspace, &cron.agent).to_string()).at(at));
        }
        Ok(warnings)
    });
    problems
}
