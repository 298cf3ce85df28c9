//! Model servers for the tests: an independent one from npm (`tests/peers`), and bare TCP with exactly the bytes
//! or the silence that a test needs.

use super::strict::rules;
use super::{Fixture, Ran, skipped};
use jiff::{Timestamp, civil, tz::TimeZone};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::Location;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A protocol, as the tests configure it.
pub struct Wire {
    pub provider: &'static str,
    /// The part of `api_base` after host and port.
    pub base: &'static str,
    /// The path of its requests.
    pub path: &'static str,
    /// The settings that choose it, beside the provider.
    pub settings: &'static str,
}

pub const OPENAI: Wire = Wire { provider: "openai", base: "/v1", path: "/v1/chat/completions", settings: "" };
pub const RESPONSES: Wire =
    Wire { provider: "openai", base: "/v1", path: "/v1/responses", settings: ", wire: responses" };
pub const ANTHROPIC: Wire = Wire { provider: "anthropic", base: "", path: "/v1/messages", settings: "" };
pub const OLLAMA: Wire = Wire { provider: "ollama", base: "", path: "/api/chat", settings: "" };

impl Wire {
    /// A workspace whose model is the server at this port; `more` are further fields of the model.
    pub fn workspace(&self, port: u16, more: &str) -> Fixture {
        let ws = Fixture::new();
        let Self { provider, base, settings, .. } = self;
        let api_base = format!("http://127.0.0.1:{port}{base}");
        ws.model("mock", &format!("provider: {provider}, model: m, api_base: \"{api_base}\"{settings}{more}"));
        ws
    }
}

/// The mock server, one for each test module and wire. It ends when this process does, because its stdin closes
/// then.
pub struct Peer {
    pub port: u16,
    wire: &'static Wire,
    _node: Mutex<Child>,
}

/// The peer of the calling module, or `None` with a message. `CLAW_REQUIRE_PEERS=1` makes its absence a failure.
#[track_caller]
pub fn peer(wire: &'static Wire) -> Option<&'static Peer> {
    type Started = &'static Result<Peer, String>;
    static PEERS: Mutex<Vec<(&str, &str, Started)>> = Mutex::new(Vec::new());
    let module = Location::caller().file();
    let mut peers = PEERS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = peers.iter().find(|(file, provider, _)| (*file, *provider) == (module, wire.provider));
    let started = if let Some((.., started)) = known {
        *started
    } else {
        let started: Started = Box::leak(Box::new(Peer::start(wire)));
        peers.push((module, wire.provider, started));
        started
    };
    drop(peers);
    match started {
        Ok(peer) => Some(peer),
        Err(why) => {
            let is_required = std::env::var("CLAW_REQUIRE_PEERS").is_ok_and(|v| v == "1");
            assert!(!is_required, "CLAW_REQUIRE_PEERS=1, and {why}");
            skipped(why);
            None
        }
    }
}

impl Peer {
    fn start(wire: &'static Wire) -> Result<Self, String> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
        if !dir.join("node_modules/@copilotkit/aimock").exists() {
            return Err("the mock server is not installed: npm ci --ignore-scripts in tests/peers".to_owned());
        }
        let mut node = Command::new("node");
        node.arg(dir.join("mock_llm.mjs")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut node = node.spawn().map_err(|e| format!("there is no node here: {e}"))?;
        let mut line = String::new();
        BufReader::new(node.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("no port but `{line}`"));
        Ok(Self { port, wire, _node: Mutex::new(node) })
    }

    /// A workspace whose model is this server.
    pub fn workspace(&self) -> Fixture {
        self.wire.workspace(self.port, "")
    }

    /// The bodies of the requests whose last message is `text`, in order, as the peer has parsed them.
    /// All requests to the peer must satisfy the rules of every server.
    pub fn asked(&self, text: &str) -> Vec<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET /__aimock/journal?path={} HTTP/1.0\r\n\r\n", self.wire.path).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let journal: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let bodies: Vec<Value> = journal.as_array().unwrap().iter().map(|entry| entry["body"].clone()).collect();
        // The peer makes up the ids that Ollama's requests lack.
        for body in bodies.iter().filter(|_| self.wire.provider != "ollama") {
            assert_eq!(rules(body), [""; 0], "{body:#}");
        }
        bodies.into_iter().filter(|body| messages(body).last().unwrap().1 == text).collect()
    }
}

/// Role and text of every message of a request; a message of the user without the time behind it.
pub fn messages(body: &Value) -> Vec<(&str, &str)> {
    let messages = body["messages"].as_array().unwrap().iter();
    messages.map(|m| (m["role"].as_str().unwrap(), without_time(m["content"].as_str().unwrap_or_default()))).collect()
}

/// Messages of a neutral request, those of the user without the time behind them.
pub fn without_times(messages: &Value) -> Value {
    let mut messages = messages.clone();
    for message in messages.as_array_mut().unwrap().iter_mut().filter(|message| message["role"] == "user") {
        message["content"] = without_time(message["content"].as_str().unwrap()).into();
    }
    messages
}

/// A message without the time behind it.
pub fn without_time(content: &str) -> &str {
    let Some(at) = content.rfind('[').filter(|at| content.len() - at == "[2026-11-21 09:05]".len()) else {
        return content;
    };
    if content.ends_with(']') { content[..at].trim_end() } else { content }
}

/// The id and the due time of the only file in `inbox/wait`, and the rest of its name.
pub fn waiting(ws: &Fixture) -> (Timestamp, String, String) {
    let names = ws.list("inbox/wait");
    let [name] = &names[..] else { panic!("{names:?}") };
    let (due, rest) = name.split_once('~').unwrap();
    let (id, rest) = rest.split_once('~').unwrap();
    let due = civil::DateTime::strptime("%Y%m%dT%H%M%S%.fZ", due).unwrap().to_zoned(TimeZone::UTC).unwrap();
    (due.timestamp(), id.to_owned(), rest.to_owned())
}

/// Sends a message and routes it; returns its id.
pub fn routed(ws: &Fixture, text: &str) -> String {
    let id = ws.claw(&["send", text]).ok().trim().to_owned();
    assert_eq!(ws.claw(&["route"]).ok(), format!("{id}\n"));
    id
}

/// A question whose failure was reported at once leaves nothing in any mailbox.
#[track_caller]
pub fn nothing_left(ws: &Fixture) {
    let failed = [ws.list("inbox/failed"), ws.list("outbox/failed")].concat();
    assert_eq!((failed, ws.pending()), (vec![], vec![]));
}

// ---------------------------------------------------------------- bare TCP

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    pub head: String,
    pub body: Value,
}

