//! `claw models`

use crate::command::Here;
use crate::command::terminal::style::spinner::Spinner;
use crate::command::terminal::style::table::TextTable;
use crate::command::terminal::{change, out, style};
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::config::{Config, OFFLINE, edit};
use crate::core::definition::Agent;
use crate::core::fault::{Fault, Result};
use crate::core::model::cassette::without_secrets;
use crate::core::model::{REPLY_SCHEMA, REQUEST_SCHEMA};
use crate::provider::{self, Key, ModelStatus};
use crate::store::agent::definitions;
use crate::store::workspace::{Workspace, settings_file};
use crate::world::World;
use serde_json::{Value, json};
use std::sync::Arc;

/// List the configured models, and check that they can be reached
///
/// The list has the models of claw.yaml, other models that agents name, and the built-in one; * marks the default
/// model. Each server is asked for its list of models, with a timeout of three seconds; no model call is made. In a
/// workspace that is not trusted no server is contacted.
///
/// The exit code applies to the named models, or to the default model if none is named: 69 if it cannot be reached, 78
/// if it is not configured correctly.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Only these models
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Contact no server
    #[arg(short = 'n', long)]
    offline: bool,
    /// List the models that the servers of these models offer, or the default model's server
    #[arg(long, conflicts_with = "offline")]
    available: bool,
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
    /// Print only the JSON Schema of the input or the output of a `command` model
    #[arg(long, value_name = "WHICH", value_enum, conflicts_with_all = ["names", "offline", "available", "json"])]
    schema: Option<Schema>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a model the default one: sets `model:` in claw.yaml
    Use {
        /// A name below `models:`, PROVIDER/MODEL, or offline
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Schema {
    /// Its stdin
    Request,
    /// Its stdout
    Reply,
}

/// A model, its users and its state.
struct ModelRow {
    chosen: ResolvedModel,
    is_default: bool,
    agents: Vec<String>,
    base: Option<String>,
    key: Option<Key>,
    status: ModelStatus,
}

/// Lists models and their states.
///
/// # Errors
/// `Config` if `claw.yaml` is invalid or a named model is not configured.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    match args.schema {
        Some(Schema::Request) => return out::raw(REQUEST_SCHEMA).map(|()| 0),
        Some(Schema::Reply) => return out::raw(REPLY_SCHEMA).map(|()| 0),
        None => {}
    }
    let workspace = here.look()?;
    if let Some(Action::Use { name }) = &args.action {
        return use_model(&workspace, name);
    }
    let config = workspace.config()?;
    if args.available {
        return available(args, &workspace, &config);
    }
    let agents: Vec<Arc<Agent>> =
        definitions::agents(&workspace)?.into_iter().filter_map(|(_, read)| read.ok()).collect();
    let users = |name: &str| -> Vec<String> {
        let uses = |agent: &&Arc<Agent>| agent.model.as_deref().unwrap_or(&config.model) == name;
        agents.iter().filter(uses).map(|agent| agent.id.clone()).collect()
    };
    let (chosen, fault) = choose(&config, &args.names, &agents)?;
    if !workspace.is_trusted && !args.offline {
        out::message(&format!(
            "{} is not trusted, so no server is contacted; run `claw trust` in it",
            workspace.root.display()
        ));
    }
    let spinner = Spinner::start(&workspace.world, "asking the servers");
    let states = provider::statuses(&workspace, &chosen, !args.offline && workspace.is_trusted)?;
    drop(spinner);
    let rows: Vec<ModelRow> = chosen
        .into_iter()
        .zip(states)
        .map(|(chosen, status)| ModelRow {
            is_default: chosen.name == config.model,
            agents: users(&chosen.name),
            base: provider::base(&workspace, &chosen),
            key: provider::key(&workspace, &chosen),
            chosen,
            status,
        })
        .collect();
    if args.json {
        rows.iter().try_for_each(|row| out::json(&document(row)))?;
    } else {
        table(&workspace.world, &rows)?;
    }
    if let Some(fault) = fault {
        return Err(fault);
    }
    let checked = rows.iter().filter(|row| row.is_default || !args.names.is_empty());
    let codes = checked.map(|row| match &row.status {
        ModelStatus::Unusable(fault) => fault.exit_code(),
        _ => 0,
    });
    Ok(codes.max().unwrap_or(0))
}

/// Sets the default model.
fn use_model(workspace: &Workspace, name: &str) -> Result<u8> {
    let config = workspace.config()?;
    let chosen = config.resolve_model(&Agent::default(), Some(name))?;
    if let Some((_, problem)) = chosen.model.problem() {
        return Err(Fault::config(format!("model {name}{problem}")));
    }
    if !provider::names().any(|known| chosen.model.provider.as_deref() == Some(known)) {
        let provider = chosen.model.provider.unwrap_or_default();
        return Err(Fault::config(format!("there is no provider `{}`", provider.escape_debug()))
            .hint(format!("there are: {}", provider::names().collect::<Vec<_>>().join(", "))));
    }
    let old = settings_file::read(workspace)?;
    let new = edit::set(&old, &["model".to_owned()], &name.into())?;
    change::write(workspace, &old, &new)?;
    if provider::key(workspace, &chosen).is_some_and(|key| !key.is_there) {
        out::message(&format!("{name} has no key yet: claw setup"));
    }
    Ok(0)
}

