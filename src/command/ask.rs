//! `claw ask TEXT…`: one question, one answer, in one process.

use crate::child;
use crate::command::{Here, init, out};
use crate::core::address::Address;
use crate::core::event::{Draft, Event};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::id::{Derived, Id};
use crate::core::record::Record;
use crate::core::routing;
use crate::core::session;
use crate::core::slash;
use crate::stage::control::Control;
use crate::stage::deliver::Deliver;
use crate::stage::remember::Remember;
use crate::stage::run_agent::RunAgent;
use crate::stage::turn::Asked;
use crate::stage::work::Work;
use crate::stage::{Outcome, Standing, route, serve, tick};
use crate::store::boxes::Side;
use crate::store::lock::Lane;
use crate::store::prune::ASK;
use crate::store::workspace::{self, Workspace};
use crate::store::{clock, definitions, publish, session_log};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::sync::Mutex;

/// Ask an agent, and wait for the answer
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Who shall answer [default: default_agent of claw.yaml]
    #[arg(short, long, value_name = "AGENT")]
    agent: Option<String>,
    /// By which model [default: the agent's]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,
    /// In this session [default: a new one]
    #[arg(short, long, value_name = "NAME", conflicts_with = "continues")]
    session: Option<String>,
    /// In the session of the last question
    #[arg(short = 'c', long = "continue")]
    continues: bool,
    /// Do not read stdin
    #[arg(short = 'n', long)]
    no_stdin: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// The question; what is piped in is put behind it. A slash command (/help) is about the last session
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
}

/// Asks.
///
/// # Errors
/// `Unavailable` where the model is not there, `Config` where it is set up badly; the question is
/// then kept in `inbox/failed`.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    if here.world.var(child::INSIDE).is_some() {
        return Err(Fault::new(Kind::Later, "ask inside of a program that an agent waits for would wait for itself")
            .hint("claw send does not wait"));
    }
    let mut text = question(args)?;
    let workspace = open(here)?;
    let is_command = slash::parse(&text).is_some();
    let args = &if is_command { about_last(args, &workspace) } else { args.clone() };
    let is_open = !is_command && args.agent.is_none() && args.session.is_none() && !args.continues;
    let called = routing::mention(&text)
        .filter(|(name, rest)| is_open && !rest.is_empty() && definitions::has_agent(&workspace, name));
    let called = called.map(|(name, rest)| (name.to_owned(), rest.to_owned()));
    let called = called.map(|(name, rest)| {
        text = rest;
        name
    });
    let config = workspace.config()?;
    let default = &config.default_agent;
    let named = args.session.as_deref().map(|name| session::named(name, args.agent.as_deref(), default)).transpose()?;
    let agent = args.agent.as_deref().or(called.as_deref()).or(named.as_deref().map(session::agent)).unwrap_or(default);
    let agent = definitions::agent(&workspace, agent)?;
    config.choose(&agent, args.model.as_deref())?;
    let id = clock::next_id(&workspace)?;
    let session = session_name(args, &workspace, &agent.id, &id)?;
    let place = Address::parse(&format!("cli:{}.{}", workspace.world.user(), id.short()))?;
    // Both are ours before anybody can see the question: nobody else answers or prints.
    let out_lane = hold(&workspace, Side::Outbox, &place.slug())?;
    // A command lies beside its session, and does not wait for the turn that may run there.
    let lane = if is_command { session::control(&session) } else { session.clone() };
    let lane = hold(&workspace, Side::Inbox, &lane)?;
    let mut draft = Draft {
        from: Some(workspace.me()?),
        reply_to: Some(place),
        agent: Some(agent.id.clone()),
        session: Some(session.clone()),
        ..Draft::message(text)
    };
    draft.meta.extend(args.model.clone().map(|model| ("model".to_owned(), Value::from(model))));
    publish::inbox(&workspace, &publish::complete(&workspace, draft, id.clone())?)?;
    if !is_command {
        session_log::remember_last(&workspace, &session);
    }
    route::all(&workspace)?;
    let streamed = Mutex::new(String::new());
    let heard = |text: &str| {
        if let Ok(mut streamed) = streamed.lock() {
            streamed.push_str(text);
            let _ = out::raw(text);
        }
    };
    let is_live = out::is_terminal() && !args.json;
    let turns = RunAgent {
        session: Some(&session),
        asked: Some(Asked { id: &id, model: args.model.as_deref(), heard: if is_live { Some(&heard) } else { None } }),
        ..RunAgent::all(&workspace)
    };
    let commands = Control { workspace: &workspace, agent: None, session: Some(&session) };
    let work: &dyn Work = if is_command { &commands } else { &turns };
    let outcome = serve::until(&workspace, work, &lane, &id)?;
    lane.release();
    let outcome = outcome.ok_or_else(|| Fault::data(format!("{id} was taken away before it was answered")))?;
    work_off_notes(&workspace, &outcome)?;
    let streamed = streamed.into_inner().unwrap_or_default();
    finish(args, &workspace, out_lane, outcome, &session, &streamed)
}

