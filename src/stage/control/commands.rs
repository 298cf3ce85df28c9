//! The effect and the answer of each slash command.

use crate::core::config::FILE;
use crate::core::context::prompt::join;
use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::event::{Event, EventKind};
use crate::core::fault::{Fault, Result};
use crate::core::model::Usage;
use crate::core::model::tokens;
use crate::core::routing::binding::{self, Binding, Tier};
use crate::core::session::record::Record;
use crate::core::slash::{self, SlashCommand};
use crate::core::text::cut::cut;
use crate::core::tool::approval::Approval;
use crate::core::turn;
use crate::report::crons;
use crate::stage::control::usage;
use crate::stage::turn::compact::{self, WindowBudget};
use crate::stage::turn::dispatch;
use crate::stage::turn::prompt::{self, PromptContext};
use crate::store::agent::definitions;
use crate::store::queue::listing;
use crate::store::routes;
use crate::store::session::approvals::{self, Verdict};
use crate::store::session::{log, stop};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};
use crate::world;

/// The most text of a definition in an answer, in bytes.
const MAX_SHOWN: usize = 64 << 10;

/// A command and its session.
pub(crate) struct About<'a> {
    workspace: &'a Workspace,
    event: &'a Event,
    /// The session that the command is about.
    pub(crate) session: String,
    agent: String,
    /// Whether the command has changed the route of its address.
    has_rerouted: bool,
}

impl<'a> About<'a> {
    /// From the event, and the routes learned up to it.
    pub(crate) fn of(workspace: &'a Workspace, event: &'a Event) -> Result<Self> {
        let learned = routes::load(workspace)?;
        let decision = routes::decide(workspace, event, &learned)?;
        let has_rerouted = decision.since.as_ref() == Some(&event.id);
        Ok(Self { workspace, event, session: decision.session, agent: decision.agent, has_rerouted })
    }
}

/// Runs a command, and returns the answer.
///
/// # Errors
/// `Data` if it is refused, with a text for its sender; `Machine`.
pub(crate) fn run(about: &About, command: &SlashCommand, owners: &[Address]) -> Result<String> {
    let workspace = about.workspace;
    match command {
        SlashCommand::Help => Ok(slash::help(&about.event.from, owners)),
        SlashCommand::Agent => Ok(format!("{} answers here, in session {}", about.agent, about.session)),
        SlashCommand::Bind(id) => bind(about, id),
        SlashCommand::Route(pattern, agent) => route(about, pattern, agent),
        SlashCommand::Bindings => bindings(workspace),
        SlashCommand::Agents => list(about, "agents", "AGENT.md"),
        SlashCommand::Skills(None) => list(about, "skills", "SKILL.md"),
        SlashCommand::Crons(None) => crons(workspace),
        SlashCommand::Skills(Some(id)) => show(workspace, "skills", "SKILL.md", id),
        SlashCommand::Crons(Some(id)) => show(workspace, "crons", "CRON.md", id),
        SlashCommand::Session => session(about),
        SlashCommand::Context => context(about),
        SlashCommand::Usage => {
            let is_owner = slash::commands_as_owner(&about.event.from, owners);
            usage::describe(workspace, &about.session, &about.agent, is_owner)
        }
        // Its lane is the session's own, so it never comes here.
        SlashCommand::Compact(_) => {
            Err(Fault::data("/compact runs in the lane of its session, not in the lane of commands"))
        }
        SlashCommand::New => new_session(about),
        SlashCommand::Stop => stop_turn(about),
        SlashCommand::Pending => pending(workspace),
        SlashCommand::Approve(id) => decide(about, id, Verdict::Approved),
        SlashCommand::Deny(id) => decide(about, id, Verdict::Denied),
    }
}

fn new_session(about: &About) -> Result<String> {
    if about.has_rerouted {
        return Ok(format!("A new conversation begins here, with {}, in session {}", about.agent, about.session));
    }
    Err(names_its_session(about))
}

fn names_its_session(about: &About) -> Fault {
    Fault::data(format!("this message names its session or its agent itself ({})", about.session))
        .hint("name another one, or send it without")
}

fn bind(about: &About, id: &str) -> Result<String> {
    if !definitions::has_agent(about.workspace, id) {
        return Err(definitions::unknown(about.workspace, id));
    }
    match &about.agent {
        _ if about.has_rerouted => Ok(format!("{id} answers here from now on, in session {}", about.session)),
        agent if agent == id => Ok(format!("{id} answers here already, in session {}", about.session)),
        _ => Err(names_its_session(about)),
    }
}

