//! Notes, and files that agents may have put in their place: nothing below `memories/` leads out of it, blocks, or
//! holds up later notes.

use crate::common::terminal::Terminal;
use crate::common::{Fixture, Ran};
use rustix::fs::{CWD, Mode, mkfifoat};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

const OWN: &str = "export A=1\n";

/// Saves a note under the topic `name`, which is refused; returns the error.
fn refused(ws: &Fixture, name: &str) -> String {
    let err = ws.claw(&["remember", "--topic", name, "evil"]).fails(1);
    assert!(err.contains(&format!("memories/topics/{name}.md")) || err.contains("memories/topics is"), "{err}");
    assert!(err.contains("the note was not written (move it away"), "{err}");
    err
}

/// The next note is saved all the same.
fn goes_on(ws: &Fixture) {
    let place = ws.claw(&["remember", "--project", "house", "the door is red"]).ok();
    assert!(place.starts_with("memories/projects/house.md:"), "{place}");
    let waiting = ws.pending().into_iter().filter(|name| name.starts_with("inbox"));
    assert_eq!(waiting.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_note_is_not_written_through_a_link() {
    let ws = Fixture::new();
    let outside = ws.dir.path().join("own");
    fs::write(&outside, OWN).unwrap();
    let settings = ws.read("claw.yaml");
    symlink(&outside, ws.path("memories/topics/far.md")).unwrap();
    symlink("../../claw.yaml", ws.path("memories/topics/near.md")).unwrap();
    symlink("new.md", ws.path("memories/topics/dangling.md")).unwrap();
    fs::hard_link(&outside, ws.path("memories/topics/hard.md")).unwrap();
    for name in ["far", "near", "dangling"] {
        assert!(refused(&ws, name).contains("is a link"), "{name}");
    }
    assert!(refused(&ws, "hard").contains("hard link"));
    assert!(!ws.path("memories/topics/new.md").exists());
    assert_eq!((fs::read_to_string(&outside).unwrap(), ws.read("claw.yaml")), (OWN.to_owned(), settings));
    goes_on(&ws);
}

#[test]
fn a_note_is_not_written_in_a_folder_that_is_a_link() {
    let ws = Fixture::new();
    let outside = ws.dir.path().join("elsewhere");
    fs::create_dir(&outside).unwrap();
    fs::remove_dir_all(ws.path("memories/topics")).unwrap();
    symlink(&outside, ws.path("memories/topics")).unwrap();
    assert!(refused(&ws, "a").contains("memories/topics is a link"));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    goes_on(&ws);
}

#[test]
fn non_file_is_no_note_and_does_not_block() {
    let ws = Fixture::new();
    let at = |name: &str| ws.path(&format!("memories/topics/{name}.md"));
    mkfifoat(CWD, at("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
    fs::create_dir(at("folder")).unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();
    File::create(at("hole")).unwrap().set_len(1 << 40).unwrap();
    for (name, what) in [("pipe", "a pipe"), ("folder", "a folder"), ("socket", "a socket"), ("hole", "more than")] {
        let err = refused(&ws, name);
        assert!(err.contains(what), "{name}: {err}");
    }
    goes_on(&ws);
}

#[test]
fn an_owners_memories_may_lie_elsewhere() {
    let ws = Fixture::new();
    let outside = ws.dir.path().join("notes");
    fs::rename(ws.path("memories"), &outside).unwrap();
    symlink(&outside, ws.path("memories")).unwrap();
    assert_eq!(ws.claw(&["remember", "--topic=a", "the NAS is 10.0.0.7"]).ok(), "memories/topics/a.md:3\n");
    assert!(fs::read_to_string(outside.join("topics/a.md")).unwrap().contains("10.0.0.7"));
    assert_eq!(ws.claw(&["recall", "NAS"]).ok(), "memories/topics/a.md:3: the NAS is 10.0.0.7\n");
}

#[test]
fn non_notes_are_not_searched() {
    let ws = Fixture::new();
    let outside = ws.dir.path().join("own");
    fs::write(&outside, "the vault code is 4711\n").unwrap();
    fs::hard_link(&outside, ws.path("memories/topics/hard.md")).unwrap();
    symlink(&outside, ws.path("memories/topics/soft.md")).unwrap();
    mkfifoat(CWD, ws.path("memories/topics/pipe.md"), Mode::RUSR | Mode::WUSR).unwrap();
    File::create(ws.path("memories/topics/hole.md")).unwrap().set_len(1 << 40).unwrap();
    ws.write("memories/topics/zoo.md", "- the vault is in the zoo\n");
    let ran = ws.claw(&["recall", "vault"]);
    assert!(ran.err.contains("hard.md") && ran.err.contains("hole.md"), "{}", ran.err);
    assert_eq!(ran.ok(), "memories/topics/zoo.md:1: the vault is in the zoo\n");
}

#[test]
fn a_note_does_nothing_to_the_terminal_on_which_it_is_found() {
    let ws = Fixture::new();
    ws.write("memories/topics/a.md", "- the vault\u{1b}[2K is open\n");
    let (code, shown) = Terminal::start(ws.command(&["recall", "vault"])).ended();
    assert_eq!((code, shown.trim_end()), (0, "memories/topics/a.md:1: the vault\\u{1b}[2K is open"));
    assert!(ws.claw(&["recall", "vault"]).ok().contains('\u{1b}'), "a program is told it as it is");
}

/// A clock that was once a year ahead: ids stay ahead of it, and the days of notes do not.
#[test]
fn note_has_the_day_of_its_event_after_a_wrong_clock() {
    let ws = Fixture::new();
    let (today, ahead) = ("2026-12-01", "2027-12-01");
    let at = |day: &str, text: &str| {
        ws.command(&["remember", text]).env("CLAW_NOW", format!("{day}T10:00:00Z")).output().unwrap().into()
    };
    let place = |ran: Ran| ran.ok();
    assert_eq!(place(at(ahead, "wrong")).trim(), format!("memories/daily-notes/{ahead}.md:3"));
    assert_eq!(place(at(today, "right")).trim(), format!("memories/daily-notes/{today}.md:3"));
    let id = ws.done("inbox").into_iter().max().unwrap();
    assert!(id.starts_with("20271201"), "{id}: the ids are ahead");
    // Its worker was killed before the move: the repeat finds its line. So does the repeat of one that an earlier
    // version has written into the file of the id's day.
    for (day, line) in [(today, 3), (ahead, 4)] {
        let folder = &ws.list("inbox/done")[0];
        let stem = id.trim_end_matches(".json");
        let run = format!("inbox/run/{stem}~memories~1.json");
        fs::rename(ws.path(&format!("inbox/done/{folder}/{id}")), ws.path(&run)).unwrap();
        let ran: Ran = ws.command(&["remember"]).env("CLAW_NOW", format!("{today}T11:00:00Z")).output().unwrap().into();
        assert_eq!(ran.ok().trim(), format!("memories/daily-notes/{day}.md:{line}"));
        let written = ws.read(&format!("memories/daily-notes/{today}.md"));
        let kept: Vec<&str> = written.lines().filter(|line| !line.contains("right")).collect();
        let own = written.lines().find(|line| line.contains("right")).unwrap_or_default().to_owned();
        ws.write(&format!("memories/daily-notes/{today}.md"), &(kept.join("\n") + "\n"));
        let other = ws.read(&format!("memories/daily-notes/{ahead}.md"));
        ws.write(&format!("memories/daily-notes/{ahead}.md"), &format!("{other}{own}\n"));
    }
    assert!(ws.claw(&["check"]).out.contains("remove this file"));
}
