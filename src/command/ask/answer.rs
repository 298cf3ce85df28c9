//! Printing the answer of `claw ask` in the form that its arguments name.

use super::Args;
use crate::command::terminal::approval_dialog;
use crate::command::terminal::exchange::TerminalAddress;
use crate::command::terminal::out;
use crate::command::terminal::screen::Screen;
use crate::command::terminal::style::markdown::{TerminalLook, render};
use crate::core::event::Event;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::fault::{Fault, Result};
use crate::core::markdown::{self, Block};
use crate::core::model::Usage;
use crate::core::model::money::Money;
use crate::core::session::record::Record;
use crate::core::tool::approval::Approval;
use crate::stage::turn;
use crate::store::session::{approvals, log};
use crate::store::usage;
use crate::store::workspace::Workspace;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// A width at which no line of a pipe is wrapped.
const UNLIMITED: usize = 1 << 16;

/// The form in which an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum AnswerForm {
    /// One JSON document
    Json,
    /// Laid out, without markup
    Text,
    /// Markdown, as the model wrote it
    Md,
}

/// Prints the answers of one question.
pub(super) struct AnswerPrinter<'a> {
    pub(super) screen: Screen,
    form: Option<AnswerForm>,
    extracts: bool,
    /// Answers are kept for a check instead of printed.
    keeps: bool,
    workspace: &'a Workspace,
    id: &'a Id,
    session: &'a str,
    has_printed: AtomicBool,
    is_interrupted: AtomicBool,
    kept: Mutex<Option<String>>,
    problem: Mutex<Option<Fault>>,
}

impl<'a> AnswerPrinter<'a> {
    pub(super) fn new(args: &Args, workspace: &'a Workspace, id: &'a Id, session: &'a str, keeps: bool) -> Self {
        let form = if args.json { Some(AnswerForm::Json) } else { args.output };
        let screen = Screen::new(&workspace.world, false);
        let is_quiet = keeps || args.extract || form == Some(AnswerForm::Json) || !screen.is_live;
        let screen = if form == Some(AnswerForm::Md) { screen.raw() } else { screen };
        let screen = if is_quiet { screen.quiet() } else { screen };
        Self {
            screen,
            form,
            extracts: args.extract,
            keeps,
            workspace,
            id,
            session,
            has_printed: AtomicBool::new(false),
            is_interrupted: AtomicBool::new(false),
            kept: Mutex::default(),
            problem: Mutex::default(),
        }
    }

    /// Prints an answer.
    ///
    /// # Errors
    /// `Closed` if stdout is closed.
    pub(super) fn print(&self, event: &Event) -> Result<()> {
        if self.is_interrupted() && turn::is_stopped(event) {
            return Ok(());
        }
        self.has_printed.store(true, Ordering::Relaxed);
        let (content, agent) = (&event.content, event.from.as_str().strip_prefix("agent:"));
        let waits = (self.extracts || self.keeps) && !pending(self.workspace, self.id)?.is_empty();
        if self.may_ask() && approval_dialog::can_ask() {
            let own: Vec<Approval> =
                pending(self.workspace, self.id)?.into_iter().filter(|one| one.session == self.session).collect();
            if !own.is_empty() {
                let rest = approval_dialog::without_requests(content, &own);
                return self.screen.answer_before_dialog(agent, rest);
            }
        }
        match self.form {
            // Its text is no answer yet.
            _ if waits => out::message(content),
            _ if self.keeps => *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(content.clone()),
            _ if self.extracts => {
                if let Some(code) = first_code(&markdown::parse(content)) {
                    return out::content(&(code + "\n"));
                }
                let fault = Fault::data("the answer has no block of code").hint("claw sessions show prints all of it");
                *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
            }
            Some(AnswerForm::Json) => {
                return out::json(&document(self.workspace, content, self.id, self.session)?);
            }
            Some(AnswerForm::Text) if !out::is_terminal() && agent.is_some() => {
                return out::raw(&render(
                    content,
                    TerminalLook { width: UNLIMITED, has_colour: false, is_unicode: true },
                ));
            }
            _ => return self.screen.answer(agent, content),
        }
        Ok(())
    }

    /// Whether questions to the user fit the form.
    pub(super) fn may_ask(&self) -> bool {
        self.form != Some(AnswerForm::Json) && !self.extracts && !self.keeps
    }

