//! Answers in parts: what is visible stays the same, the rest is sent as it was planned, and an answer of the network
//! that says nothing is never taken for a refusal.

use crate::common::telegram::{TOKEN, Telegram};
use crate::common::{Fixture, Ran};
use serde_json::{Value, json};
use std::fs;

fn workspace(telegram: &Telegram, settings: &str) -> Fixture {
    let ws = Fixture::new();
    ws.write("bot.token", TOKEN);
    ws.config(&format!("channels:\n  telegram: {{token_file: bot.token, base_url: '{}'{settings}}}\n", telegram.url()));
    ws
}

fn deliver(ws: &Fixture, text: &str) -> Ran {
    ws.write("outbox/answer.json", &json!({"reply_to": "telegram:42", "content": text}).to_string());
    ws.claw(&["deliver"])
}

fn again(ws: &Fixture) -> Ran {
    ws.claw(&["retry", "--all"]);
    ws.hurry();
    ws.claw(&["deliver"])
}

fn texts(telegram: &Telegram) -> Vec<String> {
    telegram.ledger().sent.iter().map(|sent| sent.text.clone()).collect()
}

/// The next message is not sent, and may be sent later.
fn refuse_for_now(telegram: &Telegram) {
    let parameters = json!({"retry_after": 9});
    let body = json!({"ok": false, "error_code": 429, "description": "Too Many Requests", "parameters": parameters});
    telegram.refuse("sendMessage", 429, body);
}

fn end_pause(ws: &Fixture) {
    fs::remove_file(ws.path(".claw/channels/telegram/pause")).unwrap();
}

fn receipt_path(ws: &Fixture) -> String {
    let day = ws.list("outbox/done").remove(0);
    let name = ws.list(&format!("outbox/done/{day}")).into_iter().find(|name| name.ends_with(".receipt")).unwrap();
    format!("outbox/done/{day}/{name}")
}

#[test]
fn style_over_a_cut_continues_in_the_next_part_and_no_mark_is_visible() {
    let telegram = Telegram::start();
    let ws = workspace(&telegram, "");
    let words: Vec<String> = (0..1500).map(|n| format!("word{n}")).collect();
    deliver(&ws, &format!("**{}**", words.join(" "))).ok();
    let sent = telegram.ledger().sent.clone();
    assert!(sent.len() > 2 && sent.iter().all(|part| part.entities.len() == 1 && part.entities[0]["type"] == "bold"));
    assert_eq!(texts(&telegram).join(" "), words.join(" "));
    assert_eq!(telegram.ledger().broken, [""; 0]);
    let why = ws.claw(&["why", ws.done("outbox")[0].trim_end_matches(".json")]).out;
    assert!(!why.contains("word1"), "the parts are no receipt for people: {why}");
}

#[test]
fn rest_is_sent_as_it_was_cut_also_by_a_version_that_cuts_otherwise() {
    let telegram = Telegram::start();
    let ws = workspace(&telegram, "");
    refuse_for_now(&telegram);
    deliver(&ws, &format!("{}\n\n{}", "a ".repeat(1900), "b ".repeat(1900))).fails(75);
    end_pause(&ws);
    // The plan of another version: other places, another rendering.
    let path = receipt_path(&ws);
    let plan = ws.read(&path);
    assert!(plan.starts_with("parts 2 [{") && plan.ends_with("\nbegun 1\nnot sent 1\n"), "{plan}");
    let other = json!([{"text": "one"}, {"text": "two", "entities": [{"type": "bold", "offset": 0, "length": 3}]}]);
    ws.write(&path, &format!("parts 2 {other}\nbegun 1\nsent 1 77\nbegun 2\nnot sent 2\n"));
    again(&ws).ok();
    let sent = telegram.ledger().sent.clone();
    assert_eq!((texts(&telegram), &sent[0].entities[0]["length"]), (vec!["two".to_owned()], &json!(3)));
}

