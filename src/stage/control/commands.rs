//! What each slash command does and answers.

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
use crate::stage::control::usage;
use crate::stage::turn::compact::{self, WindowBudget};
use crate::stage::turn::dispatch;
use crate::stage::turn::prompt::{self, PromptContext};
use crate::store::agent::definitions;
use crate::store::queue::{listing, retry_discard};
use crate::store::routes;
use crate::store::session::approvals::{self, Verdict};
use crate::store::session::{log, stop};
use crate::store::workspace::Workspace;
use crate::store::workspace::mailbox::{Mailbox, State};
use crate::world;

/// The most of a definition that is shown, in bytes.
const MAX_SHOWN: usize = 64 << 10;

/// What a command is about.
pub(crate) struct About<'a> {
    workspace: &'a Workspace,
    event: &'a Event,
    /// The session that the command lies beside.
    pub(crate) session: String,
    agent: String,
    /// The command has taught the routes something.
    has_turned: bool,
}

impl<'a> About<'a> {
    /// By the event, and what was learned up to it.
    pub(crate) fn of(workspace: &'a Workspace, event: &'a Event) -> Result<Self> {
        let learned = routes::load(workspace)?;
        let decision = routes::decide(workspace, event, &learned)?;
        let has_turned = decision.since.as_ref() == Some(&event.id);
        Ok(Self { workspace, event, session: decision.session, agent: decision.agent, has_turned })
    }
}

/// Does what a command says, and returns the answer.
///
/// # Errors
/// `Data`: it cannot be done, in words for whoever said it. The machine's trouble.
pub(crate) fn run(about: &About, command: &SlashCommand, owners: &[Address]) -> Result<String> {
    let workspace = about.workspace;
    match command {
        SlashCommand::Help => Ok(slash::help(&about.event.from, owners)),
        SlashCommand::Agent => Ok(format!("{} answers here, in session {}", about.agent, about.session)),
        SlashCommand::Bind(id) => bound(about, id),
        SlashCommand::Route(pattern, agent) => routed(about, pattern, agent),
        SlashCommand::Bindings => bindings(workspace),
        SlashCommand::Agents => list(about, "agents", "AGENT.md"),
        SlashCommand::Skills(None) => list(about, "skills", "SKILL.md"),
        SlashCommand::Crons(None) => list(about, "crons", "CRON.md"),
        SlashCommand::Skills(Some(id)) => show(workspace, "skills", "SKILL.md", id),
        SlashCommand::Crons(Some(id)) => show(workspace, "crons", "CRON.md", id),
        SlashCommand::Session => session(about),
        SlashCommand::Context => context(about),
        SlashCommand::Usage => {
            let is_owner = slash::is_owner(&about.event.from, owners);
            usage::describe(workspace, &about.session, &about.agent, is_owner)
        }
        // Its lane is the session's own.
        SlashCommand::Compact(_) => Err(Fault::data("this waits for its turn in the session, and is none of these")),
        SlashCommand::New => begun(about),
        SlashCommand::Stop => stopped(about),
        SlashCommand::Pending => pending(workspace),
        SlashCommand::Approve(id) => word(workspace, id, Verdict::Approved),
        SlashCommand::Deny(id) => word(workspace, id, Verdict::Denied),
    }
}

fn begun(about: &About) -> Result<String> {
    if about.has_turned {
        return Ok(format!("A new conversation begins here, with {}, in session {}", about.agent, about.session));
    }
    Err(named(about))
}

fn named(about: &About) -> Fault {
    Fault::data(format!("this message names its session or its agent itself ({})", about.session))
        .hint("name another one, or send it without")
}

fn bound(about: &About, id: &str) -> Result<String> {
    if !definitions::has_agent(about.workspace, id) {
        return Err(definitions::unknown(about.workspace, id));
    }
    match &about.agent {
        _ if about.has_turned => Ok(format!("{id} answers here from now on, in session {}", about.session)),
        agent if agent == id => Ok(format!("{id} answers here already, in session {}", about.session)),
        _ => Err(named(about)),
    }
}

/// It was learned before the command came to its lane, if it could be.
fn routed(about: &About, pattern: &str, agent: &str) -> Result<String> {
    binding::check_pattern(pattern).map_err(Fault::data)?;
    if !definitions::has_agent(about.workspace, agent) {
        return Err(definitions::unknown(about.workspace, agent));
    }
    let learned = routes::load(about.workspace)?;
    if !learned.bindings.iter().any(|told| told.since == about.event.id) {
        return Err(Fault::data("this was not said in time to be heard").hint("say it again"));
    }
    Ok(format!("{agent} answers at {pattern} from now on, unless a narrower pattern is somebody else's"))
}

/// In the order in which they are asked, but for the tiers.
fn bindings(workspace: &Workspace) -> Result<String> {
    let config = workspace.config()?;
    let learned = routes::load(workspace)?;
    let told = learned.bindings.iter().rev().map(|told| (&told.binding, "/route"));
    let given = config.routing.bindings.iter().map(|binding| (binding, FILE));
    let line = |(binding, whence): (&Binding, &str)| {
        let from = binding.from.as_ref().map(|from| format!(", from {from}")).unwrap_or_default();
        format!("{}{from}: {} ({}, {whence})", binding.pattern, binding.agent, Tier::of(&binding.pattern).name())
    };
    let mut lines: Vec<String> = told.chain(given).map(line).collect();
    lines.push(format!("everything else: {}", config.default_agent));
    Ok(lines.join("\n"))
}

