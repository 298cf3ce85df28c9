//! Scheduled tasks: `crons/<id>/CRON.md`.

use crate::core::definition::{self, Parsed};
use crate::core::event::address::Address;
use crate::core::schedule::Timing;
use crate::core::text::problem::Problem;
use jiff::SignedDuration;
use serde::Deserialize;

/// A scheduled task.
#[derive(Clone, Debug, PartialEq)]
pub struct Cron {
    /// The folder's name.
    pub id: String,
    /// The name.
    pub name: String,
    /// The purpose, for lists.
    pub description: String,
    /// The agent that runs it.
    pub agent: String,
    /// When it is due.
    pub timing: Timing,
    /// The same as canonical text.
    pub timing_text: String,
    /// The zone's name; `None`: the owner's.
    pub zone_name: Option<String>,
    /// Whether it runs.
    pub enabled: bool,
    /// The treatment of missed instants.
    pub missed: Missed,
    /// How late a missed instant may run.
    pub grace: Option<SignedDuration>,
    /// The treatment of an instant during a run.
    pub overlap: Overlap,
    /// The time limit of a run.
    pub timeout: Option<SignedDuration>,
    /// The session of its runs.
    pub session: CronSession,
    /// The destination of its answers.
    pub deliver_to: Option<Address>,
    /// The model.
    pub model: Option<String>,
    /// The command that decides whether a run is needed.
    pub condition: Option<String>,
    /// It runs once.
    pub one_off: bool,
    /// The message to the agent: the file's body.
    pub prompt: String,
}

/// The treatment of missed instants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// The last one runs.
    #[default]
    Once,
    /// None runs.
    Skip,
    /// All run.
    All,
}

/// The treatment of an instant during a run of the same job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// It does not run.
    #[default]
    Skip,
    /// It runs afterwards.
    Queue,
}

/// The session of a job's runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CronSession {
    /// A new one for each run.
    #[default]
    Fresh,
    /// The session of the default destination.
    Main,
    /// This one.
    Named(String),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CronFields {
    name: Option<String>,
    description: String,
    agent: Option<String>,
    schedule: Option<String>,
    every: Option<String>,
    at: Option<String>,
    timezone: Option<String>,
    enabled: Option<bool>,
    missed: Missed,
    grace: Option<SignedDuration>,
    overlap: Overlap,
    timeout: Option<SignedDuration>,
    session: Option<String>,
    deliver_to: Option<Address>,
    model: Option<String>,
    r#if: Option<String>,
    one_off: bool,
}

/// Reads a CRON.md.
///
/// # Errors
/// The problem, with line and column; also if `schedule` is not a cron expression.
pub fn read(id: &str, path: &str, text: &str) -> Parsed<Cron> {
    let (fields, body, warnings) = definition::read::<CronFields>(path, text)?;
    let name = definition::required(path, "name", fields.name)?;
    let timing_text = match (&fields.schedule, &fields.every, &fields.at) {
        (Some(text), None, None) => format!("schedule {text}"),
        (None, Some(text), None) => format!("every {text}"),
        (None, None, Some(text)) => format!("at {text}"),
        _ => return Err(Problem::error(path, "exactly one of `schedule`, `every` and `at` is required")),
    };
    let timing = Timing::parse(&timing_text).ok_or_else(|| Problem::error(path, format!("bad `{timing_text}`")))?;
    let agent = definition::required(path, "agent", fields.agent)?;
    if body.trim().is_empty() {
        return Err(Problem::error(path, "it has no prompt: the text after the front matter is empty"));
    }
    let session = match fields.session.as_deref() {
        None | Some("fresh") => CronSession::Fresh,
        Some("main") => CronSession::Main,
        Some(name) => CronSession::Named(name.to_owned()),
    };
    let cron = Cron {
        id: id.to_owned(),
        name,
        description: fields.description,
        agent,
        timing,
        timing_text,
        zone_name: fields.timezone,
        enabled: fields.enabled.unwrap_or(true),
        missed: fields.missed,
        grace: fields.grace,
        overlap: fields.overlap,
        timeout: fields.timeout,
        session,
        deliver_to: fields.deliver_to,
        model: fields.model,
        condition: fields.r#if,
        one_off: fields.one_off,
        prompt: body,
    };
    Ok((cron, warnings))
}
