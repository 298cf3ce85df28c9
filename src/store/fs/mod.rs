//! Files: durable writes, reads confined below a folder, leases, caches, and waiting for changes.

pub mod beneath;
pub mod contained;
pub mod durable;
pub mod durable_dirs;
pub mod file_cache;
pub mod lease;
pub mod real_path;
pub mod watch;

use crate::core::fault::{Fault, Kind};
use std::io::{self, ErrorKind};
use std::path::Path;

/// An I/O error with its path, of [`Kind::Machine`] where the machine is the cause: disk full, read-only, out of
/// descriptors.
pub fn io_fault(doing: &str, path: &Path, error: &io::Error) -> Fault {
    use rustix::io::Errno;
    let machine = [Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::IO, Errno::NOLCK, Errno::FBIG, Errno::INTR];
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let is_machine = is_shortage(error) || errno.is_some_and(|e| machine.contains(&e));
    let kind = if is_machine { Kind::Machine } else { Kind::Failed };
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    Fault::new(kind, format!("cannot {doing} {}: {text}", path.display()))
}

/// Whether this machine is short of descriptors, memory or buffers.
#[must_use]
pub fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno.is_some_and(|e| [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS].contains(&e))
}

/// The result of a read, `None` where the file is missing. A file that exists and cannot be read is not missing.
///
/// # Errors
/// If it exists and cannot be read.
pub fn if_there<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        read => read.map(Some),
    }
}

/// The error of a file of the owner's that cannot be read, called `name`: [`Kind::Machine`] as in [`io_fault`], else
/// [`Kind::Config`], because the owner has to correct it.
#[must_use]
pub fn unreadable(name: &str, path: &Path, error: &io::Error) -> Fault {
    match io_fault("read", path, error) {
        fault if fault.kind == Kind::Machine => fault,
        _ => Fault::config(format!("{name} cannot be read: {error}")),
    }
}

/// Turns an I/O error into a [`Fault`].
pub(crate) trait At<T> {
    /// The same result; the error reads `cannot <doing> <path>: <error>`.
    fn at(self, doing: &str, path: &Path) -> Result<T, Fault>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, doing: &str, path: &Path) -> Result<T, Fault> {
        self.map_err(|e| io_fault(doing, path, &e.into()))
    }
}
