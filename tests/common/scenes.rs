//! The stations of one event's way, as the proofs begin at them.

use super::Fixture;
use super::proof::{is_first, is_full};
use super::tracer::Fault;
use claw::core::event::entry::{Entry, Tries};
use nix::errno::Errno;

/// The event's id, where it is sent.
pub const ID: &str = "20261121T004130.123456Z-k7f3q9";

/// The events of [`queued`].
pub const QUEUE: [&str; 3] =
    ["20261121T004130.123456Z-k7f3q9", "20261121T004131.123456Z-k7f3qa", "20261121T004132.123456Z-k7f3qb"];

/// Sends an event that is answered, delivered to `file:a` and remembered.
pub const SEND: &[&str] = &["send", "--id", ID, "--from", "file:a", "remember fact"];

/// The same as a file that was dropped.
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

/// Three of one conversation wait for their turns: the first one's worker was killed, and the second has failed
/// for a while, which is over.
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

/// It has failed, for no reason of its own.
pub fn failed(ws: &Fixture) {
    routed(ws);
    let name = format!("{ID}~pickle.file-a~1.json");
    let ready = ws.path(&format!("inbox/ready/{ID}~pickle.file-a~0.json"));
    std::fs::rename(ready, ws.path(&format!("inbox/failed/{name}"))).unwrap();
    ws.write(&format!("inbox/failed/{ID}.reason"), "because\n");
}

/// A workspace whose writes wait for the disk, so that the syncs are among the calls.
pub fn synced() -> Fixture {
    let ws = Fixture::new();
    ws.config("sync: full");
    let text = ws.read("claw.yaml").replace("sync: none\n", "");
    ws.write("claw.yaml", &text);
    ws
}

/// A workspace like `template`, which costs less than making it anew.
pub fn copy(template: &Fixture) -> Fixture {
    let ws = Fixture::empty();
    std::fs::remove_dir(&ws.root).unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(&template.root).arg(&ws.root).status().unwrap();
    assert!(copied.success());
    ws
}

/// A [`copy`] in which programs may run: where one lies matters to whether it is trusted.
pub fn trusted(template: &Fixture) -> Fixture {
    let ws = copy(template);
    ws.claw(&["trust"]).ok();
    ws
}

/// What a machine in trouble says.
pub const TROUBLE: [Errno; 6] = [Errno::ENOSPC, Errno::EIO, Errno::EROFS, Errno::EDQUOT, Errno::EMFILE, Errno::EINTR];

/// What a sweep does to a program, and in a test run at each how manyth call. The full proof does it at every one,
/// and so does who looks for a first violation.
#[derive(Clone, Copy, Debug)]
pub enum Faults {
    Kills(usize),
    /// All of [`TROUBLE`]; but for the full proof one kind, at each call another.
    Troubles(usize),
    Both(usize),
}

impl Faults {
    /// Each fault, and at which of so many durable calls.
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

/// At which of so many openings, and how, one is refused: in a test run at each how manyth, in one of the two ways.
pub fn refusals(opened: usize, few: usize) -> Vec<(usize, Errno)> {
    let kinds = [Errno::EMFILE, Errno::EIO];
    let chosen = (1..=opened).filter(|at| is_full() || at % few == 1 % few);
    let of = |at: usize| if is_full() { &kinds[..] } else { &kinds[at / few % 2..=at / few % 2] };
    chosen.flat_map(|at| of(at).iter().map(move |kind| (at, *kind))).collect()
}

/// Every event that has not ended well: its folder, and its name.
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

/// After trouble of the machine every event is as it was `before`, if it has not come further: no attempt is
/// burnt, nobody counts as killed, nothing has failed. Says which is not.
pub fn burnt(ws: &Fixture, before: &[(String, Entry)]) -> Option<String> {
    let is_burnt = |(folder, entry): &(String, Entry)| {
        let Some((was_in, was)) = before.iter().find(|(_, was)| was.id == entry.id) else {
            return !folder.ends_with("/ready") || entry.tries != Tries::default();
        };
        // A worker that was really killed counts as that.
        let kills = u32::from(was_in.ends_with("/run"));
        let is_as_tried =
            entry.tries.attempts <= was.tries.attempts && entry.tries.crashes <= was.tries.crashes + kills;
        !is_as_tried || !folder.ends_with("/ready") && folder != was_in
    };
    let burnt: Vec<String> =
        standing(ws).into_iter().filter(is_burnt).map(|(folder, entry)| format!("{folder}/{entry}")).collect();
    (!burnt.is_empty()).then(|| format!("burnt: {burnt:?}"))
}

/// Brings everything to its end, later than any back-off.
pub fn recover(ws: &Fixture) {
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(10);
    for _ in 0..2 {
        ws.claw(&["tick", "--now", &later.to_string()]).ok();
    }
}
