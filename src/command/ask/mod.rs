//! `claw ask [TEXT|-]`: one question, one answer, in one process.

mod answer;
mod structured;

use crate::command::Here;
use crate::command::terminal::approval_dialog;
use crate::command::terminal::attachments;
use crate::command::terminal::exchange::{self, AskExchange, TerminalAddress};
use crate::command::terminal::interrupt::{AskGuard, INTERRUPTED, QuestionState};
use crate::command::terminal::out;
use crate::command::terminal::record::Recording;
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::config::{Config, FILE};
use crate::core::definition::Agent;
use crate::core::event::Event;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::routing;
use crate::core::slash::{self, SlashCommand};
use crate::report::undelivered;
use crate::stage::outcome::Outcome;
use crate::store::agent::definitions;
use crate::store::session::{approvals, last};
use crate::store::workspace::Workspace;
use crate::store::workspace::clock;
use answer::{AnswerForm, AnswerPrinter};
use std::path::PathBuf;
use std::time::Duration;

/// The time after which a stdin that does not end is named.
const PATIENCE: Duration = Duration::from_secs(1);

/// Ask an agent, and wait for the answer
///
/// Ctrl-C stops the turn; its finished steps stay in the session (exit code 130). A second Ctrl-C leaves at once. If the
/// terminal is closed, the question is kept: claw tick answers it, and claw deliver prints the answer.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct Args {
    /// The agent that answers [default: default_agent in claw.yaml]
    #[arg(short, long, value_name = "AGENT")]
    agent: Option<String>,
    /// The model [default: the agent's]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,
    /// The session [default: a new one]
    #[arg(short, long, value_name = "NAME", conflicts_with = "continues")]
    session: Option<String>,
    /// Continue the last session
    #[arg(short = 'c', long = "continue")]
    continues: bool,
    /// Attach a file: PNG, JPEG, GIF, WebP or PDF for models that read them, or text; repeatable. A file outside of the
    /// workspace's files/ is copied to files/attachments/
    #[arg(short, long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Do not read stdin
    #[arg(short = 'n', long)]
    no_stdin: bool,
    /// Print one JSON document; the same as -o json
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// The form of the answer [default: laid out on a terminal, as the model wrote it in a pipe]
    #[arg(short, long, value_name = "FORM", value_enum)]
    output: Option<AnswerForm>,
    /// Print only the first block of code of the answer, without its fence; exit code 65 if it has none
    #[arg(short = 'x', long, conflicts_with_all = ["json", "output", "detach"])]
    extract: bool,
    /// Print tokens, cost and time on stderr
    #[arg(short, long)]
    usage: bool,
    /// A JSON Schema: the answer is one JSON document that satisfies it, else the exit code is 65. A model that fails
    /// is asked once more
    #[arg(long, value_name = "FILE", conflicts_with_all = ["extract", "output", "json", "detach"])]
    schema: Option<PathBuf>,
    /// Print the question's id and do not wait: claw tick or a supervisor answers it, and claw deliver prints the answer
    #[arg(long, conflicts_with_all = ["json", "record", "output", "usage"])]
    detach: bool,
    #[command(flatten)]
    record: Recording,
    /// The question; a single `-` reads it from stdin, and piped input is appended to a question. A word like
    /// /help is a slash command for the last session; no agent reads it
    #[arg(value_name = "TEXT|-")]
    text: Vec<String>,
}

