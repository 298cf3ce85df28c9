//! Channels deliver outgoing events, and some receive. A channel's type is one file or folder here and one row in
//! `CHANNELS`; everything else that depends on it (delivery, listening, `claw check`, the prompt's channel layer) reads
//! the row. `examples/channels/log.diff` adds a type.
//!
//! The part of an address before the colon is the channel's name. `cli`, `file` and `exec` are names of their own type;
//! every other name is a key below `channels` in `claw.yaml`, with the type in its settings.

pub mod accept;
mod cli;
mod exec;
mod file;
pub mod listening;
pub mod outgoing;
pub mod parts;
mod telegram;
pub mod web;

use crate::core::channel::settings::ChannelSettings;
use crate::core::config::{Config, FILE};
use crate::core::event::Event;
use crate::core::event::address::Address;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::problem::{Problem, locate, nearest};
use crate::store::lock::Lane;
use crate::store::queue::receipt::Receipt;
use crate::store::workspace::Workspace;
use listening::Listening;
use outgoing::Outgoing;

/// Name of the terminal's channel. Its events are printed only by a command that asks for them.
pub const CLI: &str = "cli";

/// The row of a channel's type.
struct Channel {
    /// The type's name.
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
    /// How it receives; `None` if it only delivers.
    listen: Option<Listener>,
}

/// How a type of channel receives.
pub struct Listener {
    /// Receives until `stop` of its argument is readable: publishes messages through [`Listening::accept`], and
    /// acknowledges each after that. A fault ends the listener's process with its exit code.
    pub run: fn(&Listening) -> Result<()>,
    /// Whether only the listener can deliver, because that needs its connection: then it takes from
    /// [`Listening::outgoing`].
    pub delivers: bool,
    /// The account at the other side. Pairings are bound to it. Reads no network.
    pub account: fn(&Workspace, &str, &ChannelSettings) -> Result<String>,
    /// The text that an owner passes on to a person that is invited with this code.
    pub invitation: fn(&Workspace, &str, &ChannelSettings, &str) -> String,
}

const CHANNELS: &[Channel] = &[cli::CHANNEL, file::CHANNEL, exec::CHANNEL, telegram::CHANNEL, web::CHANNEL];

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
    /// The connection, in the process of the channel's listener.
    pub outgoing: Option<&'a Outgoing>,
    /// Prints an event on the terminal.
    pub print: &'a (dyn Fn(&Event) -> Result<()> + Sync),
}

/// The row of a type.
fn row(kind: &str) -> Option<&'static Channel> {
    CHANNELS.iter().find(|channel| channel.name == kind)
}

/// The row of a channel by its name.
fn find(config: &Config, name: &str) -> Option<&'static Channel> {
    match config.channels.get(name) {
        Some((_, kind)) => row(kind),
        // The other types need settings.
        None => row(name).filter(|_| BUILT_IN.contains(&name)),
    }
}

/// The names that need no settings.
const BUILT_IN: [&str; 3] = [CLI, "file", "exec"];

/// Whether the channel `name` needs no settings.
#[must_use]
pub fn is_built_in(name: &str) -> bool {
    BUILT_IN.contains(&name)
}

/// Delivers the event through the channel of its `reply_to`, and adds to its receipt.
///
/// # Errors
/// `Data` for an unknown channel; otherwise the channel's fault, temporary or permanent by its kind.
pub fn send(delivery: &mut Delivery) -> Result<()> {
    let (config, name) = (delivery.workspace.config()?, delivery.event.reply_to.channel());
    let channel = find(&config, name).ok_or_else(|| unknown(&config, name))?;
    (channel.send)(delivery)
}

/// Whether an event was delivered, by its receipt.
#[must_use]
pub fn is_sent(workspace: &Workspace, event: &Event, receipt: &Receipt) -> bool {
    let config = workspace.config().ok();
    let channel = config.and_then(|config| find(&config, event.reply_to.channel()));
    channel.is_some_and(|channel| (channel.is_sent)(workspace, event, receipt))
}

/// The names of all channels with these settings.
#[must_use]
pub fn names(config: &Config) -> Vec<&str> {
    BUILT_IN.into_iter().chain(config.channels.named.keys().map(String::as_str)).collect()
}

