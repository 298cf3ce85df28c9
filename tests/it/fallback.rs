//! Fallback models: used in the listed order if a model cannot be reached, with a message.

use crate::common::servers::{JSON, OPENAI, Server, silence, whole};
use crate::common::{Fixture, Ran};
use serde_json::{Value, json};
use std::io::Write;

fn answer(text: &str) -> String {
    let said = json!({
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    });
    whole("200 OK", JSON, &said.to_string())
}

fn error(status: &str, words: &str) -> String {
    whole(status, JSON, &json!({"error": {"message": words}}).to_string())
}

/// A workspace whose model is `first`, with others besides; `more` are further fields of the first.
fn workspace(first: &Server, others: &[(&str, &Server)], more: &str) -> Fixture {
    let names: Vec<&str> = others.iter().map(|(name, _)| *name).collect();
    let ws = OPENAI.workspace(first.port, &format!(", fallback: [{}]{more}", names.join(", ")));
    let yaml = ws.read("claw.yaml");
    let line = |(name, server): &(&str, &Server)| {
        format!("  {name}: {{provider: openai, model: m-{name}, api_base: 'http://127.0.0.1:{}/v1'}}\n", server.port)
    };
    let lines: String = others.iter().map(line).collect();
    ws.write("claw.yaml", &yaml.replacen("models:\n", &format!("models:\n{lines}"), 1));
    ws
}

#[test]
fn next_model_answers_with_a_message_and_a_record() {
    let (first, second) = (Server::saying(error("503 Service Unavailable", "no")), Server::saying(answer("four")));
    let ws = workspace(&first, &[("other", &second)], "");
    let ran = ws.claw(&["ask", "-n", "--json", "-s", "work", "2+2"]);
    assert!(ran.err.contains("model mock: HTTP 503: no; asking other instead"), "{}", ran.err);
    let document: Value = serde_json::from_str(&ran.ok()).unwrap();
    assert_eq!((&document["content"], &document["model"]), (&json!("four"), &json!("other")));
    assert_eq!((first.heard().len(), second.heard().len()), (1, 1));
    assert_eq!(second.heard()[0].body["model"], "m-other");
    assert!(ws.claw(&["log"]).ok().contains("other instead of mock"));
    // Its usage belongs to the other model.
    let usage = ws.claw(&["usage", "--by", "model"]).ok();
    assert!(usage.contains("other"), "{usage}");
}

#[test]
fn they_are_asked_in_their_order_and_the_first_ones_failure_decides() {
    let first = Server::saying(whole("429 Too Many Requests", "Retry-After: 60\r\n", "slow down"));
    let (second, third) =
        (Server::saying(error("401 Unauthorized", "who")), Server::saying(error("400 Bad Request", "what")));
    let ws = workspace(&first, &[("b", &second), ("c", &third)], "");
    let err = ws.claw(&["ask", "-n", "2+2"]).fails(75);
    assert!(err.contains("model mock: HTTP 429: slow down; model b: HTTP 401: who; model c: HTTP 400: what"), "{err}");
    assert_eq!((first.heard().len(), second.heard().len(), third.heard().len()), (1, 1, 1));
}

#[test]
fn invalid_or_too_long_request_uses_no_fallback() {
    let second = Server::saying(answer("four"));
    for words in ["no such field", "prompt is too long: 9 tokens > 8 maximum"] {
        let first = Server::saying(error("400 Bad Request", words));
        let ws = workspace(&first, &[("other", &second)], "");
        ws.claw(&["ask", "-n", "2+2"]).fails(1);
    }
    // Neither is a missing key.
    let first = Server::saying(answer("four"));
    let ws = workspace(&first, &[("other", &second)], ", api_key_env: NOBODY_SETS_IT");
    ws.claw(&["ask", "-n", "2+2"]).fails(78);
    assert_eq!(second.heard().len(), 0);
}

