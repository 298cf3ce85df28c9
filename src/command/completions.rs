//! `claw completions SHELL`

use crate::command::terminal::out;
use crate::core::fault::Result;

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the completions.
///
/// # Errors
/// `Closed` if stdout is closed.
pub fn run(args: &Args, mut program: clap::Command) -> Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut program, "claw", &mut text);
    out::raw(&String::from_utf8_lossy(&text))?;
    Ok(0)
}
