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

/// Do everything, when it is due, until told to stop
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    record: Recording,
    /// Only these: route, run-agent, remember, deliver, tick [default: all]
    #[arg(value_name = "STAGE")]
    stages: Vec<String>,
}

/// Runs until SIGTERM, SIGINT or SIGHUP, then finishes what was begun; a second one stops at once,
/// and nothing is lost either way.
///
/// # Errors
/// `Usage` for an unknown stage; where the folders cannot be watched.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    if let Some(stage) = args.stages.iter().find(|s| !STAGES.contains(&s.as_str())) {
        let fault = Fault::new(Kind::Usage, format!("there is no stage `{stage}`"));
        let near = nearest(stage, STAGES.iter().copied());
        return Err(fault.hint(
            near.map_or_else(|| format!("there are: {}", STAGES.join(", ")), |n| format!("did you mean `{n}`?")),
        ));
    }
    let mut workspace = here.open()?;
    args.record.begin(&mut workspace)?;
    let stages: Vec<&str> = match &args.stages[..] {
        [] => STAGES.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    let (stop, ring) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        .map_err(|e| Fault::new(Kind::Machine, format!("cannot make a pipe: {e}")))?;
    signals(&ring)?;
    out::tell(&format!("supervising {} ({})", workspace.root.display(), stages.join(", ")));
    supervise::run(&workspace, &stages, stop.as_fd(), &|_, outcome: Outcome| {
        if !matches!(outcome.state, EventOutcome::Done(_)) {
            let _ = out::report(&outcome);
        }
    })?;
    out::tell("stopped");
    Ok(0)
}

/// The first signal makes `stop` readable, the second ends the process as if it had no handler.
fn signals(ring: &OwnedFd) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let bad = |e: std::io::Error| Fault::new(Kind::Machine, format!("cannot listen for signals: {e}"));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        let is_second = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        signal_hook::flag::register_conditional_default(signal, is_second.clone()).map_err(bad)?;
        signal_hook::flag::register(signal, is_second).map_err(bad)?;
        signal_hook::low_level::pipe::register(signal, ring.try_clone().map_err(bad)?).map_err(bad)?;
    }
    Ok(())
}
