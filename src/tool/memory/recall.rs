//! The tool `recall`.

use crate::core::fault::Result;
use crate::core::memory::origin_marks;
use crate::core::tool::{self, Class};
use crate::store::memory::{self, FoundNote, NoteQuery};
use crate::tool::ToolContext;
use crate::tool::builtin::{self, Builtin};
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

/// The most lines of a search result.
const MAX_FOUND: usize = 50;

pub(in crate::tool) const RECALL: Builtin = Builtin {
    name: "recall",
    class: Class::Reads,
    description: "Search all notes in memories/ by words; other forms of a word match too. Returns the best passages \
                  first, each as path:line [headings] (day): text. The tool read shows more of the file.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "The words to search for."},
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_FOUND, "description": "The most passages to return. Default: 10."},
                "since": {"type": "string", "description": "Only notes of this day and later days: YYYY-MM-DD."},
                "in": {"type": "string", "enum": ["topics", "projects", "daily"], "description": "Only notes in this folder."},
            },
            "required": ["query"],
            "additionalProperties": false,
        })
    },
    run: recall,
    offer: builtin::if_granted,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecallArguments {
    query: String,
    limit: Option<usize>,
    since: Option<Date>,
    #[serde(rename = "in")]
    folder: Option<NoteFolder>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NoteFolder {
    Topics,
    Projects,
    Daily,
}

fn recall(context: &ToolContext, arguments: &Value) -> Result<String> {
    let search: RecallArguments = tool::arguments(arguments)?;
    let limit = search.limit.unwrap_or(10).clamp(1, MAX_FOUND);
    let folder = search.folder.map(|folder| match folder {
        NoteFolder::Topics => "topics",
        NoteFolder::Projects => "projects",
        NoteFolder::Daily => memory::DAILY,
    });
    let wanted = NoteQuery { text: &search.query, limit, since: search.since, folder };
    let found = memory::search(context.workspace, &wanted)?;
    if found.is_empty() {
        return Ok("nothing found".to_owned());
    }
    let shown: Vec<String> = found.iter().map(|note| shown(context, note)).collect();
    Ok(shown.join("\n"))
}

/// A passage with its place. Lines from outside are marked as data; a heading from outside is left out.
fn shown(context: &ToolContext, note: &FoundNote) -> String {
    let FoundNote { number, passage, .. } = note;
    let heading = match &passage.heading_source {
        Some(source) => format!(" [a heading from {}]", source.escape_default()),
        None if passage.heading.is_empty() => String::new(),
        None => format!(" [{}]", passage.heading),
    };
    let day = passage.day.map(|day| format!(" ({day})")).unwrap_or_default();
    passage.rows.iter().for_each(|(_, source)| context.inherit_taint(source.as_ref()));
    let is_own = passage.rows.iter().all(|(_, source)| source.is_none());
    let text = if is_own {
        format!(" {}", passage.text.replace('\n', "\n  "))
    } else {
        format!("\n{}", origin_marks::fenced(&passage.rows, || context.workspace.world.random()))
    };
    format!("{}:{number}{heading}{day}:{text}", note.shown_path())
}
