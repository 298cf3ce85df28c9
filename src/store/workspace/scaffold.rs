//! The files of a new workspace. They are those at the top of this repository, which is a workspace too.

use crate::core::config::{FILE, Sync};
use crate::core::fault::{Fault, Result};
use crate::store::fs::At;
use crate::store::fs::durable;
use std::fs;
use std::path::Path;

macro_rules! embedded {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../../../", $name)))),*] };
}

/// Every file that `init` writes except `claw.yaml`: name and text.
const FILES: &[(&str, &str)] = embedded![
    "AGENTS.md",
    "agents/pickle/AGENT.md",
    "agents/pickle/SOUL.md",
    "agents/cookie/AGENT.md",
    "agents/cookie/SOUL.md",
    "skills/README.md",
    "skills/cron-ops/SKILL.md",
    "skills/memory/SKILL.md",
    "skills/skill-creator/SKILL.md",
    "skills/skill-creator/references/format.md",
    "skills/tmux/SKILL.md",
    "crons/README.md",
    "crons/tidy/CRON.md",
    "memories/README.md",
];

/// The text of a file that `init` writes.
#[must_use]
pub fn shipped(name: &str) -> Option<&'static str> {
    FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Folders that start empty; a `.gitkeep` keeps them in git.
const FOLDERS: &[&str] = &[
    "memories/topics",
    "memories/projects",
    "memories/daily-notes",
    "tasks/open",
    "tasks/claimed",
    "tasks/done",
    "files",
    "tools",
];

const IGNORE: &str = "# Internal state of claw.\n/inbox/\n/outbox/\n/sessions/\n/.claw/\n/.secrets/\n";

/// The files that `init` has written and those it has left.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Created files.
    pub new: Vec<String>,
    /// Files that existed with other content and were left unchanged.
    pub existing: Vec<String>,
    /// Files that were not written, because a symbolic link is in their path.
    pub linked: Vec<String>,
}

/// Writes the missing files of a workspace into `root`, overwrites none, and follows no link: a folder from another
/// person may have links that lead out of it. `model` is the lines of `claw.yaml` that
/// choose the model.
///
/// # Errors
/// If a file cannot be written.
pub fn write(root: &Path, model: &str, has_git: bool) -> Result<Written> {
    let template = include_str!("../../../claw.yaml");
    let default = |has_git: bool| {
        let git = format!("  git: {has_git}\n");
        template.replacen("model: offline\n", model, 1).replacen("  git: false\n", &git, 1)
    };
    let (config, other) = (default(has_git), default(!has_git));
    if !config.contains(model) {
        return Err(Fault::data("the embedded claw.yaml has no place for the model"));
    }
    let keep = FOLDERS.iter().map(|f| (format!("{f}/.gitkeep"), ""));
    let files = FILES.iter().map(|(name, text)| ((*name).to_owned(), *text));
    let own = [(FILE.to_owned(), config.as_str()), (".gitignore".to_owned(), IGNORE)];
    let mut written = Written::default();
    for (name, text) in own.into_iter().chain(files).chain(keep) {
        let path = root.join(&name);
        if has_link(root, &name) {
            written.linked.push(name);
            continue;
        }
        match fs::read(&path) {
            Ok(found) if found == text.as_bytes() => continue,
            // `memories.git` depends on whether a repository existed when the workspace was created.
            Ok(found) if name == FILE && found == other.as_bytes() => continue,
            Ok(_) => {
                written.existing.push(name);
                continue;
            }
            Err(_) => {}
        }
        let dir = path.parent().unwrap_or(root);
        fs::create_dir_all(dir).at("make", dir)?;
        let last = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if durable::publish(dir, &last, dir, text.as_bytes(), Sync::None)? {
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).at("open up", &path)?;
            written.new.push(name);
        } else {
            written.existing.push(name);
        }
    }
    Ok(written)
}

/// Whether a part of the path `name` below `root` is a symbolic link.
fn has_link(root: &Path, name: &str) -> bool {
    let parts = Path::new(name).ancestors().filter(|part| !part.as_os_str().is_empty());
    parts.into_iter().any(|part| root.join(part).is_symlink())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_is_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("ws"), dir.path().join("outside"));
        fs::create_dir_all(root.join("memories")).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink("../outside", root.join("agents")).unwrap();
        symlink("../../outside", root.join("memories/topics")).unwrap();
        symlink("../outside/new", root.join("AGENTS.md")).unwrap();
        let written = write(&root, "model: offline\n", false).unwrap();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        assert_eq!(
            written.linked,
            [
                "AGENTS.md",
                "agents/pickle/AGENT.md",
                "agents/pickle/SOUL.md",
                "agents/cookie/AGENT.md",
                "agents/cookie/SOUL.md",
                "memories/topics/.gitkeep",
            ]
        );
        assert!(written.new.contains(&"claw.yaml".to_owned()));
    }
}
