//! `claw agents [show ID | edit ID]`

use crate::command::Here;
use crate::command::terminal::edit::EditorDraft;
use crate::command::terminal::out;
use crate::core::config::Sync;
use crate::core::definition::{Agent, agent};
use crate::core::event::origin::SenderClass;
use crate::core::event::{EventKind, session_name};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::tool::Approve;
use crate::store::agent::access::WRITE;
use crate::store::agent::definitions;
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::workspace::Workspace;
use serde_json::{Map, Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// The file of an agent, in its folder.
const FILE: &str = "AGENT.md";

/// List the agents, show one, and edit its file
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON: one line for each agent
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the settings and the prompt of one agent
    Show {
        /// The agent
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Edit an agent's AGENT.md in $VISUAL or $EDITOR; it is saved only if it is valid
    ///
    /// An invalid text is kept as a draft, with which the next `claw agents edit` goes on.
    Edit {
        /// The agent
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// Lists the agents, or shows one. An agent whose file is invalid is reported on stderr and skipped.
///
/// # Errors
/// `Data` if the agent does not exist, `Config` if its file or `claw.yaml` is invalid.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    if let Some(Action::Edit { id }) = &args.action {
        let workspace = here.open()?;
        edit(&workspace, id)?;
        return if args.json { show(&workspace, &*definitions::agent(&workspace, id)?, true) } else { Ok(0) };
    }
    let workspace = here.look()?;
    if let Some(Action::Show { id }) = &args.action {
        return show(&workspace, &*definitions::agent(&workspace, id)?, args.json);
    }
    let mut code = 0;
    let mut agents = Vec::new();
    for (id, read) in definitions::agents(&workspace)? {
        match read {
            Ok(agent) => agents.push(agent),
            Err(fault) => {
                code = 78;
                out::message(&format!("{id} is skipped: {fault}"));
            }
        }
    }
    if args.json {
        agents.iter().try_for_each(|agent| out::json(&document(&workspace, agent)?))?;
        return Ok(code);
    }
    let width = agents.iter().map(|agent| agent.id.len()).max().unwrap_or(0);
    let default = workspace.config()?.default_agent.clone();
    for agent in agents {
        let mark = if agent.id == default { "*" } else { " " };
        let about = if agent.description.is_empty() { &agent.name } else { &agent.description };
        let about = about.lines().next().unwrap_or_default();
        out::line(format!("{mark} {:<width$}  {about}", agent.id).trim_end())?;
    }
    Ok(code)
}

/// Edits an agent's file. The file on disk is replaced only by a valid text, and only if it is still the one that was
/// edited.
fn edit(workspace: &Workspace, id: &str) -> Result<()> {
    session_name::check_agent(id)?;
    if !definitions::has_agent(workspace, id) {
        return Err(definitions::unknown(workspace, id));
    }
    let path = format!("agents/{id}/AGENT.md");
    let dir = workspace.path(&format!("agents/{id}"));
    let read = || fs::read_to_string(dir.join(FILE)).at("read", &dir.join(FILE));
    let before = read()?;
    let draft = EditorDraft::edit(workspace, &format!("agent-{id}.md"), &before)?;
    if draft.text == before {
        out::message(&format!("{path} is unchanged"));
        return Ok(());
    }
    let kept = || format!("the file is unchanged; `claw agents edit {id}` goes on with the draft {}", draft.path());
    let (_, warnings) =
        agent::read(id, &path, &draft.text, None).map_err(|problem| Fault::data(problem.to_string()).hint(kept()))?;
    if read()? != before {
        return Err(Fault::new(Kind::Failed, format!("{path} has changed meanwhile")).hint(kept()));
    }
    let folder = fs::File::open(&dir).at("open", &dir)?;
    let mode = fs::metadata(dir.join(FILE)).map_or(0o644, |meta| meta.permissions().mode() & 0o777);
    let mode = Some(rustix::fs::Mode::from_raw_mode(mode));
    durable::replace_at(&folder, FILE.as_ref(), ".AGENT.md.new", draft.text.as_bytes(), mode, Sync::Full)
        .at("write", &dir.join(FILE))?;
    draft.discard();
    for warning in warnings {
        out::message(&warning.to_string());
    }
    out::message(&format!("{path} is saved"));
    Ok(())
}

fn show(workspace: &Workspace, agent: &Agent, is_json: bool) -> Result<u8> {
    let document = document(workspace, agent)?;
    if is_json {
        out::json(&document)?;
        return Ok(0);
    }
    let fields = document.as_object().into_iter().flatten();
    for (key, value) in fields.filter(|(key, value)| !matches!(&key[..], "identity" | "soul") && !value.is_null()) {
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        out::line(&format!("{key:<16} {text}"))?;
    }
    out::line(&format!("\n{}", agent.identity))?;
    agent.soul.as_deref().map_or(Ok(()), |soul| out::line(&format!("\n{}", soul.trim()))).map(|()| 0)
}

/// The agent's effective settings. It contains no setting that may hold a key.
fn document(workspace: &Workspace, agent: &Agent) -> Result<Value> {
    let config = workspace.config()?;
    let (model, model_id, problem) = match config.resolve_model(agent, None) {
        Ok(chosen) => {
            let model_id = chosen.model.model.filter(|model| *model != chosen.name);
            (Some(chosen.name), model_id, None)
        }
        Err(fault) => (None, None, Some(fault.to_string())),
    };
    let bound: Vec<&str> =
        config.routing.bindings.iter().filter(|one| one.agent == agent.id).map(|one| one.pattern.as_str()).collect();
    let tools = crate::tool::offered(workspace, agent, SenderClass::Owner, EventKind::Message)?;
    let names: Vec<&str> = tools.iter().map(|tool| &tool.spec.name[..]).collect();
    let rule = |approve: &Approve| match approve {
        Approve::Always(always) => always.then(|| json!(true)),
        Approve::When(condition) => Some(json!(condition)),
        Approve::Where(patterns) => Some(json!(patterns)),
    };
    let approve: Map<String, Value> =
        tools.iter().filter_map(|tool| Some((tool.spec.name.clone(), rule(&tool.approve)?))).collect();
    let mut budget = json!({});
    for limit in agent.budget.limits(None) {
        let period = if limit.is_total { "total" } else { "day" };
        budget[period][limit.measure.name()] = limit.measure.show(limit.max).into();
    }
    let write = agent.write.clone().unwrap_or_else(|| WRITE.map(ToOwned::to_owned).to_vec());
    Ok(json!({
        "id": agent.id, "name": agent.name, "description": agent.description, "path": format!("agents/{}/AGENT.md", agent.id),
        "default": agent.id == config.default_agent, "model": model, "model_id": model_id, "model_problem": problem,
        "max_concurrency": agent.max_concurrency,
        "max_steps": agent.max_steps, "turn_timeout": format!("{:#}", agent.turn_timeout),
        "allow_skills": agent.allow_skills, "tools": names, "approve": approve, "senders": agent.senders, "budget": budget,
        "read": agent.read, "write": write, "network": agent.network,
        "queue": agent.queue, "watch": agent.watch,
        "bindings": bound, "identity": agent.identity, "soul": agent.soul,
    }))
}
