//! `claw chat`: a conversation in one session.

mod commands;

use crate::command::Here;
use crate::command::terminal::approval_dialog;
use crate::command::terminal::attachments::{self, CheckedFile};
use crate::command::terminal::exchange::{self, AskExchange, TerminalAddress};
use crate::command::terminal::interrupt::{AskGuard, INTERRUPTED, Interrupt, QuestionState};
use crate::command::terminal::line::editor::Editor;
use crate::command::terminal::line::mentions;
use crate::command::terminal::out;
use crate::command::terminal::record::Recording;
use crate::command::terminal::screen::Screen;
use crate::core::event::Event;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::fault::{Cause, Fault, Kind, Result};
use crate::core::slash::chat_command::{self, CHAT_ROWS};
use crate::core::slash::{self, SlashCommand};
use crate::store::agent::definitions;
use crate::store::session::approvals::{self, Verdict};
use crate::store::session::last;
use crate::store::workspace::Workspace;
use crate::store::workspace::clock;

/// Chat with an agent in the terminal
///
/// A line that begins with a slash and letters is a slash command, which no agent reads: /help lists them, Tab
/// completes them. Alt-Enter, or a backslash at the end of a line, continues a message in the next line. @FILE attaches a
/// file. A path (/etc/hosts) is not a command. Ctrl-C stops the current turn; at an empty prompt it ends the
/// chat, as Ctrl-D, quit, exit and q do. A line that begins with a space is not saved in the history. Without a
/// terminal each line of stdin is a turn, and Ctrl-C stops the turn and ends the chat (exit code 130).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The agent that answers [default: default_agent in claw.yaml]
    #[arg(short, long, value_name = "AGENT")]
    agent: Option<String>,
    /// The model [default: the agent's]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,
    /// The session [default: a new one]
    #[arg(short, long, value_name = "NAME", conflicts_with = "continues")]
    session: Option<String>,
    /// Continue the last session
    #[arg(short = 'c', long = "continue")]
    continues: bool,
    #[command(flatten)]
    record: Recording,
}

/// Runs the chat. A fault in a turn is printed, and the chat continues. Without a terminal the exit code is that of the
/// last turn that failed.
///
/// # Errors
/// `Data` if the agent or the session does not exist; if the terminal cannot be used.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    exchange::refuse_inside_turn(&here.world)?;
    let mut workspace = exchange::open(here)?;
    args.record.begin(&mut workspace)?;
    let is_terminal = out::is_typed() && out::is_terminal();
    let interrupt = if is_terminal {
        ChatInterrupt::Continues(Interrupt::listen()?)
    } else {
        ChatInterrupt::Ends(AskGuard::listen(QuestionState::Over)?)
    };
    let mut chat = Chat::new(args, &workspace, &interrupt)?;
    let mut code = 0;
    if is_terminal {
        let mut editor = Editor::new(&workspace)?;
        out::message(&format!("{} answers; /help shows the commands, Ctrl-D ends", chat.agent));
        while let Some(line) = editor.line()?
            && chat.take(&line, &mut code)?
        {
            chat.approve_pending(&mut code)?;
        }
        code = 0;
    } else {
        out::lines(|line| match line {
            Ok(line) => chat.take(&line, &mut code),
            Err(fault) => {
                out::print_fault(&fault);
                code = fault.exit_code();
                Ok(true)
            }
        })?;
    }
    chat.leave();
    Ok(code)
}

/// The effect of Ctrl-C during a turn, which it stops.
enum ChatInterrupt {
    /// The user goes on.
    Continues(Interrupt),
    /// The chat reads a pipe, and ends.
    Ends(AskGuard),
}

struct Chat<'a> {
    workspace: &'a Workspace,
    interrupt: &'a ChatInterrupt,
    /// Ctrl-C has ended the chat.
    is_interrupted: bool,
    screen: Screen,
    model: Option<String>,
    /// Lines are typed: files after `@` are attached.
    is_typed: bool,
    agent: String,
    /// The session; `None` before the first message.
    session: Option<String>,
    /// The address of the answers; `None` before the first message.
    terminal: Option<TerminalAddress>,
}

