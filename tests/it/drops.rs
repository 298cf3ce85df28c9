//! Files that users and programs put into `inbox/` and `outbox/`: a complete one is taken in exactly once, an
//! incomplete one is left alone, and a bad one keeps its bytes.

use crate::common::{Fixture, Locked, Ran, skipped};
use claw::stage::outcome::take_batch;
use claw::store::lock::NamedLock;
use claw::store::queue::drops::Backlog;
use claw::store::workspace::mailbox::Mailbox;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, SystemTime};

/// An id for now, distinguished by `tail`.
fn id(tail: &str) -> String {
    format!("{}-{tail}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S.000000Z"))
}

/// Every event of a folder, in the order of ids.
fn events(ws: &Fixture, folder: &str) -> Vec<Value> {
    let names = ws.list(folder).into_iter().filter(|n| n.ends_with(".json"));
    names.map(|name| serde_json::from_str(&ws.read(&format!("{folder}/{name}"))).unwrap()).collect()
}

fn contents(events: &[Value]) -> Vec<&str> {
    events.iter().map(|e| e["content"].as_str().unwrap()).collect()
}

/// The only reason in `side`/failed.
fn reason(ws: &Fixture, mailbox: &str) -> String {
    let names = ws.list(&format!("{mailbox}/failed"));
    let reasons: Vec<&String> = names.iter().filter(|n| n.ends_with(".reason")).collect();
    assert_eq!(reasons.len(), 1, "{names:#?}");
    ws.read(&format!("{mailbox}/failed/{}", reasons[0]))
}

/// The only drop in `side`/failed: its name and its bytes.
fn failed_drop(ws: &Fixture, mailbox: &str) -> (String, Vec<u8>) {
    let names = ws.list(&format!("{mailbox}/failed")).into_iter();
    let drops: Vec<String> = names.filter(|n| n.ends_with(".drop")).collect();
    assert_eq!(drops.len(), 1, "{drops:#?}");
    (drops[0].clone(), fs::read(ws.path(&format!("{mailbox}/failed/{}", drops[0]))).unwrap())
}

/// Names that editors, copiers and downloaders give to unfinished files.
const UNFINISHED: &[&str] = &[
    ".hidden.md",
    ".note.md.swp",
    ".#note.md",
    "#note.md#",
    "note.md~",
    "note.md.tmp",
    "note.md.part",
    "note.md.partial",
    "note.md.crdownload",
    "note.md.swp",
    "note.md.bak",
];

#[test]
fn incomplete_file_is_left_alone_and_named_by_check() {
    let ws = Fixture::new();
    ws.write("elsewhere.md", "---\nreply_to: file:x\n---\nhello\n");
    let mut names: Vec<&str> = vec!["link.md", "dangling.md", "pipe.md", "folder.md"];
    names.extend(UNFINISHED);
    for mailbox in ["inbox", "outbox"] {
        std::os::unix::fs::symlink("../elsewhere.md", ws.path(&format!("{mailbox}/link.md"))).unwrap();
        std::os::unix::fs::symlink("nowhere", ws.path(&format!("{mailbox}/dangling.md"))).unwrap();
        ws.shell(&format!("mkfifo {mailbox}/pipe.md")).ok();
        ws.write(&format!("{mailbox}/folder.md/inner.md"), "hello");
        for name in UNFINISHED {
            ws.write(&format!("{mailbox}/{name}"), "---\nreply_to: file:x\n---\nhello\n");
        }
    }
    for line in ["tick", "route", "deliver", "status", "check"] {
        let ran = ws.shell(&format!("timeout 20 claw {line}"));
        assert_eq!(ran.code, 0, "{line}: {ran:#?}");
    }
    let said = ws.claw(&["check"]).ok();
    for mailbox in ["inbox", "outbox"] {
        for name in &names {
            assert!(ws.path(&format!("{mailbox}/{name}")).symlink_metadata().is_ok(), "{mailbox}/{name} was taken");
            assert!(said.contains(&format!("{mailbox}/{name}: warning: ")), "{mailbox}/{name}: {said}");
        }
    }
    assert_eq!(ws.pending(), [""; 0]);
    assert_eq!(ws.list("outbox/files"), [""; 0]);
    assert_eq!(ws.list("inbox/failed"), [""; 0]);
}

