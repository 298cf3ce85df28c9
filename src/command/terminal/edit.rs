//! Texts in the user's editor.

use crate::core::fault::Result;
use crate::process::interactive;
use crate::store::fs::At;
use crate::store::workspace::Workspace;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// The folder of drafts, in the workspace.
const FOLDER: &str = ".claw/edit";

/// A text that is being edited. Its file stays until [`Draft::discard`], so that no work is lost if it is invalid.
#[derive(Debug)]
pub(crate) struct EditorDraft {
    path: PathBuf,
    /// The text as the editor has left it.
    pub(crate) text: String,
}

impl EditorDraft {
    /// Opens the editor (`VISUAL`, else `EDITOR`, else vi) on the draft called `name`. A new draft has the text `initial`.
    ///
    /// # Errors
    /// `Failed` if the editor fails; those of the file system. A draft that is unchanged is removed.
    pub(crate) fn edit(workspace: &Workspace, name: &str, initial: &str) -> Result<Self> {
        use std::io::Write;
        let dir = workspace.path(FOLDER);
        fs::create_dir_all(&dir).at("make", &dir)?;
        let path = dir.join(name);
        match fs::File::options().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => file.write_all(initial.as_bytes()).at("write", &path)?,
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e).at("make", &path),
        }
        let program = workspace.world.var("VISUAL").or_else(|| workspace.world.var("EDITOR")).unwrap_or("vi");
        let edited = interactive::edit(program, &path);
        let text = fs::read_to_string(&path).at("read", &path).unwrap_or_else(|_| initial.to_owned());
        let draft = Self { path, text };
        if draft.text == initial {
            draft.discard();
        }
        edited.map(|()| draft)
    }

    /// The path of the draft, to be shown.
    pub(crate) fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// Removes the draft.
    pub(crate) fn discard(&self) {
        let _ = fs::remove_file(&self.path);
    }
}
