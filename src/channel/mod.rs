//! Channels deliver outgoing events. A channel is one file or folder here and one row in `CHANNELS`; everything
//! else that depends on a channel's name (delivery, `claw check`, the prompt's channel layer) reads the row.
//! `examples/channels/log.diff` adds a channel.
//!
//! A channel that also receives gets one more field in its row, `listen: Option<fn(&Workspace, BorrowedFd) ->
//! Result<()>>`: it publishes incoming events into the inbox until the descriptor becomes readable. No channel
//! receives yet, so the field is not there.

mod cli;
mod exec;
mod file;

use crate::core::config::{Config, FILE};
use crate::core::event::Event;
use crate::core::event::address::Address;
use crate::core::fault::{Fault, Result};
use crate::core::text::problem::{Problem, locate, nearest};
use crate::store::lock::Lane;
use crate::store::queue::receipt::Receipt;
use crate::store::workspace::Workspace;

/// Name of the terminal's channel. Its events are printed only by a command that asks for them.
pub const CLI: &str = "cli";

/// A channel's row.
struct Channel {
    /// The part of an address before the colon.
    name: &'static str,
    /// Delivers one event. The kind of a fault decides whether delivery is tried again.
    send: fn(&mut Delivery) -> Result<()>,
    /// Whether a receipt says that the event was delivered.
    is_sent: fn(&Workspace, &Event, &Receipt) -> bool,
    /// Reports whether an address of this channel can be delivered to with the current settings.
    check: fn(&Workspace, &Address) -> Result<()>,
    /// Problems of the channel's settings: the key in `claw.yaml`, and the message.
    problems: fn(&Config) -> Vec<(String, String)>,
    /// The sentence of the prompt's channel layer: how the reader sees the answer.
    hint: &'static str,
    /// The folder below `outbox/` that belongs to the channel; `claw check` does not report it as a stray.
    folder: Option<&'static str>,
}

const CHANNELS: &[Channel] = &[cli::CHANNEL, file::CHANNEL, exec::CHANNEL];

/// One event and everything that is needed to deliver it.
pub struct Delivery<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// The event to deliver.
    pub event: &'a Event,
    /// Number of this attempt, from 1.
    pub attempt: u32,
    /// The event's receipt: the parts that earlier attempts have delivered. A channel adds lines to it.
    pub receipt: Receipt<'a>,
    /// The destination's lane. A program that a channel runs inherits its lock.
    pub lane: &'a Lane,
    /// Prints an event on the terminal.
    pub print: &'a (dyn Fn(&Event) -> Result<()> + Sync),
}

fn find(name: &str) -> Option<&'static Channel> {
    CHANNELS.iter().find(|channel| channel.name == name)
}

/// Delivers the event through the channel of its `reply_to`, and adds to its receipt.
///
/// # Errors
/// `Data` for an unknown channel; otherwise the channel's fault, temporary or permanent by its kind.
pub fn send(delivery: &mut Delivery) -> Result<()> {
    let name = delivery.event.reply_to.channel();
    let channel = find(name).ok_or_else(|| unknown(name))?;
    (channel.send)(delivery)
}

/// Whether an event was delivered, by its receipt.
#[must_use]
pub fn is_sent(workspace: &Workspace, event: &Event, receipt: &Receipt) -> bool {
    find(event.reply_to.channel()).is_some_and(|channel| (channel.is_sent)(workspace, event, receipt))
}

/// The names of all channels.
pub fn names() -> impl Iterator<Item = &'static str> {
    CHANNELS.iter().map(|channel| channel.name)
}

/// The folders below `outbox/` that channels write.
pub fn folders() -> impl Iterator<Item = &'static str> {
    CHANNELS.iter().filter_map(|channel| channel.folder)
}

/// The fault for a channel name that does not exist, with the nearest name or all names as its hint.
#[must_use]
pub fn unknown(name: &str) -> Fault {
    let fault = Fault::data(format!("there is no channel `{name}`"));
    match nearest(name, names()) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint(format!("there are: {}", names().collect::<Vec<_>>().join(", "))),
    }
}

/// The sentence of the prompt's channel layer for answers to `address`; `None` for an unknown channel.
#[must_use]
pub fn hint(address: &Address) -> Option<&'static str> {
    find(address.channel()).map(|channel| channel.hint)
}

/// Checks that `address` can be delivered to with the workspace's settings.
///
/// # Errors
/// `Data` for an unknown channel or a destination that the channel does not have; `Config` for bad settings.
pub fn check(workspace: &Workspace, address: &Address) -> Result<()> {
    let name = address.channel();
    let channel = find(name).ok_or_else(|| unknown(name))?;
    (channel.check)(workspace, address)
}

/// Problems of all channels' settings, with their places in `text`, which is `claw.yaml`.
#[must_use]
pub fn problems(config: &Config, text: &str) -> Vec<Problem> {
    let found = CHANNELS.iter().flat_map(|channel| (channel.problems)(config));
    found.map(|(key, message)| Problem::error(FILE, message).at(locate(text, &key))).collect()
}