/// Puts a link, a dangling link, a pipe and a folder under events' names into `folder`, and checks that a valid drop
/// gets through.
fn is_not_stopped_by_what_is_no_file(mailbox: &str, folder: &str, lane: &str) {
    let ws = Fixture::new();
    let name = |tail: &str| format!("{folder}/{}{lane}.json", id(tail));
    ws.write("elsewhere.json", "{}");
    std::os::unix::fs::symlink("../../elsewhere.json", ws.path(&name("alink"))).unwrap();
    std::os::unix::fs::symlink("nowhere", ws.path(&name("dangling"))).unwrap();
    ws.shell(&format!("mkfifo '{}'", name("fifo"))).ok();
    fs::create_dir(ws.path(&name("folder"))).unwrap();
    ws.write(&format!("{mailbox}/good.md"), "---\nreply_to: file:x\n---\nhello\n");
    let ran = ws.shell("timeout 20 claw tick");
    assert_eq!(ws.list("outbox/files/x").len(), 1, "{folder}: {ran:#?}");
    assert_eq!(ws.read("elsewhere.json"), "{}", "{folder}");
}

#[test]
fn non_file_with_an_events_name_in_new_blocks_nothing() {
    is_not_stopped_by_what_is_no_file("inbox", "inbox/new", "");
}

#[test]
fn non_file_with_an_events_name_in_ready_blocks_nothing() {
    is_not_stopped_by_what_is_no_file("inbox", "inbox/ready", "~pickle.file-x~0");
}

#[test]
fn non_file_with_an_events_name_in_the_outbox_blocks_nothing() {
    is_not_stopped_by_what_is_no_file("outbox", "outbox/ready", "~file-x~0");
}

/// A child that holds `path` open for writing until it is killed.
fn holder(ws: &Fixture, path: &str) -> Child {
    let mut child = ws.shell_command(&format!("exec 7>>'{path}'; echo; exec sleep 600 >/dev/null")).spawn().unwrap();
    let mut line = [0];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
    child
}

#[test]
fn a_file_that_is_being_written_is_left_until_it_is_closed_and_then_taken_once() {
    let ws = Fixture::new();
    let mut file = File::create(ws.path("inbox/slow.md")).unwrap();
    file.write_all(b"first half, ").unwrap();
    ws.claw(&["route"]).ok();
    ws.claw(&["tick"]).ok();
    assert!(ws.path("inbox/slow.md").exists());
    assert_eq!(ws.pending(), [""; 0]);
    file.write_all(b"second half").unwrap();
    drop(file);
    ws.eventually("it is taken in", |ws| !ws.claw(&["route"]).ok().is_empty());
    ws.claw(&["route"]).ok();
    assert_eq!(contents(&events(&ws, "inbox/ready")), ["first half, second half"]);
    assert!(!ws.path("inbox/slow.md").exists());
}

#[test]
fn a_file_that_another_program_still_writes_is_left_in_both_boxes_and_the_others_are_taken() {
    let ws = Fixture::new();
    for mailbox in ["inbox", "outbox"] {
        let mut child = holder(&ws, &format!("{mailbox}/slow.md"));
        ws.write(&format!("{mailbox}/quick.md"), &format!("---\nreply_to: file:{mailbox}\n---\nquick\n"));
        ws.claw(&["tick"]).ok();
        assert!(ws.path(&format!("{mailbox}/slow.md")).exists(), "{mailbox}");
        assert_eq!(ws.list(&format!("outbox/files/{mailbox}")).len(), 1, "{mailbox}");
        ws.write(&format!("{mailbox}/slow.md"), &format!("---\nreply_to: file:{mailbox}\n---\nslow\n"));
        child.kill().unwrap();
        child.wait().unwrap();
        ws.eventually("the slow one is taken in", |ws| {
            ws.claw(&["tick"]).ok();
            ws.list(&format!("outbox/files/{mailbox}")).len() == 2
        });
    }
}

#[test]
fn a_file_that_is_only_being_read_is_taken() {
    let ws = Fixture::new();
    ws.write("inbox/note.md", "hello");
    let reader = File::open(ws.path("inbox/note.md")).unwrap();
    assert_eq!(ws.claw(&["route"]).ok().lines().count(), 1);
    drop(reader);
}

