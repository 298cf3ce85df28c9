//! Learned routes and bindings: `.claw/routes.jsonl`, append-only, synced before the event from which they were learned
//! moves.

use crate::core::config::Sync;
use crate::core::event::Event;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Result};
use crate::core::routing::binding;
use crate::core::routing::learned::{Learned, LearnedBinding, LearnedRoute};
use crate::core::routing::{self, Decision, RoutingRules};
use crate::store::agent::definitions;
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::workspace::Workspace;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;

const FILE: &str = ".claw/routes.jsonl";

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RouteEntry {
    Route(LearnedRoute),
    Binding(LearnedBinding),
}

/// The learned routes, as far as the file has been read.
#[derive(Debug, Default)]
pub struct Routes {
    /// The parsed lines.
    pub learned: Learned,
    inode: u64,
    /// Bytes that have been read.
    read: u64,
    /// Whether every line that was read is durable.
    is_durable: bool,
}

impl Routes {
    /// Reads the lines added since the last call. A torn last line was not synced, so nothing has relied on it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn refresh(&mut self, workspace: &Workspace) -> Result<()> {
        let path = workspace.path(FILE);
        let mut file = match File::open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                *self = Self::default();
                return Ok(());
            }
            other => other.at("read", &path)?,
        };
        let meta = file.metadata().at("read", &path)?;
        if meta.ino() != self.inode || meta.len() < self.read {
            *self = Self { inode: meta.ino(), ..Self::default() };
        }
        if meta.len() == self.read {
            return Ok(());
        }
        file.seek(SeekFrom::Start(self.read)).at("read", &path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).at("read", &path)?;
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
        let mut bindings = Vec::new();
        for entry in text[..whole].split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()) {
            match entry {
                RouteEntry::Route(line) => self.learned.push(line),
                RouteEntry::Binding(binding) => bindings.push(binding),
            }
        }
        self.learned.add_bindings(bindings);
        self.read += whole as u64;
        self.is_durable = false;
        Ok(())
    }

    /// Makes every line that was read durable: its writer may have been killed before it synced it.
    ///
    /// # Errors
    /// If the sync fails.
    pub fn commit(&mut self, workspace: &Workspace) -> Result<()> {
        if !self.is_durable {
            durable::sync_file(&workspace.path(FILE), workspace.sync()?)?;
            self.is_durable = workspace.sync()? == Sync::Full;
        }
        Ok(())
    }

    /// Appends a route, durable on return. The caller holds the lock `route`, and has called [`Routes::refresh`] under it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, workspace: &Workspace, line: LearnedRoute) -> Result<()> {
        self.add(workspace, &RouteEntry::Route(line.clone()))?;
        self.learned.push(line);
        Ok(())
    }

    /// Appends a binding of a `/route` command, durable on return, if it is not known yet. The caller holds the lock
    /// `route`, and has called [`Routes::refresh`] under it.
    ///
    /// # Errors
    /// `Data` if its pattern or its agent's name is invalid; if it cannot be written.
    pub fn learn_binding(&mut self, workspace: &Workspace, binding: LearnedBinding) -> Result<()> {
        binding::check_pattern(&binding.binding.pattern).map_err(Fault::data)?;
        session_name::check_agent(&binding.binding.agent)?;
        if self.learned.bindings.contains(&binding) {
            return self.commit(workspace);
        }
        self.add(workspace, &RouteEntry::Binding(binding.clone()))?;
        self.learned.add_bindings([binding]);
        Ok(())
    }

    fn add(&mut self, workspace: &Workspace, entry: &RouteEntry) -> Result<()> {
        let json = serde_json::to_string(entry).map_err(|e| Fault::data(e.to_string()))?;
        // The leading newline ends a torn line; readers skip empty lines.
        let text = format!("\n{json}\n");
        let path = workspace.path(FILE);
        durable::append(&path, text.as_bytes(), false, workspace.sync()?)?;
        self.is_durable &= workspace.sync()? == Sync::Full;
        let meta = path.metadata().at("read", &path)?;
        if meta.len() == self.read + text.len() as u64 {
            (self.inode, self.read) = (meta.ino(), meta.len());
        }
        Ok(())
    }
}

/// Reads the whole file. Lines that cannot be parsed are skipped.
///
/// # Errors
/// If the file cannot be read.
pub fn load(workspace: &Workspace) -> Result<Learned> {
    let mut routes = Routes::default();
    routes.refresh(workspace)?;
    Ok(routes.learned)
}

/// Decides the route of an event under the present settings.
///
/// # Errors
/// `Config` if `claw.yaml` is invalid; `Data` if the event names an invalid session or agent.
pub fn decide(workspace: &Workspace, event: &Event, learned: &Learned) -> Result<Decision> {
    with_rules(workspace, |rules| routing::decide(event, learned, rules))
}

/// Calls `use_rules` with the routing rules that follow from the settings and the existing agents.
///
/// # Errors
/// `Config` if `claw.yaml` is invalid; those of `use_rules`.
pub fn with_rules<T>(workspace: &Workspace, use_rules: impl FnOnce(&RoutingRules) -> Result<T>) -> Result<T> {
    let (config, home) = (workspace.config()?, workspace.home()?);
    use_rules(&RoutingRules {
        default_agent: &config.default_agent,
        main: home.as_ref(),
        table: config.routing.table()?,
        is_agent: &|name| definitions::has_agent(workspace, name),
    })
}
