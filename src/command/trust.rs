//! `claw trust [DIR]`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::config;
use crate::core::fault::{Fault, Result};
use crate::core::text::line_diff;
use crate::store::agent::definitions;
use crate::store::workspace::Workspace;
use crate::store::workspace::programs::{self, Program};
use crate::store::workspace::trust;
use crate::world::World;
use std::path::PathBuf;

/// The most lines of a changed program that are printed.
const MAX_LINES: usize = 400;

/// Trust the workspace: permit the programs and servers that it configures, in their present version
///
/// The programs of models and channels that are files of the workspace are trusted with their content: a changed one is
/// not run until you trust it again. Everything else goes on meanwhile.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only print the programs and their changes
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// The workspace [default: the current folder or its nearest parent that is one]
    pub dir: Option<PathBuf>,
}

/// Trusts a workspace and its programs, and prints the changes of the programs first.
///
/// # Errors
/// If there is none, or the list of trusted workspaces cannot be written.
pub fn run(args: Args, here: &Here) -> Result<u8> {
    let start = args.dir.or_else(|| here.workspace.clone()).unwrap_or_else(|| PathBuf::from("."));
    let start = start.canonicalize().map_err(|e| Fault::config(format!("{}: {e}", start.display())))?;
    let root = start.ancestors().find(|dir| dir.join(config::FILE).is_file());
    let root =
        root.ok_or_else(|| Fault::config(format!("there is no {} in {} or above", config::FILE, start.display())))?;
    // A workspace that no other command can open is not trusted either.
    let workspace = Workspace::open(World::real()?, root.to_path_buf(), true)?;
    let mut all = Vec::new();
    for command in commands(&workspace)? {
        all.extend(programs::of(&workspace, &command)?);
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all.dedup_by(|a, b| a.path == b.path);
    all.iter().try_for_each(|program| show(&workspace, program))?;
    if args.dry_run {
        return Ok(0);
    }
    trust::trust(&here.world, &workspace.root)?;
    programs::remember(&workspace, &all.iter().collect::<Vec<_>>())?;
    out::line(&format!("trusted {}", root.display()))?;
    Ok(0)
}

/// The commands of models, of agents' own models and of channels.
fn commands(workspace: &Workspace) -> Result<Vec<Vec<String>>> {
    let config = match workspace.config() {
        Ok(config) => config,
        // Invalid settings run nothing; each program is remembered at its first use.
        Err(fault) => {
            out::print_fault(&fault);
            return Ok(Vec::new());
        }
    };
    let models = config.models.values().map(|model| model.command.clone());
    let channels = config.channels.commands().map(|(_, command)| command.clone());
    let agents = definitions::llms(workspace)?.into_iter().map(|model| model.command.clone());
    Ok(models.chain(channels).chain(agents).collect())
}

/// Prints a program, and the difference to its trusted version.
fn show(workspace: &Workspace, program: &Program) -> Result<()> {
    let (path, hash) = (out::row(&program.path), program.hash());
    let change = if program.is_changed() { ", changed" } else { "" };
    out::line(&format!("{path} ({} bytes, blake3 {}{change})", program.bytes.len(), &hash[..16]))?;
    if !program.is_changed() {
        return Ok(());
    }
    match (program.trusted_text(workspace), std::str::from_utf8(&program.bytes)) {
        (Some(old), Ok(new)) => {
            line_diff::lines(&old, new, MAX_LINES).iter().try_for_each(|line| out::line(&format!("    {line}")))
        }
        _ => out::line("    (its change cannot be shown as text)"),
    }
}
