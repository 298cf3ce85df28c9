//! `claw ask [TEXT|-]`: one question, one answer, in one process.

use crate::command::Here;
use crate::command::terminal::exchange::{self, AskExchange, TerminalAddress};
use crate::command::terminal::interrupt::AskGuard;
use crate::command::terminal::out;
use crate::command::terminal::record::Recording;
use crate::command::terminal::screen::Screen;
use crate::core::config::FILE;
use crate::core::event::Event;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::routing;
use crate::core::session::record::Record;
use crate::core::slash::{self, SlashCommand};
use crate::store::agent::definitions;
use crate::store::session::{last, log};
use crate::store::workspace::Workspace;
use crate::store::workspace::clock;
use serde_json::{Value, json};

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
    #[command(flatten)]
    record: Recording,
    /// The question; - alone is stdin, and what is piped in is put behind words. A slash and letters
    /// (/help) is a command, about the last session, and no agent sees it
    #[arg(value_name = "TEXT|-")]
    text: Vec<String>,
}

/// Asks.
///
/// # Errors
/// `Unavailable` where the model is not there, `Config` where it is set up badly; the question is
/// then kept in `inbox/failed`.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    exchange::outside(&here.world)?;
    let mut text = question(args)?;
    let mut workspace = exchange::open(here)?;
    args.record.begin(&mut workspace)?;
    let command = slash::parse(&text).transpose()?;
    if let Some(command) = &command {
        alone(&workspace, command)?;
    }
    let is_command = command.is_some();
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
    let named =
        args.session.as_deref().map(|name| session_name::named(name, args.agent.as_deref(), default)).transpose()?;
    let agent =
        args.agent.as_deref().or(called.as_deref()).or(named.as_deref().map(session_name::agent)).unwrap_or(default);
    let agent = definitions::agent(&workspace, agent)?;
    config.resolve_model(&agent, args.model.as_deref())?;
    let id = clock::next_id(&workspace)?;
    let session = session_name(args, &workspace, &agent.id, &id)?;
    let mut seat = TerminalAddress::take(&workspace, &id)?;
    let screen = Screen::new(&workspace.world, false);
    let screen = if args.json || !screen.is_live { screen.quiet() } else { screen };
    let exchange = AskExchange {
        workspace: &workspace,
        seat: &seat.address.clone(),
        agent: &agent.id,
        session: &session,
        model: args.model.as_deref(),
        screen: &screen,
        stop_fd: None,
    };
    let parting = AskGuard::default();
    let outcome = exchange.run(&id, text, &|work| {
        parting.begin(&id);
        work();
        parting.end();
    })?;
    let print = |event: &Event| {
        if args.json {
            return out::json(&document(&workspace, event, &id, &session)?);
        }
        screen.answer(None, &event.content)
    };
    exchange::answer(&workspace, &mut seat, outcome, &print)?;
    seat.leave();
    out::tell(&format!("session {session}"));
    Ok(0)
}

fn document(workspace: &Workspace, answer: &Event, id: &Id, session: &str) -> Result<Value> {
    let records = log::read(workspace, session, id)?;
    let turn = records.into_iter().rev().find_map(|record| match record {
        Record::Model { id: of, model, ms, reply, .. } if of == *id => Some((model, ms, reply.usage)),
        _ => None,
    });
    let (model, ms, usage) = turn.unwrap_or_default();
    Ok(json!({
        "id": id, "session": session, "agent": session_name::agent(session), "model": model,
        "content": answer.content, "usage": usage, "ms": ms,
    }))
}

/// Each question that names no session is a conversation of its own, which no command can begin or move.
fn alone(workspace: &Workspace, command: &SlashCommand) -> Result<()> {
    let (message, hint) = match command {
        SlashCommand::New => ("each claw ask begins a new conversation".to_owned(), "leave out -c and -s".to_owned()),
        SlashCommand::Bind(id) => {
            let id = &definitions::agent(workspace, id)?.id;
            (format!("each claw ask says itself who answers, else {FILE} does"), format!("claw ask -a {id} TEXT"))
        }
        _ => return Ok(()),
    };
    Err(Fault::new(Kind::Usage, message).hint(format!("{hint}; in claw chat it is as it says")))
}

/// A command is about the last session where none is named: a new one has nothing that could be asked about.
fn about_last(args: &Args, workspace: &Workspace) -> Args {
    let is_free = args.session.is_none();
    let last = last::name(workspace).filter(|last| {
        let agent = session_name::agent(last);
        args.agent.as_deref().is_none_or(|named| named == agent) && definitions::has_agent(workspace, agent)
    });
    let session = if is_free { last } else { args.session.clone() };
    Args { session, continues: false, ..args.clone() }
}

fn question(args: &Args) -> Result<String> {
    if args.text.first().is_some_and(|word| word == "-") {
        let refused =
            || Fault::new(Kind::Usage, "- is stdin, and -n says not to read it").hint("leave one of them out");
        return if args.no_stdin { Err(refused()) } else { out::text(&args.text) };
    }
    let mut text = args.text.join(" ");
    if !args.no_stdin && !out::is_typed() {
        let piped = out::stdin()?;
        if !piped.trim().is_empty() {
            text = if text.is_empty() { piped } else { format!("{text}\n\n{piped}") };
        }
    }
    out::text(&[text])
}

fn session_name(args: &Args, workspace: &Workspace, agent: &str, id: &Id) -> Result<String> {
    if let Some(name) = &args.session {
        return session_name::named(name, Some(agent), agent);
    }
    if args.continues {
        let last = last::name(workspace);
        let last = last.ok_or_else(|| Fault::new(Kind::Usage, "there is no session to continue"))?;
        return session_name::named(&last, Some(agent), agent);
    }
    Ok(session_name::asked(agent, id))
}
