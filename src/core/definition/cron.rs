//! Scheduled tasks: `crons/<id>/CRON.md`.

use crate::core::definition::{self, Parsed};
use crate::core::text::problem::{self, Problem};
use jiff::Zoned;
use serde::Deserialize;

/// A scheduled task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cron {
    /// The folder's name.
    pub id: String,
    /// The purpose, for lists.
    pub description: String,
    /// The cron expression.
    pub schedule: String,
    /// The agent that runs it.
    pub agent: String,
    /// The message to the agent: the file's body.
    pub prompt: String,
}

impl Cron {
    /// Whether the schedule has an occurrence after this instant: `0 0 30 2 *` has none.
    #[must_use]
    pub fn fires_after(&self, instant: &Zoned) -> bool {
        let parsed = cron::parser::CronParser::new().parse(&self.schedule);
        parsed.is_ok_and(|schedule| schedule.find_next_occurrence(instant, false).is_ok())
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CronFields {
    name: Option<String>,
    description: String,
    agent: Option<String>,
    schedule: Option<String>,
    #[serde(rename = "one_off")]
    _one_off: bool,
}

/// Reads a CRON.md.
///
/// # Errors
/// The problem, with line and column; also if `schedule` is not a cron expression.
pub fn read(id: &str, path: &str, text: &str) -> Parsed<Cron> {
    let (fields, body, warnings) = definition::read::<CronFields>(path, text)?;
    definition::required(path, "name", fields.name)?;
    let schedule = definition::required(path, "schedule", fields.schedule)?;
    if let Err(error) = cron::parser::CronParser::new().parse(&schedule) {
        let at = problem::locate(text, "schedule");
        return Err(Problem::error(path, format!("schedule `{schedule}`: {error}")).at(at));
    }
    let agent = definition::required(path, "agent", fields.agent)?;
    if body.trim().is_empty() {
        return Err(Problem::error(path, "it has no prompt: the text after the front matter is empty"));
    }
    Ok((Cron { id: id.to_owned(), description: fields.description, schedule, agent, prompt: body }, warnings))
}

#[cfg(test)]
mod tests {
    #[test]
    fn schedule_must_be_a_cron_expression() {
        let read = |s: &str| {
            super::read(
                "c",
                "crons/c/CRON.md",
                &format!("---\nname: c\nagent: pickle\nschedule: \"{s}\"\n---\nDo it.\n"),
            )
        };
        let now = "2026-12-01T00:00[UTC]".parse().unwrap();
        assert!(read("0 7 * * *").unwrap().0.fires_after(&now));
        assert!(read("0 0 29 2 *").unwrap().0.fires_after(&now));
        assert!(!read("0 0 30 2 *").unwrap().0.fires_after(&now));
        for bad in ["", "every day", "61 * * * *", "* * *"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
