//! Slash commands: in every channel, beside every turn, and never before a model.

use crate::common::Fixture;
use crate::common::hanging::{begun, ended, hanging, with_hanging_tool};
use crate::common::strict::{Answer, Script, Strict};
use serde_json::json;

fn pipe(ws: &Fixture, send: &str) -> String {
    ws.shell(&format!("claw send {send} | claw route - | claw run-agent - | claw deliver -")).ok()
}

#[test]
fn command_is_an_event_like_any_other() {
    let ws = Fixture::new();
    let help = pipe(&ws, "/help");
    assert!(help.contains("/stop: stop the running turn\n") && help.contains("/new, /clear: "), "{help}");
    assert_eq!(ws.claw(&["ask", "-n", "/?"]).ok(), help);
    ws.claw(&["send", "--reply-to", "file:a", "/help"]).ok();
    ws.publish(&json!({"kind": "control", "content": "/hlep", "from": "file:b"}));
    ws.claw(&["tick"]).ok();
    let read = |place: &str| ws.read(&format!("outbox/files/{place}/{}", ws.list(&format!("outbox/files/{place}"))[0]));
    assert_eq!(read("a"), help);
    assert!(read("b").starts_with("unknown command `/hlep` (did you mean `/help`? "), "{}", read("b"));
    // None of it is part of a conversation.
    assert_eq!(ws.list("sessions"), [""; 0]);
    assert_eq!((ws.pending(), ws.list("inbox/failed")), (vec![], vec![]));
}

#[test]
fn text_that_is_no_command_goes_to_the_model() {
    let ws = hanging();
    for text in ["/etc/hosts, what is that?", "say /help", "/usr/bin is full", "/tmp is full, too"] {
        assert_eq!(ws.claw(&["ask", "-n", text]).ok(), "fine\n");
        assert!(ws.read("request").contains(text));
    }
}

#[test]
fn unknown_command_gets_a_suggestion_without_a_model_call() {
    let ws = hanging();
    let guess = "unknown command `/hepl`";
    assert!(ws.claw(&["ask", "-n", "/hepl"]).fails(65).contains(guess));
    assert!(ws.claw(&["ask", "-n", "/foo"]).fails(65).contains("/help"));
    assert!(ws.claw(&["ask", "-n", "/stop it"]).fails(65).contains("/stop: stop the running turn\n"));
    let chat = ws.piped(&["chat"], "/hepl\n/bye\n");
    assert_eq!((chat.code, &chat.out[..]), (65, ""));
    assert!(chat.err.contains(guess) && chat.err.contains("unknown command `/bye`"), "{chat:#?}");
    assert_eq!(ws.done("inbox"), [""; 0]);
    assert!(pipe(&ws, "/hepl").starts_with(guess));
    assert!(!ws.path("request").exists());
}

#[test]
fn a_stage_that_is_repeated_prints_the_same_and_why_knows_the_answer() {
    let ws = Fixture::new();
    let id = ws.claw(&["send", "/session"]).ok().trim().to_owned();
    ws.claw(&["route"]).ok();
    assert_eq!(ws.list("inbox/ready"), [format!("{id}~pickle.cli-ann+control~0.json")]);
    for _ in 0..2 {
        assert_eq!(ws.claw(&["run-agent", &id]).ok(), format!("{id}.r01\n"));
    }
    let why = ws.claw(&["why", &id]).ok();
    assert!(why.contains("(a command), session pickle.cli-ann\n") && why.contains("outbox  cli:ann: ready"), "{why}");
    assert!(ws.claw(&["deliver"]).ok().starts_with("session: pickle.cli-ann\nagent: pickle\nmessages: 0"));
    ws.claw(&["send", "--session", "work+control", "hi"]).fails(65);
}

fn hello(_: usize, _: &[String]) -> Answer {
    ("Hello.", vec![])
}

fn slow(step: usize, _: &[String]) -> Answer {
    if step == 0 { ("", vec![("block", json!({})), ("recall", json!({"query": "x"}))]) } else { ("Done.", vec![]) }
}

