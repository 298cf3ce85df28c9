//! The access of an agent's tools: the paths that they may read and write, absolute. File tools resolve paths beneath
//! them, and the sandbox of programs allows them; no other module decides access.
//!
//! Invariant: no link in a folder that any agent may write becomes part of an access, because one agent could have made
//! it for another. Whoever opens a path of an access opens it without following links, so that a link made later is
//! refused too.

use crate::core::config::{Config, FILE};
use crate::core::definition::{Agent, GUARDED};
use crate::core::fault::Result;
use crate::core::model::settings::Model;
use crate::store::agent::definitions;
use crate::store::fs::At;
use crate::store::fs::real_path::real_path;
use crate::store::workspace::Workspace;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The folders that an agent may write if its AGENT.md has no `write`.
pub const WRITE: [&str; 4] = ["files", "memories", "skills", "crons"];
/// Top-level names that an agent may read only if its AGENT.md lists them: settings, mailboxes, and conversations. The
/// same holds for names with a leading dot.
const HIDDEN: [&str; 4] = [FILE, "inbox", "outbox", "sessions"];
/// Top-level names that no agent may ever write, besides the settings.
const STATE: [&str; 4] = [".claw", "inbox", "outbox", "sessions"];

/// Program folders. They are never private, even though some system users have one as their home.
const PROGRAMS: [&str; 5] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin"];

/// The paths that an agent may read and write. Each is absolute; the existing part has no symbolic links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The workspace's root.
    pub root: PathBuf,
    /// Readable trees and files, including the writable ones.
    pub read: Vec<PathBuf>,
    /// Writable trees and files.
    pub write: Vec<PathBuf>,
    /// Trees and files that any agent may write: a link in them may be an agent's, and is not followed.
    pub agent_writable: Vec<PathBuf>,
    /// Private paths: the workspace, key files and the owner's home. Inside of them only `read` and `write` are open.
    pub private: Vec<PathBuf>,
}

impl Access {
    /// The access that `agent` has now. Missing default folders ([`WRITE`]) are made.
    ///
    /// # Errors
    /// If the workspace cannot be read, or a folder cannot be made.
    pub fn of(workspace: &Workspace, agent: &Agent) -> Result<Self> {
        let root = fs::canonicalize(&workspace.root).at("read", &workspace.root)?;
        let usual = WRITE.map(|name| root.join(name));
        let write: Vec<PathBuf> = if let Some(named) = &agent.write {
            named.iter().filter(|name| may_write(name)).map(|name| root.join(name)).collect()
        } else {
            for dir in &usual {
                fs::create_dir_all(dir).at("make", dir)?;
            }
            usual.to_vec()
        };
        let outlines = definitions::outlines(workspace)?;
        let keys = keys(&root, &*workspace.config()?, outlines.iter().map(|outline| &*outline.llm));
        let agent_writable = agent_writable(
            &root,
            outlines.iter().flat_map(|outline| &outline.write).chain(agent.write.iter().flatten()),
        );
        let mut read: BTreeSet<PathBuf> = BTreeSet::new();
        for entry in fs::read_dir(&root).at("list", &root)? {
            let entry = entry.at("list", &root)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_hidden = name.starts_with('.') || HIDDEN.contains(&&*name) || is_copy_of(&name, FILE);
            let is_key = |key: &PathBuf| {
                let beside = key.parent() == Some(&root);
                let key_name = key.file_name().map(|file| file.to_string_lossy());
                key.starts_with(entry.path()) || beside && key_name.is_some_and(|original| is_copy_of(&name, &original))
            };
            // A link at the top is not followed: it could lead to a hidden name.
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if !is_hidden && !is_link && !keys.iter().any(is_key) {
                read.insert(entry.path());
            }
        }
        read.extend(agent.read.iter().map(|name| root.join(name)));
        read.extend(write.iter().cloned());
        let is_own = |home: &PathBuf| !PROGRAMS.iter().any(|programs| Path::new(programs).starts_with(home));
        let home = workspace.world.var("HOME").map(PathBuf::from).filter(is_own);
        let private = [root.clone()].into_iter().chain(keys).chain(home);
        let private = private.map(|path| fs::canonicalize(&path).unwrap_or(path)).collect();
        let mut access = Self { root, agent_writable, private, ..Self::default() };
        access.read = read.iter().filter_map(|path| access.resolve(path)).collect();
        access.write = write.iter().filter_map(|path| access.resolve(path)).collect();
        Ok(access)
    }

    /// The real path of a root: links of the owner are resolved. `None` if a link on the way may be an agent's.
    #[must_use]
    pub fn resolve(&self, path: &Path) -> Option<PathBuf> {
        real_path(path, &self.agent_writable)
    }

