//! The provider `openai` against servers: an independent one from npm (`tests/peers`), and bare TCP with exactly the
//! bytes or the silence that a test needs.

use crate::common::conformance;
use crate::common::servers::{
    Heard, JSON, OPENAI, STREAM, Server, messages, nothing_left, peer, refused, routed, silence, waiting, whole,
    without_times,
};
use crate::common::{Fixture, Ran};
use claw::provider::MAX_ANSWER;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn random_failures_of_the_server_never_end_in_a_wrong_answer() {
    conformance::chaos(&OPENAI);
}

#[test]
fn calls_are_streamed_and_their_results_come_back_in_order() {
    let Some(peer) = peer(&OPENAI) else { return };
    let ws = peer.workspace();
    ws.write("memories/topics/house.md", "- the NAS is 10.0.0.7\n");
    assert_eq!(ws.claw(&["ask", "-n", "mock:tools"]).ok(), "Both were told.\n");
    assert!(ws.claw(&["recall", "peer"]).ok().contains("the peer was here"));
    let session = ws.list("sessions").remove(0);
    let log = ws.read(&format!("sessions/{session}/log.jsonl"));
    let results: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let results: Vec<&str> = results.iter().filter_map(|record| record["result"].as_str()).collect();
    assert_eq!(results.len(), 2, "{log}");
    assert_eq!(results[0], "memories/topics/house.md:1: the NAS is 10.0.0.7");
    assert!(results[1].starts_with("noted in memories/daily-notes/"), "{}", results[1]);
}

