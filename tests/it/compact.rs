//! Conversations longer than the context window, against a server that counts, refuses longer requests, and checks
//! every rule.

use crate::common::Fixture;
use crate::common::servers::without_times;
use crate::common::window::{Summary, Window};
use serde_json::{Value, json};

const WINDOW: usize = 4_000;
const FACTS: [&str; 6] = [
    "By the way, my sister's name is Ottilie.",
    "Remember that the vault code is 7788-Q.",
    "I am allergic to penicillin.",
    "We moved the launch to 14 March.",
    "Never book me a window seat.",
    "Our cat is called Tama and she is nine.",
];

fn workspace(server: &Window, settings: &str) -> Fixture {
    let ws = Fixture::new();
    server.model(&ws, settings);
    // The other layers of the prompt would fill most of so small a window.
    ws.write("agents/pickle/AGENT.md", "---\nname: Pickle\ntools: [recall]\n---\nYou are Pickle.\n");
    let notes: String =
        (0..40).map(|n| format!("- word1 word2 a note about place {n}, which is long enough to be cut\n")).collect();
    ws.write("memories/topics/places.md", &notes);
    ws
}

/// Drops messages, and handles them in one process.
fn converse(ws: &Fixture, texts: impl Iterator<Item = String>) -> crate::common::Ran {
    for (n, text) in texts.enumerate() {
        let event = json!({"from": "file:a", "content": text});
        ws.write(&format!("inbox/{n:04}.json"), &event.to_string());
    }
    ws.claw(&["tick"])
}

fn text(n: usize) -> String {
    match n {
        n if n % 70 == 8 => FACTS[n / 70 % FACTS.len()].to_owned(),
        n if n % 7 == 0 => format!("Turn {n}: please look it up, the thing about place {n}."),
        n if n % 3 == 0 => format!("What is there to say about river {n}, and why?"),
        n => format!("Turn {n}: tell me more about the weather of town {n}."),
    }
}

/// The lines of the session's log of this kind.
fn logged(ws: &Fixture, session: &str, kind: &str) -> Vec<Value> {
    let log = ws.read(&format!("sessions/{session}/log.jsonl"));
    log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|line| line["t"] == kind).collect()
}

fn no_rule_is_broken(server: &Window) {
    server.seen(|seen| assert_eq!((&seen.broken[..], &seen.refused[..]), (&[][..], &[][..])));
}

/// Every planted fact is in the last request.
fn knows_all(server: &Window) {
    let last = server.last();
    for fact in FACTS {
        assert!(last.contains(fact), "{fact}: {last}");
    }
}

#[test]
fn five_hundred_turns_in_a_small_window_lose_nothing_that_the_user_stated() {
    let server = Window::start(WINDOW, false);
    let ws = workspace(&server, ", window: 4000");
    converse(&ws, (0..500).map(text)).ok();
    assert_eq!(logged(&ws, "pickle.file-a", "done").len(), 500);
    no_rule_is_broken(&server);
    knows_all(&server);
    let compacts = logged(&ws, "pickle.file-a", "compact");
    assert!(compacts.len() > 10 && compacts.iter().all(|line| line["after"][1].as_u64() < line["before"][1].as_u64()));
    // Between two compactions every request begins with the previous one, so that providers' caches hit.
    let breaks = server.seen(|seen| {
        let plain = |messages: &[Value]| without_times(&messages[1..].into()).as_array().unwrap().clone();
        let is_break = |pair: &&[Vec<Value>]| !plain(&pair[1]).starts_with(&plain(&pair[0]));
        seen.requests.windows(2).filter(is_break).count()
    });
    assert_eq!(breaks, compacts.len());
    // The log still has everything.
    let users: Vec<Value> =
        logged(&ws, "pickle.file-a", "in").iter().map(|line| line["event"]["content"].clone()).collect();
    assert_eq!(users, (0..500).map(|n| Value::from(text(n))).collect::<Vec<_>>());
}

#[test]
fn a_model_that_counts_is_believed() {
    let server = Window::start(WINDOW, true);
    let ws = workspace(&server, ", window: 4000");
    converse(&ws, (0..80).map(text)).ok();
    no_rule_is_broken(&server);
    let context = ws.claw(&["ask", "-n", "-s", "pickle.file-a", "/context"]).ok();
    assert!(context.contains("window: 4000 tokens of small (by claw.yaml); compacted at 3200\n"), "{context}");
    assert!(context.contains("tokens: the model's last count ("), "{context}");
    assert!(context.contains("compacted: last compacted by small: "), "{context}");
    assert!(context.contains("messages of the user kept verbatim"), "{context}");
}

