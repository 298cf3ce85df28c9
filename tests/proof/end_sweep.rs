//! Events that do not end well at once, with kills and errors at every durable call on the way: they wait, or fail once
//! with a reason and one notice; and when the cause is gone, a retry succeeds,
//! once.

use crate::common::checker::{delivered, violations};
use crate::common::proof::Proof;
use crate::common::scenes::{Faults, ID, answered, copy, routed, standing, synced, trusted};
use crate::common::sweep::{At, Scenario};
use crate::common::{Fixture, Ran};
use std::os::unix::fs::PermissionsExt;

/// The way of an event to its first end, and the state then.
struct Ending {
    name: &'static str,
    arrange: fn(&Fixture),
    command: &'static [&'static str],
    /// The folder of the event.
    stands: &'static str,
    /// The files delivered by then: notices.
    told: &'static [&'static str],
    /// The files delivered after a retry.
    delivered: &'static [&'static str],
}

const NOTICE: &str = "20261121T004130.123456Z-k7f3q9.n01.md";
const ANSWER: &str = "20261121T004130.123456Z-k7f3q9.r01.md";
const OF_ANSWER: &str = "20261121T004130.123456Z-k7f3q9.r01.n01.md";

const ENDINGS: &[Ending] = &[
    Ending {
        name: "a turn that waits",
        arrange: mute,
        command: &["run-agent"],
        stands: "inbox/wait",
        told: &[],
        delivered: &[ANSWER],
    },
    Ending {
        name: "a turn that has killed its workers",
        arrange: deadly,
        command: &["run-agent"],
        stands: "inbox/failed",
        told: &[NOTICE],
        delivered: &[NOTICE, ANSWER],
    },
    Ending {
        name: "a delivery that waits",
        arrange: |ws| refused(ws, "75"),
        command: &["deliver"],
        stands: "outbox/wait",
        told: &[],
        delivered: &[],
    },
    Ending {
        name: "a delivery that fails",
        arrange: |ws| refused(ws, "1"),
        command: &["deliver"],
        stands: "outbox/failed",
        told: &[OF_ANSWER],
        delivered: &[OF_ANSWER],
    },
];

/// The model exits with 75 while `down` exists.
fn mute(ws: &Fixture) {
    ws.write("model.sh", "[ -e down ] && exit 75\necho Fine.\n");
    ws.write("down", "");
    ws.model("script", "provider: command, command: [sh, model.sh]");
    routed(ws);
}

/// Its workers were killed again and again, even while it was failed.
fn deadly(ws: &Fixture) {
    routed(ws);
    let [from, to] = ["ready/{}~pickle.file-a~0", "run/{}~pickle.file-a~11c10"]
        .map(|name| ws.path(&format!("inbox/{}.json", name.replace("{}", ID))));
    std::fs::rename(from, to).unwrap();
}

/// A delivering program exits with this code while `down` exists.
fn refused(ws: &Fixture, code: &str) {
    ws.write("tools/say", &format!("#!/bin/sh\n[ -e down ] && exit {code}\ncat >>said\n"));
    std::fs::set_permissions(ws.path("tools/say"), PermissionsExt::from_mode(0o755)).unwrap();
    ws.write("down", "");
    ws.config("deliver_to: file:home\nchannels:\n  exec:\n    say: {command: [./tools/say]}\n");
    answered(ws);
    let [from, to] = ["file-a", "exec-say"].map(|lane| ws.path(&format!("outbox/ready/{ID}.r01~{lane}~0.json")));
    let event = std::fs::read_to_string(&from).unwrap().replace("file:a", "exec:say");
    std::fs::write(&to, event).unwrap();
    std::fs::remove_file(from).unwrap();
}

/// Brings all events to the end that they reach without help.
fn finish(ws: &Fixture) {
    for minutes in [10, 30] {
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
        let ran: Ran = ws.claw(&["tick", "--now", &later.to_string()]);
        assert!(matches!(ran.code, 0 | 1 | 75), "{ran:#?}");
    }
}

