//! One question at a terminal and its answer, in this process: `ask` does it once, `chat` again and again. The
//! terminal's address and the session's lane are ours before anybody can see the question, so that nobody else
//! answers it or prints the answer.

use crate::command::Here;
use crate::command::terminal::create;
use crate::command::terminal::out;
use crate::command::terminal::screen::Screen;
use crate::core::event::address::Address;
use crate::core::event::id::{Derived, Id};
use crate::core::event::session_name;
use crate::core::event::{Draft, Event};
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
use crate::store::session::last;
use crate::store::workspace::mailbox::Mailbox;
use crate::store::workspace::{self, Workspace};
use crate::world::World;
use serde_json::Value;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

/// Nobody waits inside of a program that an agent waits for.
///
/// # Errors
/// `Later` where we are inside of one.
pub(crate) fn outside(world: &World) -> Result<()> {
    match world.var(process::INSIDE) {
        Some(_) => {
            Err(Fault::new(Kind::Later, "ask inside of a program that an agent waits for would wait for itself")
                .hint("claw send does not wait"))
        }
        None => Ok(()),
    }
}

/// The workspace; the default one is made where there is none.
///
/// # Errors
/// Where it cannot be made or is unfit.
pub(crate) fn open(here: Here) -> Result<Workspace> {
    let is_default = here.workspace.is_none() && here.world.var("CLAW_WORKSPACE").is_none();
    let cwd = std::env::current_dir().ok();
    let is_found = cwd.is_some_and(|dir| dir.ancestors().any(|d| d.join(crate::core::config::FILE).exists()));
    if is_default && !is_found {
        let root = workspace::default_root(&here.world)?;
        if !root.join(crate::core::config::FILE).exists() {
            out::tell(&create::create(&here.world, &root)?);
        }
    }
    here.open()
}

/// A terminal's own address, whose answers nobody else prints while it is held.
pub(crate) struct TerminalAddress {
    /// The address.
    pub(crate) address: Address,
    lane: Lane,
}

impl TerminalAddress {
    /// Takes an address that is named by an id.
    ///
    /// # Errors
    /// Where its lane cannot be locked.
    pub(crate) fn take(workspace: &Workspace, id: &Id) -> Result<Self> {
        Self::at(workspace, Address::parse(&format!("cli:{}.{}", workspace.world.user(), id.short()))?)
    }

    /// Takes an address.
    ///
    /// # Errors
    /// Where its lane cannot be locked.
    pub(crate) fn at(workspace: &Workspace, address: Address) -> Result<Self> {
        let lane = hold(workspace, Mailbox::Outbox, &address.slug(), None)?;
        Ok(Self { address, lane })
    }

    /// Takes an answer out of the outbox, with what lies before it.
    ///
    /// # Errors
    /// Where it cannot be printed, or the machine is in trouble.
    pub(crate) fn fetch(&mut self, workspace: &Workspace, id: &Id, print: PrintEvent) -> Result<()> {
        let work = Deliver { workspace, channel: None, print: Some(print) };
        match follow::run_up_to(workspace, &work, &self.lane, id)?.map(|outcome| outcome.state) {
            None | Some(EventOutcome::Done(_)) => Ok(()),
            Some(EventOutcome::Waiting(_, fault) | EventOutcome::Failed(fault) | EventOutcome::GivenBack(fault)) => {
                Err(fault)
            }
        }
    }

    /// Takes everything that lies there, in its order.
    ///
    /// # Errors
    /// As [`TerminalAddress::fetch`].
    pub(crate) fn fetch_all(&mut self, workspace: &Workspace, print: PrintEvent) -> Result<()> {
        let entries = listing::lane(workspace, Mailbox::Outbox, &self.lane.name)?;
        entries.last().map_or(Ok(()), |(_, last)| self.fetch(workspace, &last.id, print))
    }

    /// Lets go of it.
    pub(crate) fn leave(self) {
        self.lane.release();
    }
}

/// What is asked, of whom, where.
pub(crate) struct AskExchange<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) seat: &'a Address,
    pub(crate) agent: &'a str,
    pub(crate) session: &'a str,
    /// Instead of the agent's model.
    pub(crate) model: Option<&'a str>,
    pub(crate) screen: &'a Screen,
    /// Readable as soon as nobody wants to wait any more for a session that somebody else works in.
    pub(crate) stop_fd: Option<BorrowedFd<'a>>,
}

