//! Fetching the files of a message, before its event is published. They are fetched only for a sender that may talk.

use crate::channel::accept;
use crate::channel::listening::Listening;
use crate::channel::telegram::api::{Api, CallFault};
use crate::core::channel::inbound::Inbound;
use crate::core::event::address::safe_name;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::telegram::update::RemoteFile;
use crate::core::text::base32::hash32;
use crate::store::agent::attachments;
use serde_json::json;
use std::time::{Duration, Instant};

/// The longest time for all files of a message.
const LIMIT: Duration = Duration::from_secs(30);
/// The largest file in bytes: the Bot API offers no larger ones.
const MAX: u64 = 20 << 20;
/// The most files of a message.
const MOST: usize = 10;

/// Fetches the files and attaches them. A file that cannot be fetched is named in the text, with the reason.
pub(super) fn attach(listening: &Listening, api: &Api, inbound: &mut Inbound, files: &[RemoteFile]) -> Result<()> {
    if !accept::may_talk(listening.workspace, listening.name, inbound)? {
        return Ok(());
    }
    let end = Instant::now() + LIMIT;
    for (n, file) in files.iter().enumerate().take(MOST) {
        match fetch(api, file, end) {
            Ok(bytes) => {
                // The numbers of messages are those of a chat: two chats have the same ones.
                let message = hash32(&inbound.key(), 8);
                let name =
                    format!("{}-{}-{message}-{n}-{}", listening.name, inbound.platform_id, safe_name(&file.name, 60));
                inbound.attachments.push(attachments::keep(listening.workspace, &name, &bytes)?);
            }
            Err(fault) => {
                let note = format!("[the file {} was not fetched: {}]", file.name, fault.message);
                let text = format!("{}\n\n{note}", inbound.text.trim_end());
                text.trim_start().clone_into(&mut inbound.text);
            }
        }
    }
    Ok(())
}

fn fetch(api: &Api, file: &RemoteFile, end: Instant) -> Result<Vec<u8>> {
    let too_large = || Fault::data(format!("it has more than {} MiB", MAX >> 20));
    if file.size.is_some_and(|size| size > MAX) {
        return Err(too_large());
    }
    let rest = || end.saturating_duration_since(Instant::now());
    let found = api.call("getFile", &json!({"file_id": file.id}), rest(), None).map_err(|fault| match fault {
        CallFault::Refused(refused) => Fault::new(Kind::Failed, refused.description),
        CallFault::Unsent(fault) | CallFault::Unknown(fault) => fault,
    })?;
    // The path comes from the service, and becomes part of a URL with the token.
    let is_plain = |path: &&str| {
        !path.split('/').any(|part| matches!(part, "" | "." | ".."))
            && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
    };
    let Some(path) = found["file_path"].as_str().filter(is_plain) else {
        return Err(Fault::data("the service gave no path for it"));
    };
    let bytes = api.download(path, usize::try_from(MAX).unwrap_or(usize::MAX), rest())?;
    match file.size {
        Some(size) if size != bytes.len() as u64 => {
            Err(Fault::data(format!("{} of {size} bytes have come", bytes.len())))
        }
        _ => Ok(bytes),
    }
}
