//! Agents that dispatch to each other: the answer returns into the same turn, in one process or in many, and every wait
//! ends.

use crate::common::Fixture;
use crate::common::checker::{delivered, ended, violations, violations_with};
use crate::common::proof::{self, Proof, Random};
use crate::common::strict::{Answer, Script, Strict};
use serde_json::{Value, json};

fn ask(agent: &str, task: &str) -> (&'static str, Value) {
    ("subagent_dispatch", json!({"agent_id": agent, "task": task}))
}

/// The results of the last calls, verbatim.
fn said(results: &[String]) -> &'static str {
    results.join("\n").leak()
}

/// Dispatches once, and reports the result.
fn once(step: usize, results: &[String], call: fn() -> (&'static str, Value)) -> Answer {
    if step == 0 { ("", vec![call()]) } else { (said(results), vec![]) }
}

fn plan(step: usize, results: &[String]) -> Answer {
    once(step, results, || ask("cookie", "script:look"))
}

fn look(_: usize, _: &[String]) -> Answer {
    ("The NAS is 10.0.0.7.", vec![])
}

fn ring(step: usize, results: &[String]) -> Answer {
    once(step, results, || ask("cookie", "script:back"))
}

fn back(step: usize, results: &[String]) -> Answer {
    once(step, results, || ask("pickle", "script:look"))
}

/// Makes invalid dispatches.
fn wrong(step: usize, results: &[String]) -> Answer {
    let foreign =
        json!({"agent_id": "cookie", "task": "script:look", "context": "the house", "session_id": "cookie.mine"});
    let calls = vec![ask("pickle", "x"), ask("cokie", "x"), ask("cookie", " "), ("subagent_dispatch", foreign)];
    if step == 0 { ("", calls) } else { (said(results), vec![]) }
}

/// Continues in the session that it has begun.
fn twice(step: usize, results: &[String]) -> Answer {
    match step {
        0 => ("", vec![ask("cookie", "script:look")]),
        1 => {
            let session = told(&results[0])["session_id"].clone();
            let again = json!({"agent_id": "cookie", "task": "script:look again", "session_id": session});
            ("", vec![("subagent_dispatch", again)])
        }
        _ => (said(results), vec![]),
    }
}

/// Does not wait, and reports the result later.
fn later(step: usize, _: &[String]) -> Answer {
    let call = ("subagent_dispatch", json!({"agent_id": "cookie", "task": "script:look", "wait": false}));
    if step == 0 { ("", vec![call]) } else { ("It is being done.", vec![]) }
}

fn heard(_: usize, _: &[String]) -> Answer {
    ("Cookie says: 10.0.0.7.", vec![])
}

/// Dispatches to the agent with a broken model.
fn trust(step: usize, results: &[String]) -> Answer {
    once(step, results, || ask("broken", "script:look"))
}

const SCRIPTS: &[(&str, Script)] = &[
    ("script:plan", plan),
    ("Result from", heard),
    ("script:look", look),
    ("script:ring", ring),
    ("script:back", back),
    ("script:wrong", wrong),
    ("script:twice", twice),
    ("script:later", later),
    ("script:trust", trust),
    ("script:deep", deep),
    ("script:further", further),
    ("script:away", away),
    ("The task for broken failed", sorry),
    ("script:both", both),
];

/// One turn of each agent at once, and one in total.
fn narrow(server: &Strict) -> Fixture {
    let ws = Fixture::new();
    server.model(&ws);
    ws.config("max_concurrency: 1");
    ws.write("agents/pickle/AGENT.md", "---\nname: Pickle\nmax_concurrency: 1\n---\nYou are Pickle.\n");
    ws
}

/// The sessions of an agent for its dispatches.
fn subs(ws: &Fixture, agent: &str) -> Vec<String> {
    let mut names = ws.list("sessions");
    names.retain(|name| name.starts_with(&format!("{agent}.sub-")));
    names
}

fn told(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The delivered texts, in the order of their events.
fn texts(ws: &Fixture) -> Vec<String> {
    let names = delivered(ws);
    names.iter().map(|name| ws.read(&format!("outbox/files/a/{name}")).trim_end().to_owned()).collect()
}

/// Nothing is pending, and nothing has failed.
fn is_over(ws: &Fixture) -> bool {
    ws.pending().is_empty() && ws.list("inbox/failed").is_empty()
}

#[test]
fn the_answer_of_another_agent_comes_back_into_the_same_turn() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let answer = told(&ws.claw(&["ask", "-n", "-s", "t", "script:plan"]).ok());
    assert_eq!(answer, json!({"result": "The NAS is 10.0.0.7.", "session_id": subs(&ws, "cookie")[0]}));
    assert_eq!(server.broken(), [""; 0]);
    assert!(is_over(&ws));
    assert_eq!(ws.done("outbox").len(), 1, "what is said to an agent is sent nowhere");
}

/// Dispatches to cookie, which dispatches to a third agent.
fn deep(step: usize, results: &[String]) -> Answer {
    once(step, results, || ask("cookie", "script:further"))
}

fn further(step: usize, results: &[String]) -> Answer {
    once(step, results, || ask("third", "script:look"))
}

#[test]
fn why_shows_the_tree_of_dispatches() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    ws.write("agents/third/AGENT.md", "---\nname: Third\n---\nYou look.\n");
    ws.claw(&["ask", "-n", "-s", "t", "script:deep"]).ok();
    let why = ws.claw(&["why"]).ok();
    let lines: Vec<&str> = why.lines().collect();
    let third = &subs(&ws, "third")[0];
    let short = lines[0].split_once('-').unwrap().1.split(' ').next().unwrap();
    let is_line = |line: &str, head: &str, tail: &str| {
        let middle = line.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
        middle.is_some_and(|middle| middle.starts_with("done in "))
    };
    assert!(
        is_line(
            lines[4],
            &format!("  asked   cookie ({short}.d01): "),
            &format!("30 tokens, session cookie.sub-{short}.d01")
        ) && is_line(
            lines[5],
            &format!("    asked   third ({short}.d01.d01): "),
            &format!("15 tokens, session third.sub-{short}.d01.d01")
        ),
        "{why}"
    );
    let id = lines[0].split(' ').next().unwrap();
    let json = told(&ws.claw(&["why", "--json", id]).ok());
    let child = &json["dispatched"][0]["dispatched"][0];
    assert_eq!(
        (&child["agent"], &child["session"], &child["status"]),
        (&json!("third"), &json!(third), &json!("done"))
    );
    assert_eq!((&child["tokens"], &child["outgoing"][0]["status"]), (&json!(15), &json!("returned")));
    let of_child = ws.claw(&["why", &format!("{short}.d01")]).ok();
    assert!(
        of_child.contains("from agent:pickle, kind dispatch, in reply to") && of_child.contains("result  agent:pickle")
    );
}

