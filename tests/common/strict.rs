//! A chat-completions server that is stricter than any real one: it refuses a request that breaks a rule of
//! any provider, and records the rule. Its answer is a function of the request alone: the text of the last
//! user message names a script, and the number of the agent's answers since then is the step.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The key that it requires, and that must appear nowhere else.
pub const KEY: &str = "sk-strict-0123456789abcdef";

/// A script's answer at a step: text, and calls (name, arguments).
pub type Answer = (&'static str, Vec<(&'static str, Value)>);
/// The answer to the `n`th request of a turn, with the results of the last calls.
pub type Script = fn(usize, &[String]) -> Answer;

/// The server; it ends with the process.
#[derive(Clone)]
pub struct Strict {
    pub port: u16,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    broken: Vec<String>,
    /// How often each step of each script was requested.
    asked: BTreeMap<(String, usize), usize>,
    last: Value,
}

impl Strict {
    pub fn start(scripts: &'static [(&'static str, Script)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let strict = Self { port: listener.local_addr().unwrap().port(), seen: Arc::default() };
        let seen = Arc::clone(&strict.seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || exchange(&stream, scripts, &seen));
            }
        });
        strict
    }

    /// Configures it as the model of a workspace.
    pub fn model(&self, ws: &super::Fixture) {
        let base = format!("http://127.0.0.1:{}/v1", self.port);
        ws.write("strict.key", KEY);
        ws.model("strict", &format!("provider: openai, model: m, api_base: '{base}', api_key_file: strict.key"));
    }

    /// The broken rules.
    pub fn broken(&self) -> Vec<String> {
        self.seen.lock().unwrap().broken.clone()
    }

    /// How often this step of a script was requested.
    pub fn asked(&self, script: &str, step: usize) -> usize {
        self.seen.lock().unwrap().asked.get(&(script.to_owned(), step)).copied().unwrap_or_default()
    }

    /// The last request.
    pub fn last(&self) -> Value {
        self.seen.lock().unwrap().last.clone()
    }

    /// Forgets all requests.
    pub fn forget(&self) {
        self.seen.lock().unwrap().asked.clear();
    }
}

fn exchange(mut stream: &TcpStream, scripts: &[(&str, Script)], seen: &Mutex<Seen>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut key) = (0, String::new());
    loop {
        let mut line = String::new();
        // A client killed during its request has not made it.
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let Some((name, value)) = line.split_once(':') else {
            if line.trim().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or_default(),
            "authorization" => value.trim().clone_into(&mut key),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut broken = rules(&request);
    if key != format!("Bearer {KEY}") {
        broken.push(format!("the key is `{key}`"));
    }
    if String::from_utf8_lossy(&body).contains(KEY) {
        broken.push("the key is in the request".to_owned());
    }
    let messages = request["messages"].as_array().cloned().unwrap_or_default();
    let user = messages.iter().rposition(|m| m["role"] == "user").unwrap_or_default();
    let text = messages.get(user).map(|m| text_of(&m["content"])).unwrap_or_default();
    let step = messages[user..].iter().filter(|m| m["role"] == "assistant").count();
    let results: Vec<String> = messages
        .iter()
        .rev()
        .take_while(|m| m["role"] == "tool")
        .map(|m| m["content"].as_str().unwrap_or_default().to_owned())
        .collect();
    let results: Vec<String> = results.into_iter().rev().collect();
    let script = scripts.iter().find(|(name, _)| text.contains(name));
    if script.is_none() {
        broken.push(format!("no script has a name in `{text}`"));
    }
    {
        let mut seen = seen.lock().unwrap();
        seen.last = request.clone();
        if let Some((name, _)) = script {
            *seen.asked.entry(((*name).to_owned(), step)).or_default() += 1;
        }
        seen.broken.extend(broken.iter().cloned());
    }
    if let (Some((_, script)), true) = (script, broken.is_empty()) {
        return answer(stream, &script(step, &results));
    }
    let error = json!({"error": {"message": broken.join("; ")}}).to_string();
    write!(stream, "HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{error}", error.len())
}

/// Streams an answer, every call in several pieces.
fn answer(mut stream: &TcpStream, (text, calls): &Answer) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")?;
    let mut say = |delta: Value, finish: Option<&str>| {
        let chunk = json!({"choices": [{"delta": delta, "finish_reason": finish}]});
        write!(stream, "data: {chunk}\n\n")
    };
    for word in text.split_inclusive(' ') {
        say(json!({"content": word}), None)?;
    }
    for (index, (name, arguments)) in calls.iter().enumerate() {
        // Servers number their calls in many ways; these are the worst.
        say(
            json!({"tool_calls": [{"index": index, "id": "call_0", "function": {"name": name, "arguments": ""}}]}),
            None,
        )?;
        let arguments = match arguments {
            Value::String(raw) => raw.clone(),
            other => other.to_string(),
        };
        let middle =
            (arguments.len() / 2..=arguments.len()).find(|at| arguments.is_char_boundary(*at)).unwrap_or_default();
        let (head, tail) = arguments.split_at(middle);
        for piece in [head, tail] {
            say(json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}), None)?;
        }
    }
    say(json!({}), Some(if calls.is_empty() { "stop" } else { "tool_calls" }))?;
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
    write!(stream, "data: {usage}\n\ndata: [DONE]\n\n")
}