#[test]
fn conversation_continues_without_a_summary() {
    for (mode, why) in [(Summary::Fails, "out of order"), (Summary::TooLong, "maximum context length")] {
        let server = Window::start(WINDOW, false);
        server.summary(mode);
        let ws = workspace(&server, ", window: 4000");
        let ran = converse(&ws, (0..90).map(text));
        assert!(
            ran.err.contains("no summary by a model, so one is made without it") && ran.err.contains(why),
            "{ran:?}"
        );
        ran.ok();
        assert_eq!(logged(&ws, "pickle.file-a", "done").len(), 90);
        no_rule_is_broken(&server);
        let last = server.last();
        assert!(last.contains(FACTS[0]) && last.contains("the agent said: "), "{last}");
        let compacts = logged(&ws, "pickle.file-a", "compact");
        assert!(!compacts.is_empty() && compacts.iter().all(|line| line.get("model").is_none()));
        // A request that is too long is tried at half its length, at most three times.
        let asked = server.seen(|seen| seen.summaries.iter().map(String::len).collect::<Vec<_>>());
        let tries = if mode == Summary::TooLong { 3 } else { 1 };
        assert_eq!(asked.len(), compacts.len() * tries);
        assert!(asked.chunks(tries).all(|lengths| lengths.is_sorted_by(|a, b| a >= b)), "{asked:?}");
    }
}

#[test]
fn smaller_context_window_is_learned_from_a_refusal() {
    let server = Window::start(WINDOW, false);
    let ws = workspace(&server, "");
    converse(&ws, (0..120).map(text)).ok();
    assert_eq!(logged(&ws, "pickle.file-a", "done").len(), 120);
    server.seen(|seen| assert_eq!((seen.broken.len(), seen.refused.len()), (0, 1), "{:?}", seen.refused));
    let compacts = logged(&ws, "pickle.file-a", "compact");
    assert_eq!((&compacts[0]["why"], &compacts[0]["window"]["tokens"]), (&json!("overflow"), &json!(WINDOW)));
    assert!(compacts.len() > 2 && compacts[1..].iter().all(|line| line["why"] == "share"));
    let context = ws.claw(&["ask", "-n", "-s", "pickle.file-a", "/context"]).ok();
    assert!(context.contains("window: 4000 tokens of small (reported by its server)"), "{context}");
}

#[test]
fn message_larger_than_the_context_window_fails() {
    let server = Window::start(100, false);
    let ws = workspace(&server, "");
    let err = ws.claw(&["ask", "-n", "hello"]).fails(1);
    assert!(err.contains("maximum context length is 100 tokens"), "{err}");
    server.seen(|seen| assert!(seen.refused.len() <= 2, "{:?}", seen.refused));
}

#[test]
fn compact_counts_from_the_next_turn_on() {
    let server = Window::start(100_000, false);
    let ws = workspace(&server, ", window: 100000");
    let ask = |text: &str| ws.claw(&["ask", "-n", "-s", "t", text]).ok().trim_end().to_owned();
    assert_eq!(ask("/compact"), "there is nothing to compact: the conversation is short");
    for text in
        ["My boat is called Vesna.", "look it up", "look it up again", "look it up once more", "and then?", "fine"]
    {
        ask(text);
    }
    let said = ask("/compact the boat");
    assert!(said.starts_with("compacted by small: ") && said.contains("before 21 messages"), "{said}");
    server.seen(|seen| assert!(seen.summaries[0].contains("keep: the boat") && seen.summaries[0].contains("Vesna")));
    ask("What is my boat called?");
    let messages = server.seen(|seen| seen.requests.last().cloned().unwrap());
    assert!(messages.len() < 10, "{messages:#?}");
    let head = messages[1]["content"].as_str().unwrap();
    assert!(head.contains("- My boat is called Vesna.\n") && head.contains("They talked about many things."), "{head}");
    assert!(!server.last().contains("/compact") && !server.last().contains("compacted by"));
    no_rule_is_broken(&server);
    // It is not part of the conversation, and leaves nothing behind.
    assert_eq!(ws.pending(), [""; 0]);
    assert_eq!(logged(&ws, "pickle.t", "in").len(), 7);
}

