//! Reading files that agents may have made: links cannot lead out of the folder, a pipe does not block, and the size
//! is bounded.

use crate::core::fault::{self, Fault, Kind};
use crate::core::text::problem::Problem;
use crate::store::fs::beneath::Beneath;
use crate::store::fs::io_fault;
use rustix::io::Errno;
use std::fs;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// Reads the file `name` below `dir`.
///
/// # Errors
/// Those of the kernel; an error with its own message if a link leads out of `dir`, if it is not a regular file, or if
/// it has more than `most` bytes.
pub fn read(dir: &Path, name: &Path, most: u64) -> Result<Vec<u8>> {
    let folder = match Beneath::open(dir, false) {
        // Most paths have no links: the search for them would take longer than all the rest.
        Err(Errno::LOOP) => Beneath::open(&fs::canonicalize(dir)?, false)?,
        folder => folder?,
    };
    let file = match folder.file(name) {
        Ok(file) => file,
        Err(Errno::XDEV) => return Err(Error::other(format!("a link in its path leads out of {}", dir.display()))),
        Err(error) => return Err(error.into()),
    };
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    let too_long = || Error::new(ErrorKind::FileTooLarge, format!("larger than {most} bytes"));
    if meta.len() > most {
        return Err(too_long());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_long()) } else { Ok(bytes) }
}

/// Reads a text file, as [`read`].
///
/// # Errors
/// As [`read`]; also if it is not UTF-8.
pub fn text(dir: &Path, name: &Path, most: u64) -> Result<String> {
    String::from_utf8(read(dir, name, most)?).map_err(|_| Error::new(ErrorKind::InvalidData, "not valid UTF-8"))
}

/// Why a definition could not be read.
#[derive(Debug)]
pub enum DefinitionError {
    /// The file is missing or wrong: the owner has to correct it.
    Bad(Problem),
    /// An error of the machine, which is not the fault of the file.
    Machine(Fault),
}

impl From<Problem> for DefinitionError {
    fn from(problem: Problem) -> Self {
        Self::Bad(problem)
    }
}

impl DefinitionError {
    /// Separates the two: a problem with the file is part of the result, an error of the machine is the error.
    ///
    /// # Errors
    /// The error of the machine.
    pub fn separate<T>(read: std::result::Result<T, Self>) -> fault::Result<std::result::Result<T, Problem>> {
        match read {
            Ok(good) => Ok(Ok(good)),
            Err(Self::Bad(problem)) => Ok(Err(problem)),
            Err(Self::Machine(fault)) => Err(fault),
        }
    }
}

/// Reads the definition `name` below `dir`, as [`text`]. `path` names it in errors, relative to the workspace.
///
/// # Errors
/// If it is missing or cannot be read.
pub fn definition(dir: &Path, name: &Path, path: &str, most: u64) -> std::result::Result<String, DefinitionError> {
    text(dir, name, most).map_err(|error| match io_fault("read", &dir.join(name), &error) {
        fault if fault.kind == Kind::Machine => DefinitionError::Machine(fault),
        _ if error.kind() == ErrorKind::NotFound => Problem::error(path, "is missing").into(),
        _ => Problem::error(path, format!("cannot be read: {error}")).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode};
    use std::os::unix::fs::symlink;

    #[test]
    fn link_out_of_the_folder_is_refused_and_link_inside_it_is_followed() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("in");
        fs::create_dir_all(dir.join("a")).unwrap();
        fs::write(home.path().join("secret"), "s").unwrap();
        fs::write(dir.join("a/file"), "hello").unwrap();
        symlink("../../secret", dir.join("a/out")).unwrap();
        symlink(home.path().join("secret"), dir.join("a/far")).unwrap();
        symlink("a/file", dir.join("inside")).unwrap();
        rustix::fs::mkfifoat(CWD, dir.join("pipe"), Mode::RUSR | Mode::WUSR).unwrap();
        let read = |name: &str, most| text(&dir, Path::new(name), most).map_err(|e| e.to_string());
        assert_eq!(read("a/file", 5).as_deref(), Ok("hello"));
        assert_eq!(read("inside", 5).as_deref(), Ok("hello"));
        for name in ["a/out", "a/far", "../secret"] {
            assert!(read(name, 9).unwrap_err().contains("leads out of"), "{name}");
        }
        assert_eq!(read("pipe", 9), Err("not a regular file".to_owned()));
        assert_eq!(read("a", 9), Err("not a regular file".to_owned()));
        assert_eq!(read("a/file", 4), Err("larger than 4 bytes".to_owned()));
    }
}
