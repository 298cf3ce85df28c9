//! Answers of servers that do not keep to a protocol, the meaning of their errors, and calls that are nearly right.

use crate::common::servers::{JSON, OPENAI, STREAM, Server, Wire, refused, routed, waiting, whole};
use crate::common::{Fixture, Ran};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;

const RESPONSES: Wire = Wire { provider: "openai", base: "/v1/responses", path: "/v1/responses", settings: "" };

fn stream(documents: &[Value]) -> String {
    let events: String = documents.iter().map(|document| format!("data: {document}\n\n")).collect();
    format!("{STREAM}{events}data: [DONE]\n\n")
}

fn text(text: &str) -> Value {
    json!({"choices": [{"delta": {"content": text}}]})
}

fn end(reason: &str) -> Value {
    json!({"choices": [{"delta": {}, "finish_reason": reason}]})
}

fn call(name: &str, arguments: &str) -> Value {
    json!({"choices": [{"delta": {"tool_calls": [
        {"index": 0, "id": "x", "function": {"name": name, "arguments": arguments}},
    ]}}]})
}

fn ask(ws: &Fixture) -> Ran {
    ws.claw(&["ask", "-n", "hello"])
}

#[test]
fn call_of_an_answer_that_was_broken_off_does_not_run() {
    let write = call("write", r#"{"path": "files/a", "content": "x"}"#);
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 30, "completion_tokens": 4}});
    for reason in ["error", "abort", "network_error", "insufficient_system_resource"] {
        for more in [vec![], vec![usage.clone()], vec![end("stop")]] {
            let server = Server::saying(stream(&[&[write.clone(), end(reason)], &more[..]].concat()));
            let ws = server.workspace(&OPENAI, "");
            refused(&ws, &ask(&ws), 69, reason);
            assert!(!ws.path("files/a").exists(), "{reason} {more:?}");
        }
    }
}

#[test]
fn unreadable_answer_is_asked_for_twice_and_no_more() {
    let server = Server::saying(whole("200 OK", JSON, "{\"choices\": [{]}"));
    let ws = server.workspace(&OPENAI, "");
    routed(&ws, "hello");
    ws.claw(&["run-agent"]).fails(75);
    let (due, ..) = waiting(&ws);
    ws.claw(&["tick", "--now", &due.to_string()]).fails(1);
    assert_eq!((server.heard().len(), ws.list("inbox/wait").len()), (2, 0));
    assert_eq!(ws.list("inbox/failed").iter().filter(|name| name.ends_with(".json")).count(), 1);
}

#[test]
fn unusable_proxy_is_an_error_and_not_passed_by() {
    let ws = Fixture::new();
    ws.model("mock", "provider: openai, model: m, api_base: 'http://model.test/v1'");
    let ran: Ran =
        ws.command(&["ask", "-n", "hello"]).env("http_proxy", "socks5://127.0.0.1:1").output().unwrap().into();
    refused(&ws, &ran, 78, "the proxy in http_proxy cannot be used");
}

#[test]
fn page_and_compressed_refusal_are_told_in_words() {
    let page = Server::saying(whole("200 OK", "Content-Type: text/html\r\n", "<title>My Gateway</title>"));
    let ws = page.workspace(&OPENAI, "");
    refused(&ws, &ask(&ws), 78, "/v1/chat/completions is a web page");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(br#"{"error": {"message": "the reason in words"}}"#).unwrap();
    let body = gzip.finish().unwrap();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let ws = Server::saying([head.into_bytes(), body].concat()).workspace(&OPENAI, "");
    refused(&ws, &ask(&ws), 1, "HTTP 400: the reason in words");
}

#[test]
fn counted_usage_of_an_unusable_answer_is_kept() {
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 3000, "completion_tokens": 4096}});
    for reason in ["content_filter", "length", "abort"] {
        let ws = Server::saying(stream(&[text(""), end(reason), usage.clone()])).workspace(&OPENAI, "");
        assert_ne!(ask(&ws).code, 0);
        let used: Value = serde_json::from_str(&ws.claw(&["usage", "--json"]).ok()).unwrap();
        assert_eq!([&used["input"], &used["output"]], [&json!(3000), &json!(4096)], "{reason}");
    }
}

#[test]
fn absurd_count_is_refused_and_estimated() {
    let usage = json!({"choices": [], "usage": {"prompt_tokens": u64::MAX, "completion_tokens": 1}});
    let ws = Server::saying(stream(&[text("hi"), end("stop"), usage])).workspace(&OPENAI, "");
    let ran = ask(&ws);
    assert!(ran.out == "hi\n" && ran.err.contains("18446744073709551615 tokens, which is absurd"), "{ran:#?}");
    let used: Value = serde_json::from_str(&ws.claw(&["usage", "--json"]).ok()).unwrap();
    assert!(used["estimated_calls"] == 1 && used["input"].as_u64().unwrap() < 1_000_000, "{used}");
}

