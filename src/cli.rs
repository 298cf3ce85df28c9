//! The command line: one enum, one match.

#![expect(clippy::doc_markdown, reason = "doc comments here are the help that people read")]

pub use crate::command::terminal::out::{note_closed_stdout, print_fault};
use crate::command::terminal::style::{self, ColorChoice};
use crate::command::{
    Here, agents, approve, ask, attempt, channels, chat, check, complete, completions, config, crons, deliver, discard,
    examples, export, init, keys, listen, log, man, memory, models, new, page, page_text, pair, prompt, recall,
    remember, retry, route, run_agent, send, sessions, setup, skills, status, supervise, tasks, tick, trust, units,
    usage, why,
};
use crate::core::fault::Result;
use crate::world;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::CompleteEnv;
use std::ffi::OsString;
use std::iter;
use std::path::PathBuf;

/// The end of `--help`.
pub const EXIT_CODES: &str = "\
Exit codes: 0 success, 1 failure, 2 usage error, 65 invalid data, 69 service unavailable,
75 temporary failure, 78 invalid configuration, 130 stopped by Ctrl-C.";

/// A personal-agent system made of files.
///
/// A message is a file in inbox/, an answer is a file in outbox/, and commands move them from state
/// to state with atomic renames. No daemon is required.
#[derive(Debug, Parser)]
#[command(name = "claw", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// The workspace [default: $CLAW_WORKSPACE, else the nearest parent folder with a claw.yaml,
    /// else $XDG_DATA_HOME/claw]
    #[arg(short, long, global = true, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// Colours on a terminal; auto: unless NO_COLOR is set or TERM is dumb
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value = "auto", hide_default_value = true)]
    pub color: ColorChoice,
    /// Print no messages on stderr but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// The command
    #[command(subcommand)]
    pub command: Command,
}

/// Every subcommand.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Ask an agent, and print its answer
    Ask(ask::Args),
    /// Chat with an agent in the terminal
    Chat(chat::Args),
    /// Create a workspace
    Init(init::Args),
    /// Write the workspace to a new folder, without secrets and internal state
    Export(export::Args),
    /// Configure a model: provider, key, a test call, and the change of claw.yaml
    Setup(setup::Args),
    /// Read and change settings of claw.yaml
    Config(config::Args),
    /// Set, list and remove the keys of models
    Keys(keys::Args),
    /// Trust the workspace: permit the programs and servers that it configures
    Trust(trust::Args),
    /// Check settings, definitions, folders, permissions and this machine
    Check(check::Args),
    /// List skills, show and check them, and approve their scripts
    Skills(skills::Args),
    /// List the configured models, check that they can be reached, and choose the default one
    Models(models::Args),
    /// Print an agent's system prompt and tools
    Prompt(prompt::Args),
    /// Create an agent, a skill, a tool or a scheduled job from a template
    New(new::Args),
    /// List the agents, show one, and edit its file
    Agents(agents::Args),
    /// List, show and remove sessions
    Sessions(sessions::Args),
    /// Put a message into the inbox, and print its id once it is durable
    Send(send::Args),
    /// Route new events to sessions
    Route(route::Args),
    /// Answer routed events
    RunAgent(run_agent::Args),
    /// Deliver answers to their destinations
    Deliver(deliver::Args),
    /// Show and change the shared task list
    Tasks(tasks::Args),
    /// List scheduled jobs, run, pause and resume them, and audit their ledgers
    Crons(crons::Args),
    /// Save a note in the memories
    Remember(remember::Args),
    /// Search the memories
    Recall(recall::Args),
    /// Receive the messages of channels, until stopped by a signal
    Listen(listen::Args),
    /// List the channels: state, last exchange, waiting messages, next try
    Channels(channels::Args),
    /// Pair the senders of channels: invite, approve, list and revoke them
    Pair(pair::Args),
    /// Print a link that logs a browser into the page of `listen web`
    Page(page::Args),
    /// Show how to look into the history of the memories, undo a change, restore a file
    Memory(memory::Args),
    /// Process everything that is due, once
    Tick(tick::Args),
    /// Process events as they come, until stopped by a signal
    Supervise(supervise::Args),
    /// Write systemd units for this workspace: path, timer and service for tick, services for supervise and for listening
    Units(units::Args),
    /// Show pending, waiting and failed events, the next scheduled run, problems, and locks
    Status(status::Args),
    /// Show the history of one event
    Why(why::Args),
    /// Show the journal: one line for each state change of an event
    Log(log::Args),
    /// Show the usage of models, and the rest of the budgets
    Usage(usage::Args),
    /// Retry failed or waiting events now
    Retry(retry::Args),
    /// Discard pending or failed events: move them to done/ unchanged
    Discard(discard::Args),
    /// Approve tool calls of agents; without an ID, list pending approvals
    Approve(approve::ApproveArgs),
    /// Deny tool calls of agents
    Deny(approve::DenyArgs),
    /// Print the completions of a shell
    Completions(completions::Args),
    /// Print the man page, or that of a command
    Man(man::Args),
}

