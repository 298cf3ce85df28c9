//! `claw status`

use crate::command::Here;
use crate::command::terminal::create;
use crate::command::terminal::out;
use crate::core::definition::task::TaskState;
use crate::core::event::entry::Entry;
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::fault::Result;
use crate::stage::turn::model_call::meter;
use crate::store::agent::problems;
use crate::store::lock::holders;
use crate::store::queue::drops;
use crate::store::queue::listing;
use crate::store::tasks;
use crate::store::workspace::Workspace;
use crate::store::workspace::journal;
use crate::store::workspace::mailbox::{Mailbox, State};
use crate::world;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;

/// Show what is where
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Status {
    workspace: String,
    trusted: bool,
    model: String,
    boxes: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    oldest: Option<StatusItem>,
    waiting: Vec<StatusItem>,
    failed: Vec<StatusItem>,
    held: Vec<LockRow>,
    budget: Vec<Spent>,
    tasks: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

/// A limit that is reached.
#[derive(Serialize)]
struct Spent {
    limit: String,
    used: String,
    most: String,
}

#[derive(Clone, Serialize)]
struct StatusItem {
    id: String,
    #[serde(rename = "box")]
    mailbox: &'static str,
    state: &'static str,
    lane: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

#[derive(Serialize)]
struct LockRow {
    lock: String,
    pid: u32,
    command: String,
}

const STATES: [State; 5] = [State::New, State::Ready, State::Run, State::Wait, State::Failed];

/// Shows what is where, the oldest, what waits until when, what failed and why, who holds what, and what is
/// wrong with the settings and definitions; 78 where these are no settings. What runs goes on with the last
/// good ones.
///
/// # Errors
/// Where the folders cannot be read.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    let status = look(&workspace)?;
    if args.json {
        out::json(&status)?;
    } else {
        print(&workspace, &status)?;
    }
    Ok(if workspace.config().is_ok() { 0 } else { 78 })
}

fn look(workspace: &Workspace) -> Result<Status> {
    let mut boxes: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    let mut oldest: Option<(Entry, Mailbox, State)> = None;
    let (mut waiting, mut failed) = (Vec::new(), Vec::new());
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        for state in STATES {
            let entries = listing::list(workspace, mailbox, state)?;
            let dropped = if state == State::Failed { failed_drops(workspace, mailbox) } else { Vec::new() };
            let zone =
                if state == State::New && mailbox == Mailbox::Inbox { drops::count(workspace, mailbox) } else { 0 };
            if mailbox == Mailbox::Inbox || state != State::New {
                boxes.entry(mailbox.name()).or_default().insert(state.name(), entries.len() + dropped.len() + zone);
            }
            for entry in entries.iter().chain(&dropped) {
                match state {
                    State::New if entry.due.is_some() => waiting.push((mailbox, state, entry.clone())),
                    State::Wait => waiting.push((mailbox, state, entry.clone())),
                    State::Failed => failed.push((mailbox, state, entry.clone())),
                    _ => {}
                }
            }
            let first = entries
                .into_iter()
                .find(|e| e.due.is_none())
                .filter(|_| state != State::Failed && state != State::Wait);
            if let Some(first) = first.filter(|e| oldest.as_ref().is_none_or(|(old, ..)| e.id < old.id)) {
                oldest = Some((first, mailbox, state));
            }
        }
    }
    let whys = waits(workspace, waiting.iter().map(|(.., entry)| &entry.id));
    let item = |(mailbox, state, entry): (Mailbox, State, Entry)| StatusItem {
        why: match state {
            State::Failed => first_line(workspace, mailbox, &entry.id),
            State::New => "it was sent for then".to_owned(),
            _ => whys.get(entry.id.as_str()).cloned().unwrap_or_default(),
        },
        id: entry.id.to_string(),
        mailbox: mailbox.name(),
        state: state.name(),
        until: entry.due.map(|due| due.timestamp().to_string()),
        lane: entry.lane,
    };
    let settings = workspace.config();
    let standing = if settings.is_ok() { meter::standing(workspace)? } else { Vec::new() };
    let reached = standing.into_iter().filter(|(limit, used)| used >= &limit.most);
    let budget = reached.map(|(limit, used)| Spent {
        limit: limit.to_string(),
        used: limit.what.show(used),
        most: limit.what.show(limit.most),
    });
    let held = holders::list(&workspace.root);
    let definitions = problems::of(workspace).into_iter().filter(|problem| !problem.is_warning);
    let definitions = definitions.map(|problem| problem.to_string());
    Ok(Status {
        workspace: workspace.root.display().to_string(),
        trusted: workspace.is_trusted,
        model: settings.as_ref().map_or_else(|_| "unknown".to_owned(), |config| config.model.clone()),
        boxes,
        oldest: oldest.map(|(entry, mailbox, state)| item((mailbox, state, entry))),
        waiting: waiting.into_iter().map(item).collect(),
        failed: failed.into_iter().map(item).collect(),
        budget: budget.collect(),
        tasks: TaskState::ALL.map(|state| (state.name(), tasks::count(workspace, state))).into(),
        held: held.into_iter().map(|h| LockRow { lock: h.lock, pid: h.pid, command: h.command }).collect(),
        wrong: settings.err().map(|fault| fault.to_string()).into_iter().chain(definitions).collect(),
    })
}

