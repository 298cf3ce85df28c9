//! Learned routes and bindings: `.claw/routes.jsonl`, append-only, synced before the event that taught them
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

/// What a line of the file says.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RouteEntry {
    Line(LearnedRoute),
    Told(LearnedBinding),
}

/// What has been learned, and how far it has been read.
#[derive(Debug, Default)]
pub struct Routes {
    /// The lines.
    pub learned: Learned,
    inode: u64,
    read: u64,
    /// Every line that was read is durable, too.
    is_durable: bool,
}

impl Routes {
    /// Reads what has been added since the last time. A torn line at the end was never relied on.
    ///
    /// # Errors
    /// Where the file cannot be read.
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
        let mut told = Vec::new();
        for entry in text[..whole].split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()) {
            match entry {
                RouteEntry::Line(line) => self.learned.push(line),
                RouteEntry::Told(one) => told.push(one),
            }
        }
        self.learned.add_bindings(told);
        self.read += whole as u64;
        self.is_durable = false;
        Ok(())
    }

    /// Makes every line durable that was read: somebody has written it, and may have been killed before
    /// it was.
    ///
    /// # Errors
    /// Where the disk cannot.
    pub fn commit(&mut self, workspace: &Workspace) -> Result<()> {
        if !self.is_durable {
            durable::sync_file(&workspace.path(FILE), workspace.sync()?)?;
            self.is_durable = workspace.sync()? == Sync::Full;
        }
        Ok(())
    }

    /// Learns a line. The caller holds the lock on routing, and has refreshed under it.
    ///
    /// # Errors
    /// Where it cannot be made durable.
    pub fn append(&mut self, workspace: &Workspace, line: LearnedRoute) -> Result<()> {
        self.add(workspace, &RouteEntry::Line(line.clone()))?;
        self.learned.push(line);
        Ok(())
    }

    /// Learns a binding that holds from an event on, once: what `/route` says. The caller holds the lock on
    /// routing, and has refreshed under it.
    ///
    /// # Errors
    /// `Data` where its pattern is none; where it cannot be made durable.
    pub fn learn_binding(&mut self, workspace: &Workspace, told: LearnedBinding) -> Result<()> {
        binding::check_pattern(&told.binding.pattern).map_err(Fault::data)?;
        session_name::check_agent(&told.binding.agent)?;
        if self.learned.bindings.contains(&told) {
            return self.commit(workspace);
        }
        self.add(workspace, &RouteEntry::Told(told.clone()))?;
        self.learned.add_bindings([told]);
        Ok(())
    }

    fn add(&mut self, workspace: &Workspace, entry: &RouteEntry) -> Result<()> {
        let json = serde_json::to_string(entry).map_err(|e| Fault::data(e.to_string()))?;
        // The leading newline ends a line that was torn; empty lines are passed over.
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

/// All lines that can be read.
///
/// # Errors
/// Where the file cannot be read.
pub fn load(workspace: &Workspace) -> Result<Learned> {
    let mut routes = Routes::default();
    routes.refresh(workspace)?;
    Ok(routes.learned)
}

/// Decides about an event as the settings are now.
///
/// # Errors
/// `Config` where `claw.yaml` is bad; `Data` where the event names an impossible session or agent.
pub fn decide(workspace: &Workspace, event: &Event, learned: &Learned) -> Result<Decision> {
    with_rules(workspace, |rules| routing::decide(event, learned, rules))
}

/// What the settings and the agents that there are say about routing.
///
/// # Errors
/// `Config` where `claw.yaml` is bad; whatever `ask` says.
pub fn with_rules<T>(workspace: &Workspace, ask: impl FnOnce(&RoutingRules) -> Result<T>) -> Result<T> {
    let config = workspace.config()?;
    ask(&RoutingRules {
        default_agent: &config.default_agent,
        main: config.deliver_to.as_ref(),
        table: config.routing.table()?,
        is_agent: &|name| definitions::has_agent(workspace, name),
    })
}