impl AskExchange<'_> {
    /// Publishes the question as event `id`, and answers it; `beside` is run around the answering.
    ///
    /// # Errors
    /// Where it cannot be published, or the session is held up.
    pub(crate) fn run(&self, id: &Id, text: String, beside: Beside) -> Result<Outcome> {
        let workspace = self.workspace;
        let is_command = slash::parse(&text).is_some();
        // A command lies beside its session, and does not wait for the turn that may run there; but one that
        // changes what the next turn is sent.
        let is_beside = is_command && !matches!(slash::parse(&text), Some(Ok(SlashCommand::Compact(_))));
        let lane = if is_beside { session_name::control(self.session) } else { self.session.to_owned() };
        let lane = hold(workspace, Mailbox::Inbox, &lane, self.stop_fd)?;
        let mut draft = Draft {
            from: Some(workspace.local_user()?),
            reply_to: Some(self.seat.clone()),
            agent: Some(self.agent.to_owned()),
            session: Some(self.session.to_owned()),
            ..Draft::message(text)
        };
        draft.meta.extend(self.model.map(|model| ("model".to_owned(), Value::from(model))));
        publish::inbox(workspace, &publish::complete(workspace, draft, id.clone())?)?;
        if !is_command {
            last::remember(workspace, self.session);
        }
        route::all(workspace)?;
        self.screen.begin(self.agent);
        let heard = |heard: Progress| self.screen.hear(heard);
        let turns = self.turns(id, &heard);
        let commands = Control { workspace, agent: None, session: Some(self.session) };
        let work: &dyn Handler = if is_beside { &commands } else { &turns };
        let mut outcome = Ok(None);
        beside(&mut || outcome = follow::run_up_to(workspace, work, &lane, id));
        let outcome = outcome?;
        lane.release();
        let outcome = outcome.ok_or_else(|| Fault::data(format!("{id} was taken away before it was answered")))?;
        work_off_notes(workspace, &outcome)?;
        Ok(outcome)
    }

    /// Sees an event of the session through that somebody has published already.
    ///
    /// # Errors
    /// Where the machine is in trouble.
    pub(crate) fn see(&self, id: &Id, beside: Beside) -> Result<Outcome> {
        route::all(self.workspace)?;
        self.screen.begin(self.agent);
        let heard = |heard: Progress| self.screen.hear(heard);
        let turns = self.turns(id, &heard);
        let mut outcome = None;
        beside(&mut || outcome = Some(follow::run_until_done(self.workspace, &[&turns], id)));
        let outcome = outcome.unwrap_or_else(|| Err(Fault::data(format!("nobody has worked on {id}"))))?;
        work_off_notes(self.workspace, &outcome)?;
        Ok(outcome)
    }

    fn turns<'t>(&'t self, id: &'t Id, heard: &'t (dyn Fn(Progress) + Sync)) -> RunAgent<'t> {
        RunAgent {
            session: Some(self.session),
            interactive: Some(Interactive { id, model: self.model, on_progress: Some(heard) }),
            ..RunAgent::all(self.workspace)
        }
    }
}

/// Runs a piece of work, and whatever shall be done beside it.
pub(crate) type Beside<'a> = &'a dyn Fn(&mut dyn FnMut());

/// Takes what came of event `id` out of the outbox. An answer is printed; what failed is told by its fault.
///
/// # Errors
/// Why there is no answer, or why a command could not be done.
pub(crate) fn answer(
    workspace: &Workspace,
    seat: &mut TerminalAddress,
    outcome: Outcome,
    print: &(dyn Fn(&Event) -> Result<()> + Sync),
) -> Result<()> {
    let id = outcome.id;
    match outcome.state {
        EventOutcome::Done(_) => {
            let reply = id.derive(Derived::Reply, 1);
            let refused = OnceLock::new();
            seat.fetch(workspace, &reply, &|event| {
                if event.id != reply || !control::is_refusal(event) {
                    return print(event);
                }
                let _ = refused.set(Fault::data(event.content.clone()));
                Ok(())
            })?;
            refused.into_inner().map_or(Ok(()), Err)
        }
        EventOutcome::Failed(fault) => {
            seat.fetch(workspace, &id.derive(Derived::Notice, 1), &|_| Ok(()))?;
            let hint = format!("the question is kept: claw retry {}, then claw run-agent and claw deliver", id.short());
            let hint = fault.hint.as_ref().map(|h| format!("{h}; {hint}")).unwrap_or(hint);
            Err(Fault { hint: Some(hint), ..fault })
        }
        EventOutcome::GivenBack(fault) | EventOutcome::Waiting(_, fault) => Err(fault),
    }
}

/// What the answer wants remembered is written down before the answer is given.
fn work_off_notes(workspace: &Workspace, outcome: &Outcome) -> Result<()> {
    // Whom it has asked may have noted something too.
    let is_note = |id: &String| {
        let rest = id.strip_prefix(outcome.id.as_str());
        rest.is_some_and(|rest| rest.starts_with(".m") || rest.starts_with(".d"))
    };
    let is_noting = matches!(&outcome.state, EventOutcome::Done(out) if out.iter().any(is_note));
    if is_noting {
        route::all(workspace)?;
        pool::drain(workspace, &Remember { workspace }, 1, &mut |o| {
            let _ = out::report(&o);
        })?;
    }
    Ok(())
}

/// Takes a lane, waiting for whoever holds it.
fn hold(workspace: &Workspace, mailbox: Mailbox, name: &str, stop_fd: Option<BorrowedFd>) -> Result<Lane> {
    if let Some(lane) = Lane::attempt(workspace, mailbox, name)? {
        return Ok(lane);
    }
    workspace.world.say(&format!("{name} is busy; waiting for it"));
    let watch = follow::watch_exits(workspace, mailbox)?;
    loop {
        if let Some(lane) = Lane::attempt(workspace, mailbox, name)? {
            return Ok(lane);
        }
        if watch.wait(workspace.world.now(), None, stop_fd)? == Woken::Other {
            return Err(Fault::new(Kind::Later, format!("{name} is still busy; nothing was asked")));
        }
    }
}
