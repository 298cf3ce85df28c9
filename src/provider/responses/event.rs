//! Parsing an event of a streamed response, or a whole response. Items are identified by their index in the output.

use crate::core::model::Usage;
use crate::provider::reading::answer::{Answer, AnswerError, PartialCall, PartialThought, StopReason};
use crate::provider::reading::fields::{index, is_blank, list, text};
use serde_json::{Map, Value};

/// The fields of a thought that the service takes back.
const THOUGHT: [&str; 5] = ["type", "id", "summary", "content", "encrypted_content"];

/// Adds an event to the answer; true after the last one.
pub(super) fn take(answer: &mut Answer, event: &Value, on_text: &mut dyn FnMut(&str)) -> Result<bool, AnswerError> {
    let at = index(&event["output_index"]);
    let delta = event["delta"].as_str().unwrap_or_default();
    match event["type"].as_str().unwrap_or_default() {
        "response.output_text.delta" | "response.refusal.delta" => answer.push_text(delta, on_text),
        "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => answer.thought(at).text += delta,
        "response.output_item.added" => begin(answer, at, &event["item"]),
        "response.function_call_arguments.delta" => {
            if let Some(call) = call(answer, at) {
                call.arguments += delta;
            }
        }
        "response.function_call_arguments.done" => {
            if let (Some(call), Some(arguments)) = (call(answer, at), event["arguments"].as_str()) {
                arguments.clone_into(&mut call.arguments);
            }
        }
        "response.output_item.done" => finish(answer, at, &event["item"]),
        "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
            return end(answer, &event["response"], on_text).map(|()| true);
        }
        // A whole response; `response.created` and the like have theirs in a field.
        "" if event["output"].is_array() => return end(answer, event, on_text).map(|()| true),
        _ => {}
    }
    Ok(false)
}

/// The call with this index; the last one without an index.
fn call(answer: &mut Answer, at: Option<i64>) -> Option<&mut PartialCall> {
    answer.calls.iter_mut().rfind(|call| at.is_none() || call.index == at)
}

fn begin(answer: &mut Answer, at: Option<i64>, item: &Value) {
    if item["type"] == "function_call" {
        let (id, name, arguments) = (text(&item["call_id"]), text(&item["name"]), text(&item["arguments"]));
        answer.calls.push(PartialCall { index: at, id, name, arguments, is_given: false });
    }
}

/// Takes a finished item; one that was streamed before is completed, and not taken twice.
fn finish(answer: &mut Answer, at: Option<i64>, item: &Value) {
    match item["type"].as_str() {
        Some("function_call") => {
            let is_known = answer.calls.iter().any(|call| call.index == at && at.is_some());
            if !is_known {
                begin(answer, at, item);
            } else if let (Some(call), Some(arguments)) = (call(answer, at), item["arguments"].as_str()) {
                arguments.clone_into(&mut call.arguments);
            }
        }
        Some("reasoning") => {
            let fields = THOUGHT.iter().filter(|field| !item[**field].is_null());
            let payload: Map<String, Value> = fields.map(|field| ((*field).to_owned(), item[*field].clone())).collect();
            let payload = Value::Object(payload);
            if answer.thoughts.iter().any(|thought| thought.payload == payload) {
                return;
            }
            answer.payload_bytes += payload.to_string().len();
            let summary = || list(&item["summary"]).iter().filter_map(|part| part["text"].as_str()).collect::<String>();
            match answer.thoughts.iter_mut().find(|thought| thought.index == at && thought.payload.is_null()) {
                Some(thought) => thought.payload = payload,
                None => answer.thoughts.push(PartialThought { index: at, text: summary(), payload }),
            }
        }
        _ => {}
    }
}

/// Takes the end of a response, which has the counts, and all items once more.
fn end(answer: &mut Answer, response: &Value, on_text: &mut dyn FnMut(&str)) -> Result<(), AnswerError> {
    count(answer, &response["usage"]);
    let status = response["status"].as_str().unwrap_or("completed");
    if !is_blank(&response["error"]) || status == "failed" {
        return Err(AnswerError::Reported(response.clone()));
    }
    let has_text = !answer.content.is_empty();
    for (at, item) in (0..).zip(list(&response["output"])) {
        finish(answer, Some(at), item);
        for part in list(&item["content"]).iter().filter(|_| item["type"] == "message" && !has_text) {
            answer.push_text(part["text"].as_str().unwrap_or_default(), on_text);
            answer.push_text(part["refusal"].as_str().unwrap_or_default(), on_text);
        }
    }
    match status {
        "incomplete" => {
            answer.set_end(&text(&response["incomplete_details"]["reason"]));
            answer.end.get_or_insert(StopReason::BrokenOff);
        }
        "cancelled" => answer.set_end(status),
        _ => drop(answer.end.get_or_insert(StopReason::Whole)),
    }
    Ok(())
}