/// The first argument that makes this binary convert a page to text. It is hidden from users, so it is no subcommand.
pub const PAGE: &str = crate::tool::PAGE;

/// The first argument that makes this binary handle one event that may kill its worker. It is hidden, too.
pub const ATTEMPT: &str = crate::process::own::ATTEMPT;

/// The environment variable by which a shell asks for completions.
pub const COMPLETE: &str = complete::VARIABLE;

/// Handles one event; `arguments` follow [`ATTEMPT`].
///
/// # Errors
/// If the event cannot be handled at all.
pub fn attempt(arguments: impl Iterator<Item = OsString>) -> Result<u8> {
    attempt::run(arguments)
}

/// Converts a page on stdin to text; `arguments` follow [`PAGE`].
///
/// # Errors
/// If the page cannot be read.
pub fn page(arguments: impl Iterator<Item = OsString>) -> Result<u8> {
    page_text::run(&page_text::Args::parse_from(iter::once(PAGE.into()).chain(arguments)))
}

/// The command line of this process; prints the help, or an error of usage, and ends the process. `words` are its
/// arguments, its name first.
#[must_use]
pub fn parse(words: &[OsString]) -> Cli {
    let is_help = |word: &OsString| word == "--help" || word == "-h" || word == "help";
    // The list of all commands has no examples.
    let is_named = |word: &OsString| !is_help(word) && !word.to_string_lossy().starts_with('-');
    if !words.iter().any(is_help) || !words.iter().skip(1).any(is_named) {
        return Cli::parse_from(words);
    }
    // Only a help text needs the examples, which take a walk over all commands.
    let mut program = documented();
    let matches = program.try_get_matches_from_mut(words).unwrap_or_else(|e| e.exit());
    Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.format(&mut program).exit())
}

/// The command line with its examples, for help texts and man pages.
#[must_use]
pub fn documented() -> clap::Command {
    examples::attached(Cli::command())
}

/// Answers a shell that asks for completions by the environment; returns whether it did. `words` are the arguments of
/// this process, its name first.
#[must_use]
pub fn complete(words: &[OsString]) -> bool {
    let line = words.iter().position(|word| word == "--").map_or(&[][..], |at| &words[at + 1..]);
    let env = CompleteEnv::with_factory(|| complete::with_values(Cli::command(), line)).var(complete::VARIABLE);
    let folder = std::env::current_dir().ok();
    // A shell shows no errors of completions.
    env.try_complete(words.iter().cloned(), folder.as_deref()).unwrap_or(true)
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// The command's fault.
pub fn run(cli: Cli) -> Result<u8> {
    style::choose(cli.color);
    if cli.quiet {
        world::set_quiet();
    }
    let here = Here::new(cli.workspace)?;
    match cli.command {
        Command::Ask(args) => ask::run(&args, here),
        Command::Chat(args) => chat::run(&args, here),
        Command::Init(args) => init::run(args, &here),
        Command::Export(args) => export::run(&args, here),
        Command::Setup(args) => setup::run(&args, here),
        Command::Config(args) => config::run(&args, here),
        Command::Keys(args) => keys::run(&args, here),
        Command::Trust(args) => trust::run(args, &here),
        Command::Check(args) => check::run(&args, here),
        Command::Skills(args) => skills::run(&args, here),
        Command::Models(args) => models::run(&args, here),
        Command::Prompt(args) => prompt::run(&args, here),
        Command::New(args) => new::run(&args, here),
        Command::Agents(args) => agents::run(&args, here),
        Command::Sessions(args) => sessions::run(&args, here),
        Command::Send(args) => send::run(args, here),
        Command::Route(args) => route::run(&args, here),
        Command::RunAgent(args) => run_agent::run(&args, here),
        Command::Deliver(args) => deliver::run(&args, here),
        Command::Tasks(args) => tasks::run(args, here),
        Command::Crons(args) => crons::run(&args, here),
        Command::Remember(args) => remember::run(args, here),
        Command::Recall(args) => recall::run(&args, here),
        Command::Listen(args) => listen::run(&args, here),
        Command::Channels(args) => channels::run(&args, here),
        Command::Pair(args) => pair::run(&args, here),
        Command::Page(args) => page::run(&args, here),
        Command::Memory(args) => memory::run(args, here),
        Command::Tick(args) => tick::run(&args, here),
        Command::Supervise(args) => supervise::run(&args, here),
        Command::Units(args) => units::run(&args, here),
        Command::Status(args) => status::run(&args, here),
        Command::Why(args) => why::run(&args, here),
        Command::Log(args) => log::run(&args, here),
        Command::Usage(args) => usage::run(&args, here),
        Command::Retry(args) => retry::run(&args, here),
        Command::Discard(args) => discard::run(&args, here),
        Command::Approve(args) => approve::approve(&args, here),
        Command::Deny(args) => approve::deny(&args, here),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args, documented()),
    }
}
