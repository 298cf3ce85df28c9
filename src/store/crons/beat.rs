//! The heartbeat as a job: made of the settings and HEARTBEAT.md, and left out while there is nothing new.

use crate::core::crons::heartbeat::{self, HeartbeatSettings};
use crate::core::crons::state::JobState;
use crate::core::crons::terms::MissedReason;
use crate::core::definition::task::TaskState;
use crate::core::definition::{Cron, CronSession, Missed, Overlap};
use crate::core::event::session_name;
use crate::core::fault::Result;
use crate::core::schedule::Timing;
use crate::store::fs::{At, if_there};
use crate::store::queue::listing;
use crate::store::tasks;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;
use crate::world;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The days of `done/` whose events count as news.
const DAYS: usize = 2;

/// The heartbeat as a job; `None` if it is not set up.
///
/// # Errors
/// If `claw.yaml` is invalid or HEARTBEAT.md cannot be read.
pub fn job(workspace: &Workspace) -> Result<Option<Cron>> {
    let config = workspace.config()?;
    let HeartbeatSettings { every, agent, model, session, .. } = config.heartbeat.clone();
    let Some(timing) = every.map(Timing::Every) else { return Ok(None) };
    let agent = agent.unwrap_or_else(|| config.default_agent.clone());
    let session = match session.as_deref() {
        None | Some("main") => CronSession::Main,
        Some("fresh") => CronSession::Fresh,
        Some(name) => CronSession::Named(session_name::qualify(name, Some(&agent), &agent)?),
    };
    Ok(Some(Cron {
        id: heartbeat::ID.to_owned(),
        name: "Heartbeat".to_owned(),
        description: "looks at HEARTBEAT.md".to_owned(),
        timing_text: timing.to_string(),
        timing,
        agent,
        zone_name: None,
        enabled: true,
        missed: Missed::Once,
        grace: None,
        overlap: Overlap::Skip,
        timeout: None,
        session,
        deliver_to: workspace.home()?,
        model,
        condition: None,
        one_off: false,
        prompt: heartbeat::message(&text(workspace)?),
    }))
}

/// Why the model is not asked now; `None` if it is. Also returns a mark of everything that counts as news.
///
/// # Errors
/// Those of the file system.
pub fn look(workspace: &Workspace, state: &JobState, session: &str) -> Result<(Option<MissedReason>, String)> {
    let settings = workspace.config()?.heartbeat.clone();
    let mark = mark(workspace, &settings)?;
    let time = workspace.world.now().timestamp().to_zoned(world::zone()).time();
    let why = if !heartbeat::has_content(&text(workspace)?) {
        Some(MissedReason::Empty)
    } else if !settings.is_active(time) {
        Some(MissedReason::Inactive)
    } else if !listing::lane(workspace, Mailbox::Inbox, session)?.is_empty() {
        Some(MissedReason::Busy)
    } else if state.mark.as_ref() == Some(&mark) && (!settings.always || state.failures > 0) {
        // A refused budget, key or model is asked again only once something has changed.
        Some(MissedReason::Unchanged)
    } else {
        None
    };
    Ok((why, mark))
}

fn text(workspace: &Workspace) -> Result<String> {
    let path = workspace.path(heartbeat::FILE);
    let bytes = if_there(fs::read(&path)).at("read", &path)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A hash of HEARTBEAT.md, the settings, the open and claimed tasks, the watched paths, and the events that were
/// answered elsewhere.
fn mark(workspace: &Workspace, settings: &HeartbeatSettings) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(text.as_bytes());
        hasher.update(b"\n");
    };
    add(&text(workspace)?);
    let mut paths: Vec<_> = settings.watch.iter().map(|path| workspace.path(path)).collect();
    paths.push(workspace.path(crate::core::config::FILE));
    for path in paths {
        add(&seen(&path));
        for name in names(&path) {
            add(&seen(&path.join(name)));
        }
    }
    for state in [TaskState::Open, TaskState::Claimed] {
        let dir = tasks::dir(workspace, state);
        for name in names(&dir) {
            add(&seen(&dir.join(name)));
        }
    }
    let done = workspace.path(Mailbox::Inbox.name()).join("done");
    for day in names(&done).iter().rev().take(DAYS) {
        // Beats are no news, nor is what they have sent.
        let is_news = |name: &&String| name.ends_with(".json") && !name.contains("Z-heartbeat-");
        for name in names(&done.join(day)).iter().filter(is_news) {
            add(name);
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Path, size and time of a file.
fn seen(path: &Path) -> String {
    let meta = fs::metadata(path).map(|meta| format!("{} {} {}", meta.size(), meta.mtime(), meta.mtime_nsec()));
    format!("{} {}", path.display(), meta.unwrap_or_default())
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
