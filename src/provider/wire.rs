//! One exchange over HTTP, for every protocol that has one: the request is sent, and the answer read as it comes,
//! bounded in size and in silence. A protocol is a table: where it is asked, how a call is put, and how a
//! frame of the answer is taken in.

use crate::core::config::resolved_model::ResolvedModel;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::cassette::{RecordedRequest as Asked, Response as Recorded};
use crate::core::model::{Reply, Usage};
use crate::provider::answer::{Answer, AnswerError};
use crate::provider::frames::{FrameError, Frames, Framing};
use crate::provider::source::Source;
use crate::provider::tape::{self, Tape};
use crate::provider::{Charge, MAX_ANSWER, ModelCall, http, limit};
use crate::store::agent::secrets;
use crate::store::session::stop::CancelToken;
use crate::store::workspace::Workspace;
use crate::world::World;
use reqwest::RequestBuilder;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// A protocol.
pub(super) struct Wire {
    /// Where a call goes, by the base URL of the settings.
    pub(super) url: fn(Option<&str>, &World) -> String,
    /// How that ends, and how it ends where the list of models is.
    pub(super) list: (&'static str, &'static str),
    /// The variable that has the key for the protocol's own service, without which nobody is asked there.
    pub(super) key: Option<&'static str>,
    /// The headers, beside those of every request.
    pub(super) headers: &'static [(&'static str, Header)],
    /// The call.
    pub(super) body: fn(&ModelCall) -> Result<Value>,
    /// Takes a frame in; true behind the last one.
    pub(super) take: Take,
}

type Take = fn(&mut Answer, &str, &mut dyn FnMut(&str)) -> std::result::Result<bool, AnswerError>;

/// What stands in a header.
pub(super) enum Header {
    /// Always this.
    Is(&'static str),
    /// The key behind this, where there is one.
    Key(&'static str),
}

/// Asks a call in a protocol.
pub(super) fn ask(call: &mut ModelCall, wire: &Wire) -> Result<Reply> {
    let chosen = call.chosen;
    let name = &chosen.name;
    let base = chosen.model.api_base.as_deref().map(|base| base.trim_end_matches('/'));
    let url = (wire.url)(base, &call.workspace.world);
    let asked = Asked { method: "POST".to_owned(), path: path(&url), body: (wire.body)(call)? };
    let recorded = tape::answer(call, &asked)?;
    // Nobody is asked who would want to see a key.
    let key = if recorded.is_some() { None } else { key(call.workspace, chosen, wire)? };
    let (stop, whole) = (call.cancel.and_then(CancelToken::stop_fd), limit(chosen.model.timeout, 600));
    let exchange = async {
        let key = key.as_deref();
        let source = if let Some(recorded) = recorded {
            Source::recorded(&recorded)?
        } else {
            let post = http::client(name, &chosen.model, &url)?.post(&url).headers(headers(wire, name, key)?);
            send(post, &asked, call, key).await?
        };
        hear(source, wire, call, key).await
    };
    http::block_on(stop, async {
        timeout(whole, exchange).await.unwrap_or_else(|_| {
            Err(Fault::new(Kind::Unavailable, format!("model {name}: no whole answer within {whole:?}")))
        })
    })
}

/// The key that a model is asked with.
pub(super) fn key(workspace: &Workspace, chosen: &ResolvedModel, wire: &Wire) -> Result<Option<String>> {
    let key = secrets::key(workspace, &chosen.name, &chosen.model)?;
    // Somebody else's server is never told the service's key.
    let service = wire.key.filter(|_| key.is_none() && chosen.model.api_base.is_none());
    let Some(variable) = service else { return Ok(key) };
    let key = workspace.world.var(variable).map(ToOwned::to_owned);
    let missing = || Fault::config(format!("model {}: no key", chosen.name));
    key.map(Some).ok_or_else(|| missing().hint(format!("set {variable} or api_key_env")))
}

/// The provider's name of the model that is asked.
pub(super) fn model<'a>(call: &ModelCall<'a>) -> Result<&'a str> {
    let missing = || Fault::config(format!("model {}: `model` is missing", call.chosen.name));
    call.request.model.as_deref().ok_or_else(missing)
}

