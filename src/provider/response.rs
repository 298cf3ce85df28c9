//! Reading the response of a model's server as it arrives, bounded in size and in the time between two pieces of the
//! answer; the same for every protocol.

use crate::core::fault::{Cause, Fault, Kind, Result};
use crate::core::json::lenient;
use crate::core::model::{Reply, Usage};
use crate::http::{self, Credentials};
use crate::provider::reading::answer::{Answer, AnswerError, StopReason, shortened};
use crate::provider::reading::frames::{Frame, Frames, Rest};
use crate::provider::reading::reported;
use crate::provider::refusal::{self, Refused};
use crate::provider::source::ResponseSource;
use crate::provider::{Charge, MAX_ANSWER, ModelCall, limit};
use serde_json::Value;
use std::time::Duration;

/// Adds the document of a frame to the answer; true after the last one.
pub(super) type Take = fn(&mut Answer, &Value, &mut dyn FnMut(&str)) -> std::result::Result<bool, AnswerError>;

/// The end of a stream of several protocols.
const DONE: &str = "[DONE]";

/// A response and its place.
pub(super) struct Responding<'a> {
    pub(super) source: ResponseSource,
    /// The URL of the request.
    pub(super) url: &'a str,
    pub(super) credentials: &'a Credentials,
}

impl Responding<'_> {
    /// Reads the response, and the answer in it.
    pub(super) async fn read(mut self, take: Take, call: &mut ModelCall<'_>) -> Result<Reply> {
        let name = call.chosen.name.clone();
        let status = self.source.status;
        if !(200..300).contains(&status) {
            // The status decides, even if the body is cut off.
            let body = self.refusal(call).await;
            call.charge = Charge::Counted(Usage::default());
            let headers = &self.source.headers;
            let refused = Refused { url: self.url, status, headers, body: &body };
            return Err(refused.fault(&name, self.credentials, call.workspace.world.now().timestamp()));
        }
        let mut answer = Answer::default();
        let read = self.answer(take, &mut answer, call).await;
        // What was counted is paid, however the answer ends.
        call.charge = answer.charge().unwrap_or(call.charge);
        let stray = read?;
        answer.finish(call, self.credentials, &stray)
    }

    /// The body of a refusal, as far as it arrives, at most [`MAX_ANSWER`] bytes.
    async fn refusal(&mut self, call: &mut ModelCall<'_>) -> String {
        let (name, wait) = (call.chosen.name.clone(), limit(call.chosen.model.first_token_timeout, 120));
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < MAX_ANSWER {
            let next = self.source.next(&mut call.tape, &name, self.credentials);
            match http::within(wait, || no_data(&name, wait), next).await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Err(fault) if bytes.is_empty() && fault.cause == Some(Cause::Unreadable) => return fault.message,
                Ok(None) | Err(_) => break,
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads the frames of an answer, and returns the text of the server outside of them.
    async fn answer(&mut self, take: Take, answer: &mut Answer, call: &mut ModelCall<'_>) -> Result<String> {
        let name = call.chosen.name.clone();
        let idle = limit(call.chosen.model.idle_timeout, 60);
        let first = limit(call.chosen.model.first_token_timeout, 120);
        let kind = self.source.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let mut frames = Frames::new(kind);
        let mut foreign = None;
        let is_last = loop {
            // Servers send empty pieces long before the first text. A comment is no frame: keep-alive comments do not
            // extend the wait.
            let wait = if answer.has_begun() { idle } else { first };
            let next = http::within(wait, || no_data(&name, wait), async {
                loop {
                    if let Some(frame) = frames.pop().map_err(|_| too_long(&name))? {
                        return Ok(Some(frame));
                    }
                    match self.source.next(&mut call.tape, &name, self.credentials).await? {
                        Some(bytes) => frames.push(&bytes),
                        None => return Ok(None),
                    }
                }
            });
            let Some(frame) = next.await? else { break false };
            let taken = take_frame(take, answer, &frame, call.on_text);
            if taken.map_err(|error| broken(&name, error, &frame, self.credentials))? {
                break true;
            }
            if !answer.has_begun() && lenient::parse(&frame.data).is_none_or(|value| reported::is_foreign(&value)) {
                foreign = Some(frame);
            }
        };
        let stray = if is_last { String::new() } else { self.rest(frames, take, answer, call)? };
        if let Some(frame) = foreign.filter(|_| !answer.has_begun() && answer.end.is_none()) {
            return Err(broken(&name, AnswerError::Invalid, &frame, self.credentials));
        }
        answer.end_text(call.on_text);
        Ok(stray)
    }

    /// Takes what is left at the end of the body.
    fn rest(&self, frames: Frames, take: Take, answer: &mut Answer, call: &mut ModelCall<'_>) -> Result<String> {
        let name = &call.chosen.name;
        let Rest { frame, stray, is_page, is_empty } = frames.end().map_err(|_| too_long(name))?;
        // A last frame that was cut off is not an invalid response: the answer reports that it was cut off.
        let is_invalid = |frame: &Frame| serde_json::from_str::<Value>(&frame.data).is_err_and(|e| !e.is_eof());
        let has_answer = answer.has_begun() || answer.end.is_some();
        if let Some(frame) = frame.as_ref().filter(|frame| !is_whole(frame) && is_invalid(frame)) {
            return Err(broken(name, AnswerError::Invalid, frame, self.credentials));
        }
        if let Some(frame) = frame.filter(is_whole) {
            let taken = take_frame(take, answer, &frame, call.on_text);
            taken.map_err(|error| broken(name, error, &frame, self.credentials))?;
        } else if is_page {
            return Err(refusal::page(name, self.url, &stray, self.credentials));
        } else if is_empty {
            return Err(unreadable(name, "it is empty"));
        } else if !has_answer && !stray.is_empty() {
            let shown = shortened(&stray, self.credentials);
            return Err(unreadable(name, &format!("`{}`", shown.escape_debug())));
        }
        Ok(stray)
    }
}

/// Adds a frame to the answer; true after the last one.
fn take_frame(
    take: Take,
    answer: &mut Answer,
    frame: &Frame,
    on_text: &mut dyn FnMut(&str),
) -> std::result::Result<bool, AnswerError> {
    let data = frame.data.trim();
    if data == DONE {
        answer.end.get_or_insert(StopReason::Whole);
        return Ok(true);
    }
    let value = match lenient::parse(data) {
        Some(value) => value,
        None if data.starts_with(['{', '[']) => return Err(AnswerError::Invalid),
        // A gateway's words.
        None => return Err(AnswerError::Reported(Value::String(data.to_owned()))),
    };
    if let Some(error) = reported::in_frame(frame, &value) {
        return Err(AnswerError::Reported(lenient::resolved(error.clone())));
    }
    let documents = if let Value::Array(all) = &value { all.as_slice() } else { std::slice::from_ref(&value) };
    for document in documents {
        if take(answer, document, on_text)? {
            return Ok(true);
        }
    }
    answer.check().map(|()| false)
}

/// The answer in a body that has arrived in these chunks, the text that was shown, and the error if one has ended it. For
/// tests and fuzzers.
pub(super) fn read_chunks<'a>(
    take: Take,
    chunks: impl Iterator<Item = &'a [u8]>,
) -> (Answer, String, Option<AnswerError>) {
    let (mut frames, mut answer, mut shown) = (Frames::new(""), Answer::default(), String::new());
    let mut on_text = |text: &str| shown += text;
    let read = || {
        for chunk in chunks {
            frames.push(chunk);
            while let Some(frame) = frames.pop().map_err(|_| AnswerError::TooLong)? {
                if take_frame(take, &mut answer, &frame, &mut on_text)? {
                    return Ok(());
                }
            }
        }
        let rest = std::mem::replace(&mut frames, Frames::new("")).end().map_err(|_| AnswerError::TooLong)?;
        match rest.frame.filter(is_whole) {
            Some(frame) => take_frame(take, &mut answer, &frame, &mut on_text).map(drop),
            None => Ok(()),
        }
    };
    let error = read().err();
    answer.end_text(&mut |text| shown += text);
    (answer, shown, error)
}

