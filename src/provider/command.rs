//! `command`: any program. It reads the neutral request as JSON on stdin, and writes its answer on stdout: as
//! text, or as a neutral reply in JSON (an object with `content`, with `calls`, or both), with pieces of the text
//! before it as they come, a line of `{"delta": "…"}` each. Both formats are in `docs/schema/`. Any exit code but
//! 0 is a failure that may pass.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::cassette::{RecordedChunk, RecordedRequest as Asked, Response};
use crate::core::model::{Call, Reply};
use crate::process::{self, Invocation, ProgramOutput};
use crate::provider::{Charge, MAX_ANSWER, ModelCall, limit, tape};
use crate::store::session::stop::CancelToken;
use serde::Deserialize;
use serde_json::Value;

pub(super) fn ask(question: &mut ModelCall) -> Result<Reply> {
    let (name, model) = (&question.chosen.name, &question.chosen.model);
    if model.command.is_empty() {
        return Err(Fault::config(format!("model {name}: `command` is missing")));
    }
    let body = serde_json::to_value(question.request).map_err(|e| Fault::data(e.to_string()))?;
    let program = model.command.first().cloned().unwrap_or_default();
    let asked = Asked { method: "RUN".to_owned(), path: program, body };
    let mut pieces = Pieces::default();
    let ended = match tape::answer(question, &asked)? {
        Some(answer) => played(answer, &mut pieces, question.heard)?,
        None => run(question, &asked, &mut pieces)?,
    };
    if ended.code != 0 {
        let kind = if ended.code == 75 { Kind::Later } else { Kind::Unavailable };
        return Err(Fault::new(kind, format!("model {name}: exit {}: {}", ended.code, ended.last_error_line())));
    }
    let named = |fault: Fault| Fault { message: format!("model {name}: {}", fault.message), ..fault };
    // The last line may have no end.
    pieces.take(b"\n", question.heard);
    let reply = pieces.reply(&ended.stdout).map_err(named)?;
    if pieces.said.is_empty() {
        (question.heard)(&reply.content);
    }
    Ok(reply)
}

/// Runs the program.
fn run(question: &mut ModelCall, asked: &Asked, pieces: &mut Pieces) -> Result<ProgramOutput> {
    let (name, model) = (&question.chosen.name, &question.chosen.model);
    question.charge = Charge::Unknown;
    let program = Invocation {
        command: &model.command,
        dir: &question.workspace.root,
        env: &[("CLAW_WORKSPACE", question.workspace.root.display().to_string())],
        inherits: true,
        sandbox: None,
        // In the order of its documentation, which a value does not keep.
        input: serde_json::to_vec(question.request).map_err(|e| Fault::data(e.to_string()))?,
        timeout: limit(model.timeout, 600),
        max_output: MAX_ANSWER,
        locks: question.lane.share()?,
        stop: question.cancel.and_then(CancelToken::stop_fd),
    };
    let (heard, mut chunks) = (&mut *question.heard, Vec::new());
    let is_recorded = question.tape.is_recording();
    let ended = process::run_streaming(program, &mut |bytes| {
        pieces.take(bytes, heard);
        if is_recorded {
            chunks.push(RecordedChunk::new(bytes));
        }
    });
    let named = |fault: Fault| Fault { message: format!("model {name}: {}", fault.message), ..fault };
    let ended = ended.and_then(ProgramOutput::completed).map_err(named)?;
    let cut = (ended.code != 0).then(|| ended.last_error_line().to_owned());
    let status = u16::try_from(ended.code).unwrap_or(1);
    question.tape.begin(asked, Response { status, chunks, cut, ..Response::default() });
    Ok(ended)
}

/// What the program has written once, again.
fn played(answer: Response, pieces: &mut Pieces, heard: &mut dyn FnMut(&str)) -> Result<ProgramOutput> {
    let mut stdout = Vec::new();
    for chunk in &answer.chunks {
        let bytes = chunk.bytes()?;
        pieces.take(&bytes, heard);
        stdout.extend(bytes);
    }
    Ok(ProgramOutput { code: answer.status.into(), stdout, stderr: answer.cut.unwrap_or_default(), aborted: None })
}

/// A line that is a piece of the text.
#[derive(Deserialize)]
struct Delta {
    delta: String,
}

