//! A workspace on disk for the targets that need one.

use claw::store::workspace::Workspace;
use claw::store::workspace::mailbox::Mailbox;
use claw::world::World;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;
use walkdir::WalkDir;

/// The settings of the place.
pub const SETTINGS: &str = "sync: none\n";
const AGENT: &str = "---\nname: Pickle\n---\nYou are Pickle.\n";

/// A workspace that one thread uses repeatedly, and empties in between.
pub struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: TempDir::new().unwrap() };
        fs::create_dir_all(place.path("agents/pickle")).unwrap();
        fs::write(place.path("claw.yaml"), SETTINGS).unwrap();
        fs::write(place.path("agents/pickle/AGENT.md"), AGENT).unwrap();
        place.workspace().make_layout().unwrap();
        place
    }

    /// A path in the workspace.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join("ws").join(relative)
    }

    /// Opened anew, because a workspace reads its settings once.
    pub fn workspace(&self) -> Workspace {
        Workspace::open(World::real().unwrap(), self.dir.path().join("ws"), true).unwrap()
    }

    /// Every file in both mailboxes with its bytes. No file may exist beside the workspace or deeper than expected.
    pub fn boxes(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let beside: Vec<_> = fs::read_dir(self.dir.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(beside, ["ws"], "something was written outside");
        let own = fs::read_dir(self.path("")).unwrap().flatten().map(|e| e.file_name().into_string().unwrap());
        let known = ["agents", "claw.yaml", "inbox", "outbox", "sessions", "memories", ".claw"];
        own.for_each(|name| assert!(known.contains(&&name[..]), "something was written beside the boxes: {name}"));
        let files = [Mailbox::Inbox, Mailbox::Outbox].map(|mailbox| WalkDir::new(self.path(mailbox.name())));
        let files = files.into_iter().flatten().map(|entry| entry.unwrap()).filter(|entry| !entry.file_type().is_dir());
        files.map(|file| (file.path().to_owned(), fs::read(file.path()).unwrap())).collect()
    }

    fn empty(&self) {
        for path in self.boxes().keys() {
            fs::remove_file(path).unwrap();
        }
        let _ = fs::remove_file(self.path(".claw/routes.jsonl"));
        for day in fs::read_dir(self.path(".claw/journal")).unwrap().flatten() {
            fs::remove_file(day.path()).unwrap();
        }
    }
}

/// Runs a function in this thread's workspace, and empties it.
pub fn at_place(work: impl FnOnce(&Place)) {
    thread_local!(static PLACE: OnceCell<Place> = const { OnceCell::new() });
    PLACE.with(|place| {
        let place = place.get_or_init(Place::new);
        work(place);
        place.empty();
    });
}
