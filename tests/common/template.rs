//! A workspace as `claw init` makes it, with the home beside it, in memory: a copy is cheaper than another `claw init`,
//! which runs git several times.

use super::Fixture;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The list of trusted workspaces, below the home; the only file with the path of the workspace.
const TRUSTED: &str = ".local/state/claw/trusted";

enum Content {
    Folder,
    File(Vec<u8>),
    Link(PathBuf),
}

struct Entry {
    /// The path below the home.
    path: PathBuf,
    mode: u32,
    content: Content,
}

pub struct Template(Vec<Entry>);

impl Template {
    pub fn of(fixture: &Fixture) -> Self {
        let home = fixture.dir.path();
        let entries = walkdir::WalkDir::new(home).min_depth(1).sort_by_file_name().into_iter().map(Result::unwrap);
        let read = |entry: walkdir::DirEntry| {
            let content = match entry.file_type() {
                kind if kind.is_dir() => Content::Folder,
                kind if kind.is_symlink() => Content::Link(fs::read_link(entry.path()).unwrap()),
                _ => Content::File(fs::read(entry.path()).unwrap()),
            };
            let mode = entry.metadata().unwrap().permissions().mode();
            Entry { path: entry.path().strip_prefix(home).unwrap().to_path_buf(), mode, content }
        };
        Self(entries.map(read).collect())
    }

    /// Writes it into the folder of an empty fixture, which is trusted then.
    pub fn write(&self, fixture: &Fixture) {
        for Entry { path, mode, content } in &self.0 {
            let target = fixture.dir.path().join(path);
            match content {
                Content::Folder => fs::create_dir_all(&target).unwrap(),
                Content::File(_) if path == Path::new(TRUSTED) => {
                    fs::write(&target, format!("{}\n", fixture.root.display())).unwrap();
                }
                Content::File(bytes) => fs::write(&target, bytes).unwrap(),
                Content::Link(to) => {
                    symlink(to, &target).unwrap();
                    continue;
                }
            }
            fs::set_permissions(&target, Permissions::from_mode(*mode)).unwrap();
        }
    }
}