/// The text of a message, whole or in parts.
fn text_of(content: &Value) -> String {
    let parts = content.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
    content.as_str().map_or_else(|| parts.collect(), str::to_owned)
}

/// The parts of a message that no server accepts.
fn wrong_parts<'a>(role: &'a str, content: &'a Value) -> impl Iterator<Item = &'a Value> {
    content.as_array().into_iter().flatten().filter(move |part| role != "user" || !is_part(part))
}

/// Whether a part is a text, an image or a document, with data in padded base64 and no other fields.
fn is_part(part: &Value) -> bool {
    let keys = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let is_data = |url: &Value, types: &[&str]| {
        let data = url.as_str().and_then(|url| url.strip_prefix("data:")?.split_once(";base64,"));
        data.is_some_and(|(media, data)| types.contains(&media) && !data.is_empty() && data.len() % 4 == 0)
    };
    match part["type"].as_str() {
        Some("text") => keys(part) == ["text", "type"] && part["text"].is_string(),
        Some("image_url") => {
            let types = ["image/png", "image/jpeg", "image/gif", "image/webp"];
            keys(part) == ["image_url", "type"]
                && keys(&part["image_url"]) == ["url"]
                && is_data(&part["image_url"]["url"], &types)
        }
        Some("file") => {
            keys(part) == ["file", "type"]
                && keys(&part["file"]) == ["file_data", "filename"]
                && is_data(&part["file"]["file_data"], &["application/pdf"])
        }
        _ => false,
    }
}

/// The violations of a request.
pub fn rules(request: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let messages = request["messages"].as_array().cloned().unwrap_or_default();
    let offered: Vec<&str> =
        request["tools"].as_array().into_iter().flatten().filter_map(|t| t["function"]["name"].as_str()).collect();
    let mut open: Vec<String> = Vec::new();
    let mut known: Vec<String> = Vec::new();
    let mut before = "";
    for (n, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        let keys: Vec<&String> = message.as_object().into_iter().flat_map(|map| map.keys()).collect();
        let mut say = |what: &str| wrong.push(format!("message {n} ({role}): {what}"));
        if (n == 0) != (role == "system") {
            say("the system's message stands first, and only there");
        }
        if role != "tool" && !open.is_empty() {
            say(&format!("calls without a result: {open:?}"));
            open.clear();
        }
        let is_empty = text_of(&message["content"]).trim().is_empty();
        wrong_parts(role, &message["content"]).for_each(|part| say(&format!("the part {part}")));
        match role {
            "system" => {}
            "user" => {
                if !matches!(before, "system" | "assistant") {
                    say(&format!("it follows {before}"));
                }
                if is_empty {
                    say("it is empty");
                }
            }
            "assistant" => {
                if !matches!(before, "user" | "tool") {
                    say(&format!("it follows {before}"));
                }
                let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
                if calls.is_empty() && (is_empty || message.get("tool_calls").is_some()) {
                    say("it says nothing and calls nothing");
                }
                for call in &calls {
                    let id = call["id"].as_str().unwrap_or_default().to_owned();
                    if id.len() != 9 || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
                        say(&format!("call id `{id}`"));
                    }
                    if known.contains(&id) {
                        say(&format!("call id {id} was used before"));
                    }
                    let name = call["function"]["name"].as_str().unwrap_or_default();
                    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) || name.len() > 64 {
                        say(&format!("the name `{name}`"));
                    }
                    if name.is_empty() || offered.is_empty() {
                        say("a call of nothing that was offered");
                    }
                    let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
                    if !serde_json::from_str::<Value>(arguments).is_ok_and(|v| v.is_object()) {
                        say(&format!("arguments `{arguments}`"));
                    }
                    known.push(id.clone());
                    open.push(id);
                }
            }
            "tool" => {
                let id = message["tool_call_id"].as_str().unwrap_or_default();
                if open.first().is_none_or(|first| first != id) {
                    say(&format!("the result of `{id}`, where these are open: {open:?}"));
                }
                open.retain(|other| other != id);
                if is_empty {
                    say("it is empty");
                }
                if keys != ["content", "role", "tool_call_id"] {
                    say(&format!("fields {keys:?}"));
                }
            }
            other => say(&format!("there is no role `{other}`")),
        }
        before = role;
    }
    if !open.is_empty() {
        wrong.push(format!("at the end: calls without a result: {open:?}"));
    }
    if !matches!(before, "user" | "tool") {
        wrong.push(format!("the last message is {before}'s"));
    }
    if request.get("tool_choice").is_some() && offered.is_empty() {
        wrong.push("tool_choice without tools".to_owned());
    }
    for tool in request["tools"].as_array().into_iter().flatten() {
        let function = &tool["function"];
        let is_whole = tool["type"] == "function"
            && function["description"].as_str().is_some_and(|d| !d.is_empty())
            && function["parameters"]["type"] == "object";
        if !is_whole {
            wrong.push(format!("tool {tool}"));
        }
    }
    wrong
}