/// The pieces that an answer begins with.
#[derive(Default)]
struct Pieces {
    said: String,
    /// How many bytes of the answer they are.
    taken: usize,
    /// A line that is not whole yet.
    pending: Vec<u8>,
    /// Something else has come.
    is_over: bool,
}

impl Pieces {
    fn take(&mut self, bytes: &[u8], heard: &mut dyn FnMut(&str)) {
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
            heard(&piece.delta);
            self.said += &piece.delta;
            begin += length + 1;
        }
        self.taken += begin;
        self.pending.drain(..begin);
    }

    /// The whole answer: what these bytes say behind the pieces, and the pieces where that has no text.
    fn reply(&self, bytes: &[u8]) -> Result<Reply> {
        let unfit = |what: &str| {
            Fault::new(Kind::Failed, format!("its answer {what}")).hint("the format: claw models --schema reply")
        };
        let rest = std::str::from_utf8(bytes.get(self.taken..).unwrap_or_default());
        let rest = rest.map_err(|_| Fault::new(Kind::Failed, "its answer is not UTF-8"))?;
        let is_text = self.taken == 0;
        let mut reply = match neutral(rest).map_err(|e| unfit(&format!("is no reply: {e}")))? {
            Some(reply) => reply,
            None if is_text || rest.trim().is_empty() => {
                Reply { content: rest.trim_end().to_owned(), ..Reply::default() }
            }
            None => return Err(unfit("goes on with something else behind its pieces")),
        };
        if reply.content.is_empty() {
            reply.content.clone_from(&self.said);
        }
        Ok(reply)
    }
}

/// The neutral reply that `text` is; nothing where it is no JSON, or some other.
fn neutral(text: &str) -> serde_json::Result<Option<Reply>> {
    let Ok(Value::Object(mut map)) = serde_json::from_str(text) else { return Ok(None) };
    let is_reply = map.get("content").is_some_and(Value::is_string) || map.get("calls").is_some_and(Value::is_array);
    if !is_reply {
        return Ok(None);
    }
    // Many say nothing by null.
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

    /// What is heard, and the answer, where it comes in chunks of this many bytes.
    fn answer(text: &str, size: usize) -> (Vec<String>, Result<Reply>) {
        let (mut pieces, mut all) = (Pieces::default(), Vec::new());
        text.as_bytes().chunks(size).for_each(|bytes| pieces.take(bytes, &mut |text| all.push(text.to_owned())));
        pieces.take(b"\n", &mut |text| all.push(text.to_owned()));
        (all, pieces.reply(text.as_bytes()))
    }

    #[test]
    fn pieces_are_heard_however_they_are_cut_and_the_reply_stands_behind_them() {
        let said = |content: &str| Reply { content: content.to_owned(), ..Reply::default() };
        let pieces = "{\"delta\": \"ka\"}\n{\"delta\":\"wa 猫\"}\n";
        for size in 1..pieces.len() {
            assert_eq!(answer(pieces, size), (vec!["ka".into(), "wa 猫".into()], Ok(said("kawa 猫"))));
            let whole = format!("{pieces}{{\"content\": \"other\"}}");
            assert_eq!(answer(&whole, size).1, Ok(said("other")), "the reply's own text counts");
            let counted = format!("{pieces}{{\"content\": null, \"calls\": [], \"usage\": {{\"input\": 3}}}}");
            let reply = answer(&counted, size).1.unwrap();
            assert_eq!((&reply.content[..], reply.usage.input), ("kawa 猫", 3));
        }
        assert_eq!(answer(pieces.trim_end(), 5).1, Ok(said("kawa 猫")), "the last line has no end");
        assert_eq!(answer("{\"delta\": 1}", 5).1, Ok(said("{\"delta\": 1}")));
        assert!(answer(&format!("{pieces}and then"), 5).1.unwrap_err().message.contains("behind its pieces"));
    }

    #[test]
    fn a_reply_that_is_none_is_told_and_not_taken_for_text() {
        let error = answer(r#"{"calls": [{"arguments": {}}]}"#, 99).1.unwrap_err();
        assert!(error.message.contains("missing field `name`"), "{error}");
        assert!(answer(r#"{"content": "x", "usage": 3}"#, 99).1.is_err());
        assert!(answer(r#"{"sum": 4}"#, 99).1.is_ok());
    }
}
