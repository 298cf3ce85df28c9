//! `exec:NAME`: the program of `channels.exec.NAME`, run once for each message. The event is on its stdin as one line of JSON;
//! `CLAW_EVENT_ID`, `CLAW_ATTEMPT` and `CLAW_MAYBE_REPEATED` (0 or 1) are in its environment.
//!
//! Exit 0 means sent, and its stdout is the receipt; 75 means try again later; any other exit is permanent.
//! `begun` is synced into the receipt before the program starts, so that a second run knows that the first may
//! have sent.

use super::{BEGUN, NOT_SENT, is_sent};
use crate::channel::Delivery;
use crate::core::channel::settings::Exec;
use crate::core::event::address::Address;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::problem::nearest;
use crate::process::{self, Invocation};
use crate::store::workspace::Workspace;
use crate::store::workspace::{program_env, programs};
use std::time::Duration;

pub(super) fn send(delivery: &mut Delivery) -> Result<()> {
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
    let (inherits, env) = program_env::of(&delivery.workspace.world, &exec.env);
    let ended = process::run(Invocation {
        command: &exec.command,
        dir: &delivery.workspace.root,
        env: &env
            .into_iter()
            .chain([
                ("CLAW_WORKSPACE", delivery.workspace.root.display().to_string()),
                ("CLAW_EVENT_ID", event.id.to_string()),
                ("CLAW_ATTEMPT", delivery.attempt.to_string()),
                // An earlier run has begun and did not report that it has not sent.
                ("CLAW_MAYBE_REPEATED", u8::from(begun > not_sent).to_string()),
            ])
            .collect::<Vec<_>>(),
        inherits,
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

/// The settings of the address in `channels.exec`.
///
/// # Errors
/// `Data` where they are missing or have no command.
pub(super) fn settings(workspace: &Workspace, address: &Address) -> Result<Exec> {
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

pub(super) fn no_command(name: &str) -> String {
    format!("channels.exec.{name} has no `command`")
}
