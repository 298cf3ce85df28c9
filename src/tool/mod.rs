//! What an agent may do. A tool is one file and one line in the table; executables in `tools/` are tools
//! too. A tool tells the model what came of it, in words; only the machine's own trouble is a fault of the
//! turn.

mod dispatch;
mod files;
mod memory;
pub mod program;
mod sandboxed;
mod shell;
pub mod skill;
mod tasks;
mod tree;
mod web;

use crate::core::definition::Agent;
use crate::core::event::Event;
use crate::core::fault::{Kind, Result};
use crate::core::model::{Call, ToolSpec};
use crate::core::session::record::ToolResult;
use crate::core::tool::DISPATCH;
use crate::core::tool::{Approve, Class};
use crate::store::lock::Lane;
use crate::store::session::stop;
use crate::store::workspace::Workspace;
pub use dispatch::Host;
use program::ToolProgram;
use serde_json::Value;
use std::os::fd::BorrowedFd;
use std::time::Instant;

/// Where a call is run.
#[derive(Clone, Copy)]
pub struct ToolContext<'a> {
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
    /// Readable as soon as the turn is to end before that.
    pub stop: Option<BorrowedFd<'a>>,
    /// Who runs the turn.
    pub host: &'a dyn Host,
}

impl ToolContext<'_> {
    /// Whether the turn is to end now.
    fn is_stopped(&self) -> bool {
        self.stop.is_some_and(stop::is_cancelled)
    }
}

/// Runs a call with these arguments, and returns what the model is told.
type Run = fn(&ToolContext, &Value) -> Result<String>;

/// A line of the table.
struct Builtin {
    name: &'static str,
    class: Class,
    description: &'static str,
    parameters: fn() -> Value,
    run: Run,
}

const TOOLS: &[&Builtin] = &[
    &files::READ,
    &files::WRITE,
    &files::EDIT,
    &tree::LIST,
    &tree::SEARCH,
    &shell::BASH,
    &memory::REMEMBER,
    &memory::RECALL,
    &skill::SKILL,
    &dispatch::DISPATCH,
    &tasks::TASKS,
];

/// A tool that an agent has.
pub struct Tool {
    /// What the model is told of it.
    pub spec: ToolSpec,
    /// What may be done about a call that was begun and has no result.
    pub class: Class,
    /// Whether the owner is asked.
    pub approve: Approve,
    act: Act,
}

enum Act {
    Built(Run),
    Program(ToolProgram),
}

/// The tool whose calls publish what is to be remembered.
pub const REMEMBER: &str = memory::REMEMBER.name;
/// The tool that tells skills; who has it is shown which there are.
pub const SKILL: &str = skill::SKILL.name;
/// The tool for the shared list.
pub const TASKS: &str = tasks::TASKS.name;
/// The first argument of this binary where it turns a page of the web into text.
pub const PAGE: &str = web::PAGE;

/// The tools of an agent, in the order in which models are told of them; none in a workspace that its owner
/// does not trust. What is wrong with an executable's description is said, once.
///
/// # Errors
/// `Config` where `claw.yaml` is bad; where the machine cannot read what there is.
pub fn offered(workspace: &Workspace, agent: &Agent) -> Result<Vec<Tool>> {
    if !workspace.is_trusted {
        return Ok(Vec::new());
    }
    let config = workspace.config()?;
    let set_up = web::OFFERS.iter().filter(|offer| (offer.is_set_up)(&config.web));
    let mut tools: Vec<Tool> = Vec::new();
    for built in TOOLS.iter().copied().chain(set_up.map(|offer| offer.built)) {
        let approve = if built.name == SKILL { skill::grant(agent) } else { agent.tools.approve(built.name) };
        let Some(approve) = approve else { continue };
        let spec = match built.name {
            DISPATCH => dispatch::spec(workspace, agent)?,
            name => Some(ToolSpec {
                name: name.to_owned(),
                description: built.description.to_owned(),
                parameters: (built.parameters)(),
            }),
        };
        tools.extend(spec.map(|spec| Tool { spec, class: built.class, approve, act: Act::Built(built.run) }));
    }
    let (programs, faults) = program::all(workspace)?;
    for fault in faults {
        workspace.world.say(&fault.to_string());
    }
    for program in programs {
        let name = &program.spec.name;
        let is_known = tools.iter().any(|tool| tool.spec.name == *name) || names().any(|known| known == name);
        let Some(approve) = agent.tools.approve(name).filter(|_| !is_known) else { continue };
        let approve = if approve == Approve::default() { program.approve.clone() } else { approve };
        tools.push(Tool { spec: program.spec.clone(), class: program.class, approve, act: Act::Program(program) });
    }
    Ok(tools)
}

/// The names of the tools that are built in.
pub fn names() -> impl Iterator<Item = &'static str> {
    TOOLS.iter().copied().chain(web::OFFERS.iter().map(|offer| offer.built)).map(|built| built.name)
}

impl Tool {
    /// Runs a call.
    ///
    /// # Errors
    /// `Machine`: the machine is in trouble, and the call is not to blame. Everything else is told.
    pub fn run(&self, context: &ToolContext, call: &Call) -> Result<ToolResult> {
        let result = match &self.act {
            Act::Built(run) => run(context, &call.arguments),
            Act::Program(program) => program::run(program, context, &call.arguments),
        };
        match result {
            Ok(result) => Ok(ToolResult { result, ..ToolResult::default() }),
            Err(fault) if matches!(fault.kind, Kind::Machine | Kind::Closed) => Err(fault),
            Err(fault) => Ok(ToolResult { result: format!("error: {fault}"), failed: true, asks: None }),
        }
    }
}
