//! One question at a terminal and its answer, in this process: `ask` runs one exchange, `chat` a series. The terminal's
//! address and the session's lane are locked before the question is published, so that no other process answers it or
//! prints the answer.

use crate::command::Here;
use crate::command::terminal::create;
use crate::command::terminal::out;
use crate::command::terminal::screen::Screen;
use crate::core::event::address::Address;
use crate::core::event::id::{Derived, Id};
use crate::core::event::session_name;
use crate::core::event::{ANSWER_SCHEMA, Draft, Event};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::slash::{self, SlashCommand};
use crate::process;
use crate::stage::control::{self, Control};
use crate::stage::deliver::{Deliver, PrintEvent};
use crate::stage::outcome::{EventOutcome, Outcome};
use crate::stage::remember::Remember;
use crate::stage::turn::progress::{Interactive, Progress};
use crate::stage::turn::run_agent::RunAgent;
use crate::stage::worker::handler::Handler;
use crate::stage::worker::pool;
use crate::stage::{follow, route};
use crate::store::fs::watch::Woken;
use crate::store::lock::Lane;
use crate::store::queue::{listing, publish};
use crate::store::session::{self, last};
use crate::store::workspace::mailbox::Mailbox;
use crate::store::workspace::{self, Workspace};
use crate::world::World;
use serde_json::Value;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

/// Refuses to wait inside a program that an agent's turn waits for: that would be a deadlock.
///
/// # Errors
/// `Later` inside such a program.
pub(crate) fn refuse_inside_turn(world: &World) -> Result<()> {
    match world.var(process::INSIDE) {
        Some(_) => Err(Fault::new(Kind::Later, "ask would wait for itself: an agent's turn waits for this program")
            .hint("claw send does not wait")),
        None => Ok(()),
    }
}

/// The workspace; if there is none, the default one is created.
///
/// # Errors
/// If it cannot be created or used.
pub(crate) fn open(here: Here) -> Result<Workspace> {
    let is_default = here.workspace.is_none() && here.world.var("CLAW_WORKSPACE").is_none();
    let cwd = std::env::current_dir().ok();
    let is_found = cwd.is_some_and(|dir| dir.ancestors().any(|d| d.join(crate::core::config::FILE).exists()));
    if is_default && !is_found {
        let root = workspace::default_root(&here.world)?;
        if !root.join(crate::core::config::FILE).exists() {
            out::message(&create::create(&here.world, &root)?);
        }
    }
    here.open()
}

/// The session that a user names: the whole name for the short one of an existing session.
///
/// # Errors
/// `Data` if a short name has several meanings.
pub(crate) fn named_session(workspace: &Workspace, name: Option<&str>) -> Result<Option<String>> {
    match name {
        Some(name) if session_name::is_short(name) => match session::find(workspace, name) {
            Ok(found) => Ok(Some(found)),
            Err(fault) if fault.hint.as_deref() == Some("type more of it") => Err(fault),
            // A new session may have any name.
            Err(_) => Ok(Some(name.to_owned())),
        },
        name => Ok(name.map(str::to_owned)),
    }
}

/// The address of a terminal. Its lane is locked, so that no other process prints its answers.
pub(crate) struct TerminalAddress {
    /// The address.
    pub(crate) address: Address,
    lane: Lane,
}

impl TerminalAddress {
    /// Locks an address that is named after an id.
    ///
    /// # Errors
    /// If its lane cannot be locked.
    pub(crate) fn take(workspace: &Workspace, id: &Id) -> Result<Self> {
        Self::at(workspace, Self::named(workspace, id)?)
    }

    /// The address that is named after an id.
    ///
    /// # Errors
    /// None in practice: the names of users and ids are valid in an address.
    pub(crate) fn named(workspace: &Workspace, id: &Id) -> Result<Address> {
        Address::parse(&format!("cli:{}.{}", workspace.world.user(), id.short()))
    }

    /// Locks an address.
    ///
    /// # Errors
    /// If its lane cannot be locked.
    pub(crate) fn at(workspace: &Workspace, address: Address) -> Result<Self> {
        let lane = lock_lane(workspace, Mailbox::Outbox, &address.slug(), None)?;
        Ok(Self { address, lane })
    }

