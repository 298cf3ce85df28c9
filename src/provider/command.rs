//! `command`: any program. It reads the neutral request as JSON from stdin and writes its answer to stdout: text, or a
//! neutral reply in JSON (an object with `content`, `calls`, or both), optionally after pieces of the text, one line
//! `{"delta": "…"}` each. Both formats are in `docs/schema/`. Exit code 0 is success, 75 asks for a later retry, and any
//! other code is a temporary failure.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::cassette::{RecordedChunk, RecordedRequest, Response};
use crate::core::model::{Call, Message, Reply, Request};
use crate::process::{self, Invocation, ProgramOutput};
use crate::provider::{Charge, MAX_ANSWER, ModelCall, limit, tape};
use crate::store::session::stop::CancelToken;
use crate::store::workspace::{program_env, programs};
use serde::Deserialize;
use serde_json::Value;

pub(super) fn ask(call: &mut ModelCall) -> Result<Reply> {
    let (name, model) = (&call.chosen.name, &call.chosen.model);
    if model.command.is_empty() {
        return Err(Fault::config(format!("model {name}: `command` is missing")));
    }
    let sent = timed(call.request);
    let body = serde_json::to_value(&sent).map_err(|e| Fault::data(e.to_string()))?;
    let program = model.command.first().cloned().unwrap_or_default();
    let request = RecordedRequest { method: "RUN".to_owned(), path: program, body };
    let mut pieces = Pieces::default();
    let ended = match tape::answer(call, &request)? {
        Some(recorded) => replay(recorded, &mut pieces, call.on_text)?,
        None => run(call, &sent, &request, &mut pieces)?,
    };
    if ended.code != 0 {
        let kind = if ended.code == 75 { Kind::Later } else { Kind::Unavailable };
        return Err(Fault::new(kind, format!("model {name}: exit {}: {}", ended.code, ended.last_error_line())));
    }
    let named = |fault: Fault| Fault { message: format!("model {name}: {}", fault.message), ..fault };
    // The last line may lack its newline.
    pieces.push(b"\n", call.on_text);
    let mut reply = pieces.reply(&ended.stdout).map_err(named)?;
    for thought in &mut reply.thinking {
        thought.by = call.chosen.identity();
    }
    if pieces.text.is_empty() {
        (call.on_text)(&reply.content);
    }
    Ok(reply)
}

/// The request as a program reads it: with the time behind the last message of the user.
fn timed(request: &Request) -> Request {
    let mut request = request.clone();
    for message in &mut request.messages {
        let text = message.timed();
        if let Message::User { content, now, .. } = message {
            (*content, *now) = (text, None);
        }
    }
    request
}

/// Runs the program.
fn run(call: &mut ModelCall, sent: &Request, request: &RecordedRequest, pieces: &mut Pieces) -> Result<ProgramOutput> {
    let (name, model) = (&call.chosen.name, &call.chosen.model);
    programs::check(call.workspace, &model.command)?;
    let (inherits, env) = program_env::of(&call.workspace.world, &model.env);
    let workspace = ("CLAW_WORKSPACE", call.workspace.root.display().to_string());
    let program = Invocation {
        command: &model.command,
        dir: &call.workspace.root,
        env: &env.into_iter().chain([workspace]).collect::<Vec<_>>(),
        inherits,
        sandbox: None,
        // Not from `body`: a JSON value does not keep the documented order of the fields.
        input: serde_json::to_vec(sent).map_err(|e| Fault::data(e.to_string()))?,
        timeout: limit(model.timeout, 600),
        max_output: MAX_ANSWER,
        locks: call.lane.share()?,
        stop: call.cancel.and_then(CancelToken::stop_fd),
    };
    let (on_text, mut chunks) = (&mut *call.on_text, Vec::new());
    let is_recorded = call.tape.is_recording();
    call.charge = Charge::Unknown;
    let ended = process::run_streaming(program, &mut |bytes| {
        pieces.push(bytes, on_text);
        if is_recorded {
            chunks.push(RecordedChunk::new(bytes));
        }
    });
    let named = |fault: Fault| Fault { message: format!("model {name}: {}", fault.message), ..fault };
    if ended.is_err() {
        // It was not started, so it has used nothing.
        call.charge = Charge::Nothing;
    }
    let ended = ended.and_then(ProgramOutput::completed).map_err(named)?;
    let cut = (ended.code != 0).then(|| ended.last_error_line().to_owned());
    let status = u16::try_from(ended.code).unwrap_or(1);
    call.tape.begin(request, Response { status, chunks, cut, ..Response::default() });
    Ok(ended)
}

/// Reads the recorded output of the program.
fn replay(recorded: Response, pieces: &mut Pieces, on_text: &mut dyn FnMut(&str)) -> Result<ProgramOutput> {
    let mut stdout = Vec::new();
    for chunk in &recorded.chunks {
        let bytes = chunk.bytes()?;
        pieces.push(&bytes, on_text);
        stdout.extend(bytes);
    }
    Ok(ProgramOutput { code: recorded.status.into(), stdout, stderr: recorded.cut.unwrap_or_default(), aborted: None })
}

