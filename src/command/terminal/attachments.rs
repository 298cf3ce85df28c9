//! The files that `ask -f` attaches to a question: read and checked before anything is published, and copied into the
//! workspace before the question is.

use crate::core::config::resolved_model::ResolvedModel;
use crate::core::event::address::safe_name;
use crate::core::event::id::Id;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::attachment::{AttachmentRoom, Content};
use crate::provider;
use crate::store::agent::attachments;
use crate::store::workspace::Workspace;
use std::path::PathBuf;

/// The longest part of a file's name in the name of its copy, in bytes.
const MAX_NAME: usize = 80;

/// A file of the user that can be sent.
pub(crate) enum CheckedFile {
    /// It lies in `files/` already, at this path.
    Inside(String),
    /// It lies elsewhere.
    Outside {
        /// The last part of its path.
        name: String,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

/// Reads the files, and checks that one of these models reads each of them.
///
/// # Errors
/// `Data` if a file cannot be sent, with the reason of the first model.
pub(crate) fn check(workspace: &Workspace, paths: &[PathBuf], models: &[ResolvedModel]) -> Result<Vec<CheckedFile>> {
    let mut room = AttachmentRoom::default();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let inside = attachments::inside(workspace, path);
        let file = match &inside {
            Some(inside) => attachments::read(workspace, inside)?,
            None => attachments::read_outside(path)?,
        };
        let shown = path.display();
        if let Content::Media(media) = file.content {
            let mut refusals = models.iter().map(|model| provider::check_media(model, media));
            let first = refusals.next().unwrap_or(Ok(()));
            if let Err(fault) = first
                && !refusals.any(|refusal| refusal.is_ok())
            {
                return Err(Fault { message: format!("{shown}: {}", fault.message), ..fault });
            }
        }
        let too_much = |fault: Fault| Fault { message: format!("{shown}: {}", fault.message), ..fault };
        room.take(file.bytes.len() as u64).map_err(too_much)?;
        files.push(inside.map_or_else(
            || {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                CheckedFile::Outside { name: safe_name(&name, MAX_NAME), bytes: file.bytes }
            },
            CheckedFile::Inside,
        ));
    }
    Ok(files)
}

/// The paths of the files in the workspace, for the question `id`; those from elsewhere are copied.
///
/// # Errors
/// If a copy cannot be written.
pub(crate) fn keep(workspace: &Workspace, id: &Id, files: Vec<CheckedFile>) -> Result<Vec<String>> {
    let kept = files.into_iter().zip(1..).map(|(file, number)| match file {
        CheckedFile::Inside(path) => Ok(path),
        CheckedFile::Outside { name, bytes } => attachments::keep(workspace, &format!("{id}-{number}-{name}"), &bytes),
    });
    kept.collect()
}

/// Refuses files beside a slash command, which no agent reads.
///
/// # Errors
/// `Usage` if there are both.
pub(crate) fn refuse_with_command(paths: &[PathBuf]) -> Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    Err(Fault::new(Kind::Usage, "no agent reads a slash command, so it has no files").hint("omit -f"))
}