/// Asks one question and prints its answer. The exit code is 75 if a tool call waits for approval.
///
/// # Errors
/// `Unavailable` if the model cannot be reached, `Config` if it is not configured correctly, `Failed` if the answer
/// cannot be printed.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    exchange::refuse_inside_turn(&here.world)?;
    let mut text = read_question(args)?;
    let mut workspace = exchange::open(here)?;
    args.record.begin(&mut workspace)?;
    let command = slash::parse(&text).transpose()?;
    if let Some(command) = &command {
        refuse_session_command(&workspace, command)?;
    }
    let is_command = command.is_some();
    let args = Args { session: exchange::named_session(&workspace, args.session.as_deref())?, ..args.clone() };
    let args = &if is_command { in_last_session(&args, &workspace) } else { args };
    let shape = args.schema.as_deref().filter(|_| !is_command).map(structured::read).transpose()?;
    let is_open = !is_command && args.agent.is_none() && args.session.is_none() && !args.continues;
    let mentioned = routing::mention(&text)
        .filter(|(name, rest)| is_open && !rest.is_empty() && definitions::has_agent(&workspace, name));
    let mentioned = mentioned.map(|(name, rest)| (name.to_owned(), rest.to_owned()));
    let mentioned = mentioned.map(|(name, rest)| {
        text = rest;
        name
    });
    let config = workspace.config()?;
    let default = &config.default_agent;
    let named =
        args.session.as_deref().map(|name| session_name::qualify(name, args.agent.as_deref(), default)).transpose()?;
    let agent =
        args.agent.as_deref().or(mentioned.as_deref()).or(named.as_deref().map(session_name::agent)).unwrap_or(default);
    let agent = definitions::agent(&workspace, agent)?;
    let chosen = config.resolve_model(&agent, args.model.as_deref())?;
    if !is_command {
        workspace.permit_model(&chosen)?;
    }
    if is_command {
        attachments::refuse_with_command(&args.files)?;
    }
    let files = attachments::check(&workspace, &args.files, &with_fallbacks(&config, &agent, &chosen))?;
    let id = clock::next_id(&workspace)?;
    let session = session_name(args, &workspace, &agent.id, &id)?;
    let kept = attachments::keep(&workspace, &id, files)?;
    let guard = AskGuard::listen(QuestionState::Unsent)?;
    let printer = AnswerPrinter::new(args, &workspace, &id, &session, shape.is_some());
    let exchange = AskExchange {
        workspace: &workspace,
        terminal: &TerminalAddress::named(&workspace, &id)?,
        agent: &agent.id,
        session: &session,
        model: args.model.as_deref(),
        schema: shape.as_ref().map(structured::AnswerSchema::schema),
        attachments: &kept,
        screen: &printer.screen,
        stop_fd: None,
        on_send: &|id| guard.sends(id),
    };
    if args.detach {
        exchange.send(&id, text)?;
        guard.end();
        out::message(exchange::KEPT);
        out::message(&format!("session {}", session_name::short(&session)));
        out::line(id.as_str())?;
        return Ok(0);
    }
    let mut terminal = TerminalAddress::take(&workspace, &id)?;
    let mut turn = AskedTurn { exchange: &exchange, guard: &guard, printer: &printer, terminal: &mut terminal };
    let text = shape.as_ref().map_or(text.clone(), |shape| shape.question(&text));
    let mut answered = turn.ask(&id, text);
    if let (Some(shape), Ok(())) = (&shape, &answered) {
        answered = shape.settle(&printer, |text| turn.ask(&clock::next_id(&workspace)?, text));
    }
    if answered.is_ok() {
        answered = turn.approve(&id, &session);
    }
    terminal.release();
    report_undelivered(&workspace);
    let is_interrupted = printer.is_interrupted();
    match answered {
        Err(fault) if is_interrupted => out::print_fault(&fault),
        Ok(()) if is_interrupted && !printer.has_printed() => {
            out::message("stopped; its finished steps stay in the session, and claw ask -c continues it");
        }
        other => other?,
    }
    if args.usage {
        out::stderr_line(&answer::usage_line(&workspace, &id, &session)?);
    }
    out::message(&format!("session {}", session_name::short(&session)));
    let waits = !answer::pending(&workspace, &id)?.is_empty();
    Ok(if is_interrupted {
        INTERRUPTED
    } else if waits {
        APPROVAL_PENDING
    } else {
        0
    })
}

/// The exit code of a question whose turn waits for the owner's approval, as of a temporary failure.
const APPROVAL_PENDING: u8 = 75;

/// A turn whose answer the user waits for.
struct AskedTurn<'a> {
    exchange: &'a AskExchange<'a>,
    guard: &'a AskGuard,
    printer: &'a AnswerPrinter<'a>,
    terminal: &'a mut TerminalAddress,
}

