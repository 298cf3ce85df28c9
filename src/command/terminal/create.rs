//! Creating a workspace: by `init`, or by the first `ask` without a workspace.

use crate::command::terminal::out;
use crate::core::config::OFFLINE;
use crate::core::fault::{Fault, Result};
use crate::core::model::services::SERVICES;
use crate::provider;
use crate::store::agent::definitions;
use crate::store::fs::At;
use crate::store::memory::git;
use crate::store::workspace::Workspace;
use crate::store::workspace::{scaffold, trust};
use crate::world::World;
use std::fs;
use std::path::Path;

/// Creates a workspace in `root`, or adds missing files to it; returns a line about it for the user.
///
/// # Errors
/// If a file cannot be written.
pub fn create(world: &World, root: &Path) -> Result<String> {
    fs::create_dir_all(root).at("make", root)?;
    let root = &root.canonicalize().at("find", root)?;
    if let Some(name) = Workspace::linked_folder(root) {
        return Err(Fault::config(format!("{name} is a symbolic link, and nothing is created through it"))
            .hint(format!("replace {} by a folder", root.join(name).display())));
    }
    // A link counts as existing, also one that leads nowhere.
    let existed = root.join(crate::core::config::FILE).symlink_metadata().is_ok();
    let has_repository = root.join(".git").symlink_metadata().is_ok();
    let makes_git = !has_repository && !existed && git::is_installed();
    let (name, lines) = model(world);
    let written = scaffold::write(root, &lines, makes_git)?;
    // An existing workspace may come from another person: adding missing files to it does not trust it.
    let trusted = if existed { Ok(()) } else { trust::trust(world, root) };
    let workspace = Workspace::open(World::real()?, root.clone(), true)?;
    workspace.make_layout()?;
    if makes_git {
        git::init(root, &written.new)?;
    }
    if existed && !trust::is_trusted(world, root) {
        out::message("this workspace existed and is not trusted; run `claw trust` in it");
    }
    for name in &written.existing {
        out::message(&format!("{name} differs from the default and was not changed"));
    }
    for name in &written.linked {
        out::message(&format!("{name} was not written: a part of its path is a symbolic link"));
    }
    if let Err(fault) = trusted {
        out::message(&fault.to_string());
    }
    let git = match (makes_git, has_repository, existed) {
        (false, true, false) => "your git repository, memories.git: false",
        (false, false, _) => "no git",
        _ => "git",
    };
    let agents = definitions::folders(&workspace, "agents")?.len();
    let verb = if existed { "completed" } else { "created" };
    let name = if existed { workspace.config()?.model.clone() } else { name };
    Ok(format!("{verb} {} ({git}, {agents} agents, model: {name})", short(world, root)))
}

/// The model to configure, from the API keys and servers of this machine: its name, and its lines for `claw.yaml`.
#[must_use]
pub fn model(world: &World) -> (String, String) {
    let named = |name: &str, provider: &str, fields: String| {
        (name.to_owned(), format!("model: {name}\nmodels:\n  {name}: {{provider: {provider}, {fields}}}\n"))
    };
    let mut keyed = SERVICES.iter().filter(|service| service.has_key() && world.var(service.key_env).is_some());
    if let Some(service) = keyed.next() {
        let others: Vec<&str> = keyed.map(|service| service.key_env).collect();
        if !others.is_empty() {
            let (taken, others) = (service.key_env, others.join(" and "));
            out::message(&format!(
                "of several keys {taken} was taken, and not {others}; `claw setup` adds another model"
            ));
        }
        let base = world.var(service.base_env).or(service.api_base);
        let base = base.map(|base| format!(", api_base: \"{base}\"")).unwrap_or_default();
        let fields = format!("model: {}, api_key_env: {}{base}", service.model, service.key_env);
        return named(service.name, service.provider, fields);
    }
    if let Some((base, model)) = provider::local_ollama(world) {
        return named("ollama", "ollama", format!("model: \"{model}\", api_base: \"{base}\", num_ctx: 16384"));
    }
    (OFFLINE.to_owned(), "model: offline\n".to_owned())
}

/// The path, with the home folder as `~`.
#[must_use]
pub fn short(world: &World, path: &Path) -> String {
    let home = world.var("HOME").map(Path::new).filter(|h| h.is_absolute());
    match home.and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) if !rest.as_os_str().is_empty() => format!("~/{}", rest.display()),
        _ => path.display().to_string(),
    }
}