/// Killed between the receipt and the move; then claw was updated, and would make two parts of it.
#[test]
fn answer_that_was_sent_whole_is_not_cut_by_another_version() {
    let telegram = Telegram::start();
    let ws = workspace(&telegram, "");
    refuse_for_now(&telegram);
    deliver(&ws, &format!("{}\n\n{}", "a ".repeat(1900), "b ".repeat(1900))).fails(75);
    end_pause(&ws);
    ws.write(&receipt_path(&ws), "begun 1\nsent 1 77\n");
    again(&ws).ok();
    assert_eq!((texts(&telegram), ws.pending()), (vec![], vec![]));
}

/// The 21st message within a minute to a group is tried again at its turn; its receipt has no line before, and other
/// chats go on.
#[test]
fn message_waits_for_the_turn_of_its_group_in_every_process() {
    let telegram = Telegram::start();
    telegram.add_chat(-5, "group");
    let ws = workspace(&telegram, "");
    let clock = ws.set_clock(0);
    let at_clock = || -> Ran { ws.command(&["deliver"]).env("CLAW_CLOCK", &clock).output().unwrap().into() };
    let deliver = |to: &str| {
        ws.write("outbox/answer.json", &json!({"reply_to": to, "content": format!("to {to}")}).to_string());
        at_clock()
    };
    deliver("telegram:-5").ok();
    let pace = ".claw/channels/telegram/pace";
    let line = ws.read(pace);
    ws.write(pace, &line.repeat(20));
    deliver("telegram:-5").fails(75);
    assert_eq!((ws.list("outbox/wait").len(), ws.read(pace).lines().count()), (1, 20));
    deliver("telegram:42").ok();
    assert_eq!(texts(&telegram), ["to telegram:-5", "to telegram:42"]);
    ws.set_clock(70);
    at_clock().ok();
    assert_eq!(texts(&telegram), ["to telegram:-5", "to telegram:42", "to telegram:-5"]);
}

#[test]
fn answer_of_a_gateway_is_unknown_and_never_a_refusal() {
    // The service itself may have failed behind the message.
    let failed = json!({"ok": false, "error_code": 500, "description": "Internal Server Error: restart"});
    for (status, answer) in
        [(502, json!("<html>Bad Gateway</html>")), (200, json!("")), (500, Value::Null), (500, failed)]
    {
        let telegram = Telegram::start();
        let ws = workspace(&telegram, "");
        telegram.refuse("sendMessage", status, answer);
        deliver(&ws, "pay 10 euros").fails(75);
        assert_eq!(ws.read(&receipt_path(&ws)), "begun 1\n", "{status}");
        again(&ws).ok();
        assert_eq!(texts(&telegram), ["(possibly repeated)\npay 10 euros"], "{status}");
    }
}

#[test]
fn held_part_is_sent_once_the_owner_has_asked_for_it() {
    let telegram = Telegram::start();
    let ws = workspace(&telegram, ", unknown: hold");
    telegram.cut_off("sendMessage");
    deliver(&ws, "pay 10 euros").fails(75);
    again(&ws).fails(1);
    assert_eq!(texts(&telegram), ["pay 10 euros"]);
    assert_eq!(ws.read(&receipt_path(&ws)), "begun 1\nheld 1\n");
    again(&ws).ok();
    assert_eq!(texts(&telegram), ["pay 10 euros", "(possibly repeated)\npay 10 euros"]);
}

#[test]
fn refused_repetition_stays_unknown() {
    let telegram = Telegram::start();
    let ws = workspace(&telegram, "");
    telegram.cut_off("sendMessage");
    deliver(&ws, "pay 10 euros").fails(75);
    refuse_for_now(&telegram);
    again(&ws).fails(75);
    end_pause(&ws);
    again(&ws).ok();
    assert_eq!(texts(&telegram), ["pay 10 euros", "(possibly repeated)\npay 10 euros"]);
    assert!(ws.read(&receipt_path(&ws)).starts_with("begun 1\nbegun 1\nheld 1\nbegun 1\nsent 1 "));
}

#[test]
fn blocked_bot_is_shown_at_the_pairing_until_the_sender_writes_again() {
    for settings in ["", ", account: mine"] {
        blocked_bot_is_shown(settings);
    }
}

