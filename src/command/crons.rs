//! `claw crons`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::crons::audit::Audit;
use crate::core::crons::line::CronLine;
use crate::core::crons::terms::PauseReason;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::problem::nearest;
use crate::report::crons as report;
use crate::stage::schedule::pass;
use crate::store::crons;
use crate::store::crons::condition::{self, CronCondition};
use crate::store::crons::job::{self, CronJob};
use crate::store::crons::ledger::{self, CronLedger};
use crate::store::workspace::Workspace;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::json;

/// List scheduled jobs, run, pause and resume them, and audit their ledgers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A job is a folder crons/ID with a CRON.md. Every due instant is run once, or has a recorded reason why not:
`claw crons audit` computes all of them again, and ends with exit code 1 if a record is missing.")]
pub struct Args {
    /// Print JSON: one line for each job
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the jobs: next run, last outcome, missed instants [default]
    List,
    /// Print the next instants of a job, in its zone
    Next {
        /// The job
        id: String,
        /// The number of instants
        #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
        count: usize,
    },
    /// Run a job now, without moving its schedule; prints the id of its event
    Run {
        /// The jobs
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Pause a job until it is resumed; its file stays as it is
    Pause {
        /// The jobs
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Resume a paused job; instants in the meantime do not run
    Resume {
        /// The jobs
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Approve the command in `if` of a job in its present version; prints it first
    Approve {
        /// The jobs
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Compute every due instant again; exit code 1 if one has no record
    Audit {
        /// Only instants from this day or time on
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
    },
}

/// Lists, runs, pauses, resumes or audits jobs.
///
/// # Errors
/// `Data` if a job does not exist.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    match args.action.as_ref().unwrap_or(&Action::List) {
        Action::List => list(&here.look()?, args.json),
        Action::Audit { since } => audit(&here.look()?, since.as_deref(), args.json),
        Action::Next { id, count } => {
            let workspace = here.look()?;
            each(&workspace, std::slice::from_ref(id), |workspace, id| next(workspace, id, *count, args.json))
        }
        Action::Run { ids } => each(&here.open()?, ids, |workspace, id| {
            let event = pass::run_by_hand(workspace, &CronJob::read(workspace, id)??)?;
            if args.json { print(workspace, id) } else { out::line(event.as_str()) }
        }),
        Action::Approve { ids } => each(&here.open()?, ids, |workspace, id| approve(workspace, id, args.json)),
        Action::Pause { ids } => each(&here.open()?, ids, |workspace, id| {
            let at = workspace.world.now().timestamp();
            write(workspace, id, &CronLine::Paused { at, why: PauseReason::Owner }, |ledger| {
                ledger.state.paused.is_none_or(|(why, _)| why != PauseReason::Owner)
            })?;
            if args.json { print(workspace, id) } else { Ok(()) }
        }),
        Action::Resume { ids } => each(&here.open()?, ids, |workspace, id| {
            let at = workspace.world.now().timestamp();
            write(workspace, id, &CronLine::Resumed { at }, |ledger| ledger.state.paused.is_some())?;
            if args.json { print(workspace, id) } else { Ok(()) }
        }),
    }
}

/// Prints a job as JSON.
fn print(workspace: &Workspace, id: &str) -> Result<()> {
    out::json(&report::of(workspace, id.to_owned())?)
}

/// Calls `act` with each job that an argument names.
fn each(workspace: &Workspace, ids: &[String], act: impl Fn(&Workspace, &str) -> Result<()>) -> Result<u8> {
    let known = job::ids(workspace)?;
    out::each_argument(ids, |text| {
        let id = text.trim_end_matches("/CRON.md").trim_end_matches('/').trim_start_matches("crons/");
        if known.iter().any(|known| known == id) {
            return act(workspace, id);
        }
        let fault = Fault::data(format!("there is no scheduled job `{}`", id.escape_debug()));
        Err(match nearest(id, known.iter().map(String::as_str)) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault.hint("claw crons lists them"),
        })
    })
}

/// Approves the command of a job as it is printed.
fn approve(workspace: &Workspace, id: &str, is_json: bool) -> Result<()> {
    let job = CronJob::read(workspace, id)??;
    let Some(command) = &job.cron.condition else {
        return Err(Fault::data(format!("{id} has no `if` to approve")));
    };
    let CronCondition { files, hash } = condition::of(workspace, &job.cron.agent, command)?;
    if is_json {
        out::json(&json!({"id": id, "agent": job.cron.agent, "command": command, "files": files, "hash": hash}))?;
    } else {
        out::line(&format!("{id}, in the sandbox of {}: {}", job.cron.agent, out::row(command)))?;
        files.iter().try_for_each(|file| {
            out::line(&format!(
                "  {} ({} bytes, blake3 {})",
                file.path,
                file.size,
                &file.hash[..16.min(file.hash.len())]
            ))
        })?;
    }
    let at = workspace.world.now().timestamp();
    write(workspace, id, &CronLine::Approved { at, hash: hash.clone() }, |ledger| {
        ledger.state.approved.as_ref() != Some(&hash)
    })
}

/// Writes a line into a job's ledger, unless it would change nothing.
fn write(workspace: &Workspace, id: &str, line: &CronLine, is_new: impl Fn(&CronLedger) -> bool) -> Result<()> {
    let _lock = crons::lock(workspace)?;
    let name = ledger::name(id);
    let mut ledger = CronLedger::clone(&*ledger::read(workspace, &name)?);
    if is_new(&ledger) {
        ledger::append(workspace, &name, &mut ledger, std::slice::from_ref(line))?;
        ledger::sync_names(workspace)?;
    }
    Ok(())
}

/// Prints the next instants of a job; nothing earlier than now is due for a job that was not seen yet.
fn next(workspace: &Workspace, id: &str, count: usize, is_json: bool) -> Result<()> {
    let job = CronJob::read(workspace, id)??;
    let ledger = ledger::read(workspace, &ledger::name(id))?;
    let now = workspace.world.now().timestamp();
    let seen = ledger.state.seen.as_ref().filter(|seen| seen.timing == job.cron.timing_text);
    let since = seen.map_or(now, |seen| seen.since);
    for due in job.cron.timing.all_after(&job.zone.rules, since, now).take(count) {
        if is_json {
            out::json(&json!({"id": id, "due": due, "zone": job.zone.name}))?;
        } else {
            out::line(&job.zone.show(due))?;
        }
    }
    let paused = ledger.state.paused.map(|(why, _)| format!("paused {}", why.text()));
    if let Some(why) = paused.or((!job.cron.enabled).then(|| "disabled in its file".to_owned())) {
        out::message(&format!("{id} is {why}: none of them runs"));
    }
    Ok(())
}

fn list(workspace: &Workspace, is_json: bool) -> Result<u8> {
    let all = report::all(workspace)?;
    let width = all.iter().map(|job| job.id.chars().count()).max().unwrap_or_default();
    for job in &all {
        if is_json {
            out::json(job)?;
        } else {
            out::line(&format!("{:<width$}  {}", job.id, job.line(workspace)))?;
        }
    }
    Ok(if all.iter().any(|job| job.problem.is_some()) { 65 } else { 0 })
}

fn audit(workspace: &Workspace, since: Option<&str>, is_json: bool) -> Result<u8> {
    let since = since.map_or(Ok(Timestamp::MIN), parse_since)?;
    let mut code = 0;
    for (id, audit) in report::audit(workspace, since)? {
        code = code.max(u8::from(!audit.is_clean()));
        if is_json {
            let Audit { due, ran, missed, excused, pending, missing, twice, unknown } = &audit;
            out::json(&json!({"id": id, "due": due, "ran": ran, "missed": missed, "excused": excused,
                "pending": pending, "missing": missing, "twice": twice, "unknown": unknown}))?;
            continue;
        }
        out::line(&format!(
            "{id}: {} due, {} ran, {} missed, {} excused (paused, disabled, changed or gone), {} pending",
            audit.due, audit.ran, audit.missed, audit.excused, audit.pending
        ))?;
        let lists = [("no record", &audit.missing), ("ran twice", &audit.twice), ("zone data changed", &audit.unknown)];
        for (what, instants) in lists {
            instants.iter().try_for_each(|due| out::line(&format!("  {what}: {due}")))?;
        }
    }
    Ok(code)
}

/// A time (RFC 3339), or a day in the owner's zone.
fn parse_since(text: &str) -> Result<Timestamp> {
    let day = || text.parse::<Date>().ok()?.to_zoned(crate::world::zone()).ok().map(|start| start.timestamp());
    text.parse::<Timestamp>().ok().or_else(day).ok_or_else(|| {
        Fault::new(Kind::Usage, format!("`{text}` is neither a day nor a time"))
            .hint("like 2026-12-01 or 2026-12-01T07:00:00Z")
    })
}
