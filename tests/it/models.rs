//! `claw models`: the configured models, and whether they can be reached, against an independent mock server, bare
//! TCP and dead ports.

use crate::common::Fixture;
use crate::common::servers::{OPENAI, peer};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

/// The port of the mock server, which speaks all protocols.
fn mock() -> Option<u16> {
    peer(&OPENAI).map(|peer| peer.port)
}

/// A port without a listener: it was ours a moment ago.
fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A workspace with these lines below `models:`, and this default.
fn workspace(default: &str, models: &str) -> Fixture {
    let ws = Fixture::new();
    let text = ws.read("claw.yaml").replace("model: offline\n", &format!("model: {default}\nmodels:\n{models}"));
    ws.write("claw.yaml", &text);
    ws
}

fn rows(ws: &Fixture, arguments: &[&str], code: i32) -> Vec<Value> {
    let ran = ws.claw(&[&["models", "--json"], arguments].concat());
    assert_eq!(ran.code, code, "{ran:#?}");
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn row<'a>(rows: &'a [Value], name: &str) -> &'a Value {
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {rows:#?}"))
}

/// A server that answers each request with this, and counts them.
fn server(answer: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&count);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, count)
}

#[test]
fn models_are_listed_with_the_source_of_their_key() {
    let dead = dead_port();
    let ws = workspace(
        "\"openai/gpt-5\"",
        &format!(
            "  dead: {{provider: openai, model: m, api_base: 'http://ann:s3cret-word@127.0.0.1:{dead}/v1', api_key_env: CLAW_TEST_KEY}}\n  \
             filed: {{provider: openai, model: m, api_base: 'http://127.0.0.1:{dead}/v1', api_key_file: nowhere.key}}\n  \
             here: {{provider: command, command: [sh, -c, 'echo four'], max_concurrency: 2, fallback: [dead, offline]}}\n  \
             gone: {{provider: command, command: [./tools/think]}}\n  \
             typo: {{provider: opnai, model: m}}\n"
        ),
    );
    let agent = ws.read("agents/cookie/AGENT.md").replacen("---\n", "---\nmodel: here\n", 1);
    ws.write("agents/cookie/AGENT.md", &agent);
    let ran: crate::common::Ran =
        ws.command(&["models"]).env("CLAW_TEST_KEY", "sk-0123456789").output().unwrap().into();
    assert_eq!(ran.code, 78, "the default has no key: {ran:#?}");
    assert!(!format!("{ran:?}").contains("sk-0123456789") && !ran.out.contains("s3cret-word"), "{}", ran.out);
    let cells: Vec<Vec<&str>> =
        ran.out.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    let base = format!("http://127.0.0.1:{dead}/v1");
    let refused = format!("{base}/models: Connection refused");
    let expected: [&[&str]; 8] = [
        &["name", "provider", "model", "location", "key", "concurrency", "fallback", "status"],
        &["dead", "openai", "m", &base, "$CLAW_TEST_KEY", "-", "-", &refused],
        &[
            "filed",
            "openai",
            "m",
            &base,
            "nowhere.key (missing)",
            "-",
            "-",
            &format!(
                "the key file {} cannot be read: No such file or directory (os error 2)",
                ws.path("nowhere.key").display()
            ),
        ],
        &["gone", "command", "-", "./tools/think", "-", "-", "-", "the program `./tools/think` does not exist"],
        &["here", "command", "-", "sh -c echo four", "-", "2", "dead, offline", "ready"],
        &["typo", "opnai", "m", "-", "-", "-", "-", "there is no provider `opnai` (did you mean `openai`?)"],
        &[
            "* openai/gpt-5",
            "openai",
            "gpt-5",
            "https://api.openai.com/v1",
            "$OPENAI_API_KEY (missing)",
            "-",
            "-",
            "no key (set OPENAI_API_KEY or api_key_env)",
        ],
        &["offline", "offline", "-", "built in", "-", "-", "-", "ready"],
    ];
    assert_eq!(cells, expected, "{}", ran.out);
    let rows = rows(&ws, &[], 78);
    let here = json!({
        "name": "here", "default": false, "agents": ["cookie"], "provider": "command", "model": null, "api_base": null,
        "command": ["sh", "-c", "echo four"], "cassette": null, "key": null, "max_concurrency": 2,
        "fallback": ["dead", "offline"], "reachable": true, "model_listed": null,
        "duration_ms": null, "problem": null, "exit_code": 0,
    });
    assert_eq!(*row(&rows, "here"), here);
    assert_eq!(row(&rows, "openai/gpt-5")["agents"], json!(["pickle"]));
    assert_eq!(row(&rows, "dead")["key"], json!({"source": "$CLAW_TEST_KEY", "available": false}));
}

