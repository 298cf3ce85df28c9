//! Credentials of a model's server reach no text: not the terminal, and no file of the workspace. They are planted in
//! the URL and in the key, and repeated by the server in every place that claw reports.

use crate::common::Fixture;
use crate::common::servers::{ANTHROPIC, JSON, OLLAMA, OPENAI, STREAM, Server, Wire, whole};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use walkdir::WalkDir;

/// The planted credentials. The password has characters that a URL must escape.
const KEY: &str = "sk-planted-1234567890";
const PASSWORD: &str = "pass$word/planted";
const TOKEN: &str = "token-planted-0987654321";

/// Beginnings of the credentials in every encoding; none of them may be found anywhere, because half a key is a secret
/// too.
const FORMS: &[&str] = &[
    "sk-plan",
    "sk%2Dplan",
    "token-pl",
    "pass$w",
    "pass%24w",
    "YW5uOnBhc3Mkd29yZC9wbGFudGVk", // base64 of ann:PASSWORD
];

#[track_caller]
fn no_credentials(text: &str, place: &str) {
    for form in FORMS {
        assert!(!text.contains(form), "{place} contains `{form}`:\n{text}");
    }
}

/// Every file of the workspace but the settings that the credentials were planted in.
#[track_caller]
fn no_credentials_in_files(ws: &Fixture) {
    let mut seen = 0;
    for entry in WalkDir::new(&ws.root).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        let name = entry.path().strip_prefix(&ws.root).unwrap().display().to_string();
        if name != "claw.yaml" {
            no_credentials(&String::from_utf8_lossy(&fs::read(entry.path()).unwrap()), &name);
            seen += 1;
        }
    }
    assert!(seen > 3, "only {seen} files were searched");
}

/// Runs every command that reports a failed model call against a server at `port`.
#[track_caller]
fn check(wire: &Wire, port: u16, case: &str) {
    let Wire { provider, base, .. } = wire;
    let password = "pass%24word%2Fplanted";
    let urls = [
        format!("http://ann:{password}@127.0.0.1:{port}{base}?key={TOKEN}"),
        format!("http://ann:{password}@127.0.0.1:{port}{base}/?api-version=1&access_token={TOKEN}"),
    ];
    for url in urls {
        let ws = Fixture::new();
        ws.model("mock", &format!("provider: {provider}, model: m, api_base: \"{url}\", api_key_env: MOCK_KEY"));
        let claw = |arguments: &[&str]| {
            let ran = ws.command(arguments).env("MOCK_KEY", KEY).output().unwrap();
            let text = [String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap()].concat();
            no_credentials(&text, &format!("{case}, {url}: {arguments:?}"));
            (ran.status.code(), text)
        };
        let (code, text) = claw(&["ask", "-n", "hello"]);
        assert!(code != Some(0) && text.contains("model mock: "), "{case}: {code:?} {text}");
        claw(&["send", "hello"]);
        claw(&["route"]);
        let (code, text) = claw(&["run-agent"]);
        assert!(code != Some(0) && text.contains("model mock: "), "{case}: {code:?} {text}");
        claw(&["deliver"]);
        for command in [&["status"][..], &["log"], &["models"], &["models", "--json"], &["check"]] {
            claw(command);
        }
        let days = ws.list("inbox/done").into_iter().map(|day| format!("inbox/done/{day}"));
        let reasons = days.flat_map(|day| ws.list(&day)).filter(|name| name.ends_with(".reason"));
        assert_eq!(reasons.count(), 1, "a reason was written");
        no_credentials_in_files(&ws);
    }
}

/// A server whose response, made by `response`, repeats the credentials and the head of the request.
fn echoing(response: fn(&str) -> String) -> Server {
    Server::start_with_request(move |request, stream| {
        let texts = [TOKEN, KEY, PASSWORD, "pass%24word%2fplanted", "sk%2Dplanted-1234567890", request.head.trim()];
        let _ = stream.write_all(response(&texts.join(" ")).as_bytes());
    })
}

#[test]
fn credentials_in_a_refusal_are_hidden() {
    for wire in [&OPENAI, &ANTHROPIC, &OLLAMA] {
        let server = echoing(|text| whole("401 Unauthorized", JSON, &json!({"error": {"message": text}}).to_string()));
        check(wire, server.port, "a message");
        let server = echoing(|text| whole("500 Internal Server Error", "", text));
        check(wire, server.port, "a text");
        let heads = server.heard().iter().map(|heard| heard.head.clone()).collect::<String>();
        assert!(heads.contains(KEY) || heads.contains(TOKEN), "the credentials were used: {heads}");
    }
}