fn want(step: usize, _: &[String]) -> Answer {
    if step == 0 { ("I would.", vec![("block", json!({}))]) } else { ("Thank you.", vec![]) }
}

const SCRIPTS: &[(&str, Script)] = &[("hello", hello), ("slow", slow), ("want", want), ("I approve", want)];

#[test]
fn no_model_ever_hears_a_command_or_its_answer() {
    let server = Strict::start(SCRIPTS);
    let ws = with_hanging_tool(&server);
    for text in ["hello", "/session", "/context", "hello", "/help"] {
        pipe(&ws, text);
    }
    let context = pipe(&ws, "/context");
    assert!(
        context.starts_with("4 messages, about ")
            && context.contains("the server counted 10, which cannot be the whole"),
        "{context}"
    );
    let session = pipe(&ws, "/session");
    assert!(session.contains("messages: 2, answered: 2\ntokens: 20 read, 10 written\n"), "{session}");
    pipe(&ws, "hello");
    let said = server.last()["messages"].to_string();
    assert!(!said.contains("/session") && !said.contains("tokens"), "{said}");
    assert_eq!((server.broken(), server.asked("hello", 0)), (vec![], 3));
}

#[test]
fn usage_shows_a_sender_their_own_and_the_owner_all() {
    let server = Strict::start(SCRIPTS);
    let ws = with_hanging_tool(&server);
    ws.config("owner: ['file:boss']\nbudget: {day: {calls: 5}}\ncurrency: EUR");
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("model: m,", "model: m, price: {input: 1000, output: 2000},"));
    let agent = ws.read("agents/pickle/AGENT.md");
    ws.write("agents/pickle/AGENT.md", &agent.replacen("---\n", "---\nbudget: {total: {tokens: 100000}}\n", 1));
    let say = |from: &str, text: &str| {
        let id = ws.claw(&["send", "--from", from, "--reply-to", "file:group", text]).ok();
        ws.claw(&["tick"]).ok();
        ws.read(&format!("outbox/files/group/{}.r01.md", id.trim()))
    };
    say("file:guest", "hello");
    ws.claw(&["ask", "-n", "-a", "cookie", "hello"]).ok();
    ws.claw(&["ask", "-n", "hello"]).ok();
    let one = "1 calls, 15 tokens, 0.02 EUR";
    let own = format!("this conversation: {one} today; {one} this month\n");
    assert_eq!(say("file:guest", "/usage"), own);
    assert_eq!(
        say("file:boss", "/usage"),
        own + "pickle: 2 calls, 30 tokens, 0.04 EUR today; 2 calls, 30 tokens, 0.04 EUR this month\n\
               all together: 3 calls, 45 tokens, 0.06 EUR today; 3 calls, 45 tokens, 0.06 EUR this month\n\
               left: 2 of 5 calls (budget.day.calls in claw.yaml)\n\
               left: 99970 of 100000 tokens (budget.total.tokens in agents/pickle/AGENT.md)\n"
    );
}

#[test]
fn commands_are_answered_while_every_turn_hangs() {
    let ws = hanging();
    ws.config("max_concurrency: 1");
    let supervisor = ws.supervise(&[]);
    for n in 0..3 {
        ws.claw(&["send", "--reply-to", "file:a", &format!("{n} hang")]).ok();
    }
    ws.eventually("a turn hangs", |ws| ws.path("hangs").exists());
    for text in ["/session", "/agents", "/skills", "/crons"] {
        ws.claw(&["send", "--reply-to", "file:a", text]).ok();
    }
    ws.eventually("all are answered", |ws| ws.list("outbox/files/a").len() == 4);
    assert_eq!(ws.list("inbox/run").len(), 1);
    // From beside the supervisor, too.
    assert!(pipe(&ws, "--from cli:ann --reply-to cli:ann /agent").starts_with("pickle answers here"));
    drop(supervisor);
}