fn blocked_bot_is_shown(settings: &str) {
    let telegram = Telegram::start();
    let ws = workspace(&telegram, settings);
    let link = ws.claw(&["pair", "invite", "telegram"]).ok();
    let code = link.trim().rsplit([' ', '=']).next().unwrap().to_owned();
    telegram.message(42, &format!("/start {code}"));
    ws.claw(&["listen", "telegram", "--once"]).ok();
    ws.claw(&["deliver"]).ok();
    let blocked = json!({"ok": false, "error_code": 403, "description": "Forbidden: bot was blocked by the user"});
    telegram.refuse("sendMessage", 403, blocked);
    deliver(&ws, "hello?").fails(1);
    let paired = ws.claw(&["pair", "list"]).ok();
    assert!(paired.contains("telegram:42") && paired.contains("cannot be written to since"), "{paired}");
    telegram.message(42, "back again");
    ws.claw(&["listen", "telegram", "--once"]).ok();
    let paired = ws.claw(&["pair", "list"]).ok();
    assert!(paired.contains("telegram:42") && !paired.contains("cannot be written to"), "{paired}");
}

#[test]
fn half_a_character_in_one_message_does_not_stop_the_others() {
    let telegram = Telegram::start();
    let ws = workspace(&telegram, ", allow: [42]");
    telegram.message(42, "before <half> after");
    telegram.message(42, "second");
    ws.claw(&["listen", "telegram", "--once"]).ok();
    let mut contents: Vec<String> = ws
        .list("inbox/new")
        .iter()
        .map(|name| {
            let event: Value = serde_json::from_str(&ws.read(&format!("inbox/new/{name}"))).unwrap();
            event["content"].as_str().unwrap().to_owned()
        })
        .collect();
    contents.sort();
    assert_eq!(contents, ["before \u{fffd} after", "second"]);
    assert_eq!(telegram.ledger().confirmed, [700, 701]);
}

#[test]
fn channel_is_added_with_its_token_in_a_private_file() {
    use std::os::unix::fs::PermissionsExt;
    let telegram = Telegram::start();
    let ws = Fixture::new();
    let url = telegram.url();
    let before = ws.read("claw.yaml");
    let add = |more: &[&str], token: &str| {
        ws.piped(&[&["channels", "add", "telegram", "--base-url", url.as_str()][..], more].concat(), token)
    };
    let wrong = "4242:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-no";
    for (token, why) in [("", "is empty"), ("undefined", "a missing value"), (wrong, "does not know this token")] {
        let ran = add(&[], token);
        assert!(ran.code == 78 && ran.err.contains(why) && !ran.err.contains("QXMENQ"), "{token}: {ran:?}");
    }
    assert_eq!(ws.read("claw.yaml"), before, "nothing is written for a token that is refused");
    assert!(!ws.path(".secrets/telegram.token").exists());
    let ran = add(&[], &format!("{TOKEN}\n"));
    let said = format!("{}{}", ran.out, ran.err);
    assert_eq!(ran.code, 0, "{said}");
    assert!(said.contains("the bot is @clawtest_bot") && said.contains('+'), "{said}");
    assert!(said.contains("claw pair invite telegram --owner") && !said.contains("QXMENQ"), "{said}");
    let mode = fs::metadata(ws.path(".secrets/telegram.token")).unwrap().permissions().mode();
    assert_eq!((mode & 0o777, ws.read(".secrets/telegram.token").trim()), (0o600, TOKEN));
    assert!(ws.read("claw.yaml").contains("token_file: .secrets/telegram.token"));
    let invited = ws.claw(&["pair", "invite", "telegram", "--owner"]).ok();
    assert!(invited.contains("https://t.me/clawtest_bot?start="), "{invited}");
    add(&[], TOKEN).fails(2);
    assert!(add(&["--name", "work"], TOKEN).fails(78).contains("channels.telegram has this token"));
    telegram.message(42, "hello");
    ws.claw(&["listen", "telegram", "--once"]).ok();
}
