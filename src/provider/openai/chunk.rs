//! Parsing a piece of an answer, or a whole answer. Calls, thoughts and token counts have a different shape on many
//! servers (`tests/fixtures/openai`).

use crate::core::model::Usage;
use crate::core::model::money::Money;
use crate::provider::openai::call_piece;
use crate::provider::reading::answer::{Answer, AnswerError, StopReason};
use crate::provider::reading::fields::{is_blank, list, text};
use serde_json::{Value, json};

/// Adds a piece to the answer. It is never the last one: `[DONE]` follows, or the end of the body.
pub(super) fn take(answer: &mut Answer, chunk: &Value, on_text: &mut dyn FnMut(&str)) -> Result<bool, AnswerError> {
    let has_begun = answer.has_begun();
    let choices = list(&chunk["choices"]);
    for choice in choices {
        if !is_blank(&choice["error"]) {
            count(answer, &chunk["usage"]);
            return Err(AnswerError::Reported(choice.clone()));
        }
        take_choice(answer, choice, on_text);
    }
    // Groq and Moonshot report the counts in other places.
    let places = [&chunk["usage"], &chunk["x_groq"]["usage"]].into_iter();
    let mut places = places.chain(choices.iter().map(|choice| &choice["usage"]));
    let is_counted = places.any(|usage| count(answer, usage));
    // The token counts come last: the answer is complete, even without a `finish_reason`.
    if choices.is_empty() && is_counted && has_begun {
        answer.end.get_or_insert(StopReason::Whole);
    }
    Ok(false)
}

fn take_choice(answer: &mut Answer, choice: &Value, on_text: &mut dyn FnMut(&str)) {
    let is_piece = !is_blank(&choice["delta"]);
    let message = if is_piece { &choice["delta"] } else { &choice["message"] };
    take_message(answer, message, on_text);
    let mut reason = text(&choice["finish_reason"]);
    // The reason of the service behind a router says more.
    let native = text(&choice["native_finish_reason"]);
    if !is_piece && message.is_object() {
        answer.end.get_or_insert(StopReason::Whole);
        let gave_up = ["error", "abort", "network_error", "insufficient_system_resource"];
        if answer.has_begun() && gave_up.contains(&reason.as_str()) {
            // It has arrived as one document, so it is whole.
            reason.clear();
        }
    }
    answer.set_end(&reason);
    if answer.end >= Some(StopReason::BrokenOff) && !native.is_empty() {
        answer.set_end(&native);
    }
}

fn take_message(answer: &mut Answer, message: &Value, on_text: &mut dyn FnMut(&str)) {
    // Some servers send the same thought under both names.
    let mut thoughts = ["reasoning_content", "reasoning"].iter().filter_map(|field| message[field].as_str());
    if let Some(text) = thoughts.find(|text| !text.is_empty()) {
        answer.thought(None).text += text;
    }
    for detail in list(&message["reasoning_details"]) {
        answer.payload_bytes += detail.to_string().len();
        add_detail(&mut answer.thought(None).payload, "reasoning_details", detail.clone());
    }
    match &message["content"] {
        Value::String(text) => answer.push_text(text, on_text),
        parts => list(parts).iter().for_each(|part| take_part(answer, part, on_text)),
    }
    answer.push_text(message["refusal"].as_str().unwrap_or_default(), on_text);
    for piece in list(&message["tool_calls"]) {
        call_piece::take(answer, piece, &piece["function"]);
    }
    // The older field for a single call.
    call_piece::take(answer, &Value::Null, &message["function_call"]);
}

/// Takes an entry of a list in `content`.
fn take_part(answer: &mut Answer, part: &Value, on_text: &mut dyn FnMut(&str)) {
    if part["type"] == "thinking" {
        let texts = list(&part["thinking"]).iter().filter_map(|inner| inner["text"].as_str());
        texts.chain(part["thinking"].as_str()).for_each(|text| answer.thought(None).text += text);
        return;
    }
    answer.push_text(part["text"].as_str().unwrap_or_default(), on_text);
}