#[test]
fn mv_and_cp_are_clients() {
    let ws = Fixture::new();
    let out = ws.shell(
        "echo 'one' > note.md && mv note.md inbox/ && \
         echo '{\"text\":\"two\",\"source\":\"file:x\"}' > event.json && cp event.json inbox/ && \
         echo three | tee inbox/three.txt && claw route | wc -l && ls inbox/*.* 2>/dev/null; true",
    );
    assert_eq!(out.ok().split_whitespace().collect::<Vec<_>>(), ["three", "3"]);
    let ready = events(&ws, "inbox/ready");
    assert_eq!(contents(&ready).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(["one", "three", "two"]));
    let two = ready.iter().find(|e| e["content"] == "two").unwrap();
    assert_eq!((&two["from"], &two["reply_to"]), (&Value::from("drop:event.json"), &Value::from("file:x")));
    assert_eq!(two["meta"]["claimed_from"], "file:x");
}

#[test]
fn a_drop_may_have_any_name() {
    let ws = Fixture::new();
    let long = "n".repeat(247) + ".md";
    let wide = "é".repeat(125) + ".md";
    let names = [
        &b"with space.md"[..],
        b"new\nline.md",
        b"tab\tquote'\"$(id).md",
        b"a~b~c.md",
        b"-rf.md",
        b"..md.md",
        b"UPPER.MD",
        b"\xff\xfe\xfd.md",
        &[&[0xff; 200][..], b".md"].concat(),
        "🥒🥬.md".as_bytes(),
        long.as_bytes(),
        wide.as_bytes(),
    ];
    for (number, name) in names.iter().enumerate() {
        // Names with a leading dot are hidden.
        let name = name.strip_prefix(b"..").unwrap_or(name);
        fs::write(ws.path("inbox").join(OsStr::from_bytes(name)), format!("drop {number}")).unwrap();
    }
    ws.claw(&["route"]).ok();
    let ready = events(&ws, "inbox/ready");
    assert_eq!(contents(&ready).into_iter().collect::<BTreeSet<_>>().len(), names.len(), "{ready:#?}");
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.done("inbox").len(), names.len());
    assert_eq!(ws.list("inbox/failed"), [""; 0]);
    assert_eq!(ws.list("inbox/tmp"), [""; 0]);
}

#[test]
fn a_bad_drop_of_any_name_keeps_its_bytes() {
    let ws = Fixture::new();
    let names = [&b"new\nline"[..], b"\xff\xfe.png", &[b'n'; 250][..], b"a~b.md"];
    for name in names {
        fs::write(ws.path("inbox").join(OsStr::from_bytes(name)), [b"\x00\xff", name].concat()).unwrap();
    }
    let ran = ws.claw(&["route"]);
    assert!(!ran.err.contains("panicked"), "{ran:#?}");
    let folder = fs::read_dir(ws.path("inbox/failed")).unwrap().flatten();
    let kept: BTreeSet<Vec<u8>> = folder
        .filter(|e| e.path().extension().is_some_and(|x| x == "drop"))
        .map(|e| fs::read(e.path()).unwrap())
        .collect();
    assert_eq!(kept, names.iter().map(|name| [b"\x00\xff", *name].concat()).collect());
    assert_eq!(ws.list("inbox/failed").iter().filter(|n| n.ends_with(".reason")).count(), names.len());
    ws.claw(&["status"]).ok();
}

