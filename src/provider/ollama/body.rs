//! The request of `/api/chat`.

use crate::core::fault::Result;
use crate::core::model::effort;
use crate::core::model::settings::Thinking;
use crate::core::model::{Call, Message};
use crate::provider::{ModelCall, wire};
use serde_json::{Map, Value, json};

pub(super) fn of(call: &ModelCall) -> Result<Value> {
    let (request, settings) = (call.request, &call.chosen.model);
    let mut messages = vec![json!({"role": "system", "content": request.system})];
    let turn_start = request.messages.iter().rposition(|message| matches!(message, Message::User { .. }));
    messages.extend(request.messages.iter().enumerate().map(|(n, sent)| message(sent, Some(n) > turn_start)));
    let mut body = json!({
        "model": wire::model(call)?,
        "messages": messages,
        "stream": true,
        // An error instead of an answer to a shortened request. Older servers ignore these fields.
        "truncate": false,
        "shift": false,
    });
    // The interface has no `tool_choice`: without tools nothing can be called.
    if !request.tools.is_empty() && !request.must_answer {
        body["tools"] = request.tools.iter().map(|tool| json!({"type": "function", "function": tool})).collect();
    }
    // It binds everything that the model writes, so calls would be impossible.
    if let Some(schema) = request.schema.as_ref().filter(|_| body["tools"].is_null()) {
        body["format"] = schema.clone();
    }
    let mut options = Map::new();
    if let Some(temperature) = request.temperature {
        options.insert("temperature".to_owned(), json!(temperature));
    }
    if let Some(max_tokens) = request.max_tokens {
        options.insert("num_predict".to_owned(), json!(max_tokens));
    }
    if let Some(num_ctx) = settings.num_ctx {
        options.insert("num_ctx".to_owned(), json!(num_ctx));
    }
    if !options.is_empty() {
        body["options"] = Value::Object(options);
    }
    if let Some(thinking) = &settings.thinking {
        body["think"] = think(thinking);
    }
    if let Some(keep_alive) = &settings.keep_alive {
        // A text is a duration with a unit; a number is a duration in seconds.
        body["keep_alive"] = keep_alive.parse::<i64>().map_or_else(|_| json!(keep_alive), Value::from);
    }
    Ok(body)
}

/// The field `think`: a boolean, or for a few models an effort, of which the server refuses other words.
fn think(thinking: &Thinking) -> Value {
    match thinking {
        Thinking::Effort(word) if !thinking.is_off() && word != "on" => {
            json!(effort::nearest(effort::OLLAMA, word).unwrap_or(word))
        }
        _ => json!(!thinking.is_off()),
    }
}

fn message(message: &Message, is_in_turn: bool) -> Value {
    match message {
        Message::User { attachments, .. } => {
            let mut sent = json!({"role": "user", "content": message.timed()});
            if !attachments.is_empty() {
                sent["images"] = attachments.iter().map(|file| file.data.as_str()).collect();
            }
            sent
        }
        Message::Assistant { content, calls, thinking } => {
            let mut sent = json!({"role": "assistant", "content": content});
            if !calls.is_empty() {
                sent["tool_calls"] = calls.iter().map(call).collect();
            }
            let thought: String = thinking.iter().map(|thought| thought.text.as_str()).collect();
            if is_in_turn && !thought.is_empty() {
                sent["thinking"] = json!(thought);
            }
            sent
        }
        Message::Tool { call, name, content } => {
            let name = Call::plain_name(name);
            json!({"role": "tool", "tool_call_id": call, "tool_name": name, "content": content})
        }
    }
}

fn call(call: &Call) -> Value {
    json!({"id": call.id, "function": {"name": Call::plain_name(&call.name), "arguments": call.object()}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::Thought;
    use crate::provider::fixtures;

    #[test]
    fn arguments_are_objects_and_thoughts_are_sent_back_within_the_turn() {
        let thinking = vec![Thought { by: "ollama/m".into(), text: "hm".into(), payload: Value::Null }];
        let calls = vec![Call { id: "x".into(), name: "read".into(), arguments: json!("{\"pa") }];
        let answer = Message::Assistant { content: String::new(), calls, thinking };
        let call = json!([{"id": "x", "function": {"name": "read", "arguments": {"malformed": "{\"pa"}}}]);
        let expected = json!({"role": "assistant", "content": "", "tool_calls": call, "thinking": "hm"});
        assert_eq!(message(&answer, true), expected);
        assert!(message(&answer, false).get("thinking").is_none());
        let result = Message::Tool { call: "x".into(), name: "read.it".into(), content: "1".into() };
        let expected = json!({"role": "tool", "tool_call_id": "x", "tool_name": "read_it", "content": "1"});
        assert_eq!(message(&result, true), expected);
    }

    #[test]
    fn images_are_a_list_in_base64() {
        let asked = Message::with_attachments("look", fixtures::attachments()[..1].to_vec());
        assert_eq!(message(&asked, true), json!({"role": "user", "content": "look", "images": ["iVBORw0KGgo="]}));
        assert!(message(&Message::user("a"), true).get("images").is_none());
    }

    #[test]
    fn effort_is_sent_as_a_word_and_everything_else_as_a_boolean() {
        let of = |yaml: &str| think(&serde_yaml::from_str(yaml).unwrap());
        assert_eq!(
            ["true", "false", "off", "on", "high", "minimal", "xhigh", "0", "500"].map(of),
            [
                json!(true),
                json!(false),
                json!(false),
                json!(true),
                json!("high"),
                json!("low"),
                json!("high"),
                json!(false),
                json!(true),
            ]
        );
    }
}
