//! One exchange over HTTP, shared by every protocol: the request is sent, and the response is read as it arrives,
//! bounded in size and in the time between two chunks. A protocol is a table of its URL, headers, request body and
//! parser.

use crate::core::config::resolved_model::ResolvedModel;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::cassette::{RecordedRequest, Response as Recorded};
use crate::core::model::settings::Model;
use crate::core::model::{Reply, Usage};
use crate::http::{self, Credentials};
use crate::provider::answer::{Answer, AnswerError};
use crate::provider::client::{client, failed};
use crate::provider::frames::{FrameError, Frames, Framing};
use crate::provider::refusal::{broken_off, refused};
use crate::provider::source::ResponseSource;
use crate::provider::tape::{self, Tape};
use crate::provider::{Charge, MAX_ANSWER, ModelCall, limit};
use crate::store::agent::secrets;
use crate::store::session::stop::CancelToken;
use crate::store::workspace::Workspace;
use crate::world::World;
use reqwest::RequestBuilder;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::Value;
use std::time::Duration;

/// A protocol.
pub(super) struct Wire {
    /// The URL of a model call, by the `api_base` of the settings without its query.
    pub(super) url: fn(Option<&str>, &World) -> String,
    /// The end of that URL, and the end that replaces it in the URL of the list of models.
    pub(super) list: (&'static str, &'static str),
    /// The environment variable with the key of the protocol's own service, which requires one.
    pub(super) key: Option<&'static str>,
    /// The headers beside those of every request.
    pub(super) headers: &'static [(&'static str, Header)],
    /// The body of the request.
    pub(super) body: fn(&ModelCall) -> Result<Value>,
    /// Parses a frame into the answer; true after the last one.
    pub(super) take: Take,
}

type Take = fn(&mut Answer, &str, &mut dyn FnMut(&str)) -> std::result::Result<bool, AnswerError>;

/// The value of a header.
pub(super) enum Header {
    /// A constant.
    Is(&'static str),
    /// This prefix and the key; no header without a key.
    Key(&'static str),
}

/// Sends a model call and reads the answer.
pub(super) fn ask(call: &mut ModelCall, wire: &Wire) -> Result<Reply> {
    let chosen = call.chosen;
    let name = &chosen.name;
    let (base, query) = base_and_query(&chosen.model);
    let url = (wire.url)(base, &call.workspace.world) + query;
    let request = RecordedRequest { method: "POST".to_owned(), path: path(&url), body: (wire.body)(call)? };
    let recorded = tape::answer(call, &request)?;
    // A cassette needs no key.
    let key = if recorded.is_some() { None } else { key(call.workspace, chosen, wire)? };
    let credentials = Credentials::of(key.as_deref()).and_url(&url);
    let (stop_fd, whole) = (call.cancel.and_then(CancelToken::stop_fd), limit(chosen.model.timeout, 600));
    let exchange = async {
        let source = if let Some(recorded) = recorded {
            ResponseSource::recorded(&recorded)?
        } else {
            let post = client(name, &chosen.model, &url)?.post(&url).headers(headers(wire, name, key.as_deref())?);
            send(post, &request, call, &credentials).await?
        };
        read(source, wire, call, &credentials).await
    };
    let late = || Fault::new(Kind::Unavailable, format!("model {name}: no whole answer within {whole:?}"));
    http::block_on(stop_fd, http::within(whole, late, exchange)).map_err(|fault| credentials.hide_in(fault))
}

/// The `api_base` of a model, and its query, which belongs behind the path of every request.
pub(super) fn base_and_query(model: &Model) -> (Option<&str>, &str) {
    let Some(base) = model.api_base.as_deref() else { return (None, "") };
    let (base, query) = base.split_at(base.find('?').unwrap_or(base.len()));
    (Some(base.trim_end_matches('/')), query)
}

/// The key of a model, by its settings or by the environment variable of the protocol's own service.
pub(super) fn key(workspace: &Workspace, chosen: &ResolvedModel, wire: &Wire) -> Result<Option<String>> {
    let key = secrets::key(workspace, &chosen.name, &chosen.model)?;
    // The key of the service is never sent to another server.
    let service = wire.key.filter(|_| key.is_none() && chosen.model.api_base.is_none());
    let Some(variable) = service else { return Ok(key) };
    let key = workspace.world.var(variable).map(ToOwned::to_owned);
    let missing = || Fault::config(format!("model {}: no key", chosen.name));
    key.map(Some).ok_or_else(|| missing().hint(format!("set {variable} or api_key_env")))
}

/// The provider's own name of the model.
pub(super) fn model<'a>(call: &ModelCall<'a>) -> Result<&'a str> {
    let missing = || Fault::config(format!("model {}: `model` is missing", call.chosen.name));
    call.request.model.as_deref().ok_or_else(missing)
}