#[test]
fn stop_ends_the_turn_that_runs_and_no_later_one() {
    let ws = hanging();
    let turn = begun(&ws, &["ask", "-n", "-s", "t", "hang"]);
    ws.claw(&["send", "--session", "t", "behind it"]).ok();
    ws.claw(&["route"]).ok();
    let said = ws.claw(&["ask", "-n", "-s", "t", "/stop"]).ok();
    assert!(said.contains("is stopped; the message behind it stays, and is answered next"), "{said}");
    assert_eq!(ended(turn).ok(), "I was stopped.\n");
    assert_eq!(ws.claw(&["ask", "-n", "-s", "t", "/stop"]).ok(), "nothing runs here\n");
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.claw(&["deliver"]).ok(), "fine\n");
    assert_eq!(ws.claw(&["ask", "-n", "-s", "t", "and now?"]).ok(), "fine\n");
    let request = ws.read("request");
    assert!(request.contains("I was stopped.") && !request.contains("/stop"), "{request}");
    assert!(!ws.list(".claw/stop").iter().any(|name| !name.contains('~')), "{:?}", ws.list(".claw/stop"));
}

#[test]
fn stop_reaches_a_program_that_has_closed_its_output() {
    let ws = hanging();
    ws.write("model.sh", "cat >/dev/null; exec >&-; : >hangs; read x <gate\n");
    let turn = begun(&ws, &["ask", "-n", "-s", "t", "hang"]);
    ws.claw(&["ask", "-n", "-s", "t", "/stop"]).ok();
    assert_eq!(ended(turn).ok(), "I was stopped.\n");
}

#[test]
fn terminated_ask_reports_the_fate_of_its_message() {
    let ws = hanging();
    let turn = begun(&ws, &["ask", "-n", "hang"]);
    assert_eq!(ws.shell(&format!("kill -TERM {}", turn.id())).code, 0);
    let err = ended(turn).fails(-15);
    assert!(err.contains("claw: the question is kept: claw tick answers it"), "{err}");
    let line = err.lines().find_map(|line| line.trim().strip_suffix(" ends it")).unwrap();
    let id = line.strip_prefix("claw discard ").unwrap();
    ws.eventually("its lane is free", |ws| ws.claw(&["discard", id]).code == 0);
}

#[test]
fn nohup_ask_survives_ctrl_c() {
    let ws = hanging();
    let turn = ws.shell_command("trap '' INT; exec claw ask -n hang").spawn().unwrap();
    ws.eventually("the turn hangs", |ws| ws.path("hangs").exists());
    assert_eq!(ws.shell(&format!("kill -INT {}", turn.id())).code, 0);
    assert_eq!(ws.shell("echo go >gate").code, 0);
    assert_eq!(ended(turn).ok(), "fine\n");
}

#[test]
fn stop_interrupts_a_silent_server() {
    let ws = Fixture::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v1", server.local_addr().unwrap());
    ws.model("silent", &format!("provider: openai, model: m, api_base: '{base}'"));
    let turn = ws.command(&["ask", "-n", "-s", "t", "hang"]).spawn().unwrap();
    let _taken = server.accept().unwrap();
    // Without a name it means the last pending one.
    assert!(ws.claw(&["ask", "-n", "/stop"]).ok().contains("is stopped"));
    assert_eq!(ended(turn).ok(), "I was stopped.\n");
}

#[test]
fn stop_interrupts_a_tool_and_the_session_continues() {
    let server = Strict::start(SCRIPTS);
    let ws = with_hanging_tool(&server);
    let turn = begun(&ws, &["ask", "-n", "-s", "t", "slow"]);
    ws.claw(&["ask", "-n", "-s", "t", "/stop"]).ok();
    assert_eq!(ended(turn).ok(), "I was stopped after 1 step.\n");
    assert_eq!(ws.claw(&["ask", "-n", "-s", "t", "hello"]).ok(), "Hello.\n");
    let said = server.last()["messages"].to_string();
    assert!(said.contains("was stopped"), "{said}");
    assert!(said.contains("It was not run: the turn ended."), "{said}");
    assert_eq!((server.broken(), server.asked("slow", 1)), (vec![], 0));
}

