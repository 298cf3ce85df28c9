//! Files of messages: what `ask -f` and `attachments` of events become in requests, and what is refused before one is
//! sent.

use crate::common::servers::{ANTHROPIC, JSON, OLLAMA, OPENAI, Server, whole};
use crate::common::strict::{Script, Strict};
use crate::common::{Fixture, peer};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const PNG_URL: &str = "data:image/png;base64,iVBORw0KGgo=";
const SCRIPTS: &[(&str, Script)] = &[("script:look", |_, _| ("I see it.", Vec::new()))];

/// A workspace with a strict server whose model has these settings, and files beside the workspace.
fn workspace(server: &Strict, more: &str) -> Fixture {
    let ws = Fixture::new();
    server.model(&ws);
    let text = ws.read("claw.yaml").replace("model: m,", &format!("model: m, {more}"));
    ws.write("claw.yaml", &text);
    // The name says nothing about the content.
    fs::write(outside(&ws, "cat.txt"), PNG).unwrap();
    fs::write(outside(&ws, "notes.png"), "the NAS is 10.0.0.7\n").unwrap();
    fs::write(outside(&ws, "doc"), "%PDF-1.4").unwrap();
    ws
}

fn outside(ws: &Fixture, name: &str) -> String {
    ws.root.parent().unwrap().join(name).to_str().unwrap().to_owned()
}

/// The messages of the user in the last request.
fn asked(server: &Strict) -> Vec<Value> {
    let last = server.last();
    let messages = last["messages"].as_array().unwrap().iter();
    messages.filter(|message| message["role"] == "user").map(|message| message["content"].clone()).collect()
}

fn text(content: &Value) -> &str {
    content.as_str().unwrap_or_else(|| content.as_array().unwrap().last().unwrap()["text"].as_str().unwrap())
}

#[test]
fn files_of_a_question_become_parts_and_are_kept_for_the_next_one() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "images: true, dialect: openai,");
    let files = ["cat.txt", "notes.png", "doc"].map(|name| outside(&ws, name));
    let [cat, notes, doc] = files.each_ref().map(String::as_str);
    let ran = ws.claw(&["ask", "-n", "-s", "t", "-f", cat, "-f", notes, "--file", doc, "script:look"]);
    assert_eq!(ran.ok(), "I see it.\n");
    assert_eq!(server.broken(), [""; 0]);
    let content = &asked(&server)[0];
    assert_eq!(content[0], json!({"type": "image_url", "image_url": {"url": PNG_URL}}));
    assert_eq!(content[1]["file"]["file_data"], "data:application/pdf;base64,JVBERi0xLjQ=");
    let copies = ws.list("files/attachments");
    assert_eq!(copies.len(), 3, "{copies:?}");
    let said = text(content);
    assert!(said.starts_with("script:look\n\n[attached: files/attachments/"), "{said}");
    assert!(
        said.contains("-1-cat.txt]\n\n<data-") && said.contains("-2-notes.png\">\nthe NAS is 10.0.0.7\n"),
        "{said}"
    );
    assert!(said.ends_with("-3-doc]"), "{said}");
    // The question and its files stay the same in the next request: the service has cached them.
    let first = content.clone();
    fs::remove_file(&files[0]).unwrap();
    ws.claw(&["ask", "-n", "-s", "t", "script:look again"]).ok();
    assert_eq!(asked(&server), [first, json!("script:look again")]);
    // A file that has gone is named; the conversation goes on.
    let cat = copies.iter().find(|name| name.ends_with("cat.txt")).unwrap();
    fs::remove_file(ws.path(&format!("files/attachments/{cat}"))).unwrap();
    ws.claw(&["ask", "-n", "-s", "t", "script:look once more"]).ok();
    let first = &asked(&server)[0];
    assert_eq!(first.as_array().unwrap().len(), 2, "{first}");
    assert!(text(first).contains("\n[not sent again: ") && text(first).ends_with("no such file]"), "{first}");
    // A model that reads no images goes on with the text.
    let settings = ws.read("claw.yaml").replace("images: true", "images: false");
    ws.write("claw.yaml", &settings);
    ws.claw(&["ask", "-n", "-s", "t", "script:look blindly"]).ok();
    assert!(asked(&server)[0].as_str().is_some_and(|text| text.contains("images: false")), "{:?}", asked(&server)[0]);
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn file_in_the_workspace_is_not_copied() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "images: true,");
    fs::write(ws.path("files/a b.png"), PNG).unwrap();
    ws.claw(&["ask", "-n", "-f", "files/a b.png", "script:look"]).ok();
    assert_eq!(text(&asked(&server)[0]), "script:look\n\n[attached: files/a b.png]");
    assert!(!ws.path("files/attachments").exists());
}

