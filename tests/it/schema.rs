//! The JSON Schemas of the settings, against the files that are shipped, with an independent validator.

use crate::common::peer;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A YAML text as JSON; a text without any value is an empty object.
fn yaml(text: &str) -> Value {
    match serde_yaml::from_str(text).unwrap() {
        Value::Null => json!({}),
        value => value,
    }
}

fn front_matter(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    yaml(text.split("---\n").nth(1).unwrap())
}

#[test]
fn shipped_settings_and_their_examples_satisfy_the_schema() {
    let text = fs::read_to_string(root().join("claw.yaml")).unwrap();
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(root().join("docs/schema/claw.yaml.json")).unwrap()).unwrap();
    let mut is_example = false;
    let uncomment = |line: &str| {
        let plain = line.strip_prefix("# ").unwrap_or_default();
        let begins = plain.split_once(':').is_some_and(|(key, _)| schema["properties"].get(key).is_some());
        is_example = begins || is_example && line.starts_with("#  ");
        if is_example { plain } else { line }.to_owned() + "\n"
    };
    let uncommented: String = text.lines().map(uncomment).collect();
    let documents = [yaml(&text), yaml(&uncommented)];
    assert!(documents[1]["models"].is_object() && documents[1]["keep"].is_object());
    let Some(complaints) = peer::complaints("docs/schema/claw.yaml.json", true, &documents) else { return };
    assert_eq!(complaints, "");
    for invalid in [json!({"max_concurrency": "two"}), json!({"sandbox": {"mode": "of"}}), json!({"deliver_to": "ann"})]
    {
        assert_ne!(
            peer::complaints("docs/schema/claw.yaml.json", false, std::slice::from_ref(&invalid)).unwrap(),
            "",
            "{invalid}"
        );
    }
}

#[test]
fn shipped_agents_satisfy_the_schema() {
    let agents = fs::read_dir(root().join("agents")).unwrap().map(|entry| entry.unwrap().path().join("AGENT.md"));
    let mut documents: Vec<Value> = agents.map(|path| front_matter(&path)).collect();
    assert!(documents.len() >= 2);
    documents.push(yaml(
        "name: A\ntools: [read, bash: {approve: ['rm .*']}]\nturn_timeout: 5m\nweb: {hosts: ['*.example.org']}\n",
    ));
    let Some(complaints) = peer::complaints("docs/schema/agent.json", true, &documents) else { return };
    assert_eq!(complaints, "");
    for invalid in [json!({"queue": "lifo"}), json!({"tools": [{"bash": {"aprove": true}}]})] {
        assert_ne!(
            peer::complaints("docs/schema/agent.json", false, std::slice::from_ref(&invalid)).unwrap(),
            "",
            "{invalid}"
        );
    }
}

#[test]
fn new_jobs_and_jobs_with_every_field_satisfy_the_schema() {
    let ws = crate::common::Fixture::new();
    ws.claw(&["new", "cron", "a"]).ok();
    ws.claw(&["new", "cron", "b", "--every", "90m", "--deliver-to", "file:b", "Make tea."]).ok();
    let mut documents: Vec<Value> = ["a", "b"].map(|id| front_matter(&ws.path(&format!("crons/{id}/CRON.md")))).into();
    documents.push(yaml(
        "name: A\ndescription: x\nagent: a\nat: 2026-12-24T18:00\ntimezone: UTC\nenabled: true\nmissed: all\n\
         grace: 2h\noverlap: queue\ntimeout: 5m\nsession: main\ndeliver_to: file:x\nmodel: m\nif: test -e x\n\
         one_off: false\n",
    ));
    let Some(complaints) = peer::complaints("docs/schema/cron.json", true, &documents) else { return };
    assert_eq!(complaints, "");
    for invalid in [json!({"missed": "twice"}), json!({"enabled": "yes"}), json!({"deliver_to": "ann"})] {
        let complaints = peer::complaints("docs/schema/cron.json", false, std::slice::from_ref(&invalid)).unwrap();
        assert_ne!(complaints, "", "{invalid}");
    }
}
