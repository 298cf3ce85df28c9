//! Parsing a line of a streamed answer, or a whole answer, which is the same object.

use crate::core::model::Usage;
use crate::provider::reading::answer::{Answer, AnswerError, PartialCall, StopReason};
use crate::provider::reading::fields::{flag, list, text};
use serde_json::{Value, json};

/// Adds a piece to the answer; true after the last one.
#[expect(clippy::unnecessary_wraps, reason = "other protocols report errors")]
pub(super) fn take(answer: &mut Answer, piece: &Value, on_text: &mut dyn FnMut(&str)) -> Result<bool, AnswerError> {
    let message = &piece["message"];
    // Some compatible servers use the name of the `OpenAI` interface, or both.
    let mut thoughts =
        ["thinking", "reasoning_content", "reasoning"].iter().filter_map(|field| message[field].as_str());
    if let Some(thought) = thoughts.find(|thought| !thought.is_empty()) {
        answer.thought(None).text += thought;
    }
    answer.push_text(message["content"].as_str().unwrap_or_default(), on_text);
    for call in list(&message["tool_calls"]) {
        // Each call is complete.
        let function = &call["function"];
        let arguments = match &function["arguments"] {
            Value::Null => json!({}).to_string(),
            Value::String(text) => text.clone(),
            object => object.to_string(),
        };
        let (id, name) = (text(&call["id"]), text(&function["name"]));
        answer.calls.push(PartialCall { id, name, arguments, ..PartialCall::default() });
    }
    let is_done = flag(&piece["done"]);
    if is_done {
        answer.end.get_or_insert(StopReason::Whole);
        answer.set_end(&text(&piece["done_reason"]));
        answer.usage = Usage {
            input: answer.count(&piece["prompt_eval_count"]).unwrap_or_default(),
            output: answer.count(&piece["eval_count"]).unwrap_or_default(),
            ..Usage::default()
        };
    }
    Ok(is_done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(lines: &[&str]) -> Answer {
        let mut answer = Answer::default();
        for (n, line) in lines.iter().enumerate() {
            let piece = serde_json::from_str(line).unwrap();
            assert_eq!(take(&mut answer, &piece, &mut |_| {}).unwrap(), n + 1 == lines.len(), "{line}");
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
    fn length_limit_is_a_stop_reason() {
        assert_eq!(
            taken(&[r#"{"message":{"content":"a"},"done":true,"done_reason":"length"}"#]).end,
            Some(StopReason::Length)
        );
        assert_eq!(taken(&[r#"{"message":{"content":"a"},"done":true}"#]).end, Some(StopReason::Whole));
    }

    #[test]
    fn odd_fields_do_not_cost_the_answer() {
        let answer = taken(&[
            r#"{"message":{"content":"hi","thinking":"a","reasoning_content":"a","tool_calls":null},"done":"false"}"#,
            r#"{"message":{"content":null,"tool_calls":{"id":7,"function":{"name":"list","arguments":"{}"}}},"done":0}"#,
            r#"{"done":"true","done_reason":null,"prompt_eval_count":"3","eval_count":-1}"#,
        ]);
        assert_eq!((&answer.content[..], &answer.thoughts[0].text[..], &answer.calls[0].id[..]), ("hi", "a", "7"));
        assert_eq!((answer.end, answer.usage.input, answer.usage.output), (Some(StopReason::Whole), 3, 0));
    }
}