fn list(about: &About, kind: &str, file: &str) -> Result<String> {
    let line = |(id, summary): (String, crate::core::definition::headline::Headline)| {
        let is_here = if kind == "agents" && id == about.agent { " (answers here)" } else { "" };
        let when = summary.schedule.map(|schedule| {
            let agent = summary.agent.map(|agent| format!(" by {agent}")).unwrap_or_default();
            format!(" [{schedule}{agent}]")
        });
        let what = if summary.description.is_empty() { String::new() } else { format!(": {}", summary.description) };
        format!("{id}{is_here}{}{what}", when.unwrap_or_default())
    };
    let lines: Vec<String> = definitions::summaries(about.workspace, kind, file)?.into_iter().map(line).collect();
    if lines.is_empty() {
        return Ok(format!("there are no {kind} (make {kind}/NAME/{file})"));
    }
    Ok(lines.join("\n"))
}

fn show(workspace: &Workspace, kind: &str, file: &str, id: &str) -> Result<String> {
    let text = definitions::text(workspace, kind, file, id)?;
    let shown = cut(&text, MAX_SHOWN);
    let rest =
        if shown.len() < text.len() { format!("\n[cut: all of it is in {kind}/{id}/{file}]") } else { String::new() };
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
    let (now, tools) =
        (workspace.world.now().timestamp().to_zoned(world::zone()), crate::tool::offered(workspace, &agent)?);
    let moment =
        PromptContext { now: &now, session: &about.session, kind: EventKind::Message, reply_to: &about.event.reply_to };
    let (system, _) = join(&prompt::layers(workspace, &agent, &tools, &moment)?);
    let fixed = tokens::fixed(&system, tools.iter().map(|tool| &tool.spec));
    let measure = WindowBudget::of(workspace, &chosen, &state, fixed)?;
    let (messages, size) = state.conversation(None, &[]).size();
    let (all, fixed) = (measure.tokens(size), measure.tokens(0));
    let share = all * 100 / measure.window.max(1);
    let known = match &state.count {
        Some(count) if measure.gauge.is_counted => {
            format!("by the model's last count ({} tokens), and by estimate for what came since", count.counted)
        }
        Some(count) if count.model == chosen.name && count.estimated > 0 => {
            format!("estimated, rather too many: {} were counted, which cannot be of the whole request", count.counted)
        }
        _ => "estimated, rather too many: the model has not counted here yet".to_owned(),
    };
    let compacted = match &state.compact {
        None => "not compacted yet".to_owned(),
        Some(compact) => format!(
            "last {} at {}; {} messages of the user kept in their own words, {} left out",
            compact::describe(Some(compact)),
            compact.at,
            compact.compacted.user_messages.len(),
            compact.compacted.left_out
        ),
    };
    Ok(format!(
        "{messages} messages, about {} tokens; with {fixed} of prompt and tools {all}, which is {share} % of the \
         window\nwindow: {} tokens of {} ({}); it is compacted at {}\ntokens: {known}\ncompacted: {compacted}",
        all - fixed,
        measure.window,
        chosen.name,
        measure.source,
        measure.limit,
    ))
}

/// The turn that has begun, of a message before the command: a later one is never meant.
fn running(about: &About) -> Result<Option<Id>> {
    let mut begun = Vec::new();
    for state in [State::Run, State::Wait] {
        let entries = listing::list(about.workspace, Mailbox::Inbox, state)?.into_iter();
        begun.extend(entries.filter(|e| e.lane == about.session && e.id < about.event.id).map(|e| e.id));
    }
    Ok(begun.into_iter().min())
}

fn stopped(about: &About) -> Result<String> {
    let (workspace, id) = (about.workspace, &about.event.id);
    let found = match stop::stopped_by(workspace, id)? {
        None => running(about)?,
        some => some,
    };
    let Some(turn) = found else { return Ok("nothing runs here".to_owned()) };
    stop::stop(workspace, &turn, id)?;
    // One that waits to be tried again hears of it now. Where somebody works on it, he has heard.
    let _ = retry_discard::end_wait(workspace, &turn);
    dispatch::stop_below(workspace, &turn)?;
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
        format!(
            "{} {}: {} ({})",
            a.id.short(),
            crate::core::event::session_name::agent(&a.session),
            a.summary(),
            a.reason
        )
    };
    let lines: Vec<String> = approvals::pending(workspace)?.iter().map(line).collect();
    Ok(if lines.is_empty() { "nothing waits for your word".to_owned() } else { lines.join("\n") })
}

fn word(workspace: &Workspace, text: &str, verdict: Verdict) -> Result<String> {
    let id = if let Some(known) = approvals::previous_decision(workspace, text, verdict) {
        known.id
    } else {
        let id = approvals::find(workspace, text)?;
        approvals::decide(workspace, &id, verdict)?;
        id
    };
    if let Some((_, fault)) = approvals::publish_decisions(workspace)?.into_iter().find(|(refused, _)| *refused == id) {
        return Err(fault);
    }
    let approval = approvals::previous_decision(workspace, id.as_str(), verdict);
    let approval = approval.ok_or_else(|| Fault::data(format!("{id} is not there any more")))?;
    let then = match verdict {
        Verdict::Approved => "it is run now",
        Verdict::Denied => "it is not run",
    };
    Ok(format!("{}, {then}: {}", verdict.folder(), approval.summary()))
}