/// A line with a piece of the text.
#[derive(Deserialize)]
struct Delta {
    delta: String,
}

/// The pieces at the beginning of an answer.
#[derive(Default)]
struct Pieces {
    text: String,
    /// Their length in the output, in bytes.
    length: usize,
    /// An incomplete line.
    pending: Vec<u8>,
    /// A line that is no piece has arrived.
    is_over: bool,
}

impl Pieces {
    fn push(&mut self, bytes: &[u8], on_text: &mut dyn FnMut(&str)) {
        if self.is_over {
            return;
        }
        self.pending.extend_from_slice(bytes);
        let mut begin = 0;
        while let Some(length) = memchr::memchr(b'\n', &self.pending[begin..]) {
            let Ok(piece) = serde_json::from_slice::<Delta>(&self.pending[begin..begin + length]) else {
                self.is_over = true;
                break;
            };
            on_text(&piece.delta);
            self.text += &piece.delta;
            begin += length + 1;
        }
        self.length += begin;
        self.pending.drain(..begin);
    }

    /// The reply, out of the whole output. Its text is that of the JSON after the pieces, or the pieces if that has none.
    fn reply(&self, bytes: &[u8]) -> Result<Reply> {
        let invalid = |problem: &str| {
            Fault::new(Kind::Failed, format!("invalid answer: {problem}"))
                .hint("the format: claw models --schema reply")
        };
        let rest = std::str::from_utf8(bytes.get(self.length..).unwrap_or_default());
        let rest = rest.map_err(|_| Fault::new(Kind::Failed, "invalid answer: not UTF-8"))?;
        let is_text = self.length == 0;
        let mut reply = match neutral(rest).map_err(|e| invalid(&format!("not a reply: {e}")))? {
            Some(reply) => reply,
            None if is_text || rest.trim().is_empty() => {
                Reply { content: rest.trim_end().to_owned(), ..Reply::default() }
            }
            None => return Err(invalid("text that is no reply follows the `delta` lines")),
        };
        if reply.content.is_empty() {
            reply.content.clone_from(&self.text);
        }
        Ok(reply)
    }
}

/// Parses a neutral reply; none if `text` is no JSON object, or another one.
fn neutral(text: &str) -> serde_json::Result<Option<Reply>> {
    let Ok(Value::Object(mut map)) = serde_json::from_str(text) else { return Ok(None) };
    let is_reply = map.get("content").is_some_and(Value::is_string) || map.get("calls").is_some_and(Value::is_array);
    if !is_reply {
        return Ok(None);
    }
    // Many programs write null for an absent field.
    map.retain(|_, value| !value.is_null());
    let mut reply: Reply = serde_json::from_value(Value::Object(map))?;
    for call in &mut reply.calls {
        if let Value::String(text) = &call.arguments {
            call.arguments = Call::parse_arguments(text);
        }
    }
    Ok(Some(reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reported pieces and the reply of an output that arrives in chunks of `size` bytes.
    fn answer(text: &str, size: usize) -> (Vec<String>, Result<Reply>) {
        let (mut pieces, mut all) = (Pieces::default(), Vec::new());
        text.as_bytes().chunks(size).for_each(|bytes| pieces.push(bytes, &mut |text| all.push(text.to_owned())));
        pieces.push(b"\n", &mut |text| all.push(text.to_owned()));
        (all, pieces.reply(text.as_bytes()))
    }

    #[test]
    fn pieces_are_reported_for_every_chunk_size_and_the_reply_follows_them() {
        let reply = |content: &str| Reply { content: content.to_owned(), ..Reply::default() };
        let pieces = "{\"delta\": \"ka\"}\n{\"delta\":\"wa 猫\"}\n";
        for size in 1..pieces.len() {
            assert_eq!(answer(pieces, size), (vec!["ka".into(), "wa 猫".into()], Ok(reply("kawa 猫"))));
            let whole = format!("{pieces}{{\"content\": \"other\"}}");
            assert_eq!(answer(&whole, size).1, Ok(reply("other")), "the text of the reply takes precedence");
            let counted = format!("{pieces}{{\"content\": null, \"calls\": [], \"usage\": {{\"input\": 3}}}}");
            let reply = answer(&counted, size).1.unwrap();
            assert_eq!((&reply.content[..], reply.usage.input), ("kawa 猫", 3));
        }
        assert_eq!(answer(pieces.trim_end(), 5).1, Ok(reply("kawa 猫")), "the last line has no newline");
        assert_eq!(answer("{\"delta\": 1}", 5).1, Ok(reply("{\"delta\": 1}")));
        assert!(answer(&format!("{pieces}and then"), 5).1.unwrap_err().message.contains("follows the `delta` lines"));
    }

    #[test]
    fn invalid_reply_is_an_error_and_not_text() {
        let error = answer(r#"{"calls": [{"arguments": {}}]}"#, 99).1.unwrap_err();
        assert!(error.message.contains("missing field `name`"), "{error}");
        assert!(answer(r#"{"content": "x", "usage": 3}"#, 99).1.is_err());
        assert!(answer(r#"{"sum": 4}"#, 99).1.is_ok());
    }
}
