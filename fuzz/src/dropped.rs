//! The target `drop`: a foreign file in a mailbox.

use super::place::at_place;
use claw::core::event::Draft;
use claw::core::event::id::Id;
use claw::core::slash;
use claw::stage::{outcome, route};
use claw::store::queue::{drops, listing, spool};
use claw::store::workspace::Workspace;
use claw::store::workspace::mailbox::{Mailbox, State};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A dropped file, `mailbox/name/content`: left alone, or an event, or in `failed/` with its bytes and a reason.
pub fn drop(data: &[u8]) {
    let mut parts = data.splitn(3, |b| *b == b'/');
    let mailbox = if parts.next() == Some(b"outbox") { Mailbox::Outbox } else { Mailbox::Inbox };
    let (name, content) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    at_place(|place| {
        let workspace = place.workspace();
        let path = place.path(mailbox.name()).join(OsStr::from_bytes(name));
        let is_new = !name.is_empty() && !name.contains(&0) && path.symlink_metadata().is_err();
        if !is_new || fs::write(&path, content).is_err() {
            return;
        }
        let is_refused = drops::refusal(&path).is_some();
        take(&workspace, mailbox);
        // A program that another test starts at this moment may hold a copy of the descriptor the file was written
        // by until it is executed; `take` leaves such a file alone.
        let left = || !is_refused && path.symlink_metadata().is_ok();
        (0..1000).take_while(|_| left()).for_each(|_| take(&workspace, mailbox));
        let left = place.boxes();
        if is_refused {
            assert_eq!(left, BTreeMap::from([(path, content.to_vec())]), "it was to be left alone");
        } else {
            ended(&workspace, mailbox, &path, content, &left);
        }
        take(&workspace, mailbox);
        assert_eq!(place.boxes(), left, "to look once more changed something");
    });
}

fn take(workspace: &Workspace, mailbox: Mailbox) {
    match mailbox {
        Mailbox::Inbox => route::all(workspace).map(|_| ()),
        Mailbox::Outbox => outcome::take_in(workspace, mailbox).map(|_| ()),
    }
    .expect("a drop is never the machine's trouble");
}

/// The drop must be an event, or in failed/ with its reason, and no other file may exist.
fn ended(workspace: &Workspace, mailbox: Mailbox, path: &Path, content: &[u8], left: &BTreeMap<PathBuf, Vec<u8>>) {
    let name = path.file_name().unwrap().to_string_lossy();
    let mut known = 0;
    let mut one = |path: PathBuf| {
        known += 1;
        left.get(&path).unwrap_or_else(|| panic!("there is no {}", path.display()))
    };
    let (mut events, mut refused) = (Vec::new(), 0);
    for state in [State::New, State::Ready, State::Failed] {
        for entry in listing::list(workspace, mailbox, state).unwrap() {
            let file = mailbox.dir(workspace, state).join(entry.to_string());
            one(file.clone());
            if state == State::Failed {
                assert!(!one(mailbox.reason(workspace, &entry.id)).is_empty(), "failed without a reason");
                refused += 1;
            }
            events.extend(spool::read_event(&file, &entry.id));
        }
    }
    let failed = mailbox.dir(workspace, State::Failed);
    for file in left.keys().filter(|file| file.parent() == Some(&failed) && file.extension() == Some("drop".as_ref())) {
        assert_eq!(one(file.clone()), content, "a failed drop keeps its bytes");
        let id = file.file_name().unwrap().to_str().and_then(|name| name.split_once('~')).unwrap().0;
        let id = Id::parse(id).unwrap();
        assert!(!one(mailbox.reason(workspace, &id)).is_empty(), "failed without a reason");
    }
    if mailbox == Mailbox::Inbox {
        // The notice of a failure goes to the sender.
        for entry in listing::list(workspace, Mailbox::Outbox, State::Ready).unwrap() {
            let file = Mailbox::Outbox.dir(workspace, State::Ready).join(entry.to_string());
            assert!(spool::read_event(&file, &entry.id).unwrap().error.is_some());
            one(file);
        }
    }
    assert_eq!(known, left.len(), "something else is left: {:#?}", left.keys());
    match Draft::from_file(&name, content) {
        Ok(draft) if !events.is_empty() => {
            assert_eq!(events.len(), 1, "one drop, {} events", events.len());
            assert_eq!((&events[0].content, &events[0].hops), (&draft.content.unwrap(), &0));
        }
        // A valid file that this mailbox does not take, or an event that was refused later.
        Ok(draft) => {
            let is_command = draft.content.is_some_and(|content| slash::parse(&content).is_some());
            assert!(mailbox == Mailbox::Outbox || refused == 1 || is_command, "a good drop became no event");
        }
        Err(_) => assert!(events.is_empty(), "a bad drop became an event"),
    }
}
