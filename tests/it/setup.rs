//! `claw setup`, `claw config`, `claw keys`, `claw models use`: claw.yaml changes by the smallest edit, keys stay hidden,
//! and nothing is written that does not work.

use crate::common::Fixture;
use crate::common::servers::{JSON, Server, whole};
use crate::common::terminal::Terminal;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

/// A server that answers every request with this text.
fn server() -> Server {
    let answer = json!({"choices": [{"message": {"role": "assistant", "content": "ready"}, "finish_reason": "stop"}]});
    Server::start(move |_, stream| {
        let _ = stream.write_all(whole("200 OK", JSON, &answer.to_string()).as_bytes());
    })
}

fn setup(ws: &Fixture, more: &[&str], input: &str) -> crate::common::Ran {
    ws.piped(&[&["setup", "--non-interactive", "--provider", "compatible", "--model", "m"], more].concat(), input)
}

/// The lines that were added to claw.yaml.
fn added(before: &str, after: &str) -> Vec<String> {
    after.lines().filter(|line| !before.lines().any(|old| old == *line)).map(str::to_owned).collect()
}

#[test]
fn setup_tries_the_model_and_writes_the_smallest_change() {
    let (ws, server) = (Fixture::new(), server());
    let base = format!("http://127.0.0.1:{}/v1", server.port);
    let before = ws.read("claw.yaml");
    let ran = setup(&ws, &["--api-base", &base, "--key-stdin"], " sk-secret-0123456789\n");
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(ran.out, "server is set up; try it: claw ask hello\n");
    assert!(ran.err.contains("it answers \"ready\"") && !ran.err.contains("sk-secret"), "{ran:#?}");
    let expected = [
        "model: server",
        "models:",
        "  server:",
        "    provider: openai",
        "    model: m",
        &format!("    api_base: {base}"),
        "    api_key_file: .secrets/server",
    ];
    assert_eq!(added(&before, &ws.read("claw.yaml")), expected);
    assert_eq!(ws.read(".secrets/server"), "sk-secret-0123456789\n");
    let mode = |name: &str| fs::metadata(ws.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(".secrets"), mode(".secrets/server")], [0o700, 0o600]);
    assert_eq!(ws.claw(&["ask", "-n", "hello"]).ok(), "ready\n");
    // A second run changes the same model, and only its lines.
    let before = ws.read("claw.yaml");
    assert_eq!(setup(&ws, &["--api-base", &base, "--key-env", "MY_KEY", "--no-test"], "").code, 0);
    assert_eq!(added(&before, &ws.read("claw.yaml")), ["    api_key_env: MY_KEY"]);
    let before = ws.read("claw.yaml");
    assert!(setup(&ws, &["--api-base", &base, "--key-env", "MY_KEY", "--no-test"], "").err.contains("needs no change"));
    assert_eq!(ws.read("claw.yaml"), before);
}

#[test]
fn setup_that_fails_writes_nothing() {
    let ws = Fixture::new();
    let before = ws.read("claw.yaml");
    let dead = "http://127.0.0.1:1/v1";
    for (arguments, input, code, message) in [
        (&["--api-base", dead, "--key-stdin"][..], "sk-1", 69, "Connection refused"),
        (&["--api-base", dead, "--key-stdin"], "a b", 65, "a space"),
        (&["--api-base", dead, "--key-stdin"], "a\nb", 65, "several lines"),
        (&["--api-base", dead, "--key-stdin"], "", 65, "empty"),
        (&["--provider", "openai", "--key-stdin"], "sk-ant-1", 65, "Anthropic"),
        (&["--provider", "anthropic", "--key-env", "sk-ant-1"], "", 65, "no name of an environment variable"),
        (&["--provider", "opnai"], "", 2, "did you mean `openai`"),
        (&["--provider", "openai"], "", 2, "--key-env, --key-file or --key-stdin is missing"),
        (&["--provider", "compatible"], "", 2, "--api-base is missing"),
        (&["--provider", "program"], "", 2, "--command is missing"),
        (&["--api-base", dead, "--name", "a b"], "", 2, "no name for a model"),
    ] {
        let all = match arguments[0] {
            "--provider" => [&["setup", "--non-interactive"], arguments].concat(),
            _ => [&["setup", "--non-interactive", "--provider", "compatible", "--model", "m"], arguments].concat(),
        };
        let ran = ws.piped(&all, input);
        assert!(ran.code == code && ran.err.contains(message), "{arguments:?}: {ran:#?}");
        assert!(!ran.err.contains("sk-ant-1"), "{ran:#?}");
    }
    assert_eq!(ws.claw(&["setup"]).fails(2).lines().next().unwrap(), "claw: --provider is missing");
    assert_eq!(ws.read("claw.yaml"), before);
    assert!(!ws.path(".secrets").exists());
}

