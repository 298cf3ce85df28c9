//! Weak places of a workspace that no error reports: permissions of files, settings that give up protection, folders
//! that cannot be written, and repositories of agents that run programs.

mod modes;
mod settings;
mod writable;

use crate::core::fault::Result;
use crate::core::text::problem::Problem;
use crate::store::agent::{access, definitions, repositories};
use crate::store::fs::At;
use crate::store::workspace::Workspace;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A weak place.
#[derive(Debug, PartialEq, Eq)]
pub struct Risk {
    /// The problem.
    pub problem: Problem,
    /// The file, and the mode that ends the problem; `None` if a person has to decide.
    pub mode: Option<(PathBuf, u32)>,
}

impl From<Problem> for Risk {
    fn from(problem: Problem) -> Self {
        Self { problem, mode: None }
    }
}

/// Permissions, settings and folders, in this order.
#[must_use]
pub fn of(workspace: &Workspace) -> Vec<Risk> {
    let config = workspace.read_config().ok().map(|(config, _)| config);
    let mut risks = modes::of(workspace, config.as_ref());
    risks.extend(config.iter().flat_map(|config| settings::of(workspace, config)).map(Risk::from));
    risks.extend(writable::of(workspace).into_iter().map(Risk::from));
    risks
}

/// The repositories in folders of agents that run programs, as far as `time` allows to search.
#[must_use]
pub fn repositories(workspace: &Workspace, time: Duration) -> Vec<Problem> {
    let (root, places) = (workspace.real_root(), agent_writable(workspace));
    let search = repositories::search(&root, &places, Instant::now() + time, None);
    let cut = "not all folders of agents were searched for repositories that run programs: there are too many files";
    search.found.into_iter().chain(search.is_cut.then(|| Problem::warning(".", cut))).collect()
}

/// Ends a risk that is only a mode.
///
/// # Errors
/// If the mode cannot be changed.
pub fn fix(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).at("change the mode of", path)
}

/// The real paths that any agent may write; none where agents cannot be listed, which is a problem of its own.
fn agent_writable(workspace: &Workspace) -> Vec<PathBuf> {
    let outlines = definitions::outlines(workspace).unwrap_or_default();
    access::agent_writable(&workspace.real_root(), outlines.iter().flat_map(|outline| &outline.write))
}

/// A path relative to the workspace; absolute outside.
fn shown(workspace: &Workspace, path: &Path) -> String {
    let below = path.strip_prefix(&workspace.root).unwrap_or(path).display().to_string();
    if below.is_empty() { ".".to_owned() } else { below }
}
