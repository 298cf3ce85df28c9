//! Errors as services report them: with an error status, in place of an answer, or in the middle of one. There is no
//! standard. An error is found by the fields that services use, and keeps its words.

use crate::core::json::lenient;
use crate::provider::reading::fields::{is_blank, list, text};
use crate::provider::reading::frames::Frame;
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

/// The most entries of a list of errors that are named.
const MAX_ENTRIES: usize = 5;
/// The deepest error within errors.
const DEPTH: usize = 8;
/// The fields with the words of an error, the most specific first.
const WORDS: [&str; 12] = [
    "error",
    "errors",
    "message",
    "msg",
    "detail",
    "error_description",
    "error_message",
    "status_msg",
    "base_resp",
    "title",
    "reason",
    "description",
];
/// The fields that only an answer has.
const ANSWER: [&str; 9] =
    ["choices", "content", "delta", "output", "response", "item", "content_block", "candidates", "done"];

static TITLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?is)<title[^>]*>(.*?)</title>").ok());
static TAG: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?is)<(script|style)\b.*?</(script|style)>|<[^>]*>?").ok());

/// The error that a frame reports in place of a part of the answer; `None` if it reports none.
pub(in crate::provider) fn in_frame<'a>(frame: &Frame, value: &'a Value) -> Option<&'a Value> {
    if frame.event == "error" {
        return Some(value);
    }
    in_document(value)
}

/// The error that a document with a success status reports.
fn in_document(value: &Value) -> Option<&Value> {
    if let Value::Array(all) = value {
        return all.first().filter(|first| first.is_object()).and_then(in_document);
    }
    let map = value.as_object()?;
    let has = |field: &str| map.get(field).is_some_and(|value| !is_blank(value));
    let is = |field: &str, word: &str| map.get(field).is_some_and(|value| value == word);
    if has("error") || is("type", "error") || is("object", "error") || has_failed(&value["base_resp"]) {
        return Some(value);
    }
    // The message of an answer is an object, that of an error a text.
    if ANSWER.iter().any(|field| has(field)) || value["message"].is_object() || value["done"].is_boolean() {
        return None;
    }
    let is_message = ["message", "msg"].iter().any(|field| value[field].as_str().is_some_and(|text| !text.is_empty()));
    let is_error =
        is_message || ["errors", "detail", "error_description", "error_message"].iter().any(|field| has(field));
    is_error.then_some(value)
}

/// Whether a document is none of a protocol's: it has no field that an answer or an event has.
pub(in crate::provider) fn is_foreign(value: &Value) -> bool {
    let known = ["message", "type", "usage", "object", "model"];
    ANSWER.iter().chain(&known).all(|field| value.get(field).is_none())
}

/// `MiniMax` reports every outcome here; 0 is success.
fn has_failed(base_resp: &Value) -> bool {
    !is_blank(&base_resp["status_code"])
}

/// The words of an error in a body; those of a web page are its title.
pub(in crate::provider) fn words_of_body(body: &str) -> String {
    let body = body.trim();
    if let Some(value) = lenient::parse(body) {
        return words(&lenient::resolved(value));
    }
    // The error of a stream.
    let data = body.lines().find_map(|line| lenient::parse(line.strip_prefix("data:")?));
    match data {
        Some(value) => words(&lenient::resolved(value)),
        None if body.starts_with('<') => page_words(body),
        None => body.to_owned(),
    }
}