impl<'a> Chat<'a> {
    fn new(args: &'a Args, workspace: &'a Workspace, interrupt: &'a ChatInterrupt) -> Result<Self> {
        let default = workspace.config()?.default_agent.clone();
        let last = || {
            let last = last::name(workspace);
            last.ok_or_else(|| Fault::new(Kind::Usage, "there is no session to continue"))
        };
        let named =
            if args.continues { Some(last()?) } else { exchange::named_session(workspace, args.session.as_deref())? };
        let session = named.map(|name| session_name::qualify(&name, args.agent.as_deref(), &default)).transpose()?;
        let agent = args.agent.as_deref().or(session.as_deref().map(session_name::agent)).unwrap_or(&default);
        let agent = definitions::agent(workspace, agent)?.id.clone();
        let screen = Screen::new(&workspace.world, true);
        let (model, is_interrupted) = (args.model.clone(), false);
        let is_typed = matches!(interrupt, ChatInterrupt::Continues(_));
        Ok(Self { workspace, interrupt, is_interrupted, screen, model, is_typed, agent, session, terminal: None })
    }

    /// Processes a line; returns whether the chat continues.
    fn take(&mut self, line: &str, code: &mut u8) -> Result<bool> {
        match line.trim() {
            "" => return Ok(true),
            "quit" | "exit" | "q" | "/quit" | "/exit" => return Ok(false),
            _ => {}
        }
        match self.turn(line) {
            // Further answers could not be printed either.
            Err(fault) if fault.kind == Kind::Closed || fault.cause == Some(Cause::Unprinted) => return Err(fault),
            Err(fault) => {
                self.screen.finish_line();
                out::print_fault(&fault);
                *code = fault.exit_code();
            }
            Ok(()) => {}
        }
        if self.is_interrupted {
            *code = INTERRUPTED;
        }
        Ok(!self.is_interrupted)
    }

    fn turn(&mut self, line: &str) -> Result<()> {
        if let Some(command) = chat_command::parse(line) {
            return self.command(command?);
        }
        match slash::parse(line) {
            // The chat itself keeps its session: these two commands change no route.
            Some(Ok(SlashCommand::New)) => {
                self.session = None;
                out::line(&format!("A new conversation begins here, with {}", self.agent))
            }
            Some(Ok(SlashCommand::Bind(id))) => {
                let id = definitions::agent(self.workspace, &id)?.id.clone();
                if id != self.agent {
                    (self.agent, self.session) = (id, None);
                }
                out::line(&format!("{} answers here from now on", self.agent))
            }
            Some(Ok(SlashCommand::Approve(id))) => self.decide(line, &id, Verdict::Approved),
            Some(Ok(SlashCommand::Deny(id))) => self.decide(line, &id, Verdict::Denied),
            Some(Ok(SlashCommand::Help)) => {
                self.ask(line, Vec::new())?;
                let rows = CHAT_ROWS.iter().map(|row| format!("{}: {}", row.usage(), row.help));
                out::line("In this chat only (@FILE attaches a file):")?;
                rows.into_iter().try_for_each(|row| out::line(&row))
            }
            Some(Ok(_)) => self.ask(line, Vec::new()),
            Some(Err(fault)) => Err(fault),
            None => {
                let home = self.workspace.world.var("HOME");
                let paths = if self.is_typed { mentions::files(line, home) } else { Vec::new() };
                let chosen = self.chosen(self.model.as_deref())?;
                self.workspace.permit_model(&chosen)?;
                let files = attachments::check(self.workspace, &paths, &[chosen])?;
                self.ask(line, files)
            }
        }
    }

    fn ask(&mut self, text: &str, files: Vec<CheckedFile>) -> Result<()> {
        let id = clock::next_id(self.workspace)?;
        let kept = attachments::keep(self.workspace, &id, files)?;
        let session = self.session.get_or_insert_with(|| session_name::for_chat(&self.agent, &id)).clone();
        let mut terminal = match self.terminal.take() {
            Some(terminal) => terminal,
            None => TerminalAddress::take(self.workspace, &id)?,
        };
        let done = self.answered(&mut terminal, &session, &id, Some((text, &kept)));
        self.terminal = Some(terminal);
        done
    }

