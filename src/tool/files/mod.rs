//! `read`, `write`, `edit`: text files. The kernel confines them to the folders that the agent may access. Changes below
//! `memories/` are committed as the agent's.
//!
//! `write` may be repeated after a crash, because writing the same file twice has the same result. `edit` may not be
//! repeated: it could insert a piece twice.

pub(super) mod rename;

use crate::core::fault::{Fault, Kind, Result};
use crate::core::memory::{origin_marks, passage};
use crate::core::text::bounded_lines::{BoundedLine, Lines};
use crate::core::text::edit;
use crate::core::tool::{self, Class, MAX_PAGE};
use crate::store::agent::files::{AgentFiles, Opened, WriteMode};
use crate::store::crons::job::CronJob;
use crate::store::crons::made;
use crate::store::memory::history;
use crate::tool::ToolContext;
use crate::tool::builtin::{self, Builtin};
use crate::tool::memory::guard;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::BufReader;
use std::path::PathBuf;

/// The default number of lines to read.
const LINES: usize = 2000;
/// Longer lines are cut, in bytes.
const MAX_LINE: usize = 2000;
/// The most bytes of a file that are read to reach a line.
const MAX_SKIPPED: u64 = 256 << 20;
/// The most line numbers in the result of an edit.
const MAX_NAMED: usize = 20;

pub(super) const READ: Builtin = Builtin {
    name: "read",
    class: Class::Reads,
    description: "Read a text file. Each line begins with its number and a tab. A long file is returned in parts: the \
                  result gives the offset of the next part. Use `list` for folders and `search` to find a line.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "The file, relative to the workspace: files/notes.md."},
                "offset": {"type": "integer", "minimum": 1, "description": "The first line. Default: 1."},
                "limit": {"type": "integer", "minimum": 1, "description": "The number of lines. Default: 2000."},
            },
            "required": ["path"],
            "additionalProperties": false,
        })
    },
    run: read,
    offer: builtin::if_granted,
};

pub(super) const WRITE: Builtin = Builtin {
    name: "write",
    class: Class::Repeats,
    description: "Write a whole file: create it, or replace an existing one. Missing parent folders are created. Use \
                  `edit` to change a part of a file.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "The file, relative to the workspace: files/notes.md."},
                "content": {"type": "string", "description": "The complete content of the file."},
                "executable": {"type": "boolean", "description": "Make the file executable, or not. Only in skills/."},
                "shrink": {"type": "boolean", "description": "Permit that more than half of a file in memories/, skills/ or crons/ is removed. Default: false."},
            },
            "required": ["path", "content"],
            "additionalProperties": false,
        })
    },
    run: write,
    offer: builtin::if_granted,
};

pub(super) const EDIT: Builtin = Builtin {
    name: "edit",
    class: Class::Acts,
    description: "Replace text in a file. `old` must match the file exactly, and only once unless replace_all is set; \
                  otherwise nothing is changed. Leave out the line numbers that `read` shows.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "The file, relative to the workspace."},
                "old": {"type": "string", "description": "The text to replace, with enough context to occur only once."},
                "new": {"type": "string", "description": "The new text."},
                "replace_all": {"type": "boolean", "description": "Replace every occurrence. Default: false."},
                "shrink": {"type": "boolean", "description": "Permit that more than half of a file in memories/, skills/ or crons/ is removed. Default: false."},
            },
            "required": ["path", "old", "new"],
            "additionalProperties": false,
        })
    },
    run: edit,
    offer: builtin::if_granted,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadArguments {
    path: String,
    offset: Option<usize>,
    limit: Option<usize>,
}

fn read(context: &ToolContext, arguments: &Value) -> Result<String> {
    let args: ReadArguments = tool::arguments(arguments)?;
    let files = AgentFiles::of(context.workspace, context.agent)?;
    let opened = files.open(&args.path)?;
    let (first, limit) = (args.offset.unwrap_or(1).max(1), args.limit.unwrap_or(LINES).max(1));
    let read = numbered(&opened, first, limit)?;
    Ok(read.join(&opened.place.shown, opened.place.is_outside, context))
}

