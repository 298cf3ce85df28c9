//! Whether a file is open for writing: the kernel grants a read lease only where it is not (`fcntl(2)`,
//! `F_SETLEASE`).

use std::fs::File;
use std::io::Error;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Once;

/// Whether a file has writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// No process has it open for writing.
    None,
    /// A process has it open for writing.
    Some,
    /// The file system grants no leases, or the file belongs to another user.
    Unknown,
}

/// Whether any process has `file` open for writing.
#[must_use]
pub fn writers(file: &File) -> Writers {
    static IGNORE: Once = Once::new();
    #[expect(unsafe_code, reason = "no safe interface to SIG_IGN or F_SETLEASE exists in the libraries used")]
    // SAFETY: the kernel breaks a lease by SIGIO, whose default action ends the process. SIG_IGN installs no
    // handler, so no code of ours runs in signal context, and nothing else here uses SIGIO.
    IGNORE.call_once(|| unsafe {
        libc::signal(libc::SIGIO, libc::SIG_IGN);
    });
    match lease(file, libc::F_RDLCK) {
        Ok(()) => {
            let _ = lease(file, libc::F_UNLCK);
            Writers::None
        }
        Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => Writers::Some,
        Err(_) => Writers::Unknown,
    }
}

/// Whether the file at `path` is known to be open for writing. False where it cannot be opened or is
/// [`Writers::Unknown`].
#[must_use]
pub fn is_being_written(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| writers(&file) == Writers::Some)
}

fn lease(file: &File, kind: libc::c_int) -> Result<(), Error> {
    #[expect(unsafe_code, reason = "no safe interface to F_SETLEASE exists in the libraries used")]
    // SAFETY: the descriptor stays open during the call because `file` is borrowed; F_SETLEASE takes an integer and
    // touches no memory of ours.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    if result == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}
