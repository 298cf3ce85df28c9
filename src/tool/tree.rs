//! `list` and `search`: what there is, and where something stands. Both walk through what the agent may reach,
//! never along a link, in order, and say where they have stopped.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::bounded_lines::{BoundedLine, Lines};
use crate::core::text::cut::cut;
use crate::core::tool::{self, Class, MAX_PAGE};
use crate::store::agent::files::{AgentFiles, WalkStart};
use crate::store::agent::tree::{Tree, pattern};
use crate::tool::files::ReadText;
use crate::tool::{Builtin, ToolContext};
use regex::bytes::{Regex, RegexBuilder};
use rustix::fs::FileType;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a walk may take.
const MAX_TIME: Duration = Duration::from_secs(10);
/// The most lines that a search tells, and how many where nobody says.
const MAX_FOUND: usize = 500;
const FOUND: usize = 100;
/// How much of a line is searched, and how much of it is told, in bytes.
const MAX_LINE: usize = 64 << 10;
const MAX_SHOWN: usize = 300;
/// How much is read in one search, in bytes.
const MAX_READ: u64 = 512 << 20;
/// How much is searched between two looks at the clock, in bytes.
const MAX_UNSEEN: usize = 16 << 10;
/// How large a compiled expression may be, in bytes; how long it takes over a line is at worst that times the line.
const MAX_REGEX: usize = 256 << 10;

pub(super) const LIST: Builtin = Builtin {
    name: "list",
    class: Class::Reads,
    description: "List a folder: folders with a slash behind them, files with their size in bytes. Without a path, \
                  everything that you may read.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "The folder, from the workspace; all of it if left out."},
                "recursive": {"type": "boolean", "description": "Also what is in the folders below it, but for what .gitignore names."},
                "glob": {"type": "string", "description": "Only files like this: *.md, or /drafts/**/*.txt."},
            },
            "additionalProperties": false,
        })
    },
    run: list,
};

pub(super) const SEARCH: Builtin = Builtin {
    name: "search",
    class: Class::Reads,
    description: "Search files for a regular expression (as in ripgrep), line by line. What .gitignore names and what \
                  is binary is passed over. Lines come as path:line: text.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "pattern": {"type": "string", "description": "The regular expression."},
                "path": {"type": "string", "description": "The folder or file, from the workspace; all of it if left out."},
                "glob": {"type": "string", "description": "Only files like this: *.md, or /drafts/**/*.txt."},
                "ignore_case": {"type": "boolean", "description": "Whether A is a."},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_FOUND, "description": "How many lines, 100 if left out."},
            },
            "required": ["pattern"],
            "additionalProperties": false,
        })
    },
    run: search,
};

fn failed(shown: &str, error: &std::io::Error) -> Fault {
    Fault::new(Kind::Failed, format!("cannot read {shown}: {error}"))
}

/// A name as it is told: in one line.
fn plain(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text.into_owned() }
}

fn until(context: &ToolContext) -> Instant {
    context.until.min(Instant::now() + MAX_TIME)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FolderCursor {
    path: Option<String>,
    #[serde(default)]
    recursive: bool,
    glob: Option<String>,
}

fn list(context: &ToolContext, arguments: &Value) -> Result<String> {
    let FolderCursor { path, recursive, glob } = tool::arguments(arguments)?;
    let path = path.unwrap_or_else(|| ".".to_owned());
    let glob = glob.as_deref().map(pattern).transpose()?;
    let desk = AgentFiles::of(context.workspace, context.agent)?;
    let mut found = ReadText { text: String::new(), notes: Vec::new() };
    let until = until(context);
    let mut starts = vec![path.clone()];
    let mut is_outside = false;
    let mut shown = 0;
    while let Some(path) = starts.pop() {
        match desk.start(&path)? {
            WalkStart::File(opened) => {
                shown += 1;
                found.text.push_str(&format!("{}  {}\n", opened.place.shown, opened.size));
            }
            WalkStart::Several(below) if recursive => starts.extend(below.into_iter().rev()),
            WalkStart::Several(below) => {
                shown += below.len();
                for name in below {
                    let is_folder = matches!(desk.start(&name), Ok(WalkStart::Folder(..) | WalkStart::Several(_)));
                    found.text.push_str(&format!("{name}{}\n", if is_folder { "/" } else { "" }));
                }
            }
            WalkStart::Folder(folder, place) => {
                is_outside |= place.is_outside;
                let below = if recursive { place.shown.clone() } else { String::new() };
                let mut tree = Tree::begin(folder, &place, desk.top(), until).map_err(|e| failed(&place.shown, &e))?;
                while let Some(entry) = tree.next() {
                    let is_folder = entry.kind == FileType::Directory;
                    if recursive {
                        tree.enter(&entry);
                    }
                    if glob.as_ref().is_some_and(|glob| is_folder || !glob(&entry.path)) {
                        continue;
                    }
                    let name = plain(&Path::new(&below).join(&entry.path));
                    let line = match entry.kind {
                        FileType::Directory => format!("{name}/\n"),
                        FileType::RegularFile => format!("{name}  {}\n", tree.size(&entry).unwrap_or_default()),
                        FileType::Symlink => format!("{name}  (a link)\n"),
                        _ => format!("{name}  (no file)\n"),
                    };
                    if found.text.len() + line.len() > MAX_PAGE {
                        found.notes.push(format!("cut after {shown}: there are more; name a folder below, or a glob"));
                        starts.clear();
                        break;
                    }
                    shown += 1;
                    found.text.push_str(&line);
                }
                if tree.is_cut() {
                    found
                        .notes
                        .push("cut: there is more than can be walked through at once; name a folder below".to_owned());
                }
            }
        }
    }
    if shown == 0 {
        found.notes.push("nothing is there".to_owned());
    }
    found.text.truncate(found.text.trim_end().len());
    Ok(found.join(&path, is_outside, context))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    pattern: String,
    path: Option<String>,
    glob: Option<String>,
    #[serde(default)]
    ignore_case: bool,
    limit: Option<usize>,
}

/// A search, as far as it has come.
struct SearchRun<'a> {
    context: &'a ToolContext<'a>,
    regex: Regex,
    limit: usize,
    until: Instant,
    left: u64,
    /// How much was searched since the clock was looked at, in bytes.
    unseen: usize,
    text: String,
    found: usize,
    binary: usize,
    /// Why it does not go on.
    cut: Option<String>,
}

