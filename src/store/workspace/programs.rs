//! The programs in the workspace that the settings run, with all rights of the owner: each is trusted with its content,
//! because an agent or an update may change it. The first use of a program remembers it, in
//! `$XDG_STATE_HOME/claw/programs.jsonl`; a changed one is refused until `claw trust`. Copies beside that file show the
//! change.

use crate::core::fault::{Fault, Result};
use crate::core::tool::words;
use crate::store::fs::At;
use crate::store::fs::contained;
use crate::store::workspace::{Workspace, trust};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The list of trusted programs, in the state folder.
const LIST: &str = "programs.jsonl";
/// The folder of copies by hash, in the state folder.
const COPIES: &str = "programs";
/// The largest program that is trusted by its content, in bytes.
const MAX: u64 = 256 << 20;
/// The largest program of which a copy is kept, in bytes.
const MAX_COPY: usize = 256 << 10;

/// A line of the list. The last line of a program counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct TrustedProgram {
    /// The workspace's directory.
    workspace: PathBuf,
    /// The file, relative to the workspace.
    path: String,
    /// BLAKE3 of its content.
    hash: String,
}

/// A program as it is now.
#[derive(Debug)]
pub struct Program {
    /// The file, relative to the workspace.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
    /// The hash that is trusted; `None` for a program that was never used.
    trusted: Option<String>,
}

impl Program {
    /// BLAKE3 of its content.
    #[must_use]
    pub fn hash(&self) -> String {
        blake3::hash(&self.bytes).to_hex().to_string()
    }

    /// Whether its content is not the trusted one.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.trusted.as_ref().is_some_and(|trusted| *trusted != self.hash())
    }

    /// The text that was trusted, if a copy was kept.
    #[must_use]
    pub fn trusted_text(&self, workspace: &Workspace) -> Option<String> {
        let hash = self.trusted.as_ref()?;
        let copy = fs::read(trust::state_dir(&workspace.world)?.join(COPIES).join(hash)).ok()?;
        String::from_utf8(copy).ok().filter(|text| blake3::hash(text.as_bytes()).to_hex().as_str() == hash)
    }
}

/// Programs that run the file which their arguments name.
const INTERPRETERS: [&str; 22] = [
    "awk", "bash", "bun", "dash", "deno", "env", "fish", "gawk", "java", "ksh", "lua", "nice", "node", "perl", "php",
    "pypy", "python", "ruby", "sh", "tclsh", "uv", "zsh",
];
/// Endings of scripts.
const SCRIPTS: [&str; 14] =
    ["awk", "bash", "cjs", "jar", "js", "lua", "mjs", "php", "pl", "py", "rb", "sh", "ts", "zsh"];

/// The programs of a command that are files of the workspace, and the content that is trusted. Its other files are data,
/// which may change.
///
/// # Errors
/// If one cannot be read.
pub fn of(workspace: &Workspace, command: &[String]) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    let mut found = Found { root: workspace.real_root(), known: known(workspace), programs: &mut programs };
    found.add(command, true)?;
    // The code of `sh -c`.
    for code in command.iter().filter(|part| part.contains(char::is_whitespace)) {
        found.add(&words::of(code), false)?;
    }
    Ok(programs)
}

/// The programs that were found so far.
struct Found<'a> {
    root: PathBuf,
    known: BTreeMap<String, String>,
    programs: &'a mut Vec<Program>,
}

impl Found<'_> {
    /// Adds the programs among these words; the first one is a program if this `is_command`.
    fn add(&mut self, words: &[String], is_command: bool) -> Result<()> {
        let mut is_next = is_command;
        for word in words {
            let is_run = is_next;
            is_next = is_run && is_argument(word) || is_interpreter(word);
            self.add_file(word, is_run)?;
        }
        Ok(())
    }

    fn add_file(&mut self, word: &str, is_run: bool) -> Result<()> {
        let Ok(real) = fs::canonicalize(self.root.join(word)) else { return Ok(()) };
        let Ok(below) = real.strip_prefix(&self.root) else { return Ok(()) };
        let path = below.to_string_lossy().into_owned();
        if !real.is_file() || self.programs.iter().any(|known| known.path == path) {
            return Ok(());
        }
        let is_script = below.extension().is_some_and(|end| SCRIPTS.iter().any(|script| end == *script));
        if is_run || is_script || rustix::fs::access(&real, rustix::fs::Access::EXEC_OK).is_ok() {
            let bytes = contained::read(&self.root, below, MAX).at("read", &real)?;
            self.programs.push(Program { trusted: self.known.get(&path).cloned(), path, bytes });
        }
        Ok(())
    }
}

