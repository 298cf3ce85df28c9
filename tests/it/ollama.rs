//! The provider `ollama` against servers: an independent one from npm (`tests/peers`), and bare TCP.

use crate::common::conformance;
use crate::common::servers::{JSON, OLLAMA, Server, messages, peer, refused, whole};
use crate::common::{Fixture, Ran};
use serde_json::{Value, json};
use std::io::Write;

#[test]
fn random_failures_of_the_server_never_end_in_a_wrong_answer() {
    conformance::chaos(&OLLAMA);
}

#[test]
fn answer_is_streamed_and_conversation_is_sent_back() {
    conformance::plain(&OLLAMA);
}

#[test]
fn calls_are_streamed_and_their_results_come_back_in_order() {
    conformance::tools(&OLLAMA);
}

#[test]
fn thoughts_are_kept_apart_from_the_answer() {
    conformance::thinking(&OLLAMA, ", thinking: true");
}

#[test]
fn a_slow_answer_is_waited_for() {
    conformance::delays(&OLLAMA);
}

#[test]
fn an_answer_that_is_cut_off_is_no_answer() {
    conformance::disconnects(&OLLAMA);
}

#[test]
fn error_kind_follows_the_status() {
    conformance::errors(&OLLAMA);
}

#[test]
fn nonsense_and_errors_within_an_answer_are_never_printed_as_one() {
    conformance::malformed(&OLLAMA);
}

const LINES: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n";

