//! A minimal client of a chat-completions server: `exchange HOST:PORT`.

use std::io::{Read, Result, Write};
use std::net::TcpStream;

fn main() -> Result<()> {
    let host = std::env::args().nth(1).unwrap_or_default();
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json");
    let mut stream = TcpStream::connect(&host)?;
    write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    std::io::stdout().write_all(&answer)
}
