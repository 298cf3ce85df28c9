//! `claw completions SHELL`

use crate::command::complete::VARIABLE;
use crate::command::terminal::out;
use crate::core::fault::{Fault, Result};
use clap_complete::env::Shells;

/// Print the completions of a shell
///
/// The script asks this program for the values at each Tab: ids, agents, models, sessions, tasks, skills, jobs, channels.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the script.
///
/// # Errors
/// `Closed` if stdout is closed.
pub fn run(args: &Args) -> Result<u8> {
    let (name, mut text) = (args.shell.to_string(), Vec::new());
    let shells = Shells::builtins();
    let shell = shells.completer(&name).ok_or_else(|| Fault::data(format!("there are no completions for {name}")))?;
    let written = shell.write_registration(VARIABLE, "claw", "claw", "claw", &mut text);
    written.map_err(|e| Fault::data(format!("the completions: {e}")))?;
    out::raw(&String::from_utf8_lossy(&text))?;
    Ok(0)
}