#[test]
fn ask_prints_the_servers_text_and_nothing_else() {
    let Some(peer) = peer(&OPENAI) else { return };
    let ws = peer.workspace();
    let ran = ws.claw(&["ask", "-n", "mock:hello ask"]);
    assert_eq!(ran.out, "Hi there, this is the mock.\n", "{ran:#?}");
    let session = &ws.list("sessions")[0];
    let suffix = session.rsplit('-').next().unwrap();
    assert_eq!((ran.code, ran.err), (0, format!("claw: session pickle.ask-{suffix}\n")));
    assert_eq!(peer.asked("mock:hello ask").len(), 1);
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn ask_json_has_the_tokens_that_the_server_counted() {
    let Some(peer) = peer(&OPENAI) else { return };
    let ws = peer.workspace();
    let out = ws.claw(&["ask", "-n", "--json", "-s", "work", "mock:hello json"]).ok();
    let mut document: Value = serde_json::from_str(&out).unwrap();
    assert!(document["duration_ms"].take().as_u64().is_some() && document["id"].take().is_string(), "{out}");
    let expected = json!({
        "id": null, "session": "pickle.work", "agent": "pickle", "model": "mock",
        "content": "Hi there, this is the mock.", "usage": {"input": 42, "output": 7}, "cost": null, "duration_ms": null,
        "status": "answered", "approvals": [],
    });
    assert_eq!(document, expected);
}

#[test]
fn a_slow_answer_is_waited_for() {
    let Some(peer) = peer(&OPENAI) else { return };
    let ws = peer.workspace();
    assert_eq!(ws.claw(&["ask", "-n", "mock:slow"]).ok(), "abcdefghijklmnopqrst\n");
    assert_eq!(ws.claw(&["ask", "-n", "mock:late"]).ok(), "late answer\n");
}

#[test]
fn an_answer_that_is_cut_off_is_no_answer_and_is_asked_for_again() {
    let Some(peer) = peer(&OPENAI) else { return };
    for text in ["mock:cut", "mock:cut-now"] {
        let ws = peer.workspace();
        let ran = ws.claw(&["ask", "-n", text]);
        assert_eq!((ran.code, &ran.out[..]), (69, ""), "{ran:#?}");
        assert!(ran.err.starts_with("claw: model mock: "), "{}", ran.err);
        nothing_left(&ws);
        let id = routed(&ws, text);
        let before = peer.asked(text).len();
        ws.claw(&["run-agent"]).fails(75);
        assert_eq!(peer.asked(text).len(), before + 1);
        let (_, waits, rest) = waiting(&ws);
        assert_eq!(waits, id);
        assert!(rest.ends_with("~1.json"), "{rest}");
    }
}

#[test]
fn a_rate_limit_ends_ask_with_try_again_later() {
    let Some(peer) = peer(&OPENAI) else { return };
    let ws = peer.workspace();
    let ran = ws.claw(&["ask", "-n", "mock:429 ask"]);
    assert_eq!((ran.code, &ran.out[..]), (75, ""), "{ran:#?}");
    assert!(ran.err.starts_with("claw: retrying in 7 s (429)\n"), "{}", ran.err);
    assert!(ran.err.contains("HTTP 429: rate limited") && ran.err.contains("try again in 7 s"), "{}", ran.err);
    nothing_left(&ws);
    assert_eq!(peer.asked("mock:429 ask").len(), 3);
}

#[test]
fn rate_limited_event_waits_retry_after_without_an_attempt() {
    let Some(peer) = peer(&OPENAI) else { return };
    let ws = peer.workspace();
    let id = routed(&ws, "mock:429 stages");
    let before = Timestamp::now();
    ws.claw(&["run-agent"]).fails(75);
    let after = Timestamp::now();
    let (due, waits, rest) = waiting(&ws);
    assert_eq!((waits, rest), (id, "pickle.cli-ann~0.json".to_owned()));
    let seven = SignedDuration::from_secs(7);
    assert!(before + seven <= due && due <= after + seven, "{before} {due} {after}");
    // Until then no request is sent.
    assert_eq!(ws.claw(&["run-agent"]).ok(), "");
    ws.claw(&["tick"]).ok();
    assert_eq!(peer.asked("mock:429 stages").len(), 1);
}

#[test]
fn when_its_time_has_come_a_rate_limited_event_is_answered() {
    let Some(peer) = peer(&OPENAI) else { return };
    let ws = peer.workspace();
    let id = routed(&ws, "mock:flaky");
    ws.claw(&["run-agent"]).fails(75);
    let (due, ..) = waiting(&ws);
    ws.claw(&["tick", "--now", &due.to_string()]).ok();
    assert_eq!(peer.asked("mock:flaky").len(), 2);
    assert_eq!(ws.list("inbox/wait"), [""; 0]);
    assert_eq!(ws.pending(), [format!("outbox/ready/{id}.r01~cli-ann~0.json")]);
    assert_eq!(ws.claw(&["deliver"]).ok(), "second try\n");
}

#[test]
fn a_server_error_waits_longer_from_time_to_time_and_counts() {
    let Some(peer) = peer(&OPENAI) else { return };
    let ws = peer.workspace();
    let id = routed(&ws, "mock:500 stages");
    let within = |from: Timestamp, to: Timestamp, middle: i64, name: &str| {
        let (due, waits, rest) = waiting(&ws);
        assert_eq!((waits, rest), (id.clone(), name.to_owned()));
        let fifth = SignedDuration::from_millis(middle * 200);
        let middle = SignedDuration::from_secs(middle);
        assert!(from + middle - fifth <= due && due <= to + middle + fifth, "{from} {due} {to}");
        due
    };
    let before = Timestamp::now();
    let err = ws.claw(&["run-agent"]).fails(75);
    assert!(err.contains("model mock: HTTP 500: boom"), "{err}");
    let due = within(before, Timestamp::now(), 5, "pickle.cli-ann~1.json");
    ws.claw(&["tick", "--now", &due.to_string()]).fails(75);
    within(due, due, 10, "pickle.cli-ann~2.json");
    assert_eq!(peer.asked("mock:500 stages").len(), 2);
}

#[test]
fn invalid_response_with_status_200_is_an_error() {
    let Some(peer) = peer(&OPENAI) else { return };
    let cases = [
        ("mock:garbage-body", "invalid response from the server: `"),
        ("mock:garbage-event", "invalid response from the server: `{\\\"id\\\":\\\"x\\\""),
        ("mock:error-event", "overloaded"),
    ];
    for (text, what) in cases {
        let ws = peer.workspace();
        let ran = ws.claw(&["ask", "-n", text]);
        assert_eq!((ran.code, &ran.out[..]), (69, ""), "{text}: {ran:#?}");
        assert!(ran.err.starts_with(&format!("claw: model mock: {what}")), "{text}: {}", ran.err);
        nothing_left(&ws);
        assert_eq!(ws.done("outbox").iter().filter(|name| name.contains(".r")).count(), 0);
    }
}

#[test]
fn stream_may_end_without_done_after_a_finish_reason() {
    let Some(peer) = peer(&OPENAI) else { return };
    let ws = peer.workspace();
    assert_eq!(ws.claw(&["ask", "-n", "mock:no-done"]).ok(), "good one.. the end\n");
}

#[test]
fn an_event_is_asked_once_however_often_the_stages_run() {
    let Some(peer) = peer(&OPENAI) else { return };
    let ws = peer.workspace();
    let text = "mock:hello once";
    let id = routed(&ws, text);
    assert_eq!(ws.claw(&["run-agent"]).ok(), format!("{id}.r01\n"));
    assert_eq!(ws.claw(&["run-agent"]).ok(), "");
    assert_eq!(ws.claw(&["run-agent", &id]).ok(), format!("{id}.r01\n"));
    ws.claw(&["tick"]).ok();
    // The same message comes again, and then the answer is read from the finished event.
    ws.claw(&["send", "--id", &id, text]).ok();
    assert_eq!(ws.shell("claw route | claw run-agent -").ok(), format!("{id}.r01\n"));
    let asked = peer.asked(text);
    assert_eq!(asked.len(), 1);
    let system = messages(&asked[0])[0].1;
    assert!(system.contains("Agent: pickle\nSession: pickle.cli-ann\n"), "{system}");
    let mut body = asked[0].clone();
    body["messages"] = without_times(&body["messages"]);
    body.as_object_mut().unwrap().remove("_endpointType"); // the journal's own
    body.as_object_mut().unwrap().remove("tools"); // tests/turns.rs
    let expected = json!({
        "model": "m",
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": text}],
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    assert_eq!(body, expected);
}

#[test]
fn session_is_sent_in_order_without_unanswered_messages() {
    let Some(peer) = peer(&OPENAI) else { return };
    let ws = peer.workspace();
    let ask = |text: &str| ws.claw(&["ask", "-n", "-s", "work", text]);
    ask("mock:hello one").ok();
    ask("mock:cut two").fails(69);
    ask("mock:no-done three").ok();
    ask("mock:hello four").ok();
    let asked = peer.asked("mock:hello four");
    assert_eq!(asked.len(), 1);
    let expected = [
        ("user", "mock:hello one"),
        ("assistant", "Hi there, this is the mock."),
        ("user", "mock:no-done three"),
        ("assistant", "good one.. the end"),
        ("user", "mock:hello four"),
    ];
    assert_eq!(messages(&asked[0])[1..], expected);
    assert_eq!(asked[0]["stream"], true);
    // Another session does not contain it.
    ws.claw(&["ask", "-n", "-s", "home", "mock:hello five"]).ok();
    assert_eq!(messages(&peer.asked("mock:hello five")[0])[1..], [("user", "mock:hello five")]);
}

// ---------------------------------------------------------------- bare TCP

const DONE: &str = "data: [DONE]\n\n";

/// An event with a piece of text.
fn delta(text: &str) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": text}}]}))
}

fn message(text: &str) -> String {
    json!({
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    })
    .to_string()
}

#[test]
fn ask_fails_at_once_without_a_listener() {
    // Port 1 belongs to no server, and no program that binds to a free port gets it.
    let ws = OPENAI.workspace(1, "");
    let begun = Instant::now();
    let ran = ws.claw(&["ask", "-n", "hello"]);
    refused(&ws, &ran, 69, "http://127.0.0.1:1/v1/chat/completions: Connection refused");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn server_silent_after_accept_times_out() {
    let server = Server::start(|_, stream| silence(stream));
    let ws = server.workspace(&OPENAI, ", first_token_timeout: 200ms");
    refused(&ws, &ws.claw(&["ask", "-n", "hello"]), 69, "no data from the server for 200ms");
}

#[test]
fn server_silent_after_its_head_times_out() {
    let server = Server::start(|_, stream| {
        let _ = stream.write_all(STREAM.as_bytes());
        silence(stream);
    });
    let ws = server.workspace(&OPENAI, ", first_token_timeout: 200ms");
    refused(&ws, &ws.claw(&["ask", "-n", "hello"]), 69, "no data from the server for 200ms");
}

#[test]
fn empty_deltas_do_not_count_as_the_first_token() {
    // Many servers send an event without text as soon as they have parsed the request.
    let server = Server::start(|_, stream| {
        let _ = stream.write_all(format!("{STREAM}{}", delta("")).as_bytes());
        thread::sleep(Duration::from_millis(600));
        let _ = stream.write_all(format!("{}{DONE}", delta("four")).as_bytes());
    });
    let ws = server.workspace(&OPENAI, ", first_token_timeout: 20s, idle_timeout: 200ms");
    assert_eq!(ws.claw(&["ask", "-n", "2+2"]).ok(), "four\n");
}

#[test]
fn a_server_that_falls_silent_within_its_answer_is_given_up() {
    let server = Server::start(|_, stream| {
        let _ = stream.write_all(format!("{STREAM}{}", delta("half an ")).as_bytes());
        silence(stream);
    });
    let ws = server.workspace(&OPENAI, ", idle_timeout: 200ms");
    refused(&ws, &ws.claw(&["ask", "-n", "hello"]), 69, "no data from the server for 200ms");
}

#[test]
fn server_sending_only_keep_alives_times_out() {
    let server = Server::start(|_, stream| {
        let mut sent = stream.write_all(STREAM.as_bytes());
        while sent.is_ok() {
            sent = stream.write_all(format!(": still thinking\n\n{}", delta("")).as_bytes());
        }
    });
    let ws = server.workspace(&OPENAI, ", timeout: 500ms");
    refused(&ws, &ws.claw(&["ask", "-n", "hello"]), 69, "no whole answer within 500ms");
}

#[test]
fn a_call_that_was_cut_off_before_its_arguments_is_not_run_without_any() {
    let server = Server::start(|number, stream| {
        let calls =
            [0, 1].map(|n| json!({"index": n, "id": format!("c{n}"), "function": {"name": "list", "arguments": ""}}));
        let said = json!({"choices": [{"message": {"tool_calls": calls}, "finish_reason": "length"}]});
        let body = if number == 0 { said.to_string() } else { message("done") };
        let _ = stream.write_all(whole("200 OK", JSON, &body).as_bytes());
    });
    let ws = server.workspace(&OPENAI, "");
    assert_eq!(ws.claw(&["ask", "-n", "look"]).ok(), "done\n");
    let heard = server.heard();
    let results: Vec<&str> = messages(&heard[1].body).iter().filter(|(role, _)| *role == "tool").map(|m| m.1).collect();
    assert!(results[0].contains("AGENTS.md"), "that was whole: {results:?}");
    assert!(results[1].starts_with("error: the arguments are not a JSON object (EOF"), "{results:?}");
    assert!(results[1].ends_with("the tool was not run"), "{results:?}");
}

#[test]
fn a_body_that_is_shorter_than_it_was_to_be_is_no_answer() {
    // The JSON is complete, but the server has not sent everything.
    let body = message("four");
    let length = body.len() + 10;
    let server = Server::saying(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{JSON}\r\n{body}"));
    let ws = server.workspace(&OPENAI, "");
    refused(&ws, &ws.claw(&["ask", "-n", "hello"]), 69, "");
}

#[test]
fn a_stream_that_ends_in_good_order_before_the_answer_does_is_no_answer() {
    let server = Server::saying(format!("{STREAM}{}", delta("half an ")));
    let ws = server.workspace(&OPENAI, "");
    refused(&ws, &ws.claw(&["ask", "-n", "hello"]), 69, "the answer was cut off after 8 characters");
}

#[test]
fn an_empty_finish_reason_does_not_finish_an_answer() {
    // Some servers write "" where others write null.
    let said = r#"data: {"choices":[{"index":0,"delta":{"content":"half an "},"finish_reason":""}]}"#;
    let server = Server::saying(format!("{STREAM}{said}\n\n"));
    let ws = server.workspace(&OPENAI, "");
    refused(&ws, &ws.claw(&["ask", "-n", "hello"]), 69, "the answer was cut off after 8 characters");
}

#[test]
fn a_server_that_does_not_stream_is_understood() {
    let server = Server::saying(whole("200 OK", JSON, &message("four")));
    let ws = server.workspace(&OPENAI, "");
    let out = ws.claw(&["ask", "-n", "--json", "2+2"]).ok();
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&document["content"], &document["usage"]), (&json!("four"), &json!({"input": 3, "output": 1})));
    assert_eq!(server.heard()[0].body["stream"], true);
}

#[test]
fn a_question_that_was_cut_off_is_answered_when_it_is_tried_again() {
    let server = Server::start(|number, stream| {
        let end = if number == 0 { "" } else { DONE };
        let _ = stream.write_all(format!("{STREAM}{}{end}", delta("four")).as_bytes());
    });
    let ws = server.workspace(&OPENAI, "");
    let id = routed(&ws, "2+2");
    assert!(ws.claw(&["run-agent"]).fails(75).contains("cut off after 4 characters"));
    assert_eq!(ws.claw(&["retry", &id]).ok(), format!("{id}\n"));
    assert_eq!(ws.claw(&["run-agent"]).ok(), format!("{id}.r01\n"));
    assert_eq!(ws.claw(&["deliver"]).ok(), "four\n");
    let asked: Vec<Heard> = server.heard();
    assert_eq!(asked.len(), 2);
    assert_eq!(messages(&asked[1].body)[1..], [("user", "2+2")], "the first try is no part of the conversation");
}

#[test]
fn a_stream_may_come_in_any_pieces_with_comments_and_carriage_returns() {
    let lines = [
        ": keep-alive",
        "",
        r#"data: {"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}"#,
        "",
        "event: message",
        r#"data:{"choices":[{"index":0,"delta":{"content":"déjà "},"finish_reason":""}],"usage":null}"#,
        "",
        ": keep-alive",
        "",
        // One event over two lines, with unknown fields.
        r#"data: {"choices":[{"index":0,"delta":{"content":"vu 🦀","mood":1},"finish_reason":null}],"#,
        r#"data: "error":null}"#,
        "",
        r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        "",
        r#"data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":null}}"#,
        "",
        "data: [DONE]",
        "",
        "",
    ];
    for end in ["\r\n", "\n"] {
        let text = lines.join(end);
        // Every byte is a chunk of its own, so every character and every line end is split.
        let server = Server::start(move |_, stream| {
            let head = STREAM.replace("Connection: close", "Transfer-Encoding: chunked");
            let _ = stream.write_all(head.as_bytes());
            for byte in text.as_bytes() {
                let _ = stream.write_all(&[b"1\r\n", &[*byte][..], b"\r\n"].concat());
            }
            let _ = stream.write_all(b"0\r\n\r\n");
        });
        let ws = server.workspace(&OPENAI, "");
        let out = ws.claw(&["ask", "-n", "--json", "hello"]).ok();
        let document: Value = serde_json::from_str(&out).unwrap();
        let got = (&document["content"], &document["usage"]);
        assert_eq!(got, (&json!("déjà vu 🦀"), &json!({"input": 5, "output": 0})), "{end:?}");
    }
}

/// Asks a server that sends `head` and then `piece` without end. `claw` may have 400 MB of address space and 20
/// seconds; the server stops after a gigabyte, so that this ends in any case.
#[track_caller]
fn endless(head: &[u8], piece: String, code: i32, what: &str) {
    let (head, sent) = (head.to_owned(), Arc::new(AtomicU64::new(0)));
    let sends = Arc::clone(&sent);
    let server = Server::start(move |_, stream| {
        let mut went = stream.write_all(&head);
        while went.is_ok() && sends.load(Ordering::SeqCst) < 1 << 30 {
            sends.fetch_add(piece.len() as u64, Ordering::SeqCst);
            went = stream.write_all(piece.as_bytes());
        }
    });
    let ws = server.workspace(&OPENAI, ", timeout: 20s");
    refused(&ws, &ws.shell("ulimit -v 400000; exec claw ask -n hello"), code, what);
    // The buffers of the two sockets come on top.
    let sent = sent.load(Ordering::SeqCst) >> 20;
    assert!(sent <= (MAX_ANSWER >> 20) + 56, "{sent} MiB were taken");
}

/// As [`endless`], and the answer must have been refused as too long.
#[track_caller]
fn too_long(head: &[u8], piece: String) {
    endless(head, piece, 1, &format!("the answer is over {MAX_ANSWER} bytes"));
}

#[test]
fn an_endless_answer_ends_at_the_limit() {
    too_long(STREAM.as_bytes(), delta(&"x".repeat(16 << 10)));
}

#[test]
fn an_endless_line_of_a_stream_ends_at_the_limit() {
    too_long(&[STREAM.as_bytes(), b"data: "].concat(), "x".repeat(64 << 10));
}

#[test]
fn byte_that_is_not_utf_8_does_not_cost_the_answer() {
    let event = b"data: {\"choices\":[{\"delta\":{\"content\":\"caf\xe9\"}}]}\n\n";
    let server = Server::saying([STREAM.as_bytes(), event, DONE.as_bytes()].concat());
    assert_eq!(server.workspace(&OPENAI, "").claw(&["ask", "-n", "hello"]).ok(), "caf\u{fffd}\n");
}

#[test]
fn an_endless_event_of_a_stream_ends_at_the_limit() {
    too_long(STREAM.as_bytes(), format!("data: {}\n", "x".repeat(16 << 10)));
}

#[test]
fn an_endless_body_that_is_no_stream_ends_at_the_limit() {
    too_long(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", "x".repeat(64 << 10));
}

#[test]
fn refusal_kind_follows_the_status_at_any_length() {
    let head = b"HTTP/1.1 500 Oh\r\nContent-Type: text/plain\r\n\r\n";
    endless(head, "x".repeat(64 << 10), 69, "HTTP 500: xxx");
}

#[test]
fn refusal_kind_follows_the_status_also_if_cut_off() {
    let head = "HTTP/1.1 429 Slow Down\r\nRetry-After: 60\r\nContent-Length: 100\r\n\r\nslow";
    let cut = Server::saying(head);
    let silent = Server::start(move |_, stream| {
        let _ = stream.write_all(head.as_bytes());
        silence(stream);
    });
    for server in [cut, silent] {
        let ws = server.workspace(&OPENAI, ", first_token_timeout: 500ms, idle_timeout: 500ms");
        refused(&ws, &ws.claw(&["ask", "-n", "hello"]), 75, "HTTP 429");
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let other = Server::saying(whole("200 OK", JSON, &message("gotcha")));
    let location = format!("Location: http://127.0.0.1:{}/v1/chat/completions\r\n", other.port);
    for status in ["302 Found", "307 Temporary Redirect"] {
        let server = Server::saying(whole(status, &location, ""));
        let ws = server.workspace(&OPENAI, ", api_key_env: MOCK_KEY");
        let ran = ws.command(&["ask", "-n", "hello"]).env("MOCK_KEY", "sk-secret").output().unwrap().into();
        refused(&ws, &ran, 78, &format!("HTTP {}: the server refers from ", &status[..3]));
        assert_eq!(server.heard().len(), 1);
    }
    assert_eq!(other.heard().len(), 0);
}

#[test]
fn exit_code_shows_whether_a_retry_can_help() {
    let cases = [
        ("400 Bad Request", 1),
        ("401 Unauthorized", 78),
        ("403 Forbidden", 78),
        ("404 Not Found", 1),
        ("408 Request Timeout", 69),
        ("429 Too Many Requests", 75),
        ("503 Service Unavailable", 69),
    ];
    for (status, code) in cases {
        let body = r#"{"error":{"message":"so it is"}}"#;
        let server = Server::saying(whole(status, &format!("{JSON}Retry-After: 60\r\n"), body));
        let ws = server.workspace(&OPENAI, "");
        refused(&ws, &ws.claw(&["ask", "-n", "hello"]), code, &format!("HTTP {}: so it is", &status[..3]));
        assert_eq!(server.heard().len(), 1, "{status}: one command, one request");
    }
}

#[test]
fn a_request_that_is_too_long_is_not_tried_again_as_it_is() {
    let words = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens";
    let error = json!({"error": {"message": words, "code": "context_length_exceeded"}}).to_string();
    let in_a_stream = format!("{STREAM}{}data: {error}\n\n", delta("half an "));
    for answer in [whole("400 Bad Request", JSON, &error), whole("200 OK", JSON, &error), in_a_stream] {
        let server = Server::saying(answer);
        let ws = server.workspace(&OPENAI, "");
        routed(&ws, "hello");
        let err = ws.claw(&["run-agent"]).fails(1);
        assert!(err.contains(words) && err.contains("exceeds the model's context window"), "{err}");
        assert_eq!((ws.list("inbox/wait").len(), ws.list("inbox/failed").len()), (0, 2));
    }
}

#[test]
fn a_server_that_wants_to_be_asked_again_at_once_is_not_asked_without_end() {
    // The 20th answer would end the event, so that this test ends in any case.
    let server = Server::start(|number, stream| {
        let status = if number < 20 { "429 Too Many Requests" } else { "400 Bad Request" };
        let _ = stream.write_all(whole(status, "Retry-After: 0\r\n", "").as_bytes());
    });
    let ws = server.workspace(&OPENAI, "");
    routed(&ws, "hello");
    ws.claw(&["run-agent"]).fails(75);
    assert_eq!(server.heard().len(), 1);
    assert_eq!(ws.list("inbox/wait").len(), 1);
}

#[test]
fn the_settings_of_the_model_are_in_the_request() {
    let server = Server::saying(whole("200 OK", JSON, &message("four")));
    let ws = server.workspace(&OPENAI, ", temperature: 0.5, max_tokens: 9");
    ws.claw(&["ask", "-n", "-s", "work", "2+2"]).ok();
    let [heard] = &server.heard()[..] else { panic!("{:?}", server.heard()) };
    let system = messages(&heard.body)[0].1;
    let expected = json!({
        "model": "m",
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": "2+2"}],
        "stream": true,
        "stream_options": {"include_usage": true},
        "temperature": 0.5,
        "max_tokens": 9,
    });
    let mut body = heard.body.clone();
    body["messages"] = without_times(&heard.body["messages"]);
    body.as_object_mut().unwrap().remove("tools"); // tests/turns.rs
    assert_eq!(body, expected);
    assert_eq!(heard.head.lines().next(), Some("POST /v1/chat/completions HTTP/1.1"));
}

/// The same settings in every dialect: the role of the prompt, and everything in the body but messages and tools.
#[test]
fn each_dialect_sends_its_own_request() {
    let server = Server::saying(whole("200 OK", JSON, &message("four")));
    let ws = server.workspace(&OPENAI, ", dialect: DIALECT, temperature: 0.5, max_tokens: 9, thinking: high");
    let settings = ws.read("claw.yaml");
    let plain = json!({"model": "m", "stream": true, "stream_options": {"include_usage": true}, "temperature": 0.5,
        "max_tokens": 9, "reasoning_effort": "high"});
    let renamed = json!({"max_tokens": null, "max_completion_tokens": 9});
    let switch = json!({"thinking": {"type": "enabled"}});
    let reasoning = json!({"max_tokens": null, "max_completion_tokens": 9, "temperature": null});
    let rows = [
        ("openai-chat", "system", renamed.clone()),
        ("openai-reasoning", "developer", reasoning),
        ("openai", "system", renamed.clone()),
        ("deepseek", "system", switch.clone()),
        ("moonshot", "system", switch.clone()),
        ("zhipu", "system", switch),
        ("openrouter", "system", json!({"reasoning_effort": null, "reasoning": {"effort": "high"}})),
        ("gemini", "system", json!({})),
        ("mistral", "system", json!({"stream_options": null, "reasoning_effort": null})),
        ("groq", "system", renamed.clone()),
        ("xai", "system", renamed.clone()),
        ("cerebras", "system", renamed),
        ("plain", "system", json!({})),
    ];
    for (number, (dialect, role, changes)) in rows.iter().enumerate() {
        ws.write("claw.yaml", &settings.replace("DIALECT", dialect));
        ws.claw(&["ask", "-n", "2+2"]).ok();
        let mut body = server.heard()[number].body.clone();
        assert_eq!(messages(&body)[0].0, *role, "{dialect}");
        let mut expected = plain.clone();
        for (field, value) in changes.as_object().unwrap() {
            expected[field] = value.clone();
        }
        expected.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        body.as_object_mut().unwrap().retain(|field, _| !["messages", "tools"].contains(&&field[..]));
        assert_eq!(body, expected, "{dialect}");
    }
    ws.write("claw.yaml", &settings.replace("DIALECT", "zzzzzzzz"));
    let names: Vec<&str> = rows.iter().map(|(name, ..)| *name).collect();
    let err = ws.claw(&["ask", "-n", "2+2"]).fails(78);
    assert!(err.contains(&format!("there are: {}\n", names.join(", "))), "the table has every dialect: {err}");
}

// ---------------------------------------------------------------- the key

const KEY: &str = "sk-5e1f-d0-n0t-t3ll-4nyb0dy";

/// The `Authorization` header of a request.
fn authorization(heard: &Heard) -> Option<&str> {
    let line = heard.head.lines().find(|line| line.to_lowercase().starts_with("authorization:"))?;
    Some(line.split_once(':')?.1.trim())
}

#[test]
fn the_key_of_an_environment_variable_is_sent_as_a_bearer_token() {
    let server = Server::saying(whole("200 OK", JSON, &message("four")));
    let ws = server.workspace(&OPENAI, ", api_key_env: MOCK_KEY");
    let ran: Ran = ws.command(&["ask", "-n", "2+2"]).env("MOCK_KEY", KEY).output().unwrap().into();
    assert_eq!(ran.ok(), "four\n");
    assert_eq!(authorization(&server.heard()[0]), Some(&format!("Bearer {KEY}")[..]));
    secret(&ws, "");
}

#[test]
fn the_key_of_a_file_is_sent_without_the_files_line_end() {
    let server = Server::saying(whole("200 OK", JSON, &message("four")));
    let ws = server.workspace(&OPENAI, ", api_key_file: ../key");
    fs::write(ws.dir.path().join("key"), format!("{KEY}\n")).unwrap();
    assert_eq!(ws.claw(&["ask", "-n", "2+2"]).ok(), "four\n");
    assert_eq!(authorization(&server.heard()[0]), Some(&format!("Bearer {KEY}")[..]));
    fs::remove_file(ws.dir.path().join("key")).unwrap();
    refused(&ws, &ws.claw(&["ask", "-n", "2+2"]), 78, "the key file ");
    assert_eq!(server.heard().len(), 1);
}

#[test]
fn missing_key_variable_sends_no_request() {
    let server = Server::saying(whole("200 OK", JSON, &message("four")));
    let ws = server.workspace(&OPENAI, ", api_key_env: MOCK_KEY");
    for value in [None, Some("")] {
        let mut ask = ws.command(&["ask", "-n", "2+2"]);
        ask.envs(value.map(|v| ("MOCK_KEY", v)));
        let ran: Ran = ask.output().unwrap().into();
        assert_eq!((ran.code, &ran.out[..]), (78, ""), "{ran:#?}");
        assert!(ran.err.contains("the environment variable MOCK_KEY is not set"), "{}", ran.err);
    }
    assert_eq!(server.heard().len(), 0);
}

#[test]
fn a_key_that_no_header_can_carry_is_bad_configuration() {
    let server = Server::saying(whole("200 OK", JSON, &message("four")));
    let ws = server.workspace(&OPENAI, ", api_key_env: MOCK_KEY");
    let ran: Ran = ws.command(&["ask", "-n", "2+2"]).env("MOCK_KEY", format!("{KEY}\nx")).output().unwrap().into();
    secret(&ws, &ran.err);
    refused(&ws, &ran, 78, "");
    assert_eq!(server.heard().len(), 0);
}

#[test]
fn openai_key_is_not_sent_to_other_servers() {
    let server = Server::saying(whole("200 OK", JSON, &message("four")));
    let ws = server.workspace(&OPENAI, "");
    let ran: Ran = ws.command(&["ask", "-n", "2+2"]).env("OPENAI_API_KEY", KEY).output().unwrap().into();
    ran.ok();
    assert_eq!(authorization(&server.heard()[0]), None);
}

/// Neither the key nor its beginning is in the output, or in any file of the workspace.
#[track_caller]
fn secret(ws: &Fixture, said: &str) {
    let part = &KEY[..10];
    assert!(!said.contains(part), "{said}");
    let mut count = 0;
    for entry in walkdir::WalkDir::new(&ws.root).into_iter().map(Result::unwrap) {
        if entry.file_type().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            let is_there = bytes.windows(part.len()).any(|window| window == part.as_bytes());
            assert!(!is_there, "{}: {}", entry.path().display(), String::from_utf8_lossy(&bytes));
            count += 1;
        }
    }
    assert!(count > 10, "only {count} files were looked at");
}

/// If a server repeats our key, `ask` and the stages hide it.
#[track_caller]
fn echoed(answer: &str, what: &str) {
    let server = Server::saying(answer);
    let ws = server.workspace(&OPENAI, ", api_key_env: MOCK_KEY");
    let claw = |arguments: &[&str]| -> Ran { ws.command(arguments).env("MOCK_KEY", KEY).output().unwrap().into() };
    let ran = claw(&["ask", "-n", "hello"]);
    assert!(ran.err.contains(what), "not `{what}` but {}", ran.err);
    secret(&ws, &ran.err);
    routed(&ws, "hello");
    let ran = claw(&["run-agent"]);
    assert_ne!(ran.code, 0, "{ran:#?}");
    secret(&ws, &ran.err);
    let why = claw(&["status"]).ok() + &claw(&["log"]).ok();
    secret(&ws, &why);
    assert_eq!(server.heard().iter().filter(|heard| heard.head.contains(KEY)).count(), 2, "the key was used");
}

#[test]
fn a_key_that_a_refusal_repeats_is_hidden() {
    let body = json!({"error": {"message": format!("Incorrect API key provided: {KEY}.")}}).to_string();
    echoed(&whole("401 Unauthorized", JSON, &body), "HTTP 401: Incorrect API key provided: [key].");
    echoed(&whole("400 Bad Request", "", &format!("no {KEY} here")), "HTTP 400: no [key] here");
}

#[test]
fn a_key_is_hidden_also_where_a_long_refusal_is_cut_within_it() {
    for before in [280, 285, 290] {
        let body = format!("{} {KEY} is unknown", "x".repeat(before));
        echoed(&whole("401 Unauthorized", "", &body), "HTTP 401: xxx");
    }
}

#[test]
fn a_key_in_nonsense_is_hidden_also_where_the_nonsense_is_cut_within_it() {
    echoed(&whole("200 OK", JSON, &format!("no {KEY} here")), "invalid response from the server: `no [key] here`");
    for before in [60, 65] {
        let body = format!("{} {KEY} is unknown", "x".repeat(before));
        echoed(&whole("200 OK", JSON, &body), "invalid response from the server: `xxx");
        echoed(&format!("{STREAM}data: {body}\n\n"), "model mock: xxx");
    }
}

#[test]
fn a_key_that_an_error_inside_a_stream_repeats_is_hidden() {
    let error = json!({"error": {"message": format!("{KEY} has expired")}});
    echoed(&format!("{STREAM}data: {error}\n\n"), "model mock: [key] has expired");
    let error = json!({"error": {"who": KEY}});
    echoed(&format!("{STREAM}data: {error}\n\n"), r#"model mock: {"who":"[key]"}"#);
}

// ---------------------------------------------------------------- kill

#[test]
fn a_turn_that_was_killed_while_the_model_was_silent_is_finished_by_the_next_one() {
    let server = Server::start(|number, stream| match number {
        0 => silence(stream),
        _ => drop(stream.write_all(format!("{STREAM}{}{DONE}", delta("four")).as_bytes())),
    });
    let ws = server.workspace(&OPENAI, "");
    let id = routed(&ws, "2+2");
    let mut killed = ws.command(&["run-agent"]).spawn().unwrap();
    server.hears(1);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(ws.pending(), [format!("inbox/run/{id}~pickle.cli-ann~1.json")], "an orphan");
    assert_eq!(ws.claw(&["run-agent"]).ok(), format!("{id}.r01\n"));
    assert_eq!(ws.claw(&["run-agent"]).ok(), "");
    assert_eq!(ws.pending(), [format!("outbox/ready/{id}.r01~cli-ann~0.json")]);
    assert_eq!(ws.claw(&["deliver"]).ok(), "four\n");
    assert_eq!(ws.claw(&["deliver"]).ok(), "");
    let asked: Vec<Value> = server.heard().into_iter().map(|heard| heard.body).collect();
    assert_eq!(asked.len(), 2);
    for body in &asked {
        assert_eq!(messages(body)[1..], [("user", "2+2")]);
    }
}
