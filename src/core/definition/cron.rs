//! Scheduled jobs: `crons/<id>/CRON.md`. The folder's name is the job's identity.

use crate::core::definition::{self, Parsed};
use crate::core::event::address::Address;
use crate::core::event::session_name;
use crate::core::fault::Fault;
use crate::core::schedule::{MAX_YEARS, Timing};
use crate::core::text::problem::{self, Problem};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_yaml::Value;

/// The channel of jobs: `cron:<id>` is the sender of a job's events.
pub const CHANNEL: &str = "cron";
/// The longest command in `if`, in bytes.
const MAX_CONDITION: usize = 4096;

/// A scheduled job.
#[derive(Clone, Debug, PartialEq)]
pub struct Cron {
    /// The folder's name.
    pub id: String,
    /// The display name.
    pub name: String,
    /// The purpose, for lists.
    pub description: String,
    /// The agent that runs it.
    pub agent: String,
    /// When it is due.
    pub timing: Timing,
    /// The canonical form of the timing; a job for which it has changed starts anew.
    pub timing_text: String,
    /// The name of its time zone; `None` for the owner's.
    pub zone_name: Option<String>,
    /// Whether it is due at all.
    pub enabled: bool,
    /// The treatment of instants that have passed without a run.
    pub missed: Missed,
    /// How long after its instant a run is made up for; `None` for one period within limits.
    pub grace: Option<SignedDuration>,
    /// The treatment of an instant during a run.
    pub overlap: Overlap,
    /// The time limit of a run.
    pub timeout: Option<SignedDuration>,
    /// The session of its runs.
    pub session: CronSession,
    /// The destination of its answers; `None` for nowhere.
    pub deliver_to: Option<Address>,
    /// The name of its model; `None` for the agent's.
    pub model: Option<String>,
    /// A command that decides whether a run is needed.
    pub condition: Option<String>,
    /// Whether its folder is put away after its run.
    pub one_off: bool,
    /// The message to the agent: the file's body.
    pub prompt: String,
}

/// The treatment of instants that have passed without a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// The last one is made up for.
    #[default]
    Once,
    /// None is made up for.
    Skip,
    /// All are made up for, oldest first, up to a limit.
    All,
}

/// The treatment of an instant during a run of the same job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// It is recorded as missed.
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
    /// The one in which the agent talks with `deliver_to`, or with the default delivery address.
    Main,
    /// The one of this full name, `<agent>.<name>`.
    Named(String),
}

/// The front matter of a CRON.md.
#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(title = "CRON.md"))]
#[serde(default)]
pub(in crate::core) struct CronFields {
    /// The display name. Required.
    name: Option<String>,
    /// The purpose of the job, in one line, for lists.
    description: String,
    /// The agent that runs it. Required.
    agent: Option<String>,
    /// When it runs: five fields as in Debian's cron, like `0 7 * * mon-fri`, or `@daily` and the like. Exactly one of
    /// `schedule`, `every` and `at` is required.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    schedule: Option<Value>,
    /// When it runs: the period, like `2h`, from when the job was first seen.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    every: Option<Value>,
    /// When it runs: date and time, like `2026-12-24T18:00`, in the job's zone or with an offset.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    at: Option<Value>,
    /// Its time zone, like `Europe/Berlin`; default: the owner's.
    timezone: Option<String>,
    /// Whether it runs at all; default true.
    enabled: Option<bool>,
    /// The treatment of instants that have passed while nothing ran; default `once`.
    missed: Missed,
    /// How long after its instant a run is made up for, like `2h`; default: one period, at least 10 minutes, at most a
    /// day.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    grace: Option<SignedDuration>,
    /// The treatment of an instant during a run; default `skip`.
    overlap: Overlap,
    /// The time limit of a run, like `10m`; default: that of the agent's turns.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    timeout: Option<SignedDuration>,
    /// The session of its runs: `fresh` (default), `main`, or a name.
    session: Option<String>,
    /// The destination of its answers; default: nowhere.
    deliver_to: Option<Address>,
    /// Its model: a name of `models` in claw.yaml, or `provider/model`; default: the agent's.
    model: Option<String>,
    /// A command that runs in the agent's sandbox before any model is asked: exit 0 runs the job with its output, 1 does
    /// not, anything else is a failure. It needs the owner's approval.
    #[serde(rename = "if")]
    condition: Option<String>,
    /// Whether the folder moves to crons/.done/ after the run; default: true with `at`.
    one_off: Option<bool>,
}