fn search(context: &ToolContext, arguments: &Value) -> Result<String> {
    let wanted: Wanted = tool::arguments(arguments)?;
    let regex = RegexBuilder::new(&wanted.pattern).case_insensitive(wanted.ignore_case).size_limit(MAX_REGEX).build();
    let regex = regex.map_err(|e| Fault::data(format!("the pattern is no regular expression: {e}")))?;
    let glob = wanted.glob.as_deref().map(pattern).transpose()?;
    let desk = AgentFiles::of(context.workspace, context.agent)?;
    let path = wanted.path.unwrap_or_else(|| ".".to_owned());
    let mut search = SearchRun {
        context,
        regex,
        limit: wanted.limit.unwrap_or(FOUND).clamp(1, MAX_FOUND),
        until: until(context),
        left: MAX_READ,
        unseen: 0,
        text: String::new(),
        found: 0,
        binary: 0,
        cut: None,
    };
    let mut is_outside = false;
    let mut starts = vec![path.clone()];
    while let Some(path) = starts.pop().filter(|_| search.cut.is_none()) {
        match desk.start(&path)? {
            WalkStart::Several(below) => starts.extend(below.into_iter().rev()),
            WalkStart::File(opened) => {
                is_outside |= opened.place.is_outside;
                if glob.as_ref().is_none_or(|glob| glob(Path::new(opened.place.path.file_name().unwrap_or_default()))) {
                    search.file(&opened.place.shown, opened.file);
                }
            }
            WalkStart::Folder(folder, place) => {
                is_outside |= place.is_outside;
                let begun = Tree::begin(folder, &place, desk.top(), search.until);
                let mut tree = begun.map_err(|e| failed(&place.shown, &e))?;
                while let Some(entry) = tree.next() {
                    tree.enter(&entry);
                    let is_wanted = entry.kind == FileType::RegularFile
                        && !entry.is_ignored
                        && glob.as_ref().is_none_or(|glob| glob(&entry.path));
                    if let Some(file) = is_wanted.then(|| tree.open(&entry)).flatten() {
                        search.file(&plain(&Path::new(&place.shown).join(&entry.path)), file);
                    }
                    if search.cut.is_some() {
                        break;
                    }
                }
                if tree.is_cut() && search.cut.is_none() {
                    search.cut = Some("there is more than can be walked through at once".to_owned());
                }
            }
        }
    }
    Ok(search.told().join(&path, is_outside, context))
}

impl SearchRun<'_> {
    /// Searches a file. One that cannot be read to its end is searched as far as it can.
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
                Ok(BoundedLine::Spent) => {
                    self.cut = Some(format!("it is as much as one search reads, {MAX_READ} bytes"))
                }
                Ok(BoundedLine::End) | Err(_) => break,
            }
            if self.regex.is_match(&line) && self.cut.is_none() {
                self.take(shown, number, &line);
            }
            self.unseen += line.len() + 1;
            if self.unseen >= MAX_UNSEEN {
                self.unseen = 0;
                self.look();
            }
        }
        self.left = lines.left();
    }

    /// Looks whether it has to end.
    fn look(&mut self) {
        if Instant::now() >= self.until {
            self.cut = Some("it has taken too long".to_owned());
        } else if self.context.is_stopped() {
            self.cut = Some("it was stopped".to_owned());
        }
    }

    fn take(&mut self, shown: &str, number: u64, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let told = format!("{shown}:{number}: {}\n", cut(text.trim_end(), MAX_SHOWN));
        if self.found == self.limit || self.text.len() + told.len() > MAX_PAGE {
            self.cut = Some("there are more".to_owned());
            return;
        }
        self.found += 1;
        self.text.push_str(&told);
    }

    fn told(mut self) -> ReadText {
        let mut notes = Vec::new();
        if let Some(why) = self.cut {
            notes.push(format!("cut after {} lines: {why}; narrow it down by path, glob or pattern", self.found));
        } else if self.found == 0 {
            notes.push("nothing found".to_owned());
        }
        if self.binary > 0 {
            notes.push(format!("{} binary file(s) passed over", self.binary));
        }
        self.text.truncate(self.text.trim_end().len());
        ReadText { text: self.text, notes }
    }
}