/// Adds an entry to a list that is sent back unchanged. `OpenRouter` streams a block in pieces; those with the same index
/// are joined.
fn add_detail(payload: &mut Value, list: &str, entry: Value) {
    if !payload[list].is_array() {
        payload[list] = json!([]);
    }
    let Value::Array(entries) = &mut payload[list] else { return };
    let is_same = |other: &&mut Value| {
        entry["index"].is_u64() && (&other["index"], &other["type"]) == (&entry["index"], &entry["type"])
    };
    let (Some(known), Value::Object(fields)) = (entries.iter_mut().find(is_same), &entry) else {
        entries.push(entry);
        return;
    };
    for (name, value) in fields {
        match (known[name].as_str(), value.as_str()) {
            (Some(before), Some(more)) if matches!(name.as_str(), "text" | "summary" | "data") => {
                known[name] = json!(format!("{before}{more}"));
            }
            _ if value.is_null() => {}
            _ => known[name] = value.clone(),
        }
    }
}

/// Reads token counts; false if there are none. Later counts of a stream replace earlier ones.
fn count(answer: &mut Answer, counts: &Value) -> bool {
    let mut first = |fields: &[&Value]| fields.iter().find_map(|field| answer.count(field));
    let details = &counts["prompt_tokens_details"];
    let input = first(&[&counts["prompt_tokens"], &counts["input_tokens"]]);
    let output = first(&[&counts["completion_tokens"], &counts["output_tokens"]]);
    let all = first(&[&counts["total_tokens"]]);
    let cached = first(&[
        &details["cached_tokens"],
        // DeepSeek's and Moonshot's.
        &counts["prompt_cache_hit_tokens"],
        &counts["cached_tokens"],
    ]);
    let cache_write = first(&[&details["cache_write_tokens"], &counts["cache_write_tokens"]]);
    // Some services leave the thoughts out of `completion_tokens`: xAI, Gemini.
    let hidden = all.zip(input).map(|(all, input)| all.saturating_sub(input));
    let usage = Usage {
        input: input.unwrap_or_default(),
        output: output.max(hidden).unwrap_or_default(),
        cached: cached.unwrap_or_default(),
        cache_write: cache_write.unwrap_or_default(),
        // OpenRouter's credits are dollars.
        cost: counts["cost"].as_f64().and_then(Money::from_f64).filter(|cost| *cost > Money(0)),
    };
    let is_counted = usage != Usage::default();
    if is_counted {
        answer.usage = usage;
    }
    is_counted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(chunks: &[Value]) -> Answer {
        let mut answer = Answer::default();
        for chunk in chunks {
            take(&mut answer, chunk, &mut |_| {}).unwrap();
        }
        answer
    }

    #[test]
    fn odd_counts_do_not_cost_the_answer_and_hidden_thoughts_are_counted() {
        let cases = [
            (json!({"prompt_tokens": 100.0, "completion_tokens": "5", "total_tokens": 105.0}), [100, 5, 0, 0]),
            (
                json!({"prompt_tokens": 100, "completion_tokens": 5, "prompt_cache_hit_tokens": 60, "cached_tokens": 60}),
                [100, 5, 60, 0],
            ),
            (json!({"prompt_tokens": 1151, "completion_tokens": -35, "total_tokens": 1116}), [1151, 0, 0, 0]),
            (json!({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 354}), [10, 344, 0, 0]),
            (json!({"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 3}), [9, 5, 0, 0]),
            (
                json!({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4.0, "cache_write_tokens": 3}}),
                [9, 0, 4, 3],
            ),
            (json!({"prompt_tokens": 9, "prompt_tokens_details": 60}), [9, 0, 0, 0]),
            (json!("n/a"), [0; 4]),
            (json!([]), [0; 4]),
            (json!({"prompt_tokens": null}), [0; 4]),
        ];
        for (usage, expected) in cases {
            let answer = taken(&[
                json!({"choices": [{"delta": {"content": "hello"}}]}),
                json!({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage}),
            ]);
            let Usage { input, output, cached, cache_write, .. } = answer.usage;
            assert_eq!(
                ([input, output, cached, cache_write], answer.end),
                (expected, Some(StopReason::Whole)),
                "{usage}"
            );
        }
        let cost = json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1, "cost": 0.000_123_45}});
        assert_eq!(taken(&[cost]).usage.cost, Some(Money(124)));
    }

    #[test]
    fn answer_that_was_broken_off_stays_so() {
        for reason in ["error", "abort", "network_error", "insufficient_system_resource", "ABORT"] {
            let piece = json!({"choices": [{"delta": {"content": "Half an ans"}}]});
            let end = json!({"choices": [{"delta": {}, "finish_reason": reason}]});
            let usage = json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 3}});
            let answer =
                taken(&[piece, end.clone(), usage, json!({"choices": [{"delta": {}, "finish_reason": "stop"}]})]);
            assert_eq!((answer.end, answer.usage.input), (Some(StopReason::BrokenOff), 10), "{reason}");
            assert_eq!(taken(&[end]).why, reason);
        }
        let native = json!({"choices": [{"delta": {}, "finish_reason": "error", "native_finish_reason": "MALFORMED_FUNCTION_CALL"}]});
        assert_eq!(taken(&[native]).end, Some(StopReason::MalformedCall));
    }

    #[test]
    fn whole_message_is_whole_whatever_its_reason() {
        for reason in [json!(""), json!(null), json!("stop"), json!("error"), json!("new"), json!("tool_calls")] {
            let message = json!({"choices": [{"message": {"content": "hi"}, "finish_reason": reason}]});
            assert_eq!(taken(&[message]).end, Some(StopReason::Whole), "{reason}");
        }
        let reason =
            |reason: &str| taken(&[json!({"choices": [{"message": {"content": ""}, "finish_reason": reason}]})]).end;
        assert_eq!(reason("error"), Some(StopReason::BrokenOff), "there is nothing in it");
        let cases = [
            ("SAFETY", StopReason::Declined),
            ("RECITATION", StopReason::Declined),
            ("content_filter: PROHIBITED_CONTENT", StopReason::Declined),
            ("MAX_TOKENS", StopReason::Length),
            ("MALFORMED_FUNCTION_CALL", StopReason::MalformedCall),
        ];
        for (name, end) in cases {
            assert_eq!(reason(name), Some(end), "{name}");
            let bare = json!({"choices": [{"index": 0, "finish_reason": name}]});
            assert_eq!(taken(&[bare]).end, Some(end), "{name} without a message");
        }
    }

    #[test]
    fn fields_of_other_types_are_empty() {
        let answer = taken(&[
            json!({"choices": "none", "usage": 7}),
            json!({"choices": {"delta": {"content": "a", "tool_calls": {"index": 0, "function": {"name": "list"}}}}}),
            json!({"choices": [{"delta": {"content": 7, "refusal": {}, "reasoning": [], "tool_calls": "x"}, "index": "0"}]}),
            json!({"choices": [null, 7, {"delta": null, "message": null, "finish_reason": 3}]}),
        ]);
        assert_eq!((&answer.content[..], answer.calls.len(), answer.end), ("a", 1, Some(StopReason::Whole)));
    }

    #[test]
    fn pieces_of_one_reasoning_block_are_joined() {
        let mut payload = Value::Null;
        for (text, signature) in [("I ", Value::Null), ("see", Value::Null), ("", json!("sig"))] {
            let entry = json!({"type": "reasoning.text", "index": 0, "text": text, "signature": signature});
            add_detail(&mut payload, "reasoning_details", entry);
        }
        add_detail(&mut payload, "reasoning_details", json!({"type": "reasoning.encrypted", "index": 1, "data": "x"}));
        let whole = json!({"reasoning_details": [
            {"type": "reasoning.text", "index": 0, "text": "I see", "signature": "sig"},
            {"type": "reasoning.encrypted", "index": 1, "data": "x"},
        ]});
        assert_eq!(payload, whole);
    }
}