    /// The real folder of a name of [`GUARDED`], which may be a link of the owner's.
    #[must_use]
    pub fn guarded(&self, name: &str) -> PathBuf {
        let path = self.root.join(name);
        self.resolve(&path).unwrap_or(path)
    }

    /// The guarded folder that this real path is in.
    #[must_use]
    pub fn guard(&self, path: &Path) -> Option<&'static str> {
        GUARDED.into_iter().find(|name| path.starts_with(self.guarded(name)))
    }

    /// Whether any agent may write at this real path.
    #[must_use]
    pub fn is_agent_writable(&self, path: &Path) -> bool {
        self.agent_writable.iter().any(|writable| path.starts_with(writable))
    }

    /// The innermost readable root above `path`, which is absolute and without `..`.
    #[must_use]
    pub fn readable_root(&self, path: &Path) -> Option<&Path> {
        innermost(&self.read, path)
    }

    /// The innermost writable root above `path`.
    #[must_use]
    pub fn writable_root(&self, path: &Path) -> Option<&Path> {
        innermost(&self.write, path)
    }
}

/// Whether `write` in an AGENT.md may list this name: a path inside the workspace, but not the settings, the state of
/// claw, a git folder, or the whole workspace.
#[must_use]
pub fn may_write(name: &str) -> bool {
    let path = Path::new(name);
    let mut parts = path.components().filter(|part| *part != Component::CurDir);
    let is_plain = path.components().all(|part| match part {
        Component::Normal(name) => !is_git_folder(name),
        other => other == Component::CurDir,
    });
    let first = parts.next().map(|part| part.as_os_str().to_string_lossy().into_owned());
    is_plain && first.is_some_and(|first| first != FILE && !STATE.contains(&first.as_str()))
}

/// Whether git, on any file system, takes this name for `.git`: in any case, with trailing dots and spaces, as the short
/// name of FAT and NTFS, and with the characters that HFS+ ignores. Settings and hooks in such a folder run programs.
#[must_use]
pub fn is_git_folder(name: &OsStr) -> bool {
    let is_ignored =
        |c: char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let name: String = name.to_string_lossy().chars().filter(|c| !is_ignored(*c)).collect();
    let name = name.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    name.eq_ignore_ascii_case(".git") || name.eq_ignore_ascii_case("git~1")
}

/// The real paths of all folders and files that agents may write: the usual ones and those in `names`. The result only
/// grows while it is computed: a link below any path in it is not followed.
pub fn agent_writable<'a>(root: &Path, names: impl Iterator<Item = &'a String>) -> Vec<PathBuf> {
    let names = names.filter(|name| may_write(name)).map(String::as_str);
    // Sorted, so that outer folders come first.
    let paths: BTreeSet<PathBuf> =
        WRITE.into_iter().chain(names).map(|name| root.join(name).components().collect()).collect();
    let mut writable: Vec<PathBuf> = Vec::new();
    // A link of the owner may lead into another of these folders, so once more after the last was found.
    for _ in 0..=paths.len() {
        let before = writable.len();
        for path in &paths {
            let real = real_path(path, &writable).filter(|real| !writable.contains(real));
            writable.extend(real);
        }
        if writable.len() == before {
            break;
        }
    }
    writable
}

/// Whether `name` is that of a copy which an editor, `patch` or a person makes of the file `original`: `claw.yaml~`,
/// `claw.yaml.bak`, `claw.yaml.orig`, `#claw.yaml#`, `claw.old.yaml`, `Copy of claw.yaml`.
fn is_copy_of(name: &str, original: &str) -> bool {
    let (name, original) = (name.to_lowercase(), original.to_lowercase());
    let name = name.trim_start_matches("copy of ").trim_start_matches(['#', '~', '_']);
    let ends_a_word = |rest: &str| !rest.starts_with(char::is_alphanumeric);
    let (stem, extension) = original.rsplit_once('.').unwrap_or((&original, ""));
    let is_before_extension = || {
        let middle = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension)?.strip_suffix('.'));
        !extension.is_empty() && middle.is_some_and(ends_a_word)
    };
    name.strip_prefix(&original).is_some_and(ends_a_word) || is_before_extension()
}

fn innermost<'a>(roots: &'a [PathBuf], path: &Path) -> Option<&'a Path> {
    roots.iter().filter(|root| path.starts_with(root)).max_by_key(|root| root.as_os_str().len()).map(PathBuf::as_path)
}

