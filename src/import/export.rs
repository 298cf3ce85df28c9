//! Exporting a workspace: its definitions, notes, sessions and files, without internal state and without secrets.
//! `claw init --from` of the result makes the same workspace.

use crate::core::config;
use crate::core::fault::{Fault, Kind, Result};
use crate::import::claw_export::{MARK, is_internal, mark};
use crate::import::secrets;
use crate::import::source::Source;
use crate::store::fs::At;
use crate::store::staging::Staging;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The result of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The number of files written.
    pub files: usize,
    /// The secrets that are left out, by their places.
    pub secrets: Vec<String>,
    /// Other files that are left out, and the reason.
    pub left: Vec<String>,
}

/// Writes the workspace in `root` to the folder `target`, which must not exist or be empty. A process that is killed
/// leaves no target, or the finished one.
///
/// # Errors
/// `Failed` if the target exists; `Usage` if it is in the workspace; those of the file system.
pub fn export(root: &Path, target: &Path) -> Result<Exported> {
    let source = Source::open(root)?;
    if target.starts_with(&source.root) {
        return Err(Fault::new(Kind::Usage, format!("{} is in the workspace itself", target.display())));
    }
    let mut exported = Exported::default();
    let staging = Staging::begin(target)?;
    let tree = staging.tree();
    for file in source.files.iter().filter(|file| !is_internal(&file.path)) {
        if let Some(why) = &file.refused {
            exported.left.push(format!("{}: {why}", file.path));
            continue;
        }
        if secrets::is_credential_file(&file.path) {
            exported.secrets.push(file.path.clone());
            continue;
        }
        let mut bytes = Vec::new();
        source.file(&file.path)?.read_to_end(&mut bytes).at("read", &source.root.join(&file.path))?;
        if file.path == config::FILE {
            let (text, found) = without_keys(&String::from_utf8_lossy(&bytes));
            exported.secrets.extend(found.into_iter().map(|line| format!("{}: {line}", config::FILE)));
            bytes = text.into_bytes();
        }
        if file.path.starts_with("sessions/") && file.path.ends_with("/log.jsonl") {
            // A turn may be writing its next line.
            bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        }
        write(&tree.join(&file.path), if file.is_executable { 0o755 } else { 0o644 }, &bytes)?;
        exported.files += 1;
    }
    write(&tree.join(MARK), 0o644, mark().as_bytes())?;
    staging.finish()?;
    Ok(exported)
}

fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).at("make", dir)?;
    }
    let mut file = File::options().write(true).create_new(true).mode(mode).open(path).at("make", path)?;
    file.write_all(bytes).at("write", path)
}

/// The settings without literal keys: the value of each is empty.
fn without_keys(text: &str) -> (String, Vec<String>) {
    let (mut kept, mut found) = (String::new(), Vec::new());
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let (head, value) = line.split_once("api_key:").unwrap_or((line, ""));
        let plain = value.trim().trim_matches(['"', '\'']);
        let is_comment = head.trim_start().starts_with('#');
        if is_comment || plain.is_empty() || plain.starts_with("${") {
            kept += line;
            continue;
        }
        found.push(format!("line {}, api_key", number + 1));
        // In a flow mapping the value ends at the next comma or brace.
        let end =
            if head.contains('{') { value.find([',', '}']).unwrap_or(value.len()) } else { value.trim_end().len() };
        kept += &format!("{head}api_key: \"\"{}", value.get(end..).unwrap_or("\n"));
    }
    (kept, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_keys_leave_the_settings() {
        let text = "#   api_key: x\nmodels:\n  a: {api_key: sk-1, model: m}\n  b:\n    api_key: 'two'  # c\n    api_key_env: HERE\n";
        let (kept, found) = without_keys(text);
        assert_eq!(
            kept,
            "#   api_key: x\nmodels:\n  a: {api_key: \"\", model: m}\n  b:\n    api_key: \"\"\n    api_key_env: HERE\n"
        );
        assert_eq!(found, ["line 3, api_key", "line 5, api_key"]);
    }
}
