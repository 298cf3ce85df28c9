//! Parsing a piece of an answer, or a whole answer. Fields may be missing or null, and calls, thoughts and token counts
//! have a different shape on many servers (`tests/fixtures/openai`).

use crate::core::model::{Call, Usage};
use crate::provider::answer::{Answer, AnswerError, PartialCall, StopReason};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Default, Deserialize)]
#[serde(default)]
struct OpenAiChunk {
    choices: Option<Vec<Choice>>,
    usage: Option<OpenAiUsage>,
    /// Groq reports `usage` here.
    x_groq: Option<Groq>,
    error: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Groq {
    usage: Option<OpenAiUsage>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice {
    delta: Option<ChoiceDelta>,
    message: Option<ChoiceDelta>,
    finish_reason: Option<String>,
    /// Moonshot reports `usage` here.
    usage: Option<OpenAiUsage>,
    error: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ChoiceDelta {
    /// Text, or a list of texts and thoughts (Mistral).
    content: Value,
    refusal: Option<String>,
    reasoning_content: Value,
    reasoning: Value,
    reasoning_details: Option<Vec<Value>>,
    tool_calls: Option<Vec<CallDelta>>,
    /// The older field for a single call.
    function_call: Option<FunctionDelta>,
}

/// A piece of a call.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CallDelta {
    index: Option<usize>,
    id: Option<String>,
    function: Option<FunctionDelta>,
    /// Google's signature of the thoughts before the call, which must be sent back.
    extra_content: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OpenAiUsage {
    #[serde(rename = "prompt_tokens")]
    prompt: Option<u64>,
    #[serde(rename = "completion_tokens")]
    completion: Option<u64>,
    #[serde(rename = "prompt_tokens_details")]
    details: Option<Details>,
    /// Cached tokens, as `DeepSeek` and Moonshot name them.
    #[serde(alias = "prompt_cache_hit_tokens", alias = "cached_tokens")]
    hit: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u64>,
}

impl From<OpenAiUsage> for Usage {
    fn from(tokens: OpenAiUsage) -> Self {
        let cached = tokens.details.and_then(|of| of.cached_tokens).or(tokens.hit);
        Self {
            input: tokens.prompt.unwrap_or_default(),
            output: tokens.completion.unwrap_or_default(),
            cached: cached.unwrap_or_default(),
            ..Self::default()
        }
    }
}

/// The values of `finish_reason` that do not mean a complete answer; every other value does. Without a reason the answer
/// counts as cut off.
const REASONS: &[(&str, Option<StopReason>)] = &[
    // Sent by some servers with every piece.
    ("", None),
    // The server gave up: vLLM and SGLang; then DeepSeek, Zhipu, OpenRouter.
    ("abort", None),
    ("insufficient_system_resource", None),
    ("network_error", None),
    ("error", None),
    ("length", Some(StopReason::Length)),
    ("max_tokens", Some(StopReason::Length)),
    ("model_context_window_exceeded", Some(StopReason::Window)),
    ("content_filter", Some(StopReason::Declined)),
    ("sensitive", Some(StopReason::Declined)),
];

/// Parses a frame; true after the last one.
pub(super) fn take(answer: &mut Answer, frame: &str, on_text: &mut dyn FnMut(&str)) -> Result<bool, AnswerError> {
    if frame.trim() == "[DONE]" {
        answer.end.get_or_insert(StopReason::Whole);
        return Ok(true);
    }
    let chunk: OpenAiChunk = serde_json::from_str(frame).map_err(|_| AnswerError::Invalid)?;
    if let Some(error) = chunk.error.filter(|e| !e.is_null()) {
        return Err(AnswerError::Reported(error));
    }
    let is_last = chunk.choices.as_ref().is_none_or(Vec::is_empty) && chunk.usage.is_some() && answer.has_begun();
    let mut tokens = chunk.usage.or(chunk.x_groq.and_then(|groq| groq.usage));
    for choice in chunk.choices.into_iter().flatten() {
        if let Some(error) = choice.error.filter(|e| !e.is_null()) {
            return Err(AnswerError::Reported(error));
        }
        let is_whole = choice.message.is_some();
        take_delta(answer, choice.delta.or(choice.message).unwrap_or_default(), on_text);
        let reason = choice.finish_reason;
        let known = REASONS.iter().find(|(name, _)| reason.as_deref() == Some(name)).map(|(_, end)| *end);
        answer.end = match known {
            Some(end) => end.or(answer.end),
            None if is_whole || reason.is_some() => Some(StopReason::Whole),
            None => answer.end,
        };
        tokens = tokens.or(choice.usage);
    }
    // The token counts come last: the answer is complete, even without a `finish_reason`.
    if is_last {
        answer.end.get_or_insert(StopReason::Whole);
    }
    if let Some(tokens) = tokens {
        answer.usage = tokens.into();
    }
    answer.check().map(|()| false)
}

fn take_delta(answer: &mut Answer, delta: ChoiceDelta, on_text: &mut dyn FnMut(&str)) {
    // Some servers send the same thought under both names.
    let thought = [&delta.reasoning_content, &delta.reasoning].into_iter().find_map(Value::as_str);
    if let Some(text) = thought.filter(|text| !text.is_empty()) {
        answer.thought(None).text += text;
    }
    for detail in delta.reasoning_details.into_iter().flatten() {
        answer.payload_bytes += detail.to_string().len();
        add_detail(&mut answer.thought(None).payload, "reasoning_details", detail);
    }
    match delta.content {
        Value::String(text) => answer.push_text(&text, on_text),
        Value::Array(parts) => parts.iter().for_each(|part| take_part(answer, part, on_text)),
        _ => {}
    }
    answer.push_text(&delta.refusal.unwrap_or_default(), on_text);
    for piece in delta.tool_calls.into_iter().flatten() {
        take_call(answer, piece);
    }
    if delta.function_call.is_some() {
        take_call(answer, CallDelta { function: delta.function_call, ..CallDelta::default() });
    }
}

/// Takes an entry of a list in `content`.
fn take_part(answer: &mut Answer, part: &Value, on_text: &mut dyn FnMut(&str)) {
    match part["type"].as_str() {
        Some("thinking") => {
            let texts = part["thinking"].as_array().into_iter().flatten().filter_map(|inner| inner["text"].as_str());
            texts.for_each(|text| answer.thought(None).text += text);
        }
        _ => answer.push_text(part["text"].as_str().unwrap_or_default(), on_text),
    }
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

/// Adds a piece to the call with its index; without an index, to the call with its id; without both, to the last call,
/// unless the piece has a name, which begins a new call.
fn take_call(answer: &mut Answer, piece: CallDelta) {
    let function = piece.function.unwrap_or_default();
    let (id, name) = (piece.id.unwrap_or_default(), function.name.unwrap_or_default());
    let has_arguments = function.arguments.as_ref().is_some_and(|arguments| !matches!(arguments.as_str(), Some("")));
    let calls = &mut answer.calls;
    let known = match piece.index {
        // Some servers use index 0 for every call; those differ by their ids, or not at all.
        Some(index) => calls
            .iter()
            .rposition(|call| call.index == Some(index))
            .filter(|at| id.is_empty() || calls[*at].id.is_empty() || calls[*at].id == id)
            .filter(|at| name.is_empty() || !has_arguments || !is_whole(&calls[*at].arguments)),
        None if !id.is_empty() => calls.iter().rposition(|call| call.id == id),
        None if name.is_empty() => calls.len().checked_sub(1),
        None => None,
    };
    let at = known.unwrap_or_else(|| {
        calls.push(PartialCall { index: piece.index, ..PartialCall::default() });
        calls.len() - 1
    });
    let call = &mut calls[at];
    if call.id.is_empty() {
        call.id = id;
    }
    // A name is never split; some servers repeat it with every piece.
    if call.name.is_empty() {
        call.name = name;
    }
    match function.arguments {
        Some(Value::String(text)) => call.arguments += &text,
        Some(Value::Null) | None => {}
        Some(whole) => call.arguments = whole.to_string(),
    }
    if let Some(extra) = piece.extra_content.filter(|extra| !extra.is_null()) {
        answer.payload_bytes += extra.to_string().len();
        answer.thought(None).payload["extra_content"][at.to_string()] = extra;
    }
}

fn is_whole(arguments: &str) -> bool {
    !arguments.trim().is_empty() && Call::parse_arguments(arguments).is_object()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(deltas: &[Value]) -> Vec<(String, Value)> {
        let mut answer = Answer::default();
        for delta in deltas {
            let chunk = json!({"choices": [{"delta": {"tool_calls": [delta]}}]});
            take(&mut answer, &chunk.to_string(), &mut |_| {}).unwrap();
        }
        answer.calls.into_iter().map(|call| (call.name, Call::parse_arguments(&call.arguments))).collect()
    }

    #[test]
    fn calls_are_assembled_from_every_known_shape() {
        let two = vec![("read".to_owned(), json!({"path": "a"})), ("list".to_owned(), json!({}))];
        let by_index = [
            json!({"index": 0, "id": "x", "function": {"name": "read", "arguments": ""}}),
            json!({"index": 0, "function": {"arguments": "{\"path\""}}),
            json!({"index": 1, "id": "y", "function": {"name": "list", "arguments": null}}),
            json!({"index": 0, "function": {"arguments": ": \"a\"}"}}),
        ];
        assert_eq!(calls(&by_index), two);
        let all_are_zero = [
            json!({"index": 0, "id": "x", "function": {"name": "read", "arguments": "{\"path\": \"a\"}"}}),
            json!({"index": 0, "id": "y", "function": {"name": "list", "arguments": "{}"}}),
        ];
        assert_eq!(calls(&all_are_zero), two);
        let without_numbers = [
            json!({"id": null, "function": {"name": "read", "arguments": "{\"path\": "}}),
            json!({"function": {"arguments": "\"a\"}"}}),
            json!({"function": {"name": "list", "arguments": {}}}),
        ];
        assert_eq!(calls(&without_numbers), two);
        // The pieces of two calls alternate, and only their ids tell them apart.
        let by_id = [
            json!({"id": "x", "function": {"name": "read", "arguments": "{\"path\""}}),
            json!({"id": "y", "function": {"name": "list", "arguments": "{"}}),
            json!({"id": "x", "function": {"arguments": ": \"a\"}"}}),
            json!({"id": "y", "function": {"arguments": "}"}}),
        ];
        assert_eq!(calls(&by_id), two);
        let whole_ones_without_ids = [
            json!({"index": 0, "id": "", "function": {"name": "read", "arguments": "{\"path\": \"a\"}"}}),
            json!({"index": 0, "id": "", "function": {"name": "list", "arguments": "{}"}}),
        ];
        assert_eq!(calls(&whole_ones_without_ids), two);
    }

    #[test]
    fn repeated_name_begins_no_new_call() {
        let pieces = [
            json!({"index": 0, "id": "x", "function": {"name": "read", "arguments": "{\"path\""}}),
            json!({"index": 0, "id": "x", "function": {"name": "read", "arguments": ": \"a\"}"}}),
            json!({"index": 0, "function": {"name": "read", "arguments": ""}}),
        ];
        assert_eq!(calls(&pieces), [("read".to_owned(), json!({"path": "a"}))]);
    }

    #[test]
    fn incomplete_arguments_stay_text() {
        let cut = [json!({"index": 0, "function": {"name": "read", "arguments": "{\"path"}})];
        assert_eq!(calls(&cut), [("read".to_owned(), json!("{\"path"))]);
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