    /// Asks the user about the calls of this conversation that wait for approval.
    fn approve_pending(&mut self, code: &mut u8) -> Result<()> {
        while let (Some(session), Some(terminal)) = (&self.session, &self.terminal) {
            let pending = approvals::pending(self.workspace)?;
            let own = pending.into_iter().find(|a| a.session == *session && a.reply_to == terminal.address);
            let Some(approval) = own else { return Ok(()) };
            let Some(verdict) = approval_dialog::ask(self.workspace, &approval)? else { return Ok(()) };
            let word = if verdict == Verdict::Approved { "approve" } else { "deny" };
            if !self.take(&format!("/{word} {}", approval.id.short()), code)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Approves or denies a call, and prints the answer if this conversation asked for the approval.
    fn decide(&mut self, line: &str, text: &str, verdict: Verdict) -> Result<()> {
        self.ask(line, Vec::new())?;
        let id = approvals::find(self.workspace, text);
        let approval = id.ok().and_then(|id| approvals::decided(self.workspace, &id, verdict));
        let (Some(approval), Some(session)) = (approval, self.session.clone()) else { return Ok(()) };
        let is_ours = approval.session == session && approval.reply_to.channel() == crate::channel::CLI;
        let mut own = self.terminal.take();
        let done = match own.as_mut().filter(|own| own.address == approval.reply_to) {
            _ if !is_ours => Ok(()),
            Some(own) => self.answered(own, &session, &approval.id, None),
            // An earlier chat asked for it.
            None => TerminalAddress::at(self.workspace, approval.reply_to.clone()).and_then(|mut terminal| {
                let done = self.answered(&mut terminal, &session, &approval.id, None);
                terminal.release();
                done
            }),
        };
        self.terminal = own;
        done
    }

    /// Publishes the text as event `id`, or completes an event that is published already, and prints the answer.
    fn answered(
        &mut self,
        terminal: &mut TerminalAddress,
        session: &str,
        id: &Id,
        message: Option<(&str, &[String])>,
    ) -> Result<()> {
        let print = |event: &Event| {
            let agent = event.from.as_str().strip_prefix("agent:");
            let mut own = Vec::new();
            if self.is_typed && approval_dialog::can_ask() {
                own = approvals::pending(self.workspace)?;
                own.retain(|approval| approval.session == session && approval.reply_to == event.reply_to);
            }
            if own.is_empty() {
                return self.screen.answer(agent, &event.content);
            }
            let rest = approval_dialog::without_requests(&event.content, &own);
            self.screen.answer_before_dialog(agent, rest)
        };
        terminal.fetch_all(self.workspace, &print)?;
        let exchange = AskExchange {
            workspace: self.workspace,
            terminal: &terminal.address.clone(),
            agent: &self.agent,
            session,
            model: self.model.as_deref(),
            schema: None,
            attachments: message.map_or(&[], |(_, files)| files),
            screen: &self.screen,
            stop_fd: match self.interrupt {
                ChatInterrupt::Continues(interrupt) => Some(interrupt.stop_fd()),
                ChatInterrupt::Ends(_) => None,
            },
            on_send: &|id| match self.interrupt {
                ChatInterrupt::Continues(_) => {}
                ChatInterrupt::Ends(guard) => guard.sends(id),
            },
        };
        if let ChatInterrupt::Continues(interrupt) = self.interrupt {
            interrupt.clear();
        }
        let beside = |work: &mut dyn FnMut()| match self.interrupt {
            ChatInterrupt::Continues(interrupt) => interrupt.around(self.workspace, id, work),
            ChatInterrupt::Ends(guard) => guard.around(self.workspace, id, work),
        };
        let outcome = if let Some((text, _)) = message {
            exchange.run(id, text.to_owned(), &beside)
        } else {
            (exchange.on_send)(id);
            exchange.complete(id, &beside)
        };
        let answered = outcome.and_then(|outcome| exchange::answer(self.workspace, terminal, outcome, &print));
        if let ChatInterrupt::Ends(guard) = self.interrupt {
            self.is_interrupted = guard.end();
        }
        answered
    }

    fn leave(self) {
        if let (Some(session), Some(terminal)) = (self.session, self.terminal) {
            terminal.release();
            out::message(&format!("session {}", session_name::short(&session)));
        }
    }
}
