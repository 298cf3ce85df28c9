//! The schedule's part of an event of kind `cron` or `heartbeat`.

use crate::core::event::address::safe_name;
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Event, EventKind};
use crate::core::fault::{Fault, Result};
use crate::core::text::base32::hash32;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The key in an event's `meta`.
const KEY: &str = "schedule";
/// The longest part of a job's id in the id of an event, so that every session's name fits.
const MAX_NAME: usize = 16;
/// The answers of an agent that has nothing to say.
const QUIET: [&str; 2] = ["NO_REPLY", "HEARTBEAT_OK"];

/// The schedule's part of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// The job.
    pub job: String,
    /// The instant; of a run by hand the time of the command.
    pub due: Timestamp,
    /// The answer goes to `reply_to`; else nowhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delivers: bool,
    /// The time limit of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<SignedDuration>,
    /// The command that decides whether the agent is asked.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

impl Scheduled {
    /// The schedule's part of an event.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let is_scheduled = matches!(event.kind, EventKind::Cron | EventKind::Heartbeat);
        event.meta.get(KEY).filter(|_| is_scheduled).and_then(|value| Self::deserialize(value).ok())
    }

    /// Writes it into an event.
    ///
    /// # Errors
    /// `Data` where serialisation fails, which does not happen for values of this type.
    pub fn write(&self, event: &mut Event) -> Result<()> {
        let value = serde_json::to_value(self).map_err(|e| Fault::data(e.to_string()))?;
        event.meta.insert(KEY.to_owned(), value);
        Ok(())
    }
}

/// The id of the event of a job at an instant: the same in every process, and at every attempt.
///
/// # Errors
/// None in practice: every instant and every job give a valid id.
pub fn event_id(job: &str, due: Timestamp) -> Result<Id> {
    // A dot marks derived ids.
    let name = safe_name(job.trim_start_matches('+'), MAX_NAME).replace('.', "-");
    let hash = hash32(&format!("{job} {due}"), 6);
    Id::parse(&format!("{}-{name}-{hash}", Stamp::from(due)))
}

/// Whether an answer says only that there is nothing to say.
#[must_use]
pub fn is_quiet(answer: &str) -> bool {
    QUIET.contains(&answer.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::session_name;

    #[test]
    fn every_job_and_instant_has_one_valid_id() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let id = event_id("morning", at(0)).unwrap();
        assert!(id.as_str().starts_with("19700101T000000.000000Z-morning-"), "{id}");
        assert_eq!(event_id("morning", at(0)).unwrap(), id);
        let others = ["evening", "morning ", "🥒", "a/b", &"x".repeat(200), &"x".repeat(201)];
        let ids: Vec<Id> = others.iter().map(|job| event_id(job, at(0)).unwrap()).collect();
        assert!(ids.iter().all(|other| *other != id && !other.is_derived()), "{ids:?}");
        assert!(ids[4] != ids[5] && event_id("morning", at(1)).unwrap().short() != id.short());
        for id in ids {
            let session = session_name::for_run(&"a".repeat(32), &id);
            assert!(session_name::is_one_off(&session), "{session}");
            assert_eq!(session_name::qualify(&session, None, "pickle").unwrap(), session);
        }
    }

    #[test]
    fn only_the_word_alone_is_quiet() {
        for quiet in ["NO_REPLY", " HEARTBEAT_OK\n"] {
            assert!(is_quiet(quiet), "{quiet}");
        }
        for text in ["", "no_reply", "NO_REPLY.", "Nothing: NO_REPLY"] {
            assert!(!is_quiet(text), "{text}");
        }
    }
}
