//! `read`, `write`, `edit`: files of text, confined by the kernel to what the agent may reach.
//!
//! `write` may be repeated, because the same file written twice is the file. `edit` may not: done twice, it can
//! put a piece in twice.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::bounded_lines::{BoundedLine, Lines};
use crate::core::text::data_mark;
use crate::core::text::edit;
use crate::core::tool::{self, Class, MAX_PAGE};
use crate::store::agent::files::{AgentFiles, Opened};
use crate::tool::{Builtin, ToolContext};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::BufReader;

/// How many lines are read where nobody says.
const LINES: usize = 2000;
/// How much of a line is told, in bytes.
const MAX_LINE: usize = 2000;
/// How much of a file is gone through to come to a line, in bytes.
const MAX_SKIPPED: u64 = 256 << 20;
/// The most lines of an edit that are named.
const MAX_NAMED: usize = 20;

pub(super) const READ: Builtin = Builtin {
    name: "read",
    class: Class::Reads,
    description: "Read a file of text. Each line comes with its number and a tab before it. A long file is read in \
                  parts: the result says at which line to go on. Use `list` for folders and `search` to find a line.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "The file, from the workspace: files/notes.md."},
                "offset": {"type": "integer", "minimum": 1, "description": "The first line, 1 if left out."},
                "limit": {"type": "integer", "minimum": 1, "description": "How many lines, 2000 if left out."},
            },
            "required": ["path"],
            "additionalProperties": false,
        })
    },
    run: read,
};

pub(super) const WRITE: Builtin = Builtin {
    name: "write",
    class: Class::Repeats,
    description: "Write a whole file: a new one, or in place of the one that is there. Folders above it are made. Use \
                  `edit` to change a part of a file.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "The file, from the workspace: files/notes.md."},
                "content": {"type": "string", "description": "All that is to be in it."},
            },
            "required": ["path", "content"],
            "additionalProperties": false,
        })
    },
    run: write,
};

pub(super) const EDIT: Builtin = Builtin {
    name: "edit",
    class: Class::Acts,
    description: "Replace a piece of a file. The old piece must be in the file exactly as given, and only once unless \
                  replace_all is set; else nothing is changed. Give it without the line numbers that `read` shows.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "The file, from the workspace."},
                "old": {"type": "string", "description": "What is there, with enough around it to be found once."},
                "new": {"type": "string", "description": "What is to be there instead."},
                "replace_all": {"type": "boolean", "description": "Replace it wherever it is."},
            },
            "required": ["path", "old", "new"],
            "additionalProperties": false,
        })
    },
    run: edit,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadRange {
    path: String,
    offset: Option<usize>,
    limit: Option<usize>,
}

fn read(context: &ToolContext, arguments: &Value) -> Result<String> {
    let part: ReadRange = tool::arguments(arguments)?;
    let desk = AgentFiles::of(context.workspace, context.agent)?;
    let opened = desk.open(&part.path)?;
    let (first, limit) = (part.offset.unwrap_or(1).max(1), part.limit.unwrap_or(LINES).max(1));
    let told = numbered(&opened, first, limit)?;
    Ok(told.join(&opened.place.shown, opened.place.is_outside, context))
}

/// Text, and what is to be said about it.
pub(super) struct ReadText {
    pub(super) text: String,
    pub(super) notes: Vec<String>,
}

impl ReadText {
    /// What the model is told: text from outside the workspace is marked as such, notes are not.
    pub(super) fn join(self, source: &str, is_outside: bool, context: &ToolContext) -> String {
        let text = if is_outside && !self.text.is_empty() {
            data_mark::mark(source, &self.text, context.workspace.world.random())
        } else {
            self.text
        };
        let notes = self.notes.iter().map(|note| format!("[{note}]"));
        std::iter::once(text).filter(|text| !text.is_empty()).chain(notes).collect::<Vec<_>>().join("\n")
    }
}

/// At most `limit` lines from the `first` on, as many as there is room for.
fn numbered(opened: &Opened, first: usize, limit: usize) -> Result<ReadText> {
    let shown = &opened.place.shown;
    let io_fault = |e: std::io::Error| Fault::new(Kind::Failed, format!("cannot read {shown}: {e}"));
    let mut lines = Lines::new(BufReader::new(&opened.file), MAX_SKIPPED, MAX_LINE);
    if lines.peek().map_err(io_fault)?.contains(&0) {
        return Err(Fault::data(format!("{shown} is no text: it is binary, {} bytes", opened.size)));
    }
    let (mut line, mut number, mut text) = (Vec::new(), 0, String::new());
    let (mut is_cut, mut is_foreign) = (false, false);
    let mut notes = Vec::new();
    loop {
        let how = lines.next(&mut line).map_err(io_fault)?;
        match how {
            BoundedLine::End if number == 0 => notes.push("the file is empty".to_owned()),
            BoundedLine::End if number < first => {
                notes.push(format!("the file has {number} lines; there is no line {first}"));
            }
            BoundedLine::End => {}
            BoundedLine::Spent => notes.push(format!(
                "this is behind the first {MAX_SKIPPED} bytes, which is as far as a file is read here; it has {}",
                opened.size
            )),
            BoundedLine::Whole | BoundedLine::Cut if number + 1 < first => {
                number += 1;
                continue;
            }
            BoundedLine::Whole | BoundedLine::Cut => {
                let shown = String::from_utf8_lossy(&line);
                if number + 1 - first >= limit || text.len() + shown.len() + 8 > MAX_PAGE {
                    let size = opened.size;
                    notes.push(format!(
                        "lines {first} to {number} of a file of {size} bytes; offset {} goes on",
                        number + 1
                    ));
                    break;
                }
                number += 1;
                // A character that was cut in half is not foreign.
                is_foreign |= how == BoundedLine::Whole && std::str::from_utf8(&line).is_err();
                is_cut |= how == BoundedLine::Cut;
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&format!("{number:>6}\t{shown}"));
                continue;
            }
        }
        break;
    }
    if is_cut {
        notes.push(format!("lines of more than {MAX_LINE} bytes are cut"));
    }
    if is_foreign {
        notes.push("the file is not UTF-8: \u{fffd} stands for what is no text in it".to_owned());
    }
    Ok(ReadText { text, notes })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    path: String,
    content: String,
}

fn write(context: &ToolContext, arguments: &Value) -> Result<String> {
    let Whole { path, content } = tool::arguments(arguments)?;
    let is_new = AgentFiles::of(context.workspace, context.agent)?.write(&path, content.as_bytes(), &temp(context))?;
    let how = if is_new { "made" } else { "replaced" };
    Ok(format!("{how} {path}: {} lines, {} bytes", content.lines().count(), content.len()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    path: String,
    old: String,
    new: String,
    #[serde(default)]
    replace_all: bool,
}

fn edit(context: &ToolContext, arguments: &Value) -> Result<String> {
    let Edit { path, old, new, replace_all } = tool::arguments(arguments)?;
    let desk = AgentFiles::of(context.workspace, context.agent)?;
    let lines = desk.change(&path, &temp(context), |text| {
        let edited = edit::replace(text, &old, &new, replace_all)?;
        Ok((edited.text, edited.lines))
    })?;
    let named = lines.iter().take(MAX_NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let more = if lines.len() > MAX_NAMED { ", …" } else { "" };
    Ok(format!("changed {path} in {} place(s): line {named}{more}", lines.len()))
}

/// The name that a file has for an instant, of this call alone: where it was killed and is repeated, it finds its
/// own again.
fn temp(context: &ToolContext) -> String {
    format!(".{}-{:02}.tmp", context.event.id, context.number)
}
