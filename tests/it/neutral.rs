//! The format of `command` models: requests and replies of the binary against its own schemas, with an independent
//! validator, and the adapters in `examples/models` against their clients.

use crate::common::servers::without_time;
use crate::common::{Fixture, Ran, peer};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A workspace whose model is a shell script; it records its requests in `requests.jsonl`, one per line, and answers
/// with the output of `answer`.
fn scripted(answer: &str) -> Fixture {
    let ws = Fixture::new();
    ws.write("model.sh", &format!("cat >>requests.jsonl; echo >>requests.jsonl\n{answer}"));
    ws.model("mock", "provider: command, command: [sh, model.sh], model: small, temperature: 0.5, max_tokens: 9");
    ws
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_schemas_that_are_printed_are_those_of_the_documentation() {
    let ws = Fixture::empty();
    for which in ["request", "reply"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{which}.json"));
        assert_eq!(ws.claw(&["models", "--schema", which]).ok(), fs::read_to_string(file).unwrap());
    }
}

#[test]
fn request_matches_its_schema_exactly() {
    // Two calls, then one with broken arguments, then only an answer.
    let ws = scripted(
        r#"case $(wc -l <requests.jsonl) in
1) echo '{"calls": [{"name": "list", "arguments": {}}, {"name": "remember", "arguments": {"text": "milk"}}]}' ;;
2) echo '{"content": "Hm.", "calls": [{"name": "read", "arguments": "{\"path"}]}' ;;
*) echo done ;;
esac"#,
    );
    let agent = ws.read("agents/pickle/AGENT.md").replacen("---\n", "---\nmax_steps: 3\n", 1);
    ws.write("agents/pickle/AGENT.md", &agent);
    assert_eq!(ws.claw(&["ask", "-n", "-s", "work", "one"]).ok(), "done\n");
    assert_eq!(ws.claw(&["ask", "-n", "-s", "work", "two"]).ok(), "done\n");
    let requests = lines(&ws.read("requests.jsonl"));
    assert_eq!(requests.len(), 4);
    assert_eq!(requests[2]["must_answer"], true, "{:#}", requests[2]);
    assert_eq!(requests[3]["messages"][4]["calls"][0]["arguments"], "{\"path");
    if let Some(complaints) = peer::complaints("docs/schema/request.json", true, &requests) {
        assert_eq!(complaints, "");
        let mut wrong = requests[0].clone();
        wrong["messages"][0]["role"] = json!("system");
        wrong["else"] = json!(1);
        let complaints = peer::complaints("docs/schema/request.json", true, &[wrong]).unwrap();
        assert!(complaints.contains("additionalProperty\":\"else"), "the validator sees nothing: {complaints}");
    }
}

#[test]
fn replies_are_accepted_exactly_by_the_schema() {
    let taken = [
        (json!({"content": "yes"}), "yes\n"),
        (json!({"content": "yes", "calls": []}), "yes\n"),
        (json!({"content": "yes", "calls": null, "remember": null, "usage": null}), "yes\n"),
        (json!({"content": "yes", "usage": {"input": 1, "output": 2, "cached": 1}, "else": 1}), "yes\n"),
        (json!({"content": "", "remember": ["milk"]}), ""),
    ];
    let refused = [
        json!({"content": "yes", "usage": {"input": "many"}}),
        json!({"content": "yes", "usage": {"input": -1}}),
        json!({"calls": [{"arguments": {}}]}),
        json!({"calls": ["list"]}),
        json!({"content": "yes", "remember": "milk"}),
    ];
    let ws = scripted("");
    let ask = |script: &str| {
        ws.write("requests.jsonl", "");
        ws.replace_program("model.sh", &format!("cat >>requests.jsonl; echo >>requests.jsonl\n{script}"));
        ws.claw(&["ask", "-n", "hello"])
    };
    for (reply, said) in &taken {
        assert_eq!(ask(&format!("echo '{reply}'")).ok(), *said, "{reply}");
    }
    for reply in &refused {
        let err = ask(&format!("echo '{reply}'")).fails(1);
        let what = "claw: model mock: invalid answer: not a reply: ";
        assert!(err.starts_with(what) && err.contains("claw models --schema reply"), "{reply}: {err}");
    }
    let called = [
        json!({"calls": [{"name": "list"}]}),
        json!({"calls": [{"name": "list", "arguments": "{}"}], "content": null}),
        json!({"calls": [{"id": "7", "name": "list", "arguments": {}}], "content": "I look."}),
    ];
    for reply in &called {
        let script = format!("[ $(wc -l <requests.jsonl) = 1 ] && echo '{reply}' && exit; echo done");
        assert_eq!(ask(&script).ok(), "done\n", "{reply}");
    }
    let good: Vec<Value> = taken.iter().map(|(reply, _)| reply.clone()).chain(called).collect();
    if let Some(complaints) = peer::complaints("docs/schema/reply.json", false, &good) {
        assert_eq!(complaints, "");
        let complaints = peer::complaints("docs/schema/reply.json", false, &refused).unwrap();
        for line in 1..=refused.len() {
            assert!(complaints.contains(&format!("line {line}: ")), "{}: {complaints}", refused[line - 1]);
        }
    }
}

