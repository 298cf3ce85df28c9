//! A request to a Unix socket of this user: `claw page` asks its listener.

use crate::core::fault::{Fault, Kind, Result};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The longest wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer, in bytes.
const MAX_ANSWER: u64 = 64 << 10;

/// Posts to `path` of the server at a socket, and returns the body of its answer.
///
/// # Errors
/// `Unavailable` if nobody answers, or not with 200.
pub fn post(socket: &Path, path: &str) -> Result<String> {
    let fault = |e: std::io::Error| {
        Fault::new(Kind::Unavailable, format!("the listener does not answer at {}: {e}", socket.display()))
    };
    let exchange = || -> std::io::Result<String> {
        // A path of a socket has at most 107 bytes; that of its folder's descriptor is short.
        let folder = std::fs::File::open(socket.parent().unwrap_or(socket))?;
        let short = Path::new("/proc/self/fd")
            .join(folder.as_raw_fd().to_string())
            .join(socket.file_name().unwrap_or_default());
        let mut stream = UnixStream::connect(short)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        write!(stream, "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(fault)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => {
            let line: String = answer.lines().next().unwrap_or_default().chars().take(100).collect();
            Err(Fault::new(Kind::Unavailable, format!("the listener has answered `{}`", line.escape_debug())))
        }
    }
}
