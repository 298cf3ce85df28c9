//! `claw route [ID|PATH|-]…`, and `claw route --explain ADDRESS`

use crate::command::Here;
use crate::command::terminal::{backlog, out};
use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, Event};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::routing::Decision;
use crate::core::routing::explain::{self, Considered};
use crate::stage::route;
use crate::store::agent::definitions;
use crate::store::queue::locate;
use crate::store::routes;
use crate::store::workspace::Workspace;
use crate::store::workspace::clock;
use crate::store::workspace::mailbox::{Mailbox, State};
use crate::world;
use serde_json::{Value, json};

/// Route new events to sessions
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print only these ids; all events are routed anyway. `-` reads ids from stdin
    #[arg(value_name = "ID|PATH|-")]
    ids: Vec<String>,
    /// Route nothing: explain which agent would answer a message at this address
    #[arg(long, value_name = "ADDRESS", conflicts_with = "ids")]
    explain: Option<String>,
    /// With --explain: the sender [default: the address]
    #[arg(long, value_name = "ADDRESS", requires = "explain")]
    from: Option<String>,
    /// With --explain: the text of the message
    #[arg(long, value_name = "TEXT", requires = "explain")]
    text: Option<String>,
    /// With --explain: print one JSON document
    #[arg(long, requires = "explain")]
    json: bool,
}

/// Routes all events, and prints the id of each event that moved.
///
/// # Errors
/// If routing itself is impossible.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    if let Some(address) = &args.explain {
        return explain(&here.look()?, address, args);
    }
    let workspace = here.open()?;
    let mut code = 0;
    let mut pass = |is_silent: bool| -> Result<()> {
        let routed = backlog::watched(&workspace, || route::all(&workspace))?;
        for (id, fault) in &routed.failed {
            out::message(&format!("{} failed: {fault}", id.short()));
            code = 1;
        }
        if !is_silent {
            routed.moved.iter().try_for_each(|id| out::line(id.as_str()))?;
        }
        Ok(())
    };
    if args.ids.is_empty() {
        pass(false)?;
        return Ok(code);
    }
    // All events are routed, even if an id is invalid.
    pass(true)?;
    let ids_code = out::each_event(&workspace, &args.ids, |id| {
        pass(true)?;
        match locate::of(&workspace, Mailbox::Inbox, &id)?.first() {
            Some(found) if found.state == Some(State::New) => {
                let due = found.entry.due.map(world::local).unwrap_or_default();
                Err(Fault::new(Kind::Later, format!("{id} is not due until {due}")))
            }
            Some(found) if found.state == Some(State::Failed) => Ok(()),
            Some(_) => out::line(id.as_str()),
            None => Err(Fault::data(format!("there is no event {id} in inbox"))),
        }
    })?;
    Ok(code.max(ids_code))
}

/// Explains which agent would answer the next message at an address.
fn explain(workspace: &Workspace, address: &str, args: &Args) -> Result<u8> {
    let reply_to = Address::parse(address)?;
    let from = args.from.as_deref().map(Address::parse).transpose()?.unwrap_or_else(|| reply_to.clone());
    let event = next(workspace, &reply_to, &from, args.text.as_deref().unwrap_or_default());
    let known = routes::load(workspace)?;
    let (decision, list) = routes::with_rules(workspace, |rules| explain::explain(&event, &known, rules))?;
    let is_there = definitions::has_agent(workspace, &decision.agent);
    if args.json {
        out::json(&document(&event, &decision, &list))?;
    } else {
        print(&event, &decision, &list)?;
    }
    if is_there { Ok(0) } else { Err(definitions::unknown(workspace, &decision.agent)) }
}

fn document(event: &Event, decision: &Decision, rules: &[Considered]) -> Value {
    let rule = |one: &Considered| {
        json!({
            "rule": one.rule, "index": one.index, "tier": one.tier, "pattern": one.pattern, "agent": one.agent,
            "matches": one.matches, "selected": one.wins, "reason": one.why,
        })
    };
    json!({
        "address": event.reply_to, "from": event.from, "agent": decision.agent, "session": decision.session,
        "routed_by": decision.why, "rules": rules.iter().map(rule).collect::<Vec<_>>(),
    })
}

/// The next message; its id is later than all assigned ids.
fn next(workspace: &Workspace, reply_to: &Address, from: &Address, text: &str) -> Event {
    let now = Stamp(workspace.world.now().0 + clock::lead(workspace).max(0) + 1);
    let draft = Draft { from: Some(from.clone()), reply_to: Some(reply_to.clone()), ..Draft::message(text.to_owned()) };
    draft.complete(Id::new(now, u64::MAX), now, from, reply_to)
}

/// Prints the decision, then each rule that matches the address, with its reason.
fn print(event: &Event, decision: &Decision, list: &[Considered]) -> Result<()> {
    let Decision { agent, session, why, .. } = decision;
    let sender = if event.from == event.reply_to { String::new() } else { format!(" from {}", event.from) };
    out::line(&format!("{}{sender}: {agent} ({why}), session {session}", event.reply_to))?;
    if decision.began.as_ref().is_some_and(|began| began != session) {
        out::line(&format!(
            "  the conversation that began in {} continues there",
            decision.began.as_deref().unwrap_or("")
        ))?;
    }
    let shown: Vec<&Considered> = list.iter().filter(|one| one.matches || one.tier.is_none()).collect();
    let width = |of: fn(&Considered) -> &str| shown.iter().map(|one| of(one).chars().count()).max().unwrap_or(0);
    let (patterns, agents) = (width(|one| &one.pattern), width(|one| &one.agent));
    for one in &shown {
        let mark = if one.wins { "→" } else { " " };
        let tier = one.tier.map_or("", |tier| tier.name());
        let Considered { rule, pattern, agent, why, .. } = one;
        out::line(&format!("{mark} {rule:<8} {tier:<8} {pattern:<patterns$}  {agent:<agents$}  {why}"))?;
    }
    match list.len() - shown.len() {
        0 => Ok(()),
        1 => out::line("  1 binding with another pattern"),
        n => out::line(&format!("  {n} bindings with other patterns")),
    }
}