fn count(answer: &mut Answer, counts: &Value) {
    let mut first = |fields: &[&Value]| fields.iter().find_map(|field| answer.count(field));
    let usage = Usage {
        input: first(&[&counts["input_tokens"]]).unwrap_or_default(),
        output: first(&[&counts["output_tokens"]]).unwrap_or_default(),
        cached: first(&[&counts["input_tokens_details"]["cached_tokens"]]).unwrap_or_default(),
        cache_write: first(&[&counts["input_tokens_details"]["cache_write_tokens"]]).unwrap_or_default(),
        cost: None,
    };
    if usage != Usage::default() {
        answer.usage = usage;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn taken(events: &[Value]) -> (Answer, String) {
        let (mut answer, mut text) = (Answer::default(), String::new());
        for event in events {
            if take(&mut answer, event, &mut |piece| text += piece).unwrap() {
                break;
            }
        }
        (answer, text)
    }

    fn response(status: &str, more: &Value) -> Value {
        let mut response = json!({
            "object": "response", "status": status, "error": null,
            "usage": {"input_tokens": 50, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 40}},
            "output": [
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "I see"}],
                 "encrypted_content": "xyz", "status": "completed"},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
                {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "read", "arguments": "{\"path\":\"a\"}"},
            ],
        });
        response.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        response
    }

    #[test]
    fn streamed_and_whole_responses_mean_the_same() {
        let whole = response("completed", &json!({}));
        let items = whole["output"].as_array().unwrap();
        let streamed = [
            json!({"type": "response.created", "response": {"status": "in_progress", "output": []}}),
            json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1"}}),
            json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "I "}),
            json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "see"}),
            json!({"type": "response.output_item.done", "output_index": 0, "item": items[0]}),
            json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "message"}}),
            json!({"type": "response.output_text.delta", "output_index": 1, "delta": "I lo"}),
            json!({"type": "response.output_text.delta", "output_index": 1, "delta": "ok."}),
            json!({"type": "response.output_text.done", "output_index": 1, "text": "I look."}),
            json!({"type": "response.output_item.done", "output_index": 1, "item": items[1]}),
            json!({"type": "response.output_item.added", "output_index": 2, "item": {
                "type": "function_call", "call_id": "call_1", "name": "read", "arguments": "",
            }}),
            json!({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "{\"path\""}),
            json!({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": ":\"a\"}"}),
            json!({"type": "response.function_call_arguments.done", "output_index": 2, "arguments": "{\"path\":\"a\"}"}),
            json!({"type": "response.output_item.done", "output_index": 2, "item": items[2]}),
            json!({"type": "response.completed", "response": whole}),
        ];
        // Without its output, as in a response of some gateways.
        let bare = json!({"type": "response.completed", "response": response("completed", &json!({"output": []}))});
        let without = [&streamed[..15], &[bare]].concat();
        for events in [&streamed[..], &without, std::slice::from_ref(&whole)] {
            let (answer, text) = taken(events);
            assert_eq!((&text[..], &answer.content[..], answer.end), ("I look.", "I look.", Some(StopReason::Whole)));
            assert_eq!(answer.usage, Usage { input: 50, output: 9, cached: 40, ..Usage::default() });
            let calls: Vec<_> = answer.calls.iter().map(|call| (&call.name[..], &call.arguments[..])).collect();
            assert_eq!(calls, [("read", "{\"path\":\"a\"}")]);
            assert_eq!((answer.thoughts.len(), &answer.thoughts[0].text[..]), (1, "I see"));
            let payload = &answer.thoughts[0].payload;
            assert_eq!((&payload["encrypted_content"], payload.get("status")), (&json!("xyz"), None));
        }
    }

    #[test]
    fn status_decides_how_a_response_has_ended() {
        let ended = |reason: &str| {
            let more = json!({"incomplete_details": {"reason": reason}, "output": []});
            taken(&[json!({"type": "response.incomplete", "response": response("incomplete", &more)})]).0.end
        };
        assert_eq!(ended("max_output_tokens"), Some(StopReason::Length));
        assert_eq!(ended("content_filter"), Some(StopReason::Declined));
        assert_eq!(ended(""), Some(StopReason::BrokenOff));
        let failed = json!({"type": "response.failed", "response": response("failed", &json!({
            "error": {"code": "rate_limit_exceeded", "message": "slow down"},
        }))});
        let mut answer = Answer::default();
        let error = take(&mut answer, &failed, &mut |_| {}).unwrap_err();
        assert!(
            matches!(&error, AnswerError::Reported(value) if value["error"]["message"] == "slow down"),
            "{error:?}"
        );
        assert_eq!(answer.usage.input, 50, "what was counted is paid");
        let cut = taken(&[json!({"type": "response.output_text.delta", "output_index": 0, "delta": "hel"})]).0;
        assert_eq!(cut.end, None);
    }

    #[test]
    fn odd_fields_do_not_cost_the_answer() {
        let (answer, text) = taken(&[
            json!({"type": "response.output_text.delta", "output_index": "0", "delta": "hi"}),
            json!({"type": "response.output_text.delta", "delta": null}),
            json!({"type": "response.function_call_arguments.delta", "output_index": 7, "delta": "x"}),
            json!({"type": "response.something.new", "delta": {}}),
            json!({"type": "response.output_item.added", "item": 7}),
            json!({"type": "response.completed", "response": {"status": null, "usage": {"input_tokens": "5", "output_tokens": -1}}}),
        ]);
        assert_eq!((&text[..], answer.end, answer.usage.input), ("hi", Some(StopReason::Whole), 5));
    }
}