#[test]
fn stop_ends_a_waiting_retry() {
    let ws = Fixture::new();
    ws.write("model.sh", "exit 75\n");
    ws.model("mock", "provider: command, command: [sh, model.sh]");
    ws.claw(&["send", "--reply-to", "file:a", "hi"]).ok();
    ws.claw(&["route"]).ok();
    ws.claw(&["run-agent"]).fails(75);
    assert_eq!(ws.list("inbox/wait").len(), 1);
    ws.claw(&["send", "--reply-to", "file:a", "/stop"]).ok();
    ws.claw(&["tick"]).ok();
    let texts = ws.shell("cat outbox/files/a/*").ok();
    assert!(texts.contains("I was stopped.\n") && texts.contains("is stopped\n"), "{texts}");
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn new_begins_another_session_and_a_second_copy_stays_in_the_old_one() {
    let ws = Fixture::new();
    let old = "20260101T000000.000000Z-old";
    let copy = ["send", "--id", old, "the cat is Tama"];
    ws.claw(&copy).ok();
    ws.claw(&["tick"]).ok();
    ws.claw(&["deliver"]).ok();
    let said = pipe(&ws, "/new");
    let session = said.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(said.starts_with("A new conversation begins here, with pickle, in session pickle.cli-ann+20"), "{said}");
    assert!(!pipe(&ws, "'what is the cat?'").contains("Tama"));
    assert_eq!(ws.list("sessions"), ["pickle.cli-ann".to_owned(), session.clone()]);
    // The platform repeats the first message.
    std::fs::remove_file(ws.path(&format!("inbox/done/2026-01-01/{old}.json"))).unwrap();
    ws.claw(&copy).ok();
    ws.claw(&["route"]).ok();
    assert_eq!(ws.list("inbox/ready"), [format!("{old}~pickle.cli-ann~0.json")]);
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.read("sessions/pickle.cli-ann/log.jsonl").lines().count(), 3);
    // An event that names its session cannot be moved from it.
    assert!(pipe(&ws, "--session work /new").contains("names its session"));
}

#[test]
fn a_question_is_a_conversation_of_its_own_that_no_command_begins_or_moves() {
    let ws = Fixture::new();
    ws.claw(&["ask", "-n", "hello"]).ok();
    let ask = |text: &str, code: i32| ws.claw(&["ask", "-n", text]).fails(code);
    assert!(ask("/new", 2).contains("each claw ask starts a new conversation\n"));
    assert!(ask("/agent cookie", 2).contains("claw ask -a cookie TEXT; in claw chat"));
    assert!(ask("/agent nobody", 65).contains("there is no agent `nobody`"));
    assert!(ws.claw(&["ask", "-n", "/agent"]).ok().starts_with("pickle answers here"));
}

#[test]
fn failing_command_reports_its_error() {
    let ws = Fixture::new();
    let (said, code) = ("no pending approval has the id `nope`", 65);
    for command in ["/approve nope", "/deny nope"] {
        let ran = ws.claw(&["ask", "-n", command]);
        assert_eq!((ran.code, &ran.out[..]), (code, ""));
        assert!(ran.err.contains(said), "{ran:#?}");
        assert!(ws.piped(&["chat"], command).fails(code).contains(said));
    }
    assert_eq!(ws.pending(), [""; 0]);
    // In other places it is an ordinary answer.
    assert!(pipe(&ws, "/approve\\ nope").starts_with(said));
}

#[test]
fn agent_command_of_the_owner_moves_the_conversation() {
    let ws = Fixture::new();
    ws.config("owner: ['file:boss']");
    let say = |from: &str, text: &str| {
        let id = ws.claw(&["send", "--from", from, "--reply-to", "file:group", text]).ok();
        ws.claw(&["tick"]).ok();
        ws.read(&format!("outbox/files/group/{}.r01.md", id.trim())).trim_end().to_owned()
    };
    assert_eq!(say("file:guest", "/agent cookie"), "only the owner of this workspace may use this command");
    assert_eq!(say("file:guest", "/agent"), "pickle answers here, in session pickle.file-group");
    assert_eq!(say("file:boss", "/agent coockie"), "there is no agent `coockie` (did you mean `cookie`?)");
    assert_eq!(say("file:boss", "/agent cookie"), "cookie answers here from now on, in session cookie.file-group");
    assert_eq!(say("file:guest", "/agent"), "cookie answers here, in session cookie.file-group");
    assert_eq!(say("file:boss", "/agent cookie"), "cookie answers here already, in session cookie.file-group");
    assert!(say("file:boss", "/agents").contains("cookie (answers here): "));
    assert_eq!(say("file:guest", "/agents"), "only the owner of this workspace may use this command");
    assert!(say("file:guest", "/clear").starts_with("A new conversation begins here, with cookie, in session"));
    assert!(say("file:boss", "/agent pickle").ends_with("in session pickle.file-group"));
    assert_eq!(ws.list("inbox/failed"), [""; 0]);
}

