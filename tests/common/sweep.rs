//! A sweep: one command is disturbed at each of its durable calls, or of its openings, in one run per call and fault.
//! Each run begins with a copy of the same workspace, and its scenario judges the workspace afterwards.

use super::Fixture;
use super::proof::{self, Proof};
use super::scenes::{Faults, refusals};
use super::tracer::{self, Fault, Traced};
use nix::errno::Errno;

/// One row of a sweep.
pub struct Scenario<'a> {
    /// Prefix of each violation.
    pub name: &'a str,
    /// The workspace in which the command runs.
    pub template: &'a Fixture,
    /// Copies the template: [`super::scenes::copy`], or [`super::scenes::trusted`] if programs run.
    pub copy: fn(&Fixture) -> Fixture,
    /// The arguments of `claw`.
    pub command: &'a [&'a str],
    /// Runs before each disturbed run, to reset a model server for example.
    pub prepare: &'a dyn Fn(),
    /// Recovers the workspace after the fault, and returns the violations.
    pub judge: &'a dyn Fn(&Fixture, &Hit) -> Vec<String>,
}

/// A disturbed run.
pub struct Hit {
    pub fault: Fault,
    pub traced: Traced,
}

impl Hit {
    pub fn is_kill(&self) -> bool {
        self.fault == Fault::Kill
    }
}

/// The disturbed calls, and how many of them in a test run.
#[derive(Clone, Copy)]
pub enum At {
    /// Durable calls, with kills or errors.
    Calls(Faults),
    /// Openings of files below the workspace, with `EMFILE` or `EIO`; in a test run every n-th.
    Openings(usize),
    /// Calls on sockets, with kills; in a test run every n-th.
    Sockets(usize),
}

/// The calls that connect, send and receive.
const SOCKETS: &[(i64, &str)] = &[
    (libc::SYS_connect, "connect"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_writev, "writev"),
    (libc::SYS_recvfrom, "recvfrom"),
    (libc::SYS_shutdown, "shutdown"),
];

impl At {
    /// The disturbed runs of a command with so many calls.
    fn faults(self, calls: usize) -> Vec<(usize, Fault)> {
        match self {
            // One call more: threads may interleave differently.
            Self::Calls(faults) => faults.of(calls + 1),
            Self::Sockets(few) => Faults::Kills(few).of(calls + 1),
            Self::Openings(few) => {
                refusals(calls, few).into_iter().map(|(at, errno)| (at, Fault::Error(errno))).collect()
            }
        }
    }

    fn run(self, ws: &Fixture, command: &[&str], at: usize, fault: Fault) -> Traced {
        match (self, fault) {
            (Self::Sockets(_), _) => tracer::run_at(SOCKETS, ws.command(command), |call| (call == at).then_some(fault)),
            (Self::Openings(_), Fault::Error(errno)) => tracer::run_opening(ws.command(command), &ws.root, at, errno),
            _ => tracer::run(ws.command(command), at, fault),
        }
    }
}

impl Proof {
    /// Disturbs the command of `scenario` at its calls; keeps the violations for [`Proof::judge`].
    #[track_caller]
    pub fn sweep(&mut self, at: At, scenario: &Scenario) {
        (scenario.prepare)();
        let undisturbed = match at {
            At::Calls(_) | At::Sockets(_) => Fault::Kill,
            At::Openings(_) => Fault::Error(Errno::EMFILE),
        };
        let calls = at.run(&(scenario.copy)(scenario.template), scenario.command, 0, undisturbed).calls;
        assert!(calls >= 4, "{}: only {calls} calls", scenario.name);
        for (number, fault) in at.faults(calls) {
            if proof::is_first() && !self.found.is_empty() {
                break;
            }
            let ws = (scenario.copy)(scenario.template);
            (scenario.prepare)();
            let traced = at.run(&ws, scenario.command, number, fault);
            let Some(call) = traced.hit else { continue };
            self.points += 1;
            let wrong = (scenario.judge)(&ws, &Hit { fault, traced });
            let place = format!("{} at {call} ({number} of {calls}), {fault:?}", scenario.name);
            self.found.extend(wrong.into_iter().map(|what| format!("{place}: {what}")));
        }
    }
}