#[test]
fn a_key_that_is_refused_and_a_server_that_is_silent_are() {
    let second = Server::saying(answer("four"));
    let refuses = Server::saying(error("401 Unauthorized", "bad key"));
    let is_silent = Server::start(|_, stream| silence(stream));
    for first in [refuses, is_silent] {
        let ws = workspace(&first, &[("other", &second)], ", first_token_timeout: 200ms");
        assert_eq!(ws.claw(&["ask", "-n", "2+2"]).ok(), "four\n");
    }
    // No server listens at port 1.
    let ws = OPENAI.workspace(1, ", fallback: [offline]");
    let ran = ws.claw(&["ask", "-n", "remember that the door is red"]);
    assert!(ran.err.contains("asking offline instead"), "{}", ran.err);
    ran.ok();
}

#[test]
fn other_provider_continues_a_turn_without_foreign_thinking() {
    let first = Server::start(|number, stream| {
        let call = json!({"choices": [{"message": {
            "reasoning_content": "my secret thought",
            "tool_calls": [{"id": "x", "function": {"name": "recall", "arguments": "{\"query\": \"NAS\"}"}}],
        }, "finish_reason": "tool_calls"}]});
        let said = if number == 0 { whole("200 OK", JSON, &call.to_string()) } else { error("500 Oh", "no") };
        let _ = stream.write_all(said.as_bytes());
    });
    let message = json!({"type": "message", "content": [{"type": "text", "text": "done"}], "stop_reason": "end_turn"});
    let second = Server::saying(whole("200 OK", JSON, &message.to_string()));
    let ws = OPENAI.workspace(first.port, ", dialect: deepseek, fallback: [claude]");
    let yaml = ws.read("claw.yaml");
    let claude = format!(
        "  claude: {{provider: anthropic, model: m, thinking: 2000, api_base: 'http://127.0.0.1:{}'}}\n",
        second.port
    );
    ws.write("claw.yaml", &yaml.replacen("models:\n", &format!("models:\n{claude}"), 1));
    assert_eq!(ws.claw(&["ask", "-n", "look"]).ok(), "done\n");
    assert_eq!(first.heard()[1].body["messages"][2]["reasoning_content"], "my secret thought");
    let body = &second.heard()[0].body;
    assert!(!body.to_string().contains("secret"), "{body}");
    // A turn that did not begin with its own thinking continues without.
    assert!(body.get("thinking").is_none());
}

#[test]
fn fallback_respects_budget_and_slots() {
    let first = Server::saying(error("503 Service Unavailable", "no"));
    let second = Server::saying(answer("four"));
    let ws = workspace(&first, &[("other", &second)], "");
    ws.config("budget:\n  day: {calls: 1}\n");
    // The first one's request was sent, and counts.
    let err = ws.claw(&["ask", "-n", "2+2"]).fails(75);
    assert!(err.contains("the budget is used up"), "{err}");
    assert_eq!(second.heard().len(), 0);

    let ws = workspace(&first, &[("other", &second)], "");
    let yaml = ws.read("claw.yaml");
    ws.write("claw.yaml", &yaml.replace("model: m-other,", "model: m-other, max_concurrency: 1,"));
    std::fs::create_dir_all(ws.path(".claw/locks/slots")).unwrap();
    let taken = std::fs::File::create(ws.path(".claw/locks/slots/model-other.0")).unwrap();
    taken.lock().unwrap();
    let err = ws.claw(&["ask", "-n", "2+2"]).fails(69);
    assert!(err.contains("model other: all of its slots are taken"), "{err}");
    drop(taken);
    assert_eq!(ws.claw(&["ask", "-n", "2+2"]).ok(), "four\n");
}

#[test]
fn check_names_a_fallback_and_a_dialect_that_are_not_there() {
    let ws = Fixture::new();
    ws.model("a", "provider: openai, model: m, dialect: depseek, fallback: [b]");
    let ran: Ran = ws.claw(&["check"]);
    let said = format!("{}{}", ran.out, ran.err);
    assert!(said.contains("models.a: unknown dialect `depseek`"), "{said}");
    assert!(said.contains("models.a.fallback: "), "{said}");
}