#[test]
fn a_server_is_asked_for_its_list_and_the_exit_code_is_about_the_default_or_those_that_are_named() {
    let Some(port) = mock() else { return };
    let base = format!("api_base: 'http://127.0.0.1:{port}/v1'");
    let dead = format!("api_base: 'http://127.0.0.1:{}/v1'", dead_port());
    let ws = workspace(
        "mock",
        &format!(
            "  mock: {{provider: openai, model: gpt-4, {base}}}\n  \
             other: {{provider: openai, model: nobody-has-this, {base}}}\n  \
             dead: {{provider: openai, model: m, {dead}}}\n"
        ),
    );
    let all = rows(&ws, &[], 0);
    assert_eq!((&row(&all, "mock")["reachable"], &row(&all, "mock")["model_listed"]), (&json!(true), &json!(true)));
    assert!(row(&all, "mock")["duration_ms"].is_u64() && row(&all, "mock")["default"] == true, "{all:#?}");
    assert_eq!(row(&all, "other")["model_listed"], false);
    assert_eq!((&row(&all, "dead")["reachable"], &row(&all, "dead")["exit_code"]), (&json!(false), &json!(69)));
    assert!(ws.claw(&["models", "other"]).ok().contains("reachable, but it does not list the model `nobody-has-this`"));
    ws.claw(&["models", "dead"]).fails(69);
    ws.claw(&["models", "mock", "dead"]).fails(69);
    assert!(ws.claw(&["models", "dad"]).fails(78).contains("did you mean `dead`?"));
    ws.claw(&["models", "--offline", "dead"]).ok();
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("model: mock", "model: dead"));
    ws.claw(&["models"]).fails(69);
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("model: dead", "model: ded"));
    let ran = ws.claw(&["models"]);
    assert!(ran.code == 78 && ran.out.contains("\n  mock "), "the others are listed: {ran:#?}");
}

#[test]
fn every_kind_of_server_is_asked_where_it_has_its_list() {
    let Some(port) = mock() else { return };
    let cases = [
        ("openai", "/v1", "/v1"),
        ("openai", "/v1/", "/v1"),
        ("anthropic", "", "/v1"),
        ("anthropic", "/v1", "/v1"),
        ("ollama", "", ""),
        ("ollama", "/v1", ""),
    ];
    for (provider, given, base) in cases {
        let host = format!("http://127.0.0.1:{port}");
        let ws = workspace("m", &format!("  m: {{provider: {provider}, model: gpt-4, api_base: '{host}{given}'}}\n"));
        let rows = rows(&ws, &["m"], 0);
        let found = row(&rows, "m");
        assert_eq!(
            (&found["reachable"], &found["model_listed"]),
            (&json!(true), &json!(true)),
            "{provider} {given}: {found:#}"
        );
        assert_eq!(found["api_base"], format!("{host}{base}"), "{provider} {given}");
    }
    // Without an address it is the provider's own service, with its usual key variable.
    let ws = workspace("m", "  m: {provider: anthropic, model: x}\n  o: {provider: ollama, model: x}\n");
    let rows = rows(&ws, &["--offline"], 78);
    assert_eq!(row(&rows, "m")["key"], json!({"source": "$ANTHROPIC_API_KEY", "available": false}));
    assert_eq!((&row(&rows, "o")["key"], &row(&rows, "o")["api_base"]), (&Value::Null, &json!("http://127.0.0.1:1")));
}

#[test]
fn refusal_shows_whether_the_server_is_reachable() {
    let ok = server("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nno list at all").0;
    let none = server("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").0;
    let key = server(
        "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n{\"error\": {\"message\": \"bad key sk-0123456789\"}}",
    )
    .0;
    let busy = server("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").0;
    let cases = [
        (ok, 0, "reachable"),
        (none, 0, "reachable"),
        (key, 78, "HTTP 401: bad key [key] (check the model's api_key_env or api_key_file)"),
        (busy, 69, "HTTP 503:"),
    ];
    for (port, code, state) in cases {
        let model = format!(
            "  m: {{provider: openai, model: x, api_key: sk-0123456789, api_base: 'http://127.0.0.1:{port}/v1'}}\n"
        );
        let ran = workspace("m", &model).claw(&["models", "m"]);
        assert!(ran.code == code && ran.out.trim_end().ends_with(state), "{ran:#?}");
    }
}

#[test]
fn untrusted_workspace_contacts_no_server() {
    let (port, count) = server("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"data\": []}");
    let model = format!("  m: {{provider: openai, model: x, api_base: 'http://127.0.0.1:{port}/v1'}}\n");
    let ws = workspace("m", &model);
    assert!(ws.claw(&["models", "--offline"]).ok().lines().any(|line| line.ends_with("not checked")));
    assert_eq!(row(&rows(&ws, &["--offline"], 0), "m")["reachable"], Value::Null);
    let mut stranger = ws.command(&["models"]);
    let stranger: crate::common::Ran = stranger.env("HOME", ws.path("nobody")).output().unwrap().into();
    assert!(stranger.err.contains("is not trusted, so no server is contacted; run `claw trust`"), "{stranger:#?}");
    assert!(stranger.ok().lines().any(|line| line.ends_with("not checked")));
    assert_eq!(count.load(Ordering::SeqCst), 0);
    assert_eq!(row(&rows(&ws, &[], 0), "m")["model_listed"], false);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn all_are_asked_at_once_and_a_silent_one_is_not_waited_for_long() {
    // Each answers only after all have been asked.
    let all = Arc::new(Barrier::new(4));
    let mut models = String::new();
    for n in 0..4 {
        let (listener, all) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::clone(&all));
        let port = listener.local_addr().unwrap().port();
        models += &format!("  m{n}: {{provider: openai, model: x, api_base: 'http://127.0.0.1:{port}/v1'}}\n");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            all.wait();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"data\": [{\"id\": \"x\"}]}");
        });
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    models += &format!("  silent: {{provider: openai, model: x, api_base: 'http://127.0.0.1:{port}/v1'}}\n");
    let begun = Instant::now();
    let rows = rows(&workspace("m0", &models), &[], 0);
    assert!((0..4).all(|n| row(&rows, &format!("m{n}"))["model_listed"] == true), "{rows:#?}");
    assert_eq!(row(&rows, "silent")["problem"], "no data from the server for 3s");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
