//! The provider `anthropic` against servers: an independent one from npm (`tests/peers`), which refuses a turn without
//! its thinking blocks, and bare TCP.

use crate::common::Ran;
use crate::common::conformance;
use crate::common::servers::{ANTHROPIC, JSON, STREAM, Server, refused, routed, whole};
use serde_json::{Value, json};
use std::io::Write;

#[test]
fn random_failures_of_the_server_never_end_in_a_wrong_answer() {
    conformance::chaos(&ANTHROPIC);
}

#[test]
fn answer_is_streamed_and_conversation_is_sent_back() {
    conformance::plain(&ANTHROPIC);
}

#[test]
fn calls_are_streamed_and_their_results_come_back_in_order() {
    conformance::tools(&ANTHROPIC);
}

#[test]
fn thoughts_go_back_with_the_results_as_long_as_the_turn_lasts() {
    conformance::thinking(&ANTHROPIC, ", thinking: 2000");
}

#[test]
fn a_slow_answer_is_waited_for() {
    conformance::delays(&ANTHROPIC);
}

#[test]
fn an_answer_that_is_cut_off_is_no_answer() {
    conformance::disconnects(&ANTHROPIC);
}

#[test]
fn error_kind_follows_the_status() {
    conformance::errors(&ANTHROPIC);
}

#[test]
fn nonsense_and_errors_within_an_answer_are_never_printed_as_one() {
    conformance::malformed(&ANTHROPIC);
}

const KEY: &str = "sk-ant-5e1f-d0-n0t-t3ll";

fn events(events: &[Value]) -> String {
    let event = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    format!("{STREAM}{}", events.iter().map(event).collect::<String>())
}

fn start() -> Value {
    json!({"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "content": [], "usage": {
        "input_tokens": 7, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000, "output_tokens": 1,
    }}})
}

fn text(text: &str) -> [Value; 3] {
    [
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
        json!({"type": "content_block_stop", "index": 0}),
    ]
}

fn end(reason: &str) -> [Value; 2] {
    [
        json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 12}}),
        json!({"type": "message_stop"}),
    ]
}

fn answer(reason: &str, said: &str) -> String {
    events(&[&[start()][..], &text(said), &end(reason)].concat())
}

#[test]
fn request_is_valid_and_marks_stable_parts_for_the_cache() {
    let server = Server::saying(answer("end_turn", "four"));
    let ws = server.workspace(&ANTHROPIC, ", api_key_env: MOCK_KEY, temperature: 0.5, max_tokens: 900");
    let ran: Ran = ws.command(&["ask", "-n", "--json", "2+2"]).env("MOCK_KEY", KEY).output().unwrap().into();
    let document: Value = serde_json::from_str(&ran.ok()).unwrap();
    assert_eq!(document["content"], "four");
    // Cached input and cache writes are part of the input.
    assert_eq!(document["usage"], json!({"input": 1107, "output": 12, "cached": 1000, "cache_write": 100}));
    let [heard] = &server.heard()[..] else { panic!() };
    assert_eq!(heard.head.lines().next(), Some("POST /v1/messages HTTP/1.1"));
    let lines = heard.head.to_lowercase();
    assert!(
        lines.contains(&format!("x-api-key: {KEY}\r\n")) && lines.contains("anthropic-version: 2023-06-01\r\n"),
        "{lines}"
    );
    assert!(!lines.contains("authorization"), "{lines}");
    let mut body = heard.body.clone();
    let mark = json!({"type": "ephemeral"});
    let tools = body["tools"].take();
    let tools = tools.as_array().unwrap();
    let (last, others) = tools.split_last().unwrap();
    assert_eq!(last["cache_control"], mark);
    assert!(others.iter().all(|tool| tool.get("cache_control").is_none() && tool["input_schema"]["type"] == "object"));
    let system = body["system"].take();
    let [stable, present] = &system.as_array().unwrap()[..] else { panic!("{system}") };
    assert_eq!(stable["cache_control"], mark);
    assert!(
        present.get("cache_control").is_none() && present["text"].as_str().unwrap().contains("Session:"),
        "{system}"
    );
    let expected = json!({
        "model": "m", "max_tokens": 900, "temperature": 0.5, "stream": true, "system": null, "tools": null,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "2+2", "cache_control": mark}]}],
    });
    assert_eq!(body, expected);
}

