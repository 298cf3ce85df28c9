//! `claw sessions [list | show | rm]`

use crate::command::Here;
use crate::command::terminal::out;
use crate::command::terminal::transcript::{self, TranscriptFormat};
use crate::core::event::session_name;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::session::summary::SessionSummary;
use crate::store::agent::definitions;
use crate::store::session;
use crate::store::session::{last, log};
use crate::store::workspace::Workspace;
use crate::world;
use serde_json::{Value, json};

/// Show what was said, in which session
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    what: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the sessions, the one with the last word first
    List(ListArgs),
    /// Show a conversation: who said what, and what was done for it
    Show(Show),
    /// Forget what was said in a session; not while an event of it is pending
    ///
    /// What an agent has remembered or written into files stays. That a message was answered is kept, so that its
    /// second copy is not answered again.
    Rm {
        /// Which
        #[arg(required = true, value_name = "SESSION|-")]
        names: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only this agent's
    #[arg(short, long, value_name = "AGENT")]
    agent: Option<String>,
    /// Only those with this in their title, source or name
    #[arg(short, long, value_name = "TEXT")]
    grep: Option<String>,
    /// Only the first N
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Print the lines of the session's log
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print a Markdown document, with the results of tools
    #[arg(long)]
    markdown: bool,
    /// Which: its name, any end of it, or a path [default: the one that was asked last]
    #[arg(value_name = "SESSION")]
    name: Option<String>,
}

/// Lists sessions, shows one or forgets some.
///
/// # Errors
/// `Data` where there is no such session, `Later` where one that shall be forgotten is in use.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    match &args.what {
        None => list(&args.list, &here.look()?),
        Some(Action::List(args)) => list(args, &here.look()?),
        Some(Action::Show(args)) => show(args, &here.look()?),
        Some(Action::Rm { names }) => {
            let workspace = here.open()?;
            out::words(names, |name| {
                let session = session::find(&workspace, name)?;
                session::forget(&workspace, &session)?;
                out::line(&session)
            })
        }
    }
}

fn list(args: &ListArgs, workspace: &Workspace) -> Result<u8> {
    let heads = session::summaries(workspace)?;
    // One that was taken away may have left sessions.
    if let Some(agent) = args.agent.as_deref().filter(|agent| !definitions::has_agent(workspace, agent))
        && !heads.iter().any(|(name, _)| session_name::agent(name) == agent)
    {
        return Err(definitions::unknown(workspace, agent));
    }
    let wanted = args.grep.as_ref().map(|text| text.to_lowercase());
    let source = |head: &SessionSummary| head.source.as_ref().map(ToString::to_string).unwrap_or_default();
    let is_wanted = |(name, head): &(String, SessionSummary)| {
        args.agent.as_ref().is_none_or(|agent| session_name::agent(name) == agent)
            && wanted.as_ref().is_none_or(|text| {
                [name, &head.title, &source(head)].iter().any(|part| part.to_lowercase().contains(text))
            })
    };
    let mut found: Vec<(String, SessionSummary)> = heads.into_iter().filter(is_wanted).collect();
    found.sort_unstable_by(|a, b| b.1.updated.cmp(&a.1.updated).then_with(|| a.0.cmp(&b.0)));
    found.truncate(args.limit.unwrap_or(usize::MAX));
    if args.json {
        let lines: Vec<String> = found.iter().map(|(name, head)| document(name, head).to_string() + "\n").collect();
        out::raw(&lines.concat())?;
        return Ok(0);
    }
    let heads = ["session", "agent", "source", "messages", "tokens", "last activity", "title"].map(ToOwned::to_owned);
    let mut rows = vec![heads];
    rows.extend(found.iter().map(|(name, head)| {
        [
            name.clone(),
            session_name::agent(name).to_owned(),
            source(head),
            head.messages.to_string(),
            head.tokens().to_string(),
            head.updated.map(|at| world::local(at.into())).unwrap_or_default(),
            out::plain(&head.title),
        ]
    }));
    if rows.len() > 1 {
        out::raw(&table(&rows))?;
    }
    Ok(0)
}

/// The rows in columns that line up; what is counted stands to the right.
fn table(rows: &[[String; 7]]) -> String {
    let mut widths = [0; 7];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            match at {
                // Nothing stands behind it that would have to line up.
                6 => text += cell,
                3 | 4 => text += &format!("{cell:>width$}  "),
                _ => text += &format!("{cell:<width$}  "),
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn document(name: &str, head: &SessionSummary) -> Value {
    json!({
        "session": name, "agent": session_name::agent(name), "source": head.source, "title": head.title,
        "messages": head.messages, "input": head.input, "output": head.output,
        "created": head.created, "updated": head.updated,
    })
}

fn show(args: &Show, workspace: &Workspace) -> Result<u8> {
    let session = match &args.name {
        Some(name) => session::find(workspace, name)?,
        None => last::name(workspace)
            .ok_or_else(|| Fault::new(Kind::Usage, "no session was asked last").hint("say which: `claw sessions`"))?,
    };
    if args.json {
        let mut lines = String::new();
        let mut bad = Ok(());
        log::each(workspace, &session, |record| match serde_json::to_string(&record) {
            Ok(json) => lines += &(json + "\n"),
            Err(e) => bad = Err(Fault::data(e.to_string())),
        })?;
        bad?;
        out::raw(&lines)?;
        return Ok(0);
    }
    let form = if args.markdown {
        TranscriptFormat::Markdown
    } else {
        TranscriptFormat::Plain { is_dimmed: out::has_colour(&workspace.world) }
    };
    transcript::print(workspace, &session, form)?;
    Ok(0)
}
