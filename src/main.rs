//! The program: a map of the rooms, and the exit codes. `tests/it/house.rs` checks the imports between rooms.
//!
//! - `cli.rs`: the command line, one enum and one match. `command/`: one file per subcommand: arguments, run, print.
//! - `stage/`: the steps of an event, as library functions: route, turns, notes, deliveries, tick, supervise.
//! - `provider/` models · `channel/` destinations · `tool/` tools of agents.
//! - `report/`: the results of `status` and `why` as values. `http/`: the one HTTP client.
//! - `store/`: the workspace's files; the only room that writes them.
//! - `process/`: running a program: watcher, sandbox, limits.
//! - `core/`: values and rules, no I/O. `world.rs`: clock, randomness, environment, stderr.
//!
//! Exit codes: 0 success · 1 failure · 2 usage error · 65 invalid data · 69 service unavailable · 75 temporary failure,
//! try again later · 78 invalid configuration · 130 stopped by Ctrl-C.

use claw::core::fault::Kind;
use std::process::ExitCode;

#[expect(unsafe_code, reason = "only a function in this section runs before the standard library opens closed streams")]
// SAFETY: the C runtime calls each pointer in `.init_array` once, before `main`, with arguments that a function without
// parameters ignores. The function makes one system call and stores a flag; it needs nothing of the standard library.
#[unsafe(link_section = ".init_array")]
#[used]
static NOTE_CLOSED_STDOUT: extern "C" fn() = claw::cli::note_closed_stdout;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    if first.as_ref().is_some_and(|a| a == claw::process::WATCH) {
        let rest: Vec<String> = arguments.map(|a| a.to_string_lossy().into_owned()).collect();
        return ExitCode::from(claw::process::watch(&rest));
    }
    let result = match first {
        Some(first) if first == claw::cli::PAGE => claw::cli::page(arguments),
        Some(first) if first == claw::cli::ATTEMPT => claw::cli::attempt(arguments),
        _ => {
            let words: Vec<_> = std::env::args_os().collect();
            if std::env::var_os(claw::cli::COMPLETE).is_some() && claw::cli::complete(&words) {
                return ExitCode::SUCCESS;
            }
            claw::cli::run(claw::cli::parse(&words))
        }
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(fault) => {
            if fault.kind != Kind::Closed {
                claw::cli::print_fault(&fault);
            }
            ExitCode::from(fault.exit_code())
        }
    }
}
