//! `claw config get|set|edit`

use crate::command::Here;
use crate::command::check;
use crate::command::terminal::{change, dialog, out};
use crate::core::config::{self, FILE, describe, edit};
use crate::core::definition::Agent;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::problem::Problem;
use crate::process::interactive;
use crate::store::agent::secrets::is_secret_header;
use crate::store::fs::At;
use crate::store::workspace::{Workspace, settings_file};
use serde_json::json;
use serde_yaml::Value;
use std::fs;

/// Read and change settings of claw.yaml; comments and order stay
#[derive(Debug, clap::Args)]
#[command(after_help = "\
KEY is a path: max_concurrency, models.gpt.model, channels.exec.phone.timeout. A name with a dot stands in double quotes:
models.\"gpt-4.1\".model. Keys are never written by `set`: claw keys set.")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print a setting, or its default
    Get {
        /// The setting [default: all that the file sets]
        #[arg(value_name = "KEY")]
        key: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Set a setting: one line of claw.yaml is changed or added
    Set {
        /// The setting
        #[arg(value_name = "KEY")]
        key: String,
        /// A word, a number, true or false, or a list: '[telegram:42]'
        #[arg(value_name = "VALUE", allow_hyphen_values = true)]
        value: String,
    },
    /// Remove a setting, so that its default applies
    Unset {
        /// The setting
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Open claw.yaml in $VISUAL or $EDITOR; it is checked before it is saved
    Edit,
}

/// Prints, sets, removes or edits settings.
///
/// # Errors
/// `Usage` for an unknown key, `Config` for an invalid value, `Failed` if the editor fails; then nothing is changed.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    match &args.action {
        Action::Get { key, json } => get(&workspace, key.as_deref(), *json),
        Action::Set { key, value } => set(&workspace, key, value),
        Action::Unset { key } => unset(&workspace, key),
        Action::Edit => open_editor(&workspace),
    }
}

fn get(workspace: &Workspace, key: Option<&str>, json: bool) -> Result<u8> {
    let text = settings_file::read(workspace)?;
    config::parse(&text)?;
    let path = key.map(edit::path).transpose()?.unwrap_or_default();
    let known = if path.is_empty() { Value::Null } else { describe::default(&path)? };
    let value = edit::get(&text, &path).unwrap_or(known);
    let value = without_secrets(value, path.last().map(String::as_str).unwrap_or_default());
    if json {
        out::json(&json!({"key": key.unwrap_or_default(), "value": value}))?;
        return Ok(u8::from(value.is_null()));
    }
    match &value {
        Value::Null if key.is_some() => {
            out::message(&format!("{} is not set", key.unwrap_or_default()));
            return Ok(1);
        }
        Value::String(text) => out::line(text)?,
        value => out::line(serde_yaml::to_string(value).unwrap_or_default().trim_end())?,
    }
    Ok(0)
}

/// The value with every key hidden.
fn without_secrets(value: Value, key: &str) -> Value {
    match value {
        Value::Mapping(map) => {
            let pairs = map.into_iter().map(|(key, value)| {
                let name = key.as_str().unwrap_or_default().to_owned();
                (key, without_secrets(value, &name))
            });
            Value::Mapping(pairs.collect())
        }
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(|item| without_secrets(item, "")).collect()),
        other if is_secret(key) && !other.is_null() => "[hidden]".into(),
        other => other,
    }
}

/// Whether the setting of this name holds a key itself, and not the place of one.
fn is_secret(key: &str) -> bool {
    is_secret_header(key)
        && !key.ends_with("_env")
        && !key.ends_with("_file")
        && !key.contains("tokens")
        && !key.ends_with("_timeout")
}

fn set(workspace: &Workspace, key: &str, value: &str) -> Result<u8> {
    let path = edit::path(key)?;
    if path.last().is_some_and(|last| is_secret(last)) {
        let name = path.get(1).map_or("NAME", String::as_str);
        return Err(Fault::new(Kind::Usage, format!("{key} would put a key into {FILE}, which is often shared"))
            .hint(format!("`claw keys set {name}` writes a key file that only you can read")));
    }
    describe::default(&path)?;
    let old = settings_file::read(workspace)?;
    config::parse(&old)?;
    let mut last = None;
    for value in candidates(value) {
        let new = edit::set(&old, &path, &value)?;
        match config::parse(&new) {
            Ok((config, _)) => {
                if path == ["model"] {
                    config.resolve_model(&Agent::default(), None)?;
                }
                return write(workspace, &old, &new);
            }
            Err(problem) => last = last.or(Some(problem)),
        }
    }
    let fault = last.map_or_else(|| Fault::data("no value"), Fault::from);
    Err(Fault { message: format!("{key} was not set: {}", fault.message), ..fault })
}

/// Writes the new text, and names the problems that it brings: an agent that does not exist, a missing price.
fn write(workspace: &Workspace, old: &str, new: &str) -> Result<u8> {
    let before = check::of_settings(workspace);
    change::write(workspace, old, new)?;
    let is_new = |problem: &Problem| !before.iter().any(|known| known.message == problem.message);
    for problem in check::of_settings(workspace).into_iter().filter(is_new) {
        out::message(&problem.to_string());
    }
    Ok(0)
}

/// The meanings of a value, the likeliest first: as YAML, unless that is a section, then as text.
fn candidates(text: &str) -> Vec<Value> {
    let yaml = serde_yaml::from_str::<Value>(text).ok().filter(|value| !value.is_mapping() && !value.is_null());
    let mut all: Vec<Value> = yaml.into_iter().collect();
    let text = Value::from(text);
    if !all.contains(&text) {
        all.push(text);
    }
    all
}

fn unset(workspace: &Workspace, key: &str) -> Result<u8> {
    let path = edit::path(key)?;
    let old = settings_file::read(workspace)?;
    if edit::get(&old, &path).is_none() {
        out::message(&format!("{key} is not set"));
        return Ok(1);
    }
    let new = edit::remove(&old, &path)?;
    write(workspace, &old, &new)
}

/// Lets the user edit a copy, and takes it over once it is valid. A copy that is not taken over stays, so that no work is
/// lost.
fn open_editor(workspace: &Workspace) -> Result<u8> {
    let program = ["VISUAL", "EDITOR"].into_iter().find_map(|name| workspace.world.var(name)).unwrap_or("vi");
    let old = settings_file::read(workspace)?;
    let dir = workspace.path(".claw");
    let copy = dir.join(format!("{FILE}.edit-{}.yaml", std::process::id()));
    fs::create_dir_all(&dir).at("make", &dir)?;
    fs::write(&copy, &old).at("write", &copy)?;
    loop {
        let edited = interactive::edit(program, &copy).and_then(|()| fs::read_to_string(&copy).at("read", &copy));
        let new = edited.inspect_err(|_| {
            let _ = fs::remove_file(&copy);
        })?;
        if new == old {
            let _ = fs::remove_file(&copy);
            out::message(&format!("{FILE} is as it was"));
            return Ok(0);
        }
        let problem = if new.trim().is_empty() {
            Some(Fault::config(format!("{FILE} would be empty; a comment alone means the defaults")))
        } else {
            settings_file::check(&new).err()
        };
        match problem {
            None => {
                let code = write(workspace, &old, &new)?;
                let _ = fs::remove_file(&copy);
                return Ok(code);
            }
            Some(fault) => {
                out::print_fault(&fault);
                if !dialog::can_ask() || !dialog::yes("Edit again?", true)? {
                    return Err(Fault { message: format!("{FILE} was not changed: {}", fault.message), ..fault }
                        .hint(format!("your text is in {}", copy.display())));
                }
            }
        }
    }
}
