//! Programs as channels. `exec:NAME` runs the program of `channels.exec.NAME` once for each message. A channel of type
//! `exec` has one program that runs on, receives and sends: line by line, in JSON.

mod connection;
mod once;
mod outlet;

use crate::channel::{Channel, Listener};
use crate::core::channel::settings::ChannelSettings;
use crate::core::config::Config;
use crate::core::fault::Result;
use crate::store::queue::receipt::Receipt;
use crate::store::workspace::Workspace;

pub(super) const CHANNEL: Channel = Channel {
    name: KIND,
    send: |delivery| match delivery.event.reply_to.channel() {
        KIND => once::send(delivery),
        _ => outlet::send(delivery),
    },
    is_sent: |_, _, receipt| is_sent(receipt),
    check: |workspace, address| match address.channel() {
        KIND => once::settings(workspace, address).map(drop),
        name => outlet::settings(workspace, name).map(drop),
    },
    problems,
    hint: "Your answer is passed to a program that delivers it as plain text.",
    folder: None,
    listen: Some(Listener { run: connection::run, delivers: true, account, invitation }),
};

/// The type, and the name of the map of programs that are run once for each message.
const KIND: &str = "exec";
/// Receipt line: the message is about to be passed on.
const BEGUN: &str = "begun";
/// Receipt line: the message was not sent.
const NOT_SENT: &str = "not sent";
/// Receipt line: an earlier attempt may have sent the message, and this one has not.
const HELD: &str = "held";

fn is_sent(receipt: &Receipt) -> bool {
    receipt.lines.iter().any(|line| ![BEGUN, NOT_SENT, HELD].contains(&&**line))
}

/// Whether an earlier attempt may have sent the message: it has begun, and has not reported that it has not sent.
fn is_unknown(receipt: &Receipt) -> bool {
    let count = |text: &str| receipt.lines.iter().filter(|line| *line == text).count();
    count(BEGUN) > count(NOT_SENT)
}

fn problems(config: &Config) -> Vec<(String, String)> {
    let once = config.channels.exec.iter().filter(|(_, exec)| exec.command.is_empty());
    let once = once.map(|(name, _)| (format!("channels.exec.{name}"), once::no_command(name)));
    let named = config.channels.named.iter().filter(|(name, settings)| settings.kind_of(name) == KIND);
    let named = named.filter(|(_, settings)| settings.command.is_empty());
    once.chain(named.map(|(name, _)| (format!("channels.{name}"), outlet::no_command(name)))).collect()
}

/// The program knows its account; without a setting, another command is another account.
#[expect(clippy::unnecessary_wraps, reason = "other types read a file")]
fn account(_: &Workspace, _: &str, settings: &ChannelSettings) -> Result<String> {
    Ok(settings.command.join(" "))
}

fn invitation(_: &Workspace, name: &str, _: &ChannelSettings, code: &str) -> String {
    format!("Send this code as a message on channel {name}: {code}")
}