/// The binding was learned when the command was routed, unless the binding was invalid then.
fn route(about: &About, pattern: &str, agent: &str) -> Result<String> {
    binding::check_pattern(pattern).map_err(Fault::data)?;
    if !definitions::has_agent(about.workspace, agent) {
        return Err(definitions::unknown(about.workspace, agent));
    }
    let learned = routes::load(about.workspace)?;
    if !learned.bindings.iter().any(|told| told.since == about.event.id) {
        return Err(Fault::data("the binding was not valid when the command arrived").hint("send the command again"));
    }
    Ok(format!("{agent} answers at {pattern} from now on, unless a narrower pattern matches"))
}

/// In the order in which they are tried within a tier.
fn bindings(workspace: &Workspace) -> Result<String> {
    let config = workspace.config()?;
    let learned = routes::load(workspace)?;
    let learned = learned.bindings.iter().rev().map(|told| (&told.binding, "/route"));
    let given = config.routing.bindings.iter().map(|binding| (binding, FILE));
    let line = |(binding, source): (&Binding, &str)| {
        let from = binding.from.as_ref().map(|from| format!(", from {from}")).unwrap_or_default();
        format!("{}{from}: {} ({}, {source})", binding.pattern, binding.agent, Tier::of(&binding.pattern).name())
    };
    let mut lines: Vec<String> = learned.chain(given).map(line).collect();
    lines.push(format!("everything else: {}", config.default_agent));
    Ok(lines.join("\n"))
}

fn list(about: &About, kind: &str, file: &str) -> Result<String> {
    let line = |(id, summary): (String, crate::core::definition::headline::Headline)| {
        let is_here = if kind == "agents" && id == about.agent { " (answers here)" } else { "" };
        let description =
            if summary.description.is_empty() { String::new() } else { format!(": {}", summary.description) };
        format!("{id}{is_here}{description}")
    };
    let lines: Vec<String> = definitions::summaries(about.workspace, kind, file)?.into_iter().map(line).collect();
    if lines.is_empty() {
        return Ok(format!("there are no {kind} (make {kind}/NAME/{file})"));
    }
    Ok(lines.join("\n"))
}

fn crons(workspace: &Workspace) -> Result<String> {
    let jobs = crons::all(workspace)?;
    let lines: Vec<String> = jobs.iter().map(|job| format!("{}: {}", job.id, job.line(workspace))).collect();
    Ok(if lines.is_empty() { "there are no crons (make crons/NAME/CRON.md)".to_owned() } else { lines.join("\n") })
}

fn show(workspace: &Workspace, kind: &str, file: &str, id: &str) -> Result<String> {
    let text = definitions::text(workspace, kind, file, id)?;
    let shown = cut(&text, MAX_SHOWN);
    let rest = if shown.len() < text.len() {
        format!("\n[cut: the whole text is in {kind}/{id}/{file}]")
    } else {
        String::new()
    };
    Ok(format!("{}{rest}", shown.trim_end()))
}

fn session(about: &About) -> Result<String> {
    let (mut messages, mut answers, mut usage) = (0, 0, Usage::default());
    log::each(about.workspace, &about.session, |record| match record {
        Record::In { .. } | Record::Also { .. } => messages += 1,
        Record::Done { .. } => answers += 1,
        Record::Model { reply, .. } => {
            usage.input += reply.usage.input;
            usage.output += reply.usage.output;
        }
        _ => {}
    })?;
    Ok(format!(
        "session: {0}\nagent: {1}\nmessages: {messages}, answered: {answers}\ntokens: {2} read, {3} written\n\
         log: sessions/{0}/log.jsonl",
        about.session, about.agent, usage.input, usage.output
    ))
}

