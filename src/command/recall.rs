//! `claw recall QUERY`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::fault::Result;
use crate::store::memory;
use serde_json::json;

/// Search the memories
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The maximum number of lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    limit: usize,
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
    /// The words to search for
    #[arg(required = true, value_name = "QUERY")]
    query: Vec<String>,
}

/// Searches the memories and prints `file:line: text`, best match first. The exit code is 1 without a match.
///
/// # Errors
/// If the notes cannot be read.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    let lines = memory::search(&workspace, &args.query.join(" "), args.limit)?;
    for line in &lines {
        if args.json {
            out::json(&json!({"path": line.path, "line": line.number, "text": line.text}))?;
        } else {
            let text = format!("{}:{}: {}", line.path, line.number, line.text);
            // A program reads the unchanged line, as from grep.
            out::content(&(text + "\n"))?;
        }
    }
    Ok(u8::from(lines.is_empty()))
}
