//! The stations of one event's way, as the proofs begin at them.

use super::Fixture;

/// The event's id, where it is sent.
pub const ID: &str = "20261121T004130.123456Z-k7f3q9";

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

/// Brings everything to its end, later than any back-off.
pub fn recover(ws: &Fixture) {
    // What a person had failed to try again, that person tries again.
    if !ws.list("inbox/failed").is_empty() {
        ws.claw(&["retry", ID]);
    }
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(10);
    for _ in 0..2 {
        ws.claw(&["tick", "--now", &later.to_string()]).ok();
    }
}
