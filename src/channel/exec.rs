//! `exec:NAME`: the program of `channels.exec.NAME`. The event is on its stdin;
//! `CLAW_EVENT_ID`, `CLAW_ATTEMPT` and `CLAW_MAYBE_REPEATED` (0 or 1) are in its environment.
//! Exit 0 is sent (what it printed is the receipt), 75 is later, all others are for good.

use crate::channel::Parcel;
use crate::child::{self, Program};
use crate::core::address::Address;
use crate::core::config::Exec;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::problem::nearest;
use crate::store::workspace::Workspace;
use std::time::Duration;

/// In the receipt: a worker was killed while the program ran.
const MAYBE: &str = "maybe";

pub(super) fn send(parcel: &mut Parcel) -> Result<()> {
    let event = parcel.event;
    let exec = configured(parcel.workspace, &event.reply_to)?;
    if !parcel.workspace.is_trusted {
        return Err(Fault::config(format!("{} is not run: this workspace is not trusted", event.reply_to))
            .hint("say `claw trust` in it"));
    }
    // Its last worker died between the receipt and the move.
    if parcel.receipt.lines.iter().any(|line| line != MAYBE) {
        return Ok(());
    }
    if parcel.is_maybe_repeated && parcel.receipt.lines.is_empty() {
        parcel.receipt.push(MAYBE)?;
    }
    let is_maybe_repeated = !parcel.receipt.lines.is_empty();
    let ended = child::run(Program {
        command: &exec.command,
        dir: &parcel.workspace.root,
        env: &[
            ("CLAW_EVENT_ID", event.id.to_string()),
            ("CLAW_ATTEMPT", parcel.attempt.to_string()),
            ("CLAW_MAYBE_REPEATED", u8::from(is_maybe_repeated).to_string()),
        ],
        input: (event.to_json()? + "\n").into_bytes(),
        timeout: exec.timeout.and_then(|d| Duration::try_from(d).ok()).unwrap_or(Duration::from_mins(1)),
        max_output: 64 << 10,
        lock: parcel.lane.share()?,
    })?;
    let said = format!("{}: exit {}: {}", event.reply_to, ended.code, ended.complaint);
    match ended.code {
        0 => {
            let printed = String::from_utf8_lossy(&ended.stdout);
            let printed = printed.trim();
            parcel.receipt.push(if printed.is_empty() { "exit 0" } else { printed })
        }
        75 => Err(Fault::new(Kind::Later, said)),
        _ => Err(Fault::new(Kind::Failed, said)),
    }
}

/// What `channels.exec` says about this address.
pub(super) fn configured<'w>(workspace: &'w Workspace, address: &Address) -> Result<&'w Exec> {
    let known = &workspace.config()?.channels.exec;
    let name = address.rest();
    match known.get(name) {
        Some(exec) if !exec.command.is_empty() => Ok(exec),
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