/// Reads a CRON.md. `now` decides whether there is any date in the next nine years.
///
/// # Errors
/// The problem, with line and column.
pub fn read(id: &str, path: &str, text: &str, now: Timestamp) -> Parsed<Cron> {
    let at = |key: &str| problem::locate(text, key).or(Some((1, 1)));
    let wrong = |key: &str, message: String| Problem::error(path, message).at(at(key));
    if let Some(problem) = unquoted(path, text) {
        return Err(problem);
    }
    let (mut fields, body, mut warnings) = definition::read::<CronFields>(path, text)?;
    Address::parse(&format!("{CHANNEL}:{id}")).map_err(|e| Problem::error(path, format!("the folder's name: {e}")))?;
    let (key, timing) = timing(path, text, &mut fields)?;
    if let Some(expression) = timing.never_fires(now) {
        let message = format!("schedule `{expression}` never fires: it has no date in the next {MAX_YEARS} years");
        return Err(wrong(key, message));
    }
    if let Timing::Cron(expression) = &timing {
        warnings.extend(expression.oddity().map(|oddity| Problem::warning(path, oddity).at(at(key))));
    }
    let name = definition::required(path, "name", fields.name)?;
    let agent = definition::required(path, "agent", fields.agent)?;
    session_name::check_agent(&agent).map_err(|fault| wrong("agent", fault.to_string()))?;
    if body.trim().is_empty() {
        return Err(Problem::error(path, "it has no prompt: the text after the front matter is empty"));
    }
    if fields.grace.is_some_and(|grace| grace.is_negative()) {
        return Err(wrong("grace", "grace is negative".to_owned()));
    }
    if fields.timeout.is_some_and(|timeout| !timeout.is_positive()) {
        return Err(wrong("timeout", "timeout must be positive".to_owned()));
    }
    if let Some(condition) = &fields.condition {
        let why = if condition.trim().is_empty() { Some("is empty") } else { None };
        let why = why.or((condition.len() > MAX_CONDITION).then_some("is over 4096 bytes: write a file, and run it"));
        why.map_or(Ok(()), |why| Err(wrong("if", format!("the command in `if` {why}"))))?;
    }
    let session = match fields.session.as_deref() {
        None | Some("fresh") => CronSession::Fresh,
        Some("main") => CronSession::Main,
        Some(name) => session_name::qualify(name, Some(&agent), &agent)
            .map(CronSession::Named)
            .map_err(|fault| wrong("session", format!("session: {fault}")))?,
    };
    let cron = Cron {
        id: id.to_owned(),
        name,
        description: fields.description,
        agent,
        one_off: fields.one_off.unwrap_or(matches!(timing, Timing::At(_))),
        timing_text: timing.to_string(),
        timing,
        zone_name: fields.timezone,
        enabled: fields.enabled.unwrap_or(true),
        missed: fields.missed,
        grace: fields.grace,
        overlap: fields.overlap,
        timeout: fields.timeout,
        session,
        deliver_to: fields.deliver_to,
        model: fields.model,
        condition: fields.condition,
        prompt: body,
    };
    Ok((cron, warnings))
}

