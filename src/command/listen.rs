//! `claw listen NAME…`

use crate::channel;
use crate::command::Here;
use crate::command::terminal::out;
use crate::command::terminal::stop_signals::StopSignals;
use crate::core::fault::{Fault, Kind, Result};
use crate::stage::listen::{self, ListenerProcess, fleet};
use crate::stage::outcome::{EventOutcome, Outcome};
use crate::store::queue::claimed;
use rustix::event::{EventfdFlags, eventfd};
use std::os::fd::AsFd;

/// Receive the messages of channels, until stopped by a signal
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each channel has a process of its own; with several names they are started again when they end. `claw supervise`
does this for all channels. A second listener of a channel ends with 75.")]
pub struct Args {
    /// Poll once, deliver what is due, and end: for timers
    #[arg(long)]
    once: bool,
    /// End when stdin ends
    #[arg(long, hide = true)]
    until_eof: bool,
    /// The channels: names below `channels` in claw.yaml
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Listens until SIGTERM, SIGINT or SIGHUP.
///
/// # Errors
/// `Data` for an unknown channel; `Later` if another process listens on it; `Config` if its settings are wrong.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    let config = workspace.config()?;
    if let Some(name) = args.names.iter().find(|name| config.channels.get(name).is_none()) {
        return Err(channel::unknown(&config, name));
    }
    let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|e| Fault::new(Kind::Machine, format!("cannot make an eventfd: {e}")))?;
    let mut signals = StopSignals::register()?;
    let (handle, workspace, stop) = (signals.handle(), &workspace, &stop);
    if args.until_eof {
        // The thread ends with the process.
        let stop = stop.try_clone().map_err(|e| Fault::new(Kind::Machine, format!("cannot share an eventfd: {e}")))?;
        let mut input = std::fs::File::from(out::stdin_file()?);
        let wait = move || {
            let _ = std::io::copy(&mut input, &mut std::io::sink());
            let _ = rustix::io::write(&stop, &1u64.to_ne_bytes());
        };
        let thread = std::thread::Builder::new().name("stdin".to_owned()).spawn(wait);
        thread.map_err(|e| Fault::new(Kind::Machine, format!("cannot start a thread: {e}")))?;
    }
    let report = |outcome: Outcome| {
        if !matches!(outcome.state, EventOutcome::Done(_)) {
            let _ = out::report_outcome(&outcome);
        }
    };
    let end = |fault: Fault| {
        claimed::give_back_all(workspace);
        out::print_fault(&fault);
        std::process::exit(fault.exit_code().into())
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("signals".to_owned());
        let started = thread.spawn_scoped(scope, || signals.attend(workspace, stop));
        started.map_err(|e| Fault::new(Kind::Machine, format!("cannot start a thread: {e}")))?;
        let result = match &args.names[..] {
            [name] => {
                let process = ListenerProcess { stop: stop.as_fd(), once: args.once, report: &report, end: &end };
                listen::run(workspace, name, &process)
            }
            names if args.once => {
                let process = ListenerProcess { stop: stop.as_fd(), once: true, report: &report, end: &end };
                let poll = |name: &String| listen::run(workspace, name, &process);
                // One that fails keeps no other from its poll.
                let faults: Vec<Fault> = names.iter().filter_map(|name| poll(name).err()).collect();
                faults.iter().skip(1).for_each(out::print_fault);
                faults.into_iter().next().map_or(Ok(()), Err)
            }
            names => fleet::run(workspace, Some(names), stop.as_fd()),
        };
        handle.close();
        result
    })?;
    Ok(0)
}
