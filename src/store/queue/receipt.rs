//! Receipts: `outbox/done/<day>/<id>.receipt`, one line per part that the channel has accepted, synced before anything
//! relies on it.

use crate::core::event::Event;
use crate::core::fault::Result;
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::Mailbox;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

/// The receipt of one outgoing event.
#[derive(Debug)]
pub struct Receipt<'w> {
    workspace: &'w Workspace,
    path: PathBuf,
    /// The lines that are durable.
    pub lines: Vec<String>,
}

impl<'w> Receipt<'w> {
    /// Reads the receipt of `event`; a missing one has no lines.
    ///
    /// # Errors
    /// If the file cannot be read or synced.
    pub fn open(workspace: &'w Workspace, event: &Event) -> Result<Self> {
        let path = Mailbox::Outbox.receipt(workspace, &event.id);
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
            other => other.at("read", &path)?,
        };
        // A torn last line was not synced, so nothing has relied on it.
        let whole = text.rfind('\n').map_or(0, |n| n + 1);
        if whole > 0 {
            // Its writer may have been killed before it synced it.
            durable::sync_file(&path, workspace.sync()?)?;
        }
        Ok(Self { workspace, path, lines: text[..whole].lines().map(ToOwned::to_owned).collect() })
    }

    /// Appends a line, durable on return.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn push(&mut self, line: &str) -> Result<()> {
        let sync = self.workspace.sync()?;
        let is_named = !self.lines.is_empty();
        if !is_named {
            self.workspace.make_dir(self.path.parent().unwrap_or(&self.path), 1)?;
        }
        let line = line.replace('\n', " ");
        durable::append(&self.path, format!("{line}\n").as_bytes(), is_named, sync)?;
        self.lines.push(line);
        Ok(())
    }
}
