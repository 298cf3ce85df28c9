//! What is wrong with what the owner has written about agents and crons, and in the guide.

use crate::core::definition::{self, WatchSetting};
use crate::core::event::session_name;
use crate::core::fault::Fault;
use crate::core::text::problem::{self, Problem};
use crate::core::text::template;
use crate::store::agent::access::may_write;
use crate::store::agent::definitions::{GUIDE, TASKS, folders, has_agent, unknown};
use crate::store::workspace::Workspace;
use std::fs;
use std::io::ErrorKind;

/// Reads one definition: id, path, text.
type Check<'a> = &'a dyn Fn(&str, &str, &str) -> Result<Vec<Problem>, Problem>;

/// Everything that is wrong with agents, crons and the guide, also that their folders cannot be listed.
#[must_use]
pub fn of(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut look = |kind: &str, file: &str, read: Check| {
        let ids = folders(workspace, kind).map_err(|fault| problems.push(Problem::error(kind, fault.to_string())));
        for id in ids.unwrap_or_default() {
            let path = format!("{kind}/{id}/{file}");
            let found = match fs::read_to_string(workspace.path(&path)) {
                Ok(text) => read(&id, &path, &text).map(|w| [w, template::unknown(&path, &text, true)].concat()),
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
        session_name::check_agent(id).map_err(|e| Problem::error(path, e.to_string()))?;
        let (agent, warnings) = definition::agent::read(id, path, text, None)?;
        let at = problem::locate(text, "model");
        // What is wrong with the settings themselves is said once, not for every agent.
        let Ok((config, _)) = workspace.read_config() else { return Ok(warnings) };
        let wrong = |e: Fault| Problem::error(path, e.to_string()).at(at);
        let chosen = config.resolve_model(&agent, None).map_err(wrong)?;
        // A model that everybody uses is said once, too.
        let budgets = if agent.model.is_some() { vec![&config.budget, &agent.budget] } else { vec![&agent.budget] };
        chosen.unpriced(&budgets).map_or(Ok(()), |fault| Err(wrong(fault)))?;
        let deaf = (agent.watch == Some(WatchSetting::Tasks) && agent.tools.approve(TASKS).is_none()).then(|| {
            let what = format!("it watches tasks, and may not use the tool `{TASKS}`");
            Problem::warning(path, what).at(problem::locate(text, "watch"))
        });
        let closed = agent.write.iter().flatten().filter(|name| !may_write(name)).map(|name| {
            let what = format!("write: `{name}` is passed over: only the workspace's own folders can be written");
            Problem::warning(path, what).at(problem::locate(text, "write"))
        });
        let long = long(path, &agent.identity, config.prompt.max_file);
        Ok(warnings.into_iter().chain(deaf).chain(closed).chain(long).collect())
    });
    look("crons", "CRON.md", &|id, path, text| {
        let (cron, warnings) = definition::cron::read(id, path, text)?;
        if !has_agent(workspace, &cron.agent) {
            let at = problem::locate(text, "agent");
            return Err(Problem::error(path, unknown(workspace, &cron.agent).to_string()).at(at));
        }
        Ok(warnings)
    });
    let souls = folders(workspace, "agents").unwrap_or_default().into_iter().map(|id| format!("agents/{id}/SOUL.md"));
    let most = workspace.read_config().map_or(usize::MAX, |(config, _)| config.prompt.max_file);
    for path in souls.chain(GUIDE.map(str::to_owned)) {
        let text = String::from_utf8_lossy(&fs::read(workspace.path(&path)).unwrap_or_default()).into_owned();
        problems.extend(template::unknown(&path, &text, true));
        problems.extend(long(&path, text.trim(), most));
    }
    problems
}

/// A word on prose that agents are not shown whole.
fn long(path: &str, text: &str, most: usize) -> Option<Problem> {
    let all = text.chars().count();
    let what = || format!("agents are shown {most} of its {all} characters, the first and the last (prompt.max_file)");
    (all > most).then(|| Problem::warning(path, what()))
}
