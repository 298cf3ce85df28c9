//! `claw recall QUERY`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::fault::Result;
use crate::store::memory::{self, FoundNote, NoteQuery};
use jiff::civil::Date;
use serde_json::json;

/// Search the memories
///
/// Lines with the words of the query, or other forms of them, come first; headings and neighbouring lines count too. A
/// line that contains the whole query comes before all others, so that every line is found that `grep -ri` finds.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The maximum number of lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    limit: usize,
    /// Only notes of this day and later days
    #[arg(long, value_name = "YYYY-MM-DD")]
    since: Option<Date>,
    /// Only notes in this folder
    #[arg(long = "in", value_name = "FOLDER", value_parser = ["topics", "projects", "daily"])]
    folder: Option<String>,
    /// Print JSON Lines, with the passage around each line
    #[arg(long)]
    json: bool,
    /// Show why each line has its place
    #[arg(long, conflicts_with = "json")]
    explain: bool,
    /// The words to search for; `-` reads them from stdin
    #[arg(required = true, value_name = "QUERY|-")]
    query: Vec<String>,
}

/// Searches the memories and prints `file:line: text`, best match first. The exit code is 1 without a match.
///
/// # Errors
/// If the notes cannot be read.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    let folder = args.folder.as_deref().map(|name| if name == "daily" { memory::DAILY } else { name });
    let text = out::text(&args.query)?;
    let wanted = NoteQuery { text: &text, limit: args.limit, since: args.since, folder };
    let notes = memory::search(&workspace, &wanted)?;
    for note in &notes {
        if args.json {
            out::json(&json!({
                "path": note.path,
                "line": note.number,
                "text": note.passage.line,
                "heading": note.passage.heading,
                "passage": note.passage.text,
                "day": note.passage.day,
                "source": note.passage.source,
                "score": note.ranked.score,
            }))?;
            continue;
        }
        // A program reads the unchanged line, as from grep.
        out::content(&format!("{}:{}: {}\n", note.shown_path(), note.number, note.passage.line))?;
        if args.explain {
            out::line(&format!("    {}", reasons(note)))?;
        }
    }
    Ok(u8::from(notes.is_empty()))
}

/// Why a line has its place: `score 3.21: nas 1.0, router 0.5; age leaves 80 %; contains the whole query`.
fn reasons(note: &FoundNote) -> String {
    let ranked = &note.ranked;
    let words =
        ranked.frequencies.iter().filter_map(|(word, count)| Some(format!("{} {count:.1}", note.words.get(*word)?)));
    let mut text = format!("score {:.2}: {}", ranked.score, words.collect::<Vec<_>>().join(", "));
    if ranked.freshness < 1.0 {
        text += &format!("; age leaves {:.0} %", ranked.freshness * 100.0);
    }
    if ranked.is_exact {
        text += "; contains the whole query";
    }
    text
}
