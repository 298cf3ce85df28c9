//! The folder that is imported. It is only read: no link is followed, and every file is opened below the folder.

use crate::core::fault::{Fault, Result};
use crate::store::fs::At;
use crate::store::fs::beneath::Beneath;
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Folders that are not listed file by file, and the reason why they stay.
const WHOLE: &[(&str, &str)] = &[
    (".git", "it is the history of the source"),
    ("node_modules", "it has installed packages"),
    (".venv", "it has installed packages"),
    ("__pycache__", "it is a cache"),
];
/// The largest file that is read into memory, in bytes: a session, a definition, a list of jobs.
const MOST: u64 = 256 << 20;

/// A folder to import, and the files below it.
#[derive(Debug)]
pub struct Source {
    /// Its canonical path.
    pub root: PathBuf,
    /// Every file, sorted by path.
    pub files: Vec<SourceFile>,
    folder: Beneath,
}

/// A file of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The path relative to the source; that of a folder ends with `/`.
    pub path: String,
    /// The size in bytes.
    pub size: u64,
    /// The last change, in seconds since 1970.
    pub modified: i64,
    /// The owner may execute it.
    pub is_executable: bool,
    /// The reason why it cannot be imported at all.
    pub refused: Option<String>,
}

impl Source {
    /// Lists the files below `root`.
    ///
    /// # Errors
    /// `Data` if it is not a folder; those of the file system.
    pub fn open(root: &Path) -> Result<Self> {
        let canonical = root.canonicalize().at("find", root)?;
        if !canonical.is_dir() {
            return Err(Fault::data(format!("{} is not a folder", root.display())));
        }
        let folder = Beneath::open(&canonical, true).at("open", &canonical)?;
        let mut files = Vec::new();
        let mut walk = WalkDir::new(&canonical).follow_links(false).min_depth(1).sort_by_file_name().into_iter();
        while let Some(entry) = walk.next() {
            let entry = entry.map_err(|e| {
                let path = e.path().unwrap_or(&canonical).display().to_string();
                Fault::data(format!(
                    "cannot read {path}: {}",
                    e.io_error().map(ToString::to_string).unwrap_or_default()
                ))
            })?;
            let below = entry.path().strip_prefix(&canonical).unwrap_or(entry.path());
            let mut file = described(below, &entry);
            if entry.file_type().is_dir() {
                let name = entry.file_name().to_string_lossy();
                let Some((_, why)) = WHOLE.iter().find(|(known, _)| *known == name) else { continue };
                walk.skip_current_dir();
                (file.path, file.refused) = (format!("{}/", file.path), Some((*why).to_owned()));
            }
            files.push(file);
        }
        Ok(Self { root: canonical, files, folder })
    }

    /// Whether the source has this file or folder.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.root.join(path).symlink_metadata().is_ok()
    }

    /// Opens a file.
    ///
    /// # Errors
    /// Those of the file system; also if a part of the path has become a link.
    pub fn file(&self, path: &str) -> Result<File> {
        match self.folder.file(Path::new(path)) {
            Err(Errno::LOOP | Errno::XDEV) => Err(Fault::data(format!("{path} has become a symbolic link"))),
            other => other.at("read", &self.root.join(path)),
        }
    }

    /// The content of a file.
    ///
    /// # Errors
    /// As [`Source::file`]; `Data` if it is too large.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(path)?.take(MOST + 1).read_to_end(&mut bytes).at("read", &self.root.join(path))?;
        if bytes.len() as u64 > MOST {
            return Err(Fault::data(format!("{path} has more than {} MiB", MOST >> 20)));
        }
        Ok(bytes)
    }

    /// The text of a file; bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// As [`Source::bytes`].
    pub fn text(&self, path: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(path)?).into_owned())
    }
}

fn described(below: &Path, entry: &walkdir::DirEntry) -> SourceFile {
    let meta = entry.metadata().ok();
    let kind = entry.file_type();
    let refused = match () {
        () if below.to_str().is_none_or(|path| path.chars().any(char::is_control)) => {
            Some("its name is not printable UTF-8".to_owned())
        }
        () if kind.is_symlink() => {
            let to = std::fs::read_link(entry.path()).map(|to| to.display().to_string()).unwrap_or_default();
            Some(format!("it is a symbolic link (to {to}), and links are not followed"))
        }
        () if !kind.is_file() => Some("it is no regular file".to_owned()),
        () => None,
    };
    let modified = meta.as_ref().and_then(|meta| meta.modified().ok());
    let modified = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok()).map_or(0, |d| d.as_secs());
    SourceFile {
        path: below.to_string_lossy().into_owned(),
        size: meta.as_ref().map_or(0, std::fs::Metadata::len),
        modified: i64::try_from(modified).unwrap_or_default(),
        is_executable: meta.is_some_and(|meta| meta.permissions().mode() & 0o100 != 0),
        refused,
    }
}