#[test]
fn file_that_cannot_be_sent_is_refused_before_the_question_is_published() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "images: true,");
    fs::write(outside(&ws, "binary"), b"\0\x01").unwrap();
    fs::write(outside(&ws, "empty"), "").unwrap();
    fs::create_dir(outside(&ws, "folder")).unwrap();
    let large = |name: &str, size: usize| {
        let mut bytes = PNG.to_vec();
        bytes.resize(size, 0);
        fs::write(outside(&ws, name), bytes).unwrap();
    };
    let most = 3_932_160;
    large("large", most + 1);
    large("fits", most);
    for (name, why) in [
        ("binary", "neither text nor PNG"),
        ("empty", "is empty"),
        ("folder", "is not a file"),
        ("missing", "cannot read"),
        ("large", "has 3932161 bytes; an image may have 3932160"),
        ("doc", "reads no documents"),
    ] {
        let ran = ws.claw(&["ask", "-n", "-f", &outside(&ws, name), "script:look"]);
        assert!(ran.err.contains(name) && ran.err.contains(why), "{name}: {}", ran.err);
        ran.fails(65);
    }
    let cat = outside(&ws, "cat.txt");
    let many = |count: usize| {
        let mut arguments = vec!["ask", "-n"];
        arguments.extend(["-f", &cat].into_iter().cycle().take(2 * count));
        arguments.push("script:look");
        ws.claw(&arguments)
    };
    assert!(many(21).fails(65).contains("a request may have 20 files"));
    ws.claw(&["ask", "-n", "-f", &cat, "/help"]).fails(2);
    // Nothing was published or copied.
    assert_eq!((ws.pending(), ws.done("inbox"), ws.list("sessions")), Default::default());
    assert!(!ws.path("files/attachments").exists());
    assert_eq!(server.asked("script:look", 0), 0);
    many(20).ok();
    ws.claw(&["ask", "-n", "-f", &outside(&ws, "fits"), "script:look"]).ok();
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn model_that_reads_no_images_is_not_sent_any() {
    let server = Strict::start(SCRIPTS);
    for (more, why) in [("", "it is not known to"), ("images: false,", "`images: false` in its settings")] {
        let ws = workspace(&server, more);
        let ran = ws.claw(&["ask", "-n", "-f", &outside(&ws, "cat.txt"), "script:look"]).fails(65);
        assert!(ran.contains("model strict reads no images: ") && ran.contains(why), "{ran}");
        // Text is sent to every model.
        ws.claw(&["ask", "-n", "-f", &outside(&ws, "notes.png"), "script:look"]).ok();
        assert!(asked(&server)[0].as_str().is_some_and(|text| text.contains("the NAS is 10.0.0.7")));
    }
    let ws = Fixture::new();
    fs::write(outside(&ws, "cat.txt"), PNG).unwrap();
    assert!(ws.claw(&["ask", "-n", "-f", &outside(&ws, "cat.txt"), "hi"]).fails(65).contains("the built-in one"));
}

