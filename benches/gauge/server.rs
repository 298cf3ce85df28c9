//! A chat-completions server with a constant answer, and tool calls on request: `calls 10 bash {"command": ":"}`
//! makes ten calls in one answer, `steps 10 …` one call in each of ten answers.

use crate::Result;
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// The answer.
pub const ANSWER: &str = "hi to you";

/// Starts it in a thread of its own, and returns its `host:port`.
pub fn start() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let host = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that hangs up early reports its own error.
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
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let calls = calls(&request);
    if !calls.is_empty() {
        let delta = json!({"choices": [{"delta": {"tool_calls": calls}, "finish_reason": "tool_calls"}]});
        return write!(stream, "data: {delta}\n\ndata: [DONE]\n\n");
    }
    for word in ANSWER.split_inclusive(' ') {
        write!(stream, "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{word}\"}}}}]}}\n\n")?;
    }
    write!(stream, "data: [DONE]\n\n")
}

/// The next calls.
fn calls(request: &Value) -> Vec<Value> {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let done = messages.iter().rev().take_while(|m| m["role"] != "user").filter(|m| m["role"] == "tool").count();
    let text = messages.iter().rev().find(|m| m["role"] == "user").and_then(|m| m["content"].as_str());
    let mut words = text.unwrap_or_default().splitn(4, ' ');
    let (how, count) = (words.next().unwrap_or_default(), words.next().and_then(|n| n.parse().ok()).unwrap_or(0));
    let wanted = match how {
        "calls" if done == 0 => count,
        "steps" if done < count => 1,
        _ => 0,
    };
    let (name, arguments) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    // A number makes every call different: repeating the same call ends a turn.
    let arguments = |n: usize| arguments.replace("%n", &(done + n).to_string());
    let call = |n| json!({"index": n, "id": "c", "function": {"name": name, "arguments": arguments(n)}});
    (0..wanted).map(call).collect()
}
