//! The shape of a tool that is part of this binary. The tables in `tool/mod.rs` and `tool/web/mod.rs` list them.

use crate::core::definition::Agent;
use crate::core::fault::Result;
use crate::core::model::ToolSpec;
use crate::core::tool::{Approve, Class};
use crate::store::workspace::Workspace;
use crate::tool::{Tool, ToolContext};
use serde_json::Value;

/// Row of a table of built-in tools.
pub(super) struct Builtin {
    pub(super) name: &'static str,
    pub(super) class: Class,
    /// The description for models; a tool with its own `offer` may extend it.
    pub(super) description: &'static str,
    /// The JSON Schema of the arguments.
    pub(super) parameters: fn() -> Value,
    /// Runs a call with these arguments and returns the text for the model.
    pub(super) run: fn(&ToolContext, &Value) -> Result<String>,
    /// Makes the tool for an agent; `None` where the agent may not use it or it is not set up. [`if_granted`] for a
    /// tool that is always set up and has the same description for every agent.
    pub(super) offer: fn(&Builtin, &Workspace, &Agent) -> Result<Option<Tool>>,
}

impl Builtin {
    /// Name, description and parameters as they are in the table.
    pub(super) fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: self.name.to_owned(),
            description: self.description.to_owned(),
            parameters: (self.parameters)(),
        }
    }

    pub(super) fn tool(&self, spec: ToolSpec, approve: Approve) -> Tool {
        Tool { spec, class: self.class, approve, run: Box::new(self.run) }
    }
}

/// Offers the tool to every agent whose `tools:` allows it.
#[expect(clippy::unnecessary_wraps, reason = "it is the `offer` of most rows, which may fail in others")]
pub(super) fn if_granted(builtin: &Builtin, _: &Workspace, agent: &Agent) -> Result<Option<Tool>> {
    Ok(agent.tools.approve(builtin.name).map(|approve| builtin.tool(builtin.spec(), approve)))
}

/// The tools of a table that `agent` may use, in the table's order.
pub(super) fn offer(table: &[&Builtin], workspace: &Workspace, agent: &Agent) -> Result<Vec<Tool>> {
    let offered = table.iter().map(|builtin| (builtin.offer)(builtin, workspace, agent));
    offered.filter_map(Result::transpose).collect()
}

/// The names in a table.
pub(super) fn names(table: &[&Builtin]) -> Vec<&'static str> {
    table.iter().map(|builtin| builtin.name).collect()
}