/// The headers of a request. The key is marked as sensitive, so that no debug output contains it.
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

/// The path of a URL: the part of it that is recorded and compared.
fn path(url: &str) -> String {
    url::Url::parse(url).map(|url| url.path().to_owned()).unwrap_or_default()
}

/// Sends the request and waits for the head of the response.
async fn send(
    post: RequestBuilder,
    request: &RecordedRequest,
    call: &mut ModelCall<'_>,
    credentials: &Credentials,
) -> Result<ResponseSource> {
    let name = &call.chosen.name;
    let first = limit(call.chosen.model.first_token_timeout, 120);
    call.charge = Charge::Unknown;
    let sent = async { Ok(post.json(&request.body).send().await) };
    let response = http::within(first, || no_data(name, first), sent).await?.map_err(|e| {
        if e.is_connect() || e.is_builder() {
            call.charge = Charge::Nothing;
        }
        failed(name, &e, credentials)
    })?;
    let headers = response.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    call.tape.begin(request, Recorded::new(response.status().as_u16(), headers));
    Ok(ResponseSource::server(response))
}

/// Reads the response.
async fn read(
    source: ResponseSource,
    wire: &Wire,
    call: &mut ModelCall<'_>,
    credentials: &Credentials,
) -> Result<Reply> {
    let name = call.chosen.name.clone();
    let first = limit(call.chosen.model.first_token_timeout, 120);
    let status = source.status;
    let is_success = (200..300).contains(&status);
    if let Some(framing) = framing(&source.headers).filter(|_| is_success) {
        return read_stream(source, framing, wire, call, credentials).await;
    }
    let headers = source.headers.clone();
    let (body, end) = read_body(source, &mut call.tape, &name, first, credentials).await;
    if !is_success {
        // The status decides, even if the body is cut off.
        call.charge = Charge::Counted(Usage::default());
        let now = call.workspace.world.now().timestamp();
        return Err(refused(&name, status, &headers, &body, credentials, now));
    }
    end?;
    let mut answer = Answer::default();
    (wire.take)(&mut answer, &body, call.on_text).map_err(|error| broken(&name, error, &body, credentials))?;
    answer.finish(call, credentials)
}

/// The framing of a streamed body; none if it is one document.
fn framing(headers: &HeaderMap) -> Option<Framing> {
    let kind = headers.get("content-type")?.to_str().ok()?.to_ascii_lowercase();
    if kind.starts_with("text/event-stream") {
        return Some(Framing::Events);
    }
    ["ndjson", "jsonl", "json-lines"].iter().any(|name| kind.contains(name)).then_some(Framing::Lines)
}

