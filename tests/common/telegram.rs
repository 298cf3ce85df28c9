//! A strict Bot API: it keeps what is not acknowledged, answers only one poll at a time, checks every entity in UTF-16,
//! and keeps a ledger of all that was sent. Two independent bots run against it unchanged (`tests/it/telegram.rs`), which
//! shows that it is faithful. Source: core.telegram.org/bots/api.

use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

pub const TOKEN: &str = "4242:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-ab";
pub const BOT: i64 = 4242;
pub const USERNAME: &str = "clawtest_bot";

/// A message that the bot has sent.
#[derive(Clone, Debug, PartialEq)]
pub struct SentMessage {
    pub chat: i64,
    pub thread: Option<i64>,
    pub text: String,
    pub entities: Vec<Value>,
}

#[derive(Default)]
pub struct Ledger {
    updates: VecDeque<Value>,
    next_update: i64,
    next_message: i64,
    /// The number of the poll that is answered; an older one is ended by it.
    poll: u64,
    webhook: bool,
    /// Polls do not wait.
    is_hasty: bool,
    /// Every update that was confirmed by an offset.
    pub confirmed: Vec<i64>,
    pub sent: Vec<SentMessage>,
    /// Every call, in order.
    pub calls: Vec<(String, Value)>,
    /// Answers to the next calls of a method: status, and the body.
    refusals: VecDeque<(&'static str, u16, Value)>,
    /// Calls of these methods are done, but their answer is cut off.
    cut: VecDeque<&'static str>,
    chats: BTreeMap<i64, &'static str>,
    moved: BTreeMap<i64, i64>,
    files: BTreeMap<String, Vec<u8>>,
    /// Requests that no client may make.
    pub broken: Vec<String>,
}

/// The service; it ends with the process.
#[derive(Clone)]
pub struct Telegram {
    pub port: u16,
    state: Arc<(Mutex<Ledger>, Condvar)>,
}

impl Telegram {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = Arc::new((Mutex::new(Ledger::new()), Condvar::new()));
        let telegram = Self { port: listener.local_addr().unwrap().port(), state };
        let server = telegram.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || while server.exchange(&stream).is_some() {});
            }
        });
        telegram
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.change(|ledger| *ledger = Ledger::new());
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.state.0.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let result = change(&mut self.ledger());
        self.state.1.notify_all();
        result
    }

    /// Waits until the ledger is like this.
    #[track_caller]
    pub fn wait_for(&self, what: &str, is: impl Fn(&Ledger) -> bool) {
        let ledger = self.ledger();
        let (ledger, _) =
            self.state.1.wait_timeout_while(ledger, Duration::from_mins(1), |ledger| !is(ledger)).unwrap();
        assert!(is(&ledger), "{what}: {:?}", ledger.calls.iter().map(|(method, _)| method).collect::<Vec<_>>());
    }

    pub fn add_chat(&self, id: i64, kind: &'static str) {
        self.change(|ledger| ledger.chats.insert(id, kind));
    }

    /// Polls are answered at once from now on.
    pub fn answer_at_once(&self) {
        self.change(|ledger| ledger.is_hasty = true);
    }

    /// The next update has this number.
    pub fn number_from(&self, number: i64) {
        self.change(|ledger| ledger.next_update = number);
    }

    /// A group becomes a supergroup with another number.
    pub fn migrate(&self, from: i64, to: i64) {
        self.change(|ledger| {
            ledger.chats.insert(to, "supergroup");
            ledger.moved.insert(from, to);
        });
    }

    pub fn set_webhook(&self, is_set: bool) {
        self.change(|ledger| ledger.webhook = is_set);
    }

    pub fn add_file(&self, id: &str, bytes: &[u8]) {
        self.change(|ledger| ledger.files.insert(id.to_owned(), bytes.to_owned()));
    }

    /// The next call of this method is refused so.
    pub fn refuse(&self, method: &'static str, status: u16, body: Value) {
        self.change(|ledger| ledger.refusals.push_back((method, status, body)));
    }

    /// The next call of this method is done, and its answer is cut off.
    pub fn cut_off(&self, method: &'static str) {
        self.change(|ledger| ledger.cut.push_back(method));
    }

    /// Adds an update with a number, as it is.
    pub fn update(&self, mut update: Value) -> i64 {
        self.change(|ledger| {
            let number = ledger.next_update;
            ledger.next_update += 1;
            if update.is_object() {
                update["update_id"] = json!(number);
            }
            ledger.updates.push_back(update);
            number
        })
    }

    /// A private message of a user.
    pub fn message(&self, from: i64, text: &str) -> i64 {
        let id = self.change(|ledger| {
            ledger.next_message += 1;
            ledger.next_message
        });
        self.update(json!({"message": {
            "message_id": id, "date": super::now_seconds(), "text": text,
            "from": {"id": from, "is_bot": false, "first_name": "Ann", "username": format!("user{from}")},
            "chat": {"id": from, "type": "private", "first_name": "Ann"},
        }}));
        id
    }

    /// One request and its answer; `None` once the connection is to be closed.
    fn exchange(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let mut first = String::new();
        if reader.read_line(&mut first).ok()? == 0 {
            return None;
        }
        let (mut length, mut kind, mut line) = (0, String::new(), String::new());
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            let lower = line.to_ascii_lowercase();
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if let Some(value) = lower.strip_prefix("content-type:") {
                value.trim().clone_into(&mut kind);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let path = first.split(' ').nth(1)?.to_owned();
        let body = arguments(&kind, &body);
        let (status, answer, is_cut) = if let Some(name) = path.strip_prefix(&format!("/file/bot{TOKEN}/files/")) {
            match self.ledger().files.get(name) {
                Some(bytes) => (200, bytes.clone(), false),
                None => (404, b"{\"ok\":false}".to_vec(), false),
            }
        } else {
            let (status, answer, is_cut) = self.call(&path, &body, stream);
            // Half a UTF-16 pair, which no `Value` can hold.
            (status, answer.to_string().replace("<half>", "\\ud83e").into_bytes(), is_cut)
        };
        let mut stream = stream;
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        if is_cut {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return None;
        }
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(&answer).ok()
    }

    fn call(&self, path: &str, body: &Value, stream: &TcpStream) -> (u16, Value, bool) {
        let refused = |code: u16, description: &str| {
            (code, json!({"ok": false, "error_code": code, "description": description}), false)
        };
        let Some(method) = path.strip_prefix(&format!("/bot{TOKEN}/")) else { return refused(401, "Unauthorized") };
        let method = method.split('?').next().unwrap_or_default().to_owned();
        self.change(|ledger| ledger.calls.push((method.clone(), body.clone())));
        let planned = self.change(|ledger| {
            let at = ledger.refusals.iter().position(|(of, ..)| *of == method)?;
            ledger.refusals.remove(at)
        });
        if let Some((_, status, answer)) = planned {
            return (status, answer, false);
        }
        let result = match method.to_lowercase().as_str() {
            "getme" => Ok(json!({
                "id": BOT, "is_bot": true, "first_name": "Claw", "username": USERNAME, "can_join_groups": true,
                "can_read_all_group_messages": false, "supports_inline_queries": false, "can_connect_to_business": false,
                "has_main_web_app": false,
            })),
            "getupdates" => self.poll(body, stream),
            "sendmessage" => self.change(|ledger| ledger.send(body)),
            "sendchataction" => Ok(json!(true)),
            "getfile" => {
                self.change(|ledger| match body["file_id"].as_str().filter(|id| ledger.files.contains_key(*id)) {
                    Some(id) => Ok(json!({"file_id": id, "file_unique_id": id, "file_path": format!("files/{id}")})),
                    None => Err((400, json!({"description": "Bad Request: invalid file_id"}))),
                })
            }
            "getwebhookinfo" => {
                let ledger = self.ledger();
                let url = if ledger.webhook { "https://example.org/hook" } else { "" };
                Ok(json!({"url": url, "has_custom_certificate": false, "pending_update_count": ledger.updates.len()}))
            }
            "deletewebhook" => self.change(|ledger| {
                ledger.webhook = false;
                Ok(json!(true))
            }),
            _ => Err((404, json!({"description": "Not Found: method not found"}))),
        };
        let is_cut = self.change(|ledger| {
            let at = ledger.cut.iter().position(|of| *of == method)?;
            ledger.cut.remove(at)
        });
        match result {
            Ok(result) => (200, json!({"ok": true, "result": result}), is_cut.is_some()),
            Err((code, mut answer)) => {
                answer["ok"] = json!(false);
                answer["error_code"] = json!(code);
                (code, answer, false)
            }
        }
    }

    /// `getUpdates`: confirms below the offset, waits up to the timeout, and ends an earlier poll that still waits.
    fn poll(&self, body: &Value, stream: &TcpStream) -> Result<Value, (u16, Value)> {
        let conflict = |text: &str| Err((409, json!({"description": format!("Conflict: {text}")})));
        let end = Instant::now()
            + Duration::from_secs(number(&body["timeout"]).unwrap_or_default().clamp(0, 50).cast_unsigned());
        let mut ledger = self.ledger();
        if ledger.webhook {
            return conflict(
                "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
            );
        }
        if let Some(offset) = number(&body["offset"]) {
            let first = if offset < 0 { ledger.next_update + offset } else { offset };
            while ledger.updates.front().is_some_and(|update| update["update_id"].as_i64() < Some(first)) {
                let update = ledger.updates.pop_front().unwrap();
                ledger.confirmed.extend(update["update_id"].as_i64());
            }
        }
        let most = number(&body["limit"]).unwrap_or(100).clamp(1, 100);
        let kinds = body["allowed_updates"].as_array().cloned().unwrap_or_default();
        if !kinds.is_empty() {
            // Updates of other kinds are not stored for this bot.
            let is_wanted = |update: &Value| {
                update.as_object().is_none_or(|update| {
                    kinds.iter().any(|kind| update.contains_key(kind.as_str().unwrap_or_default()))
                })
            };
            ledger.updates.retain(is_wanted);
        }
        ledger.poll += 1;
        let own = ledger.poll;
        self.state.1.notify_all();
        stream.set_nonblocking(true).unwrap();
        loop {
            let is_gone = matches!(stream.peek(&mut [0]), Ok(0)) || stream.take_error().is_ok_and(|e| e.is_some());
            if !ledger.updates.is_empty() || ledger.is_hasty || Instant::now() >= end || is_gone {
                break;
            }
            if ledger.poll != own {
                stream.set_nonblocking(false).unwrap();
                return conflict(
                    "terminated by other getUpdates request; make sure that only one bot instance is running",
                );
            }
            // A client that closes its connection ends its poll: that is noticed at the next look.
            ledger = self.state.1.wait_timeout(ledger, Duration::from_millis(20)).unwrap().0;
        }
        stream.set_nonblocking(false).unwrap();
        Ok(ledger.updates.iter().take(usize::try_from(most).unwrap()).cloned().collect())
    }
}