#[test]
fn a_drop_cannot_choose_its_id() {
    let ws = Fixture::new();
    let claimed = "20200101T000000.000000Z-mine00";
    let whole = format!(
        r#"{{"v":1,"id":"{claimed}","kind":"message","from":"cli:eve","reply_to":"file:x","content":"hi","created_at":"2020-01-01T00:00:00Z","hops":9}}"#
    );
    ws.write(&format!("inbox/{claimed}.json"), &whole);
    ws.write(&format!("inbox/{claimed}~pickle.file-x~0.json"), &whole);
    ws.write("inbox/front.md", &format!("---\nid: {claimed}\nreply_to: file:x\n---\nhi\n"));
    ws.claw(&["route"]).ok();
    let ready = events(&ws, "inbox/ready");
    let ids: BTreeSet<&str> = ready.iter().map(|e| e["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3, "{ready:#?}");
    for event in &ready {
        assert!(!event["id"].as_str().unwrap().starts_with("2020"), "{event}");
        assert_ne!(event["created_at"], "2020-01-01T00:00:00Z");
        assert_ne!(event["hops"], 9);
        assert_eq!(event["meta"]["claimed"]["id"], claimed);
        assert!(event["from"].as_str().unwrap().starts_with("drop:"), "{event}");
    }
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/files/x").len(), 3);
}

#[test]
fn drops_keep_the_order_of_their_times() {
    let ws = Fixture::new();
    let now = SystemTime::now();
    // The names contradict the times.
    for (age, name) in (1..=9).zip(["a", "b", "c", "d", "e", "f", "g", "h", "i"]) {
        let path = ws.path(&format!("inbox/{name}.md"));
        fs::write(&path, name).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(now - Duration::from_secs(60 * age)).unwrap();
    }
    ws.claw(&["route"]).ok();
    assert_eq!(contents(&events(&ws, "inbox/ready")), ["i", "h", "g", "f", "e", "d", "c", "b", "a"]);
}

#[test]
fn front_matter_sets_agent_destination_and_session() {
    let ws = Fixture::new();
    ws.write("inbox/q.md", "---\nagent: cookie\nreply_to: file:desk\nsession: work\ncolor: red\n---\nhello\n\nthere\n");
    ws.claw(&["route"]).ok();
    let event = events(&ws, "inbox/ready").remove(0);
    assert_eq!((&event["agent"], &event["content"]), (&Value::from("cookie"), &Value::from("hello\n\nthere")));
    assert_eq!(event["meta"]["claimed"]["color"], "red", "unknown fields are kept");
    assert!(ws.list("inbox/ready")[0].contains("~cookie.work~"));
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/files/desk").len(), 1);
    assert_eq!(ws.list("sessions"), ["cookie.work"]);
}

#[test]
fn a_drop_that_cannot_be_read_fails_with_the_reason_and_keeps_its_bytes() {
    let front = |yaml: &str| format!("---\n{yaml}\n---\nhello\n").into_bytes();
    for (name, bytes, says) in [
        ("q.md", front("agent: [x"), "front matter: "),
        ("q.md", front("agent: {a: b}"), "front matter: agent: invalid type"),
        ("q.md", front("reply_to: nowhere"), "is not an address: it has no colon"),
        ("q.md", front("kind: shout"), "unknown variant `shout`"),
        ("q.md", b"---\nagent: pickle\nhello\n".to_vec(), "no closing `---`"),
        ("q.md", b"---\nagent: pickle\n---\n\n".to_vec(), "no content"),
        ("q.md", b"caf\xe9".to_vec(), "not UTF-8 at byte 3"),
        ("q.json", br#"{"content":"x","v":9}"#.to_vec(), "newer"),
        ("q.json", br#"{"content":"#.to_vec(), "line 1 column"),
        ("pic.png", b"\x89PNG\r\n\x1a\n\x00".to_vec(), "not an event"),
        ("noending", b"hello".to_vec(), "not an event"),
    ] {
        let ws = Fixture::new();
        fs::write(ws.path(&format!("inbox/{name}")), &bytes).unwrap();
        ws.claw(&["tick"]);
        let reason = reason(&ws, "inbox");
        assert!(reason.contains(says) && reason.contains(name), "{name}: {reason}");
        let (kept, is) = failed_drop(&ws, "inbox");
        assert!(kept.contains(name) && is == bytes, "{kept}");
        assert!(ws.claw(&["status"]).ok().contains(says));
        assert_eq!(ws.pending(), [""; 0]);
    }
}

#[test]
fn a_picture_keeps_its_bytes_however_often_it_is_retried() {
    let ws = Fixture::new();
    let bytes = b"\x89PNG\r\n\x1a\n\x00\x01";
    fs::write(ws.path("inbox/pic.png"), bytes).unwrap();
    ws.claw(&["route"]);
    let (first, _) = failed_drop(&ws, "inbox");
    for _ in 0..2 {
        ws.claw(&["retry", first.split_once('~').unwrap().0]).ok();
        ws.claw(&["route"]);
        assert_eq!(failed_drop(&ws, "inbox"), (first.clone(), bytes.to_vec()));
        assert!(reason(&ws, "inbox").starts_with("pic.png: "));
    }
}

#[test]
fn a_failed_drop_that_is_mended_in_place_is_answered_when_it_is_retried() {
    let ws = Fixture::new();
    ws.write("inbox/q.md", "---\nreply_to: nowhere\n---\nhello\n");
    ws.claw(&["route"]);
    let (name, _) = failed_drop(&ws, "inbox");
    ws.write(&format!("inbox/failed/{name}"), "---\nreply_to: file:x\n---\nhello\n");
    let id = name.split_once('~').unwrap().0;
    ws.claw(&["retry", id]).ok();
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/files/x"), [format!("{id}.r01.md")]);
    assert_eq!(ws.list("inbox/failed"), [""; 0]);
}

#[test]
fn a_failed_drop_that_was_renamed_by_hand_keeps_its_bytes() {
    let ws = Fixture::new();
    let bytes = b"\x89PNG\r\n\x1a\n\x00";
    fs::write(ws.path("inbox/pic.png"), bytes).unwrap();
    ws.claw(&["route"]);
    let (name, _) = failed_drop(&ws, "inbox");
    let id = name.split_once('~').unwrap().0;
    fs::rename(ws.path(&format!("inbox/failed/{name}")), ws.path("inbox/failed/pic.md")).unwrap();
    assert!(ws.claw(&["retry", id]).code != 0);
    ws.claw(&["tick"]);
    assert_eq!(fs::read(ws.path("inbox/failed/pic.md")).unwrap(), bytes);
    // Back in the drop zone it is an ordinary drop.
    fs::rename(ws.path("inbox/failed/pic.md"), ws.path("inbox/pic.md")).unwrap();
    ws.claw(&["tick"]);
    assert_eq!(failed_drop(&ws, "inbox").1, bytes);
}

#[test]
fn outbox_drop_goes_to_reply_to_or_deliver_to_or_fails() {
    let ws = Fixture::new();
    ws.write("outbox/lost.md", "hello");
    ws.claw(&["tick"]);
    let why = reason(&ws, "outbox");
    assert!(why.contains("lost.md") && why.contains("reply_to") && why.contains("deliver_to"), "{why}");
    assert_eq!(failed_drop(&ws, "outbox").1, b"hello");

    ws.write("outbox/there.md", "---\nreply_to: file:there\n---\nhello\n");
    ws.claw(&["tick"]).ok();
    let there = ws.list("outbox/files/there");
    assert_eq!(there.len(), 1);
    assert_eq!(ws.read(&format!("outbox/files/there/{}", there[0])), "hello\n");

    ws.config("deliver_to: file:home\n");
    ws.write("outbox/home.md", "hello home");
    ws.claw(&["deliver"]).ok();
    assert_eq!(ws.list("outbox/files/home").len(), 1);

    let (name, _) = failed_drop(&ws, "outbox");
    ws.claw(&["retry", name.split_once('~').unwrap().0]).ok();
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/files/home").len(), 2);
    assert_eq!(ws.list("outbox/failed"), [""; 0]);
}

#[test]
fn an_outbox_drop_that_is_nothing_to_deliver_fails() {
    let ws = Fixture::new();
    ws.write("outbox/cmd.json", r#"{"content":"x","reply_to":"file:x","kind":"remember"}"#);
    ws.claw(&["tick"]);
    assert!(reason(&ws, "outbox").contains("only messages can be delivered"));
}

/// The state after a crash between the two steps of taking in.
fn left_behind(ws: &Fixture, id: &str) {
    ws.write(&format!("inbox/tmp/{id}~q.md.drop"), "---\nreply_to: file:x\n---\nhello\n");
}

#[test]
fn a_drop_left_behind_by_a_crash_is_taken_in_under_its_id() {
    let ws = Fixture::new();
    let id = id("left00");
    left_behind(&ws, &id);
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/files/x"), [format!("{id}.r01.md")]);
    assert_eq!(ws.list("inbox/tmp"), [""; 0]);
}

#[test]
fn a_drop_left_behind_whose_event_is_there_already_makes_no_second_one() {
    // The event may have moved on before the drop is read again.
    for reached in ["new", "ready", "done", "failed"] {
        let ws = Fixture::new();
        let id = id("left00");
        left_behind(&ws, &id);
        match reached {
            "new" | "ready" => {
                // Sent under the same id, as in the first step.
                fs::rename(ws.path(&format!("inbox/tmp/{id}~q.md.drop")), ws.path("aside")).unwrap();
                ws.claw(&["send", "--id", &id, "--reply-to=file:x", "hello"]).ok();
                if reached == "ready" {
                    ws.claw(&["route"]).ok();
                }
            }
            "failed" => {
                fs::rename(ws.path(&format!("inbox/tmp/{id}~q.md.drop")), ws.path("aside")).unwrap();
                ws.claw(&["send", "--id", &id, "--reply-to=file:x", "hello"]).ok();
                ws.claw(&["route"]).ok();
                let name = ws.list("inbox/ready").remove(0);
                ws.write(&format!("inbox/ready/{name}"), "torn");
                ws.claw(&["tick"]).fails(1);
            }
            _ => {
                ws.claw(&["tick"]).ok();
            }
        }
        let _ = fs::remove_file(ws.path("aside"));
        left_behind(&ws, &id);
        for _ in 0..2 {
            ws.claw(&["tick"]);
        }
        let answers = usize::from(reached != "failed");
        assert_eq!(ws.list("outbox/files/x").len(), answers, "{reached}");
        assert_eq!(ws.done("inbox").len(), answers, "{reached}");
        let failed = ws.list("inbox/failed").into_iter().filter(|n| n.ends_with(".json")).count();
        assert_eq!(failed, 1 - answers, "{reached}");
        assert_eq!(ws.pending(), [""; 0], "{reached}");
        assert_eq!(ws.list("inbox/tmp"), [""; 0], "{reached}");
    }
}

#[test]
fn other_files_in_tmp_are_left_alone() {
    let ws = Fixture::new();
    for name in ["note.md", "x.drop", "20260101T000000.000000Z~q.md.drop", ".drop", "~.drop"] {
        ws.write(&format!("inbox/tmp/{name}"), "hello");
    }
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("inbox/tmp").len(), 5);
    assert_eq!(ws.done("inbox").len(), 0);
}

#[test]
fn many_drops_and_many_routers_make_one_event_of_each() {
    let ws = Fixture::new();
    let mut routers: Vec<Child> = Vec::new();
    for number in 0..50 {
        ws.write(&format!("inbox/.{number}"), &format!("drop {number:02}"));
        fs::rename(ws.path(&format!("inbox/.{number}")), ws.path(&format!("inbox/{number}.md"))).unwrap();
        if number % 12 == 6 {
            routers.push(ws.command(&["route"]).spawn().unwrap());
        }
    }
    assert_eq!(routers.len(), 4);
    for router in routers {
        Ran::from(router.wait_with_output().unwrap()).ok();
    }
    ws.claw(&["route"]).ok();
    let ready = events(&ws, "inbox/ready");
    let expected: Vec<String> = (0..50).map(|n| format!("drop {n:02}")).collect();
    let mut got = contents(&ready);
    got.sort_unstable();
    assert_eq!(got, expected);
    assert_eq!(ws.list("inbox/tmp"), [""; 0]);
    assert_eq!(ws.list("inbox/new"), [""; 0]);
}

#[test]
fn routers_at_once_over_a_full_drop_zone_make_one_event_of_each() {
    let ws = Fixture::new();
    for number in 0..50 {
        ws.write(&format!("inbox/{number}.md"), &format!("drop {number:02}"));
    }
    let routers: Vec<Child> = (0..4).map(|_| ws.command(&["route"]).spawn().unwrap()).collect();
    let printed: Vec<String> = routers
        .into_iter()
        .flat_map(|r| Ran::from(r.wait_with_output().unwrap()).ok().lines().map(String::from).collect::<Vec<_>>())
        .collect();
    let ready = events(&ws, "inbox/ready");
    assert_eq!(contents(&ready).into_iter().collect::<BTreeSet<_>>().len(), 50);
    assert_eq!((ready.len(), printed.len()), (50, 50));
    assert_eq!(printed.iter().collect::<BTreeSet<_>>().len(), 50, "every id is printed once");
}

/// Another process has the drop zone: its drops are only known when it has finished.
#[test]
fn taking_drops_waits_for_another_process_before_listing() {
    let ws = Fixture::new();
    let workspace = ws.opened();
    let other = NamedLock::attempt(&workspace, "drops-inbox").unwrap().unwrap();
    ws.write("inbox/first.md", "first");
    let router = ws.command(&["route"]).spawn().unwrap();
    ws.until_locked(".claw/locks/drops-inbox", Locked::WaitedFor);
    assert_eq!(events(&ws, "inbox/ready").len(), 0);
    // The drops of the other process are gone, and this one has arrived.
    fs::remove_file(ws.path("inbox/first.md")).unwrap();
    ws.write("inbox/second.md", "second");
    drop(other);
    Ran::from(router.wait_with_output().unwrap()).ok();
    assert_eq!(contents(&events(&ws, "inbox/ready")), ["second"]);
}

/// Takes root's right to read everything (the capabilities `DAC_OVERRIDE` and `DAC_READ_SEARCH`) from a program.
fn humbled(mut command: Command) -> Command {
    #[expect(unsafe_code, reason = "a program gives up capabilities between fork and exec")]
    // SAFETY: between fork and exec only prctl is called, a bare system call; without root it changes nothing.
    unsafe {
        command.pre_exec(|| {
            for capability in [1, 2] {
                libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
            }
            Ok(())
        });
    }
    command
}

#[test]
fn unreadable_drop_is_reported_and_taken_when_readable() {
    let ws = Fixture::new();
    let drop = |name: &str| ws.write(&format!("inbox/{name}.md"), "---\nreply_to: file:x\n---\nhello\n");
    let mode = |mode| fs::set_permissions(ws.path("inbox/secret.md"), fs::Permissions::from_mode(mode)).unwrap();
    let run = |line: &[&str]| Ran::from(humbled(ws.command(line)).output().unwrap());
    drop("secret");
    mode(0o000);
    if humbled(ws.shell_command("cat inbox/secret.md")).status().unwrap().success() {
        return skipped("root may read everything here");
    }
    let why = "stays where it is: claw may not read it (chmod or chown lets it)";
    let checked = run(&["check"]);
    assert!(checked.out.contains(&format!("inbox/secret.md: warning: {why}")), "{checked:#?}");
    let told = format!("{}/inbox/secret.md {why}", ws.root.display());
    drop("open");
    let ran = run(&["route"]);
    assert_eq!((ran.code, ran.out.lines().count(), ran.err.matches(&told).count()), (0, 1, 1), "{ran:#?}");
    let mut supervisor = humbled(ws.command(&["supervise"])).spawn().unwrap();
    let answers = |many: usize| ws.eventually("answers", |ws| ws.list("outbox/files/x").len() == many);
    answers(1);
    drop("more");
    answers(2);
    mode(0o600);
    answers(3);
    supervisor.kill().unwrap();
    let ran = Ran::from(supervisor.wait_with_output().unwrap());
    assert_eq!(ran.err.matches(&told).count(), 1, "{ran:#?}");
}

#[test]
fn a_drop_waits_while_claw_yaml_is_broken_and_is_taken_in_once_when_it_is_mended() {
    let ws = Fixture::new();
    let good = ws.read("claw.yaml");
    ws.write("inbox/q.md", "---\nreply_to: file:x\n---\nhello\n");
    ws.write("claw.yaml", "keep: [\n");
    for _ in 0..2 {
        ws.claw(&["route"]).fails(78);
    }
    ws.write("claw.yaml", &good);
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/files/x").len(), 1);
    assert_eq!(ws.done("inbox").len(), 1);
    let left: Vec<OsString> = fs::read_dir(ws.path("inbox/tmp")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_name_that_a_terminal_would_act_on_is_shown_in_one_line() {
    let ws = Fixture::new();
    ws.write("inbox/a\n2026-01-01 00:00:00.000  sent\u{1b}[2K.md", "hello\n");
    ws.claw(&["tick"]).ok();
    for command in ["log", "why"] {
        let shown = ws.claw(&[command]).ok();
        assert!(!shown.contains('\u{1b}') && !shown.lines().any(|line| line.starts_with("2026-01-01")), "{shown:?}");
    }
    assert!(ws.claw(&["why"]).ok().contains(r"file a\n2026-01-01 00:00:00.000  sent\u{1b}[2K.md"));
}

#[test]
fn a_drop_speaks_for_no_one_but_its_file() {
    let ws = Fixture::new();
    ws.config("owner: ['file:boss']");
    let claims =
        r#""from":"cli:ann","hops":9,"error":"e","class":"owner","meta":{"dispatch":{"event":"x"},"model":"m"}"#;
    ws.write("inbox/a.json", &format!(r#"{{"content":"hi","reply_to":"file:x",{claims}}}"#));
    ws.write("inbox/b.md", "---\nsource: file:boss\nin_reply_to: 20200101T000000.000000Z-mine00\n---\nhi\n");
    ws.write("inbox/c\u{7}d.md", "hi\n");
    ws.claw(&["route"]).ok();
    let ready = events(&ws, "inbox/ready");
    let by = |from: &str| ready.iter().find(|event| event["from"] == from).unwrap_or_else(|| panic!("{ready:#?}"));
    let a = by("drop:a.json");
    assert_eq!(a["meta"]["claimed_from"], "cli:ann");
    assert_eq!(a["meta"]["claimed"]["meta"]["dispatch"]["event"], "x");
    for field in ["hops", "error", "class"] {
        assert_eq!(a.get(field), None, "{field}");
    }
    let b = by("drop:b.md");
    assert_eq!((&b["reply_to"], b.get("in_reply_to")), (&Value::from("file:boss"), None));
    assert_eq!(ready.iter().filter(|event| event["from"].as_str().unwrap().starts_with("drop:c-d.md+")).count(), 1);
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/files/boss").len(), 1);
}

#[test]
fn a_drop_is_a_message_or_a_note() {
    for kind in ["control", "approval", "dispatch", "result", "cron", "heartbeat", "notice"] {
        let ws = Fixture::new();
        ws.write("inbox/q.md", &format!("---\nkind: {kind}\n---\n/help\n"));
        ws.claw(&["tick"]).fails(1);
        assert!(reason(&ws, "inbox").contains(&format!("q.md: a dropped file cannot be of kind `{kind}`")));
        assert_eq!(ws.pending(), [""; 0]);
    }
    let ws = Fixture::new();
    ws.write("inbox/n.json", r#"{"kind":"remember","content":"the NAS is 10.0.0.7","meta":{"topic":"nas"}}"#);
    ws.claw(&["tick"]).ok();
    assert!(ws.read("memories/topics/nas.md").contains("the NAS is 10.0.0.7"));
}

#[test]
fn a_dropped_command_is_refused_unless_drops_are_the_owners() {
    let ws = Fixture::new();
    ws.config("deliver_to: file:home\n");
    for (name, text) in [("a.txt", "/new"), ("b.md", "---\nreply_to: file:x\n---\n\n /agents\n"), ("c.md", "/compact")]
    {
        ws.write(&format!("inbox/{name}"), text);
        let err = ws.claw(&["route"]).fails(1);
        assert!(err.contains(&format!("{name}: a dropped file gives no slash commands unless claw.yaml has")), "{err}");
    }
    assert_eq!((ws.list("inbox/ready"), ws.list("outbox/ready").len()), (vec![], 3));
    ws.claw(&["tick"]);
    assert_eq!(ws.list("outbox/files/home").len(), 3, "the owner has a notice of each");
    assert_eq!(ws.list("outbox/files/x"), [""; 0]);
    // A path is no command, and neither is the text of a note.
    ws.write("inbox/d.md", "---\nreply_to: file:x\n---\n/etc/hosts, what is it?\n");
    ws.write("inbox/e.md", "---\nkind: remember\n---\n/new is a command\n");
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/files/x").len(), 1);
    ws.config("drops: owner\n");
    for name in ws.list("inbox/failed").into_iter().filter(|name| name.ends_with(".drop")) {
        ws.claw(&["retry", name.split_once('~').unwrap().0]).ok();
    }
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("inbox/failed"), [""; 0]);
    let x = ws.list("outbox/files/x");
    assert!(x.iter().any(|name| ws.read(&format!("outbox/files/x/{name}")).contains("pickle (answers here)")), "{x:?}");
}

/// 64 at a time; the last call finds no new one.
#[test]
fn drops_are_taken_in_by_batches_so_that_events_are_routed_in_between() {
    let ws = Fixture::new();
    let workspace = ws.opened();
    for n in 0..150 {
        ws.write(&format!("inbox/{n:03}.md"), &format!("---\nreply_to: file:x\n---\n{n}\n"));
    }
    let mut backlog = Backlog::default();
    let mut batch = || {
        let again = take_batch(&workspace, Mailbox::Inbox, &mut backlog).unwrap().again;
        let left = ws.list("inbox").into_iter().filter(|name| name.ends_with(".md")).count();
        (again.is_some(), left, ws.list("inbox/new").len())
    };
    assert_eq!([batch(), batch()], [(true, 86, 64), (true, 22, 128)]);
    // It arrives after the listing, so it is in the next one.
    ws.write("inbox/late.md", "---\nreply_to: file:x\n---\nlate\n");
    assert_eq!([batch(), batch(), batch()], [(true, 1, 150), (false, 0, 151), (false, 0, 151)]);
    ws.claw(&["tick"]).ok();
    assert_eq!((ws.list("outbox/files/x").len(), ws.pending(), ws.list("inbox/tmp")), (151, vec![], vec![]));
}

#[test]
fn tick_takes_in_every_drop_and_ask_takes_in_none() {
    let ws = Fixture::new();
    for n in 0..100 {
        ws.write(&format!("inbox/{n}.md"), &format!("---\nreply_to: file:x\n---\n{n}\n"));
    }
    ws.claw(&["ask", "-n", "hello"]).ok();
    assert_eq!((ws.list("inbox/new").len(), ws.list("inbox/ready").len()), (0, 0));
    assert!(ws.path("inbox/0.md").exists());
    ws.claw(&["tick"]).ok();
    assert_eq!((ws.list("outbox/files/x").len(), ws.pending()), (100, vec![]));
}
