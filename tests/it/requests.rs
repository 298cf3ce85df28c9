//! Every request that claw sends fits the service's published interface. The schemas of `tests/fixtures/schemas` describe
//! what claw sends and allow no other field; an independent validator (ajv) checks the requests of whole conversations:
//! thoughts, calls and their results, images, documents, and the settings of thinking and limits.
//!
//! `CLAW_WRITE_REQUESTS=DIR` writes the requests to a file for each schema, for other validators.

use crate::common::peer;
use crate::common::servers::{self, ANTHROPIC, JSON, OLLAMA, OPENAI, STREAM, Server, Wire, whole};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;

/// An interface: its wire, the setting that chooses it, its schema, a recorded answer with a thought and a call, and a
/// final answer.
struct Interface {
    wire: &'static Wire,
    chosen_by: &'static str,
    schema: &'static str,
    call: &'static str,
    last: &'static str,
    /// Whether it takes documents beside images.
    documents: bool,
}

const CHAT: Interface = Interface {
    wire: &OPENAI,
    chosen_by: ", dialect: openai",
    schema: "chat",
    call: "openai/tools-content-null.sse",
    last: r#"{"choices": [{"message": {"content": "done"}, "finish_reason": "stop"}]}"#,
    documents: true,
};
const RESPONSES: Interface = Interface {
    wire: &servers::RESPONSES,
    chosen_by: "",
    schema: "responses",
    call: "responses/thought-text-and-call.sse",
    last: r#"{"object": "response", "status": "completed", "output": [{"type": "message", "role": "assistant",
        "content": [{"type": "output_text", "text": "done"}]}]}"#,
    documents: true,
};
const MESSAGES: Interface = Interface {
    wire: &ANTHROPIC,
    chosen_by: "",
    schema: "anthropic",
    call: "anthropic/thought-text-and-call.sse",
    last: r#"{"type": "message", "role": "assistant", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "done"}]}"#,
    documents: true,
};
const OLLAMA_CHAT: Interface = Interface {
    wire: &OLLAMA,
    chosen_by: "",
    schema: "ollama",
    call: "ollama/thought-text-and-calls.ndjson",
    last: r#"{"message": {"role": "assistant", "content": "done"}, "done": true, "done_reason": "stop"}"#,
    documents: false,
};

/// A recorded answer without its first line, which describes what it is read as.
fn recorded(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    fs::read_to_string(path).unwrap().split_once('\n').unwrap().1.to_owned()
}

