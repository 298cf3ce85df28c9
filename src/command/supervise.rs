//! `claw supervise [STAGE…]`

use crate::command::Here;
use crate::command::terminal::out;
use crate::command::terminal::record::Recording;
use crate::command::terminal::stop_signals::{StopSignals, signal_fault};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::problem::nearest;
use crate::stage::outcome::{EventOutcome, Outcome};
use crate::stage::supervise;
use crate::stage::task::STAGES;
use crate::store::queue::claimed;
use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Resource, getrlimit};
use std::os::fd::AsFd;

/// The fewest descriptors with which an event is answered, by the built-in model.
const LEAST_DESCRIPTORS: u64 = 26;
/// The descriptors that an event with a program or a request needs.
const WANTED_DESCRIPTORS: u64 = 46;

/// Process events as they come, until stopped by a signal
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    record: Recording,
    /// The stages to run: route, run-agent, remember, deliver, tick, listen [default: all]
    #[arg(value_name = "STAGE")]
    stages: Vec<String>,
}

/// Runs until SIGTERM, SIGINT or SIGHUP, then finishes the work in progress. The same signal again stops at once, and
/// the events in progress are given back; no event is lost either way.
///
/// # Errors
/// `Usage` for an unknown stage; if the folders cannot be watched.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    if let Some(stage) = args.stages.iter().find(|s| !STAGES.contains(&s.as_str())) {
        let fault = Fault::new(Kind::Usage, format!("unknown stage `{stage}`"));
        let near = nearest(stage, STAGES.iter().copied());
        return Err(fault
            .hint(near.map_or_else(|| format!("stages: {}", STAGES.join(", ")), |n| format!("did you mean `{n}`?"))));
    }
    check_descriptors()?;
    let mut workspace = here.open()?;
    args.record.begin(&mut workspace)?;
    let stages: Vec<&str> = match &args.stages[..] {
        [] => STAGES.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|e| Fault::new(Kind::Machine, format!("cannot make an eventfd: {e}")))?;
    let mut signals = StopSignals::register()?;
    let handle = signals.handle();
    let workspace = &workspace;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread.spawn_scoped(scope, || signals.attend(workspace, &stop)).map_err(|e| signal_fault(&e))?;
        out::message(&format!("supervising {} ({})", workspace.root.display(), stages.join(", ")));
        let report = |_: &str, outcome: Outcome| {
            if !matches!(outcome.state, EventOutcome::Done(_)) {
                let _ = out::report_outcome(&outcome);
            }
        };
        let result = supervise::run(workspace, &stages, stop.as_fd(), &report, &|fault| {
            claimed::give_back_all(workspace);
            out::print_fault(&fault);
            std::process::exit(fault.exit_code().into())
        });
        handle.close();
        result
    })?;
    out::message("stopped");
    Ok(0)
}

/// Compares the limit of open files with the needs of one event: with fewer, the supervisor would run and answer nothing.
fn check_descriptors() -> Result<()> {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let message = format!("this process may have {limit} open files");
    if limit < LEAST_DESCRIPTORS {
        let fault = Fault::new(Kind::Machine, format!("{message}, and needs at least {LEAST_DESCRIPTORS}"));
        return Err(fault.hint("raise the limit (ulimit -n)"));
    }
    if limit < WANTED_DESCRIPTORS {
        out::message(&format!("{message}; with fewer than {WANTED_DESCRIPTORS}, programs and requests may fail"));
    }
    Ok(())
}