impl Ledger {
    fn new() -> Self {
        Self { next_update: 700, next_message: 1000, chats: BTreeMap::from([(42, "private")]), ..Self::default() }
    }

    fn send(&mut self, body: &Value) -> Result<Value, (u16, Value)> {
        let bad = |text: &str| Err((400, json!({"description": format!("Bad Request: {text}")})));
        let Some(chat) = number(&body["chat_id"]) else { return bad("chat_id is empty") };
        if let Some(new) = self.moved.get(&chat) {
            let description = "Bad Request: group chat was upgraded to a supergroup chat";
            return Err((400, json!({"description": description, "parameters": {"migrate_to_chat_id": new}})));
        }
        let Some(kind) = self.chats.get(&chat).copied() else { return bad("chat not found") };
        let thread = number(&body["message_thread_id"]);
        if thread.is_some() && kind != "forum" {
            return bad("message thread not found");
        }
        if body.get("parse_mode").is_some_and(|mode| !mode.is_null()) {
            self.broken.push(format!("parse_mode: {body}"));
        }
        let text = body["text"].as_str().unwrap_or_default().to_owned();
        if text.trim().is_empty() {
            return bad("message text is empty");
        }
        let units: Vec<u16> = text.encode_utf16().collect();
        if units.len() > 4096 {
            return bad("message is too long");
        }
        let entities = body["entities"].as_array().cloned().unwrap_or_default();
        if entities.len() > 100 {
            self.broken.push(format!("{} entities: the service ignores the rest", entities.len()));
        }
        for entity in &entities {
            let part = || {
                let (from, length) = (number(&entity["offset"])?, number(&entity["length"])?);
                let (from, length) = (usize::try_from(from).ok()?, usize::try_from(length).ok()?);
                String::from_utf16(units.get(from..from.checked_add(length).filter(|to| *to > from)?)?).ok()
            };
            if part().is_none() {
                return bad("ENTITY_BOUNDS_INVALID");
            }
        }
        self.broken.extend(nested_badly(&entities));
        self.next_message += 1;
        self.sent.push(SentMessage { chat, thread, text: text.clone(), entities });
        let kind = if kind == "forum" { "supergroup" } else { kind };
        let mut chat = json!({"id": chat, "type": kind});
        chat[if kind == "private" { "first_name" } else { "title" }] = json!("Ann");
        Ok(json!({
            "message_id": self.next_message, "date": super::now_seconds(), "text": text, "chat": chat,
            "from": {"id": BOT, "is_bot": true, "first_name": "Claw", "username": USERNAME},
        }))
    }
}

