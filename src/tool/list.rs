//! `list`: lists the files and folders that the agent may read, in order. It never follows a link, and reports which
//! limit has stopped it.

use crate::core::fault::Result;
use crate::core::tool::{self, Class, MAX_PAGE};
use crate::store::agent::files::{AgentFiles, WalkStart};
use crate::store::agent::tree::{Tree, pattern};
use crate::tool::builtin::{self, Builtin};
use crate::tool::files::ReadText;
use crate::tool::{ToolContext, walk};
use rustix::fs::FileType;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

pub(super) const LIST: Builtin = Builtin {
    name: "list",
    class: Class::Reads,
    description: "List a folder. Folders end with a slash, files are followed by their size in bytes. Without a path, \
                  list everything that you may read.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "The folder, relative to the workspace. Default: the whole workspace."},
                "recursive": {"type": "boolean", "description": "Include subfolders, except those that .gitignore excludes. Default: false."},
                "glob": {"type": "string", "description": "List only files that match: *.md, or /drafts/**/*.txt."},
            },
            "additionalProperties": false,
        })
    },
    run: list,
    offer: builtin::if_granted,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListArguments {
    path: Option<String>,
    #[serde(default)]
    recursive: bool,
    glob: Option<String>,
}

/// The lines of a result so far.
struct FolderListing {
    text: ReadText,
    /// The number of lines, and their bytes.
    shown: usize,
    size: usize,
}

impl FolderListing {
    fn add(&mut self, line: &str) {
        self.shown += 1;
        self.size += line.len();
        self.text.rows.push((line.trim_end_matches('\n').to_owned(), None));
    }

    fn note(&mut self, note: impl Into<String>) {
        self.text.notes.push(note.into());
    }

    /// Adds the entries of a folder: `name` for each, below `prefix`. False where the result is full.
    fn folder(
        &mut self,
        tree: &mut Tree,
        prefix: &Path,
        is_recursive: bool,
        glob: Option<&dyn Fn(&Path) -> bool>,
    ) -> bool {
        while let Some(entry) = tree.next() {
            let is_folder = entry.kind == FileType::Directory;
            if is_recursive {
                tree.enter(&entry);
            }
            if glob.is_some_and(|glob| is_folder || !glob(&entry.path)) {
                continue;
            }
            let name = walk::plain(&prefix.join(&entry.path));
            let line = match entry.kind {
                FileType::Directory => format!("{name}/\n"),
                FileType::RegularFile => format!("{name}  {}\n", tree.size(&entry).unwrap_or_default()),
                FileType::Symlink => format!("{name}  (link)\n"),
                _ => format!("{name}  (special file)\n"),
            };
            if self.size + line.len() > MAX_PAGE {
                let shown = self.shown;
                self.note(format!("cut after {shown} entries: there are more; use a subfolder or a glob"));
                return false;
            }
            self.add(&line);
        }
        true
    }
}

fn list(context: &ToolContext, arguments: &Value) -> Result<String> {
    let ListArguments { path, recursive, glob } = tool::arguments(arguments)?;
    let path = path.unwrap_or_else(|| ".".to_owned());
    let glob = glob.as_deref().map(pattern).transpose()?;
    let glob = glob.as_ref().map(|glob| glob as &dyn Fn(&Path) -> bool);
    let files = AgentFiles::of(context.workspace, context.agent)?;
    let mut listing = FolderListing { text: ReadText { rows: Vec::new(), notes: Vec::new() }, shown: 0, size: 0 };
    let until = walk::deadline(context);
    let mut starts = vec![path.clone()];
    let mut is_outside = false;
    while let Some(path) = starts.pop() {
        match files.start(&path)? {
            WalkStart::File(opened) => {
                is_outside |= opened.place.is_outside;
                listing.add(&format!("{}  {}\n", opened.place.shown, opened.size));
            }
            WalkStart::Several(below) if recursive => starts.extend(below.into_iter().rev()),
            WalkStart::Several(below) => {
                for name in below {
                    let is_folder = matches!(files.start(&name), Ok(WalkStart::Folder(..) | WalkStart::Several(_)));
                    listing.add(&format!("{name}{}\n", if is_folder { "/" } else { "" }));
                }
            }
            WalkStart::Folder(folder, place) => {
                is_outside |= place.is_outside;
                let prefix = if recursive { Path::new(&place.shown) } else { Path::new("") };
                let begun = Tree::begin(folder, &place, files.top(), until);
                let mut tree = begun.map_err(|e| walk::failed(&place.shown, &e))?;
                if !listing.folder(&mut tree, prefix, recursive, glob) {
                    starts.clear();
                }
                if tree.is_cut() {
                    listing.note("cut: the folder is too large for one walk; use a subfolder");
                }
            }
        }
    }
    let FolderListing { mut text, shown, .. } = listing;
    if shown == 0 {
        text.notes.push("nothing found".to_owned());
    }
    Ok(text.join(&path, is_outside, context))
}
