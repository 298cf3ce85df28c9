//! The commands that only a chat has: `/edit`, `/model`, `/retry`, `/copy`, `/session NAME`.

use super::Chat;
use crate::command::terminal::attachments::CheckedFile;
use crate::command::terminal::edit::EditorDraft;
use crate::command::terminal::out;
use crate::core::base64;
use crate::core::config::OFFLINE;
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::event::{EventKind, session_name};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::session::record::Record;
use crate::core::session::transcript::{Transcript, TranscriptItem, one_line};
use crate::core::slash::chat_command::{self, ChatCommand};
use crate::store::agent::definitions;
use crate::store::session::{self, log};

/// A message and its files, relative to the workspace.
type LastMessage = (String, Vec<String>);

impl Chat<'_> {
    /// The model called `name`, or the one that answers by default.
    pub(super) fn chosen(&self, name: Option<&str>) -> Result<ResolvedModel> {
        let agent = definitions::agent(self.workspace, &self.agent)?;
        self.workspace.config()?.resolve_model(&agent, name)
    }

    /// Runs a command of the chat itself.
    pub(super) fn command(&mut self, command: ChatCommand) -> Result<()> {
        match command {
            ChatCommand::Edit(text) => {
                if !self.is_typed {
                    return Err(Fault::new(Kind::Usage, "/edit needs a terminal"));
                }
                let draft = EditorDraft::edit(self.workspace, "message.md", &text)?;
                draft.discard();
                match draft.text.trim() {
                    "" => out::line("The message is empty and was not sent"),
                    text if chat_command::parse(text).is_some() => {
                        Err(Fault::new(Kind::Usage, "the message is a command of the chat; type it at the prompt"))
                    }
                    text => self.turn(text),
                }
            }
            ChatCommand::Model(None) => {
                let chosen = self.chosen(self.model.as_deref())?;
                let config = self.workspace.config()?;
                let names: Vec<&str> = config.models.keys().map(String::as_str).chain([OFFLINE]).collect();
                out::line(&format!("{} answers; there are: {}", chosen.name, names.join(", ")))
            }
            ChatCommand::Model(Some(name)) => {
                let chosen = self.chosen(Some(&name))?;
                self.workspace.permit_model(&chosen)?;
                self.model = Some(name);
                out::line(&format!("{} answers from now on", chosen.name))
            }
            ChatCommand::Retry => {
                let last = self.last_exchange()?.0;
                let (text, files) = last.ok_or_else(|| Fault::new(Kind::Usage, "there is no message to send again"))?;
                out::line(&format!("Sending again: {}", one_line(&text, 200)))?;
                self.workspace.permit_model(&self.chosen(self.model.as_deref())?)?;
                self.ask(&text, files.into_iter().map(CheckedFile::Inside).collect())
            }
            ChatCommand::Copy => {
                let answer = self.last_exchange()?.1;
                let answer = answer.ok_or_else(|| Fault::new(Kind::Usage, "there is no answer to copy"))?;
                if !out::is_terminal() || self.workspace.world.var("TERM") == Some("dumb") {
                    return Err(Fault::new(Kind::Usage, "this terminal has no clipboard"));
                }
                // The terminal keeps the clipboard, also of a remote machine: OSC 52 of xterm.
                out::raw(&format!("\x1b]52;c;{}\x07", base64::padded(answer.as_bytes())))?;
                out::line(&format!("Copied {} characters", answer.chars().count()))
            }
            ChatCommand::Switch(name) => {
                let session = session::find(self.workspace, &name)?;
                let agent = definitions::agent(self.workspace, session_name::agent(&session))?.id.clone();
                out::line(&format!("{session} goes on, with {agent}"))?;
                (self.agent, self.session) = (agent, Some(session));
                Ok(())
            }
        }
    }

    /// The last message of the session, with its files, and the last answer.
    fn last_exchange(&self) -> Result<(Option<LastMessage>, Option<String>)> {
        let (mut message, mut answer) = (None, None);
        let Some(session) = &self.session else { return Ok((None, None)) };
        let mut transcript = Transcript::default();
        log::each(self.workspace, session, |record| {
            if let Record::In { event, .. } = &record
                && event.kind == EventKind::Message
            {
                message = Some((event.content.clone(), event.attachments.clone()));
            }
            for item in transcript.take(record) {
                if let TranscriptItem::Answer { text, .. } = item {
                    answer = Some(text);
                }
            }
        })?;
        Ok((message, answer))
    }
}
