//! A program on a terminal of its own.

use nix::pty::{Winsize, openpty};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The user's end of it.
pub struct Terminal {
    child: Child,
    keys: File,
    shown: Receiver<Vec<u8>>,
    /// Output that was not consumed yet.
    text: String,
}

impl Terminal {
    /// Starts a program with the terminal as its controlling terminal and all three streams.
    pub fn start(mut command: Command) -> Self {
        command.env("TERM", "xterm");
        Self::start_with(command, 200)
    }

    /// The same, with the command's own `TERM` and this number of columns.
    pub fn start_with(mut command: Command, columns: u16) -> Self {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let ends = openpty(&size, None).unwrap();
        let stream = || Stdio::from(ends.slave.try_clone().unwrap());
        command.stdin(stream()).stdout(stream()).stderr(stream());
        // SAFETY: between fork and exec only two system calls are made; descriptor 0 is the child's own, and open.
        #[expect(unsafe_code, reason = "std has no other way to give a child a terminal")]
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                Ok(rustix::process::ioctl_tiocsctty(BorrowedFd::borrow_raw(0))?)
            });
        }
        let child = command.spawn().unwrap();
        drop(command);
        drop(ends.slave);
        let keys = File::from(ends.master);
        let mut screen = keys.try_clone().unwrap();
        let (tell, shown) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal returns EIO at its end.
            while let Ok(n @ 1..) = screen.read(&mut buffer) {
                let _ = tell.send(buffer[..n].to_vec());
            }
        });
        Self { child, keys, shown, text: String::new() }
    }

    /// Types keys.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// The output up to and including `text`, within a minute.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        let end = Instant::now() + Duration::from_mins(1);
        loop {
            if let Some(at) = self.text.find(text) {
                let rest = self.text.split_off(at + text.len());
                return std::mem::replace(&mut self.text, rest);
            }
            match self.shown.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.text += &String::from_utf8_lossy(&bytes),
                Err(e) => panic!("no {text:?} ({e}), but {:?}", self.text),
            }
        }
    }

    /// The exit code, and the last output.
    pub fn ended(mut self) -> (i32, String) {
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        self.text.extend(self.shown.iter().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
        (code, std::mem::take(&mut self.text))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
