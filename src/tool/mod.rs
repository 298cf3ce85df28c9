//! The tools of agents. A built-in tool is one file and one row in `BUILTIN`; a source of tools is one file or
//! folder and one row in `SOURCES`.
//!
//! A tool reports every failure to the model as text. Only faults of the machine end the turn.

mod builtin;
pub mod condition;
mod dispatch;
mod files;
mod list;
mod memory;
mod post;
pub mod probe;
pub mod program;
mod sandboxed;
mod search;
mod shell;
pub mod skill;
mod tasks;
mod walk;
mod web;

use crate::core::context::memory_guide::MemoryWay;
use crate::core::definition::Agent;
use crate::core::event::origin::{Origin, SenderClass};
use crate::core::event::{Event, EventKind};
use crate::core::fault::{Kind, Result};
use crate::core::memory::change::ChangeAuthor;
use crate::core::memory::note_mark;
use crate::core::model::{Call, ToolSpec};
use crate::core::session::record::ToolResult;
use crate::core::text::cut::cut;
use crate::core::text::data_mark;
use crate::core::tool::{Approve, Class, DISPATCH};
use crate::store::agent::definitions;
use crate::store::lock::Lane;
use crate::store::session::stop;
use crate::store::workspace::Workspace;
use builtin::Builtin;
pub use dispatch::Host;
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::time::Instant;

/// A source of tools.
struct ToolSource {
    /// The names reserved for this source, including tools that are not set up. A later source cannot use them.
    names: fn() -> Vec<&'static str>,
    /// The tools for an agent, in the order in which models see them.
    offer: fn(&Workspace, &Agent) -> Result<Vec<Tool>>,
}

const SOURCES: &[ToolSource] = &[
    ToolSource {
        names: || builtin::names(BUILTIN),
        offer: |workspace, agent| builtin::offer(BUILTIN, workspace, agent),
    },
    ToolSource {
        names: || builtin::names(web::TOOLS),
        offer: |workspace, agent| builtin::offer(web::TOOLS, workspace, agent),
    },
    ToolSource { names: Vec::new, offer: program::offer },
];

/// Whether a name belongs to a tool of this program, also to one that is not set up.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    SOURCES.iter().any(|source| (source.names)().contains(&name))
}

const BUILTIN: &[&Builtin] = &[
    &files::READ,
    &files::WRITE,
    &files::EDIT,
    &files::rename::MOVE,
    &list::LIST,
    &search::SEARCH,
    &shell::BASH,
    &memory::REMEMBER,
    &memory::RECALL,
    &skill::SKILL,
    &dispatch::DISPATCH,
    &tasks::TASKS,
    &post::POST,
];

/// The longest name of a source of text from outside, in bytes.
const MAX_SOURCE: usize = 200;

/// The turn in which a call runs.
#[derive(Clone, Copy)]
pub struct ToolContext<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// The calling agent.
    pub agent: &'a Agent,
    /// The event that the turn answers.
    pub event: &'a Event,
    /// The session's lane. Programs that a tool runs inherit its lock.
    pub lane: &'a Lane,
    /// The call's number within the turn, from 1. Ids and files derived from the event contain it.
    pub number: u32,
    /// The turn's deadline.
    pub until: Instant,
    /// Becomes readable when the turn is cancelled.
    pub stop: Option<BorrowedFd<'a>>,
    /// The turn, for tools that wait for other agents.
    pub host: &'a dyn Host,
    /// The class of the sender, the text from outside in the turn, and the agents that passed the task on.
    pub origin: &'a Origin,
    /// The source of text from outside in the call's result; set by the tool.
    pub taint: &'a OnceLock<String>,
}

impl ToolContext<'_> {
    /// Whether the turn has been cancelled.
    fn is_stopped(&self) -> bool {
        self.stop.is_some_and(stop::is_cancelled)
    }

    /// Records that the call's result contains text from a source outside the workspace. Of several sources the first
    /// one is recorded.
    fn add_taint(&self, kind: &str, source: &str) {
        let _ = self.taint.set(format!("{kind}:{}", cut(source, MAX_SOURCE)));
    }

    /// Records that the call's result was made of text from this source, as recorded elsewhere.
    fn inherit_taint(&self, source: Option<&String>) {
        if let Some(source) = source {
            let _ = self.taint.set(source.clone());
        }
    }

    /// The author of changes that the call makes.
    fn author(&self) -> ChangeAuthor {
        ChangeAuthor {
            event: self.event.id.clone(),
            agent: Some(self.agent.id.clone()),
            session: Some(self.lane.name.clone()),
            origin: self.origin.taint.clone().unwrap_or_else(|| self.event.from.as_str().to_owned()),
            by_shell: false,
            undoes: None,
        }
    }

    /// The origin of work that this turn passes on.
    fn passed_on(&self) -> Origin {
        let mut origin = self.origin.clone();
        origin.requesters.push(self.agent.id.clone());
        origin
    }

    /// The output of a program. If it has lines of notes that were made of text from outside, all of it is marked as
    /// data: a program may have torn them apart.
    fn mark_noted(&self, output: String) -> String {
        let Some(source) = note_mark::source_in(&output) else { return output };
        self.inherit_taint(Some(&source));
        data_mark::mark(&source, &output, self.workspace.world.random())
    }

    /// Text from outside, recorded as such, between marks that show it to the model as data.
    fn mark_outside(&self, kind: &str, source: &str, text: &str) -> String {
        self.add_taint(kind, source);
        data_mark::mark(source, text, self.workspace.world.random())
    }
}

