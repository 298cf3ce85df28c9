//! `exec:NAME`: the program of `channels.exec.NAME`. The event is on its stdin as one line of JSON;
//! `CLAW_EVENT_ID`, `CLAW_ATTEMPT` and `CLAW_MAYBE_REPEATED` (0 or 1) are in its environment.
//!
//! Exit 0 means sent, and its stdout is the receipt; 75 means try again later; any other exit is permanent.
//! `begun` is synced into the receipt before the program starts, so that a second run knows that the first may
//! have sent.

use crate::channel::{Channel, Delivery};
use crate::core::channel::settings::Exec;
use crate::core::event::address::Address;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::problem::nearest;
use crate::process::{self, Invocation};
use crate::store::queue::receipt::Receipt;
use crate::store::workspace::Workspace;
use crate::store::workspace::programs;
use std::time::Duration;

pub(super) const CHANNEL: Channel = Channel {
    name: "exec",
    send,
    is_sent: |_, _, receipt| is_sent(receipt),
    check: |workspace, address| settings(workspace, address).map(|_| ()),
    problems: |config| {
        let broken = config.channels.exec.iter().filter(|(_, exec)| exec.command.is_empty());
        broken.map(|(name, _)| (format!("channels.exec.{name}"), no_command(name))).collect()
    },
    hint: "Your answer is passed to a program that delivers it as plain text.",
    folder: None,
    listen: None,
};

/// Receipt line: the program is about to be run.
const BEGUN: &str = "begun";
/// Receipt line: the program was run and reported that it has not sent.
const NOT_SENT: &str = "not sent";

fn send(delivery: &mut Delivery) -> Result<()> {
    let event = delivery.event;
    let exec = settings(delivery.workspace, &event.reply_to)?;
    if !delivery.workspace.is_trusted {
        return Err(Fault::config(format!("{} is not run: this workspace is not trusted", event.reply_to))
            .hint("run `claw trust` in it"));
    }
    if is_sent(&delivery.receipt) {
        // The worker died between the receipt and the move.
        return Ok(());
    }
    programs::check(delivery.workspace, &exec.command)?;
    let count = |text: &str| delivery.receipt.lines.iter().filter(|line| *line == text).count();
    let (begun, not_sent) = (count(BEGUN), count(NOT_SENT));
    delivery.receipt.push(BEGUN)?;
    let ended = process::run(Invocation {
        command: &exec.command,
        dir: &delivery.workspace.root,
        env: &[
            ("CLAW_EVENT_ID", event.id.to_string()),
            ("CLAW_ATTEMPT", delivery.attempt.to_string()),
            // An earlier run has begun and did not report that it has not sent.
            ("CLAW_MAYBE_REPEATED", u8::from(begun > not_sent).to_string()),
        ],
        inherits: true,
        sandbox: None,
        input: (event.to_json()? + "\n").into_bytes(),
        timeout: exec.timeout.and_then(|d| Duration::try_from(d).ok()).unwrap_or(Duration::from_mins(1)),
        max_output: 64 << 10,
        locks: delivery.lane.share()?,
        stop: None,
    })?
    .completed()?;
    if ended.code == 0 {
        let printed = String::from_utf8_lossy(&ended.stdout);
        let printed = printed.trim();
        return delivery.receipt.push(&if printed.is_empty() { "sent".to_owned() } else { format!("sent {printed}") });
    }
    delivery.receipt.push(NOT_SENT)?;
    let message = format!("{}: exit {}: {}", event.reply_to, ended.code, ended.last_error_line());
    Err(Fault::new(if ended.code == 75 { Kind::Later } else { Kind::Failed }, message))
}

fn is_sent(receipt: &Receipt) -> bool {
    receipt.lines.iter().any(|line| line != BEGUN && line != NOT_SENT)
}

/// The settings of the address in `channels.exec`.
///
/// # Errors
/// `Data` where they are missing or have no command.
fn settings(workspace: &Workspace, address: &Address) -> Result<Exec> {
    let config = workspace.config()?;
    let programs = &config.channels.exec;
    let name = address.rest();
    match programs.get(name) {
        Some(exec) if !exec.command.is_empty() => Ok(exec.clone()),
        Some(_) => Err(Fault::data(no_command(name))),
        None => {
            let fault = Fault::data(format!("channels.exec has no `{name}`"));
            match nearest(name, programs.keys().map(String::as_str)) {
                Some(near) => Err(fault.hint(format!("did you mean `{near}`?"))),
                None => Err(fault.hint("add its program to channels.exec in claw.yaml")),
            }
        }
    }
}

fn no_command(name: &str) -> String {
    format!("channels.exec.{name} has no `command`")
}