/// Whether the file that an interpreter runs may follow this word: an option, or a variable for `env`.
fn is_argument(word: &str) -> bool {
    word.starts_with('-') || word.contains('=')
}

fn is_interpreter(word: &str) -> bool {
    let name = Path::new(word).file_name().unwrap_or_default().to_string_lossy();
    INTERPRETERS.contains(&name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'))
}

/// Checks that no program of the command has changed, and remembers those that are new. A workspace that is only named
/// for one command, and trusted nowhere, has no list.
///
/// # Errors
/// `Config` with the way out if a program has changed.
pub fn check(workspace: &Workspace, command: &[String]) -> Result<()> {
    if !trust::is_trusted(&workspace.world, &workspace.root) {
        return Ok(());
    }
    let programs = of(workspace, command)?;
    if let Some(changed) = programs.iter().find(|program| program.is_changed()) {
        return Err(fault(changed));
    }
    let new: Vec<&Program> = programs.iter().filter(|program| program.trusted.is_none()).collect();
    if let Err(fault) = remember(workspace, &new) {
        workspace.world.say(&format!("{fault}; a change of these programs will not be noticed"));
    }
    Ok(())
}

/// The fault that a program has changed.
#[must_use]
pub fn fault(changed: &Program) -> Fault {
    Fault::config(format!("{} has changed since it was trusted, so it is not run", changed.path))
        .hint("`claw trust -n` shows the change, `claw trust` accepts it")
}

/// Trusts these programs with their present content.
///
/// # Errors
/// If the list cannot be written.
pub fn remember(workspace: &Workspace, programs: &[&Program]) -> Result<()> {
    let Some(dir) = trust::state_dir(&workspace.world).filter(|_| !programs.is_empty()) else { return Ok(()) };
    let copies = dir.join(COPIES);
    fs::create_dir_all(&copies).at("make", &copies)?;
    let root = workspace.real_root();
    let mut lines = String::new();
    for program in programs {
        let hash = program.hash();
        let copy = copies.join(&hash);
        if program.bytes.len() <= MAX_COPY && std::str::from_utf8(&program.bytes).is_ok() {
            fs::write(&copy, &program.bytes).at("write", &copy)?;
        }
        let line = TrustedProgram { workspace: root.clone(), path: program.path.clone(), hash };
        lines += &(serde_json::to_string(&line).map_err(|e| Fault::data(e.to_string()))? + "\n");
    }
    let list = dir.join(LIST);
    let mut file = OpenOptions::new().create(true).append(true).open(&list).at("open", &list)?;
    file.write_all(lines.as_bytes()).at("write", &list)
}

/// The trusted hashes of this workspace's programs, by path.
fn known(workspace: &Workspace) -> BTreeMap<String, String> {
    let Some(dir) = trust::state_dir(&workspace.world) else { return BTreeMap::new() };
    let text = fs::read_to_string(dir.join(LIST)).unwrap_or_default();
    let root: &Path = &workspace.real_root();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<TrustedProgram>(line).ok());
    lines.filter(|line| line.workspace == root).map(|line| (line.path, line.hash)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn programs_of_a_command_are_found_and_its_data_is_not() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["claw.yaml", "think", "x.py", "run", "state.json", "my think"] {
            fs::write(dir.path().join(name), "# nothing\n").unwrap();
        }
        fs::set_permissions(dir.path().join("run"), fs::Permissions::from_mode(0o755)).unwrap();
        let workspace = Workspace::open(World::real().unwrap(), dir.path().to_path_buf(), true).unwrap();
        for (command, programs) in [
            (&["./think", "state.json"][..], &["think"][..]),
            (&["sh", "think", "state.json"], &["think"]),
            (&["/usr/bin/python3.12", "-u", "x.py", "state.json"], &["x.py"]),
            (&["env", "A=1", "./run", "--file=state.json"], &["run"]),
            (&["sh", "-c", "cat >/dev/null; cat state.json | ./run"], &["run"]),
            (&["sh", "-c", "exec sh think <state.json"], &["think"]),
            (&["sh", "my think"], &["my think"]),
            (&["cat", "state.json"], &[]),
            (&["timeout", "9", "./run"], &["run"]),
            (&["notify-send", "claw"], &[]),
        ] {
            let owned: Vec<String> = command.iter().map(ToString::to_string).collect();
            let found: Vec<String> = of(&workspace, &owned).unwrap().into_iter().map(|program| program.path).collect();
            assert_eq!(found, programs, "{command:?}");
        }
    }
}