#[test]
fn every_interface_has_the_image_of_the_last_message() {
    let stop = r#"{"message": {"role": "assistant", "content": "done"}, "done": true, "done_reason": "stop"}"#;
    let message = r#"{"type": "message", "role": "assistant", "stop_reason": "end_turn", "content": [{"type": "text", "text": "done"}]}"#;
    let response = r#"{"object": "response", "status": "completed", "output": [{"type": "message", "role": "assistant",
        "content": [{"type": "output_text", "text": "done"}]}]}"#;
    let source = json!({"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="});
    for (wire, more, answer, place, expected) in [
        (&ANTHROPIC, "", message, "/messages/0/content/0", json!({"type": "image", "source": source})),
        (&OLLAMA, "", stop, "/messages/1/images", json!(["iVBORw0KGgo="])),
        (
            &OPENAI,
            ", wire: responses",
            response,
            "/input/0/content/0",
            json!({"type": "input_image", "image_url": PNG_URL, "detail": "auto"}),
        ),
    ] {
        let server = Server::saying(whole("200 OK", JSON, answer));
        let ws = server.workspace(wire, &format!(", api_key: k-0123456789, images: true{more}"));
        fs::write(outside(&ws, "cat.txt"), PNG).unwrap();
        assert_eq!(ws.claw(&["ask", "-n", "-f", &outside(&ws, "cat.txt"), "look"]).ok(), "done\n");
        let body = &server.heard()[0].body;
        assert_eq!(body.pointer(place), Some(&expected), "{body:#}");
    }
}

#[test]
fn secret_in_an_attached_text_is_hidden() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "");
    ws.claw(&["ask", "-n", "-f", "strict.key", "script:look"]).ok();
    assert!(text(&asked(&server)[0]).contains("strict.key\">\n[hidden"), "{}", text(&asked(&server)[0]));
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn fallback_that_reads_images_answers_instead() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "images: true,");
    let blind = format!(
        "  blind: {{provider: openai, model: m, api_base: 'http://127.0.0.1:{}/v1', \
         api_key_file: strict.key, fallback: [strict]}}\n",
        server.port
    );
    let settings = ws.read("claw.yaml").replacen("\nmodels:\n", &format!("\nmodels:\n{blind}"), 1);
    ws.write("claw.yaml", &settings);
    let ran = ws.claw(&["ask", "-n", "-m", "blind", "-f", &outside(&ws, "cat.txt"), "script:look"]);
    assert!(
        ran.err.contains("model blind reads no images: ") && ran.err.contains("asking strict instead"),
        "{}",
        ran.err
    );
    assert_eq!(ran.ok(), "I see it.\n");
    assert_eq!(asked(&server)[0][0]["image_url"]["url"], PNG_URL);
}

#[test]
fn attachments_of_an_event_are_read_below_their_folder_only() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "images: true,");
    fs::write(ws.path("files/cat"), PNG).unwrap();
    ws.write("inbox/a.json", &json!({"content": "script:look", "attachments": ["files/cat"]}).to_string());
    ws.claw(&["tick"]).ok();
    assert_eq!(asked(&server)[0][0]["image_url"]["url"], PNG_URL);
    assert_eq!(server.asked("script:look", 0), 1);
    symlink(outside(&ws, "cat.txt"), ws.path("files/link")).unwrap();
    for (path, why) in [
        ("files/link", "links are not followed"),
        ("files/../strict.key", "an attachment lies in files/"),
        ("strict.key", "an attachment lies in files/"),
        ("files/none", "there is no such file"),
    ] {
        ws.write("inbox/b.json", &json!({"content": "script:look", "attachments": [path]}).to_string());
        ws.claw(&["tick"]);
        let failed = ws.list("inbox/failed").into_iter().filter(|name| name.ends_with(".reason"));
        let reasons: Vec<String> = failed.map(|name| ws.read(&format!("inbox/failed/{name}"))).collect();
        assert!(reasons.iter().any(|reason| reason.contains(why)), "{path}: {reasons:?}");
    }
    assert_eq!((server.asked("script:look", 0), server.broken()), (1, Vec::new()));
}

#[test]
fn program_is_told_the_path_and_the_type() {
    let ws = Fixture::new();
    ws.write("model.sh", "cat >request.json; echo done");
    ws.model("mine", "provider: command, command: [sh, model.sh], images: true");
    fs::write(outside(&ws, "cat.txt"), PNG).unwrap();
    ws.claw(&["ask", "-n", "-f", &outside(&ws, "cat.txt"), "look"]).ok();
    let request: Value = serde_json::from_str(&ws.read("request.json")).unwrap();
    let path = format!("files/attachments/{}", ws.list("files/attachments")[0]);
    assert_eq!(request["messages"][0]["attachments"], json!([{"path": path, "type": "image/png"}]));
    if let Some(complaints) = peer::complaints("docs/schema/request.json", true, &[request]) {
        assert_eq!(complaints, "");
    }
}
