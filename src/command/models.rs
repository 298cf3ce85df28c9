//! `claw models`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::config::resolved_model::ResolvedModel;
use crate::core::config::{Config, OFFLINE};
use crate::core::definition::Agent;
use crate::core::fault::{Fault, Result};
use crate::core::model::cassette::without_secrets;
use crate::core::model::{REPLY_SCHEMA, REQUEST_SCHEMA};
use crate::provider::{self, Key, ModelStatus};
use crate::store::agent::definitions;
use serde_json::{Value, json};
use std::sync::Arc;

/// Show which models are set up, and whether they are there
///
/// These are the models of claw.yaml, those that agents name besides, and the built-in one; * marks the one that is
/// used where an agent names none. A server is asked for its list of models, with three seconds to answer; no model is
/// asked anything. In a workspace that is not trusted nobody is contacted.
///
/// The exit code is about the models that are named here, else about the default one: 69 where it is not there, 78
/// where it cannot be used as it is set up.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only these
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Contact nobody
    #[arg(short = 'n', long)]
    offline: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of what a command model reads or writes, and nothing else
    #[arg(long, value_name = "WHICH", value_enum, conflicts_with_all = ["names", "offline", "json"])]
    schema: Option<Schema>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Schema {
    /// What it reads on stdin
    Request,
    /// What it writes on stdout
    Reply,
}

/// A model, and who uses it.
struct ModelRow {
    chosen: ResolvedModel,
    is_default: bool,
    agents: Vec<String>,
    base: Option<String>,
    key: Option<Key>,
    standing: ModelStatus,
}

/// Lists models, and how they stand.
///
/// # Errors
/// `Config` where `claw.yaml` is bad, or where no model has a name that is given.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    match args.schema {
        Some(Schema::Request) => return out::raw(REQUEST_SCHEMA).map(|()| 0),
        Some(Schema::Reply) => return out::raw(REPLY_SCHEMA).map(|()| 0),
        None => {}
    }
    let workspace = here.look()?;
    let config = workspace.config()?;
    let agents: Vec<Arc<Agent>> =
        definitions::agents(&workspace)?.into_iter().filter_map(|(_, read)| read.ok()).collect();
    let users = |name: &str| -> Vec<String> {
        let uses = |agent: &&Arc<Agent>| agent.model.as_deref().unwrap_or(&config.model) == name;
        agents.iter().filter(uses).map(|agent| agent.id.clone()).collect()
    };
    let (chosen, wrong) = choose(&config, &args.names, &agents)?;
    if !workspace.is_trusted && !args.offline {
        out::tell(&format!(
            "{} is not trusted, so nobody is contacted; say `claw trust` in it",
            workspace.root.display()
        ));
    }
    let standings = provider::look(&workspace, &chosen, !args.offline && workspace.is_trusted)?;
    let rows: Vec<ModelRow> = chosen
        .into_iter()
        .zip(standings)
        .map(|(chosen, standing)| ModelRow {
            is_default: chosen.name == config.model,
            agents: users(&chosen.name),
            base: provider::base(&workspace, &chosen),
            key: provider::key(&workspace, &chosen),
            chosen,
            standing,
        })
        .collect();
    if args.json {
        out::json(&rows.iter().map(document).collect::<Vec<_>>())?;
    } else {
        table(&rows)?;
    }
    if let Some(fault) = wrong {
        return Err(fault);
    }
    let judged = rows.iter().filter(|row| row.is_default || !args.names.is_empty());
    let codes = judged.map(|row| match &row.standing {
        ModelStatus::Unusable(fault) => fault.exit_code(),
        _ => 0,
    });
    Ok(codes.max().unwrap_or(0))
}

/// The models that are meant, and what is wrong with the default one where it is none.
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
    // An agent's wrong one is told by `check`.
    Ok((names.into_iter().filter_map(|name| find(name).ok()).collect(), find(&config.model).err()))
}

/// Where it is: a server, a program, or in this one.
fn place(base: Option<&str>, chosen: &ResolvedModel) -> String {
    match base {
        Some(base) => without_secrets(base),
        None if !chosen.model.command.is_empty() => chosen.model.command.join(" "),
        None if chosen.model.cassette.is_some() => chosen.model.cassette.clone().unwrap_or_default(),
        None if chosen.model.provider.as_deref() == Some(OFFLINE) => "built in".to_owned(),
        None => "-".to_owned(),
    }
}

/// What a fault says, without the name that stands beside it anyway.
fn why(row: &ModelRow, fault: &Fault) -> String {
    let text = fault.to_string();
    text.strip_prefix(&format!("model {}: ", row.chosen.name)).unwrap_or(&text).to_owned()
}

fn state(row: &ModelRow) -> String {
    match &row.standing {
        ModelStatus::Ready => "ready".to_owned(),
        ModelStatus::Taped { played, all } => format!("{played} of {all} exchanges are played"),
        ModelStatus::Unasked => "not asked".to_owned(),
        ModelStatus::Reachable { has_model: Some(false), .. } => {
            format!("reachable, but it lists no model `{}`", row.chosen.model.model.as_deref().unwrap_or_default())
        }
        ModelStatus::Reachable { .. } => "reachable".to_owned(),
        ModelStatus::Unusable(fault) => why(row, fault),
    }
}

fn table(rows: &[ModelRow]) -> Result<()> {
    let mut lines =
        vec![["  name", "provider", "model", "where", "key", "at once", "fallback", "state"].map(str::to_owned)];
    for row in rows {
        let model = &row.chosen.model;
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let key = row.key.as_ref().map(|key| format!("{}{}", key.from, if key.is_there { "" } else { " (missing)" }));
        lines.push([
            format!("{} {}", if row.is_default { '*' } else { ' ' }, row.chosen.name),
            or_none(model.provider.clone()),
            or_none(model.model.clone()),
            place(row.base.as_deref(), &row.chosen),
            or_none(key),
            or_none(model.max_concurrency.map(|most| most.to_string())),
            or_none(Some(model.fallback.join(", ")).filter(|names| !names.is_empty())),
            state(row),
        ]);
    }
    let width = |n: usize| lines.iter().map(|line| line[n].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        out::line(out::plain(&cells.collect::<Vec<_>>().join("  ")).trim_end())?;
    }
    Ok(())
}

fn document(row: &ModelRow) -> Value {
    let model = &row.chosen.model;
    let (reachable, has_model, ms) = match &row.standing {
        ModelStatus::Ready | ModelStatus::Taped { .. } => (Some(true), None, None),
        ModelStatus::Reachable { ms, has_model } => (Some(true), *has_model, Some(*ms)),
        ModelStatus::Unusable(_) => (Some(false), None, None),
        ModelStatus::Unasked => (None, None, None),
    };
    let fault = match &row.standing {
        ModelStatus::Unusable(fault) => Some(fault),
        _ => None,
    };
    json!({
        "name": row.chosen.name, "default": row.is_default, "agents": row.agents,
        "provider": model.provider, "model": model.model, "api_base": row.base.as_deref().map(without_secrets),
        "command": (!model.command.is_empty()).then_some(&model.command),
        "cassette": model.cassette,
        "key": row.key.as_ref().map(|key| json!({"from": key.from, "is_there": key.is_there})),
        "max_concurrency": model.max_concurrency, "fallback": model.fallback,
        "reachable": reachable, "has_model": has_model, "ms": ms,
        "problem": fault.map(|fault| why(row, fault)), "exit_code": fault.map_or(0, Fault::exit_code),
    })
}
