//! Sessions of `OpenClaw`: a header, then entries with `id` and `parentId`. The entries form a tree; the last one is the
//! end of the branch that a later turn continues.

use crate::core::model::Call;
use crate::import::conversation::{Said, Utterance};
use crate::import::session_file::{self, SessionContent};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Reads the messages of a session file.
pub(super) fn read(name: &str, text: &str, content: &mut SessionContent) {
    let entries = content.lines(name, text);
    let branch = active_branch(&entries);
    let (mut other, mut compactions) = (0, 0);
    for entry in &entries {
        let kind = entry["type"].as_str().unwrap_or_default();
        let is_message = matches!(kind, "message" | "custom_message") || entry["role"].is_string();
        compactions += usize::from(kind == "compaction");
        if !is_message {
            continue;
        }
        if entry["id"].as_str().is_some_and(|id| !branch.is_empty() && !branch.contains(id)) {
            other += 1;
            continue;
        }
        // The oldest files have the message without an envelope.
        let message = if entry["message"].is_object() { &entry["message"] } else { entry };
        let time = |value: &Value| session_file::instant(&value["timestamp"]);
        let at = time(entry).or_else(|| time(message));
        if let Some(said) = said(message) {
            content.utterances.push(Utterance { at, said });
        } else {
            let role = message["role"].as_str().unwrap_or("none");
            content.notes.push(format!("{name}: a message of the role `{role}` is left out"));
        }
    }
    if other > 0 {
        content.notes.push(format!("{name}: {other} messages of other branches are left out"));
    }
    if compactions > 0 {
        content.notes.push(format!("{name}: {compactions} summaries are left out; the whole conversation is there"));
    }
}

/// The ids of the entries from the first to the last one; empty if the file has no tree.
fn active_branch(entries: &[Value]) -> HashSet<&str> {
    let id = |entry: &'_ Value, key: &str| entry[key].as_str().map(ToOwned::to_owned);
    let parents: HashMap<String, Option<String>> =
        entries.iter().filter_map(|entry| Some((id(entry, "id")?, id(entry, "parentId")))).collect();
    if !entries.iter().any(|entry| entry["parentId"].is_string()) {
        return HashSet::new();
    }
    let known: HashMap<&str, &str> = entries.iter().filter_map(|e| e["id"].as_str()).map(|id| (id, id)).collect();
    let mut branch = HashSet::new();
    let mut at = entries.iter().rev().find(|entry| entry["parentId"].is_string()).and_then(|entry| id(entry, "id"));
    while let Some(now) = at.take() {
        let Some(own) = known.get(now.as_str()) else { break };
        if !branch.insert(*own) {
            break;
        }
        at = parents.get(&now).cloned().flatten();
    }
    branch
}

fn said(message: &Value) -> Option<Said> {
    let content = &message["content"];
    let name = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
    match message["role"].as_str().unwrap_or("custom") {
        "user" => Some(Said::User(text(content))),
        "system" | "developer" | "custom" => Some(Said::User(format!("[system] {}", text(content)))),
        "assistant" => {
            let parts = || content.as_array().into_iter().flatten();
            let of = |part: &Value| match part["type"].as_str() {
                Some("toolCall" | "tool_use" | "toolUse") => {
                    let arguments = [&part["arguments"], &part["input"]].into_iter().find(|value| !value.is_null());
                    let arguments = match arguments {
                        Some(Value::String(text)) => Call::parse_arguments(text),
                        Some(other) => other.clone(),
                        None => Value::Object(serde_json::Map::new()),
                    };
                    let [id, name] = ["id", "name"].map(|key| part[key].as_str().unwrap_or_default().to_owned());
                    Some((id, name, arguments))
                }
                _ => None,
            };
            let thoughts: Vec<&str> = parts().filter_map(|part| part["thinking"].as_str()).collect();
            Some(Said::Agent {
                text: text(content),
                calls: parts().filter_map(of).collect(),
                thinking: thoughts.join("\n\n"),
                model: message["model"].as_str().map(ToOwned::to_owned),
            })
        }
        "toolResult" | "tool" => Some(Said::Result {
            call: if message["toolCallId"].is_string() { name("toolCallId") } else { name("tool_call_id") },
            tool: message["toolName"].as_str().map(ToOwned::to_owned),
            text: text(content),
            failed: message["isError"].as_bool() == Some(true),
        }),
        "bashExecution" => Some(Said::User(format!("$ {}\n{}", name("command"), name("output")))),
        _ => None,
    }
}

/// The text of a content: a string, or parts. An image is named.
fn text(content: &Value) -> String {
    let part = |part: &Value| match part["type"].as_str() {
        Some("text") => part["text"].as_str().map(ToOwned::to_owned),
        Some("image") => Some(format!("[{}, not imported]", part["mimeType"].as_str().unwrap_or("an image"))),
        _ => None,
    };
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(part).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn content(lines: &[Value]) -> SessionContent {
        let text: String = lines.iter().map(|line| line.to_string() + "\n").collect();
        let mut content = SessionContent::default();
        read("s", &text, &mut content);
        content
    }

    #[test]
    fn active_branch_is_read_and_others_are_counted() {
        let message = |id: &str, parent: Option<&str>, message: Value| json!({"type": "message", "id": id, "parentId": parent, "message": message});
        let content = content(&[
            json!({"type": "session", "version": 3, "id": "s", "timestamp": "2026-01-02T03:04:05Z"}),
            message(
                "a",
                None,
                json!({"role": "user", "content": [{"type": "text", "text": "q"}, {"type": "image", "data": "eA==", "mimeType": "image/png"}]}),
            ),
            message("b", Some("a"), json!({"role": "assistant", "content": "abandoned"})),
            json!({"type": "custom", "id": "x", "parentId": "a"}),
            message(
                "c",
                Some("x"),
                json!({"role": "assistant", "model": "m", "content": [
                {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "look"},
                {"type": "toolCall", "id": "t", "name": "read", "arguments": {"path": "/y"}}]}),
            ),
            message(
                "d",
                Some("c"),
                json!({"role": "toolResult", "toolCallId": "t", "toolName": "read", "isError": true, "content": [{"type": "text", "text": "no"}]}),
            ),
            json!({"type": "compaction", "id": "e", "parentId": "d", "summary": "s"}),
        ]);
        let said: Vec<Said> = content.utterances.into_iter().map(|utterance| utterance.said).collect();
        assert_eq!(
            said,
            [
                Said::User("q\n[image/png, not imported]".into()),
                Said::Agent {
                    text: "look".into(),
                    calls: vec![("t".into(), "read".into(), json!({"path": "/y"}))],
                    thinking: "hm".into(),
                    model: Some("m".into()),
                },
                Said::Result { call: "t".into(), tool: Some("read".into()), text: "no".into(), failed: true },
            ]
        );
        assert_eq!(content.notes.len(), 2, "{:?}", content.notes);
    }

    #[test]
    fn circle_of_parents_ends() {
        let entry = |id: &str, parent: &str| json!({"type": "message", "id": id, "parentId": parent, "message": {"role": "user", "content": id}});
        assert_eq!(content(&[entry("a", "b"), entry("b", "a")]).utterances.len(), 2);
    }
}