/// The title of a web page, or else its text.
pub(in crate::provider) fn page_words(page: &str) -> String {
    let title = TITLE.as_ref().and_then(|title| Some(title.captures(page)?.get(1)?.as_str()));
    let text = TAG.as_ref().map_or_else(|| page.into(), |tag| tag.replace_all(title.unwrap_or(page), " "));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The words of an error.
pub(in crate::provider) fn words(error: &Value) -> String {
    let inner = error.get("error").filter(|inner| !is_blank(inner)).unwrap_or(error);
    words_within(error, DEPTH).unwrap_or_else(|| inner.to_string())
}

fn words_within(error: &Value, depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    match error {
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
            let inner = lenient::parse(text).and_then(|inner| words_within(&inner, depth));
            Some(inner.unwrap_or_else(|| text.trim().to_owned()))
        }
        Value::String(text) if text.trim_start().starts_with('<') => Some(page_words(text)),
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Array(all) => {
            let all: Vec<String> = all.iter().filter_map(|one| words_within(one, depth)).take(MAX_ENTRIES).collect();
            (!all.is_empty()).then(|| all.join("; "))
        }
        Value::Object(_) => {
            let mut said = WORDS.iter().map(|field| &error[field]).filter(|value| !is_blank(value));
            let said = said.find_map(|value| words_within(value, depth))?;
            Some(place(error) + &said + &of_router(error, depth))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// The place of a field in the request that `FastAPI` refuses.
fn place(error: &Value) -> String {
    let parts: Vec<String> = list(&error["loc"]).iter().map(text).collect();
    if parts.is_empty() { String::new() } else { parts.join(".") + ": " }
}

/// The service behind a router, and its own words.
fn of_router(error: &Value, depth: usize) -> String {
    let metadata = &error["metadata"];
    let by = metadata["provider_name"].as_str().map(|name| format!(" ({name})")).unwrap_or_default();
    let raw = words_within(&metadata["raw"], depth).map(|raw| format!(": {raw}")).unwrap_or_default();
    by + &raw
}

/// The codes, types and reasons of an error, at any depth: the names by which a program recognises it.
pub(in crate::provider) fn names(error: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_names(error, DEPTH, &mut found);
    found
}

fn collect_names(error: &Value, depth: usize, found: &mut Vec<String>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    for one in list(error) {
        let own = ["code", "type", "status", "reason", "status_code"].iter().map(|field| text(&one[field]));
        found.extend(own.filter(|name| !name.is_empty()));
        for field in ["error", "errors", "detail", "details", "base_resp", "message"] {
            collect_names(&one[field], depth, found);
        }
    }
}

/// The seconds after which the same request may be sent again, where an error body has them: Google's `RetryInfo`.
pub(in crate::provider) fn retry_delay(error: &Value) -> Option<f64> {
    let error = list(error).first()?;
    let mut details = list(&error["details"]).iter().chain(list(&error["error"]["details"]));
    details.find_map(|detail| detail["retryDelay"].as_str()?.strip_suffix('s')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(event: &str, value: &Value) -> Option<String> {
        in_frame(&Frame { event: event.to_owned(), data: String::new() }, value).map(words)
    }

    #[test]
    fn error_is_found_in_every_shape_and_keeps_its_words() {
        let cases = [
            json!({"error": {"message": "it broke", "type": "x"}}),
            json!({"error": "it broke"}),
            json!({"code": "bad", "error": "it broke"}),
            json!({"object": "error", "message": "it broke", "code": 500}),
            json!({"object": "error", "message": {"detail": [{"msg": "it broke"}]}}),
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "it broke"}}),
            json!({"type": "error", "message": "it broke"}),
            json!({"detail": "it broke"}),
            json!({"success": false, "errors": [{"code": 7, "message": "it broke"}], "result": null}),
            json!({"choices": null, "base_resp": {"status_code": 1002, "status_msg": "it broke"}}),
            json!([{"error": {"code": 400, "message": "it broke", "status": "INVALID_ARGUMENT"}}]),
            json!({"message": "it broke", "code": 7}),
            json!({"msg": "it broke"}),
            json!({"error": {"message": "{\"error\": {\"message\": \"it broke\"}}"}}),
            json!({"error": {"code": 500, "message": "it broke"}, "choices": []}),
        ];
        for value in cases {
            assert_eq!(found("", &value).as_deref(), Some("it broke"), "{value}");
        }
        assert_eq!(found("error", &json!("it broke")).as_deref(), Some("it broke"));
        assert_eq!(found("error", &json!({"message": "it broke"})).as_deref(), Some("it broke"));
    }

    #[test]
    fn answer_is_no_error() {
        for value in [
            json!({"choices": [{"delta": {"content": "detail"}}], "error": ""}),
            json!({"choices": [{}], "error": {}, "base_resp": {"status_code": 0, "status_msg": ""}}),
            json!({"choices": [{}], "error": {"code": 0, "message": ""}}),
            json!({"choices": [], "usage": {"prompt_tokens": 1}}),
            json!({"message": {"content": "x"}, "done": false}),
            json!({"type": "message_start", "message": {"usage": {}}}),
            json!({"type": "ping"}),
            json!({}),
            json!([]),
            json!(7),
            json!("text"),
        ] {
            assert_eq!(found("", &value), None, "{value}");
        }
    }

    #[test]
    fn words_name_the_place_the_router_and_the_page() {
        let fast = r#"{"detail": [{"loc": ["body", "messages", 0], "msg": "field required"}, {"msg": "b"}]}"#;
        assert_eq!(words_of_body(fast), "body.messages.0: field required; b");
        let router = json!({"error": {"message": "Provider returned error", "metadata": {
            "raw": "{\"error\": \"busy upstream\"}", "provider_name": "Chutes",
        }}});
        assert_eq!(words(&router), "Provider returned error (Chutes): busy upstream");
        let page = "<!DOCTYPE html><html><head><title>502 Bad\nGateway</title></head><body>x</body>";
        assert_eq!(words_of_body(page), "502 Bad Gateway");
        assert_eq!(words_of_body("<Error><Code>NoKey</Code><b>it broke</b></Error>"), "NoKey it broke");
        assert_eq!(words_of_body("event: error\ndata: {\"error\": \"it broke\"}\n\n"), "it broke");
        assert_eq!((words_of_body("plain "), words_of_body("{\"a\": 1}")), ("plain".into(), "{\"a\":1}".into()));
    }

    #[test]
    fn names_and_delay_are_found_at_any_depth() {
        let google = json!([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
            {"reason": "RATE_LIMIT_EXCEEDED"}, {"retryDelay": "36.5s"},
        ]}}]);
        assert_eq!(names(&google), ["429", "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED"]);
        assert_eq!(retry_delay(&google), Some(36.5));
        assert_eq!(retry_delay(&json!({"error": "x"})), None);
        assert_eq!(names(&json!("x")), [""; 0]);
    }
}
