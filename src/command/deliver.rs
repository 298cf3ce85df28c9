//! `claw deliver [ID|PATH|-]…`

use crate::channel;
use crate::command::Here;
use crate::command::terminal::out;
use crate::core::event::Event;
use crate::core::fault::{Cause, Fault, Kind, Result};
use crate::stage::deliver::Deliver;
use crate::stage::follow;
use crate::stage::outcome::{EventOutcome, Outcome, failures, take_in};
use crate::stage::task;
use crate::stage::worker::pool;
use crate::store::workspace::mailbox::Mailbox;
use serde_json::json;

/// Deliver answers to their destinations
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this channel
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// Print JSON Lines: the events for the terminal and the receipts of other channels
    #[arg(long)]
    json: bool,
    /// Wait until these events are delivered, also by other processes. `-` reads ids from stdin
    #[arg(value_name = "ID|PATH|-")]
    ids: Vec<String>,
}

/// Delivers, and prints the events whose destination is the terminal.
///
/// # Errors
/// `Data` for an unknown channel or event; `Machine` if the machine fails; `Failed` if an answer could not be printed.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    let config = workspace.config()?;
    if let Some(name) = args.channel.as_deref().filter(|name| !channel::names(&config).contains(name)) {
        return Err(channel::unknown(&config, name));
    }
    let delivers = |name: &str| channel::listener(&config, name).is_some_and(|listener| listener.delivers);
    if let Some(name) = args.channel.as_deref().filter(|name| delivers(name)) {
        let fault = Fault::new(Kind::Usage, format!("only its listener delivers on channel `{name}`"));
        return Err(fault.hint(format!("claw listen {name} --once")));
    }
    let print = |event: &Event| {
        if args.json {
            out::json(&json!({"id": event.id, "event": event}))
        } else {
            out::content(&format!("{}\n", event.content))
        }
    };
    let work = Deliver { workspace: &workspace, channel: args.channel.as_deref(), print: Some(&print), outgoing: None };
    let mut code = 0;
    let mut closed = Ok(());
    let mut report = |outcome: Outcome| {
        code = code.max(out::report_outcome(&outcome));
        match &outcome.state {
            EventOutcome::Done(receipt) if args.json && receipt.iter().any(|r| !r.is_empty()) => {
                closed =
                    closed.clone().and_then(|()| out::json(&json!({"id": outcome.id, "receipt": receipt.join(" ")})));
            }
            EventOutcome::GivenBack(fault) if fault.cause == Some(Cause::Unprinted) => closed = Err(fault.clone()),
            _ => {}
        }
    };
    if args.ids.is_empty() {
        failures(take_in(&workspace, Mailbox::Outbox)?.failed).for_each(&mut report);
        pool::drain(&workspace, &work, task::DELIVERIES, &mut report).map_err(out::answer_stays)?;
    } else {
        let ids_code = out::each_event(&workspace, &args.ids, |id| {
            follow::run_until_done(&workspace, &[&work], &id).map(&mut report)
        })?;
        code = code.max(ids_code);
    }
    closed.map(|()| code).map_err(out::answer_stays)
}