impl AskedTurn<'_> {
    /// Publishes a text as event `id`, and prints the answer.
    fn ask(&mut self, id: &Id, text: String) -> Result<()> {
        let workspace = self.exchange.workspace;
        let outcome = self.exchange.run(id, text, &|work| self.guard.around(workspace, id, work));
        self.answer(outcome)
    }

    /// Asks the user about each call of this turn that waits for approval, and prints the answers of the decided ones.
    fn approve(&mut self, id: &Id, session: &str) -> Result<()> {
        let workspace = self.exchange.workspace;
        while approval_dialog::can_ask() && self.printer.may_ask() && !self.printer.is_interrupted() {
            let pending = answer::pending(workspace, id)?;
            let own = pending.into_iter().find(|approval| approval.session == session);
            let Some(approval) = own else { return Ok(()) };
            let Some(verdict) = approval_dialog::ask(workspace, &approval)? else { return Ok(()) };
            approvals::decide(workspace, &approval.id, verdict)?;
            for (_, fault) in approvals::publish_decisions(workspace)? {
                workspace.world.say(&fault.to_string());
            }
            self.guard.sends(&approval.id);
            let around = |work: &mut dyn FnMut()| self.guard.around(workspace, &approval.id, work);
            let outcome = self.exchange.complete(&approval.id, &around);
            self.answer(outcome)?;
        }
        Ok(())
    }

    fn answer(&mut self, outcome: Result<Outcome>) -> Result<()> {
        if self.guard.end() {
            self.printer.interrupt();
        }
        let print = |event: &Event| self.printer.print(event);
        outcome.and_then(|outcome| exchange::answer(self.exchange.workspace, self.terminal, outcome, &print))?;
        self.printer.problem()
    }
}

/// The model, and those that are asked if it refuses; one with wrong settings is reported when it is asked.
fn with_fallbacks(config: &Config, agent: &Agent, chosen: &ResolvedModel) -> Vec<ResolvedModel> {
    let fallback = chosen.model.fallback.iter().filter_map(|name| config.resolve_model(agent, Some(name)).ok());
    std::iter::once(chosen.clone()).chain(fallback).collect()
}

/// Names a failed delivery of which no notice was sent, until it is retried or discarded.
fn report_undelivered(workspace: &Workspace) {
    let found = undelivered::without_notice(workspace).unwrap_or_default();
    if let [newest, others @ ..] = &found[..] {
        let (id, address, reason) = (newest.id.short(), &newest.address, &newest.reason);
        let more = if others.is_empty() { "" } else { ", and not the only one (claw status)" };
        out::message(&format!("{id} could not be delivered to {address}: {reason}; claw retry {id}{more}"));
    }
}

/// Refuses the commands that start or move a conversation: each question without a session has one of its own.
fn refuse_session_command(workspace: &Workspace, command: &SlashCommand) -> Result<()> {
    let (message, hint) = match command {
        SlashCommand::New => ("each claw ask starts a new conversation".to_owned(), "omit -c and -s".to_owned()),
        SlashCommand::Bind(id) => {
            let id = &definitions::agent(workspace, id)?.id;
            (format!("claw ask takes the agent from its arguments or from {FILE}"), format!("claw ask -a {id} TEXT"))
        }
        _ => return Ok(()),
    };
    Err(Fault::new(Kind::Usage, message).hint(format!("{hint}; in claw chat this command works")))
}

/// The arguments of a slash command. It applies to the last session if none is named: a new session is empty.
fn in_last_session(args: &Args, workspace: &Workspace) -> Args {
    let is_free = args.session.is_none();
    let last = last::name(workspace).filter(|last| {
        let agent = session_name::agent(last);
        args.agent.as_deref().is_none_or(|named| named == agent) && definitions::has_agent(workspace, agent)
    });
    let session = if is_free { last } else { args.session.clone() };
    Args { session, continues: false, ..args.clone() }
}

fn read_question(args: &Args) -> Result<String> {
    if args.text.first().is_some_and(|word| word == "-") {
        let refused = || Fault::new(Kind::Usage, "`-` reads stdin and -n forbids it").hint("omit one of them");
        return if args.no_stdin { Err(refused()) } else { out::text(&args.text) };
    }
    let mut text = args.text.join(" ");
    if !args.no_stdin && !out::is_typed() {
        let is_slow = || out::message("reading stdin, which belongs to the question; -n ignores it");
        let piped = out::stdin_patiently(PATIENCE, &is_slow)?;
        if !piped.trim().is_empty() {
            if !text.is_empty() {
                out::message(&format!("added {} bytes of stdin to the question", piped.len()));
                text += "\n\n";
            }
            text += &piped;
        }
    }
    out::text(&[text])
}

fn session_name(args: &Args, workspace: &Workspace, agent: &str, id: &Id) -> Result<String> {
    if let Some(name) = &args.session {
        return session_name::qualify(name, Some(agent), agent);
    }
    if args.continues {
        let last = last::name(workspace);
        let last = last.ok_or_else(|| Fault::new(Kind::Usage, "there is no session to continue"))?;
        return session_name::qualify(&last, Some(agent), agent);
    }
    Ok(session_name::for_ask(agent, id))
}