/// Lines from files, and notes of the tool about them.
pub(super) struct ReadText {
    /// Each row with the source of its text, if the line's mark names one.
    pub(super) rows: Vec<(String, Option<String>)>,
    pub(super) notes: Vec<String>,
}

impl ReadText {
    /// The result for the model. Text from outside the workspace is marked as data, and so are lines of notes that were
    /// made of text from outside; notes of the tool are not.
    pub(super) fn join(self, source: &str, is_outside: bool, context: &ToolContext) -> String {
        let text = if is_outside && !self.rows.is_empty() {
            let rows: Vec<String> = self.rows.into_iter().map(|(row, _)| row).collect();
            context.mark_outside("file", source, &rows.join("\n"))
        } else {
            self.rows.iter().for_each(|(_, source)| context.inherit_taint(source.as_ref()));
            origin_marks::fenced(&self.rows, || context.workspace.world.random())
        };
        let notes = self.notes.iter().map(|note| format!("[{note}]"));
        std::iter::once(text).filter(|text| !text.is_empty()).chain(notes).collect::<Vec<_>>().join("\n")
    }
}

/// Up to `limit` lines with their numbers, beginning with line `first`; fewer where a result has no room for them.
fn numbered(opened: &Opened, first: usize, limit: usize) -> Result<ReadText> {
    let shown = &opened.place.shown;
    let io_fault = |e: std::io::Error| Fault::new(Kind::Failed, format!("cannot read {shown}: {e}"));
    let mut lines = Lines::new(BufReader::new(&opened.file), MAX_SKIPPED, MAX_LINE);
    if lines.peek().map_err(io_fault)?.contains(&0) {
        return Err(Fault::data(format!("{shown} is not a text file: it is binary, {} bytes", opened.size)));
    }
    let (mut line, mut number, mut size) = (Vec::new(), 0, 0);
    let mut texts: Vec<String> = Vec::new();
    // With the end of a line that is cut: the mark of its source is there.
    let mut marked: Vec<String> = Vec::new();
    let (mut is_cut, mut is_foreign) = (false, false);
    let mut notes = Vec::new();
    loop {
        let kind = lines.next(&mut line).map_err(io_fault)?;
        match kind {
            BoundedLine::End if number == 0 => notes.push("the file is empty".to_owned()),
            BoundedLine::End if number < first => {
                notes.push(format!("the file has {number} lines; there is no line {first}"));
            }
            BoundedLine::End => {}
            BoundedLine::Spent => notes.push(format!(
                "this is after the first {MAX_SKIPPED} bytes, and only these are read; the file has {} bytes",
                opened.size
            )),
            BoundedLine::Whole | BoundedLine::Cut if number + 1 < first => {
                number += 1;
                continue;
            }
            BoundedLine::Whole | BoundedLine::Cut => {
                let shown = String::from_utf8_lossy(&line);
                if number + 1 - first >= limit || size + shown.len() + 8 > MAX_PAGE {
                    notes.push(format!(
                        "lines {first} to {number} of a file of {} bytes; continue with offset {}",
                        opened.size,
                        number + 1
                    ));
                    break;
                }
                number += 1;
                // A character that the cut has split is not a sign of another encoding.
                is_foreign |= kind == BoundedLine::Whole && std::str::from_utf8(&line).is_err();
                is_cut |= kind == BoundedLine::Cut;
                size += shown.len() + 8;
                marked.push(format!("{shown}{}", String::from_utf8_lossy(lines.tail())));
                texts.push(shown.into_owned());
                continue;
            }
        }
        break;
    }
    if is_cut {
        notes.push(format!("lines longer than {MAX_LINE} bytes are cut"));
    }
    if is_foreign {
        notes.push("the file is not UTF-8: \u{fffd} replaces invalid bytes".to_owned());
    }
    let sources = passage::sources(&marked.iter().map(String::as_str).collect::<Vec<_>>());
    let rows = (first..).zip(texts.iter().zip(sources));
    let rows = rows.map(|(number, (text, source))| (format!("{number:>6}\t{text}"), source));
    Ok(ReadText { rows: rows.collect(), notes })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteArguments {
    path: String,
    content: String,
    executable: Option<bool>,
    #[serde(default)]
    shrink: bool,
}

fn write(context: &ToolContext, arguments: &Value) -> Result<String> {
    let WriteArguments { path, content: mut text, executable, shrink } = tool::arguments(arguments)?;
    let files = AgentFiles::of(context.workspace, context.agent)?;
    let job = note_maker(context, &files, &path)?;
    let target = files.target(&path)?;
    let how = WriteMode { may_shrink: shrink, executable };
    let is_new = recorded(context, "write", &[target], || {
        text = guard::for_write(context, &files, &path, std::mem::take(&mut text))?;
        files.write(&path, text.as_bytes(), &temp(context), how)
    })?;
    let done = if is_new { "created" } else { "replaced" };
    let (lines, bytes) = (text.lines().count(), text.len());
    Ok(format!("{done} {path}: {lines} lines, {bytes} bytes{}", job_note(context, job)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditArguments {
    path: String,
    old: String,
    new: String,
    #[serde(default)]
    replace_all: bool,
    #[serde(default)]
    shrink: bool,
}

fn edit(context: &ToolContext, arguments: &Value) -> Result<String> {
    let EditArguments { path, old, new, replace_all, shrink } = tool::arguments(arguments)?;
    let files = AgentFiles::of(context.workspace, context.agent)?;
    let job = note_maker(context, &files, &path)?;
    let target = files.target(&path)?;
    let how = WriteMode { may_shrink: shrink, executable: None };
    let lines = recorded(context, "edit", std::slice::from_ref(&target), || {
        files.change(&path, &temp(context), how, |text| {
            let edited = edit::replace(text, &old, &new, replace_all)?;
            Ok((guard::for_change(context, &target, text, edited.text)?, edited.lines))
        })
    })?;
    let named = lines.iter().take(MAX_NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let more = if lines.len() > MAX_NAMED { ", …" } else { "" };
    Ok(format!("changed {path} in {} place(s): line {named}{more}{}", lines.len(), job_note(context, job)?))
}

/// Makes a change of files. Files below `memories/` are changed through the history, which commits them.
fn recorded<T>(context: &ToolContext, verb: &str, targets: &[PathBuf], act: impl FnOnce() -> Result<T>) -> Result<T> {
    let names: Vec<String> = targets.iter().filter_map(|target| history::name_of(context.workspace, target)).collect();
    if names.is_empty() {
        return act();
    }
    let subject = format!("{verb} {}", names.join(" "));
    history::change(context.workspace, &context.author(), &subject, &names, || Ok((act()?, Vec::new())))
}

/// Records the agent as the maker of a job, if the path is a job's file. Returns the job.
fn note_maker(context: &ToolContext, files: &AgentFiles, path: &str) -> Result<Option<String>> {
    let job = made::job_at(context.workspace, &files.target(path)?);
    if let Some(id) = &job {
        made::record(context.workspace, id, &context.agent.id, context.event, context.origin)?;
    }
    Ok(job)
}

/// When the job runs, or why it does not, for the model.
fn job_note(context: &ToolContext, job: Option<String>) -> Result<String> {
    let Some(id) = job else { return Ok(String::new()) };
    let now = context.workspace.world.now().timestamp();
    Ok(match CronJob::read(context.workspace, &id)? {
        Err(fault) => format!("\nThe job does not run: {fault}"),
        Ok(job) => match job.cron.timing.next(&job.zone.rules, now, now) {
            Some(next) => format!("\nThe job runs next at {}", job.zone.show(next)),
            None => "\nThe job has no run in the future".to_owned(),
        },
    })
}

/// The name of this call's temporary file. A call that is repeated after a kill uses the same name and so replaces
/// the file that the killed one has left.
fn temp(context: &ToolContext) -> String {
    format!(".{}-{:02}.claw.tmp", context.event.id, context.number)
}
