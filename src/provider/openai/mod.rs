//! `openai`: any server with `POST /chat/completions`, streamed (server-sent events) where it
//! streams, whole where it does not. Lenient in what it reads: fields may be missing or null.

mod body;
mod collected;

use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::{Reply, Usage};
use crate::provider::http;

use crate::provider::{MAX_ANSWER, Question, Took, limit};
use crate::store::secrets;
use collected::Collected;
use eventsource_stream::{EventStreamError, Eventsource};
use futures_util::StreamExt;
use reqwest::Response;
use reqwest::header::HeaderValue;
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tokio::time::timeout;

const BASE: &str = "https://api.openai.com/v1";

pub(super) fn ask(question: &mut Question) -> Result<Reply> {
    let chosen = question.chosen;
    let base = chosen.model.api_base.as_deref().unwrap_or(BASE).trim_end_matches('/');
    let url = format!("{base}/chat/completions");
    let is_public = chosen.model.api_base.is_none();
    let mut key = secrets::key(question.workspace, &chosen.name, &chosen.model)?;
    if key.is_none() && is_public {
        key = question.workspace.world.var("OPENAI_API_KEY").map(ToOwned::to_owned);
        if key.is_none() {
            return Err(
                Fault::config(format!("model {}: no key", chosen.name)).hint("set OPENAI_API_KEY or api_key_env")
            );
        }
    }
    if key.as_ref().is_some_and(|key| HeaderValue::from_str(key).is_err()) {
        return Err(Fault::config(format!("model {}: the key has characters that no header can carry", chosen.name)));
    }
    let client = http::client(&chosen.name, &chosen.model, &url)?;
    let whole = limit(chosen.model.timeout, 600);
    let name = &chosen.name;
    let mut post = client.post(&url).json(&body::of(question)?);
    if let Some(key) = &key {
        post = post.bearer_auth(key);
    }
    let stop = question.stop;
    let exchange = exchange(post, question, key.as_deref());
    http::block_on(stop, async {
        timeout(whole, exchange).await.unwrap_or_else(|_| {
            Err(Fault::new(Kind::Unavailable, format!("model {name}: no whole answer within {whole:?}")))
        })
    })
}

async fn exchange(post: reqwest::RequestBuilder, question: &mut Question<'_>, key: Option<&str>) -> Result<Reply> {
    let name = question.chosen.name.clone();
    let first = limit(question.chosen.model.first_token_timeout, 120);
    question.took = Took::Unknown;
    let sent = timeout(first, post.send()).await.map_err(|_| silent(&name, first))?;
    let answer = sent.map_err(|e| {
        if e.is_connect() || e.is_builder() {
            question.took = Took::Nothing;
        }
        http::failed(&name, &e, key)
    })?;
    let status = answer.status();
    let is_stream = answer
        .headers()
        .get("content-type")
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.starts_with("text/event-stream"));
    if status.is_success() && is_stream {
        return streamed(answer, question, key).await;
    }
    let headers = answer.headers().clone();
    let (body, end) = whole(answer, &name, first, key).await;
    if !status.is_success() {
        // What it refuses with is in the status; the words may be cut off.
        question.took = Took::Counted(Usage::default());
        let now = question.workspace.world.now().timestamp();
        return Err(http::refused(&name, status.as_u16(), &headers, &body, key, now));
    }
    end?;
    let mut collected = Collected::default();
    collected.take(&name, &body, key, question.heard)?;
    collected.finish(&name)
}

/// The whole body, bounded in size and in silence, and how it ended.
async fn whole(mut answer: Response, name: &str, idle: Duration, key: Option<&str>) -> (String, Result<()>) {
    let mut bytes = Vec::new();
    let end = loop {
        match timeout(idle, answer.chunk()).await {
            Err(_) => break Err(silent(name, idle)),
            Ok(Err(e)) => break Err(http::failed(name, &e, key)),
            Ok(Ok(None)) => break Ok(()),
            Ok(Ok(Some(chunk))) => bytes.extend_from_slice(&chunk),
        }
        if bytes.len() as u64 > MAX_ANSWER {
            break Err(too_long(name));
        }
    };
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

async fn streamed(answer: Response, question: &mut Question<'_>, key: Option<&str>) -> Result<Reply> {
    let name = question.chosen.name.clone();
    let idle = limit(question.chosen.model.idle_timeout, 60);
    let first = limit(question.chosen.model.first_token_timeout, 120);
    let guard = Guard { name: &name, key, pending: Cell::new(0), tail: RefCell::default() };
    let mut events = answer.bytes_stream().map(|chunk| guard.pass(chunk)).eventsource();
    let mut collected = Collected::default();
    loop {
        // Servers begin with empty pieces long before the first word.
        let wait = if collected.has_begun() { idle } else { first };
        let next = timeout(wait, events.next()).await.map_err(|_| silent(&name, wait))?;
        let event = match next {
            None => break,
            Some(Ok(event)) => event,
            Some(Err(EventStreamError::Transport(fault))) => return Err(fault),
            Some(Err(_)) => return Err(garbage(&name, "its stream is not UTF-8 text")),
        };
        guard.pending.set(0);
        if event.data.trim() == "[DONE]" {
            collected.is_finished = true;
            break;
        }
        collected.take(&name, &event.data, key, question.heard)?;
    }
    collected.finish(&name)
}

/// Lets bytes through to the parser of events, which itself has no limits: at most [`MAX_ANSWER`] of
/// them without an event, and nothing but UTF-8.
struct Guard<'a> {
    name: &'a str,
    key: Option<&'a str>,
    pending: Cell<u64>,
    /// A character that the last chunk has begun.
    tail: RefCell<Vec<u8>>,
}

impl Guard<'_> {
    fn pass<B: AsRef<[u8]>>(&self, chunk: reqwest::Result<B>) -> Result<B> {
        let chunk = chunk.map_err(|e| http::failed(self.name, &e, self.key))?;
        self.pending.set(self.pending.get() + chunk.as_ref().len() as u64);
        if self.pending.get() > MAX_ANSWER {
            return Err(too_long(self.name));
        }
        let mut tail = self.tail.borrow_mut();
        tail.extend_from_slice(chunk.as_ref());
        let whole = match std::str::from_utf8(&tail) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(garbage(self.name, "its stream is not UTF-8 text")),
        };
        tail.drain(..whole);
        Ok(chunk)
    }
}

fn garbage(name: &str, what: &str) -> Fault {
    Fault::new(Kind::Unavailable, format!("model {name}: the server answered nonsense: {what}"))
}

fn silent(name: &str, waited: Duration) -> Fault {
    Fault::new(Kind::Unavailable, format!("model {name}: the server said nothing for {waited:?}"))
}

fn too_long(name: &str) -> Fault {
    Fault::new(Kind::Failed, format!("model {name}: the answer is over {MAX_ANSWER} bytes"))
}
