//! `claw route [ID|PATH|-]…`, and `claw route --explain ADDRESS`

use crate::command::Here;
use crate::command::terminal::out;
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
use serde_json::json;

/// Move what is new to the sessions that will answer it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print only these; everything is routed all the same. - reads ids from stdin
    #[arg(value_name = "ID|PATH|-")]
    ids: Vec<String>,
    /// Move nothing: say who would answer at this address, and why nobody else
    #[arg(long, value_name = "ADDRESS", conflicts_with = "ids")]
    explain: Option<String>,
    /// With --explain: who says it [default: the address]
    #[arg(long, value_name = "ADDRESS", requires = "explain")]
    from: Option<String>,
    /// With --explain: what is said
    #[arg(long, value_name = "TEXT", requires = "explain")]
    text: Option<String>,
    /// With --explain: print one JSON document
    #[arg(long, requires = "explain")]
    json: bool,
}

/// Routes everything, and prints one id per event that moved on.
///
/// # Errors
/// Where routing itself is impossible.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    if let Some(address) = &args.explain {
        return explain(&here.look()?, address, args);
    }
    let workspace = here.open()?;
    let mut code = 0;
    let mut pass = |is_silent: bool| -> Result<()> {
        let routed = route::all(&workspace)?;
        for (id, fault) in &routed.failed {
            out::tell(&format!("{} failed: {fault}", id.short()));
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
    // Everything is routed, whatever the ids turn out to be.
    pass(true)?;
    let told = out::ids(&workspace, &args.ids, |id| {
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
    Ok(code.max(told))
}

/// Says who would answer the next message at an address.
fn explain(workspace: &Workspace, address: &str, args: &Args) -> Result<u8> {
    let place = Address::parse(address)?;
    let from = args.from.as_deref().map(Address::parse).transpose()?.unwrap_or_else(|| place.clone());
    let event = next(workspace, &place, &from, args.text.as_deref().unwrap_or_default());
    let known = routes::load(workspace)?;
    let (decision, list) = routes::with_rules(workspace, |rules| explain::explain(&event, &known, rules))?;
    let is_there = definitions::has_agent(workspace, &decision.agent);
    if args.json {
        let Decision { agent, session, why, .. } = &decision;
        out::json(&json!({
            "address": event.reply_to, "from": event.from, "agent": agent, "session": session, "why": why, "rules": list,
        }))?;
    } else {
        print(&event, &decision, &list)?;
    }
    if is_there { Ok(0) } else { Err(definitions::unknown(workspace, &decision.agent)) }
}

/// The next message, with an id behind all that were given.
fn next(workspace: &Workspace, place: &Address, from: &Address, text: &str) -> Event {
    let now = Stamp(workspace.world.now().0 + clock::lead(workspace).max(0) + 1);
    let draft = Draft { from: Some(from.clone()), reply_to: Some(place.clone()), ..Draft::message(text.to_owned()) };
    draft.complete(Id::new(now, u64::MAX), now, from, place)
}

/// What decides, then everything else that is about this place, each with the reason why it does not.
fn print(event: &Event, decision: &Decision, list: &[Considered]) -> Result<()> {
    let Decision { agent, session, why, .. } = decision;
    let whose = if event.from == event.reply_to { String::new() } else { format!(" from {}", event.from) };
    out::line(&format!("{}{whose}: {agent} ({why}), session {session}", event.reply_to))?;
    if decision.began.as_ref().is_some_and(|began| began != session) {
        out::line(&format!(
            "  the conversation that began in {} goes on there",
            decision.began.as_deref().unwrap_or("")
        ))?;
    }
    let shown: Vec<&Considered> = list.iter().filter(|one| one.matches || one.tier.is_none()).collect();
    let wide = |of: fn(&Considered) -> &str| shown.iter().map(|one| of(one).chars().count()).max().unwrap_or(0);
    let (patterns, agents) = (wide(|one| &one.pattern), wide(|one| &one.agent));
    for one in &shown {
        let mark = if one.wins { "→" } else { " " };
        let tier = one.tier.map_or("", |tier| tier.name());
        let Considered { rule, pattern, agent, why, .. } = one;
        out::line(&format!("{mark} {rule:<8} {tier:<8} {pattern:<patterns$}  {agent:<agents$}  {why}"))?;
    }
    match list.len() - shown.len() {
        0 => Ok(()),
        1 => out::line("  1 binding has another pattern"),
        n => out::line(&format!("  {n} bindings have other patterns")),
    }
}