/// Runs a call with these arguments and returns the text for the model. Calls that only read run concurrently.
type RunTool = Box<dyn Fn(&ToolContext, &Value) -> Result<String> + Send + Sync>;

/// A tool that an agent has.
pub struct Tool {
    /// Name, description and parameters, as sent to the model.
    pub spec: ToolSpec,
    /// Whether a call that was begun and has no result may be run again.
    pub class: Class,
    /// The calls that need the owner's approval.
    pub approve: Approve,
    run: RunTool,
}

/// Name of the tool whose calls publish notes.
pub const REMEMBER: &str = memory::REMEMBER.name;
/// Name of the tool that searches the notes.
pub const RECALL: &str = memory::RECALL.name;
/// Name of the tool that shows skills. The prompt of an agent that has it lists the skills.
pub const SKILL: &str = skill::SKILL.name;
/// The skill for the memory.
pub const MEMORY_SKILL: &str = "skills/memory/SKILL.md";
/// Name of the tool for the shared task list.
pub const TASKS: &str = tasks::TASKS.name;
/// Name of the tool that sends a message from a scheduled run.
pub const POST: &str = post::POST.name;
/// First argument of this binary when it runs as the program that converts a web page to text.
pub const PAGE: &str = web::PAGE;

/// The tools of an agent for an event of this kind and a sender of this class, in the order in which models see them. An untrusted workspace has
/// none. Problems of the descriptions in `tools/` are printed.
///
/// # Errors
/// `Config` where `claw.yaml` is bad; `Machine` where agents or `tools/` cannot be read.
pub fn offered(workspace: &Workspace, agent: &Agent, class: SenderClass, kind: EventKind) -> Result<Vec<Tool>> {
    let mut tools: Vec<Tool> = Vec::new();
    if !workspace.is_trusted {
        return Ok(tools);
    }
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for source in SOURCES {
        let mut offered = (source.offer)(workspace, agent)?;
        offered.retain(|tool| !taken.contains(&tool.spec.name));
        taken.extend((source.names)().into_iter().map(str::to_owned));
        taken.extend(offered.iter().map(|tool| tool.spec.name.clone()));
        tools.extend(offered);
    }
    if way(workspace, agent, &tools)? == MemoryWay::Skill {
        tools.retain(|tool| ![REMEMBER, RECALL].contains(&tool.spec.name.as_str()));
    }
    let is_background = matches!(kind, EventKind::Cron | EventKind::Heartbeat);
    tools.retain(|tool| agent.senders.allow(class, &tool.spec.name) && (is_background || tool.spec.name != POST));
    Ok(tools)
}

/// How an agent with these tools uses the memory. The memory agent itself has the tools; an agent that cannot use the
/// skill or the memory agent has them too.
///
/// # Errors
/// If the settings or the agents cannot be read.
pub fn way(workspace: &Workspace, agent: &Agent, tools: &[Tool]) -> Result<MemoryWay> {
    let memories = &workspace.config()?.memories;
    let has = |name: &str| tools.iter().any(|tool| tool.spec.name == name);
    Ok(match memories.way {
        _ if agent.id == memories.agent => MemoryWay::Tools,
        MemoryWay::Skill if has(SKILL) && workspace.path(MEMORY_SKILL).exists() => MemoryWay::Skill,
        MemoryWay::Agent if has(DISPATCH) && definitions::has_agent(workspace, &memories.agent) => MemoryWay::Agent,
        _ => MemoryWay::Tools,
    })
}

/// The names of the tools in this binary, including those that are not set up.
pub fn names() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().flat_map(|source| (source.names)())
}

impl Tool {
    /// Runs a call. A failure of the call is a result, marked as failed.
    ///
    /// # Errors
    /// `Machine` or `Closed`: the call is not at fault, and the turn ends without a result for it.
    pub fn run(&self, context: &ToolContext, call: &Call) -> Result<ToolResult> {
        match (self.run)(context, &call.arguments) {
            Ok(result) => Ok(ToolResult { result, ..ToolResult::default() }),
            Err(fault) if matches!(fault.kind, Kind::Machine | Kind::Closed) => Err(fault),
            Err(fault) => Ok(ToolResult { result: format!("error: {fault}"), failed: true, ..ToolResult::default() }),
        }
    }
}
