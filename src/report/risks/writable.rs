//! Folders that claw must be able to write: a file without a name is made in each, which leaves no trace.

use super::shown;
use crate::core::text::problem::Problem;
use crate::store::fs::io_fault;
use crate::store::workspace::{LAYOUT, Workspace};
use rustix::fs::{Access, CWD, Mode, OFlags, access, openat};
use rustix::io::Errno;

pub(super) fn of(workspace: &Workspace) -> Vec<Problem> {
    let (mut problems, mut is_read_only) = (Vec::new(), true);
    for name in LAYOUT {
        let path = workspace.path(name);
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let error = match openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR) {
            // A missing folder is made when it is needed.
            Err(Errno::NOENT) => continue,
            Ok(_) => Ok(()),
            // The file system has no files without a name.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => access(&path, Access::WRITE_OK | Access::EXEC_OK),
            Err(error) => Err(error),
        };
        is_read_only &= error == Err(Errno::ROFS);
        if let Err(error) = error {
            let fault = io_fault("write in", &path, &error.into());
            problems.push(Problem::error(&shown(workspace, &path), fault.message));
        }
    }
    if is_read_only && !problems.is_empty() {
        return vec![Problem::error(".", "is on a read-only file system: no message can be taken in or answered")];
    }
    problems
}
