//! stdout and stderr. The token is removed from everything that is written.

use serde_json::Value;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The place of the token in text.
const REDACTED: &str = "[token]";

/// The way out of the program; clones share it.
#[derive(Clone)]
pub struct Output {
    lines: Sender<Job>,
    token: Arc<str>,
    /// The last report, so that a repeated failure is reported once.
    last: Arc<Mutex<String>>,
}

enum Job {
    Line(String),
    Flush(Sender<()>),
}

impl Output {
    /// Starts the thread that writes to stdout: claw may stop reading for a while, and its pings must be answered.
    pub fn new(token: &str) -> Self {
        let (lines, jobs) = channel();
        thread::spawn(move || write(&jobs));
        Self { lines, token: token.into(), last: Arc::default() }
    }

    /// Writes a line of the protocol.
    pub fn line(&self, value: &Value) {
        // After an error of stdout claw is gone, and stdin ends.
        let _ = self.lines.send(Job::Line(format!("{}\n", self.redact(&value.to_string()))));
    }

    /// Writes a report for the owner to stderr, unless it is the same as the last one.
    pub fn say(&self, text: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != text {
            text.clone_into(&mut last);
            eprintln!("{}", self.redact(text));
        }
    }

    /// The last report.
    pub fn last(&self) -> String {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The text without the token.
    pub fn redact(&self, text: &str) -> String {
        text.replace(&*self.token, REDACTED)
    }

    /// Waits until all lines are written, at most 5 s.
    pub fn flush(&self) {
        let (done, wait) = channel();
        if self.lines.send(Job::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(Duration::from_secs(5));
        }
    }
}

fn write(jobs: &Receiver<Job>) {
    let mut stdout = std::io::stdout().lock();
    for job in jobs {
        match job {
            Job::Line(line) if stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).is_err() => return,
            Job::Line(_) => {}
            Job::Flush(done) => drop(done.send(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_removed() {
        let output = Output::new("MTA1.GabcdE.secret0123456789");
        assert_eq!(output.redact("401 for Bot MTA1.GabcdE.secret0123456789!"), "401 for Bot [token]!");
    }
}
