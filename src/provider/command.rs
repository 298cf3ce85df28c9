//! `command`: any program. It reads the neutral request as JSON on stdin, and writes its answer on
//! stdout, either as text or as a neutral reply in JSON: an object with `content`, with `calls` (`[{"name":
//! …, "arguments": {…}}]`), or both, and if it likes with `remember` (`[…]`) and `usage` (`{"input": …,
//! "output": …}`). Any exit code but 0 is a failure that may pass.

use crate::child::{self, Ended, Program};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::{Call, Reply};
use crate::provider::{MAX_ANSWER, Question, Took, limit};
use serde_json::Value;

pub(super) fn ask(question: &mut Question) -> Result<Reply> {
    let (name, model) = (&question.chosen.name, &question.chosen.model);
    if model.command.is_empty() {
        return Err(Fault::config(format!("model {name}: `command` is missing")));
    }
    let input = serde_json::to_vec(question.request).map_err(|e| Fault::data(e.to_string()))?;
    question.took = Took::Unknown;
    let ended = child::run(Program {
        command: &model.command,
        dir: &question.workspace.root,
        env: &[("CLAW_WORKSPACE", question.workspace.root.display().to_string())],
        inherits: true,
        walls: None,
        input,
        timeout: limit(model.timeout, 600),
        max_output: MAX_ANSWER,
        locks: question.lane.share()?,
        stop: question.stop,
    })
    .and_then(Ended::whole)
    .map_err(|fault| Fault { message: format!("model {name}: {}", fault.message), ..fault })?;
    if ended.code != 0 {
        let kind = if ended.code == 75 { Kind::Later } else { Kind::Unavailable };
        return Err(Fault::new(kind, format!("model {name}: exit {}: {}", ended.code, ended.complaint())));
    }
    let text = String::from_utf8(ended.stdout)
        .map_err(|_| Fault::new(Kind::Failed, format!("model {name}: its answer is not UTF-8")))?;
    let reply = neutral(&text).unwrap_or_else(|| Reply { content: text.trim_end().to_owned(), ..Reply::default() });
    (question.heard)(&reply.content);
    Ok(reply)
}

/// The neutral reply that `text` is, if it is one and no other JSON.
fn neutral(text: &str) -> Option<Reply> {
    let value: Value = serde_json::from_str(text).ok()?;
    let is_reply =
        value.get("content").is_some_and(Value::is_string) || value.get("calls").is_some_and(Value::is_array);
    let mut reply: Reply = is_reply.then(|| serde_json::from_value(value).ok())??;
    for call in &mut reply.calls {
        if let Value::String(text) = &call.arguments {
            call.arguments = Call::parse_arguments(text);
        }
    }
    Some(reply)
}