    /// The answer that was kept.
    pub(super) fn kept(&self) -> Option<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The fault of an answer that was delivered, but does not have the demanded form.
    pub(super) fn problem(&self) -> Result<()> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    /// The user has pressed Ctrl-C.
    pub(super) fn interrupt(&self) {
        self.screen.finish_line();
        self.is_interrupted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::Relaxed)
    }

    pub(super) fn has_printed(&self) -> bool {
        self.has_printed.load(Ordering::Relaxed)
    }
}

/// The calls that wait for approval in the turn of the question `id`, and in the turns of agents that it has asked: the
/// answers go to this terminal.
///
/// # Errors
/// `Machine` on a disk error.
pub(super) fn pending(workspace: &Workspace, id: &Id) -> Result<Vec<Approval>> {
    let terminal = TerminalAddress::named(workspace, id)?;
    let mut all = approvals::pending(workspace)?;
    all.retain(|approval| approval.reply_to == terminal);
    Ok(all)
}

/// The first block of code, in the order of the text.
pub(super) fn first_code(blocks: &[Block]) -> Option<String> {
    blocks.iter().find_map(|block| match block {
        Block::Code { text, .. } => Some(text.clone()),
        Block::Quote(blocks) => first_code(blocks),
        Block::List { items, .. } => items.iter().find_map(|item| first_code(&item.blocks)),
        _ => None,
    })
}

/// Tokens, cost and duration of the turn, in one line.
///
/// # Errors
/// If the session's log or the ledger cannot be read.
pub(super) fn usage_line(workspace: &Workspace, id: &Id, session: &str) -> Result<String> {
    let document = document(workspace, "", id, session)?;
    let usage = &document["usage"];
    let count = |key: &str| usage[key].as_u64().unwrap_or_default();
    let cached = match count("cached") {
        0 => String::new(),
        cached => format!(" ({cached} cached)"),
    };
    let cost = match &document["cost"] {
        Value::Null => String::new(),
        cost => format!(", cost {cost} {}", workspace.config()?.currency).trim_end().to_owned(),
    };
    let ms = document["duration_ms"].as_u64().unwrap_or_default();
    let model = document["model"].as_str().unwrap_or_default();
    let (input, output) = (count("input"), count("output"));
    Ok(format!("{model}: {input} tokens in{cached}, {output} out{cost}, {}.{} s", ms / 1000, ms % 1000 / 100))
}

/// The answer, and the usage, cost and duration of its whole turn.
fn document(workspace: &Workspace, content: &str, id: &Id, session: &str) -> Result<Value> {
    let (mut model, mut usage) = (String::new(), Usage::default());
    let (mut begin, mut end) = (None, None);
    for record in log::read(workspace, session, id)? {
        match record {
            Record::In { at, event } if event.id == *id => begin = Some(at),
            Record::Done { at, ids, .. } if ids.contains(id) => end = Some(at),
            Record::Model { id: of, model: by, reply, .. } if of == *id => {
                model = by;
                usage.add(&reply.usage);
            }
            _ => {}
        }
    }
    // The ledger has the calls that failed, too; models that cost nothing are not in it.
    let paid = usage::of_event(workspace, id)?;
    let usage = if paid.usage == Usage::default() { usage } else { paid.usage };
    let cost = (paid.money > 0).then_some(Money(paid.money));
    let took = begin.zip(end).map_or(0, |(begin, end)| end.duration_since(begin).as_millis().max(0));
    let waiting: Vec<Id> = pending(workspace, id)?.into_iter().map(|approval| approval.id).collect();
    let status = if waiting.is_empty() { "answered" } else { "approval_pending" };
    Ok(json!({
        "id": id, "session": session, "agent": session_name::agent(session), "model": model,
        "content": content, "status": status, "approvals": waiting, "usage": usage, "cost": cost, "duration_ms": i64::try_from(took).unwrap_or(i64::MAX),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_block_of_code_is_found_in_lists_and_quotes() {
        let code = |text: &str| first_code(&markdown::parse(text));
        assert_eq!(code("Run:\n\n```sh\nls\n```\n\n```\nno\n```\n").as_deref(), Some("ls"));
        assert_eq!(code("1. a\n\n   ```\n   x\n   y\n   ```\n").as_deref(), Some("x\ny"));
        assert_eq!(code("> ```\n> q\n> ```\n").as_deref(), Some("q"));
        assert_eq!(code("only `code` in a text"), None);
    }
}
