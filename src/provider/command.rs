//! `command`: any program. It reads the neutral request as JSON on stdin, and writes its answer on
//! stdout, either as text or as a neutral reply in JSON (`{"content": …, "remember": […], "usage":
//! {"input": …, "output": …}}`). Any exit code but 0 is a failure that may pass.

use crate::child::{self, Program};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::Reply;
use crate::provider::{MAX_ANSWER, Question, limit};

pub(super) fn ask(question: &mut Question) -> Result<Reply> {
    let (name, model) = (&question.chosen.name, &question.chosen.model);
    if model.command.is_empty() {
        return Err(Fault::config(format!("model {name}: `command` is missing")));
    }
    let input = serde_json::to_vec(question.request).map_err(|e| Fault::data(e.to_string()))?;
    let ended = child::run(Program {
        command: &model.command,
        dir: &question.workspace.root,
        env: &[("CLAW_WORKSPACE", question.workspace.root.display().to_string())],
        input,
        timeout: limit(model.timeout, 600),
        max_output: MAX_ANSWER,
        locks: question.lane.share()?,
    })
    .map_err(|fault| Fault { message: format!("model {name}: {}", fault.message), ..fault })?;
    if ended.code != 0 {
        let kind = if ended.code == 75 { Kind::Later } else { Kind::Unavailable };
        return Err(Fault::new(kind, format!("model {name}: exit {}: {}", ended.code, ended.complaint)));
    }
    let text = String::from_utf8(ended.stdout)
        .map_err(|_| Fault::new(Kind::Failed, format!("model {name}: its answer is not UTF-8")))?;
    let reply = serde_json::from_str::<Reply>(&text)
        .unwrap_or_else(|_| Reply { content: text.trim_end().to_owned(), ..Reply::default() });
    (question.heard)(&reply.content);
    Ok(reply)
}
