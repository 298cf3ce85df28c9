//! The heartbeat: the agent looks at HEARTBEAT.md at an interval, in the conversation with the owner. A beat is no message
//! of a person, and one that has found nothing leaves no trace in later requests.

use jiff::SignedDuration;
use jiff::civil::Time;
use serde::Deserialize;

/// The job's id; no folder in `crons/` is looked at under this name.
pub const ID: &str = "+heartbeat";
/// The file, relative to the workspace.
pub const FILE: &str = "HEARTBEAT.md";
/// The answer of an agent that has found nothing.
const OK: &str = "HEARTBEAT_OK";
/// The most other characters of an answer with [`OK`] that is not delivered.
const MAX_OTHER: usize = 300;

/// The heartbeat.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct HeartbeatSettings {
    /// The interval, like `30m`; without it there is no heartbeat.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub every: Option<SignedDuration>,
    /// The agent; default: `default_agent`.
    pub agent: Option<String>,
    /// The hours in which it beats, in the owner's zone, like `08:00-22:00`; default: all.
    pub active: Option<String>,
    /// Its model; default: the agent's.
    pub model: Option<String>,
    /// Its session; default: that of the agent's conversation at `deliver_to`.
    pub session: Option<String>,
    /// Files and folders of the workspace whose changes count, besides HEARTBEAT.md and the task list.
    pub watch: Vec<String>,
    /// Ask the model even if nothing has changed since the last beat.
    pub always: bool,
}

impl HeartbeatSettings {
    /// The key with a wrong value, and why.
    #[must_use]
    pub fn invalid(&self) -> Option<(&'static str, String)> {
        if self.every.is_some_and(|every| every < SignedDuration::from_mins(1)) {
            return Some(("heartbeat.every", "heartbeat.every is shorter than a minute".to_owned()));
        }
        let hours = self.active.as_deref().filter(|hours| parse(hours).is_none())?;
        Some((
            "heartbeat.active",
            format!("heartbeat.active: `{hours}` is no range of hours; write it like 08:00-22:00"),
        ))
    }

    /// Whether it beats at this time of day.
    #[must_use]
    pub fn is_active(&self, time: Time) -> bool {
        match self.active.as_deref().and_then(parse) {
            Some((from, to)) if from <= to => from <= time && time < to,
            // Over midnight.
            Some((from, to)) => from <= time || time < to,
            None => true,
        }
    }
}

fn parse(hours: &str) -> Option<(Time, Time)> {
    let (from, to) = hours.split_once('-')?;
    let time = |text: &str| Time::strptime("%H:%M", text.trim()).ok();
    time(from).zip(time(to))
}

/// Whether a HEARTBEAT.md has anything to do: more than headings, comments, fences and empty checkboxes.
#[must_use]
pub fn has_content(text: &str) -> bool {
    let mut rest = String::new();
    let mut text = text;
    while let Some((before, comment)) = text.split_once("<!--") {
        rest.push_str(before);
        text = comment.split_once("-->").map_or("", |(_, after)| after);
    }
    rest.push_str(text);
    rest.lines().map(str::trim).any(|line| {
        let item = line.trim_start_matches(['-', '*', '+']).trim();
        let is_empty_box = ["[ ]", "[x]", "[X]", "[]", ""].contains(&item);
        !is_empty_box && !line.starts_with('#') && !line.starts_with("```") && !line.starts_with("~~~")
    })
}

/// The message of a beat. It is marked in every request, because the owner has not written it now.
#[must_use]
pub fn message(text: &str) -> String {
    format!(
        "[Heartbeat: not a message of a person. It agrees to nothing and approves nothing. Look at the list below, and do \
         only work that it asks for. If nothing needs attention, answer {OK}.]\n\n{}",
        text.trim()
    )
}

/// Whether an answer to a beat says that there is nothing: with `HEARTBEAT_OK` at either end and little other text.
#[must_use]
pub fn is_ok(answer: &str) -> bool {
    let answer = answer.trim();
    let other = answer.strip_prefix(OK).or_else(|| answer.strip_suffix(OK));
    other.is_some_and(|other| other.trim().chars().count() <= MAX_OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_without_anything_to_do_is_empty() {
        for empty in ["", "# Heartbeat\n\n", "<!-- look\nat x -->\n", "```\n```\n", "- [ ]\n* [x]\n-\n", "<!-- open"] {
            assert!(!has_content(empty), "{empty}");
        }
        for full in ["Look at the NAS.", "# A\n- [ ] NAS\n", "<!-- x --> y"] {
            assert!(has_content(full), "{full}");
        }
    }

    #[test]
    fn short_answer_with_the_word_at_an_end_says_nothing() {
        let long = "x".repeat(301);
        for ok in ["HEARTBEAT_OK", " HEARTBEAT_OK\nAll quiet. ", "All quiet. HEARTBEAT_OK"] {
            assert!(is_ok(ok), "{ok}");
        }
        for text in ["", "The NAS is full.", "a HEARTBEAT_OK b", &format!("HEARTBEAT_OK {long}")] {
            assert!(!is_ok(text), "{text}");
        }
    }

    #[test]
    fn hours_may_reach_over_midnight() {
        let at = |active: &str, hour: i8| {
            HeartbeatSettings { active: Some(active.into()), ..HeartbeatSettings::default() }
                .is_active(Time::constant(hour, 0, 0, 0))
        };
        assert_eq!([7, 8, 21, 22].map(|hour| at("08:00-22:00", hour)), [false, true, true, false]);
        assert_eq!([21, 22, 3, 6].map(|hour| at("22:00-06:00", hour)), [false, true, true, false]);
        assert!(HeartbeatSettings::default().is_active(Time::midnight()));
        let wrong = |active: &str| HeartbeatSettings { active: Some(active.into()), ..HeartbeatSettings::default() };
        assert!(wrong("8-22").invalid().is_some() && wrong("08:00-22:00").invalid().is_none());
    }
}
