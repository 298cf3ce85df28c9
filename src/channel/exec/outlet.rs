//! Sending through a channel's running program. The thread that delivers hands the message to the listener and writes
//! the receipt: `begun` before, the result after.

use super::{BEGUN, HELD, NOT_SENT, is_sent, is_unknown};
use crate::channel::Delivery;
use crate::channel::outgoing::{OutgoingMessage, SendResult};
use crate::core::channel::settings::{ChannelSettings, UnknownDelivery};
use crate::core::fault::{Fault, Kind, Result};
use crate::store::workspace::Workspace;

pub(super) fn send(delivery: &mut Delivery) -> Result<()> {
    let event = delivery.event;
    let name = event.reply_to.channel();
    let settings = settings(delivery.workspace, name)?;
    if is_sent(&delivery.receipt) {
        // The worker died between the receipt and the move.
        return Ok(());
    }
    let Some(outgoing) = delivery.outgoing else {
        return Err(Fault::new(Kind::Later, format!("the listener of channel `{name}` delivers it"))
            .hint(format!("claw listen {name}")));
    };
    let maybe_repeated = is_unknown(&delivery.receipt);
    let is_held = delivery.receipt.lines.last().is_some_and(|line| line == HELD);
    if maybe_repeated && !is_held && settings.unknown == UnknownDelivery::Hold {
        // The next attempt is one that the owner has asked for.
        delivery.receipt.push(HELD)?;
        let why = "it may have been sent: the program ended before it answered (`unknown: hold`)";
        return Err(Fault::new(Kind::Failed, why).hint("`claw retry` sends it again"));
    }
    delivery.receipt.push(BEGUN)?;
    let message = OutgoingMessage {
        id: event.id.to_string(),
        to: event.reply_to.rest().to_owned(),
        text: event.content.clone(),
        attempt: delivery.attempt,
        maybe_repeated,
    };
    // A message that was unknown before this attempt stays so.
    let not_sent = if maybe_repeated { HELD } else { NOT_SENT };
    match outgoing.exchange(message, settings.send_timeout()) {
        SendResult::Sent(receipt) if receipt.is_empty() => delivery.receipt.push("sent"),
        SendResult::Sent(receipt) => delivery.receipt.push(&format!("sent {receipt}")),
        SendResult::Failed { why, after } => {
            delivery.receipt.push(not_sent)?;
            let kind = if after.is_some() { Kind::Later } else { Kind::Failed };
            Err(Fault::new(kind, format!("{}: {why}", event.reply_to)).after(after.filter(|seconds| *seconds > 0)))
        }
        SendResult::Unsent => {
            delivery.receipt.push(not_sent)?;
            Err(Fault::new(Kind::Later, format!("the program of channel `{name}` has ended before it could be sent")))
        }
        SendResult::Unknown => {
            let why = format!("the program of channel `{name}` has not reported whether it was sent");
            Err(Fault::new(Kind::Unavailable, why))
        }
    }
}

/// The settings of a channel with a program.
///
/// # Errors
/// `Data` if it is missing or has no command.
pub(super) fn settings(workspace: &Workspace, name: &str) -> Result<ChannelSettings> {
    let config = workspace.config()?;
    match config.channels.named.get(name) {
        Some(settings) if !settings.command.is_empty() => Ok(settings.clone()),
        Some(_) => Err(Fault::data(no_command(name))),
        None => Err(Fault::data(format!("claw.yaml has no channel `{name}`"))),
    }
}

pub(super) fn no_command(name: &str) -> String {
    format!("channels.{name} has no `command`")
}