/// Prints what came of it, and returns the exit code.
fn finish(
    args: &Args,
    workspace: &Workspace,
    lane: Lane,
    outcome: Outcome,
    session: &str,
    streamed: &str,
) -> Result<u8> {
    let id = outcome.id;
    let code = match outcome.state {
        Standing::Done(_) => {
            let print = |event: &Event| match &event.content {
                _ if args.json => out::json(&document(workspace, event, &id, session)?),
                content if streamed.trim_end() == content.trim_end() && !streamed.is_empty() => out::raw("\n"),
                content => out::line(content),
            };
            fetch(workspace, lane, &id.derive(Derived::Reply, 1), &print)?;
            0
        }
        Standing::Failed(fault) => {
            fetch(workspace, lane, &id.derive(Derived::Notice, 1), &|_| Ok(()))?;
            let hint = format!("the question is kept: claw retry {}, then claw run-agent and claw deliver", id.short());
            let hint = fault.hint.as_ref().map(|h| format!("{h}; {hint}")).unwrap_or(hint);
            return Err(Fault { hint: Some(hint), ..fault });
        }
        Standing::Untouched(fault) | Standing::Waiting(_, fault) => return Err(fault),
    };
    out::tell(&format!("session {session}"));
    Ok(code)
}

/// Takes our own answer out of the outbox.
fn fetch(workspace: &Workspace, lane: Lane, id: &Id, print: crate::stage::deliver::Print) -> Result<()> {
    let work = Deliver { workspace, channel: None, print: Some(print) };
    let outcome = serve::until(workspace, &work, &lane, id)?;
    lane.release();
    match outcome.map(|outcome| outcome.state) {
        None | Some(Standing::Done(_)) => Ok(()),
        Some(Standing::Waiting(_, fault) | Standing::Failed(fault) | Standing::Untouched(fault)) => Err(fault),
    }
}

fn document(workspace: &Workspace, answer: &Event, id: &Id, session: &str) -> Result<Value> {
    let records = session_log::read(workspace, session, id)?;
    let turn = records.into_iter().rev().find_map(|record| match record {
        Record::Model { id: of, model, ms, reply, .. } if of == *id => Some((model, ms, reply.usage)),
        _ => None,
    });
    let (model, ms, usage) = turn.unwrap_or_default();
    Ok(json!({
        "id": id, "session": session, "agent": session::agent(session), "model": model,
        "content": answer.content, "usage": usage, "ms": ms,
    }))
}

/// What the answer wants remembered is written down before the answer is given.
fn work_off_notes(workspace: &Workspace, outcome: &Outcome) -> Result<()> {
    // Whom it has asked may have noted something too.
    let is_note = |id: &String| {
        let rest = id.strip_prefix(outcome.id.as_str());
        rest.is_some_and(|rest| rest.starts_with(".m") || rest.starts_with(".d"))
    };
    let is_noting = matches!(&outcome.state, Standing::Done(out) if out.iter().any(is_note));
    if is_noting {
        route::all(workspace)?;
        tick::drain(workspace, &Remember { workspace }, 1, &mut |o| {
            let _ = out::trouble(&o);
        })?;
    }
    Ok(())
}

/// A command is about the last session where none is named: a new one has nothing that could be asked about.
fn about_last(args: &Args, workspace: &Workspace) -> Args {
    let is_free = args.session.is_none();
    let last = session_log::last(workspace).filter(|last| {
        let agent = session::agent(last);
        args.agent.as_deref().is_none_or(|named| named == agent) && definitions::has_agent(workspace, agent)
    });
    let session = if is_free { last } else { args.session.clone() };
    Args { session, continues: false, ..args.clone() }
}

fn question(args: &Args) -> Result<String> {
    let mut text = args.text.join(" ");
    if !args.no_stdin && !std::io::stdin().is_terminal() {
        let piped = out::stdin()?;
        if !piped.trim().is_empty() {
            text = if text.is_empty() { piped } else { format!("{text}\n\n{piped}") };
        }
    }
    out::text(&[text])
}

fn open(here: Here) -> Result<Workspace> {
    let is_default = here.workspace.is_none() && here.world.var("CLAW_WORKSPACE").is_none();
    let cwd = std::env::current_dir().ok();
    let is_found = cwd.is_some_and(|dir| dir.ancestors().any(|d| d.join(crate::core::config::FILE).exists()));
    if is_default && !is_found {
        let root = workspace::default_root(&here.world)?;
        if !root.join(crate::core::config::FILE).exists() {
            out::tell(&init::create(&here.world, &root)?);
        }
    }
    here.open()
}

fn session_name(args: &Args, workspace: &Workspace, agent: &str, id: &Id) -> Result<String> {
    if let Some(name) = &args.session {
        return session::named(name, Some(agent), agent);
    }
    if args.continues {
        let last = session_log::last(workspace);
        let last = last.ok_or_else(|| Fault::new(Kind::Usage, "there is no session to continue"))?;
        return session::named(&last, Some(agent), agent);
    }
    Ok(format!("{agent}.{ASK}{id}"))
}

/// Takes a lane, waiting for whoever holds it.
fn hold(workspace: &Workspace, side: Side, name: &str) -> Result<Lane> {
    if let Some(lane) = Lane::attempt(workspace, side, name)? {
        return Ok(lane);
    }
    workspace.world.say(&format!("{name} is busy; waiting for it"));
    let watch = serve::eye(workspace, side)?;
    loop {
        if let Some(lane) = Lane::attempt(workspace, side, name)? {
            return Ok(lane);
        }
        watch.wait(workspace.world.now(), None, None)?;
    }
}
