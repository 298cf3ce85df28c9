//! The stations of one event, as the starting points of the proofs.

use super::Fixture;
use super::proof::{is_first, is_full};
use super::tracer::Fault;
use claw::core::event::entry::{Entry, Tries};
use nix::errno::Errno;

/// The id of the sent event.
pub const ID: &str = "20261121T004130.123456Z-k7f3q9";

/// The events of [`queued`].
pub const QUEUE: [&str; 3] =
    ["20261121T004130.123456Z-k7f3q9", "20261121T004131.123456Z-k7f3qa", "20261121T004132.123456Z-k7f3qb"];

/// Sends an event that is answered, delivered to `file:a` and remembered.
pub const SEND: &[&str] = &["send", "--id", ID, "--from", "file:a", "remember fact"];

/// The same as a dropped file.
pub fn dropped(ws: &Fixture) {
    ws.write("inbox/q.md", "---\nfrom: file:a\n---\nremember fact\n");
}

/// It is accepted.
pub fn sent(ws: &Fixture) {
    ws.claw(SEND).ok();
}

/// It waits for its turn.
pub fn routed(ws: &Fixture) {
    sent(ws);
    ws.claw(&["route"]).ok();
}

/// Its answer waits to be delivered, and its note to be written.
pub fn answered(ws: &Fixture) {
    routed(ws);
    ws.claw(&["run-agent"]).ok();
    ws.claw(&["route"]).ok();
}

/// Three messages of one conversation wait for their turns: the worker of the first one was killed, and the second
/// one has failed temporarily and is due again.
pub fn queued(ws: &Fixture) {
    for (n, id) in QUEUE.iter().enumerate() {
        ws.claw(&["send", "--id", id, "--from", "file:a", &format!("remember fact {n}")]).ok();
    }
    ws.claw(&["route"]).ok();
    let name = |n: usize, tries: &str| format!("{}~pickle.file-a~{tries}.json", QUEUE[n]);
    let moves = [
        (name(0, "0"), format!("run/{}", name(0, "1"))),
        (name(1, "0"), format!("wait/20261121T004200.000000Z~{}", name(1, "1"))),
    ];
    for (from, to) in moves {
        std::fs::rename(ws.path(&format!("inbox/ready/{from}")), ws.path(&format!("inbox/{to}"))).unwrap();
    }
}

/// It has failed, for a reason outside of the event.
pub fn failed(ws: &Fixture) {
    routed(ws);
    let name = format!("{ID}~pickle.file-a~1.json");
    let ready = ws.path(&format!("inbox/ready/{ID}~pickle.file-a~0.json"));
    std::fs::rename(ready, ws.path(&format!("inbox/failed/{name}"))).unwrap();
    ws.write(&format!("inbox/failed/{ID}.reason"), "because\n");
}

/// A workspace with `sync: full`, so that the syncs are among the calls.
pub fn synced() -> Fixture {
    let ws = Fixture::new();
    ws.config("sync: full");
    let text = ws.read("claw.yaml").replace("sync: none\n", "");
    ws.write("claw.yaml", &text);
    ws
}

/// A copy of `template`, which is cheaper than a new workspace.
pub fn copy(template: &Fixture) -> Fixture {
    let ws = Fixture::empty();
    std::fs::remove_dir(&ws.root).unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(&template.root).arg(&ws.root).status().unwrap();
    assert!(copied.success());
    ws
}

/// A [`copy`] in which programs may run: trust depends on the path.
pub fn trusted(template: &Fixture) -> Fixture {
    let ws = copy(template);
    ws.claw(&["trust"]).ok();
    ws
}

/// Errors of a machine in trouble.
pub const TROUBLE: [Errno; 6] = [Errno::ENOSPC, Errno::EIO, Errno::EROFS, Errno::EDQUOT, Errno::EMFILE, Errno::EINTR];

/// The faults of a sweep; in a test run at every n-th call. The full proof, and a search for the first violation,
/// disturb every call.
#[derive(Clone, Copy, Debug)]
pub enum Faults {
    Kills(usize),
    /// All of [`TROUBLE`]; outside of the full proof one of them, a different one at each call.
    Troubles(usize),
    Both(usize),
}

impl Faults {
    /// Each fault, and the number of its call, for a command with so many durable calls.
    pub fn of(self, calls: usize) -> Vec<(usize, Fault)> {
        let (few, is_kill, is_trouble) = match self {
            Self::Kills(few) => (few, true, false),
            Self::Troubles(few) => (few, false, true),
            Self::Both(few) => (few, true, true),
        };
        let all = TROUBLE.map(Fault::Error);
        let mut faults = Vec::new();
        for at in (1..=calls).filter(|at| is_full() || is_first() || at % few == 1 % few) {
            let kind = at / few % all.len();
            let troubles = if is_full() { &all[..] } else { &all[kind..=kind] };
            faults.extend(is_kill.then_some((at, Fault::Kill)));
            faults.extend(troubles.iter().filter(|_| is_trouble).map(|trouble| (at, *trouble)));
        }
        faults
    }
}

/// The openings that fail, and their errors: in a test run every n-th, with one of the two errors.
pub fn refusals(opened: usize, few: usize) -> Vec<(usize, Errno)> {
    let kinds = [Errno::EMFILE, Errno::EIO];
    let chosen = (1..=opened).filter(|at| is_full() || at % few == 1 % few);
    let of = |at: usize| if is_full() { &kinds[..] } else { &kinds[at / few % 2..=at / few % 2] };
    chosen.flat_map(|at| of(at).iter().map(move |kind| (at, *kind))).collect()
}

/// Every event that has not ended well: its folder and its name.
pub fn standing(ws: &Fixture) -> Vec<(String, Entry)> {
    let folders = ["inbox", "outbox"].into_iter().flat_map(|mailbox| {
        ["ready", "run", "wait", "failed"].into_iter().map(move |state| format!("{mailbox}/{state}"))
    });
    let entries = |folder: String| {
        let names = ws.list(&folder).into_iter().filter_map(|name| Entry::parse(&name));
        names.map(|entry| (folder.clone(), entry)).collect::<Vec<_>>()
    };
    folders.flat_map(entries).collect()
}

/// After trouble of the machine every event is as it was `before`, or further on: no attempt is counted, no worker
/// counts as killed, nothing has failed. Returns the violations.
pub fn burnt(ws: &Fixture, before: &[(String, Entry)]) -> Option<String> {
    let is_burnt = |(folder, entry): &(String, Entry)| {
        let Some((was_in, was)) = before.iter().find(|(_, was)| was.id == entry.id) else {
            return !folder.ends_with("/ready") || entry.tries != Tries::default();
        };
        // A worker that was really killed counts as killed.
        let kills = u32::from(was_in.ends_with("/run"));
        let is_as_tried =
            entry.tries.attempts <= was.tries.attempts && entry.tries.crashes <= was.tries.crashes + kills;
        !is_as_tried || !folder.ends_with("/ready") && folder != was_in
    };
    let burnt: Vec<String> =
        standing(ws).into_iter().filter(is_burnt).map(|(folder, entry)| format!("{folder}/{entry}")).collect();
    (!burnt.is_empty()).then(|| format!("burnt: {burnt:?}"))
}

/// Brings all events to their end, later than any back-off.
pub fn recover(ws: &Fixture) {
    for minutes in [10, 20, 30] {
        if minutes == 30 && ws.pending().is_empty() {
            break;
        }
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
        ws.claw(&["tick", "--now", &later.to_string()]).ok();
    }
}