/// All key files: of models in the settings, of agents' own models, of the search service and of channels.
fn keys<'a>(root: &Path, config: &'a Config, llms: impl Iterator<Item = &'a Model>) -> Vec<PathBuf> {
    let models = config.models.values().chain(llms);
    let search = config.web.search.as_ref().and_then(|search| search.api_key_file.as_deref());
    let tokens = config.channels.named.values().filter_map(|channel| channel.token_file.as_deref());
    let models = models.filter_map(|model| model.api_key_file.as_deref());
    models.chain(search).chain(tokens).map(|file| root.join(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_setting_cannot_open_settings_or_state() {
        for name in ["notes", "./notes/a", ".github", "agents", "a.yaml"] {
            assert!(may_write(name), "{name}");
        }
        for name in [
            "",
            ".",
            "./.",
            "..",
            "a/../../b",
            "/etc",
            "claw.yaml",
            "./claw.yaml",
            ".claw",
            ".claw/locks",
            "inbox",
            ".git",
            "a/.GIT/x",
        ] {
            assert!(!may_write(name), "{name}");
        }
    }

    #[test]
    fn copies_of_the_settings_are_recognised() {
        for name in [
            "claw.yaml",
            "claw.yaml~",
            "claw.yaml.bak",
            "claw.yaml.orig",
            "claw.yaml.rej",
            "claw.yaml.~1~",
            "claw.yaml.2026-12-01",
            "claw.yaml-old",
            "#claw.yaml#",
            "CLAW.YAML.BAK",
            "claw.bak.yaml",
            "claw (copy).yaml",
            "claw - Copy.yaml",
            "Copy of claw.yaml",
            "_claw.yaml",
        ] {
            assert!(is_copy_of(name, FILE), "{name}");
        }
        for name in ["clawed.yaml", "notes", "claw.md", "my-claw.txt", "yaml", "README.md"] {
            assert!(!is_copy_of(name, FILE), "{name}");
        }
        assert!(is_copy_of("key~", "key") && !is_copy_of("keynote.md", "key"));
    }

    #[test]
    fn copies_of_settings_and_keys_are_not_readable() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let settings = "models: {m: {provider: openai, api_key_file: openai.key}}\n";
        for name in ["claw.yaml", "claw.yaml~", "claw.yaml.bak", "openai.key", "openai.key.orig", "notes.md"] {
            fs::write(root.join(name), settings).unwrap();
        }
        let workspace = Workspace::open(crate::world::World::real().unwrap(), root.clone(), true).unwrap();
        let access = Access::of(&workspace, &Agent::default()).unwrap();
        let files: Vec<&PathBuf> = access.read.iter().filter(|path| path.is_file()).collect();
        assert_eq!(files, [&root.join("notes.md")]);
    }

    #[test]
    fn innermost_root_counts_and_sibling_with_same_prefix_does_not() {
        let access = Access { write: vec!["/w/files".into(), "/w/files/a".into()], ..Access::default() };
        let writes = |path: &str| access.writable_root(Path::new(path)).map(|p| p.display().to_string());
        assert_eq!(writes("/w/files/a/b").as_deref(), Some("/w/files/a"));
        assert_eq!(writes("/w/files/ab").as_deref(), Some("/w/files"));
        assert_eq!(writes("/w/files-evil/a"), None);
    }

    #[test]
    fn every_name_that_git_takes_for_its_folder_is_known() {
        for name in [".git", ".Git", ".GIT ", ".git...", "git~1", "GIT~1", ".g\u{200c}it", ".git::$INDEX_ALLOCATION"] {
            assert!(is_git_folder(OsStr::new(name)), "{name}");
        }
        for name in [".gitignore", ".gitattributes", "git", ".git2", "x.git", "git~2"] {
            assert!(!is_git_folder(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn folders_of_all_agents_are_resolved_without_their_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, root.join(name)).unwrap();
        for name in ["projects", "disk", "other"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        link("disk", "files");
        link("..", "projects/cookie");
        link("disk/in", "alias");
        link("../other", "disk/in");
        let names = ["projects/cookie", "alias", "projects", ".git"].map(str::to_owned);
        let found = agent_writable(&root, names.iter());
        let below = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
        let found: BTreeSet<String> = found.iter().map(below).collect();
        // `alias` was resolved before `files` was known to be `disk`; it only closes more.
        assert_eq!(found, ["crons", "disk", "memories", "other", "projects", "skills"].map(str::to_owned).into());
        let access =
            Access { agent_writable: agent_writable(&root, names.iter()), root: root.clone(), ..Access::default() };
        let resolve = |name: &str| access.resolve(&root.join(name)).map(|path| below(&path));
        assert_eq!(resolve("files/new").as_deref(), Some("disk/new"));
        assert_eq!(
            [resolve("projects/cookie"), resolve("alias"), resolve("projects/cookie/claw.yaml")],
            [const { None }; 3]
        );
    }
}