#[test]
fn it_comes_back_under_a_supervisor_with_one_slot() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let supervisor = ws.supervise(&[]);
    ws.claw(&["send", "--from", "file:a", "script:plan"]).ok();
    ws.eventually("the answer is delivered", |ws| delivered(ws).len() == 1 && is_over(ws));
    assert_eq!(told(&texts(&ws)[0])["result"], "The NAS is 10.0.0.7.");
    assert_eq!(supervisor.stop().code, 0);
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn dispatch_cycle_is_refused_without_deadlock() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let result = told(&ws.claw(&["ask", "-n", "script:ring"]).ok())["result"].as_str().unwrap().to_owned();
    assert!(result.starts_with("error: pickle already waits for this task (pickle → cookie → pickle)"), "{result}");
    assert_eq!(server.broken(), [""; 0]);
    assert!(is_over(&ws));
}

#[test]
fn invalid_dispatch_is_a_tool_error() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    ws.claw(&["ask", "-n", "-a", "cookie", "-s", "mine", "script:look"]).ok();
    let answer = ws.claw(&["ask", "-n", "script:wrong"]).ok();
    let lines: Vec<&str> = answer.lines().collect();
    let expected = [
        "error: you are pickle: do it yourself",
        "error: there is no agent `cokie` (did you mean `cookie`?)",
        "error: there is nothing to do",
        "error: session cookie.mine was not begun by a dispatch of this conversation",
    ];
    assert_eq!(lines.len(), expected.len(), "{answer}");
    assert!(lines.iter().zip(expected).all(|(line, start)| line.starts_with(start)), "{answer}");
    assert_eq!(subs(&ws, "cookie"), [""; 0]);
}

