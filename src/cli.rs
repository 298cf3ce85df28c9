//! The command line: one enum, one match.

#![expect(clippy::doc_markdown, reason = "doc comments here are the help that people read")]

use crate::command::{
    Here, agents, approve, ask, chat, check, completions, deliver, discard, init, log, man, models, page, prompt,
    recall, remember, retry, route, run_agent, send, sessions, skills, status, supervise, tasks, tick, trust, usage,
    why,
};
use crate::core::fault::Result;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::iter;
use std::path::PathBuf;

/// What stands below `--help`, and in the man page.
pub const EXIT_CODES: &str = "\
Exit codes: 0 fine, 1 something failed, 2 usage, 65 bad data, 69 service unavailable,
75 try again later, 78 bad configuration.";

/// A personal-agent system made of files.
///
/// A message is a file in inbox/, an answer is a file in outbox/, and small commands move them on
/// with atomic renames. Nothing needs to be running.
#[derive(Debug, Parser)]
#[command(name = "claw", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// The workspace [default: $CLAW_WORKSPACE, else the nearest folder upwards with a claw.yaml,
    /// else $XDG_DATA_HOME/claw]
    #[arg(short, long, global = true, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Every subcommand.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Ask an agent, and wait for the answer
    Ask(ask::Args),
    /// Talk with an agent, line by line
    Chat(chat::Args),
    /// Make a workspace
    Init(init::Args),
    /// Trust the workspace: let it run and contact what it names
    Trust(trust::Args),
    /// Look whether everything in the workspace is in order
    Check(check::Args),
    /// Show what agents can learn to do, and approve its scripts
    Skills(skills::Args),
    /// Show which models are set up, and whether they are there
    Models(models::Args),
    /// Print what an agent is told before the conversation: system prompt and tools
    Prompt(prompt::Args),
    /// Show who can answer
    Agents(agents::Args),
    /// Show what was said, in which session
    Sessions(sessions::Args),
    /// Put a message into the inbox, and print its id once it is durable
    Send(send::Args),
    /// Move what is new to the sessions that will answer it
    Route(route::Args),
    /// Answer what is routed
    RunAgent(run_agent::Args),
    /// Deliver what is answered
    Deliver(deliver::Args),
    /// The shared task list
    Tasks(tasks::Args),
    /// Write a note into the memories
    Remember(remember::Args),
    /// Search the memories
    Recall(recall::Args),
    /// Do everything that is due, once
    Tick(tick::Args),
    /// Do everything, when it is due, until told to stop
    Supervise(supervise::Args),
    /// Show what is where
    Status(status::Args),
    /// Tell the whole story of one event
    Why(why::Args),
    /// Show the journal
    Log(log::Args),
    /// Show what the models have taken, and what is left of the budgets
    Usage(usage::Args),
    /// Try an event again that has failed or waits
    Retry(retry::Args),
    /// Give an event up: it goes to done/ as it is
    Discard(discard::Args),
    /// Allow what an agent asks for; without an ID, show what waits for your word
    Approve(approve::ApproveArgs),
    /// Refuse what an agent asks for
    Deny(approve::DenyArgs),
    /// Print a shell's completions
    Completions(completions::Args),
    /// Print the man page
    Man(man::Args),
}

/// The first argument that makes this binary what turns a page into text. It is no subcommand, because it is
/// not for people.
pub const PAGE: &str = crate::tool::PAGE;

/// Turns a page on stdin into text; these are the arguments behind [`PAGE`].
///
/// # Errors
/// Where it cannot be read.
pub fn page(arguments: impl Iterator<Item = OsString>) -> Result<u8> {
    page::run(&page::Args::parse_from(iter::once(PAGE.into()).chain(arguments)))
}

/// Does what the command line says, and returns the exit code.
///
/// # Errors
/// Whatever the command could not do.
pub fn run(cli: Cli) -> Result<u8> {
    let here = Here::new(cli.workspace)?;
    match cli.command {
        Command::Ask(args) => ask::run(&args, here),
        Command::Chat(args) => chat::run(&args, here),
        Command::Init(args) => init::run(args, &here),
        Command::Trust(args) => trust::run(args, &here),
        Command::Check(args) => check::run(&args, here),
        Command::Skills(args) => skills::run(&args, here),
        Command::Models(args) => models::run(&args, here),
        Command::Prompt(args) => prompt::run(&args, here),
        Command::Agents(args) => agents::run(&args, here),
        Command::Sessions(args) => sessions::run(&args, here),
        Command::Send(args) => send::run(args, here),
        Command::Route(args) => route::run(&args, here),
        Command::RunAgent(args) => run_agent::run(&args, here),
        Command::Deliver(args) => deliver::run(&args, here),
        Command::Tasks(args) => tasks::run(args, here),
        Command::Remember(args) => remember::run(args, here),
        Command::Recall(args) => recall::run(&args, here),
        Command::Tick(args) => tick::run(&args, here),
        Command::Supervise(args) => supervise::run(&args, here),
        Command::Status(args) => status::run(&args, here),
        Command::Why(args) => why::run(&args, here),
        Command::Log(args) => log::run(&args, here),
        Command::Usage(args) => usage::run(&args, here),
        Command::Retry(args) => retry::run(&args, here),
        Command::Discard(args) => discard::run(&args, here),
        Command::Approve(args) => approve::approve(&args, here),
        Command::Deny(args) => approve::deny(&args, here),
        Command::Completions(args) => completions::run(&args, Cli::command()),
        Command::Man(_) => man::run(Cli::command()),
    }
}
