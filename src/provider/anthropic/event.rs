//! Parsing an event of a streamed message, or a whole message. Blocks are identified by their index.

use crate::provider::reading::answer::{Answer, AnswerError, PartialCall, PartialThought, StopReason};
use crate::provider::reading::fields::{index, list, text};
use serde_json::{Value, json};

/// Adds an event to the answer; true after the last one.
#[expect(clippy::unnecessary_wraps, reason = "other protocols report errors")]
pub(super) fn take(answer: &mut Answer, event: &Value, on_text: &mut dyn FnMut(&str)) -> Result<bool, AnswerError> {
    // An event has the counts that changed.
    count(answer, &event["message"]["usage"]);
    count(answer, &event["usage"]);
    match event["type"].as_str().unwrap_or_default() {
        // A second one: a gateway has lost the first answer, and begins again.
        "message_start" => {
            answer.calls.clear();
            answer.thoughts.clear();
        }
        "content_block_start" => begin(answer, index(&event["index"]), &event["content_block"], on_text),
        "content_block_delta" => continue_block(answer, index(&event["index"]), &event["delta"], on_text),
        "message_delta" => end(answer, &event["delta"]["stop_reason"]),
        "message_stop" => {
            answer.end.get_or_insert(StopReason::Whole);
            return Ok(true);
        }
        // A whole message; some gateways leave its type out.
        "message" | "" if event["content"].is_array() || event["content"].is_string() => {
            for (index, block) in (0..).zip(list(&event["content"])) {
                begin(answer, Some(index), block, on_text);
            }
            answer.push_text(event["content"].as_str().unwrap_or_default(), on_text);
            answer.end.get_or_insert(StopReason::Whole);
            end(answer, &event["stop_reason"]);
        }
        // `ping`, `content_block_stop`, and unknown events.
        _ => {}
    }
    Ok(false)
}

/// Adds the counts. The service counts cached tokens (read and written) apart from `input_tokens`; `Usage` includes them.
fn count(answer: &mut Answer, counts: &Value) {
    let mut of = |field: &str| answer.count(&counts[field]);
    let (cached, cache_write) = (of("cache_read_input_tokens"), of("cache_creation_input_tokens"));
    let (input, output) = (of("input_tokens"), of("output_tokens"));
    let usage = &mut answer.usage;
    let uncached = usage.input.saturating_sub(usage.cached.saturating_add(usage.cache_write));
    usage.cached = cached.unwrap_or(usage.cached);
    usage.cache_write = cache_write.unwrap_or(usage.cache_write);
    usage.input = input.unwrap_or(uncached).saturating_add(usage.cached).saturating_add(usage.cache_write);
    usage.output = output.unwrap_or(usage.output);
}

fn begin(answer: &mut Answer, index: Option<i64>, block: &Value, on_text: &mut dyn FnMut(&str)) {
    match block["type"].as_str() {
        Some("text") => answer.push_text(block["text"].as_str().unwrap_or_default(), on_text),
        Some("tool_use") => {
            // The arguments follow as deltas, unless the block has them already.
            let arguments = match &block["input"] {
                Value::Object(input) if input.is_empty() => String::new(),
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                input => input.to_string(),
            };
            let is_given = !arguments.is_empty();
            answer.calls.push(PartialCall {
                index,
                id: text(&block["id"]),
                name: text(&block["name"]),
                arguments,
                is_given,
            });
        }
        Some("thinking" | "redacted_thinking") => {
            answer.payload_bytes += block.to_string().len();
            let text = text(&block["thinking"]);
            answer.thoughts.push(PartialThought { index, text, payload: block.clone() });
        }
        _ => {}
    }
}

fn continue_block(answer: &mut Answer, index: Option<i64>, delta: &Value, on_text: &mut dyn FnMut(&str)) {
    let text = |name: &str| delta[name].as_str().unwrap_or_default();
    match delta["type"].as_str() {
        Some("text_delta") => answer.push_text(text("text"), on_text),
        Some("input_json_delta") => {
            if let Some(part) = answer.calls.iter_mut().rfind(|part| part.index == index) {
                if !text("partial_json").is_empty() && std::mem::take(&mut part.is_given) {
                    part.arguments.clear();
                }
                part.arguments += text("partial_json");
            }
        }
        Some("thinking_delta") => answer.thought(index).text += text("thinking"),
        Some("signature_delta") => {
            answer.payload_bytes += text("signature").len();
            answer.thought(index).payload["signature"] = json!(text("signature"));
        }
        _ => {}
    }
}