pub(super) fn headers(wire: &Wire, name: &str, key: Option<&str>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (header, value) in wire.headers {
        let (text, is_key) = match (value, key) {
            (Header::Is(text), _) => ((*text).to_owned(), false),
            (Header::Key(before), Some(key)) => (format!("{before}{key}"), true),
            (Header::Key(_), None) => continue,
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| Fault::config(format!("model {name}: the key has characters that no header can carry")))?;
        value.set_sensitive(is_key);
        headers.insert(*header, value);
    }
    Ok(headers)
}

/// The path of a URL, which is all of it that is compared with what was recorded.
fn path(url: &str) -> String {
    url::Url::parse(url).map(|url| url.path().to_owned()).unwrap_or_default()
}

/// Asks the server.
async fn send(post: RequestBuilder, asked: &Asked, call: &mut ModelCall<'_>, key: Option<&str>) -> Result<Source> {
    let name = &call.chosen.name;
    let first = limit(call.chosen.model.first_token_timeout, 120);
    call.charge = Charge::Unknown;
    let sent = timeout(first, post.json(&asked.body).send()).await.map_err(|_| silent(name, first))?;
    let response = sent.map_err(|e| {
        if e.is_connect() || e.is_builder() {
            call.charge = Charge::Nothing;
        }
        http::failed(name, &e, key)
    })?;
    let headers = response.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    call.tape.begin(asked, Recorded::new(response.status().as_u16(), headers));
    Ok(Source::server(response))
}

/// Reads what is answered.
async fn hear(source: Source, wire: &Wire, call: &mut ModelCall<'_>, key: Option<&str>) -> Result<Reply> {
    let name = call.chosen.name.clone();
    let first = limit(call.chosen.model.first_token_timeout, 120);
    let status = source.status;
    let is_success = (200..300).contains(&status);
    if let Some(framing) = framing(&source.headers).filter(|_| is_success) {
        return streamed(source, framing, wire, call, key).await;
    }
    let headers = source.headers.clone();
    let (body, end) = whole(source, &mut call.tape, &name, first, key).await;
    if !is_success {
        // What it refuses with is in the status; the words may be cut off.
        call.charge = Charge::Counted(Usage::default());
        let now = call.workspace.world.now().timestamp();
        return Err(http::refused(&name, status, &headers, &body, key, now));
    }
    end?;
    let mut answer = Answer::default();
    (wire.take)(&mut answer, &body, call.on_text).map_err(|why| broken(&name, why, &body, key))?;
    answer.finish(call)
}

/// How the body is cut, if it is a stream.
fn framing(headers: &HeaderMap) -> Option<Framing> {
    let kind = headers.get("content-type")?.to_str().ok()?.to_ascii_lowercase();
    if kind.starts_with("text/event-stream") {
        return Some(Framing::Events);
    }
    ["ndjson", "jsonl", "json-lines"].iter().any(|name| kind.contains(name)).then_some(Framing::Lines)
}