/// The names of the channels that receive.
#[must_use]
pub fn listening_names(config: &Config) -> Vec<String> {
    config.channels.named.keys().filter(|name| listener(config, name).is_some()).cloned().collect()
}

/// How the channel `name` receives; `None` if it does not.
#[must_use]
pub fn listener(config: &Config, name: &str) -> Option<&'static Listener> {
    find(config, name)?.listen.as_ref().filter(|_| config.channels.get(name).is_some())
}

/// The account of the channel `name`, to which pairings are bound.
///
/// # Errors
/// `Config` if the channel does not receive, or its account cannot be read.
pub fn account(workspace: &Workspace, name: &str) -> Result<String> {
    let config = workspace.config()?;
    match (config.channels.get(name), listener(&config, name)) {
        (Some((settings, _)), Some(listener)) => match &settings.account {
            Some(account) => Ok(account.clone()),
            None => (listener.account)(workspace, name, settings),
        },
        _ => Err(Fault::config(format!("channel `{name}` does not receive messages"))),
    }
}

/// Asks the service of a type of channel for the account of a token, for a channel `name` that is being set up. Returns
/// the account's name for people.
///
/// # Errors
/// `Usage` for a type without tokens; `Config` for a token that is malformed or refused; `Unavailable`.
pub fn identify(
    workspace: &Workspace,
    (name, kind): (&str, &str),
    base_url: Option<&str>,
    token: &str,
) -> Result<String> {
    match kind {
        telegram::KIND => telegram::identify(workspace, name, base_url, token),
        _ => Err(Fault::new(Kind::Usage, format!("channels of type `{kind}` have no token"))),
    }
}

/// The folders below `outbox/` that channels write.
pub fn folders() -> impl Iterator<Item = &'static str> {
    CHANNELS.iter().filter_map(|channel| channel.folder)
}

/// The fault for a channel name that does not exist, with the nearest name or all names as its hint.
#[must_use]
pub fn unknown(config: &Config, name: &str) -> Fault {
    let fault = Fault::data(format!("there is no channel `{name}`"));
    let names = names(config);
    match nearest(name, names.iter().copied()) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None if row(name).is_some() => fault.hint(format!("set it up under channels.{name} in claw.yaml")),
        None => fault.hint(format!("there are: {}", names.join(", "))),
    }
}

/// The sentence of the prompt's channel layer for answers to `address`; `None` for an unknown channel.
#[must_use]
pub fn hint(config: &Config, address: &Address) -> Option<&'static str> {
    find(config, address.channel()).map(|channel| channel.hint)
}

/// Checks that `address` can be delivered to with the workspace's settings.
///
/// # Errors
/// `Data` for an unknown channel or a destination that the channel does not have; `Config` for bad settings.
pub fn check(workspace: &Workspace, address: &Address) -> Result<()> {
    let (config, name) = (workspace.config()?, address.channel());
    let channel = find(&config, name).ok_or_else(|| unknown(&config, name))?;
    (channel.check)(workspace, address)
}

/// Problems of all channels' settings, with their places in `text`, which is `claw.yaml`.
#[must_use]
pub fn problems(config: &Config, text: &str) -> Vec<Problem> {
    let unknown = config.channels.named.iter().filter_map(|(name, settings)| {
        let kind = settings.kind_of(name);
        let kinds = || {
            CHANNELS.iter().filter(|row| row.listen.is_some() && ![CLI, "file"].contains(&row.name)).map(|row| row.name)
        };
        let key = format!("channels.{name}");
        row(kind).is_none_or(|row| row.listen.is_none()).then(|| match nearest(kind, kinds()) {
            Some(near) => (key.clone(), format!("{key}: there is no type `{kind}`; did you mean `{near}`?")),
            None => (
                key.clone(),
                format!("{key}: there is no type `{kind}`; the types are {}", kinds().collect::<Vec<_>>().join(", ")),
            ),
        })
    });
    let found = CHANNELS.iter().flat_map(|channel| (channel.problems)(config)).chain(unknown);
    found.map(|(key, message)| Problem::error(FILE, message).at(locate(text, &key))).collect()
}