#[test]
fn a_session_with_another_agent_is_gone_on_with() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let answer = told(&ws.claw(&["ask", "-n", "script:twice"]).ok());
    assert_eq!(json!(subs(&ws, "cookie")), json!([answer["session_id"]]));
    // The request contained the earlier messages.
    assert_eq!(server.asked("script:look", 0), 2);
    let log = ws.read(&format!("sessions/{}/log.jsonl", answer["session_id"].as_str().unwrap()));
    assert_eq!(log.matches(r#"{"t":"done""#).count(), 2);
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn unawaited_result_arrives_later_in_the_same_session() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let id = ws.claw(&["send", "--from", "file:a", "script:later"]).ok().trim().to_owned();
    for _ in 0..3 {
        ws.claw(&["tick"]).ok();
    }
    assert_eq!(texts(&ws), ["Cookie says: 10.0.0.7.", "It is being done."]);
    assert_eq!(delivered(&ws), [format!("{id}.d01.r01.r01.md"), format!("{id}.r01.md")]);
    assert!(is_over(&ws));
    let log = ws.read("sessions/pickle.file-a/log.jsonl");
    let head = format!("Result from cookie in session {}:", subs(&ws, "cookie")[0]);
    assert!(log.contains(&head), "{log}");
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn failed_dispatch_is_reported_and_the_turn_continues() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let head = "name: Broken\nllm: {provider: command, command: [sh, -c, 'echo no luck >&2; exit 1']}";
    ws.write("agents/broken/AGENT.md", &format!("---\n{head}\n---\nYou fail.\n"));
    let answer = ws.claw(&["ask", "-n", "script:trust"]).ok();
    assert!(answer.starts_with("error: broken in session broken.sub-") && answer.contains("no luck"), "{answer}");
    assert_eq!(ws.pending(), [""; 0]);
    assert_eq!(ws.list("inbox/failed"), [""; 0], "the user was told");
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn slow_dispatch_is_not_awaited_beyond_the_limit() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let head = "name: Broken\nturn_timeout: 1s\nllm: {provider: command, command: [sleep, '60']}";
    ws.write("agents/broken/AGENT.md", &format!("---\n{head}\n---\nYou sleep.\n"));
    let began = std::time::Instant::now();
    let answer = told(&ws.claw(&["ask", "-n", "script:trust"]).ok());
    assert_eq!(answer["result"], "I stopped after 1s and 0 steps without an answer.");
    assert!(began.elapsed() < std::time::Duration::from_secs(30));
    assert!(is_over(&ws));
}

#[test]
fn stop_reaches_the_dispatched_turn() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let head = "name: Broken\nllm: {provider: command, command: [sh, -c, ': >hangs; read x <gate']}";
    ws.write("agents/broken/AGENT.md", &format!("---\n{head}\n---\nYou hang.\n"));
    assert_eq!(ws.shell("mkfifo gate").code, 0);
    let _supervisor = ws.supervise(&[]);
    let id = ws.claw(&["send", "--from", "file:a", "script:trust"]).ok().trim().to_owned();
    ws.eventually("it hangs", |ws| ws.path("hangs").exists());
    ws.claw(&["send", "--from", "file:a", "--reply-to", "file:a", "/stop"]).ok();
    ws.eventually("both are over", |ws| ws.done("inbox").len() == 3 && is_over(ws));
    assert_eq!(texts(&ws)[0], "I was stopped after 1 step.");
    assert!(ws.read(&format!("sessions/{}/log.jsonl", subs(&ws, "broken")[0])).contains("I was stopped."));
    assert_eq!(violations(&ws, &[id.clone(), format!("{id}.d01")]), [""; 0]);
}

fn away(step: usize, _: &[String]) -> Answer {
    let call = ("subagent_dispatch", json!({"agent_id": "broken", "task": "script:look", "wait": false}));
    if step == 0 { ("", vec![call]) } else { ("It is being done.", vec![]) }
}

fn sorry(_: usize, _: &[String]) -> Answer {
    ("It could not be done.", vec![])
}

#[test]
fn unawaited_failure_is_reported_later() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    // Invalid UTF-8 stays invalid.
    let head = "name: Broken\nllm: {provider: command, command: [sh, -c, 'printf \"\\377\"']}";
    ws.write("agents/broken/AGENT.md", &format!("---\n{head}\n---\nYou fail.\n"));
    let id = ws.claw(&["send", "--from", "file:a", "script:away"]).ok().trim().to_owned();
    for _ in 0..3 {
        ws.claw(&["tick"]);
    }
    assert_eq!(texts(&ws), ["It could not be done.", "It is being done."]);
    assert_eq!(delivered(&ws), [format!("{id}.d01.n01.r01.md"), format!("{id}.r01.md")]);
    assert_eq!((ws.pending(), server.broken()), (vec![], vec![]));
}

