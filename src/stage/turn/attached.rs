//! The files of a turn's messages. Texts become a part of the event's text before the turn begins, so that they are
//! counted, logged and compacted like it; images and documents are read again for every request.

use crate::core::base64;
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::event::Event;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::Message;
use crate::core::model::attachment::{Attachment, AttachmentRoom, Content};
use crate::core::text::data_mark;
use crate::provider;
use crate::store::agent::attachments;
use crate::store::agent::definitions;
use crate::store::agent::secrets::Secrets;
use crate::store::workspace::Workspace;

/// The event with its files in its text: those of text whole, as data, the others by their paths. A file that cannot be
/// read stays attached, and fails the request. Secrets in a text are hidden, as in the results of the tools of `agent`.
pub(crate) fn described(workspace: &Workspace, agent: &str, mut event: Event) -> Event {
    for path in std::mem::take(&mut event.attachments) {
        let text = match attachments::read(workspace, &path) {
            Ok(file) if file.content == Content::Text => {
                let agent = definitions::agent(workspace, agent).unwrap_or_default();
                let secrets = Secrets::of(workspace, &agent).ok();
                secrets.and_then(|secrets| Some(secrets.hide(String::from_utf8(file.bytes).ok()?)))
            }
            _ => None,
        };
        event.content += "\n\n";
        if let Some(text) = text {
            // The same mark at every attempt. Its author would have to find a text that contains its own hash.
            let hash = blake3::hash(format!("{}\n{path}\n{text}", event.id).as_bytes());
            let random = hash.as_bytes().iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte));
            event.content += &data_mark::mark(&path, &text, random);
        } else {
            event.content += &format!("[attached: {}]", path.escape_debug());
            event.attachments.push(path);
        }
    }
    event
}

/// Reads the files of all messages, the newest first. A file of an earlier message that cannot be sent any more is left
/// out, with a note in its message.
///
/// # Errors
/// `Data` if a file of the last message cannot be sent to this model; `Machine` if the disk fails.
pub(crate) fn load(workspace: &Workspace, chosen: &ResolvedModel, messages: &mut [Message]) -> Result<()> {
    let mut room = AttachmentRoom::default();
    let mut is_last = true;
    for message in messages.iter_mut().rev() {
        let Message::User { content, attachments, .. } = message else { continue };
        for mut file in std::mem::take(attachments) {
            match read(workspace, chosen, &mut room, &mut file) {
                Ok(()) => attachments.push(file),
                Err(fault) if is_last || fault.kind == Kind::Machine => return Err(fault),
                Err(fault) => *content += &format!("\n[not sent again: {}: {}]", file.name(), fault.message),
            }
        }
        is_last = false;
    }
    Ok(())
}

fn read(workspace: &Workspace, chosen: &ResolvedModel, room: &mut AttachmentRoom, file: &mut Attachment) -> Result<()> {
    let found = attachments::read(workspace, &file.path)?;
    let Content::Media(media) = found.content else {
        let changed = format!("attachment {} has become a text", file.path.escape_debug());
        return Err(Fault::data(changed).hint("attach it again"));
    };
    provider::check_media(chosen, media)?;
    room.take(found.bytes.len() as u64)?;
    (file.media, file.data) = (Some(media), base64::padded(&found.bytes));
    Ok(())
}