/// The meaning of a body as text: see [`read_chunks`].
pub(super) fn dissect(take: Take, body: &[u8], size: usize) -> String {
    let (answer, shown, error) = read_chunks(take, body.chunks(size.max(1)));
    assert_eq!(shown, answer.content, "the text that was shown is not the text of the answer");
    let calls: Vec<_> = answer.calls.iter().map(|call| (&call.name, &call.arguments)).collect();
    format!("{shown:?} {calls:?} {:?} {:?} {:?} {error:?}", answer.thinking(), answer.usage, answer.end)
}

/// Whether the last frame of a body was not cut off.
fn is_whole(last: &Frame) -> bool {
    lenient::parse(&last.data).is_some() || last.data.trim() == DONE
}

fn broken(name: &str, error: AnswerError, frame: &Frame, credentials: &Credentials) -> Fault {
    match error {
        AnswerError::Invalid => {
            let shown: String = credentials.hide(&frame.data).chars().take(80).collect();
            unreadable(name, &format!("`{}`", shown.escape_debug()))
        }
        AnswerError::Reported(error) => refusal::broken_off(name, &error, credentials),
        AnswerError::TooLong => too_long(name),
    }
}

/// A response that no protocol has; the same server will send it again.
fn unreadable(name: &str, problem: &str) -> Fault {
    let message = format!("model {name}: invalid response from the server: {problem}");
    Fault::new(Kind::Unavailable, message).cause(Cause::Unreadable)
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
            let frame = Frame { event: String::new(), data: format!("{}{key} is bad", "x".repeat(before)) };
            let fault = broken("m", AnswerError::Invalid, &frame, &Credentials::of(Some(key)));
            assert!(!fault.message.contains("sk-"), "{before} characters before the key: {fault}");
            assert!(fault.message.starts_with("model m: invalid response from the server: `xxx"), "{fault}");
            assert!(fault.message.len() < 130, "{fault}");
        }
    }
}