fn lines(lines: &[Value]) -> String {
    format!("{LINES}{}", lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

fn answer(text: &str, read: u64) -> String {
    lines(&[
        json!({"model": "m", "message": {"role": "assistant", "content": text}, "done": false}),
        json!({"model": "m", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop",
               "prompt_eval_count": read, "eval_count": 3}),
    ])
}

#[test]
fn the_settings_are_in_the_request_and_the_counts_in_the_answer() {
    let server = Server::saying(answer("four", 26));
    let more = ", temperature: 0.5, max_tokens: 9, num_ctx: 8192, thinking: high, keep_alive: 10m";
    let ws = server.workspace(&OLLAMA, more);
    let document: Value = serde_json::from_str(&ws.claw(&["ask", "-n", "--json", "2+2"]).ok()).unwrap();
    assert_eq!((&document["content"], &document["usage"]), (&json!("four"), &json!({"input": 26, "output": 3})));
    let [heard] = &server.heard()[..] else { panic!() };
    assert_eq!(heard.head.lines().next(), Some("POST /api/chat HTTP/1.1"));
    let mut body = heard.body.clone();
    assert_eq!(messages(&body)[1..], [("user", "2+2")]);
    assert!(body["tools"][0]["function"]["name"].is_string());
    for field in ["messages", "tools"] {
        body.as_object_mut().unwrap().remove(field);
    }
    let expected = json!({
        "model": "m", "stream": true, "truncate": false, "shift": false, "think": "high", "keep_alive": "10m",
        "options": {"temperature": 0.5, "num_predict": 9, "num_ctx": 8192},
    });
    assert_eq!(body, expected);
}

#[test]
fn a_result_names_its_tool_and_arguments_stay_objects() {
    let call = json!([{"function": {"name": "recall", "arguments": {"query": "NAS"}}}]);
    let server = Server::start(move |number, stream| {
        let calls = lines(&[
            json!({"message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": false}),
            json!({"message": {"role": "assistant", "content": "", "tool_calls": call}, "done": false}),
            json!({"message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop"}),
        ]);
        let _ = stream.write_all(if number == 0 { calls } else { answer("done", 30) }.as_bytes());
    });
    let ws = server.workspace(&OLLAMA, "");
    assert_eq!(ws.claw(&["ask", "-n", "look"]).ok(), "done\n");
    let body = &server.heard()[1].body;
    let said = &body["messages"][2];
    assert_eq!(
        (&said["thinking"], &said["tool_calls"][0]["function"]),
        (&json!("hm"), &json!({"name": "recall", "arguments": {"query": "NAS"}}))
    );
    let told = &body["messages"][3];
    assert_eq!((&told["role"], &told["tool_name"]), (&json!("tool"), &json!("recall")));
    assert_eq!(told["tool_call_id"], said["tool_calls"][0]["id"]);
}

#[test]
fn full_context_window_is_reported_and_not_retried() {
    let server = Server::saying(answer("four", 8191));
    let ws = server.workspace(&OLLAMA, ", num_ctx: 8192");
    let ran = ws.claw(&["ask", "-n", "2+2"]);
    assert!(ran.err.contains("its context window of 8192 tokens is full"), "{}", ran.err);
    assert_eq!(ran.ok(), "four\n");
    let error = r#"{"error":"the input length exceeds the context length"}"#;
    let server = Server::saying(whole("400 Bad Request", JSON, error));
    let ws = server.workspace(&OLLAMA, "");
    refused(&ws, &ws.claw(&["ask", "-n", "2+2"]), 1, "exceeds the model's context window");
}

#[test]
fn an_answer_without_its_last_line_is_cut_off_and_the_last_line_needs_no_end() {
    let whole = answer("four", 26);
    for (reply, code) in
        [(whole.trim_end(), 0), (&whole[..whole.len() - 20], 69), (&whole[..whole.find("\n{").unwrap()], 69)]
    {
        let server = Server::saying(reply);
        let ws = server.workspace(&OLLAMA, "");
        assert_eq!(ws.claw(&["ask", "-n", "2+2"]).code, code, "{reply}");
    }
}

#[test]
fn init_finds_a_server_on_this_machine_and_a_model_that_can_talk() {
    let tags = r#"{"models":[{"name":"nomic-embed-text"},{"name":"llama3.2:latest"}]}"#;
    let server = Server::start(move |_, stream| {
        let _ = stream.write_all(whole("200 OK", JSON, tags).as_bytes());
    });
    let host = format!("127.0.0.1:{}", server.port);
    let init = |key: &str, value: &str| {
        let ws = Fixture::empty();
        let mut init = ws.command(&["init", "."]);
        init.env("OLLAMA_HOST", &host).env(key, value);
        let ran: Ran = init.output().unwrap().into();
        (ran.ok(), ws.read("claw.yaml"))
    };
    let (said, yaml) = init("NOTHING", "");
    assert!(said.contains("model: ollama"), "{said}");
    let line = format!(
        "ollama: {{provider: ollama, model: \"llama3.2:latest\", api_base: \"http://{host}\", num_ctx: 16384}}"
    );
    assert!(yaml.contains(&line), "{yaml}");
    // A key in the environment is used first.
    let (said, yaml) = init("ANTHROPIC_API_KEY", "sk-ant");
    assert!(said.contains("model: claude"), "{said}");
    assert!(
        yaml.contains("claude: {provider: anthropic, model: claude-sonnet-5, api_key_env: ANTHROPIC_API_KEY}"),
        "{yaml}"
    );
}

#[test]
fn a_proxy_of_the_environment_is_not_for_this_machine_and_no_proxy_is_heeded() {
    let server = Server::saying(answer("four", 26));
    let ask = |ws: &Fixture, more: &[(&str, &str)]| -> Ran {
        ws.command(&["ask", "-n", "2+2"]).envs(more.iter().copied()).output().unwrap().into()
    };
    // No server listens at port 1.
    let ws = server.workspace(&OLLAMA, "");
    assert_eq!(ask(&ws, &[("http_proxy", "http://127.0.0.1:1"), ("HTTP_PROXY", "http://127.0.0.1:1")]).ok(), "four\n");
    let ws = Fixture::new();
    ws.model("far", "provider: ollama, model: m, api_base: 'http://model.invalid'");
    let proxy = format!("http://127.0.0.1:{}", server.port);
    assert_eq!(ask(&ws, &[("http_proxy", &proxy)]).ok(), "four\n");
    assert!(server.heard()[1].head.starts_with("POST http://model.invalid/api/chat HTTP/1.1\r\n"));
    ask(&ws, &[("http_proxy", &proxy), ("no_proxy", "model.invalid")]).fails(69);
    assert_eq!(server.heard().len(), 2);
}

#[test]
fn the_peer_lists_its_models() {
    let Some(peer) = peer(&OLLAMA) else { return };
    let ws = Fixture::empty();
    let mut init = ws.command(&["init", "."]);
    init.env("OLLAMA_HOST", format!("127.0.0.1:{}", peer.port));
    let ran: Ran = init.output().unwrap().into();
    assert!(ran.ok().contains("model: ollama"));
}

#[test]
fn init_chooses_the_first_model_for_text_of_a_local_server() {
    let list = json!({"models": [
        {"name": "nomic-embed-text:latest", "details": {"family": "nomic"}},
        {"name": "all-minilm", "details": {"family": "bert"}},
        {"name": "llama3.2:3b", "details": {"family": "llama"}},
        {"name": "qwen3", "details": {"family": "qwen"}},
    ]});
    let server = Server::saying(whole("200 OK", JSON, &list.to_string()));
    let host = format!("127.0.0.1:{}", server.port);
    // The server has 200 ms, which a busy machine may need for itself.
    let settings = (0..20).find_map(|_| {
        let ws = Fixture::empty();
        let ran: Ran = ws.command(&["init", "."]).env("OLLAMA_HOST", &host).output().unwrap().into();
        ran.ok();
        Some(ws.read("claw.yaml")).filter(|settings| settings.contains("llama3.2:3b"))
    });
    let settings = settings.expect("`claw init` does not find a server on this machine");
    assert!(settings.contains("provider: ollama") && settings.contains(&host), "{settings}");
    assert!(!settings.contains("nomic") && !settings.contains("minilm"), "{settings}");
    assert!(server.heard()[0].head.starts_with("GET /api/tags "), "{}", server.heard()[0].head);
}
