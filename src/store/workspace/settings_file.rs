//! Reading and replacing `claw.yaml` for the commands by which its owner changes it. No other part of the program writes
//! it.

use crate::core::config::{self, FILE};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::problem::Problem;
use crate::store::fs::At;
use crate::store::fs::{durable, unreadable};
use crate::store::workspace::Workspace;
use rustix::fs::Mode;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

/// The second name of the file, used for an instant.
const TEMP: &str = ".claw.yaml.new";

/// The text of the file.
///
/// # Errors
/// `Config` if it cannot be read.
pub fn read(workspace: &Workspace) -> Result<String> {
    let path = workspace.path(FILE);
    fs::read_to_string(&path).map_err(|e| unreadable(FILE, &path, &e))
}

/// Checks a text as `claw.yaml`, and returns its warnings.
///
/// # Errors
/// `Config`, with line and column.
pub fn check(text: &str) -> Result<Vec<Problem>> {
    Ok(config::parse(text)?.1)
}

/// Replaces the file, whose text was `old`, atomically and durably. A symbolic link stays, and the file that it leads to
/// is replaced; so does the file's mode.
///
/// # Errors
/// `Config` if the new text is invalid, `Later` if the file is not `old` any more, or the errors of the file system.
pub fn replace(workspace: &Workspace, old: &str, new: &str) -> Result<()> {
    check(new)?;
    let path = workspace.path(FILE);
    let path = path.canonicalize().at("find", &path)?;
    if read(workspace)? != old {
        return Err(Fault::new(Kind::Later, format!("{FILE} was changed meanwhile; it was left as it is"))
            .hint("run the command again"));
    }
    let mode = path.metadata().at("look at", &path)?.mode() & 0o7777;
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Fault::config(format!("{} is not a file", path.display())));
    };
    let folder = File::open(dir).at("open", dir)?;
    let name: &OsStr = name;
    durable::replace_at(&folder, name, TEMP, new.as_bytes(), Some(Mode::from_raw_mode(mode)), workspace.sync()?)
        .at("replace", &path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    #[test]
    fn file_is_replaced_only_by_a_valid_text_and_only_if_it_is_the_one_that_was_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "sync: none\n").unwrap();
        let workspace = Workspace::open(World::real().unwrap(), dir.path().to_path_buf(), true).unwrap();
        let old = read(&workspace).unwrap();
        replace(&workspace, &old, "sync: none\ncurrency: EUR\n").unwrap();
        let fault = replace(&workspace, &old, "sync: none\ncurrency: USD\n").unwrap_err();
        assert_eq!(fault.kind, Kind::Later);
        assert_eq!(replace(&workspace, "sync: none\ncurrency: EUR\n", "sync: [").unwrap_err().kind, Kind::Config);
        assert_eq!(read(&workspace).unwrap(), "sync: none\ncurrency: EUR\n");
    }
}