fn failed_drops(workspace: &Workspace, mailbox: Mailbox) -> Vec<Entry> {
    let names = fs::read_dir(mailbox.dir(workspace, State::Failed)).into_iter().flatten().flatten();
    let id = |name: String| Id::parse(name.strip_suffix(".drop")?.split_once('~')?.0).ok();
    names.filter_map(|e| e.file_name().into_string().ok()).filter_map(id).map(|id| Entry::unrouted(id, None)).collect()
}

fn first_line(workspace: &Workspace, mailbox: Mailbox, id: &Id) -> String {
    let text = fs::read_to_string(mailbox.reason(workspace, id)).unwrap_or_default();
    text.lines().next().unwrap_or("no reason was written").to_owned()
}

/// Why these events wait, by the journal.
fn waits<'a>(workspace: &Workspace, ids: impl Iterator<Item = &'a Id>) -> HashMap<String, String> {
    let wanted: HashSet<&str> = ids.map(Id::as_str).collect();
    let mut whys = HashMap::new();
    if wanted.is_empty() {
        return whys;
    }
    for path in journal::files(workspace).iter().rev().take(2).rev() {
        let text = fs::read_to_string(path).unwrap_or_default();
        for line in text.lines().filter_map(journal::parse) {
            if line.kind == "wait" && wanted.contains(&line.id[..]) {
                whys.insert(line.id, line.why);
            }
        }
    }
    whys
}

fn print(workspace: &Workspace, status: &Status) -> Result<()> {
    let trust = if status.trusted { "" } else { ", not trusted: claw trust" };
    let root = create::short(&workspace.world, &workspace.root);
    out::line(&format!("{root}  model: {}{trust}", status.model))?;
    for mailbox in [Mailbox::Inbox, Mailbox::Outbox] {
        let mut text = format!("{:<8}", mailbox.name());
        for state in STATES {
            let count = status.boxes.get(mailbox.name()).and_then(|b| b.get(state.name()));
            text += &count.map_or_else(|| format!("{:13}", ""), |n| format!("{:<13}", format!("{n} {}", state.name())));
        }
        out::line(text.trim_end())?;
    }
    let now = workspace.world.now();
    let short = |id: &str| Id::parse(id).map(|id| id.short().to_owned()).unwrap_or_default();
    if let Some(item) = &status.oldest {
        let at = Id::parse(&item.id).map_or(now, |id| id.stamp());
        let lane = if item.lane.is_empty() { String::new() } else { format!(" in {}", item.lane) };
        out::line(&format!(
            "oldest  {:<12} {}/{}{lane}, {} old",
            short(&item.id),
            item.mailbox,
            item.state,
            age(now, at)
        ))?;
    }
    for item in &status.waiting {
        let until = item.until.as_ref().and_then(|t| t.parse::<jiff::Timestamp>().ok()).map_or(now, Stamp::from);
        let left = if until > now { format!("in {}", age(until, now)) } else { "due now".to_owned() };
        out::line(&format!("waits   {:<12} until {} ({left}): {}", short(&item.id), world::local(until), item.why))?;
    }
    for item in &status.failed {
        out::line(&format!("failed  {:<12} {}: {}", short(&item.id), item.mailbox, item.why))?;
    }
    for spent in &status.budget {
        out::line(&format!("spent   {} of {} ({})", spent.used, spent.most, spent.limit))?;
    }
    if status.tasks.iter().any(|(state, count)| *state != TaskState::Done.name() && *count > 0) {
        let count = |state: TaskState| status.tasks.get(state.name()).copied().unwrap_or_default();
        out::line(&format!("tasks   {} open, {} claimed", count(TaskState::Open), count(TaskState::Claimed)))?;
    }
    for wrong in &status.wrong {
        out::line(&format!("wrong   {wrong}"))?;
    }
    for held in &status.held {
        out::line(&format!("held    {} by {} ({})", held.lock, held.pid, held.command))?;
    }
    Ok(())
}

/// How long it is from `then` to `now`, in its largest unit.
fn age(now: Stamp, then: Stamp) -> String {
    let seconds = now.0.saturating_sub(then.0).max(0) / 1_000_000;
    match seconds {
        s @ ..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..86_400 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}