#[test]
fn key_is_typed_without_echo_and_the_terminal_is_restored() {
    let (ws, server) = (Fixture::new(), server());
    let mut terminal = Terminal::start(ws.command(&["setup"]));
    terminal.until("Number");
    terminal.press("compatible\n");
    terminal.until("Base URL");
    terminal.press(&format!("http://127.0.0.1:{}/v1\n", server.port));
    terminal.until("Model");
    terminal.press("m\n");
    terminal.until("no key): ");
    // Ctrl-U and Backspace correct the key.
    terminal.press("wrong\u{15}sk-typed-keyx\u{7f}\r");
    let shown = terminal.until("Write this to claw.yaml?");
    assert!(!shown.contains("sk-typed") && shown.contains("+     api_key_file: .secrets/server"), "{shown}");
    terminal.press("n\n");
    let (code, rest) = terminal.ended();
    assert!(code == 1 && rest.contains("nothing was changed"), "{rest}");
    assert!(ws.read("claw.yaml").contains("\nmodel: offline\n"));
    // Ctrl-C at the key leaves, too.
    let mut terminal = Terminal::start(ws.command(&["setup", "--provider", "openai", "--model", "m"]));
    terminal.until("variable): ");
    terminal.press("sk-half\u{3}");
    let (code, rest) = terminal.ended();
    assert!(code == 1 && rest.contains("left without a change") && !rest.contains("sk-half"), "{rest}");
}

#[test]
fn settings_are_read_and_set_by_their_path() {
    let ws = Fixture::new();
    let get = |key: &str| ws.claw(&["config", "get", key]);
    assert_eq!(get("max_concurrency").ok(), "8\n", "the default");
    let before = ws.read("claw.yaml");
    for (key, value) in [
        ("max_concurrency", "3"),
        ("keep.done_days", "9"),
        ("owner", "[telegram:42]"),
        ("currency", "12"),
        ("models.\"gpt-4.1\".provider", "openai"),
        ("memories.languages", "[en, de]"),
    ] {
        ws.claw(&["config", "set", key, value]).ok();
        assert_eq!(get(key).code, 0, "{key}");
    }
    assert_eq!(get("keep.done_days").ok(), "9\n");
    assert_eq!(get("models").ok(), "gpt-4.1:\n  provider: openai\n");
    assert_eq!(
        ws.claw(&["config", "get", "owner", "--json"]).ok(),
        "{\"key\":\"owner\",\"value\":[\"telegram:42\"]}\n"
    );
    let after = ws.read("claw.yaml");
    assert!(before.lines().all(|line| after.contains(line)), "every line is still there: {after}");
    ws.claw(&["config", "unset", "keep.done_days"]).ok();
    assert_eq!(get("keep.done_days").ok(), "7\n");
    let before = ws.read("claw.yaml");
    for (key, value, code, message) in [
        ("modle", "x", 2, "did you mean `model`"),
        ("keep.done", "1", 2, "there is no setting `keep.done`"),
        ("max_concurrency", "many", 78, "max_concurrency was not set"),
        ("max_concurrency", "0", 78, "no turn could run"),
        ("model", "gtp", 78, "no model is called `gtp`"),
        ("models.gpt-4.api_key", "sk-1", 2, "claw keys set gpt-4"),
        ("models.m.headers.Authorization", "x", 2, "key file"),
        ("a..b", "x", 2, "names no setting"),
    ] {
        let ran = ws.claw(&["config", "set", key, value]);
        assert!(ran.code == code && ran.err.contains(message), "{key}: {ran:#?}");
    }
    assert_eq!(ws.read("claw.yaml"), before);
    assert_eq!(get("deliver_to").code, 1, "it has no default");
    // A name that means nothing yet is written and named.
    let ran = ws.claw(&["config", "set", "default_agent", "nobody"]);
    assert!(ran.code == 0 && ran.err.contains("there is no agent `nobody`"), "{ran:#?}");
    ws.claw(&["config", "unset", "default_agent"]).ok();
    ws.config("models: {old: {provider: openai, model: m, api_key: sk-old-secret}}\n");
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("\nmodels:\n  gpt-4.1:\n    provider: openai\n", "\n"));
    let shown = ws.claw(&["config", "get"]).ok();
    assert!(shown.contains("api_key: '[hidden]'") && !shown.contains("sk-old"), "{shown}");
}