/// The whole body, bounded in size and in silence, and how it ended.
async fn whole(
    mut source: Source,
    tape: &mut Tape,
    name: &str,
    idle: Duration,
    key: Option<&str>,
) -> (String, Result<()>) {
    let mut bytes = Vec::new();
    let end = loop {
        match timeout(idle, source.next(tape, name, key)).await {
            Err(_) => break Err(silent(name, idle)),
            Ok(Err(fault)) => break Err(fault),
            Ok(Ok(None)) => break Ok(()),
            Ok(Ok(Some(chunk))) => bytes.extend_from_slice(&chunk),
        }
        if bytes.len() as u64 > MAX_ANSWER {
            break Err(too_long(name));
        }
    };
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

async fn streamed(
    mut source: Source,
    framing: Framing,
    wire: &Wire,
    call: &mut ModelCall<'_>,
    key: Option<&str>,
) -> Result<Reply> {
    let name = call.chosen.name.clone();
    let idle = limit(call.chosen.model.idle_timeout, 60);
    let first = limit(call.chosen.model.first_token_timeout, 120);
    let unfit = |bad| match bad {
        FrameError::TooLong => too_long(&name),
        FrameError::NotUtf8 => nonsense(&name, "its stream is not UTF-8 text"),
    };
    let mut frames = Frames::new(framing);
    let mut answer = Answer::default();
    let mut take = |answer: &mut Answer, frame: &str| {
        (wire.take)(answer, frame, call.on_text).map_err(|why| broken(&name, why, frame, key))
    };
    'stream: loop {
        // Servers begin with empty pieces long before the first word. A comment is no word either: what only
        // keeps the connection open is silence.
        let wait = if answer.has_begun() { idle } else { first };
        let more = timeout(wait, async {
            loop {
                if let Some(frame) = frames.pop().map_err(unfit)? {
                    return Ok::<_, Fault>(Some(frame));
                }
                match source.next(&mut call.tape, &name, key).await? {
                    Some(bytes) => frames.push(&bytes),
                    None => return Ok(None),
                }
            }
        });
        match more.await.map_err(|_| silent(&name, wait))?? {
            Some(frame) if take(&mut answer, &frame)? => break 'stream,
            Some(_) => {}
            None => {
                // What is cut off is no nonsense.
                let last = frames.end().ok().flatten();
                let is_whole = |text: &String| serde_json::from_str::<Value>(text).is_ok() || text == "[DONE]";
                if let Some(last) = last.filter(is_whole) {
                    take(&mut answer, &last)?;
                }
                break 'stream;
            }
        }
    }
    answer.finish(call)
}

/// What a stream that comes in pieces of `size` bytes means to a protocol, in words: the text, the calls with their
/// arguments, and how it ended; nothing where it is broken. For the fuzzers.
pub(super) fn dissect(wire: &Wire, framing: Framing, stream: &[u8], size: usize) -> Option<String> {
    let (mut frames, mut answer, mut on_text) = (Frames::new(framing), Answer::default(), String::new());
    'stream: for piece in stream.chunks(size.max(1)).chain([&b"\n\n"[..]]) {
        frames.push(piece);
        while let Some(frame) = frames.pop().ok()? {
            if (wire.take)(&mut answer, &frame, &mut |text| on_text += text).ok()? {
                break 'stream;
            }
        }
    }
    let calls: Vec<_> = answer.parts.iter().map(|part| (&part.name, &part.arguments)).collect();
    (on_text == answer.content).then(|| format!("{on_text:?} {calls:?} {:?}", answer.end))
}

fn broken(name: &str, why: AnswerError, frame: &str, key: Option<&str>) -> Fault {
    match why {
        AnswerError::Invalid => {
            // Hidden before it is cut: half a key is a secret too.
            let shown: String = http::hide(frame, key).chars().take(80).collect();
            nonsense(name, &format!("`{}`", shown.escape_debug()))
        }
        AnswerError::Reported(error) => http::broken_off(name, &error, key),
        AnswerError::TooLong => too_long(name),
    }
}

fn nonsense(name: &str, what: &str) -> Fault {
    Fault::new(Kind::Unavailable, format!("model {name}: the server answered nonsense: {what}"))
}

fn silent(name: &str, waited: Duration) -> Fault {
    Fault::new(Kind::Unavailable, format!("model {name}: the server said nothing for {waited:?}"))
}

fn too_long(name: &str) -> Fault {
    Fault::new(Kind::Failed, format!("model {name}: the answer is over {MAX_ANSWER} bytes"))
}
