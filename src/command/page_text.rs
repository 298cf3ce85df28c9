//! `claw __page`: converts a page on stdin to text on stdout. The tool `webread` runs it in a process of its own; it is
//! hidden from users.

use crate::command::terminal::out;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::web::page::{self, PageKind};
use rustix::process::{Resource, Rlimit, setrlimit};

/// The limit of address space for the conversion, in bytes: some fifty times the longest page.
const MEMORY: u64 = 384 << 20;

/// Convert a page on stdin to text
#[derive(Debug, clap::Parser)]
#[command(name = crate::tool::PAGE)]
pub struct Args {
    /// The page's URL
    #[arg(long)]
    url: String,
    /// The encoding named by the server
    #[arg(long)]
    charset: Option<String>,
    /// The page is a PDF, not HTML
    #[arg(long)]
    pdf: bool,
    /// Convert the whole page, not only its main part
    #[arg(long)]
    whole: bool,
}

/// Converts the page to text.
///
/// # Errors
/// If it cannot be read.
pub fn run(args: &Args) -> Result<u8> {
    let limit = Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    let unlimited = |e| Fault::new(Kind::Machine, format!("cannot limit the memory of this process: {e}"));
    setrlimit(Resource::As, limit).map_err(unlimited)?;
    // A crash writes no core dump.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(unlimited)?;
    let kind = if args.pdf { PageKind::Pdf } else { PageKind::Html };
    let bytes = out::stdin_bytes(MEMORY)?;
    out::raw(&page::text(kind, &bytes, args.charset.as_deref(), &args.url, args.whole)?)?;
    Ok(0)
}
