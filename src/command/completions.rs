//! `claw completions SHELL`

use crate::command::terminal::out;
use crate::core::fault::Result;

/// Print a shell's completions
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For which shell
    shell: clap_complete::Shell,
}

/// Prints the completions.
///
/// # Errors
/// `Closed` where nobody reads them.
pub fn run(args: &Args, mut program: clap::Command) -> Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut program, "claw", &mut text);
    out::raw(&String::from_utf8_lossy(&text))?;
    Ok(0)
}
