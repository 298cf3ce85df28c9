//! Programs, and their resource usage.

use crate::Result;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Instant;

/// Usage of a program from its start to its exit.
pub struct Used {
    /// Seconds.
    pub wall: f64,
    /// CPU seconds of all its threads, including the kernel.
    pub cpu: f64,
    /// Resident memory at its peak, in MiB.
    pub peak: f64,
}

/// Runs a program, which must succeed.
pub fn run(command: &mut Command) -> Result<Used> {
    let start = Instant::now();
    let child = command.spawn()?;
    let id = i32::try_from(child.id())?;
    let mut status = 0;
    // SAFETY: `rusage` is plain old data, for which all zeroes are a value.
    #[expect(unsafe_code, reason = "std has no way to make a rusage")]
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to locals that outlive the call and are of the types that it writes;
    // no other code waits for this child, since dropping a `Child` does not.
    #[expect(unsafe_code, reason = "neither std nor rustix tells what one child has used")]
    let waited = unsafe { libc::wait4(id, &raw mut status, 0, &raw mut usage) };
    let wall = start.elapsed().as_secs_f64();
    if waited != id || status != 0 {
        return Err(format!("{command:?} ended with wait status {status:#x}").into());
    }
    let seconds = |time: libc::timeval| -> Result<f64> {
        Ok(f64::from(u32::try_from(time.tv_sec)?) + f64::from(u32::try_from(time.tv_usec)?) / 1e6)
    };
    let peak = f64::from(u32::try_from(usage.ru_maxrss)?) / 1024.0;
    Ok(Used { wall, cpu: seconds(usage.ru_utime)? + seconds(usage.ru_stime)?, peak })
}

/// Runs a program, which must print exactly `answer`; `file` receives its output.
pub fn answered(command: &mut Command, file: &Path, answer: &str) -> Result<Used> {
    let used = run(command.stdout(File::create(file)?))?;
    let said = fs::read_to_string(file)?;
    if said.trim() == answer { Ok(used) } else { Err(format!("{command:?} says {said:?}").into()) }
}

/// Peak resident memory of this program, in MiB. The kernel counts it for a child too: until the child executes
/// another program, it is this one.
pub fn own_peak() -> Result<f64> {
    memory("self", "VmHWM")
}

/// A program that runs until it is dropped.
pub struct Running(pub Child);

impl Running {
    /// Milliseconds of CPU that its threads have used by now.
    pub fn cpu(&self) -> Result<f64> {
        let mut nanoseconds = 0.0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            nanoseconds += text.split(' ').next().unwrap_or_default().parse::<f64>()?;
        }
        Ok(nanoseconds / 1e6)
    }

    /// A line of its `/proc/PID/status`, in MiB.
    pub fn memory(&self, key: &str) -> Result<f64> {
        memory(&self.0.id().to_string(), key)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(id) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(id, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

fn memory(process: &str, key: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()).ok_or_else(|| format!("no {key}"))?;
    Ok(number.parse::<f64>()? / 1024.0)
}
