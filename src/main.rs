//! The map of the house, and the exit codes.
//!
//! - `cli.rs`: the command line, one enum and one match. `command/`: one file per subcommand; it
//!   prints, nothing else.
//! - `stage/`: the way of an event, as library functions: route, turns, notes, deliveries, tick,
//!   supervise.
//! - `provider/` models · `channel/` destinations · `child/` running programs.
//! - `store/`: the only place that touches the workspace's disk.
//! - `core/`: values in, values out. `world.rs`: clock, randomness, environment.
//!
//! Exit codes: 0 fine · 1 something failed · 2 usage · 65 bad data · 69 service unavailable · 75 try
//! again later · 78 bad configuration.

use clap::Parser;
use claw::cli::Cli;
use claw::core::fault::Kind;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    if first.as_ref().is_some_and(|a| a == claw::process::WATCH) {
        let rest: Vec<String> = arguments.map(|a| a.to_string_lossy().into_owned()).collect();
        return ExitCode::from(claw::process::watch(&rest));
    }
    let is_page = first.is_some_and(|a| a == claw::cli::PAGE);
    match if is_page { claw::cli::page(arguments) } else { claw::cli::run(Cli::parse()) } {
        Ok(code) => ExitCode::from(code),
        Err(fault) => {
            if fault.kind != Kind::Closed {
                let _ = writeln!(std::io::stderr(), "claw: {}", fault.message);
                if let Some(hint) = &fault.hint {
                    let _ = writeln!(std::io::stderr(), "      {hint}");
                }
            }
            ExitCode::from(fault.exit_code())
        }
    }
}