fn both(step: usize, results: &[String]) -> Answer {
    let calls = vec![ask("cookie", "script:look"), ask("cookie", "script:look")];
    if step == 0 { ("", calls) } else { (said(results), vec![]) }
}

#[test]
fn dispatch_over_budget_fails_at_once() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    ws.write("agents/cookie/AGENT.md", "---\nname: Cookie\nbudget: {day: {calls: 1}}\n---\nYou keep.\n");
    ws.claw(&["send", "--from", "file:a", "script:both"]).ok();
    ws.claw(&["tick"]);
    let text = &texts(&ws)[0];
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(told(lines[0])["result"], "The NAS is 10.0.0.7.");
    assert!(lines[1].starts_with("error: cookie in session cookie.sub-") && lines[1].contains("calls"), "{text}");
}

/// Its worker is the parent of its watcher.
const DEADLY: &str = "kill -9 $(cut -d' ' -f4 /proc/$PPID/stat); sleep 9";

#[test]
fn killing_child_does_not_count_against_its_parent() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    ws.write("deadly.sh", DEADLY);
    let head = "name: Broken\nllm: {provider: command, command: [sh, deadly.sh]}";
    ws.write("agents/broken/AGENT.md", &format!("---\n{head}\n---\nYou kill.\n"));
    let id = ws.claw(&["send", "--from", "file:a", "script:trust"]).ok().trim().to_owned();
    ws.claw(&["route"]).ok();
    // The watcher of a killed worker holds the lane for a moment: then there is no work.
    let mut killed = 0;
    ws.eventually("it has killed two workers that handle other events, too", |ws| {
        killed += usize::from(ws.claw(&["run-agent"]).code == -9);
        killed == 2
    });
    // From now on it is handled by a process of its own, and put off after each death.
    let mut worker = ws.command(&["run-agent"]).spawn().unwrap();
    ws.eventually("it is answered", |ws| {
        ws.hurry();
        if worker.try_wait().unwrap().is_some() {
            worker = ws.command(&["run-agent"]).spawn().unwrap();
        }
        ws.done("inbox").len() == 1
    });
    assert_eq!(worker.wait().unwrap().code(), Some(0));
    ws.claw(&["deliver"]).ok();
    let text = &texts(&ws)[0];
    assert!(text.contains("its worker was killed 3 times"), "{text}");
    assert!(ws.list("inbox/failed").iter().all(|name| name.starts_with(&format!("{id}.d01"))));
    assert_eq!((server.asked("script:trust", 0), ws.pending()), (1, vec![]));
}

/// Records itself while it runs, and counts the running ones. The first answer of an agent dispatches to the agents
/// named in its file; the results are reported.
const GRAPH: &str = r#"cat >"$TMPDIR/request.$$"
agent=$(grep -o 'Agent: [a-z0-9]*' "$TMPDIR/request.$$" | head -n1 | cut -c8-)
mkdir -p "running/$agent"
: >"running/$agent/$$"
live() { n=0; for p in "$@"; do kill -0 "${p##*/}" 2>/dev/null && n=$((n + 1)); done; echo $n; }
echo "$agent $(live running/"$agent"/*) all $(live running/*/*)" >>most
if grep -q '"role":"tool"' "$TMPDIR/request.$$" || ! grep -q 'task' "$TMPDIR/request.$$"; then echo "done"; else cat "graph/$agent"; fi
rm "running/$agent/$$" "$TMPDIR/request.$$"
"#;
const AGENTS: usize = 5;
/// Concurrent turns: of one agent, and in total.
const LIMITS: (usize, usize) = (2, 3);

/// Agents whose model is that program.
fn many() -> Fixture {
    let ws = Fixture::new();
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("git: true", "git: false"));
    ws.write("model.sh", GRAPH);
    ws.model("graph", "provider: command, command: [sh, model.sh]");
    ws
}

