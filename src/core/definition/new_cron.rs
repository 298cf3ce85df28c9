//! The CRON.md that `claw new cron` writes: valid at once, with the other fields as comments.

use crate::core::event::address::Address;
use crate::core::schedule::Timing;

/// The prompt until the owner writes one.
const PROMPT: &str = "Say in one sentence what is due today according to tasks/open and memories/.";
const FIELDS: &str = "\
# missed: once            # what to do about runs that were missed: once, skip or all
# grace: 1h               # how long afterwards a missed run is made up for
# overlap: skip           # while a run lasts: skip the next one, or queue it
# timeout: 10m            # the time limit of a run
# session: fresh          # fresh, main, or a name
# deliver_to: file:jobs   # where its answers go; without it, nowhere
# model: NAME             # instead of the agent's
# if: test -e files/x     # a command that decides whether a run is needed; claw crons approve
";

/// The contents of a new job.
#[derive(Clone, Debug)]
pub struct NewCron<'a> {
    /// Its name and id.
    pub name: &'a str,
    /// The agent that runs it.
    pub agent: &'a str,
    /// When it runs.
    pub timing: &'a Timing,
    /// Its zone; `None` for the owner's.
    pub zone: Option<&'a str>,
    /// The destination of its answers; `None` for nowhere.
    pub deliver_to: Option<&'a Address>,
    /// Its prompt; `None` for an example.
    pub prompt: Option<&'a str>,
}

/// The text of a new job. Without a prompt it is disabled, because its example would be sent to a model.
#[must_use]
pub fn compose(job: &NewCron) -> String {
    let NewCron { name, agent, timing, zone, deliver_to, prompt } = job;
    let timing = match timing {
        Timing::Cron(expression) => format!("schedule: \"{expression}\""),
        Timing::Every(period) => format!("every: {period:#}"),
        Timing::At(_) => timing.to_string().replacen("at ", "at: ", 1),
    };
    let zone = zone.map(|zone| format!("timezone: {zone}\n")).unwrap_or_default();
    // JSON is YAML, whatever the address has.
    let delivery = deliver_to.and_then(|address| serde_json::to_string(address).ok());
    let delivery = delivery.map(|address| format!("deliver_to: {address}\n")).unwrap_or_default();
    let disabled = if prompt.is_some() { "" } else { "enabled: false            # remove this line to let it run\n" };
    let prompt = prompt.unwrap_or(PROMPT).trim();
    format!(
        "---\nname: {name}\ndescription: \"\"\nagent: {agent}\n{timing}\n{zone}{delivery}{disabled}{FIELDS}---\n\n{prompt}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::definition::cron;
    use jiff::Timestamp;

    #[test]
    fn new_job_is_valid_and_disabled_without_a_prompt() {
        for timing in ["0 7 * * mon-fri", "@daily", "every 1h 30m", "at 2026-12-24T18:00:00", "at 2026-12-24T17:00:00Z"]
        {
            let timing: Timing = timing.parse().unwrap();
            for (zone, prompt) in [(Some("Europe/Berlin"), None), (None, Some("Water the plants."))] {
                let address = Address::parse("file:a: \"b\"").unwrap();
                let deliver_to = prompt.map(|_| &address);
                let text = compose(&NewCron { name: "1", agent: "pickle", timing: &timing, zone, deliver_to, prompt });
                let (job, warnings) = cron::read("1", "p", &text, Timestamp::UNIX_EPOCH).unwrap();
                assert_eq!((job.timing, warnings), (timing.clone(), vec![]));
                assert_eq!((job.zone_name.as_deref(), job.enabled), (zone, prompt.is_some()));
                assert_eq!(job.deliver_to.as_ref(), deliver_to);
                assert_eq!(job.prompt, prompt.unwrap_or(PROMPT));
            }
        }
    }
}
