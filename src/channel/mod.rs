//! Channels: the last hop. A channel takes one outgoing event to its destination, or says why not
//! and whether trying again can help. A channel is one file and one line in the table.

mod cli;
mod exec;
mod file;

use crate::core::event::Event;
use crate::core::fault::{Fault, Result};
use crate::core::text::problem::nearest;
use crate::store::lock::Lane;
use crate::store::queue::receipt::Receipt;
use crate::store::workspace::Workspace;

/// The channel of the terminal: printed only by whoever asked to.
pub const CLI: &str = "cli";

/// One event on its last hop.
pub struct Delivery<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// What is delivered.
    pub event: &'a Event,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What the other side has taken so far.
    pub receipt: Receipt<'a>,
    /// The destination's lane, for programs that are run.
    pub lane: &'a Lane,
    /// Prints for the terminal.
    pub print: &'a (dyn Fn(&Event) -> Result<()> + Sync),
}

type Send = fn(&mut Delivery) -> Result<()>;

const CHANNELS: &[(&str, Send)] = &[(CLI, cli::send), ("file", file::send), ("exec", exec::send)];

/// Delivers. What the other side gave as a receipt is in the parcel's afterwards.
///
/// # Errors
/// Temporary or for good, as the fault's kind says.
pub fn send(delivery: &mut Delivery) -> Result<()> {
    let name = delivery.event.reply_to.channel();
    let known = CHANNELS.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| Err(unknown(name)), |(_, send)| send(delivery))
}

/// The channels there are.
pub fn names() -> impl Iterator<Item = &'static str> {
    CHANNELS.iter().map(|(name, _)| *name)
}

/// That there is no such channel, with a guess.
#[must_use]
pub fn unknown(name: &str) -> Fault {
    let fault = Fault::data(format!("there is no channel `{name}`"));
    match nearest(name, names()) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint(format!("there are: {}", names().collect::<Vec<_>>().join(", "))),
    }
}

/// Whether `address` can be delivered to as this workspace is set up.
///
/// # Errors
/// What is wrong with it.
pub fn check(workspace: &Workspace, address: &crate::core::event::address::Address) -> Result<()> {
    match address.channel() {
        CLI => Ok(()),
        "file" => file::check(address),
        "exec" => exec::configured(workspace, address).map(|_| ()),
        other => Err(unknown(other)),
    }
}
