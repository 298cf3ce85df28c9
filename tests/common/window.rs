//! A chat-completions server with a context window: it counts tokens by its own estimate, refuses longer requests as
//! its kind does, and records every rule that a request breaks. It recognises requests for a summary and for
//! notes by the prompt.

use super::strict;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The answer to a request for a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summary {
    /// An answer without any word of the conversation.
    Given,
    /// The server fails.
    Fails,
    /// Refused as too long.
    TooLong,
    /// Never answered.
    Hangs,
    /// Without a call, where notes are asked for; else as [`Summary::Given`].
    NoNotes,
}

/// The requests so far.
#[derive(Default)]
pub struct Seen {
    /// Broken rules.
    pub broken: Vec<String>,
    /// Requests refused as too long, with their tokens.
    pub refused: Vec<usize>,
    /// The messages of every answered request, except summaries.
    pub requests: Vec<Vec<Value>>,
    /// The prompt of every request for a summary.
    pub summaries: Vec<String>,
    /// Every request for notes before a compaction.
    pub notes: Vec<Value>,
}

/// The server; it ends with the process.
#[derive(Clone)]
pub struct Window {
    pub port: u16,
    seen: Arc<Mutex<Seen>>,
    summary: Arc<Mutex<Summary>>,
}

/// Tokens of a request by the server's own estimate: 3.5 bytes of text per token, and the overhead of messages.
pub fn count(request: &Value) -> usize {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string().len(), str::len);
    let messages = request["messages"].as_array().into_iter().flatten();
    let bytes: usize = messages
        .map(|message| {
            let calls = message["tool_calls"].as_array().into_iter().flatten();
            let calls: usize =
                calls.map(|call| text(&call["function"]["name"]) + text(&call["function"]["arguments"])).sum();
            12 + calls + message["content"].as_str().map_or(0, str::len)
        })
        .sum();
    let tools: usize = request["tools"].as_array().into_iter().flatten().map(|tool| text(&tool["function"])).sum();
    (bytes + tools) * 2 / 7
}

impl Window {
    /// Serves a model with a context window of so many tokens; with `counts` it reports its count.
    pub fn start(window: usize, counts: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self { port, seen: Arc::default(), summary: Arc::new(Mutex::new(Summary::Given)) };
        let own = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = own.clone();
                std::thread::spawn(move || server.exchange(&stream, window, counts));
            }
        });
        server
    }

    /// Configures it as the model of a workspace, with these further settings.
    pub fn model(&self, ws: &super::Fixture, settings: &str) {
        let base = format!("http://127.0.0.1:{}/v1", self.port);
        ws.model("small", &format!("provider: openai, model: m, api_base: '{base}'{settings}"));
    }

    pub fn summary(&self, summary: Summary) {
        *self.summary.lock().unwrap() = summary;
    }

    pub fn seen<T>(&self, see: impl FnOnce(&Seen) -> T) -> T {
        see(&self.seen.lock().unwrap())
    }

    /// The text of the last request.
    pub fn last(&self) -> String {
        self.seen(|seen| Value::from(seen.requests.last().cloned().unwrap_or_default()).to_string())
    }

    fn exchange(&self, mut stream: &TcpStream, window: usize, counts: bool) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or_default();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let request: Value = serde_json::from_slice(&body).unwrap_or_default();
        let Some((status, answer)) = self.answer(&request, window, counts) else {
            // Sends nothing until the client has closed the connection.
            return reader.read_exact(&mut [0]);
        };
        let text = answer.to_string();
        write!(
            stream,
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
            text.len()
        )
    }

    fn answer(&self, request: &Value, window: usize, counts: bool) -> Option<(u16, Value)> {
        let messages = request["messages"].as_array().cloned().unwrap_or_default();
        let text = |at: usize| messages.get(at).and_then(|m| m["content"].as_str()).unwrap_or_default().to_owned();
        let is_summary = text(0).starts_with("You keep the notes");
        let is_notes = text(0).starts_with("The older part of a conversation");
        let counted = count(request);
        let mut seen = self.seen.lock().unwrap();
        seen.broken.extend(strict::rules(request));
        let mut summary = Summary::Given;
        if is_notes {
            seen.notes.push(request.clone());
            summary = *self.summary.lock().unwrap();
        }
        if is_summary {
            seen.summaries.push(text(1));
            summary = *self.summary.lock().unwrap();
        }
        if counted > window || summary == Summary::TooLong {
            if !is_summary && !is_notes {
                seen.refused.push(counted);
            }
            let message = format!(
                "This model's maximum context length is {window} tokens. However, your messages resulted in {counted} \
                 tokens."
            );
            return Some((400, json!({"error": {"message": message, "code": "context_length_exceeded"}})));
        }
        match summary {
            Summary::Hangs => return None,
            Summary::Fails => return Some((500, json!({"error": {"message": "out of order"}}))),
            _ => {}
        }
        if !is_summary && !is_notes {
            seen.requests.push(messages.clone());
        }
        let user = messages.iter().rposition(|m| m["role"] == "user").unwrap_or_default();
        let is_first = user + 1 == messages.len();
        let message = match text(user) {
            _ if is_notes && summary == Summary::NoNotes => json!({"role": "assistant", "content": "Nothing."}),
            _ if is_notes => {
                let call = |text: &str| {
                    json!({"id": text, "type": "function",
                           "function": {"name": "remember", "arguments": json!({"text": text}).to_string()}})
                };
                let other = json!({"id": "b", "type": "function", "function": {"name": "bash", "arguments": "{}"}});
                let key = format!("the token is {}", "q7Zt3LmP9xWv2RbN8sKd4HjF6gYc1QaE");
                json!({"role": "assistant", "content": "", "tool_calls": [call("Ottilie is the sister."), other, call(&key)]})
            }
            _ if is_summary => json!({"role": "assistant", "content": "They talked about many things."}),
            text if is_first && text.contains("look it up") => {
                let call = |n: usize| {
                    json!({"id": format!("{n}"), "type": "function",
                           "function": {"name": "recall", "arguments": json!({"query": format!("word{n}")}).to_string()}})
                };
                json!({"role": "assistant", "content": "", "tool_calls": [call(1), call(2)]})
            }
            text => {
                json!({"role": "assistant", "content": format!("I see: {}.", text.chars().take(40).collect::<String>())})
            }
        };
        let mut answer = json!({"choices": [{"message": message, "finish_reason": "stop"}]});
        if counts {
            answer["usage"] = json!({"prompt_tokens": counted, "completion_tokens": 20});
        }
        Some((200, answer))
    }
}
