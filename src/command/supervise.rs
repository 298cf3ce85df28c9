//! `claw supervise [STAGE…]`

use crate::command::Here;
use crate::command::terminal::out;
use crate::command::terminal::record::Recording;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::problem::nearest;
use crate::stage::outcome::{EventOutcome, Outcome};
use crate::stage::supervise;
use crate::stage::task::STAGES;
use rustix::pipe::PipeFlags;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;

/// Process events as they come, until stopped by a signal
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    record: Recording,
    /// The stages to run: route, run-agent, remember, deliver, tick [default: all]
    #[arg(value_name = "STAGE")]
    stages: Vec<String>,
}

/// Runs until SIGTERM, SIGINT or SIGHUP, then finishes the work in progress. A second signal stops at once; no event is
/// lost either way.
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
    let mut workspace = here.open()?;
    args.record.begin(&mut workspace)?;
    let stages: Vec<&str> = match &args.stages[..] {
        [] => STAGES.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    let (stop_fd, signal_fd) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        .map_err(|e| Fault::new(Kind::Machine, format!("cannot make a pipe: {e}")))?;
    register_signals(&signal_fd)?;
    out::message(&format!("supervising {} ({})", workspace.root.display(), stages.join(", ")));
    supervise::run(&workspace, &stages, stop_fd.as_fd(), &|_, outcome: Outcome| {
        if !matches!(outcome.state, EventOutcome::Done(_)) {
            let _ = out::report_outcome(&outcome);
        }
    })?;
    out::message("stopped");
    Ok(0)
}

/// Makes the first signal write to `signal_fd`, and the second one end the process by its default action.
fn register_signals(signal_fd: &OwnedFd) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let fault = |e: std::io::Error| Fault::new(Kind::Machine, format!("cannot handle signals: {e}"));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        let is_second = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        signal_hook::flag::register_conditional_default(signal, is_second.clone()).map_err(fault)?;
        signal_hook::flag::register(signal, is_second).map_err(fault)?;
        signal_hook::low_level::pipe::register(signal, signal_fd.try_clone().map_err(fault)?).map_err(fault)?;
    }
    Ok(())
}
