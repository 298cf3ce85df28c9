//! What an agent may do. A tool is one file and one line in the table; executables in `tools/` are tools
//! too. A tool tells the model what came of it, in words; only the machine's own trouble is a fault of the
//! turn.

mod memory;

use crate::core::definition::Agent;
use crate::core::event::Event;
use crate::core::fault::{Kind, Result};
use crate::core::model::{Call, ToolSpec};
use crate::core::tool::{Approve, Class};
use crate::core::turn::Told;
use crate::store::lock::Lane;
use crate::store::workspace::Workspace;
use serde_json::Value;
use std::time::Instant;

/// Where a call is run.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// Who calls.
    pub agent: &'a Agent,
    /// The event that is answered.
    pub event: &'a Event,
    /// The session's lane, for programs that are run.
    pub lane: &'a Lane,
    /// The call's number within the turn, from 1; what is named after the event is told apart by it.
    pub number: u32,
    /// When the turn must be over.
    pub until: Instant,
}

/// Runs a call with these arguments, and returns what the model is told.
type Run = fn(&Scene, &Value) -> Result<String>;

/// A line of the table.
struct Built {
    name: &'static str,
    class: Class,
    description: &'static str,
    parameters: fn() -> Value,
    run: Run,
}

const TOOLS: &[&Built] = &[&memory::REMEMBER, &memory::RECALL];

/// A tool that an agent has.
pub struct Tool {
    /// What the model is told of it.
    pub spec: ToolSpec,
    /// What may be done about a call that was begun and has no result.
    pub class: Class,
    /// Whether the owner is asked.
    pub approve: Approve,
    run: Run,
}

/// The tool whose calls publish what is to be remembered.
pub const REMEMBER: &str = memory::REMEMBER.name;

/// The tools of an agent, in the order in which models are told of them.
#[must_use]
pub fn offered(agent: &Agent) -> Vec<Tool> {
    let granted = TOOLS.iter().filter_map(|built| {
        let approve = agent.tools.approve(built.name)?;
        let spec = ToolSpec {
            name: built.name.to_owned(),
            description: built.description.to_owned(),
            parameters: (built.parameters)(),
        };
        Some(Tool { spec, class: built.class, approve, run: built.run })
    });
    granted.collect()
}

/// The names of the tools that are built in.
pub fn names() -> impl Iterator<Item = &'static str> {
    TOOLS.iter().map(|built| built.name)
}

impl Tool {
    /// Runs a call.
    ///
    /// # Errors
    /// `Machine`: the machine is in trouble, and the call is not to blame. Everything else is told.
    pub fn run(&self, scene: &Scene, call: &Call) -> Result<Told> {
        match (self.run)(scene, &call.arguments) {
            Ok(result) => Ok(Told { result, ..Told::default() }),
            Err(fault) if matches!(fault.kind, Kind::Machine | Kind::Closed) => Err(fault),
            Err(fault) => Ok(Told { result: format!("error: {fault}"), failed: true, asks: None }),
        }
    }
}