#[test]
fn a_line_of_agents_comes_to_its_end() {
    let ws = many();
    ws.config("max_concurrency: 1");
    for agent in 0..12 {
        ws.write(&format!("agents/a{agent}/AGENT.md"), "---\nname: A\n---\nYou are one of many.\n");
        let call =
            json!({"name": "subagent_dispatch", "arguments": {"agent_id": format!("a{}", agent + 1), "task": "task"}});
        ws.write(&format!("graph/a{agent}"), &json!({"content": "", "calls": [call]}).to_string());
    }
    let id = ws.claw(&["send", "--from", "file:a", "--agent", "a0", "task"]).ok().trim().to_owned();
    ws.claw(&["route"]).ok();
    ws.claw(&["run-agent"]).ok();
    assert_eq!(
        (ws.done("inbox").len(), ws.pending().len()),
        (9, 1),
        "the answer, and the question behind eight others"
    );
    let last = format!("sessions/{}/log.jsonl", subs(&ws, "a8")[0]);
    assert!(ws.read(&last).contains("this task was already passed on 8 times, which is the limit"));
    assert!(ws.claw(&["why", &id]).ok().lines().any(|line| line.starts_with("                asked   a8 (")));
}

/// Agents that dispatch to each other at random, to themselves and in cycles too; some do not wait.
fn graph(random: &mut Random) -> Fixture {
    let ws = many();
    ws.config(&format!("max_concurrency: {}", LIMITS.1));
    for agent in 0..AGENTS {
        let head = format!("name: A\nmax_concurrency: {}", LIMITS.0);
        ws.write(&format!("agents/a{agent}/AGENT.md"), &format!("---\n{head}\n---\nYou are one of many.\n"));
        let call = |_| {
            let arguments = json!({
                "agent_id": format!("a{}", random.below(AGENTS)),
                "task": "task",
                "wait": random.below(5) > 0,
            });
            json!({"name": "subagent_dispatch", "arguments": arguments})
        };
        let calls: Vec<Value> = (0..=agent % 2).map(call).collect();
        ws.write(&format!("graph/a{agent}"), &json!({"content": "", "calls": calls}).to_string());
    }
    ws
}

/// The most concurrent turns of one agent, and the most in total.
fn most(ws: &Fixture) -> (usize, usize) {
    let of = |line: &str, word: usize| line.split(' ').nth(word).unwrap().parse::<usize>().unwrap();
    let text = ws.read("most");
    let lines = || text.lines().filter(|line| line.split(' ').count() == 4);
    (lines().map(|line| of(line, 1)).max().unwrap(), lines().map(|line| of(line, 3)).max().unwrap())
}

#[test]
fn random_dispatches_end_within_the_limits() {
    let rounds = if proof::is_full() { 30 } else { 2 };
    let mut proof = Proof::begin("agents that ask each other at random, their workers killed at random");
    proof.seed = Some(proof::seed());
    eprintln!("CLAW_TEST_SEED={}", proof::seed());
    let mut random = Random(proof::seed());
    for round in 0..rounds {
        let ws = graph(&mut random);
        let mut sent = Vec::new();
        for n in 0..8 {
            let arguments = ["send", "--from", &format!("file:p{n}"), "--agent", &format!("a{}", n % AGENTS), "task"];
            sent.push(ws.claw(&arguments).ok().trim().to_owned());
        }
        let mut workers = [ws.supervise(&[]), ws.supervise(&[])];
        for kill in 0..3 {
            // After so many answers that its progress is unknown.
            let after = 4 + kill * 3 + random.below(4);
            ws.eventually("some turns have begun, or all is over", |ws| {
                let text = std::fs::read_to_string(ws.path("most")).unwrap_or_default();
                text.lines().count() >= after || ws.pending().is_empty()
            });
            workers[kill % 2] = ws.supervise(&[]);
        }
        ws.eventually("it ends", |ws| ws.pending().is_empty());
        drop(workers);
        let done = ended(&ws);
        assert!(sent.iter().all(|id| done.contains(id)), "round {round}");
        // Results without a waiting turn arrive at any time.
        let late = done.iter().filter(|id| id.contains(".d")).cloned().collect();
        assert_eq!(violations_with(&ws, &done, &late), [""; 0], "round {round}");
        let most = most(&ws);
        assert!(most.0 <= LIMITS.0 && most.1 <= LIMITS.1, "round {round}: {most:?} at once, {LIMITS:?} allowed");
        proof.points += done.len();
    }
    proof.end(0);
}