#[test]
fn credentials_at_the_cut_of_a_long_refusal_are_hidden() {
    let server = echoing(|text| whole("400 Bad Request", "", &format!("{} {text}", "x".repeat(285))));
    check(&OPENAI, server.port, "a long text");
}

#[test]
fn credentials_at_the_cut_of_a_long_error_within_a_stream_are_hidden() {
    let server =
        echoing(|text| format!("{STREAM}data: {}\n\n", json!({"error": {"message": "x".repeat(285) + " " + text}})));
    check(&OPENAI, server.port, "openai");
    let server = echoing(|text| {
        let error = json!({"type": "api_error", "message": "x".repeat(285) + " " + text});
        format!("{STREAM}data: {}\n\n", json!({"type": "error", "error": error}))
    });
    check(&ANTHROPIC, server.port, "anthropic");
    let server = echoing(|text| {
        let error = json!({"error": "x".repeat(285) + " " + text});
        whole("200 OK", "Content-Type: application/x-ndjson\r\n", &format!("{error}\n"))
    });
    check(&OLLAMA, server.port, "ollama");
}

#[test]
fn credentials_in_an_error_within_a_stream_are_hidden() {
    let server = echoing(|text| format!("{STREAM}data: {}\n\n", json!({"error": {"message": text}})));
    check(&OPENAI, server.port, "openai");
    let server = echoing(|text| {
        format!("{STREAM}data: {}\n\n", json!({"type": "error", "error": {"type": "api_error", "message": text}}))
    });
    check(&ANTHROPIC, server.port, "anthropic");
    let server = echoing(|text| {
        let headers = "Content-Type: application/x-ndjson\r\n";
        whole("200 OK", headers, &format!("{}\n", json!({"error": text})))
    });
    check(&OLLAMA, server.port, "ollama");
}

#[test]
fn credentials_in_an_invalid_response_are_hidden() {
    let server = echoing(|text| whole("200 OK", JSON, text));
    check(&OPENAI, server.port, "a body");
    let server = echoing(|text| format!("{STREAM}data: {}\n\n", text.replace("\r\n", " ")));
    check(&OPENAI, server.port, "a frame");
}

#[test]
fn credentials_in_a_declined_answer_are_hidden() {
    let server = echoing(|text| {
        let choice = json!({"delta": {"content": ""}, "finish_reason": "content_filter", "message": null});
        let refusal = json!({"choices": [{"delta": {"refusal": text}}]});
        format!("{STREAM}data: {refusal}\n\ndata: {}\n\ndata: [DONE]\n\n", json!({"choices": [choice]}))
    });
    let ws = Fixture::new();
    let url = format!("http://ann:pass%24word%2Fplanted@127.0.0.1:{}/v1?key={TOKEN}", server.port);
    ws.model("mock", &format!("provider: openai, model: m, api_base: \"{url}\", api_key_env: MOCK_KEY"));
    let ran = ws.command(&["ask", "-n", "hello"]).env("MOCK_KEY", KEY).output().unwrap();
    let err = String::from_utf8(ran.stderr).unwrap();
    assert!(err.contains("declined to answer: "), "{err}");
    no_credentials(&err, "stderr");
    no_credentials_in_files(&ws);
}

#[test]
fn credentials_of_an_unreachable_server_are_hidden() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    check(&OPENAI, port, "a closed port");
    check(&ANTHROPIC, port, "a closed port");
    check(&OLLAMA, port, "a closed port");
}

#[test]
fn credentials_of_a_server_that_closes_the_connection_are_hidden() {
    let server = Server::start(|_, _| {});
    check(&OPENAI, server.port, "no response");
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nContent-Type: application/json\r\n\r\n{";
    check(&OPENAI, Server::saying(head).port, "half a response");
}

#[test]
fn query_of_the_base_url_is_sent_behind_the_path() {
    let server = Server::saying(whole("500 Internal Server Error", "", "no"));
    let ws = Fixture::new();
    let url = format!("http://127.0.0.1:{}/v1/?key={TOKEN}", server.port);
    ws.model("mock", &format!("provider: openai, model: m, api_base: \"{url}\""));
    ws.claw(&["ask", "-n", "hello"]).fails(69);
    let head = server.heard()[0].head.clone();
    assert!(head.starts_with(&format!("POST /v1/chat/completions?key={TOKEN} HTTP/1.1\r\n")), "{head}");
}