fn wrong(ws: &Fixture, ending: &Ending) -> Vec<String> {
    let mut wrong = Vec::new();
    finish(ws);
    let at: Vec<String> = standing(ws).into_iter().map(|(folder, _)| folder).collect();
    if at != [ending.stands] || delivered(ws) != ending.told {
        wrong.push(format!("stands {:?}, told {:?}", standing(ws), delivered(ws)));
    }
    let reasons = ["inbox", "outbox"].map(|side| ws.list(&format!("{side}/failed"))).concat();
    let reasons: Vec<_> = reasons.iter().filter(|name| name.ends_with(".reason")).collect();
    if reasons.len() != usize::from(ending.stands.ends_with("failed")) {
        wrong.push(format!("reasons: {reasons:?}"));
    }
    // The cause is removed, and the user retries.
    let _ = std::fs::remove_file(ws.path("down"));
    for (_, entry) in standing(ws) {
        ws.claw(&["retry", entry.id.as_str()]).ok();
    }
    finish(ws);
    wrong.extend(violations(ws, &[ID.to_owned()]));
    let said = std::fs::read_to_string(ws.path("said")).unwrap_or_default();
    let is_said = ending.command == ["deliver"];
    if delivered(ws) != ending.delivered || said.lines().count() != usize::from(is_said) {
        wrong.push(format!("in the end delivered {:?}, said {said}", delivered(ws)));
    }
    wrong
}

/// An invalid drop, and an owner with a `deliver_to`.
fn misread(ws: &Fixture) {
    ws.config("deliver_to: file:home\n");
    ws.write("inbox/q.json", "{");
}

/// The end of [`misread`]: the drop is in `failed/` with its reason, and the owner has one notice.
fn misread_wrongly(ws: &Fixture) -> Option<String> {
    finish(ws);
    let failed = ws.list("inbox/failed");
    let endings = [".drop", ".reason"].map(|end| failed.iter().filter(|name| name.ends_with(end)).count());
    let is_well = (failed.len(), endings, delivered(ws).len(), ws.pending().len(), ws.list("inbox/tmp").len())
        == (2, [1, 1], 1, 0, 0);
    (!is_well).then(|| format!("failed {failed:?}, told {:?}, pending {:?}", delivered(ws), ws.pending()))
}

fn sweep(name: &'static str, faults: Faults) {
    let mut proof = Proof::begin(name);
    let template = synced();
    let arranged = copy(&template);
    misread(&arranged);
    proof.sweep(
        At::Calls(faults),
        &Scenario {
            name: "an invalid drop",
            template: &arranged,
            copy,
            command: &["route"],
            prepare: &|| {},
            judge: &|ws, _| misread_wrongly(ws).into_iter().collect(),
        },
    );
    for ending in ENDINGS {
        let arranged = copy(&template);
        (ending.arrange)(&arranged);
        let before = standing(&arranged);
        proof.sweep(
            At::Calls(faults),
            &Scenario {
                name: ending.name,
                template: &arranged,
                copy: trusted,
                command: ending.command,
                prepare: &|| {},
                judge: &|ws, hit| {
                    let left = standing(ws).into_iter().find(|one| one.0.ends_with("/run") && !before.contains(one));
                    let left = left.filter(|_| !hit.is_kill());
                    let burnt = left.map(|(folder, entry)| format!("left in run/ without a kill: {folder}/{entry}"));
                    burnt.into_iter().chain(wrong(ws, ending)).collect()
                },
            },
        );
    }
    proof.judge(12);
}

#[test]
fn waiting_and_failing_happen_once_after_any_kill() {
    sweep("kill -9 on the way to waiting and to failing before every durable call", Faults::Kills(7));
}

#[test]
fn waiting_and_failing_happen_once_after_any_error() {
    sweep("an error from every durable call on the way to waiting and to failing", Faults::Troubles(11));
}