/// The one of `schedule`, `every` and `at` that is given, with its key.
fn timing(path: &str, text: &str, fields: &mut CronFields) -> Result<(&'static str, Timing), Problem> {
    let given = [("schedule", fields.schedule.take()), ("every", fields.every.take()), ("at", fields.at.take())];
    let given: Vec<_> = given.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let at = |key: &str| problem::locate(text, key).or(Some((1, 1)));
    match &given[..] {
        [(key, value)] => {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return Err(Problem::error(path, format!("{key}: it must be one line of text")).at(at(key))),
            };
            let parsed = match *key {
                "schedule" => Timing::schedule(&value),
                "every" => Timing::every(&value),
                _ => Timing::at(&value),
            };
            parsed
                .map(|timing| (*key, timing))
                .map_err(|fault: Fault| Problem::error(path, fault.to_string()).at(at(key)))
        }
        [] => {
            let message = "`schedule` is missing in the front matter (or `every`, or `at`)";
            Err(Problem::error(path, message).at(Some((1, 1))))
        }
        [(first, _), (second, _), ..] => {
            let message =
                format!("it has `{first}` and `{second}`: exactly one of `schedule`, `every` and `at` is allowed");
            Err(Problem::error(path, message).at(at(second)))
        }
    }
}

/// The problem with an expression that YAML does not read as text: `*` begins an alias there, and `@` is reserved.
fn unquoted(path: &str, text: &str) -> Option<Problem> {
    let lines = text.lines().enumerate().skip(1).take_while(|(_, line)| line.trim_end() != "---");
    let mut values =
        lines.filter_map(|(number, line)| Some((number + 1, line, line.strip_prefix("schedule:")?.trim())));
    let (number, line, value) = values.find(|(.., value)| value.starts_with(['*', '@', '?']))?;
    let message = format!("YAML needs quotes here: write `schedule: \"{}\"`", value.escape_debug());
    Some(Problem::error(path, message).at(Some((number, line.find(value).unwrap_or_default() + 1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &str) -> Parsed<Cron> {
        let text = format!("---\nname: c\nagent: pickle\n{fields}---\nDo it.\n");
        super::read("c", "crons/c/CRON.md", &text, "2026-12-01T00:00Z".parse().unwrap())
    }

    #[test]
    fn job_has_defaults() {
        let (cron, warnings) = read("schedule: 0 7 * * *\n").unwrap();
        let expected = Cron {
            id: "c".into(),
            name: "c".into(),
            description: String::new(),
            agent: "pickle".into(),
            timing: Timing::schedule("0 7 * * *").unwrap(),
            timing_text: "0 7 * * *".into(),
            zone_name: None,
            enabled: true,
            missed: Missed::Once,
            grace: None,
            overlap: Overlap::Skip,
            timeout: None,
            session: CronSession::Fresh,
            deliver_to: None,
            model: None,
            condition: None,
            one_off: false,
            prompt: "Do it.".into(),
        };
        assert_eq!((cron, warnings), (expected, vec![]));
    }

    #[test]
    fn job_has_every_field() {
        let (cron, warnings) = read(
            "description: d\nat: 2026-12-24T18:00\ntimezone: Europe/Berlin\nenabled: false\nmissed: all\ngrace: 2h\n\
             overlap: queue\ntimeout: 10m\nsession: work\ndeliver_to: file:news\nmodel: fast\nif: test -e x\n\
             one_off: false\n",
        )
        .unwrap();
        assert_eq!(warnings, []);
        assert_eq!((cron.timing_text.as_str(), cron.one_off), ("at 2026-12-24T18:00:00", false));
        assert_eq!((cron.zone_name.as_deref(), cron.enabled), (Some("Europe/Berlin"), false));
        assert_eq!((cron.missed, cron.overlap), (Missed::All, Overlap::Queue));
        assert_eq!(cron.grace.zip(cron.timeout), Some((SignedDuration::from_hours(2), SignedDuration::from_mins(10))));
        assert_eq!(cron.session, CronSession::Named("pickle.work".into()));
        assert_eq!(cron.deliver_to.map(String::from).as_deref(), Some("file:news"));
        assert_eq!((cron.model.as_deref(), cron.condition.as_deref()), (Some("fast"), Some("test -e x")));
        assert!(read("at: 2026-12-24T18:00\n").unwrap().0.one_off);
        assert_eq!(read("every: 2h\nsession: main\n").unwrap().0.session, CronSession::Main);
        assert_eq!(read("every: 90s\n").unwrap().0.timing_text, "every 1m 30s");
    }

    #[test]
    fn problem_has_its_place_and_the_way_out() {
        let shown = |fields: &str| read(fields).unwrap_err().to_string().replace("crons/c/CRON.md:", "");
        for (fields, expected) in [
            ("", "1:1: `schedule` is missing in the front matter (or `every`, or `at`)"),
            ("every: 2h\nat: 2026-12-24T18:00\n", "5:1: it has `every` and `at`: exactly one"),
            ("schedule: 0 7 * * *\nevery: 2h\n", "5:1: it has `schedule` and `every`: exactly one"),
            ("schedule: 0 7 * * *\nschedule: 0 8 * * *\n", "5:1: the key `schedule` is there twice"),
            ("schedule: 61 * * * *\n", "4:1: schedule `61 * * * *`: minute `61` is not in 0-59"),
            ("schedule: \"* * * * * *\"\n", "4:1: schedule `* * * * * *`: it has 6 fields"),
            ("schedule: 5\n", "4:1: schedule `5`: it has 1 field"),
            ("schedule: [0, 7]\n", "4:1: schedule: it must be one line of text"),
            ("schedule: */5 * * * *\n", "4:11: YAML needs quotes here: write `schedule: \"*/5 * * * *\"`"),
            ("schedule: @daily\n", "4:11: YAML needs quotes here: write `schedule: \"@daily\"`"),
            ("schedule: 0 0 30 2 *\n", "4:1: schedule `0 0 30 2 *` never fires"),
            ("every: 0s\n", "4:1: every `0s`: it is shorter than a second"),
            ("every: 1ns\n", "4:1: every `1ns`: it is shorter"),
            ("every: 30\n", "4:1: every `30`: it is not a period"),
            ("at: tomorrow\n", "4:1: at `tomorrow`: it has no date"),
            ("every: 2h\nmissed: twice\n", "5:9: missed: unknown variant `twice`"),
            ("every: 2h\ngrace: -1h\n", "5:1: grace is negative"),
            ("every: 2h\ntimeout: 0s\n", "5:1: timeout must be positive"),
            ("every: 2h\nsession: ../x\n", "5:1: session: `../x` is not a session name"),
            ("every: 2h\nsession: cookie.x\n", "5:1: session: session cookie.x belongs to agent cookie"),
            ("every: 2h\ndeliver_to: nowhere\n", "`nowhere` is not an address"),
            ("every: 2h\nif: \"\"\n", "5:1: the command in `if` is empty"),
        ] {
            assert!(shown(fields).contains(expected), "{}", shown(fields));
        }
        for file in ["", "hello", "---\nname: c\nagent: pickle\nevery: 2h\n", "---\nname: [\n---\nx\n"] {
            let problem = super::read("c", "crons/c/CRON.md", file, Timestamp::UNIX_EPOCH).unwrap_err();
            assert!(problem.at.is_some(), "{problem}");
        }
        assert!(super::read("a\nb", "p", "---\nname: c\nagent: a\nevery: 2h\n---\nx", Timestamp::UNIX_EPOCH).is_err());
    }

    #[test]
    fn instant_that_has_passed_and_one_far_ahead_are_valid() {
        for at in ["1970-01-01T00:00", "9999-12-29T00:00"] {
            assert!(read(&format!("at: {at}\n")).is_ok(), "{at}");
        }
    }

    #[test]
    fn mistake_that_changes_nothing_is_a_warning() {
        let (_, warnings) = read("schedule: \"*/90 * * * *\"\nevrey: 2h\n").unwrap();
        let shown: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert!(shown[0].contains("unknown key `evrey`, did you mean `every`?"), "{shown:?}");
        assert!(shown[1].starts_with("crons/c/CRON.md:4:1: warning: the step of minute `*/90` is longer"), "{shown:?}");
    }
}
