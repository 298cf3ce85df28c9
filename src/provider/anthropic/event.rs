//! Parsing an event of a streamed message, or a whole message. Blocks are identified by their index.

use crate::core::model::Usage;
use crate::provider::answer::{Answer, AnswerError, PartialCall, StopReason};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnthropicEvent {
    #[serde(rename = "type")]
    kind: String,
    message: Option<AnthropicMessage>,
    index: Option<usize>,
    content_block: Value,
    delta: Value,
    usage: Option<AnthropicUsage>,
    error: Value,
    /// Set in a whole message, as is `stop_reason`.
    content: Option<Vec<Value>>,
    stop_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnthropicMessage {
    usage: Option<AnthropicUsage>,
}

/// Token counts; an event has those that changed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct AnthropicUsage {
    #[serde(rename = "input_tokens")]
    input: Option<u64>,
    #[serde(rename = "output_tokens")]
    output: Option<u64>,
    #[serde(rename = "cache_read_input_tokens")]
    cached: Option<u64>,
    #[serde(rename = "cache_creation_input_tokens")]
    cache_write: Option<u64>,
}

/// Parses a frame; true after the last one.
pub(super) fn take(answer: &mut Answer, frame: &str, on_text: &mut dyn FnMut(&str)) -> Result<bool, AnswerError> {
    let event: AnthropicEvent = serde_json::from_str(frame).map_err(|_| AnswerError::Invalid)?;
    let counted = event.usage.or(event.message.and_then(|message| message.usage));
    if let Some(tokens) = counted {
        count(&mut answer.usage, &tokens);
    }
    match event.kind.as_str() {
        "error" => return Err(AnswerError::Reported(event.error)),
        "content_block_start" => begin(answer, event.index, event.content_block, on_text),
        "content_block_delta" => continue_block(answer, event.index, &event.delta, on_text),
        "message_delta" => end(answer, event.delta["stop_reason"].as_str()),
        "message_stop" => {
            answer.end.get_or_insert(StopReason::Whole);
            return Ok(true);
        }
        "message" => {
            for (index, block) in event.content.into_iter().flatten().enumerate() {
                begin(answer, Some(index), block, on_text);
            }
            end(answer, event.stop_reason.as_deref().or(Some("end_turn")));
        }
        // `ping`, `content_block_stop`, and unknown events.
        _ => {}
    }
    answer.check().map(|()| false)
}

/// Adds the counts. The service counts cached tokens (read and written) apart from `input_tokens`; `Usage` includes them.
fn count(usage: &mut Usage, tokens: &AnthropicUsage) {
    let cached = |usage: &Usage| usage.cached.saturating_add(usage.cache_write);
    let uncached = usage.input.saturating_sub(cached(usage));
    usage.cached = tokens.cached.unwrap_or(usage.cached);
    usage.cache_write = tokens.cache_write.unwrap_or(usage.cache_write);
    usage.input = tokens.input.unwrap_or(uncached).saturating_add(cached(usage));
    usage.output = tokens.output.unwrap_or(usage.output);
}

fn begin(answer: &mut Answer, index: Option<usize>, block: Value, on_text: &mut dyn FnMut(&str)) {
    let text = |name: &str| block[name].as_str().unwrap_or_default().to_owned();
    match block["type"].as_str() {
        Some("text") => answer.push_text(&text("text"), on_text),
        Some("tool_use") => {
            // The arguments follow as deltas, unless the block has them already.
            let whole = block["input"].as_object().filter(|input| !input.is_empty());
            let arguments = whole.map(|_| block["input"].to_string()).unwrap_or_default();
            answer.calls.push(PartialCall { index, id: text("id"), name: text("name"), arguments });
        }
        Some("thinking" | "redacted_thinking") => {
            answer.payload_bytes += block.to_string().len();
            let thought = answer.thought(index);
            thought.text = text("thinking");
            thought.payload = block;
        }
        _ => {}
    }
}

fn continue_block(answer: &mut Answer, index: Option<usize>, delta: &Value, on_text: &mut dyn FnMut(&str)) {
    let text = |name: &str| delta[name].as_str().unwrap_or_default();
    match delta["type"].as_str() {
        Some("text_delta") => answer.push_text(text("text"), on_text),
        Some("input_json_delta") => {
            if let Some(part) = answer.calls.iter_mut().rfind(|part| part.index == index) {
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

fn end(answer: &mut Answer, reason: Option<&str>) {
    answer.end = match reason {
        None => answer.end,
        Some("max_tokens") => Some(StopReason::Length),
        Some("model_context_window_exceeded") => Some(StopReason::Window),
        Some("refusal") => Some(StopReason::Declined),
        // `end_turn`, `tool_use`, `stop_sequence`; `pause_turn` concerns the service's own tools, which are not used.
        Some(_) => Some(StopReason::Whole),
    };
    for thought in answer.thoughts.iter_mut().filter(|thought| thought.payload["type"] == "thinking") {
        thought.payload["thinking"] = json!(thought.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(events: &[Value]) -> (Answer, String) {
        let (mut answer, mut text) = (Answer::default(), String::new());
        for event in events {
            take(&mut answer, &event.to_string(), &mut |piece| text += piece).unwrap();
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
        assert_eq!(answer.usage, Usage { input: 130, output: 30, cached: 100, cache_write: 20 });
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
}