#[test]
fn thinking_drops_temperature_and_leaves_room_for_the_answer() {
    let server = Server::saying(answer("end_turn", "four"));
    let ws = server.workspace(&ANTHROPIC, ", temperature: 0.5, max_tokens: 900, thinking: 2000");
    ws.claw(&["ask", "-n", "2+2"]).ok();
    let body = &server.heard()[0].body;
    assert_eq!(
        (&body["thinking"], &body["max_tokens"]),
        (&json!({"type": "enabled", "budget_tokens": 2000}), &json!(2900))
    );
    assert!(body.get("temperature").is_none());
}

#[test]
fn thinking_is_sent_back_unchanged_to_the_same_model_only() {
    let thinking = json!({"type": "thinking", "thinking": "", "signature": ""});
    let calls = events(
        &[
            &[
                start(),
                json!({"type": "content_block_start", "index": 0, "content_block": thinking}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "let me "}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "sée"}}),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "EqQB+/="}}),
                json!({"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "EmwK"}}),
                json!({"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "toolu_1", "name": "recall", "input": {}}}),
                json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{\"query\": \"NAS\"}"}}),
            ][..],
            &end("tool_use"),
        ]
        .concat(),
    );
    // The first answer calls a tool, the second one breaks off, and the rest succeeds.
    let server = Server::start(move |number, stream| {
        let done = answer("end_turn", "done");
        let said = match number {
            0 => calls.clone(),
            1 => whole(
                "529 Overloaded",
                JSON,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            ),
            _ => done,
        };
        let _ = stream.write_all(said.as_bytes());
    });
    let ws = server.workspace(&ANTHROPIC, ", thinking: 2000");
    let id = routed(&ws, "look");
    ws.claw(&["run-agent"]).fails(75);
    // Another process continues the turn, and another turn follows.
    ws.claw(&["tick", "--now", "2099-01-01T00:00:00Z"]).ok();
    let heard = server.heard();
    assert_eq!(heard.len(), 3, "{id}");
    let blocks = &heard[2].body["messages"][1]["content"];
    let expected = json!([
        {"type": "thinking", "thinking": "let me sée", "signature": "EqQB+/="},
        {"type": "redacted_thinking", "data": "EmwK"},
    ]);
    assert_eq!(json!([blocks[0], blocks[1]]), expected);
    assert_eq!((&blocks[2]["type"], &blocks[2]["input"]), (&json!("tool_use"), &json!({"query": "NAS"})));
    assert_eq!(heard[2].body["thinking"]["type"], "enabled");
    routed(&ws, "and now");
    ws.claw(&["run-agent"]).ok();
    let last = &server.heard()[3].body;
    assert!(!last.to_string().contains("EqQB") && !last.to_string().contains("let me"), "{last}");
}

#[test]
fn why_an_answer_ended_is_heeded() {
    let ask = |reply: String| {
        let server = Server::saying(reply);
        let ws = server.workspace(&ANTHROPIC, "");
        let ran = ws.claw(&["ask", "-n", "2+2"]);
        (ws, ran)
    };
    let (_ws, ran) = ask(answer("max_tokens", "half an answer"));
    assert_eq!((ran.code, &ran.out[..]), (0, "half an answer\n"));
    assert!(ran.err.contains("the answer is incomplete: it reached max_tokens"), "{}", ran.err);
    let (ws, ran) = ask(answer("refusal", "I would"));
    refused(&ws, &ran, 1, "it declined to answer: I would");
    let (ws, ran) = ask(answer("max_tokens", ""));
    refused(&ws, &ran, 1, "raise the model's max_tokens");
    let (ws, ran) = ask(events(&[&[start()][..], &text("half")].concat()));
    refused(&ws, &ran, 69, "cut off after 4 characters");
    let error = json!({"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}});
    let (ws, ran) = ask(whole("400 Bad Request", JSON, &error.to_string()));
    refused(&ws, &ran, 1, "exceeds the model's context window");
    let error = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}});
    let (ws, ran) = ask(events(&[start(), error]));
    refused(&ws, &ran, 75, "slow down");
}

#[test]
fn key_from_the_environment_is_sent_to_its_service_only() {
    let server = Server::saying(answer("end_turn", "four"));
    let ws = server.workspace(&ANTHROPIC, "");
    let ran: Ran = ws.command(&["ask", "-n", "2+2"]).env("ANTHROPIC_API_KEY", KEY).output().unwrap().into();
    ran.ok();
    assert!(!server.heard()[0].head.contains(KEY));
    let ws = crate::common::Fixture::new();
    ws.model("claude", "provider: anthropic, model: claude-sonnet-5");
    let err = ws.claw(&["ask", "-n", "2+2"]).fails(78);
    assert!(err.contains("set ANTHROPIC_API_KEY or api_key_env"), "{err}");
}