#[test]
fn editor_changes_nothing_unless_the_result_is_valid() {
    let ws = Fixture::new();
    let before = ws.read("claw.yaml");
    let edit = |editor: &str| {
        let mut command = ws.command(&["config", "edit"]);
        crate::common::Ran::from(command.env("EDITOR", editor).output().unwrap())
    };
    assert!(edit("false").fails(1).contains("ended with exit status: 1"));
    assert!(edit("true").err.contains("claw.yaml is as it was"));
    assert!(edit("no-such-editor").fails(1).contains("127"));
    let invalid = edit("sh -c 'echo \"a: [\" >> \"$0\"'").fails(78);
    assert!(invalid.contains("claw.yaml was not changed") && invalid.contains("your text is in"), "{invalid}");
    assert!(edit("sh -c ': > \"$0\"'").fails(78).contains("would be empty"));
    assert_eq!(ws.read("claw.yaml"), before);
    edit("sh -c 'echo \"currency: EUR\" >> \"$0\"'").ok();
    assert_eq!(ws.read("claw.yaml"), format!("{before}currency: EUR\n"));
}

#[test]
fn linked_settings_stay_a_link_and_keep_their_mode() {
    let ws = Fixture::new();
    fs::rename(ws.path("claw.yaml"), ws.dir.path().join("settings.yaml")).unwrap();
    std::os::unix::fs::symlink("../settings.yaml", ws.path("claw.yaml")).unwrap();
    fs::set_permissions(ws.dir.path().join("settings.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    ws.claw(&["config", "set", "currency", "EUR"]).ok();
    assert!(ws.path("claw.yaml").is_symlink());
    let target = ws.dir.path().join("settings.yaml");
    assert!(fs::read_to_string(&target).unwrap().contains("\ncurrency: EUR\n"));
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn keys_are_set_listed_and_removed_without_being_shown() {
    let ws = Fixture::new();
    ws.config("models:\n  a: {provider: anthropic, model: m, api_key_file: .secrets/a}\n  b: {provider: openai, model: m, api_key_env: B_KEY}\n");
    assert!(ws.piped(&["keys", "set", "a"], "sk-1").fails(65).contains("keys of Anthropic begin with `sk-ant-`"));
    assert!(ws.piped(&["keys", "set", "a"], "sk-ant-x y").fails(65).contains("a space"));
    assert!(ws.piped(&["keys", "set", "b"], "sk-1").fails(2).contains("takes its key from $B_KEY"));
    assert_eq!(ws.piped(&["keys", "set", "a"], "sk-ant-1\n").ok(), "");
    let listed = ws.claw(&["keys", "list"]).ok();
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [["a", ".secrets/a", "ok"], ["b", "$B_KEY", "missing"]]);
    fs::set_permissions(ws.path(".secrets/a"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(ws.claw(&["keys", "list"]).ok().contains("chmod 600 .secrets/a"));
    ws.claw(&["keys", "rm", "a"]).ok();
    assert!(!ws.path(".secrets/a").exists());
    assert_eq!(ws.claw(&["keys", "rm", "a"]).code, 65);
    ws.write("claw.yaml", &ws.read("claw.yaml").replace(".secrets/a", "/etc/hostname"));
    assert!(ws.claw(&["keys", "rm", "a"]).fails(78).contains("is left to you"));
}

#[test]
fn key_of_the_environment_is_pointed_out() {
    let ws = Fixture::new();
    let ran = ws.command(&["ask", "-n", "hi"]).env("GROQ_API_KEY", "gsk_1").output().unwrap();
    let err = String::from_utf8(ran.stderr).unwrap();
    assert!(err.contains("GROQ_API_KEY is set, but the offline model answers; `claw setup` uses the key"), "{err}");
    let fresh = Fixture::empty();
    let mut init = fresh.command(&["init", "."]);
    let ran = init.env("OPENAI_API_KEY", "sk-1").env("MISTRAL_API_KEY", "x").output().unwrap();
    let err = String::from_utf8(ran.stderr).unwrap();
    assert!(err.contains("of several keys OPENAI_API_KEY was taken, and not MISTRAL_API_KEY"), "{err}");
}

#[test]
fn default_model_is_chosen_by_its_name() {
    let ws = Fixture::new();
    ws.config("models:\n  a: {provider: openai, model: m, api_key_env: NONE}\n");
    assert!(ws.claw(&["models", "use", "b"]).fails(78).contains("no model is called `b`"));
    assert!(ws.claw(&["models", "use", "opnai/x"]).fails(78).contains("there is no provider"));
    let ran = ws.claw(&["models", "use", "a"]);
    assert!(ran.code == 0 && ran.err.contains("a has no key yet"), "{ran:#?}");
    assert_eq!(ws.claw(&["config", "get", "model"]).ok(), "a\n");
    ws.claw(&["models", "use", "offline"]).ok();
    assert_eq!(ws.claw(&["ask", "-n", "hi"]).code, 0);
}
