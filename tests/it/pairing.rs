//! Pairing: invitations, approvals, what they are bound to, and who is the owner.

use crate::common::{Fixture, Ran};
use serde_json::{Value, json};
use std::fs;

const BOT: &str = r#"
while [ -s "$CLAW_WORKSPACE/say" ] && IFS= read -r line <&3; do printf '%s\n' "$line"; done 3<"$CLAW_WORKSPACE/say"
while IFS= read -r line; do
  printf '%s\n' "$line" >>got
  case $line in
    *'{"ping"'*) n=${line#*:}; printf '{"pong":%s}\n' "${n%\}}";;
    *'{"send"'*) id=${line#*\"id\":\"}; printf '{"sent":"%s"}\n' "${id%%\"*}";;
  esac
done
"#;

fn with_bot(settings: &str) -> Fixture {
    let ws = Fixture::new();
    ws.write("bot.sh", BOT);
    ws.config(&format!("channels:\n  bot: {{type: exec, command: [sh, bot.sh], {settings}}}\n"));
    ws
}

/// The program passes on these messages; returns what it has read, without pings.
fn say(ws: &Fixture, lines: &[Value]) -> Vec<Value> {
    say_at(ws, lines, 0)
}

fn say_at(ws: &Fixture, lines: &[Value], seconds: i64) -> Vec<Value> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    ws.write("say", &text);
    let _ = fs::remove_file(ws.path("got"));
    let mut command = ws.command(&["listen", "bot", "--once"]);
    Ran::from(command.env("CLAW_CLOCK", ws.set_clock(seconds)).output().unwrap()).ok();
    let text = fs::read_to_string(ws.path("got")).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line.get("ping").is_none())
        .collect()
}

fn from(id: &str, sender: &str, text: &str) -> Value {
    json!({"id": id, "from": sender, "text": text})
}

fn invite(ws: &Fixture, more: &[&str]) -> String {
    let arguments = [&["pair", "invite", "bot"], more].concat();
    ws.claw(&arguments).ok().trim().rsplit_once(' ').unwrap().1.to_owned()
}

fn events(ws: &Fixture) -> Vec<Value> {
    ws.list("inbox/new")
        .iter()
        .map(|name| serde_json::from_str(&ws.read(&format!("inbox/new/{name}"))).unwrap())
        .collect()
}

fn is_refused(answers: &[Value]) -> bool {
    answers.len() == 1 && answers[0].get("refused").is_some()
}

#[test]
fn invitation_is_good_once_and_its_code_costs_no_model_call() {
    let ws = with_bot("");
    let code = invite(&ws, &[]);
    assert!(is_refused(&say(&ws, &[from("1", "ann", "hello")])), "strangers get silence");
    assert!(is_refused(&say(&ws, &[from("2", "eve", "AAAAAAAA")])));
    assert_eq!(say(&ws, &[from("3", "ann", &format!("/start {code}"))])[0], json!({"ack": "3"}));
    let again = say(&ws, &[from("3", "ann", &format!("/start {code}"))]);
    assert_eq!(again[0], json!({"ack": "3"}), "a repeat of the message");
    assert_eq!(events(&ws).len(), 0, "a code is no message");
    assert!(is_refused(&say(&ws, &[from("4", "eve", &code)])), "the code was used");
    assert_eq!(say(&ws, &[from("5", "ann", "hello")]), [json!({"ack": "5"})]);
    let events = events(&ws);
    assert_eq!((events.len(), &events[0]["origin"]["class"]), (1, &json!("known")));
    assert!(!ws.path(".claw/deliver_to").exists(), "a contact is no default destination");
    // One answer to the code.
    let sent: Vec<String> = ws.done("outbox");
    assert_eq!(sent.len(), 1, "{sent:?}");
    ws.claw(&["pair", "revoke", "bot:ann"]).ok();
    assert!(is_refused(&say(&ws, &[from("6", "ann", "hello")])));
    ws.claw(&["pair", "revoke", "bot:ann"]).fails(65);
}

#[test]
fn invitation_ends_after_an_hour_and_counts_for_its_account_only() {
    let ws = with_bot("");
    let code = invite(&ws, &[]);
    assert!(is_refused(&say_at(&ws, &[from("1", "ann", &code)], 3601)));
    assert_eq!(say(&ws, &[from("2", "ann", &code)])[0], json!({"ack": "2"}));
    assert_eq!(say(&ws, &[from("3", "ann", "hello")]), [json!({"ack": "3"})]);
    let settings = ws.read("claw.yaml");
    ws.write("claw.yaml", &settings.replace("[sh, bot.sh]", "[sh, bot.sh, other]"));
    assert!(is_refused(&say(&ws, &[from("4", "ann", "hello")])), "another account");
    assert!(ws.claw(&["pair"]).ok().starts_with("void      bot:ann, since"));
    ws.write("claw.yaml", &settings.replace("command:", "policy: allow, command:"));
    assert!(is_refused(&say(&ws, &[from("5", "ann", "hello")])), "pairings count under `pairing` only");
    assert!(ws.claw(&["pair", "invite", "bot"]).fails(78).contains("channels.bot.policy"));
    ws.write("claw.yaml", &settings);
    assert_eq!(say(&ws, &[from("6", "ann", "hello")]), [json!({"ack": "6"})]);
}

