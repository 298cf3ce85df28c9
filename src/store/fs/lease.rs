//! Whether a writer still has a file open: the kernel grants a read lease only where none has
//! (`fcntl(2)`, `F_SETLEASE`).

use std::fs::File;
use std::io::Error;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Once;

/// What the kernel says about a file's writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    /// Nobody has it open for writing.
    None,
    /// Somebody is still writing.
    Some,
    /// This file system or owner gives no leases.
    Unknown,
}

/// Looks whether anybody has `file` open for writing.
#[must_use]
pub fn writers(file: &File) -> Writers {
    static IGNORE: Once = Once::new();
    #[expect(unsafe_code, reason = "no safe interface to SIG_IGN or F_SETLEASE exists in the libraries used")]
    // SAFETY: SIGIO is the signal by which a lease is broken; its default ends the process. SIG_IGN
    // installs no handler, so no code of ours runs in signal context, and nothing else here uses SIGIO.
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

/// Whether somebody has the file at `path` open for writing, as far as can be told.
#[must_use]
pub fn is_being_written(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| writers(&file) == Writers::Some)
}

fn lease(file: &File, kind: libc::c_int) -> Result<(), Error> {
    #[expect(unsafe_code, reason = "no safe interface to F_SETLEASE exists in the libraries used")]
    // SAFETY: the descriptor is open for the whole call because `file` is borrowed, F_SETLEASE takes
    // an integer and touches no memory of ours.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    if result == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}
