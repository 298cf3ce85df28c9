//! Problems with agents, crons and the guide, for `claw check`.

use crate::core::definition::{self, Agent, WatchSetting};
use crate::core::event::session_name;
use crate::core::fault::Fault;
use crate::core::schedule::Timing;
use crate::core::text::problem::{self, Problem};
use crate::core::text::template;
use crate::store::agent::access::may_write;
use crate::store::agent::definitions::{GUIDE, TASKS, folders, has_agent, source, unknown};
use crate::store::workspace::Workspace;
use crate::store::workspace::zones;
use std::fs;
use std::io::ErrorKind;

/// Checks one definition: id, path, text.
type Check<'a> = &'a dyn Fn(&str, &str, &str) -> Result<Vec<Problem>, Problem>;

/// All problems with agents, crons and the guide; a folder that cannot be listed is a problem too.
#[must_use]
pub fn of(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    // Read once, because there may be thousands of agents.
    let config = workspace.read_config().ok().map(|(config, _)| config);
    let mut look = |kind: &str, file: &str, read: Check| {
        let ids = folders(workspace, kind).map_err(|fault| problems.push(Problem::error(kind, fault.to_string())));
        for id in ids.unwrap_or_default() {
            let path = format!("{kind}/{id}/{file}");
            let found = match source(workspace, kind, &id, file) {
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
        // Problems with the settings are reported once, not for every agent.
        let Some(config) = &config else { return Ok(warnings) };
        let wrong = |e: Fault| Problem::error(path, e.to_string()).at(at);
        let chosen = config.resolve_model(&agent, None).map_err(wrong)?;
        // So are problems with the default model.
        let budgets = if agent.model.is_some() { vec![&config.budget, &agent.budget] } else { vec![&agent.budget] };
        chosen.unpriced(&budgets, &config.currency).map_or(Ok(()), |fault| Err(wrong(fault)))?;
        let blind = (agent.watch == Some(WatchSetting::Tasks) && agent.tools.approve(TASKS).is_none()).then(|| {
            let message = format!("watches tasks, but may not use the tool `{TASKS}`");
            Problem::warning(path, message).at(problem::locate(text, "watch"))
        });
        let closed = agent.write.iter().flatten().filter(|name| !may_write(name)).map(|name| {
            let message = format!(
                "write: `{name}` is ignored: only folders of the workspace that are not claw's or git's can be writable"
            );
            Problem::warning(path, message).at(problem::locate(text, "write"))
        });
        let long = long(path, &agent.identity, config.prompt.max_file);
        Ok(warnings.into_iter().chain(blind).chain(closed).chain(long).collect())
    });
    look("crons", "CRON.md", &|id, path, text| {
        let now = workspace.world.now().timestamp();
        let (cron, warnings) = definition::cron::read(id, path, text, now)?;
        let wrong = |key: &str, e: Fault| Problem::error(path, e.to_string()).at(problem::locate(text, key));
        if !has_agent(workspace, &cron.agent) {
            return Err(wrong("agent", unknown(workspace, &cron.agent)));
        }
        let zone = zones::of(workspace, cron.zone_name.as_deref()).map_err(|e| wrong("timezone", e))?;
        if let (Some(config), Some(model)) = (&config, &cron.model) {
            config.resolve_model(&Agent::default(), Some(model)).map_err(|e| wrong("model", e))?;
        }
        let passed = matches!(cron.timing, Timing::At(_)) && cron.timing.next(&zone.rules, now, now).is_none();
        let passed = passed
            .then(|| Problem::warning(path, format!("{} has passed", cron.timing)).at(problem::locate(text, "at")));
        Ok(warnings.into_iter().chain(passed).collect())
    });
    let souls = folders(workspace, "agents").unwrap_or_default().into_iter().map(|id| format!("agents/{id}/SOUL.md"));
    let most = config.as_ref().map_or(usize::MAX, |config| config.prompt.max_file);
    for path in souls.chain(GUIDE.map(str::to_owned)) {
        let text = String::from_utf8_lossy(&fs::read(workspace.path(&path)).unwrap_or_default()).into_owned();
        problems.extend(template::unknown(&path, &text, true));
        problems.extend(long(&path, text.trim(), most));
    }
    problems
}

/// The warning that agents do not see all of a long text.
fn long(path: &str, text: &str, most: usize) -> Option<Problem> {
    let all = text.chars().count();
    let message = || format!("agents see {most} of its {all} characters: the beginning and the end (prompt.max_file)");
    (all > most).then(|| Problem::warning(path, message()))
}