/// The bodies of two turns of one conversation: a call and its result, then files.
fn conversation(interface: &Interface, model: &str, settings: &str) -> Vec<Value> {
    let (call, last) = (recorded(interface.call), whole("200 OK", JSON, interface.last));
    let server = Server::start(move |number, stream| {
        let answer = if number == 0 { format!("{STREAM}{call}") } else { last.clone() };
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let Interface { chosen_by, .. } = interface;
    let more = format!(", api_key: k-0123456789, images: true{chosen_by}{settings}");
    let ws = server.workspace(interface.wire, &more);
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("model: m,", &format!("model: '{model}',")));
    ws.write("files/a.png", "\u{89}PNG");
    fs::write(ws.path("files/a.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    ws.write("files/b.pdf", "%PDF-1.4");
    ws.claw(&["ask", "-n", "-s", "t", "look"]).ok();
    ws.claw(&["ask", "-n", "-s", "t", "-f", ws.path("files/a.png").to_str().unwrap(), "and this?"]).ok();
    if interface.documents {
        ws.claw(&["ask", "-n", "-s", "t", "-f", ws.path("files/b.pdf").to_str().unwrap(), "and that?"]).ok();
    }
    let bodies: Vec<Value> = server.heard().into_iter().map(|heard| heard.body).collect();
    assert_eq!(bodies.len(), 3 + usize::from(interface.documents), "{model}{settings}");
    bodies
}

/// Checks the conversations of these models, each with these settings.
#[track_caller]
fn fits(interface: &Interface, cases: &[(&str, &str)]) {
    if !peer::has_package("ajv") {
        return;
    }
    let mut bodies: Vec<Value> = Vec::new();
    for (model, settings) in cases {
        bodies.extend(conversation(interface, model, settings));
    }
    if let Ok(path) = std::env::var("CLAW_WRITE_REQUESTS") {
        let lines: String = bodies.iter().map(|body| format!("{body}\n")).collect();
        fs::write(Path::new(&path).join(interface.schema), lines).unwrap();
    }
    let schema = format!("tests/fixtures/schemas/{}.json", interface.schema);
    let found = peer::complaints(&schema, false, &bodies).unwrap_or_default();
    let first: Vec<&str> = found.lines().take(8).collect();
    assert!(first.is_empty(), "requests do not fit {schema} (line = number of the request):\n{}", first.join("\n"));
    // The validator notices a field that the interface does not have, and a wrong kind.
    for (field, value) in [("claw", Value::Null), ("stream", "yes".into())] {
        let mut wrong = bodies[0].clone();
        wrong[field] = value;
        assert_ne!(peer::complaints(&schema, false, &[wrong]).unwrap_or_default(), "", "{field} was not noticed");
    }
}

#[test]
fn chat_completions_requests_fit_the_published_interface() {
    fits(
        &CHAT,
        &[
            ("gpt-4o", ", temperature: 0.5, max_tokens: 1"),
            ("gpt-5", ", thinking: off, max_tokens: 100"),
            ("gpt-5.5", ", thinking: max"),
            ("o4-mini", ", thinking: 3000"),
        ],
    );
}

#[test]
fn responses_requests_fit_the_published_interface() {
    let least = &conversation(&RESPONSES, "gpt-4.1", ", max_tokens: 1")[0]["max_output_tokens"];
    assert_eq!(least, 16, "the service refuses a lower limit");
    fits(
        &RESPONSES,
        &[
            ("gpt-4.1", ", temperature: 0.5, max_tokens: 1"),
            ("gpt-5", ", thinking: off"),
            ("gpt-5.1-codex-max", ", thinking: minimal"),
            ("o3", ", thinking: 3000, max_tokens: 20000"),
        ],
    );
}

#[test]
fn anthropic_requests_fit_the_published_interface() {
    fits(
        &MESSAGES,
        &[
            ("claude-haiku-4-5", ", temperature: 0.5, max_tokens: 1"),
            ("claude-sonnet-4-5", ", thinking: 1"),
            ("claude-sonnet-5", ", thinking: minimal"),
            ("claude-opus-4-8", ", thinking: max"),
            ("claude-opus-4-1", ", thinking: off"),
        ],
    );
}

#[test]
fn ollama_requests_fit_the_published_interface() {
    fits(
        &OLLAMA_CHAT,
        &[
            ("qwen3", ", thinking: off, temperature: 0.5, max_tokens: 1, num_ctx: 8192"),
            ("gpt-oss", ", thinking: minimal, keep_alive: 10m"),
            ("gpt-oss", ", thinking: xhigh, keep_alive: -1"),
            ("qwen3", ", thinking: 3000"),
        ],
    );
}

/// The field with the schema of the answer, and whether it says that the schema is strict; none if it is not sent.
type Bound = Option<(&'static str, Option<bool>)>;

/// The answers of `ask --schema` are bound to it where the service can, and only there: another one refuses the field.
#[test]
fn schema_of_the_answer_is_sent_where_the_service_binds_answers() {
    const CLOSED: &str = r#"{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false}"#;
    const OPEN: &str = r#"{"type": "object", "properties": {"a": {"type": "string", "maxLength": 9}}}"#;
    let reasoning = ", dialect: openai-reasoning";
    let cases: [(_, _, _, _, Bound); 14] = [
        (&CHAT, "gpt-5.1", reasoning, CLOSED, Some(("/response_format/json_schema", Some(true)))),
        (&CHAT, "gpt-5.1", reasoning, OPEN, Some(("/response_format/json_schema", Some(false)))),
        (&CHAT, "gpt-4.1-mini", "", CLOSED, Some(("/response_format/json_schema", Some(true)))),
        (&CHAT, "gpt-3.5-turbo", "", CLOSED, None),
        (&CHAT, "gpt-5.1", ", dialect: plain", CLOSED, None),
        (&RESPONSES, "gpt-5.1-codex", "", CLOSED, Some(("/text/format", Some(true)))),
        (&RESPONSES, "gpt-5.1-codex", "", OPEN, Some(("/text/format", Some(false)))),
        (&RESPONSES, "qwen3", "", CLOSED, None),
        (&MESSAGES, "claude-sonnet-5", ", thinking: high", CLOSED, Some(("/output_config/format", None))),
        (&MESSAGES, "claude-sonnet-4-5", "", CLOSED, Some(("/output_config/format", None))),
        (&MESSAGES, "claude-sonnet-4-5", "", OPEN, None),
        (&MESSAGES, "claude-opus-4-1", "", CLOSED, None),
        (&OLLAMA_CHAT, "qwen3", "", CLOSED, None),
        (&OLLAMA_CHAT, "qwen3", ", tools: false", OPEN, Some(("/format", None))),
    ];
    for (interface, model, settings, schema, expected) in cases {
        let answer = interface.last.replace(r#": "done""#, r#": "{\"a\": \"x\"}""#);
        let server = Server::saying(whole("200 OK", JSON, &answer));
        let chosen_by = if settings.contains("dialect") { "" } else { interface.chosen_by };
        let ws = server.workspace(interface.wire, &format!(", api_key: k-0123456789{chosen_by}{settings}"));
        ws.write("claw.yaml", &ws.read("claw.yaml").replace("model: m,", &format!("model: '{model}',")));
        ws.write("s.json", schema);
        assert_eq!(ws.claw(&["ask", "-n", "--schema", "s.json", "go"]).ok(), "{\"a\":\"x\"}\n");
        let body = server.heard().pop().unwrap().body;
        let found: Vec<&str> = ["/response_format/json_schema", "/text/format", "/output_config/format", "/format"]
            .into_iter()
            .filter(|path| body.pointer(path).is_some())
            .collect();
        assert_eq!(found, expected.iter().map(|(path, _)| *path).collect::<Vec<_>>(), "{model}{settings}: {body}");
        if let Some((path, strict)) = expected {
            let sent = &body.pointer(path).unwrap();
            let sent_schema = if path == "/format" { sent } else { &&sent["schema"] };
            assert_eq!(**sent_schema, serde_json::from_str::<Value>(schema).unwrap());
            assert_eq!(sent["strict"].as_bool(), strict, "{model}{settings}: {body}");
        }
        if peer::has_package("ajv") {
            let file = format!("tests/fixtures/schemas/{}.json", interface.schema);
            assert_eq!(peer::complaints(&file, false, &[body]).unwrap_or_default(), "", "{model}{settings}");
        }
    }
}