#[test]
fn nearly_right_call_runs_and_its_result_names_what_was_ignored() {
    let arguments = "```json\n{\"path\": \"files/a\", \"limit\": \"1\", \"reason\": \"x\",}\n```";
    let server = Server::start_with_request(move |heard, stream_to| {
        let messages = heard.body["messages"].as_array().unwrap();
        let last = messages.last().unwrap();
        let answer = if last["role"] == "tool" {
            stream(&[text(last["content"].as_str().unwrap()), end("stop")])
        } else {
            stream(&[call("functions.Read", arguments), end("tool_calls")])
        };
        let _ = stream_to.write_all(answer.as_bytes());
    });
    let ws = server.workspace(&OPENAI, "");
    ws.write("files/a", "one\ntwo\n");
    let out = ask(&ws).ok();
    assert!(out.contains("1\tone") && !out.contains("two"), "{out}");
    assert!(out.contains("[ignored, because read has no such argument: reason]"), "{out}");
}

#[test]
fn headers_and_further_fields_are_in_every_request() {
    let server = Server::saying(stream(&[text("hi"), end("stop")]));
    let more = ", headers: {X-Title: claw, Authorization: 'Bearer sk-secret-token'}, extra_body: {top_p: 0.5, stream_options: null}";
    let ws = server.workspace(&OPENAI, more);
    ask(&ws).ok();
    let heard = &server.heard()[0];
    let lines = heard.head.to_lowercase();
    assert!(lines.contains("x-title: claw\r\n"), "{lines}");
    assert!(lines.contains("authorization: bearer sk-secret-token\r\n"), "{lines}");
    assert!(heard.body["top_p"] == 0.5 && heard.body.get("stream_options").is_none(), "{}", heard.body);
}

#[test]
fn thoughts_of_the_newer_interface_are_carried_over_a_tool_call() {
    let thought = json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "opaque"});
    let wanted = json!({"type": "function_call", "call_id": "c", "name": "list", "arguments": "{\"path\": \"files\"}"});
    let said = json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]});
    let usage = json!({"input_tokens": 50, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 40}});
    let first = json!({"object": "response", "status": "completed", "output": [thought, wanted], "usage": usage});
    let second = json!({"object": "response", "status": "completed", "output": [said], "usage": usage});
    let server = Server::start_with_request(move |heard, stream| {
        let is_answered = heard.body["input"].as_array().unwrap().iter().any(|i| i["type"] == "function_call_output");
        let answer = if is_answered { &second } else { &first };
        let _ = stream.write_all(whole("200 OK", JSON, &answer.to_string()).as_bytes());
    });
    let ws = server.workspace(&RESPONSES, ", thinking: low, max_tokens: 900, price: {input: 1, output: 10}");
    let out = ws.claw(&["ask", "-n", "--json", "-s", "t", "hello"]).ok();
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&document["content"], &document["cost"]), (&json!("Done."), &json!(0.00028)), "{out}");
    assert_eq!(document["usage"], json!({"input": 100, "output": 18, "cached": 80}), "of the whole turn");
    let heard = server.heard();
    assert!(heard[0].head.starts_with("POST /v1/responses "), "{}", heard[0].head);
    let body = &heard[1].body;
    assert_eq!(
        (&body["store"], &body["max_output_tokens"], &body["stream"]),
        (&json!(false), &json!(900), &json!(true))
    );
    let items: Vec<&str> =
        body["input"].as_array().unwrap().iter().map(|i| i["type"].as_str().unwrap_or("message")).collect();
    assert_eq!(items, ["message", "reasoning", "function_call", "function_call_output"]);
    assert_eq!(body["input"][1]["encrypted_content"], "opaque");
    assert_eq!(body["input"][2]["call_id"], body["input"][3]["call_id"]);
    ws.claw(&["ask", "-n", "-s", "t", "again"]).ok();
    let later = &server.heard()[2].body["input"];
    assert!(!later.to_string().contains("opaque"), "thoughts stay within their turn: {later}");
}

#[test]
fn refusal_that_may_be_about_the_length_earns_one_try_with_a_shorter_conversation() {
    let server = Server::start_with_request(|heard, stream| {
        let size = heard.body["messages"].to_string().len();
        let answer = if size > 60_000 {
            whole("400 Bad Request", JSON, r#"{"error": "the input is larger than this deployment takes"}"#)
        } else {
            let long = "many words ".repeat(if heard.body.get("tools").is_some() { 1500 } else { 10 });
            whole("200 OK", JSON, &json!({"choices": [{"message": {"content": long}}]}).to_string())
        };
        let _ = stream.write_all(answer.as_bytes());
    });
    let ws = server.workspace(&OPENAI, ", window: 100000");
    for n in 0..6 {
        let out = ws.claw(&["ask", "-n", "-s", "t", &format!("question {n}")]).ok();
        assert!(out.starts_with("many words"), "{out}");
    }
    assert!(server.heard().len() > 6, "one of them was refused");
    let strict = Server::saying(whole("400 Bad Request", JSON, r#"{"error": "the input is larger than we take"}"#));
    refused(&strict.workspace(&OPENAI, ""), &ask(&strict.workspace(&OPENAI, "")), 1, "larger than we take");
    assert_eq!(strict.heard().len(), 1, "a short conversation is not shortened");
}
