//! `claw keys set|list|rm`

use crate::command::Here;
use crate::command::terminal::{dialog, out};
use crate::core::config::FILE;
use crate::core::definition::Agent;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::services::{self, Service};
use crate::provider;
use crate::store::workspace::Workspace;
use crate::store::workspace::key_file;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

/// Set, list and remove the keys of models; keys are never printed
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Write a key into its file, which only you can read; asks for it, or reads stdin
    Set {
        /// The model in claw.yaml
        #[arg(value_name = "NAME")]
        name: String,
        /// Accept a key that does not look like one of its provider
        #[arg(short, long)]
        force: bool,
    },
    /// List the keys: their models, sources, and whether they are there
    List {
        /// Print JSON Lines
        #[arg(long)]
        json: bool,
    },
    /// Remove a key file
    Rm {
        /// The model in claw.yaml, or the name of a file in .secrets/
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

/// A key.
struct KeyRow {
    /// The model that uses it; empty for a file that no model names.
    name: String,
    source: String,
    is_there: bool,
    /// Other users may read the file.
    is_open: bool,
}

/// Sets, lists or removes keys.
///
/// # Errors
/// `Config` if no such model is configured, `Data` for a key that cannot be one.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    match &args.action {
        Action::Set { name, force } => set(&workspace, name, *force),
        Action::List { json } => list(&workspace, *json),
        Action::Rm { names } => out::each_argument(names, |name| remove(&workspace, name)),
    }
}

fn set(workspace: &Workspace, name: &str, is_forced: bool) -> Result<u8> {
    let config = workspace.config()?;
    let model = config.resolve_model(&Agent::default(), Some(name))?.model;
    if let Some(variable) = &model.api_key_env {
        return Err(Fault::new(Kind::Usage, format!("model {name} takes its key from ${variable}"))
            .hint("set that variable, or run `claw setup` to use a key file instead"));
    }
    let service = Service::of(&model);
    let typed = if dialog::can_ask() { dialog::secret("Key, not shown: ")? } else { out::stdin()? };
    let key = services::check_key(&typed)?;
    if let Some(doubt) = services::doubt(service, key).filter(|_| !is_forced) {
        return Err(Fault::data(format!("this is no key of {}: {doubt}", service.title)).hint("--force takes it"));
    }
    let file = model.api_key_file.clone().unwrap_or_else(|| key_file::file(name));
    key_file::write(workspace, &file, key)?;
    out::message(&format!("the key is in {file}, which only you can read"));
    if model.api_key_file.is_none() {
        out::message(&format!("{FILE} does not name the file yet: claw config set models.{name}.api_key_file {file}"));
    }
    Ok(0)
}

fn list(workspace: &Workspace, as_json: bool) -> Result<u8> {
    let config = workspace.config()?;
    let mut rows = Vec::new();
    for name in config.models.keys() {
        let chosen = config.resolve_model(&Agent::default(), Some(name))?;
        if let Some(key) = provider::key(workspace, &chosen) {
            let is_open = chosen.model.api_key_file.as_deref().is_some_and(|file| is_open(workspace, file));
            rows.push(KeyRow { name: name.clone(), source: key.from, is_there: key.is_there, is_open });
        }
    }
    let is_used = |file: &str| config.models.values().any(|model| model.api_key_file.as_deref() == Some(file));
    let unused = key_file::list(workspace).into_iter().filter(|file| !is_used(file));
    rows.extend(unused.map(|source| KeyRow {
        name: String::new(),
        is_open: is_open(workspace, &source),
        source,
        is_there: true,
    }));
    for row in &rows {
        if as_json { out::json(&document(row))? } else { out::line(&describe(row))? }
    }
    let unused = provider::keys_in_environment(&workspace.world)
        .filter(|variable| !rows.iter().any(|row| row.source == format!("${variable}")));
    for variable in unused {
        out::message(&format!("{variable} is set, and no model uses it; `claw setup` adds one"));
    }
    Ok(0)
}

fn is_open(workspace: &Workspace, file: &str) -> bool {
    workspace.path(file).metadata().is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

fn describe(row: &KeyRow) -> String {
    let name = if row.name.is_empty() { "-" } else { &row.name };
    let state = match row {
        KeyRow { is_there: false, .. } => "missing".to_owned(),
        KeyRow { is_open: true, source, .. } => format!("other users may read it: chmod 600 {source}"),
        KeyRow { name, .. } if name.is_empty() => format!("no model in {FILE} uses it"),
        _ => "ok".to_owned(),
    };
    out::row(&format!("{name:<16} {:<28} {state}", row.source))
}

fn document(row: &KeyRow) -> Value {
    json!({
        "model": (!row.name.is_empty()).then_some(&row.name), "source": row.source, "available": row.is_there,
        "readable_by_others": row.is_open,
    })
}

fn remove(workspace: &Workspace, name: &str) -> Result<()> {
    let named = workspace.config()?.models.get(name).and_then(|model| model.api_key_file.clone());
    let is_named = named.is_some();
    let file = named.unwrap_or_else(|| key_file::file(name));
    if !key_file::remove(workspace, &file)? {
        return Err(Fault::data(format!("there is no key file {file}")).hint("`claw keys list` shows the keys"));
    }
    let note = if is_named { format!("; {FILE} still names it, so {name} has no key now") } else { String::new() };
    out::message(&format!("{file} was removed{note}"));
    Ok(())
}
