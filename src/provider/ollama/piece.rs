//! Parsing a line of a streamed answer, or a whole answer, which is the same object.

use crate::core::model::Usage;
use crate::provider::answer::{Answer, AnswerError, PartialCall, StopReason};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Default, Deserialize)]
#[serde(default)]
struct OllamaChunk {
    message: Option<OllamaMessage>,
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
    error: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OllamaMessage {
    content: Option<String>,
    /// Some compatible servers use the name of the `OpenAI` interface.
    #[serde(alias = "reasoning_content")]
    thinking: Option<String>,
    tool_calls: Option<Vec<OllamaCall>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OllamaCall {
    id: Option<String>,
    function: OllamaFunction,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OllamaFunction {
    name: String,
    arguments: Value,
}

/// Parses a frame; true after the last one.
pub(super) fn take(answer: &mut Answer, frame: &str, on_text: &mut dyn FnMut(&str)) -> Result<bool, AnswerError> {
    let piece: OllamaChunk = serde_json::from_str(frame).map_err(|_| AnswerError::Invalid)?;
    if !piece.error.is_null() {
        return Err(AnswerError::Reported(piece.error));
    }
    let message = piece.message.unwrap_or_default();
    if let Some(thought) = message.thinking.filter(|thought| !thought.is_empty()) {
        answer.thought(None).text += &thought;
    }
    answer.push_text(&message.content.unwrap_or_default(), on_text);
    for call in message.tool_calls.into_iter().flatten() {
        // Each call is complete.
        let arguments = match call.function.arguments {
            Value::Null => json!({}).to_string(),
            Value::String(text) => text,
            object => object.to_string(),
        };
        let id = call.id.unwrap_or_default();
        answer.calls.push(PartialCall { index: None, id, name: call.function.name, arguments });
    }
    if piece.done {
        answer.end =
            Some(if piece.done_reason.as_deref() == Some("length") { StopReason::Length } else { StopReason::Whole });
        answer.usage = Usage {
            input: piece.prompt_eval_count.unwrap_or_default(),
            output: piece.eval_count.unwrap_or_default(),
            ..Usage::default()
        };
    }
    answer.check().map(|()| piece.done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(lines: &[&str]) -> Answer {
        let mut answer = Answer::default();
        for (n, line) in lines.iter().enumerate() {
            assert_eq!(take(&mut answer, line, &mut |_| {}).unwrap(), n + 1 == lines.len(), "{line}");
        }
        answer
    }

    #[test]
    fn calls_are_complete_and_thoughts_have_two_spellings() {
        let answer = taken(&[
            r#"{"message":{"role":"assistant","content":"","thinking":"I "},"done":false}"#,
            r#"{"message":{"role":"assistant","content":"","reasoning_content":"see"},"done":false}"#,
            r#"{"message":{"content":"Both."},"done":false}"#,
            r#"{"message":{"content":"","tool_calls":[{"function":{"name":"read","arguments":{"path":"a"}}},{"id":"call_1","function":{"index":1,"name":"list","arguments":{}}}]},"done":false}"#,
            r#"{"message":{"tool_calls":[{"function":{"name":"now"}}]},"done":false}"#,
            r#"{"message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":26,"eval_count":9}"#,
        ]);
        assert_eq!(
            (&answer.thoughts[0].text[..], &answer.content[..], answer.end),
            ("I see", "Both.", Some(StopReason::Whole))
        );
        let calls: Vec<(&str, &str)> = answer.calls.iter().map(|part| (&part.name[..], &part.arguments[..])).collect();
        assert_eq!(calls, [("read", r#"{"path":"a"}"#), ("list", "{}"), ("now", "{}")]);
        assert_eq!(answer.usage, Usage { input: 26, output: 9, ..Usage::default() });
    }

    #[test]
    fn length_limit_is_a_stop_reason_and_error_is_reported() {
        assert_eq!(
            taken(&[r#"{"message":{"content":"a"},"done":true,"done_reason":"length"}"#]).end,
            Some(StopReason::Length)
        );
        assert_eq!(taken(&[r#"{"message":{"content":"a"},"done":true}"#]).end, Some(StopReason::Whole));
        let error = take(&mut Answer::default(), r#"{"error":"llama runner has died"}"#, &mut |_| {});
        assert!(matches!(error, Err(AnswerError::Reported(Value::String(_)))));
    }
}