    /// Delivers the event `id` from the outbox, and all events before it.
    ///
    /// # Errors
    /// If it cannot be printed or moved.
    pub(crate) fn fetch(&mut self, workspace: &Workspace, id: &Id, print: PrintEvent) -> Result<()> {
        let work = Deliver { workspace, channel: None, print: Some(print), outgoing: None };
        let outcome = follow::run_up_to(workspace, &work, &self.lane, id).map_err(out::answer_stays)?;
        match outcome.map(|outcome| outcome.state) {
            None | Some(EventOutcome::Done(_)) => Ok(()),
            Some(EventOutcome::GivenBack(fault)) => Err(out::answer_stays(fault)),
            Some(EventOutcome::Waiting(_, fault) | EventOutcome::Failed(fault)) => Err(fault),
        }
    }

    /// Delivers all events of this address, in their order.
    ///
    /// # Errors
    /// As [`TerminalAddress::fetch`].
    pub(crate) fn fetch_all(&mut self, workspace: &Workspace, print: PrintEvent) -> Result<()> {
        let entries = listing::lane(workspace, Mailbox::Outbox, &self.lane.name)?;
        entries.last().map_or(Ok(()), |(_, last)| self.fetch(workspace, &last.id, print))
    }

    /// Unlocks the address.
    pub(crate) fn release(self) {
        self.lane.release();
    }
}

/// The participants of an exchange.
pub(crate) struct AskExchange<'a> {
    pub(crate) workspace: &'a Workspace,
    /// The destination of the answer.
    pub(crate) terminal: &'a Address,
    pub(crate) agent: &'a str,
    pub(crate) session: &'a str,
    /// Replaces the agent's model.
    pub(crate) model: Option<&'a str>,
    /// The JSON Schema of the answer.
    pub(crate) schema: Option<&'a Value>,
    /// The files of the question, relative to the workspace.
    pub(crate) attachments: &'a [String],
    pub(crate) screen: &'a Screen,
    /// Becomes readable when the user cancels waiting for a session that another process has locked.
    pub(crate) stop_fd: Option<BorrowedFd<'a>>,
    /// Called before the question is published.
    pub(crate) on_send: &'a dyn Fn(&Id),
}

impl AskExchange<'_> {
    /// Publishes the question as event `id`, and leaves its answer to another process.
    ///
    /// # Errors
    /// If it cannot be published.
    pub(crate) fn send(&self, id: &Id, text: String) -> Result<()> {
        let workspace = self.workspace;
        let is_command = slash::parse(&text).is_some();
        let mut draft = Draft {
            from: Some(workspace.local_user()?),
            reply_to: Some(self.terminal.clone()),
            agent: Some(self.agent.to_owned()),
            session: Some(self.session.to_owned()),
            attachments: self.attachments.to_vec(),
            ..Draft::message(text)
        };
        draft.meta.extend(self.model.map(|model| ("model".to_owned(), Value::from(model))));
        draft.meta.extend(self.schema.map(|schema| (ANSWER_SCHEMA.to_owned(), schema.clone())));
        let event = publish::complete(workspace, draft, id.clone())?;
        (self.on_send)(id);
        publish::inbox(workspace, &event)?;
        if !is_command {
            last::remember(workspace, self.session);
        }
        Ok(())
    }

    /// Publishes the question as event `id` and answers it. `around` is called with the work of answering.
    ///
    /// # Errors
    /// If it cannot be published, or the session stays locked.
    pub(crate) fn run(&self, id: &Id, text: String, around: Around) -> Result<Outcome> {
        let workspace = self.workspace;
        let is_command = slash::parse(&text).is_some();
        // A slash command has a lane of its own and does not wait for a running turn. /compact changes the next turn's
        // context, so it uses the session's lane.
        let has_own_lane = is_command && !matches!(slash::parse(&text), Some(Ok(SlashCommand::Compact(_))));
        let lane = if has_own_lane { session_name::control(self.session) } else { self.session.to_owned() };
        let lane = lock_lane(workspace, Mailbox::Inbox, &lane, self.stop_fd)?;
        self.send(id, text)?;
        route::published(workspace)?;
        self.screen.begin(self.agent, &self.workspace.world);
        let on_progress = |progress: Progress| self.screen.show(progress);
        let turns = self.turns(id, &on_progress);
        let commands = Control { workspace, agent: None, session: Some(self.session) };
        let work: &dyn Handler = if has_own_lane { &commands } else { &turns };
        let mut outcome = Ok(None);
        around(&mut || outcome = follow::run_up_to(workspace, work, &lane, id));
        self.screen.finish();
        let outcome = outcome.map_err(|fault| kept(fault, id))?;
        lane.release();
        let outcome = outcome.ok_or_else(|| Fault::data(format!("{id} was removed before it was answered")))?;
        save_notes(workspace, &outcome)?;
        Ok(outcome)
    }

    /// Waits until a published event of the session is answered, and answers it if it is pending.
    ///
    /// # Errors
    /// `Machine` if the machine fails.
    pub(crate) fn complete(&self, id: &Id, around: Around) -> Result<Outcome> {
        route::published(self.workspace)?;
        self.screen.begin(self.agent, &self.workspace.world);
        let on_progress = |progress: Progress| self.screen.show(progress);
        let turns = self.turns(id, &on_progress);
        let mut outcome = None;
        around(&mut || outcome = Some(follow::run_until_done(self.workspace, &[&turns], id)));
        self.screen.finish();
        let outcome = outcome.unwrap_or_else(|| Err(Fault::data(format!("{id} was not processed"))))?;
        save_notes(self.workspace, &outcome)?;
        Ok(outcome)
    }

    fn turns<'t>(&'t self, id: &'t Id, on_progress: &'t (dyn Fn(Progress) + Sync)) -> RunAgent<'t> {
        RunAgent {
            session: Some(self.session),
            interactive: Some(Interactive { id, model: self.model, on_progress: Some(on_progress) }),
            ..RunAgent::all(self.workspace)
        }
    }
}

