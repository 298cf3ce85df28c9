//! The jobs of `OpenClaw`: `cron/jobs.json`. Each job becomes a disabled `crons/ID/CRON.md`.

use crate::core::fault::Result;
use crate::import::plan::{ImportPlan, Output, OutputContent};
use crate::import::{Import, definition, secrets};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// Plans the list of jobs. It is kept aside if a job cannot be converted.
pub(super) fn file(
    import: &Import,
    path: &str,
    agents: &BTreeMap<String, String>,
    plan: &mut ImportPlan,
) -> Result<()> {
    let text = import.source.text(path)?;
    if let Some(line) = secrets::line(&text) {
        plan.secrets.push(format!("{path}: line {line}"));
        plan.stays(path, format!("line {line} has what looks like a key"));
        return Ok(());
    }
    let Ok(store) = serde_json::from_str::<Value>(&text) else {
        plan.aside(path, &["it is not valid JSON".to_owned()]);
        return Ok(());
    };
    let jobs = store["jobs"].as_array().or(store.as_array()).cloned().unwrap_or_default();
    let (mut outputs, mut notes, mut is_whole) = (Vec::new(), Vec::new(), true);
    for job in &jobs {
        let name = ["name", "id"].into_iter().find_map(|key| job[key].as_str()).unwrap_or("unnamed");
        let composed = compose(job, name, agents, plan.settings.default_agent.as_deref().unwrap_or("main"));
        let valid = composed.and_then(|text| match definition::cron_problem("x", "CRON.md", &text, import.now) {
            Some(problem) => Err(problem),
            None => Ok(text),
        });
        match valid {
            Ok(text) => {
                let path = plan.take_numbered(&format!("crons/{}", definition::id(name)), "/CRON.md");
                outputs.push(Output { path, content: OutputContent::Text(text) });
            }
            Err(why) => {
                is_whole = false;
                notes.push(format!("job `{name}` is not taken over: {why}"));
            }
        }
    }
    if outputs.is_empty() {
        plan.aside(path, &notes);
        return Ok(());
    }
    if !is_whole {
        let aside = Output { path: format!("imported/{path}"), content: OutputContent::Copy };
        outputs.push(aside);
    }
    notes.insert(0, "every job with enabled: false".to_owned());
    plan.becomes(path, outputs, notes);
    Ok(())
}

/// The text of a job, or the reason why it has no counterpart.
fn compose(
    job: &Value,
    name: &str,
    agents: &BTreeMap<String, String>,
    default: &str,
) -> std::result::Result<String, String> {
    // JSON is YAML, and `Value`'s text form escapes every character that would end a line.
    let quoted = |text: &str| Value::from(text).to_string();
    let schedule = &job["schedule"];
    let timing = match schedule["kind"].as_str().unwrap_or_default() {
        "cron" => {
            let zone = schedule["tz"].as_str().map(|zone| format!("\ntimezone: {}", quoted(zone))).unwrap_or_default();
            format!("schedule: {}{zone}", quoted(schedule["expr"].as_str().ok_or("it has no expression")?))
        }
        "every" => match schedule["everyMs"].as_u64() {
            Some(period) if period >= 1000 => format!("every: {}s", period / 1000),
            _ => return Err("its period is shorter than a second".to_owned()),
        },
        "at" => {
            let at = match (schedule["at"].as_str(), schedule["atMs"].as_i64()) {
                (Some(text), _) => text.parse::<Timestamp>().map(|at| at.to_string()).unwrap_or(text.to_owned()),
                (_, Some(ms)) => Timestamp::from_millisecond(ms).map_err(|e| e.to_string())?.to_string(),
                _ => return Err("it has no date".to_owned()),
            };
            format!("at: {}\none_off: {}", quoted(&at), job["deleteAfterRun"].as_bool() == Some(true))
        }
        other => return Err(format!("the kind of its schedule is `{other}`")),
    };
    let payload = &job["payload"];
    let prompt = ["message", "text"].into_iter().find_map(|key| payload[key].as_str()).unwrap_or_default();
    if prompt.trim().is_empty() {
        return Err(format!("the kind of its payload is `{}`", payload["kind"].as_str().unwrap_or("unknown")));
    }
    let agent = job["agentId"].as_str().and_then(|id| agents.get(id)).map_or(default, String::as_str);
    let mut text = format!(
        "---\nname: {}\ndescription: {}\nagent: {agent}\n{timing}\nenabled: false\n",
        quoted(name),
        quoted(job["description"].as_str().unwrap_or_default()),
    );
    if job["sessionTarget"].as_str() == Some("main") {
        text += "session: main\n";
    }
    if let Some(seconds) = payload["timeoutSeconds"].as_u64().filter(|seconds| *seconds > 0) {
        text += &format!("timeout: {seconds}s\n");
    }
    let old = |value: &Value| value.as_str().map(quoted);
    for (key, value) in [
        ("model", old(&payload["model"])),
        ("channel", old(&job["delivery"]["channel"])),
        ("to", old(&job["delivery"]["to"])),
    ] {
        text += &value.map(|value| format!("# {key} in OpenClaw: {value}\n")).unwrap_or_default();
    }
    Ok(format!("{text}---\n\n{}\n", prompt.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn job_of_each_kind_is_valid_and_disabled() {
        let agents = BTreeMap::from([("main".to_owned(), "main".to_owned())]);
        let text = |schedule: Value| {
            let job = json!({
                "id": "1", "name": "a: \"b\"\n---", "enabled": true, "schedule": schedule, "sessionTarget": "main",
                "payload": {"kind": "agentTurn", "message": "Do it.\n---\nx", "model": "m\nx: y"}, "delivery": {"to": "1\n---"},
            });
            compose(&job, job["name"].as_str().unwrap(), &agents, "main")
        };
        for schedule in [
            json!({"kind": "cron", "expr": "0 7 * * *", "tz": "Europe/Berlin"}),
            json!({"kind": "every", "everyMs": 5_400_500}),
            json!({"kind": "at", "at": "2026-12-24T18:00:00.000Z"}),
            json!({"kind": "at", "atMs": 1_771_000_000_000_u64}),
        ] {
            let text = text(schedule).unwrap();
            let (job, _) = crate::core::definition::cron::read("x", "p", &text, Timestamp::UNIX_EPOCH).expect(&text);
            assert!(!job.enabled && job.prompt == "Do it.\n---\nx" && job.name == "a: \"b\"\n---", "{text}");
        }
        for bad in [json!({}), json!({"kind": "every", "everyMs": 5}), json!({"kind": "stagger"})] {
            assert!(text(bad).is_err());
        }
    }
}
