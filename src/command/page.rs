//! `claw __page`: a page from stdin as text on stdout. `webread` runs it as a program of its own; it is not
//! for people.

use crate::command::terminal::out;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::web::page::{self, PageKind};
use rustix::process::{Resource, Rlimit, setrlimit};

/// The most memory that a page may take, in bytes.
const MEMORY: u64 = 1 << 30;

/// Turn a page on stdin into text
#[derive(Debug, clap::Parser)]
#[command(name = crate::tool::PAGE)]
pub struct Args {
    /// Where it was
    #[arg(long)]
    url: String,
    /// What the server calls its encoding
    #[arg(long)]
    charset: Option<String>,
    /// It is a PDF, and not HTML
    #[arg(long)]
    pdf: bool,
    /// All of it, not only the readable part
    #[arg(long)]
    whole: bool,
}

/// Turns the page into text.
///
/// # Errors
/// Where it cannot be read.
pub fn run(args: &Args) -> Result<u8> {
    let limit = Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    let unlimited = |e| Fault::new(Kind::Machine, format!("cannot limit its memory: {e}"));
    setrlimit(Resource::As, limit).map_err(unlimited)?;
    // What breaks down leaves no image of itself.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(unlimited)?;
    let kind = if args.pdf { PageKind::Pdf } else { PageKind::Html };
    let bytes = out::stdin_bytes(MEMORY)?;
    out::raw(&page::text(kind, &bytes, args.charset.as_deref(), &args.url, args.whole)?)?;
    Ok(0)
}
