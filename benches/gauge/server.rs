//! A chat-completions server that says the same to everybody.

use crate::Result;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// What it says.
pub const ANSWER: &str = "hi to you";

/// Starts it in a thread of its own, and returns its `host:port`.
pub fn start() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let host = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Who hangs up early has its own trouble to report.
            let _ = answer(&stream);
        }
    });
    Ok(host)
}

fn answer(mut stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let is_stream = String::from_utf8_lossy(&body).replace(' ', "").contains(r#""stream":true"#);
    let kind = if is_stream { "text/event-stream" } else { "application/json" };
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n")?;
    if !is_stream {
        return write!(stream, r#"{{"choices":[{{"message":{{"role":"assistant","content":"{ANSWER}"}}}}]}}"#);
    }
    for word in ANSWER.split_inclusive(' ') {
        write!(stream, "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{word}\"}}}}]}}\n\n")?;
    }
    write!(stream, "data: [DONE]\n\n")
}
