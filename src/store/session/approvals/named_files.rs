//! The files that a call names and that agents may write. An approval is of the call and of their content: an agent may
//! change `files/job.sh` after the owner has approved `sh files/job.sh`.

use crate::core::fault::{Fault, Result};
use crate::core::tool::approval::ApprovedFile;
use crate::core::tool::{BASH, words};
use crate::store::agent::access::{Access, WRITE};
use crate::store::agent::{definitions, scratch};
use crate::store::fs::At;
use crate::store::workspace::Workspace;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// The folder of the programs that are tools.
const TOOLS: &str = "tools";
/// The most words of a call that are looked up as files.
const MAX_WORDS: usize = 5000;
/// The most folders of a call in which its words are looked up.
const MAX_FOLDERS: usize = 64;
/// Longer arguments of a tool's program are not split into words, in bytes.
const MAX_TEXT: usize = 4096;

/// The largest file of a call, in bytes: a program of an agent cannot write a larger one.
const MAX_FILE: u64 = 1 << 30;

/// The files that a call of `tool` names and that agents may write, sorted by path. Words are looked up in the workspace
/// and in every folder that another word names, because the call may change into it.
///
/// # Errors
/// `Data`, with a message for the model, if the call has too many words; `Machine`.
pub fn named_files(workspace: &Workspace, tool: &str, arguments: &Value) -> Result<Vec<ApprovedFile>> {
    let words = words_of(workspace, tool, arguments)?;
    let folders = folders(&workspace.real_root(), &words)?;
    let writable = writable(workspace)?;
    let mut files = BTreeMap::new();
    let mut seen = HashSet::new();
    for path in folders.iter().flat_map(|folder| words.iter().map(|word| folder.join(word))) {
        if !path.is_file() || !seen.insert(path.clone()) || !is_writable(&path, &writable) {
            continue;
        }
        if let Some((size, hash)) = content(&path)? {
            let path = shown(&path, &folders[0]);
            files.insert(path.clone(), ApprovedFile { path, size, hash });
        }
    }
    Ok(files.into_values().collect())
}

fn words_of(workspace: &Workspace, tool: &str, arguments: &Value) -> Result<Vec<String>> {
    let mut all = words::strings(arguments);
    let stem = |name: &str| Path::new(name).file_stem().is_some_and(|stem| stem == tool);
    let programs: Vec<String> = workspace.names(TOOLS)?.iter().filter(|name| stem(name)).cloned().collect();
    let is_split = |text: &&String| tool == BASH || (!programs.is_empty() && text.len() <= MAX_TEXT);
    let inner: Vec<String> = all.iter().filter(is_split).flat_map(|text| words::of(text)).collect();
    all.retain(|text| words::is_path(text));
    all.extend(inner);
    all.extend(programs.iter().map(|name| format!("{TOOLS}/{name}")));
    if all.len() > MAX_WORDS {
        return Err(Fault::data(format!("the call has more than {MAX_WORDS} words, too many to approve"))
            .hint("write the text to a file first, and name that"));
    }
    Ok(all)
}

/// The workspace, and the folders that the words name, also one below the other.
fn folders(root: &Path, words: &[String]) -> Result<Vec<PathBuf>> {
    let mut folders = vec![root.to_path_buf()];
    for word in words {
        let new: Vec<PathBuf> = folders.iter().map(|folder| folder.join(word)).filter(|path| path.is_dir()).collect();
        for folder in new.into_iter().filter_map(|path| fs::canonicalize(path).ok()) {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        if folders.len() > MAX_FOLDERS {
            return Err(Fault::data(format!("the call names more than {MAX_FOLDERS} folders, too many to approve"))
                .hint("split it"));
        }
    }
    Ok(folders)
}

/// The trees that any agent may write, without links.
fn writable(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let root = workspace.real_root();
    let mut trees: Vec<PathBuf> = WRITE.iter().copied().chain([scratch::FOLDER]).map(|name| root.join(name)).collect();
    for (_, agent) in definitions::agents(workspace)? {
        if let Ok(agent) = agent {
            trees.extend(Access::of(workspace, &agent)?.write);
        }
    }
    Ok(trees.into_iter().map(|tree| fs::canonicalize(&tree).unwrap_or(tree)).collect())
}

/// Whether an agent may change the file at `path`, or a link in the path.
fn is_writable(path: &Path, writable: &[PathBuf]) -> bool {
    let is_in = |path: &Path| writable.iter().any(|tree| path.starts_with(tree));
    let mut at = PathBuf::new();
    for part in path.components() {
        at.push(part);
        if is_in(&at) && part != Component::ParentDir {
            return true;
        }
        at = fs::canonicalize(&at).unwrap_or(at);
    }
    is_in(&at)
}

/// Size and BLAKE3 of a regular file; `None` if it is not a regular file any more, or if not even claw can read it.
fn content(path: &Path) -> Result<Option<(u64, String)>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::ACCESS | Errno::PERM | Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
        opened => opened.map(File::from).at("read", path)?,
    };
    if !file.metadata().at("read", path)?.is_file() {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    // A file of the kernel, such as /proc/self/mem, may refuse to be read.
    if hasher.update_reader(file.take(MAX_FILE + 1)).is_err() {
        return Ok(None);
    }
    if hasher.count() > MAX_FILE {
        return Err(Fault::data(format!("{} has more than {MAX_FILE} bytes, too many to approve", path.display())));
    }
    Ok(Some((hasher.count(), hasher.finalize().to_hex().to_string())))
}

