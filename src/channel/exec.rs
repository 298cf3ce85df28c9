//! `exec:NAME`: the program of `channels.exec.NAME`. The event is on its stdin;
//! `CLAW_EVENT_ID`, `CLAW_ATTEMPT` and `CLAW_MAYBE_REPEATED` (0 or 1) are in its environment.
//! Exit 0 is sent (what it printed is the receipt), 75 is later, all others are for good. That it is
//! about to be run is synced first, so that a second run knows that the first may have sent.

use crate::channel::Delivery;
use crate::core::config::Exec;
use crate::core::event::address::Address;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::problem::nearest;
use crate::process::{self, Invocation};
use crate::store::workspace::Workspace;
use std::time::Duration;

/// In the receipt: the program is about to be run.
const BEGUN: &str = "begun";
/// In the receipt: it was run, and said that it has not sent.
const NOT_SENT: &str = "not sent";

pub(super) fn send(delivery: &mut Delivery) -> Result<()> {
    let event = delivery.event;
    let exec = configured(delivery.workspace, &event.reply_to)?;
    if !delivery.workspace.is_trusted {
        return Err(Fault::config(format!("{} is not run: this workspace is not trusted", event.reply_to))
            .hint("say `claw trust` in it"));
    }
    let count = |what: &str| delivery.receipt.lines.iter().filter(|line| *line == what).count();
    let (begun, not_sent) = (count(BEGUN), count(NOT_SENT));
    if begun + not_sent < delivery.receipt.lines.len() {
        // Sent; its worker died between the receipt and the move.
        return Ok(());
    }
    delivery.receipt.push(BEGUN)?;
    let ended = process::run(Invocation {
        command: &exec.command,
        dir: &delivery.workspace.root,
        env: &[
            ("CLAW_EVENT_ID", event.id.to_string()),
            ("CLAW_ATTEMPT", delivery.attempt.to_string()),
            // Begun more often than it has said no.
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
    let said = format!("{}: exit {}: {}", event.reply_to, ended.code, ended.last_error_line());
    Err(Fault::new(if ended.code == 75 { Kind::Later } else { Kind::Failed }, said))
}

/// What `channels.exec` says about this address.
pub(super) fn configured(workspace: &Workspace, address: &Address) -> Result<Exec> {
    let config = workspace.config()?;
    let known = &config.channels.exec;
    let name = address.rest();
    match known.get(name) {
        Some(exec) if !exec.command.is_empty() => Ok(exec.clone()),
        Some(_) => Err(Fault::data(format!("channels.exec.{name} has no `command`"))),
        None => {
            let fault = Fault::data(format!("channels.exec has no `{name}`"));
            match nearest(name, known.keys().map(String::as_str)) {
                Some(near) => Err(fault.hint(format!("did you mean `{near}`?"))),
                None => Err(fault.hint("name its program there, in claw.yaml")),
            }
        }
    }
}
