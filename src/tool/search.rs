//! `search`: searches the files that the agent may read for a regular expression. It never follows a link, and reports
//! which limit has stopped it.

use crate::core::fault::{Fault, Result};
use crate::core::memory::note_mark;
use crate::core::text::bounded_lines::{BoundedLine, Lines};
use crate::core::text::cut::cut;
use crate::core::tool::{self, Class, MAX_PAGE};
use crate::store::agent::files::{AgentFiles, WalkStart};
use crate::store::agent::tree::{Tree, pattern};
use crate::tool::builtin::{self, Builtin};
use crate::tool::files::ReadText;
use crate::tool::{ToolContext, walk};
use regex::bytes::{Regex, RegexBuilder};
use rustix::fs::FileType;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Instant;

/// The most lines of a result, and the default.
const MAX_FOUND: usize = 500;
const FOUND: usize = 100;
/// The bytes of a line that are searched, and the bytes of it that are shown.
const MAX_LINE: usize = 64 << 10;
const MAX_SHOWN: usize = 300;
/// The most bytes that one search reads.
const MAX_READ: u64 = 512 << 20;
/// The bytes that are searched between two checks of the deadline.
const CHECK_INTERVAL: usize = 16 << 10;
/// The largest compiled expression, in bytes. Its product with a line's length bounds the time for that line.
const MAX_REGEX: usize = 256 << 10;

pub(super) const SEARCH: Builtin = Builtin {
    name: "search",
    class: Class::Reads,
    description: "Search files for a regular expression (as in ripgrep), line by line. Files that .gitignore excludes \
                  and binary files are skipped. Results are lines of the form path:line: text.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "pattern": {"type": "string", "description": "The regular expression."},
                "path": {"type": "string", "description": "The folder or file, relative to the workspace. Default: the whole workspace."},
                "glob": {"type": "string", "description": "List only files that match: *.md, or /drafts/**/*.txt."},
                "ignore_case": {"type": "boolean", "description": "Ignore upper and lower case. Default: false."},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_FOUND, "description": "The most lines to return. Default: 100."},
            },
            "required": ["pattern"],
            "additionalProperties": false,
        })
    },
    run: search,
    offer: builtin::if_granted,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchArguments {
    pattern: String,
    path: Option<String>,
    glob: Option<String>,
    #[serde(default)]
    ignore_case: bool,
    limit: Option<usize>,
}

/// State of a running search.
struct SearchRun<'a> {
    context: &'a ToolContext<'a>,
    regex: Regex,
    limit: usize,
    until: Instant,
    /// The bytes that may still be read.
    left: u64,
    /// The bytes searched since the last check of the deadline.
    unchecked: usize,
    /// The rows of the result, each with the source of its line, and their size in bytes.
    rows: Vec<(String, Option<String>)>,
    size: usize,
    /// The number of binary files that were skipped.
    binary: usize,
    /// The reason why the search has ended early.
    cut: Option<String>,
}