/// A server that reads one request per connection, and then acts as the test says.
pub struct Server {
    pub port: u16,
    heard: Arc<(Mutex<Vec<Heard>>, Condvar)>,
}

impl Server {
    /// `answer` is called with the number of the request, from 0, and the connection, which closes
    /// afterwards.
    pub fn start(answer: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::serve(move |number, _, stream| answer(number, stream))
    }

    /// The same; `answer` is called with the request.
    pub fn start_with_request(answer: impl Fn(&Heard, &mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::serve(move |_, request, stream| answer(request, stream))
    }

    fn serve(answer: impl Fn(usize, &Heard, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let (requests, answer) = (Arc::clone(&heard), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, requests, answer) = (stream.unwrap(), Arc::clone(&requests), Arc::clone(&answer));
                thread::spawn(move || {
                    stream.set_nodelay(true).unwrap();
                    let Some(request) = request(&mut stream) else { return };
                    let number = {
                        let mut all = requests.0.lock().unwrap();
                        all.push(request.clone());
                        requests.1.notify_all();
                        all.len() - 1
                    };
                    answer(number, &request, &mut stream);
                });
            }
        });
        Self { port, heard }
    }

    /// A server that always sends these bytes.
    pub fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_, stream| drop(stream.write_all(&answer)))
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.0.lock().unwrap().clone()
    }

    /// Waits until so many requests have come.
    pub fn hears(&self, count: usize) {
        let all = self.heard.0.lock().unwrap();
        let limit = Duration::from_secs(30);
        let (all, _) = self.heard.1.wait_timeout_while(all, limit, |all| all.len() < count).unwrap();
        assert!(all.len() >= count, "{} requests and no more", all.len());
    }

    pub fn workspace(&self, wire: &Wire, more: &str) -> Fixture {
        wire.workspace(self.port, more)
    }
}

fn request(stream: &mut TcpStream) -> Option<Heard> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or_default()];
    reader.read_exact(&mut body).ok()?;
    Some(Heard { head, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// Sends nothing until the client has closed the connection.
pub fn silence(stream: &mut TcpStream) {
    while matches!(stream.read(&mut [0; 64]), Ok(1..)) {}
}

pub const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
/// A complete answer with these header lines and this body.
pub fn whole(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}")
}

pub const JSON: &str = "Content-Type: application/json\r\n";

/// `ask` must have failed like this, perhaps after retries: nothing on stdout, and nothing left.
#[track_caller]
pub fn refused(ws: &Fixture, ran: &Ran, code: i32, what: &str) {
    assert_eq!((ran.code, &ran.out[..]), (code, ""), "{ran:#?}");
    let err: String = ran.err.split_inclusive('\n').skip_while(|line| line.starts_with("claw: retrying in ")).collect();
    assert!(err.starts_with("claw: model mock: ") && err.contains(what), "not `{what}` but {}", ran.err);
    assert!(!ran.err.contains(": :"), "something is left out: {}", ran.err);
    nothing_left(ws);
}
