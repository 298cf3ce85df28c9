//! Reading the files that are attached to events, and keeping copies of those from outside the workspace. Attached files
//! lie below `files/`, where agents may write: no link there is followed, and a hard link is refused.

use crate::core::fault::{Fault, Result};
use crate::core::model::attachment::{self, Content, FOLDER, MAX_DOCUMENT};
use crate::store::agent::files;
use crate::store::agent::located::check_regular;
use crate::store::fs::At;
use crate::store::fs::beneath::Beneath;
use crate::store::workspace::Workspace;
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path};

/// The folder in `files/` for copies.
const COPIES: &str = "attachments";

/// An attached file.
#[derive(Debug)]
pub struct AttachedFile {
    /// Its kind.
    pub content: Content,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Reads an attached file, by its path relative to the workspace.
///
/// # Errors
/// `Data` if the path does not lead to a regular file below `files/`, or if the file is too large or nothing that a model
/// reads; `Machine` if the disk fails.
pub fn read(workspace: &Workspace, path: &str) -> Result<AttachedFile> {
    let named = |why: &str| Fault::data(format!("attachment {}: {why}", path.escape_debug()));
    let below = Path::new(path).strip_prefix(FOLDER).ok();
    let is_plain = |below: &&Path| below.components().all(|part| matches!(part, Component::Normal(_)));
    let Some(below) = below.filter(|below| !below.as_os_str().is_empty()).filter(is_plain) else {
        return Err(named("an attachment lies in files/").hint("copy the file to files/"));
    };
    let folder = workspace.path(FOLDER);
    let folder = fs::canonicalize(&folder).at("read", &folder)?;
    let file = Beneath::open(&folder, true).and_then(|folder| folder.file(below));
    let file = file.map_err(|error| match error {
        Errno::NOENT | Errno::NOTDIR => named("there is no such file"),
        Errno::LOOP | Errno::XDEV => named("links are not followed"),
        Errno::ACCESS | Errno::PERM => named("permission denied"),
        Errno::NXIO | Errno::NODEV => named("it is a socket or a device, not a file"),
        other => crate::store::fs::io_fault("read", Path::new(path), &other.into()),
    })?;
    let shown = format!("attachment {}", path.escape_debug());
    check_regular(&file, &shown, true)?;
    bounded(file, &shown)
}

/// Reads a file of the user, anywhere.
///
/// # Errors
/// As [`read`].
pub fn read_outside(path: &Path) -> Result<AttachedFile> {
    let shown = path.display().to_string();
    let unreadable = |error: std::io::Error| Fault::data(format!("cannot read {shown}: {error}"));
    // A pipe would block where it is opened.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(Fault::data(format!("{shown} is not a file")));
    }
    bounded(File::open(path).map_err(unreadable)?, &shown)
}

/// The path of a file below `files/`, relative to the workspace; `None` for one elsewhere.
#[must_use]
pub fn inside(workspace: &Workspace, path: &Path) -> Option<String> {
    let folder = fs::canonicalize(workspace.path(FOLDER)).ok()?;
    let real = fs::canonicalize(path).ok()?;
    real.strip_prefix(folder).ok()?.to_str().map(|below| format!("{FOLDER}/{below}"))
}

/// Copies a file into the workspace, durable on return, and returns the path of the copy. `name` is new.
///
/// # Errors
/// If it cannot be written.
pub fn keep(workspace: &Workspace, name: &str, bytes: &[u8]) -> Result<String> {
    files::keep(workspace, COPIES, name, bytes)
}

fn bounded(file: File, shown: &str) -> Result<AttachedFile> {
    let mut bytes = Vec::new();
    // One byte over the largest limit is enough for the refusal.
    file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).at("read", Path::new(shown))?;
    let content = attachment::accepted(shown, &bytes)?;
    Ok(AttachedFile { content, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::attachment::Media;
    use crate::world::World;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_regular_files_below_the_folder_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::write(root.join("claw.yaml"), "sync: none\n").unwrap();
        fs::create_dir_all(root.join("files/sub")).unwrap();
        fs::write(root.join("files/sub/a"), b"\x89PNG\r\n\x1a\n").unwrap();
        fs::write(root.join("secret"), "secret").unwrap();
        symlink(root.join("secret"), root.join("files/link")).unwrap();
        symlink("sub", root.join("files/inner")).unwrap();
        fs::hard_link(root.join("secret"), root.join("files/hard")).unwrap();
        let workspace = Workspace::open(World::real().unwrap(), root.clone(), true).unwrap();
        let found = read(&workspace, "files/sub/a").unwrap();
        assert_eq!((found.content, found.bytes.len()), (Content::Media(Media::Png), 8));
        for (path, why) in [
            ("secret", "lies in files/"),
            ("files", "lies in files/"),
            ("files/../secret", "lies in files/"),
            ("/etc/passwd", "lies in files/"),
            ("", "lies in files/"),
            ("files/link", "links are not followed"),
            ("files/inner/a", "links are not followed"),
            ("files/hard", "another hard link"),
            ("files/sub", "is a folder"),
            ("files/none", "no such file"),
        ] {
            let fault = read(&workspace, path).unwrap_err();
            assert!(fault.message.contains(why), "{path}: {fault}");
        }
        assert_eq!(inside(&workspace, &root.join("files/sub/a")).as_deref(), Some("files/sub/a"));
        assert_eq!(inside(&workspace, &root.join("secret")), None);
        let copy = keep(&workspace, "x", b"text").unwrap();
        assert_eq!((&copy[..], read(&workspace, &copy).unwrap().content), ("files/attachments/x", Content::Text));
    }
}