fn search(context: &ToolContext, arguments: &Value) -> Result<String> {
    let args: SearchArguments = tool::arguments(arguments)?;
    let regex = RegexBuilder::new(&args.pattern).case_insensitive(args.ignore_case).size_limit(MAX_REGEX).build();
    let regex = regex.map_err(|e| Fault::data(format!("the pattern is not a valid regular expression: {e}")))?;
    let glob = args.glob.as_deref().map(pattern).transpose()?;
    let files = AgentFiles::of(context.workspace, context.agent)?;
    let path = args.path.unwrap_or_else(|| ".".to_owned());
    let mut search = SearchRun {
        context,
        regex,
        limit: args.limit.unwrap_or(FOUND).clamp(1, MAX_FOUND),
        until: walk::deadline(context),
        left: MAX_READ,
        unchecked: 0,
        rows: Vec::new(),
        size: 0,
        binary: 0,
        cut: None,
    };
    let mut is_outside = false;
    let mut starts = vec![path.clone()];
    while let Some(path) = starts.pop().filter(|_| search.cut.is_none()) {
        match files.start(&path)? {
            WalkStart::Several(below) => starts.extend(below.into_iter().rev()),
            WalkStart::File(opened) => {
                is_outside |= opened.place.is_outside;
                if glob.as_ref().is_none_or(|glob| glob(Path::new(opened.place.path.file_name().unwrap_or_default()))) {
                    search.file(&opened.place.shown, opened.file);
                }
            }
            WalkStart::Folder(folder, place) => {
                is_outside |= place.is_outside;
                let begun = Tree::begin(folder, &place, files.top(), search.until);
                let mut tree = begun.map_err(|e| walk::failed(&place.shown, &e))?;
                while let Some(entry) = tree.next() {
                    tree.enter(&entry);
                    let is_wanted = entry.kind == FileType::RegularFile
                        && !entry.is_ignored
                        && glob.as_ref().is_none_or(|glob| glob(&entry.path));
                    if let Some(file) = is_wanted.then(|| tree.open(&entry)).flatten() {
                        search.file(&walk::plain(&Path::new(&place.shown).join(&entry.path)), file);
                    }
                    if search.cut.is_some() {
                        break;
                    }
                }
                if tree.is_cut() && search.cut.is_none() {
                    search.cut = Some("the folder is too large for one walk".to_owned());
                }
            }
        }
    }
    Ok(search.result().join(&path, is_outside, context))
}

impl SearchRun<'_> {
    /// Searches a file, up to a read error if there is one.
    fn file(&mut self, shown: &str, file: File) {
        let mut lines = Lines::new(BufReader::with_capacity(64 << 10, file), self.left, MAX_LINE);
        if lines.peek().is_ok_and(|head| head.contains(&0)) {
            self.binary += 1;
            return;
        }
        let mut line = Vec::new();
        let mut number = 0u64;
        while self.cut.is_none() {
            match lines.next(&mut line) {
                Ok(BoundedLine::Whole | BoundedLine::Cut) => number += 1,
                Ok(BoundedLine::Spent) => self.cut = Some(format!("one search reads at most {MAX_READ} bytes")),
                Ok(BoundedLine::End) | Err(_) => break,
            }
            if self.regex.is_match(&line) && self.cut.is_none() {
                self.add(shown, number, &line, lines.tail());
            }
            self.unchecked += line.len() + 1;
            if self.unchecked >= CHECK_INTERVAL {
                self.unchecked = 0;
                self.check_end();
            }
        }
        self.left = lines.left();
    }

    /// Ends the search at its deadline, or when the turn is cancelled.
    fn check_end(&mut self) {
        if Instant::now() >= self.until {
            self.cut = Some("the time limit is reached".to_owned());
        } else if self.context.is_stopped() {
            self.cut = Some("the turn was cancelled".to_owned());
        }
    }

    /// Adds a line; `tail` is the end of one that was cut, where the mark of its source is.
    fn add(&mut self, shown: &str, number: u64, line: &[u8], tail: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let row = format!("{shown}:{number}: {}", cut(text.trim_end(), MAX_SHOWN));
        if self.rows.len() == self.limit || self.size + row.len() > MAX_PAGE {
            self.cut = Some("there are more matches".to_owned());
            return;
        }
        self.size += row.len() + 1;
        let source = note_mark::source_in(&text)
            .or_else(|| note_mark::source_in(&String::from_utf8_lossy(&[line, tail].concat())));
        self.rows.push((row, source));
    }

    fn result(self) -> ReadText {
        let mut notes = Vec::new();
        if let Some(reason) = self.cut {
            notes.push(format!("cut after {} lines: {reason}; use a narrower path, glob or pattern", self.rows.len()));
        } else if self.rows.is_empty() {
            notes.push("nothing found".to_owned());
        }
        if self.binary > 0 {
            notes.push(format!("{} binary file(s) skipped", self.binary));
        }
        ReadText { rows: self.rows, notes }
    }
}