/// Entities that overlap, or that are within code: the service changes or drops them.
fn nested_badly(entities: &[Value]) -> Option<String> {
    let range = |entity: &Value| {
        let (from, length) =
            (number(&entity["offset"]).unwrap_or_default(), number(&entity["length"]).unwrap_or_default());
        (from, from + length)
    };
    let is = |entity: &Value, kinds: &[&str]| entity["type"].as_str().is_some_and(|kind| kinds.contains(&kind));
    let mut pairs =
        entities.iter().enumerate().flat_map(|(n, one)| entities[n + 1..].iter().map(move |two| (one, two)));
    pairs.find_map(|(one, two)| {
        let (a, b) = (range(one), range(two));
        let is_apart = a.1 <= b.0 || b.1 <= a.0;
        let is_nested = a.0 <= b.0 && b.1 <= a.1 || b.0 <= a.0 && a.1 <= b.1;
        let is_code = [one, two].iter().filter(|entity| is(entity, &["code", "pre"])).count();
        let is_quoted = [one, two].iter().any(|entity| is(entity, &["blockquote"]));
        let is_bad = !is_apart && (!is_nested || is_code > 1 || is_code == 1 && !is_quoted);
        is_bad.then(|| format!("{one} with {two}"))
    })
}

/// A number, also as the text that form fields are.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// The arguments of a call: JSON, a form, or a form in parts. Clients may use any.
fn arguments(kind: &str, body: &[u8]) -> Value {
    if kind.starts_with("application/json") {
        return serde_json::from_slice(body).unwrap_or_default();
    }
    let parsed = |text: &str| match serde_json::from_str::<Value>(text) {
        Ok(value) if value.is_array() || value.is_object() => value,
        _ => Value::from(text),
    };
    if let Some(boundary) = kind.split("boundary=").nth(1) {
        let text = String::from_utf8_lossy(body).into_owned();
        let mark = format!("--{}", boundary.trim_matches('"'));
        let parts = text.split(&mark).filter_map(|part| {
            let (head, value) = part.split_once("\r\n\r\n")?;
            let name = head.split("name=\"").nth(1)?.split('"').next()?;
            Some((name.to_owned(), parsed(value.trim_end_matches("\r\n"))))
        });
        return parts.collect::<serde_json::Map<_, _>>().into();
    }
    let text = String::from_utf8_lossy(body).into_owned();
    let pairs = url::form_urlencoded::parse(text.as_bytes()).map(|(key, value)| (key.into_owned(), parsed(&value)));
    pairs.collect::<serde_json::Map<_, _>>().into()
}