#[test]
fn paired_owner_may_use_owner_commands_and_a_contact_may_not() {
    let ws = with_bot("");
    let (contact, owner) = (invite(&ws, &[]), invite(&ws, &["--owner"]));
    say(&ws, &[from("1", "ben", &contact), from("2", "ann", &owner)]);
    assert_eq!(ws.read(".claw/deliver_to").matches("bot:ann").count(), 1, "the owner's address is the default one");
    assert!(ws.claw(&["status"]).ok().contains("bot:ann by default"));
    say(&ws, &[from("3", "ben", "/agent cookie"), from("4", "ann", "/agent cookie")]);
    let classes: Vec<Value> = events(&ws).iter().map(|event| event["origin"]["class"].clone()).collect();
    assert_eq!(classes, ["known", "owner"]);
    ws.claw(&["tick"]).ok();
    let answers = say(&ws, &[]);
    let to = |name: &str| {
        answers.iter().filter_map(|line| line.get("send")).find(|send| send["to"] == name).unwrap()["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(to("ben").contains("only the owner"), "{answers:#?}");
    assert!(!to("ann").contains("only the owner"), "{answers:#?}");
    // The owner tries the code of a contact.
    let code = invite(&ws, &[]);
    say(&ws, &[from("5", "ann", &code)]);
    assert!(ws.claw(&["pair"]).ok().contains("bot:ann, owner"));
    // A destination that was learned makes nobody the owner.
    ws.claw(&["pair", "revoke", "bot:ann"]).ok();
    assert!(!ws.path(".claw/deliver_to").exists());
}

#[test]
fn learned_destination_makes_nobody_the_owner() {
    let ws = with_bot("policy: open");
    ws.config("owner: ['bot:ann']\n");
    say(&ws, &[from("1", "ann", "hello")]);
    assert!(ws.path(".claw/deliver_to").exists());
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("owner: ['bot:ann']", ""));
    say(&ws, &[from("2", "ann", "hello")]);
    let classes: Vec<Value> = events(&ws).iter().map(|event| event["origin"]["class"].clone()).collect();
    assert_eq!(classes, ["owner", "unknown"]);
}

#[test]
fn strangers_that_ask_get_one_code_each_and_three_at_most() {
    let ws = with_bot("pairing: ask");
    let strangers = ["a", "b", "c", "d"];
    let lines: Vec<Value> = strangers.iter().map(|name| from(name, name, "who are you?")).collect();
    say(&ws, &lines);
    say(&ws, &[from("again", "a", "hello?"), from("a", "a", "who are you?")]);
    let mut answers = say(&ws, &[]);
    answers.retain(|line| line.get("send").is_some());
    let done: Vec<Value> = ws
        .list("outbox/done")
        .iter()
        .flat_map(|day| {
            ws.list(&format!("outbox/done/{day}")).into_iter().map(move |name| format!("outbox/done/{day}/{name}"))
        })
        .filter(|name| name.ends_with(".json"))
        .map(|name| serde_json::from_str(&ws.read(&name)).unwrap())
        .collect();
    let mut told: Vec<&str> = done.iter().map(|event| event["reply_to"].as_str().unwrap()).collect();
    told.sort_unstable();
    assert_eq!(told, ["bot:a", "bot:b", "bot:c"]);
    assert_eq!(events(&ws).len(), 0, "no model is asked");
    let code = done.iter().find(|event| event["reply_to"] == "bot:a").unwrap()["content"]
        .as_str()
        .unwrap()
        .rsplit_once(' ')
        .unwrap()
        .1
        .to_owned();
    assert!(!code.contains(['0', 'O', '1', 'I']) && code.len() == 8, "{code}");
    ws.claw(&["pair", "approve", &code.to_lowercase()]).ok();
    ws.claw(&["pair", "approve", &code]).fails(65);
    let pending = ws.list(".claw/pairing/pending");
    let other = pending.iter().find(|name| name.contains("-b")).unwrap();
    fs::rename(ws.path(&format!(".claw/pairing/pending/{other}")), ws.path(&format!(".claw/pairing/approved/{other}")))
        .unwrap();
    let answers = say(&ws, &[from("1", "a", "hello"), from("2", "b", "hello"), from("3", "c", "hello")]);
    assert_eq!(answers.iter().filter(|line| line.get("ack").is_some()).count(), 2, "{answers:#?}");
    assert!(events(&ws).iter().all(|event| event["origin"]["class"] == "known"));
}

#[test]
fn groups_must_be_named_and_the_bot_addressed() {
    let ws = with_bot("allow: [ann], groups: ['#garden']");
    let at = |id: &str, sender: &str, chat: &str, more: &Value| {
        let mut line = json!({"id": id, "from": sender, "chat": chat, "text": "hi"});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let (mentioned, reply, plain) = (json!({"mentioned": true}), json!({"reply": true}), json!({}));
    let lines = [
        at("1", "ann", "#garden", &mentioned),
        at("2", "ann", "#garden", &reply),
        at("3", "ann", "#garden", &plain),
        at("4", "ann", "#other", &mentioned),
        at("5", "eve", "#garden", &mentioned),
    ];
    let acked =
        |answers: Vec<Value>| -> Vec<Value> { answers.iter().filter_map(|line| line.get("ack").cloned()).collect() };
    assert_eq!(acked(say(&ws, &lines)), ["1", "2"]);
    assert_eq!(events(&ws)[0]["reply_to"], "bot:#garden");
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("allow: [ann]", "members: any"));
    assert_eq!(acked(say(&ws, &lines[4..])), ["5"]);
    assert_eq!(events(&ws).last().unwrap()["origin"]["class"], "unknown");
    assert!(ws.claw(&["check"]).out.find("members").is_none());
    let agent = ws.read("agents/pickle/AGENT.md").replacen("---\n", "---\nsenders: {unknown: ['*']}\n", 1);
    ws.write("agents/pickle/AGENT.md", &agent);
    let check = ws.claw(&["check"]);
    assert!(
        format!("{}{}", check.out, check.err)
            .contains("channels.bot.members: every member of its groups may talk, and pickle"),
        "{check:?}"
    );
}
