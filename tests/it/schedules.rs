//! Schedules from the command line: the next instants of a job, and new jobs from a template.

use crate::common::{Fixture, Ran};
use serde_json::Value;

/// Runs in Berlin, before the clocks go back on 2026-10-25.
fn berlin(ws: &Fixture, arguments: &[&str]) -> Ran {
    let mut command = ws.command(arguments);
    command.env("TZ", "Europe/Berlin").env("CLAW_NOW", "2026-10-24T12:00:00Z").output().unwrap().into()
}

fn job(ws: &Fixture, id: &str, fields: &str) {
    ws.write(&format!("crons/{id}/CRON.md"), &format!("---\nname: {id}\nagent: pickle\n{fields}\n---\nSay hello.\n"));
}

#[test]
fn next_instants_are_shown_with_their_zone_over_a_change_of_the_clock() {
    let ws = Fixture::new();
    job(&ws, "night", "schedule: '30 2 * * *'");
    job(&ws, "half", "schedule: '30 2-3 * * *'\ntimezone: Asia/Kathmandu");
    job(&ws, "hourly", "schedule: '*/30 2 * * *'");
    job(&ws, "period", "every: 2h");
    job(&ws, "odd", "schedule: 0 0 */2 * fri");
    let next = |id: &str, n: &str| berlin(&ws, &["crons", "next", id, "-n", n]).ok();
    assert_eq!(next("night", "2"), "2026-10-25 02:30:00 CEST\n2026-10-26 02:30:00 CET\n");
    assert_eq!(next("half", "1"), "2026-10-25 02:30:00 +0545\n");
    let both = "2026-10-25 02:00:00 CEST\n2026-10-25 02:30:00 CEST\n2026-10-25 02:00:00 CET\n2026-10-25 02:30:00 CET\n";
    assert_eq!(next("hourly", "4"), both);
    assert_eq!(next("period", "2"), "2026-10-24 16:00:00 CEST\n2026-10-24 18:00:00 CEST\n");
    // An odd day that is a Friday.
    assert_eq!(next("odd", "2"), "2026-11-13 00:00:00 CET\n2026-11-27 00:00:00 CET\n");
    assert_eq!(next("night", "0"), "");
    let json = berlin(&ws, &["crons", "next", "night", "-n", "1", "--json"]).ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json, serde_json::json!({"id": "night", "due": "2026-10-25T00:30:00Z", "zone": "Europe/Berlin"}));
}

#[test]
fn next_instants_of_a_job_without_any_are_none_and_mistakes_are_named() {
    let ws = Fixture::new();
    job(&ws, "past", "at: 2026-10-24T13:00");
    job(&ws, "soon", "at: 2026-10-24T14:30");
    job(&ws, "off", "schedule: '@daily'\nenabled: false");
    job(&ws, "bad", "schedule: 61 * * * *");
    job(&ws, "mars", "schedule: '@daily'\ntimezone: Mars/Base");
    assert_eq!(berlin(&ws, &["crons", "next", "past"]).ok(), "");
    assert_eq!(berlin(&ws, &["crons", "next", "soon"]).ok(), "2026-10-24 14:30:00 CEST\n");
    let off = berlin(&ws, &["crons", "next", "off", "-n", "1"]);
    assert_eq!((off.out.as_str(), off.code), ("2026-10-25 00:00:00 CEST\n", 0));
    assert!(off.err.contains("off is disabled in its file"), "{off:?}");
    let bad = berlin(&ws, &["crons", "next", "bad"]).fails(78);
    assert!(bad.contains("crons/bad/CRON.md:4:1: schedule `61 * * * *`: minute `61` is not in 0-59"), "{bad}");
    let mars = berlin(&ws, &["crons", "next", "mars"]);
    assert!(mars.code != 0 && mars.err.contains("there is no time zone `Mars/Base`"), "{mars:?}");
    assert!(berlin(&ws, &["crons", "next", "sonn"]).fails(65).contains("did you mean `soon`?"));
}

#[test]
fn new_job_is_valid_at_once_and_replaces_none() {
    let ws = Fixture::new();
    assert_eq!(berlin(&ws, &["new", "cron", "morning"]).ok(), "crons/morning/CRON.md\n");
    let text = ws.read("crons/morning/CRON.md");
    assert!(text.contains("\nschedule: \"0 7 * * *\"\ntimezone: Europe/Berlin\nenabled: false"), "{text}");
    berlin(&ws, &["new", "cron", "tea", "--every", "90m", "--deliver-to", "file:tea", "Make", "tea."]).ok();
    let tea = ws.read("crons/tea/CRON.md");
    assert!(tea.contains("\ndeliver_to: \"file:tea\"\n") && tea.ends_with("---\n\nMake tea.\n"), "{tea}");
    berlin(&ws, &["new", "cron", "once", "--at", "2026-12-24T18:00", "--timezone", "Asia/Tokyo", "Wish well."]).ok();
    assert_eq!(berlin(&ws, &["crons", "next", "once"]).ok(), "2026-12-24 18:00:00 JST\n");
    assert!(berlin(&ws, &["check"]).out.contains("no problems"));
    assert!(berlin(&ws, &["new", "cron", "tea"]).fails(1).contains("crons/tea/CRON.md exists"));
    for (arguments, expected) in [
        (&["../x"][..], "is not a name for a job"),
        (&["x", "--schedule", "0 0 30 2 *"], "never fires"),
        (&["x", "--schedule", "* * * * * *"], "6 fields"),
        (&["x", "--every", "0s"], "shorter than a second"),
        (&["x", "--agent", "pickel"], "did you mean `pickle`?"),
        (&["x", "--deliver-to", "exec:phone"], "channels.exec has no `phone`"),
        (&["x", "--timezone", "Mars/Base"], "there is no time zone"),
    ] {
        let ran = berlin(&ws, &[&["new", "cron"], arguments].concat());
        assert!(ran.code > 1 && ran.err.contains(expected), "{ran:?}");
    }
    assert_eq!(ws.list("crons"), ["README.md", "morning", "once", "tea"]);
}
