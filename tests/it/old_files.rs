//! A workspace that the version of 2026-11-30 wrote, with its older names of fields, is read and continued.
//! `tests/fixtures/workspace-2026-11-30.json` has each file by its path; long texts in it were shortened.

use crate::common::{Fixture, Ran};
use std::collections::BTreeMap;

const NOW: &str = "2026-12-01T09:30:00Z";

/// The workspace, and `claw` in it at [`NOW`].
struct Old(Fixture);

impl Old {
    fn new() -> Self {
        let ws = Fixture::empty();
        let text = include_str!("../fixtures/workspace-2026-11-30.json");
        let files: BTreeMap<String, String> = serde_json::from_str(text).unwrap();
        for (path, content) in files {
            ws.write(&path, &content);
        }
        ws.write("agents/pickle/AGENT.md", "---\nname: pickle\n---\nYou are pickle.\n");
        ws.write("agents/cookie/AGENT.md", "---\nname: cookie\n---\nYou are cookie.\n");
        ws.write("tools/model", "cat > request.json; echo continued");
        ws.claw(&["trust"]).ok();
        Self(ws)
    }

    fn claw(&self, arguments: &[&str]) -> Ran {
        self.0.command(arguments).env("CLAW_NOW", NOW).output().unwrap().into()
    }

    #[track_caller]
    fn shows(&self, arguments: &[&str], texts: &[&str]) {
        let out = self.claw(arguments).ok();
        for text in texts {
            assert!(out.contains(text), "{arguments:?} without {text:?}:\n{out}");
        }
    }
}

#[test]
fn every_file_of_an_older_workspace_is_read() {
    let old = Old::new();
    old.shows(&["status"], &["2 new", "scheduled by its sender", "channels.exec has no `gone`"]);
    old.shows(&["sessions"], &["boss.long", "boss.appr", "pickle.file-answers", "agent:boss"]);
    old.shows(&["usage"], &["2026-12-01", "970 of 1000 calls"]);
    old.shows(&["approve"], &["bash: echo hi > files/b.txt"]);
    old.shows(&["tasks"], &["Buy milk"]);
    old.shows(&["route", "--explain", "telegram:-1005"], &["cookie"]);
    old.shows(&["recall", "NAS"], &["10.0.0.7"]);
    old.shows(&["log"], &["compact", "boss.long", "sent"]);
    old.shows(&["why", "yk6e3g"], &["boss.long", "done"]);
    assert_eq!(old.claw(&["check"]).code, 0);
}

#[test]
fn older_conversation_goes_on_after_its_summary() {
    let old = Old::new();
    assert_eq!(old.claw(&["ask", "-s", "boss.long", "go on"]).ok(), "continued\n");
    let request = old.0.read("request.json");
    assert!(request.contains("message 12 "), "the last messages are sent: {request}");
    assert!(!request.contains("message 3 1 2 3 and so on"), "the summarised ones are not: {request}");
}

#[test]
fn older_approval_runs_the_call_that_it_shows() {
    let old = Old::new();
    let list = old.claw(&["approve"]).ok();
    let id = list.split_whitespace().next().unwrap().to_owned();
    old.claw(&["approve", &id]).ok();
    old.claw(&["tick"]);
    assert_eq!(old.0.read("files/b.txt"), "hi\n");
}
