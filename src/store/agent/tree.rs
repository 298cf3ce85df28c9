//! A walk through a folder that an agent may read: in sorted order, through descriptors, without following links, and
//! bounded in names and time. Entries that `.gitignore` matches are returned, but not entered.

use crate::core::fault::{Fault, Result};
use crate::store::agent::access::is_git_folder;
use crate::store::agent::located::{LocatedPath, check_regular};
use crate::store::fs::beneath::Beneath;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{AtFlags, Dir, FileType, statat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

/// The most names that one walk visits.
const MAX_NAMES: usize = 200_000;
/// The deepest level that is entered.
const MAX_DEPTH: usize = 64;
/// The most bytes of a `.gitignore`.
const MAX_IGNORE: u64 = 64 << 10;
const IGNORE: &str = ".gitignore";

/// An entry of the tree.
#[derive(Debug)]
pub struct TreeEntry {
    /// Its path, relative to the start of the walk.
    pub path: PathBuf,
    /// Its type.
    pub kind: FileType,
    /// Whether a `.gitignore` matches it, or it is `.git`.
    pub is_ignored: bool,
    depth: usize,
    rules: Option<Rc<IgnoreRules>>,
}

#[derive(Debug)]
struct IgnoreRules {
    here: Gitignore,
    above: Option<Rc<Self>>,
}

impl IgnoreRules {
    fn ignore(&self, path: &Path, is_folder: bool) -> bool {
        match self.here.matched(path, is_folder) {
            Match::Ignore(_) => true,
            Match::Whitelist(_) => false,
            Match::None => self.above.as_ref().is_some_and(|above| above.ignore(path, is_folder)),
        }
    }
}

/// A walk in progress.
pub struct Tree<'a> {
    folder: Beneath,
    place: &'a LocatedPath,
    next: Vec<TreeEntry>,
    names: usize,
    until: Instant,
    is_cut: bool,
}

impl<'a> Tree<'a> {
    /// Starts a walk in a folder. It ends at `until` at the latest.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn begin(folder: OwnedFd, place: &'a LocatedPath, top: &Path, until: Instant) -> std::io::Result<Self> {
        let folder = Beneath::of(folder, true);
        let mut tree = Self { folder, place, next: Vec::new(), names: 0, until, is_cut: false };
        tree.list(Path::new(""), 0, above(place, top))?;
        Ok(tree)
    }

    /// Whether the walk ended before the end of the tree.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Enters a folder: its entries come next. An unreadable folder is skipped.
    pub fn enter(&mut self, entry: &TreeEntry) {
        if entry.depth >= MAX_DEPTH {
            self.is_cut = true;
        } else if entry.kind == FileType::Directory && !entry.is_ignored {
            let _ = self.list(&entry.path, entry.depth + 1, entry.rules.clone());
        }
    }

    /// Opens a file of the tree, if it may be read.
    #[must_use]
    pub fn open(&self, entry: &TreeEntry) -> Option<File> {
        let file = self.folder.file(&entry.path).ok()?;
        check_regular(&file, "", self.place.is_agent_writable()).ok()?;
        Some(file)
    }

    /// The size of a file of the tree, in bytes.
    #[must_use]
    pub fn size(&self, entry: &TreeEntry) -> Option<u64> {
        let folder = self.folder.folder(entry.path.parent()?).ok()?;
        let stat = statat(folder, entry.path.file_name()?, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        u64::try_from(stat.st_size).ok()
    }

    fn list(&mut self, below: &Path, depth: usize, above: Option<Rc<IgnoreRules>>) -> std::io::Result<()> {
        let folder = self.folder.folder(below)?;
        let mut found: Vec<(OsString, FileType)> = Vec::new();
        for entry in Dir::read_from(&folder)? {
            if self.names >= MAX_NAMES || self.is_over() {
                self.is_cut = true;
                break;
            }
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
                known => known,
            };
            self.names += 1;
            found.push((name.to_owned(), kind));
        }
        let rules = if found.iter().any(|(name, _)| name == IGNORE) {
            let file = self.folder.file(&below.join(IGNORE)).ok();
            rules(&self.place.path.join(below), file, above)
        } else {
            above
        };
        // Reversed, because the next entry is popped from the end.
        found.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        self.next.extend(found.into_iter().map(|(name, kind)| {
            let path = below.join(&name);
            let is_folder = kind == FileType::Directory;
            let matches = || rules.as_ref().is_some_and(|rules| rules.ignore(&self.place.path.join(&path), is_folder));
            TreeEntry { is_ignored: is_git_folder(&name) || matches(), path, kind, depth, rules: rules.clone() }
        }));
        Ok(())
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

impl Iterator for Tree<'_> {
    type Item = TreeEntry;

    fn next(&mut self) -> Option<TreeEntry> {
        if self.is_over() && !self.next.is_empty() {
            self.is_cut = true;
            return None;
        }
        self.next.pop()
    }
}

/// A matcher for paths relative to the start of a walk, in the syntax of `.gitignore`: `*.md` matches at any depth.
///
/// # Errors
/// `Data` if the pattern is invalid.
pub fn pattern(glob: &str) -> Result<impl Fn(&Path) -> bool + use<>> {
    let mut builder = GitignoreBuilder::new("");
    let built = builder.add_line(None, glob.trim()).and_then(|builder| builder.build());
    let built = built.map_err(|e| Fault::data(format!("the glob {glob:?} is invalid: {e}")))?;
    Ok(move |path: &Path| built.matched_path_or_any_parents(path, false).is_ignore())
}

/// The rules of the folders above the start of the walk, from `top` down.
fn above(place: &LocatedPath, top: &Path) -> Option<Rc<IgnoreRules>> {
    let folders: Vec<&Path> = place.path.ancestors().skip(1).take_while(|above| above.starts_with(top)).collect();
    folders.into_iter().rev().fold(None, |rules_above, folder| {
        let file = Beneath::open(folder, true).and_then(|folder| folder.file(Path::new(IGNORE))).ok();
        rules(folder, file, rules_above)
    })
}

/// The rules of a `.gitignore` in `folder`, with those of the folders above as fallback.
fn rules(folder: &Path, file: Option<File>, above: Option<Rc<IgnoreRules>>) -> Option<Rc<IgnoreRules>> {
    let mut text = Vec::new();
    let is_read = file.is_some_and(|file| {
        check_regular(&file, IGNORE, false).is_ok() && file.take(MAX_IGNORE).read_to_end(&mut text).is_ok()
    });
    let mut builder = GitignoreBuilder::new(folder);
    for line in String::from_utf8_lossy(&text).lines() {
        // An invalid line matches nothing.
        let _ = builder.add_line(None, line);
    }
    match builder.build() {
        Ok(here) if is_read && !here.is_empty() => Some(Rc::new(IgnoreRules { here, above })),
        _ => above,
    }
}