/// Calls the work once, with something else around it: a thread that watches for Ctrl-C, for example.
pub(crate) type Around<'a> = &'a dyn Fn(&mut dyn FnMut());

/// Delivers the answer to an event from the outbox. It is printed; a failure is returned as a fault instead.
///
/// # Errors
/// Why there is no answer, or why a slash command has failed.
pub(crate) fn answer(
    workspace: &Workspace,
    terminal: &mut TerminalAddress,
    outcome: Outcome,
    print: &(dyn Fn(&Event) -> Result<()> + Sync),
) -> Result<()> {
    let id = outcome.id;
    match outcome.state {
        EventOutcome::Done(_) => {
            let reply = id.derive(Derived::Reply, 1);
            let refused = OnceLock::new();
            terminal.fetch(workspace, &reply, &|event| {
                if event.id != reply || !control::is_refusal(event) {
                    return print(event);
                }
                let _ = refused.set(Fault::data(event.content.clone()));
                Ok(())
            })?;
            refused.into_inner().map_or(Ok(()), Err)
        }
        EventOutcome::Failed(fault) => Err(fault),
        EventOutcome::GivenBack(fault) | EventOutcome::Waiting(_, fault) => Err(kept(fault, &id)),
    }
}

/// The fate of a question that this process has published and does not answer.
pub(crate) const KEPT: &str = "claw tick answers it, and claw deliver shows the answer";

/// The fault of a question that was published and is not answered now.
fn kept(fault: Fault, id: &Id) -> Fault {
    let hint = format!("the question is kept: {KEPT}; claw discard {} ends it", id.short());
    let hint = fault.hint.as_ref().map(|own| format!("{own}; {hint}")).unwrap_or(hint);
    fault.hint(hint)
}

/// Saves the notes of an answer before the answer is printed.
fn save_notes(workspace: &Workspace, outcome: &Outcome) -> Result<()> {
    // The agents that it asked may have noted something, too.
    let is_note = |id: &String| {
        let rest = id.strip_prefix(outcome.id.as_str());
        rest.is_some_and(|rest| rest.starts_with(".m") || rest.starts_with(".d"))
    };
    let is_noting = matches!(&outcome.state, EventOutcome::Done(out) if out.iter().any(is_note));
    if is_noting {
        route::published(workspace)?;
        pool::drain(workspace, &Remember { workspace }, 1, &mut |o| {
            let _ = out::report_outcome(&o);
        })?;
    }
    Ok(())
}

/// Locks a lane; waits while another process has it.
fn lock_lane(workspace: &Workspace, mailbox: Mailbox, name: &str, stop_fd: Option<BorrowedFd>) -> Result<Lane> {
    if let Some(lane) = Lane::attempt(workspace, mailbox, name)? {
        return Ok(lane);
    }
    workspace.world.say(&format!("{name} is locked by another process; waiting for it"));
    let watch = follow::watch_exits(workspace, mailbox)?;
    loop {
        if let Some(lane) = Lane::attempt(workspace, mailbox, name)? {
            return Ok(lane);
        }
        if watch.wait(&workspace.world, None, stop_fd)? == Woken::Other {
            return Err(Fault::new(
                Kind::Later,
                format!("{name} is still locked by another process; the question was not sent"),
            ));
        }
    }
}