/// The body, at most [`MAX_ANSWER`] bytes, with at most `idle` between two chunks; and how it ended.
async fn read_body(
    mut source: ResponseSource,
    tape: &mut Tape,
    name: &str,
    idle: Duration,
    credentials: &Credentials,
) -> (String, Result<()>) {
    let mut bytes = Vec::new();
    let end = loop {
        match http::within(idle, || no_data(name, idle), source.next(tape, name, credentials)).await {
            Err(fault) => break Err(fault),
            Ok(None) => break Ok(()),
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
        }
        if bytes.len() as u64 > MAX_ANSWER {
            break Err(too_long(name));
        }
    };
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

async fn read_stream(
    mut source: ResponseSource,
    framing: Framing,
    wire: &Wire,
    call: &mut ModelCall<'_>,
    credentials: &Credentials,
) -> Result<Reply> {
    let name = call.chosen.name.clone();
    let idle = limit(call.chosen.model.idle_timeout, 60);
    let first = limit(call.chosen.model.first_token_timeout, 120);
    let bad_frame = |error| match error {
        FrameError::TooLong => too_long(&name),
        FrameError::NotUtf8 => invalid(&name, "the stream is not UTF-8"),
    };
    let mut frames = Frames::new(framing);
    let mut answer = Answer::default();
    let mut take = |answer: &mut Answer, frame: &str| {
        (wire.take)(answer, frame, call.on_text).map_err(|error| broken(&name, error, frame, credentials))
    };
    'stream: loop {
        // Servers send empty pieces long before the first text. A comment is no frame: keep-alive comments do not
        // extend the wait.
        let wait = if answer.has_begun() { idle } else { first };
        let next = http::within(wait, || no_data(&name, wait), async {
            loop {
                if let Some(frame) = frames.pop().map_err(bad_frame)? {
                    return Ok(Some(frame));
                }
                match source.next(&mut call.tape, &name, credentials).await? {
                    Some(bytes) => frames.push(&bytes),
                    None => return Ok(None),
                }
            }
        });
        match next.await? {
            Some(frame) if take(&mut answer, &frame)? => break 'stream,
            Some(_) => {}
            None => {
                // A last frame that was cut off is not an invalid response: the answer reports that it was cut off.
                let last = frames.end().ok().flatten();
                let is_whole = |text: &String| serde_json::from_str::<Value>(text).is_ok() || text == "[DONE]";
                if let Some(last) = last.filter(is_whole) {
                    take(&mut answer, &last)?;
                }
                break 'stream;
            }
        }
    }
    answer.finish(call, credentials)
}

/// The meaning of a stream that arrives in chunks of `size` bytes, as text: the content, the calls with their arguments,
/// and the end; none if it is broken. For the fuzzers.
pub(super) fn dissect(wire: &Wire, framing: Framing, stream: &[u8], size: usize) -> Option<String> {
    let (mut frames, mut answer, mut content) = (Frames::new(framing), Answer::default(), String::new());
    'stream: for chunk in stream.chunks(size.max(1)).chain([&b"\n\n"[..]]) {
        frames.push(chunk);
        while let Some(frame) = frames.pop().ok()? {
            if (wire.take)(&mut answer, &frame, &mut |text| content += text).ok()? {
                break 'stream;
            }
        }
    }
    let calls: Vec<_> = answer.calls.iter().map(|call| (&call.name, &call.arguments)).collect();
    (content == answer.content).then(|| format!("{content:?} {calls:?} {:?}", answer.end))
}

fn broken(name: &str, error: AnswerError, frame: &str, credentials: &Credentials) -> Fault {
    match error {
        AnswerError::Invalid => {
            let shown: String = credentials.hide(frame).chars().take(80).collect();
            invalid(name, &format!("`{}`", shown.escape_debug()))
        }
        AnswerError::Reported(error) => broken_off(name, &error, credentials),
        AnswerError::TooLong => too_long(name),
    }
}

fn invalid(name: &str, problem: &str) -> Fault {
    Fault::new(Kind::Unavailable, format!("model {name}: invalid response from the server: {problem}"))
}

/// The fault of a server that sent nothing for `waited`.
pub(super) fn no_data(name: &str, waited: Duration) -> Fault {
    Fault::new(Kind::Unavailable, format!("model {name}: no data from the server for {waited:?}"))
}

fn too_long(name: &str) -> Fault {
    Fault::new(Kind::Failed, format!("model {name}: the answer is over {MAX_ANSWER} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cut falls before, into, and behind the key.
    #[test]
    fn invalid_frame_is_shown_without_any_part_of_the_key() {
        let key = "sk-0123456789";
        for before in 60..=80 {
            let frame = format!("{}{key} is bad", "x".repeat(before));
            let fault = broken("m", AnswerError::Invalid, &frame, &Credentials::of(Some(key)));
            assert!(!fault.message.contains("sk-"), "{before} characters before the key: {fault}");
            assert!(fault.message.starts_with("model m: invalid response from the server: `xxx"), "{fault}");
            assert!(fault.message.len() < 130, "{fault}");
        }
    }

    #[test]
    fn query_of_the_base_is_split_off() {
        let model = |base: &str| Model { api_base: Some(base.to_owned()), ..Model::default() };
        assert_eq!(base_and_query(&model("http://h/v1/?key=a/b")), (Some("http://h/v1"), "?key=a/b"));
        assert_eq!(base_and_query(&model("http://h/v1/")), (Some("http://h/v1"), ""));
        assert_eq!(base_and_query(&Model::default()), (None, ""));
    }
}
