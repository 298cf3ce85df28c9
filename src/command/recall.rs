//! `claw recall QUERY`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::fault::Result;
use crate::store::memory;
use serde_json::json;

/// Search the memories
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many lines at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    limit: usize,
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
    /// What is looked for
    #[arg(required = true, value_name = "QUERY")]
    query: Vec<String>,
}

/// Searches the memories and prints `file:line: text`, best first. Nothing found is exit 1.
///
/// # Errors
/// Where the notes cannot be read.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.look()?;
    let lines = memory::search(&workspace, &args.query.join(" "), args.limit)?;
    for line in &lines {
        if args.json {
            out::json(&json!({"path": line.path, "line": line.number, "text": line.text}))?;
        } else {
            let text = format!("{}:{}: {}", line.path, line.number, line.text);
            // For a program it is what grep would find.
            out::line(&if out::is_terminal() { out::tame(&text) } else { text })?;
        }
    }
    Ok(u8::from(lines.is_empty()))
}