#[test]
fn the_pieces_of_an_answer_are_printed_as_they_come() {
    let ws = scripted(
        r#"echo '{"delta": "one "}'; until [ -e seen ]; do sleep 0.01; done; echo '{"delta": "two"}'
echo '{"usage": {"input": 3, "output": 5}, "content": ""}'"#,
    );
    // On a terminal; `script` makes one.
    let line = "script -qec 'claw ask -n hello' /dev/null >terminal";
    let mut script = ws.shell_command(line).spawn().unwrap();
    ws.eventually("the first word is on the terminal", |ws| {
        fs::read_to_string(ws.path("terminal")).is_ok_and(|text| text.contains("one"))
    });
    ws.write("seen", "");
    assert!(script.wait().unwrap().success());
    assert!(ws.read("terminal").replace('\r', "").contains("one two\n"), "{}", ws.read("terminal"));
    let document: Value = serde_json::from_str(&ws.claw(&["ask", "-n", "--json", "again"]).ok()).unwrap();
    assert_eq!((&document["content"], &document["usage"]), (&json!("one two"), &json!({"input": 3, "output": 5})));
}

// ---------------------------------------------------------------- the adapters

/// A workspace with an adapter as its model, and a folder on the path that has its client.
struct Adapted {
    ws: Fixture,
    bin: std::path::PathBuf,
}

impl Adapted {
    /// The client is this shell script. `$0.args` receives its arguments, `$0.in` its input, and `$0.system` the file
    /// named after `flag`.
    fn new(client: &str, flag: &str, answer: &str) -> Self {
        let adapted = Self::with(client);
        fs::create_dir(&adapted.bin).unwrap();
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$@\" >\"$0.args\"; cat >\"$0.in\"\nuntil [ \"$1\" = {flag} ]; do shift; done\n\
             cat \"$2\" >\"$0.system\"\n{answer}"
        );
        let path = adapted.bin.join(client);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        adapted
    }

    fn with(client: &str) -> Self {
        let ws = Fixture::new();
        let adapter = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/models/{client}.py"));
        ws.model("mock", &format!("provider: command, command: [python3, '{}'], model: small", adapter.display()));
        let bin = ws.dir.path().join("bin");
        Self { ws, bin }
    }

    fn ask(&self, arguments: &[&str]) -> Ran {
        let path = format!("{}:{}", self.bin.display(), std::env::var("PATH").unwrap());
        let mut command = self.ws.command(&[&["ask", "-n", "-s", "work"], arguments].concat());
        command
            .env("PATH", path)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("LLM_USER_PATH", self.ws.dir.path().join("llm"));
        command.output().unwrap().into()
    }

    fn left(&self, client: &str, what: &str) -> String {
        fs::read_to_string(self.bin.join(format!("{client}.{what}"))).unwrap()
    }
}

fn has_python() -> bool {
    peer::is_there(Command::new("python3").arg("-V").output().is_ok(), "there is no python3 here")
}

/// The answers of `llm` and `claude`, the first with a tool, then without.
const LLM: &str = r#"grep -q 'role' "$0.in" && { printf 'The NAS is '; sleep 0.05; printf '10.0.0.7 ·\n'; } ||
printf '```json\n{"calls": [{"name": "recall", "arguments": {"query": "NAS"}}]}\n```\n'
echo 'Token usage: 1,234 input, 56 output, {}' >&2"#;