fn context(about: &About) -> Result<String> {
    let workspace = about.workspace;
    let records = log::read(workspace, &about.session, &about.event.id)?;
    let state = turn::replay(records, &about.event.id);
    let agent = definitions::agent(workspace, &about.agent)?;
    let chosen = workspace.config()?.resolve_model(&agent, None)?;
    let (now, class) = (workspace.world.now().timestamp().to_zoned(world::zone()), workspace.class(about.event)?);
    let tools = crate::tool::offered(workspace, &agent, class, EventKind::Message)?;
    let (session, reply_to) = (&about.session, &about.event.reply_to);
    let prompt_context = PromptContext { now: &now, began: &now, session, kind: EventKind::Message, reply_to, class };
    let (system, _) = join(&prompt::layers(workspace, &agent, &tools, &prompt_context)?);
    let fixed = tokens::fixed(&system, tools.iter().map(|tool| &tool.spec));
    let budget = WindowBudget::of(workspace, &chosen, &state, fixed)?;
    let (messages, size) = state.conversation(None, &[]).size();
    let (all, fixed) = (budget.tokens(size), budget.tokens(0));
    let share = all * 100 / budget.window.max(1);
    let known = match &state.count {
        Some(count) if budget.gauge.is_counted => {
            format!("the model's last count ({} tokens), plus an estimate of the newer messages", count.counted)
        }
        Some(count) if count.model == chosen.name && count.estimated > 0 => {
            format!(
                "estimated, rather too high: the server counted {}, which cannot be the whole request",
                count.counted
            )
        }
        _ => "estimated, rather too high: the model has not counted tokens here yet".to_owned(),
    };
    let compacted = match &state.compact {
        None => "not compacted yet".to_owned(),
        Some(compact) => format!(
            "last {} at {}; {} messages of the user kept verbatim, {} left out",
            compact::describe(Some(compact)),
            compact.at,
            compact.compacted.user_messages.len(),
            compact.compacted.left_out
        ),
    };
    Ok(format!(
        "{messages} messages, about {} tokens; with {fixed} of prompt and tools {all}, which is {share} % of the \
         window\nwindow: {} tokens of {} ({}); compacted at {}\ntokens: {known}\ncompacted: {compacted}",
        all - fixed,
        budget.window,
        chosen.name,
        budget.source,
        budget.limit,
    ))
}

/// The turn in progress, of a message that arrived before the command.
fn running(about: &About) -> Result<Option<Id>> {
    let mut begun = Vec::new();
    for state in [State::Run, State::Wait] {
        let entries = listing::list(about.workspace, Mailbox::Inbox, state)?.into_iter();
        begun.extend(entries.filter(|e| e.lane == about.session && e.id < about.event.id).map(|e| e.id));
    }
    Ok(begun.into_iter().min())
}

fn stop_turn(about: &About) -> Result<String> {
    let (workspace, id) = (about.workspace, &about.event.id);
    let found = match stop::stopped_by(workspace, id)? {
        None => running(about)?,
        some => some,
    };
    let Some(turn) = found else { return Ok("nothing runs here".to_owned()) };
    dispatch::stop_tree(workspace, &turn, id)?;
    let queued = listing::list(workspace, Mailbox::Inbox, State::Ready)?.into_iter();
    let queued = queued.filter(|entry| entry.lane == about.session && entry.id != turn).count();
    let rest = match queued {
        0 => String::new(),
        1 => "; the message behind it stays, and is answered next".to_owned(),
        n => format!("; the {n} messages behind it stay, and are answered next"),
    };
    Ok(format!("the turn for {} is stopped{rest}", turn.short()))
}

fn pending(workspace: &Workspace) -> Result<String> {
    let line = |a: &Approval| {
        let agent = crate::core::event::session_name::agent(&a.session);
        format!("{} {agent}: {} ({})", a.id.short(), a.exact_lines().join("\n    "), a.reason)
    };
    let lines: Vec<String> = approvals::pending(workspace)?.iter().map(line).collect();
    Ok(if lines.is_empty() { "no pending approvals".to_owned() } else { lines.join("\n") })
}

fn decide(about: &About, text: &str, verdict: Verdict) -> Result<String> {
    let workspace = about.workspace;
    let id = approvals::find(workspace, text)?;
    approvals::decide_by(workspace, &id, verdict, &about.event.id)?;
    if let Some((_, fault)) = approvals::publish_decisions(workspace)?.into_iter().find(|(refused, _)| *refused == id) {
        return Err(fault);
    }
    let approval = approvals::decided(workspace, &id, verdict);
    let approval = approval.ok_or_else(|| Fault::data(format!("{id} is gone")))?;
    let then = match verdict {
        Verdict::Approved => "it is run now",
        Verdict::Denied => "it is not run",
    };
    Ok(format!("{}, {then}: {}", verdict.folder(), approval.summary()))
}
