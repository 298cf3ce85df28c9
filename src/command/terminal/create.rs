//! Creating a workspace: by `init`, or by the first `ask` without a workspace.

use crate::command::terminal::out;
use crate::core::config::OFFLINE;
use crate::core::fault::{Fault, Result};
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
    if world.var("OPENAI_API_KEY").is_some() {
        let base = world.var("OPENAI_BASE_URL").map(|b| format!(", api_base: \"{b}\"")).unwrap_or_default();
        return named("gpt", "openai", format!("model: gpt-5-mini, api_key_env: OPENAI_API_KEY{base}"));
    }
    if world.var("ANTHROPIC_API_KEY").is_some() {
        let base = world.var("ANTHROPIC_BASE_URL").map(|b| format!(", api_base: \"{b}\"")).unwrap_or_default();
        return named("claude", "anthropic", format!("model: claude-sonnet-5, api_key_env: ANTHROPIC_API_KEY{base}"));
    }
    if world.var("OPENROUTER_API_KEY").is_some() {
        let base = "https://openrouter.ai/api/v1";
        return named(
            "openrouter",
            "openai",
            format!("model: openrouter/auto, api_key_env: OPENROUTER_API_KEY, api_base: \"{base}\""),
        );
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