const CLAUDE: &str = r#"echo '{"type": "system", "subtype": "init"}'
say() { echo '{"type": "stream_event", "event": {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "'"$1"'"}}}'; }
if grep -q 'role' "$0.in"; then say 'The NAS is '; say '10.0.0.7 ·'; else say '{\"calls\": [{\"name\": '; say '\"recall\", \"arguments\": {\"query\": \"NAS\"}}]}'; fi
echo '{"type": "result", "subtype": "success", "is_error": false, "result": "not used",
 "usage": {"input_tokens": 34, "cache_read_input_tokens": 1200, "output_tokens": 56}}' | tr -d '\n'; echo"#;

#[test]
fn text_client_calls_tools_and_gets_results() {
    if !has_python() {
        return;
    }
    let llm = ["prompt", "--no-log", "--usage", "--model", "small", "--system-fragment"];
    let claude = [
        "--print",
        "--output-format",
        "stream-json",
        "--include-partial-messages",
        "--verbose",
        "--tools",
        "",
        "--setting-sources",
        "",
        "--strict-mcp-config",
        "--disable-slash-commands",
        "--no-session-persistence",
        "--model",
        "small",
        "--system-prompt-file",
    ];
    let clients = [("llm", LLM, &llm[..], 0), ("claude", CLAUDE, &claude[..], 1200)];
    for (client, answer, arguments, cached) in clients {
        let adapted = Adapted::new(client, arguments.last().unwrap(), answer);
        adapted.ws.write("memories/topics/house.md", "- the NAS is 10.0.0.7\n");
        let document: Value = serde_json::from_str(&adapted.ask(&["--json", "where is the NAS?"]).ok()).unwrap();
        assert_eq!(document["content"], "The NAS is 10.0.0.7 ·", "{client}");
        // Of both steps.
        let mut usage = json!({"input": 2 * 1234, "output": 2 * 56});
        if cached > 0 {
            usage["cached"] = json!(2 * cached);
        }
        assert_eq!(document["usage"], usage, "{client}");
        let given = adapted.left(client, "args");
        let given: Vec<&str> = given.lines().collect();
        assert_eq!(given[..given.len() - 1], *arguments, "{client}");
        assert!(!Path::new(given[given.len() - 1]).exists(), "{client} leaves a file behind");
        let system = adapted.left(client, "system");
        assert!(system.contains("Agent: pickle\n") && system.contains("\n{\"name\": \"recall\""), "{system}");
        let prompt = adapted.left(client, "in");
        let messages = lines(prompt.split_once("\n\n").unwrap().1);
        let roles: Vec<&str> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["user", "assistant", "tool"], "{client}");
        assert_eq!(messages[2]["content"], "memories/topics/house.md:1: the NAS is 10.0.0.7", "{client}");
    }
}

#[test]
fn failing_client_is_reported_with_its_message() {
    if !has_python() {
        return;
    }
    let failing = [
        ("llm", "--system-fragment", "echo 'Error: Unknown model: small' >&2; exit 1", "Error: Unknown model: small"),
        (
            "claude",
            "--system-prompt-file",
            r#"echo '{"type": "result", "is_error": true, "result": "Not logged in"}'; exit 1"#,
            "Not logged in",
        ),
    ];
    for (client, flag, answer, words) in failing {
        let err = Adapted::new(client, flag, answer).ask(&["hello"]).fails(69);
        assert!(err.starts_with(&format!("claw: model mock: exit 1: {words}\n")), "{err}");
    }
}

#[test]
fn llm_itself_accepts_the_adapters_arguments() {
    let bin = peer::folder().join("venv/bin");
    let why_not =
        "llm is not installed: python3 -m venv venv && venv/bin/pip install -r requirements.txt in tests/peers";
    if !has_python() || !peer::is_there(bin.join("llm").exists(), why_not) {
        return;
    }
    let mut adapted = Adapted::with("llm");
    adapted.bin = bin;
    let text = adapted.ws.read("claw.yaml").replace("model: small", "model: echo");
    adapted.ws.write("claw.yaml", &text);
    // Its plugin `echo` answers with the request, as JSON.
    let echoed: Value = serde_json::from_str(&adapted.ask(&["where is the NAS?"]).ok()).unwrap();
    assert_eq!(without_time(echoed["prompt"].as_str().unwrap()), "where is the NAS?");
    assert!(echoed["system"].as_str().unwrap().contains("Agent: pickle\n"), "{echoed:#}");
}