/// The path as the owner reads it: relative to the workspace, if it is inside.
fn shown(path: &Path, root: &Path) -> String {
    let has_parents = path.components().any(|part| part == Component::ParentDir);
    let real = if has_parents { fs::canonicalize(path).ok() } else { None };
    let path: PathBuf = real.as_deref().unwrap_or(path).components().collect();
    path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use serde_json::json;
    use std::os::unix::fs::symlink;

    fn workspace() -> (tempfile::TempDir, Workspace) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for (name, text) in [
            ("claw.yaml", "sync: none\n"),
            ("agents/pickle/AGENT.md", "---\nname: pickle\nwrite: [files, notes]\n---\nx\n"),
            ("files/job.sh", "echo 1\n"),
            ("files/my job.sh", "echo 2\n"),
            ("files/sub/deep.sh", "echo 3\n"),
            ("notes/n.sh", "echo 4\n"),
            ("own/mine.sh", "echo 5\n"),
            ("tools/act.sh", "echo 6\n"),
            ("tools/act.json", "{}"),
        ] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), text).unwrap();
        }
        symlink("../own/mine.sh", root.join("files/link.sh")).unwrap();
        symlink("../files/job.sh", root.join("own/back.sh")).unwrap();
        symlink("../own", root.join("files/folder")).unwrap();
        let workspace = Workspace::open(World::real().unwrap(), root, true).unwrap();
        (dir, workspace)
    }

    fn named(workspace: &Workspace, tool: &str, arguments: &Value) -> Vec<String> {
        named_files(workspace, tool, arguments).unwrap().into_iter().map(|file| file.path).collect()
    }

    #[test]
    fn every_file_of_an_agent_that_a_command_names_is_found() {
        let (_dir, workspace) = workspace();
        for (command, files) in [
            ("sh files/job.sh", &["files/job.sh"][..]),
            ("./files/job.sh; sh 'files/my job.sh'", &["files/job.sh", "files/my job.sh"]),
            ("cd files && sh job.sh", &["files/job.sh"]),
            ("cd files; cd sub; sh deep.sh", &["files/sub/deep.sh"]),
            ("cd files/sub && sh ../job.sh", &["files/job.sh"]),
            ("sh notes/n.sh", &["notes/n.sh"]),
            ("sh own/mine.sh; ls /etc/passwd; sh files/none.sh", &[]),
            // The link is the agent's, or leads to a file of the agent.
            ("sh files/link.sh", &["files/link.sh"]),
            ("sh own/back.sh", &["own/back.sh"]),
            ("sh files/folder/mine.sh", &["files/folder/mine.sh"]),
            ("sh own/../files/job.sh", &["files/job.sh"]),
        ] {
            assert_eq!(named(&workspace, "bash", &json!({"command": command})), files, "{command}");
        }
        let absolute = format!("sh {}/files/job.sh", workspace.root.display());
        assert_eq!(named(&workspace, "bash", &json!({"command": absolute})), ["files/job.sh"]);
    }

    #[test]
    fn arguments_of_other_tools_are_names_and_words_of_a_program_too() {
        let (_dir, workspace) = workspace();
        assert_eq!(
            named(&workspace, "write", &json!({"path": "files/job.sh", "text": "sh notes/n.sh"})),
            ["files/job.sh"]
        );
        assert_eq!(named(&workspace, "act", &json!({"command": "sh notes/n.sh"})), ["notes/n.sh"]);
        fs::write(workspace.path("agents/pickle/AGENT.md"), "---\nname: pickle\nwrite: [files, tools]\n---\nx\n")
            .unwrap();
        assert_eq!(named(&workspace, "act", &json!({})), ["tools/act.json", "tools/act.sh"]);
    }

    #[test]
    fn unreadable_file_is_no_file_and_a_huge_one_is_refused() {
        let (_dir, workspace) = workspace();
        symlink("/proc/self/mem", workspace.path("files/mem")).unwrap();
        assert_eq!(named(&workspace, "bash", &json!({"command": "cat files/mem"})), [""; 0]);
        File::create(workspace.path("files/huge")).unwrap().set_len(MAX_FILE + 1).unwrap();
        let fault = named_files(&workspace, "bash", &json!({"command": "cat files/huge"})).unwrap_err();
        assert!(fault.message.contains("too many to approve"), "{fault}");
    }

    #[test]
    fn changed_content_changes_the_hash_and_too_many_words_are_refused() {
        let (_dir, workspace) = workspace();
        let call = json!({"command": "sh files/job.sh"});
        let before = named_files(&workspace, "bash", &call).unwrap();
        assert_eq!(before[0].hash, blake3::hash(b"echo 1\n").to_hex().to_string());
        fs::write(workspace.path("files/job.sh"), "echo 7\n").unwrap();
        assert_ne!(named_files(&workspace, "bash", &call).unwrap(), before);
        let many: String = (0..3000).map(|n| format!(" {n}-{n}")).collect();
        let call = json!({"command": format!("echo {many}; sh files/job.sh")});
        assert!(named_files(&workspace, "bash", &call).is_ok());
        // A long command is split all the same.
        let long = json!({"command": format!("echo {}; sh files/job.sh", "x ".repeat(5000))});
        assert_eq!(named(&workspace, "bash", &long), ["files/job.sh"]);
        let many: String = (0..6000).map(|n| format!(" {n}")).collect();
        let fault = named_files(&workspace, "bash", &json!({"command": many})).unwrap_err();
        assert!(fault.message.contains("too many to approve"), "{fault}");
    }
}