#[test]
fn compact_command_is_an_event_in_its_sessions_lane() {
    let server = Window::start(100_000, false);
    let ws = workspace(&server, ", window: 100000");
    for n in 0..5 {
        ws.claw(&["send", "--from", "file:a", &format!("My number {n} is {n}.")]).ok();
    }
    let id = ws.claw(&["send", "--from", "file:a", "/compact"]).ok().trim().to_owned();
    ws.claw(&["send", "--from", "file:a", "hello"]).ok();
    ws.claw(&["route"]).ok();
    assert!(ws.list("inbox/ready").contains(&format!("{id}~pickle.file-a~0.json")));
    for _ in 0..2 {
        assert_eq!(ws.claw(&["run-agent", &id]).ok(), format!("{id}.r01\n"));
    }
    ws.claw(&["tick"]).ok();
    let answer = ws.read(&format!("outbox/files/a/{id}.r01.md"));
    assert!(answer.starts_with("compacted by small: 6 messages"), "{answer}");
    assert!(server.last().contains("- My number 0 is 0.\\n"), "{}", server.last());
    let why = ws.claw(&["why", &id]).ok();
    assert!(why.contains("(a command), session pickle.file-a\n"), "{why}");
    assert_eq!(logged(&ws, "pickle.file-a", "compact").len(), 1);
    no_rule_is_broken(&server);
}

#[test]
fn a_summary_is_paid_for_and_stop_reaches_it() {
    let server = Window::start(100_000, false);
    let ws = workspace(&server, ", window: 100000");
    ws.config("budget: {day: {calls: 7}}");
    let ask = |text: &str| ws.claw(&["ask", "-n", "-s", "t", text]).ok().trim_end().to_owned();
    for n in 0..5 {
        ask(&format!("My number {n} is {n}."));
    }
    server.summary(Summary::Hangs);
    let turn = ws.command(&["ask", "-n", "-s", "t", "/compact"]).spawn().unwrap();
    ws.eventually("a summary is asked for", |_| server.seen(|seen| seen.summaries.len() == 1));
    assert!(ask("/stop").contains("is stopped"));
    let ended: crate::common::Ran = turn.wait_with_output().unwrap().into();
    assert_eq!(ended.ok(), "I was stopped.\n");
    assert_eq!(logged(&ws, "pickle.t", "compact").len(), 0);
    server.summary(Summary::Given);
    assert!(ask("/compact").starts_with("compacted by small"));
    // Five answers and two summaries.
    let spent = ws.claw(&["ask", "-n", "-s", "t", "one more"]).fails(75);
    assert!(spent.contains("7 calls"), "{spent}");
}

/// Kills a worker while it waits for the server, and finishes its work.
fn killed(ws: &Fixture, server: &Window, arguments: &[&str], summaries: usize) {
    let mut turn = ws.command(arguments).spawn().unwrap();
    ws.eventually("it hangs", |_| server.seen(|seen| seen.summaries.len() == summaries));
    turn.kill().unwrap();
    turn.wait().unwrap();
}

#[test]
fn killed_compaction_resumes_and_compacts_once() {
    let server = Window::start(WINDOW, false);
    let ws = workspace(&server, ", window: 4000");
    // Up to the first summary, which never arrives.
    server.summary(Summary::Hangs);
    for (n, text) in (0..40).map(text).enumerate() {
        ws.write(&format!("inbox/{n:04}.json"), &json!({"from": "file:a", "content": text}).to_string());
    }
    killed(&ws, &server, &["tick"], 1);
    assert_eq!(logged(&ws, "pickle.file-a", "compact").len(), 0);
    killed(&ws, &server, &["tick"], 2);
    server.summary(Summary::Given);
    // After two kills the event is put off, then handled.
    for minutes in [1, 2] {
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
        ws.claw(&["tick", "--now", &later.to_string()]);
    }
    assert_eq!(logged(&ws, "pickle.file-a", "done").len(), 40);
    let summaries = server.seen(|seen| seen.summaries.len());
    assert_eq!(logged(&ws, "pickle.file-a", "compact").len(), summaries - 2);
    no_rule_is_broken(&server);
    assert!(server.last().contains(FACTS[0]));
}