/// Prints the models that servers offer, by the model whose server was asked.
fn available(args: &Args, workspace: &Workspace, config: &Config) -> Result<u8> {
    let names = if args.names.is_empty() { vec![config.model.clone()] } else { args.names.clone() };
    let find = |name: &String| config.resolve_model(&Agent::default(), Some(name));
    let chosen: Vec<ResolvedModel> = names.iter().map(find).collect::<Result<_>>()?;
    chosen.iter().try_for_each(|chosen| workspace.permit_model(chosen))?;
    let mut code = 0;
    for (chosen, listed) in chosen.iter().zip(provider::available(workspace, &chosen)?) {
        let models = match listed {
            Ok(models) => models,
            Err(fault) => {
                out::print_fault(&fault);
                code = code.max(fault.exit_code());
                continue;
            }
        };
        for model in models {
            let is_used = chosen.model.model.as_deref() == Some(model.as_str());
            match (args.json, names.len()) {
                (true, _) => out::json(&json!({"name": chosen.name, "model": model, "used": is_used}))?,
                (false, 1) => out::line(&out::row(&model))?,
                (false, _) => out::line(&out::row(&format!("{}  {model}", chosen.name)))?,
            }
        }
    }
    Ok(code)
}

/// The models to list, and the fault of the default model if it cannot be used.
fn choose(config: &Config, only: &[String], agents: &[Arc<Agent>]) -> Result<(Vec<ResolvedModel>, Option<Fault>)> {
    let find = |name: &str| config.resolve_model(&Agent::default(), Some(name));
    if !only.is_empty() {
        return Ok((only.iter().map(|name| find(name)).collect::<Result<_>>()?, None));
    }
    let mut names: Vec<&str> = config.models.keys().map(String::as_str).collect();
    let others = agents.iter().filter_map(|agent| agent.model.as_deref());
    for name in [&config.model[..]].into_iter().chain(others).chain([OFFLINE]) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    // `check` reports the invalid model of an agent.
    Ok((names.into_iter().filter_map(|name| find(name).ok()).collect(), find(&config.model).err()))
}

/// The model's server, program or cassette.
fn location(base: Option<&str>, chosen: &ResolvedModel) -> String {
    match base {
        Some(base) => without_secrets(base),
        None if !chosen.model.command.is_empty() => chosen.model.command.join(" "),
        None if chosen.model.cassette.is_some() => chosen.model.cassette.clone().unwrap_or_default(),
        None if chosen.model.provider.as_deref() == Some(OFFLINE) => "built in".to_owned(),
        None => "-".to_owned(),
    }
}

/// The text of a fault, without the model's name, which is in the same row.
fn fault_text(row: &ModelRow, fault: &Fault) -> String {
    let text = fault.to_string();
    text.strip_prefix(&format!("model {}: ", row.chosen.name)).unwrap_or(&text).to_owned()
}

fn state(row: &ModelRow) -> String {
    match &row.status {
        ModelStatus::Ready => "ready".to_owned(),
        ModelStatus::Replay { played, all } => format!("{played} of {all} exchanges replayed"),
        ModelStatus::NotContacted => "not checked".to_owned(),
        ModelStatus::Reachable { has_model: Some(false), .. } => {
            format!(
                "reachable, but it does not list the model `{}`",
                row.chosen.model.model.as_deref().unwrap_or_default()
            )
        }
        ModelStatus::Reachable { .. } => "reachable".to_owned(),
        ModelStatus::Unusable(fault) => fault_text(row, fault),
    }
}

fn table(world: &World, rows: &[ModelRow]) -> Result<()> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let cells = |row: &ModelRow| {
        let model = &row.chosen.model;
        let key = row.key.as_ref().map(|key| format!("{}{}", key.from, if key.is_there { "" } else { " (missing)" }));
        let cells = [
            format!("{} {}", if row.is_default { '*' } else { ' ' }, row.chosen.name),
            or_none(model.provider.clone()),
            or_none(model.model.clone()),
            location(row.base.as_deref(), &row.chosen),
            or_none(key),
            or_none(model.max_concurrency.map(|most| most.to_string())),
            or_none(Some(model.fallback.join(", ")).filter(|names| !names.is_empty())),
            state(row),
        ];
        cells.map(|cell| out::row(&cell)).to_vec()
    };
    let head = ["  name", "provider", "model", "location", "key", "concurrency", "fallback", "status"];
    let table = TextTable { head: &head, rows: rows.iter().map(cells).collect(), right: &[], whole: &[] };
    table.lines(style::width(world)).iter().try_for_each(|line| out::line(line))
}

fn document(row: &ModelRow) -> Value {
    let model = &row.chosen.model;
    let (reachable, has_model, ms) = match &row.status {
        ModelStatus::Ready | ModelStatus::Replay { .. } => (Some(true), None, None),
        ModelStatus::Reachable { ms, has_model } => (Some(true), *has_model, Some(*ms)),
        ModelStatus::Unusable(_) => (Some(false), None, None),
        ModelStatus::NotContacted => (None, None, None),
    };
    let fault = match &row.status {
        ModelStatus::Unusable(fault) => Some(fault),
        _ => None,
    };
    json!({
        "name": row.chosen.name, "default": row.is_default, "agents": row.agents,
        "provider": model.provider, "model": model.model, "api_base": row.base.as_deref().map(without_secrets),
        "command": (!model.command.is_empty()).then_some(&model.command),
        "cassette": model.cassette,
        "key": row.key.as_ref().map(|key| json!({"source": key.from, "available": key.is_there})),
        "max_concurrency": model.max_concurrency, "fallback": model.fallback,
        "reachable": reachable, "model_listed": has_model, "duration_ms": ms,
        "problem": fault.map(|fault| fault_text(row, fault)), "exit_code": fault.map_or(0, Fault::exit_code),
    })
}
