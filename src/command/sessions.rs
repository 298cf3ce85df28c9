//! `claw sessions [list | show | rm]`

use crate::command::Here;
use crate::command::terminal::style::table::TextTable;
use crate::command::terminal::transcript::{self, TranscriptFormat};
use crate::command::terminal::{out, style};
use crate::core::event::session_name;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::session::summary::SessionSummary;
use crate::store::agent::definitions;
use crate::store::session;
use crate::store::session::{last, log};
use crate::store::workspace::Workspace;
use crate::world;
use serde_json::{Value, json};

/// List, show and remove sessions
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the sessions, the most recently active first
    List(ListArgs),
    /// Show a conversation: messages, answers and tool calls
    Show(Show),
    /// Remove a session's conversation; refused while an event of it is pending
    ///
    /// Notes and files that an agent has written stay. The ids of answered messages are kept, so that a second copy of
    /// a message is not answered again.
    Rm {
        /// The sessions
        #[arg(required = true, value_name = "SESSION|-")]
        names: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only sessions of this agent
    #[arg(short, long, value_name = "AGENT")]
    agent: Option<String>,
    /// Only sessions whose title, source or name contains this text
    #[arg(short, long, value_name = "TEXT")]
    grep: Option<String>,
    /// Print at most N sessions
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Print the lines of the session's log (JSON Lines)
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print a Markdown document, with the results of tools
    #[arg(long)]
    markdown: bool,
    /// The session: its name, an unambiguous end of it, or a path [default: the last one used]
    #[arg(value_name = "SESSION")]
    name: Option<String>,
}

/// Lists sessions, shows one, or removes some.
///
/// # Errors
/// `Data` if a session does not exist, `Later` if a session to be removed is in use.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    match &args.action {
        None => list(&args.list, &here.look()?),
        Some(Action::List(args)) => list(args, &here.look()?),
        Some(Action::Show(args)) => show(args, &here.look()?),
        Some(Action::Rm { names }) => {
            let workspace = here.open()?;
            out::each_argument(names, |name| {
                let session = session::find(&workspace, name)?;
                session::forget(&workspace, &session)?;
                out::line(&session)
            })
        }
    }
}

fn list(args: &ListArgs, workspace: &Workspace) -> Result<u8> {
    let sessions = session::summaries(workspace)?;
    // A removed agent may have left sessions.
    if let Some(agent) = args.agent.as_deref().filter(|agent| !definitions::has_agent(workspace, agent))
        && !sessions.iter().any(|(name, _)| session_name::agent(name) == agent)
    {
        return Err(definitions::unknown(workspace, agent));
    }
    let wanted = args.grep.as_ref().map(|text| text.to_lowercase());
    let source = |summary: &SessionSummary| summary.source.as_ref().map(ToString::to_string).unwrap_or_default();
    let is_wanted = |(name, summary): &(String, SessionSummary)| {
        args.agent.as_ref().is_none_or(|agent| session_name::agent(name) == agent)
            && wanted.as_ref().is_none_or(|text| {
                let parts = [name, &session_name::short(name), &summary.title, &source(summary)];
                parts.iter().any(|part| part.to_lowercase().contains(text))
            })
    };
    let mut found: Vec<(String, SessionSummary)> = sessions.into_iter().filter(is_wanted).collect();
    found.sort_unstable_by(|a, b| b.1.updated.cmp(&a.1.updated).then_with(|| a.0.cmp(&b.0)));
    found.truncate(args.limit.unwrap_or(usize::MAX));
    if args.json {
        let lines: Vec<String> =
            found.iter().map(|(name, summary)| document(name, summary).to_string() + "\n").collect();
        out::json_lines(&lines.concat())?;
        return Ok(0);
    }
    let row = |(name, summary): &(String, SessionSummary)| {
        let cells = [
            session_name::short(name),
            source(summary),
            summary.messages.to_string(),
            summary.tokens().to_string(),
            summary.updated.map(|at| world::local(at.into())).unwrap_or_default(),
            out::row(&summary.title),
        ];
        cells.to_vec()
    };
    let head = ["session", "source", "messages", "tokens", "last activity", "title"];
    let table = TextTable { head: &head, rows: found.iter().map(row).collect(), right: &[2, 3], whole: &[4] };
    let width = style::width(&workspace.world);
    let lines = if found.is_empty() { Vec::new() } else { table.lines(width) };
    lines.iter().try_for_each(|line| out::line(line))?;
    Ok(0)
}

fn document(name: &str, summary: &SessionSummary) -> Value {
    json!({
        "session": name, "agent": session_name::agent(name), "source": summary.source, "title": summary.title,
        "messages": summary.messages, "input": summary.input, "output": summary.output,
        "created": summary.created, "updated": summary.updated,
    })
}

fn show(args: &Show, workspace: &Workspace) -> Result<u8> {
    let session = match &args.name {
        Some(name) => session::find(workspace, name)?,
        None => last::name(workspace).ok_or_else(|| {
            Fault::new(Kind::Usage, "there is no last session").hint("name one; `claw sessions` lists them")
        })?,
    };
    if args.json {
        let mut lines = String::new();
        let mut failed = Ok(());
        log::each(workspace, &session, |record| match serde_json::to_string(&record.shown()) {
            Ok(json) => lines += &(json + "\n"),
            Err(e) => failed = Err(Fault::data(e.to_string())),
        })?;
        failed?;
        out::json_lines(&lines)?;
        return Ok(0);
    }
    let form = if args.markdown {
        TranscriptFormat::Markdown
    } else {
        TranscriptFormat::Plain { is_dimmed: style::has_colour(&workspace.world, out::is_terminal()) }
    };
    transcript::print(workspace, &session, form)?;
    Ok(0)
}