#[test]
fn skills_and_crons_are_listed_and_shown() {
    let ws = Fixture::new();
    std::fs::remove_dir_all(ws.path("skills")).unwrap();
    ws.write("skills/news/SKILL.md", "---\nname: news\ndescription: Reads the news.\n---\nRead them.\n");
    ws.write("crons/morning/CRON.md", "---\nname: m\nagent: pickle\nschedule: '0 7 * * *'\n---\nGood morning.\n");
    let ask = |text: &str| ws.claw(&["ask", "-n", text]).ok();
    assert_eq!(ask("/skills"), "news: Reads the news.\n");
    assert!(ask("/crons").starts_with("morning: 0 7 * * * by pickle; next 20"));
    assert!(ask("/crons morning").ends_with("Good morning.\n"));
    let fails = |text: &str| ws.claw(&["ask", "-n", text]).fails(65);
    assert!(fails("/skills nwes").contains("there is no `nwes` in skills/ (did you mean `news`?)\n"));
    assert!(fails("/skills ../agents").contains("there is no `../agents` in skills/\n"));
    std::fs::remove_dir_all(ws.path("skills/news")).unwrap();
    assert_eq!(ask("/skills"), "there are no skills (make skills/NAME/SKILL.md)\n");
}

/// A workspace with a pending approval, and its id.
fn asking(server: &Strict) -> (Fixture, String) {
    let ws = with_hanging_tool(server);
    ws.write("tools/block", "#!/bin/sh\necho x >>files/acted\n");
    ws.write("files/.keep", "");
    let agent = ws.read("agents/pickle/AGENT.md");
    ws.write("agents/pickle/AGENT.md", &agent.replacen("---\n", "---\ntools: [recall, block: {approve: true}]\n", 1));
    let answer = ws.claw(&["ask", "-n", "-s", "t", "want"]).waits();
    let id = answer.lines().find_map(|line| line.strip_prefix("claw approve ")).unwrap().to_owned();
    (ws, id)
}

#[test]
fn only_the_owner_approves_in_any_channel() {
    let server = Strict::start(SCRIPTS);
    let (ws, id) = asking(&server);
    let ask = |text: &str| ws.claw(&["ask", "-n", "-s", "t", text]).ok();
    assert_eq!(
        ask("/approve"),
        format!("{id} pickle: block: {{}} (its rules say so)\n").replace("its rules say so", &reason(&ws))
    );
    ws.claw(&["send", "--from", "file:guest", &format!("/approve {id}")]).ok();
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list(".claw/approvals/pending").len(), 1);
    // A part of an id is not a decision.
    for part in [&id[1..], id.rsplit('.').next().unwrap(), "1"] {
        assert!(
            ws.claw(&["ask", "-n", &format!("/approve {part}")]).fails(65).contains("no pending approval has the id")
        );
    }
    assert_eq!(ask(&format!("/approve {id}")), "approved, it is run now: block: {}\n");
    for again in ["approve", "deny"] {
        let said = ws.claw(&["ask", "-n", &format!("/{again} {id}")]).fails(65);
        assert!(said.contains(&format!("{id} is already approved")), "{said}");
    }
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.read("files/acted"), "x\n");
    assert_eq!(server.broken(), [""; 0]);
}

fn reason(ws: &Fixture) -> String {
    let name = &ws.list(".claw/approvals/pending")[0];
    let text = ws.read(&format!(".claw/approvals/pending/{name}"));
    let line = text.lines().find_map(|line| line.strip_prefix("reason: ")).unwrap();
    line.trim_matches('\'').to_owned()
}
