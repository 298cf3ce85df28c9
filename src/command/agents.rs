//! `claw agents [show ID]`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::definition::Agent;
use crate::core::event::EventKind;
use crate::core::event::origin::SenderClass;
use crate::core::fault::Result;
use crate::core::tool::Approve;
use crate::store::agent::access::WRITE;
use crate::store::agent::definitions;
use crate::store::workspace::Workspace;
use serde_json::{Map, Value, json};

/// List the agents
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
}

/// Lists the agents, or shows one. An agent whose file is invalid is reported on stderr and skipped.
///
/// # Errors
/// `Data` if the agent does not exist, `Config` if its file or `claw.yaml` is invalid.
pub fn run(args: &Args, here: Here) -> Result<u8> {
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