/// Sets the end. `end_turn`, `tool_use` and `stop_sequence` are whole; `pause_turn` concerns the service's own tools,
/// which are not used.
fn end(answer: &mut Answer, reason: &Value) {
    answer.set_end(&text(reason));
    for thought in answer.thoughts.iter_mut().filter(|thought| thought.payload["type"] == "thinking") {
        thought.payload["thinking"] = json!(thought.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::Usage;

    fn taken(events: &[Value]) -> (Answer, String) {
        let (mut answer, mut text) = (Answer::default(), String::new());
        for event in events {
            take(&mut answer, event, &mut |piece| text += piece).unwrap();
        }
        (answer, text)
    }

    #[test]
    fn blocks_are_assembled_by_their_index() {
        let (answer, text) = taken(&[
            json!({"type": "message_start", "message": {"usage": {
                "input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 1,
            }}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
            json!({"type": "ping"}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "I "}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "see"}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "x"}}),
            json!({"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "I look."}}),
            json!({"type": "content_block_start", "index": 3, "content_block": {
                "type": "tool_use", "id": "toolu_1", "name": "read", "input": {},
            }}),
            json!({"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": "{\"pa"}}),
            json!({"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": "th\": 1}"}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 30}}),
            json!({"type": "message_stop"}),
        ]);
        assert_eq!((&answer.content[..], &text[..], answer.end), ("I look.", "I look.", Some(StopReason::Whole)));
        assert_eq!(answer.usage, Usage { input: 130, output: 30, cached: 100, cache_write: 20, cost: None });
        let payloads: Vec<&Value> = answer.thoughts.iter().map(|thought| &thought.payload).collect();
        let whole = json!({"type": "thinking", "thinking": "I see", "signature": "sig"});
        assert_eq!(payloads, [&whole, &json!({"type": "redacted_thinking", "data": "x"})]);
        assert_eq!((&answer.calls[0].name[..], &answer.calls[0].arguments[..]), ("read", "{\"path\": 1}"));
    }

    #[test]
    fn stop_reasons_are_mapped() {
        let cases = [
            ("end_turn", StopReason::Whole),
            ("pause_turn", StopReason::Whole),
            ("max_tokens", StopReason::Length),
            ("refusal", StopReason::Declined),
            ("model_context_window_exceeded", StopReason::Window),
            ("something_new", StopReason::Whole),
        ];
        for (reason, end) in cases {
            let delta = json!({"type": "message_delta", "delta": {"stop_reason": reason}});
            assert_eq!(taken(&[delta]).0.end, Some(end), "{reason}");
            let whole = json!({"type": "message", "content": [{"type": "text", "text": "a"}], "stop_reason": reason});
            assert_eq!((taken(std::slice::from_ref(&whole)).1, taken(&[whole]).0.end), ("a".to_owned(), Some(end)));
        }
        assert_eq!(taken(&[json!({"type": "message_delta", "delta": {"stop_reason": null}})]).0.end, None);
    }

    #[test]
    fn arguments_that_come_twice_are_taken_once_and_odd_fields_are_empty() {
        let (answer, text) = taken(&[
            json!({"type": "message_start", "message": {"usage": {"input_tokens": "5", "output_tokens": null}}}),
            json!({"type": "content_block_start", "index": "0", "content_block": {
                "type": "tool_use", "id": 7, "name": "list", "input": {"path": "."},
            }}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{\"path\":"}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "\".\"}"}}),
            json!({"type": "content_block_start", "index": null, "content_block": 7}),
            json!({"type": "content_block_delta", "index": 9, "delta": {"type": "text_delta", "text": null}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": -3}}),
        ]);
        assert_eq!((&answer.calls[0].arguments[..], &answer.calls[0].id[..], &text[..]), ("{\"path\":\".\"}", "7", ""));
        assert_eq!((answer.usage.input, answer.usage.output, answer.end), (5, 0, Some(StopReason::Whole)));
    }

    #[test]
    fn message_that_begins_again_replaces_the_calls_and_thoughts_before() {
        let start = |text: &str| json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": text}});
        let call = |id: &str| json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": id, "name": "list"}});
        let again = json!({"type": "message_start", "message": {}});
        let (answer, _) = taken(&[start("a"), call("x"), again, start("b"), call("y")]);
        let texts: Vec<&str> = answer.thoughts.iter().map(|thought| &thought.text[..]).collect();
        assert_eq!((texts, answer.calls.len(), &answer.calls[0].id[..]), (vec!["b"], 1, "y"));
    }
}
