//! The request of `/responses`: the conversation is a list of items, in which calls, results and thoughts are items of
//! their own.

use crate::core::fault::Result;
use crate::core::json::shape;
use crate::core::model::attachment::Attachment;
use crate::core::model::{Call, Message};
use crate::core::model::{effort, structured};
use crate::provider::{ModelCall, wire};
use serde_json::{Value, json};

/// Beginnings of the names of models that think, and so refuse a temperature; those with `-chat` do not think.
const THINKING: [&str; 6] = ["o1", "o3", "o4", "gpt-5", "gpt-6", "codex"];

/// The smallest limit of an answer that the service accepts, in tokens.
const MIN_OUTPUT: u32 = 16;

pub(super) fn of(call: &ModelCall) -> Result<Value> {
    let (request, settings) = (call.request, &call.chosen.model);
    let model = wire::model(call)?;
    let thinks = thinks(model);
    let turn_start = request.messages.iter().rposition(|message| matches!(message, Message::User { .. }));
    let input: Vec<Value> =
        request.messages.iter().enumerate().flat_map(|(n, message)| items(message, Some(n) > turn_start)).collect();
    let mut body = json!({
        "model": model,
        "instructions": request.system,
        "input": input,
        "stream": true,
        "store": false,
    });
    if thinks {
        body["include"] = json!(["reasoning.encrypted_content"]);
    }
    if !request.tools.is_empty() {
        let tool = |tool: &crate::core::model::ToolSpec| {
            json!({
                "type": "function", "name": tool.name, "description": tool.description,
                "parameters": tool.parameters, "strict": false,
            })
        };
        body["tools"] = request.tools.iter().map(tool).collect();
        if request.must_answer {
            body["tool_choice"] = json!("none");
        }
    }
    if let Some(temperature) = request.temperature.filter(|_| !thinks) {
        body["temperature"] = json!(temperature);
    }
    if let Some(max_tokens) = request.max_tokens {
        body["max_output_tokens"] = json!(max_tokens.max(MIN_OUTPUT));
    }
    if let Some(schema) = request.schema.as_ref().filter(|_| structured::is_bound(structured::OPENAI, model)) {
        let strict = shape::is_strict(schema);
        body["text"] =
            json!({"format": {"type": "json_schema", "name": structured::NAME, "schema": schema, "strict": strict}});
    }
    if let Some(thinking) = &settings.thinking {
        let wanted = if thinking.is_off() { Some("off") } else { thinking.effort() };
        if let Some(word) = wanted.and_then(|word| effort::accepted(effort::OPENAI, model, word)) {
            body["reasoning"] = json!({"effort": word});
        }
    }
    Ok(body)
}

/// Whether a model thinks. Models of other makers behind this interface get the fields of one that does not.
fn thinks(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    THINKING.iter().any(|begin| name.starts_with(begin)) && !name.contains("-chat")
}

/// The items of a message. Thoughts are sent back only within the turn: the service ignores older ones.
fn items(message: &Message, is_in_turn: bool) -> Vec<Value> {
    match message {
        Message::User { attachments, .. } if !attachments.is_empty() => {
            let text = json!({"type": "input_text", "text": message.timed()});
            let parts: Value = attachments.iter().map(part).chain([text]).collect();
            vec![json!({"role": "user", "content": parts})]
        }
        Message::User { .. } => vec![json!({"role": "user", "content": message.timed()})],
        Message::Assistant { content, calls, thinking } => {
            let thoughts = thinking.iter().filter(|_| is_in_turn).map(|thought| &thought.payload);
            let mut items: Vec<Value> = thoughts.filter(|payload| payload["type"] == "reasoning").cloned().collect();
            if !content.trim().is_empty() {
                items.push(json!({"role": "assistant", "content": content}));
            }
            items.extend(calls.iter().map(call));
            items
        }
        Message::Tool { call, content, .. } => {
            vec![json!({"type": "function_call_output", "call_id": call, "output": content})]
        }
    }
}

/// The part of a message for one file.
fn part(file: &Attachment) -> Value {
    if file.is_document() {
        json!({"type": "input_file", "filename": file.name(), "file_data": file.data_url()})
    } else {
        json!({"type": "input_image", "image_url": file.data_url(), "detail": "auto"})
    }
}

fn call(call: &Call) -> Value {
    let (name, arguments) = (Call::plain_name(&call.name), call.object().to_string());
    json!({"type": "function_call", "call_id": call.id, "name": name, "arguments": arguments})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::Thought;
    use crate::provider::fixtures;

    #[test]
    fn items_are_in_order_and_thoughts_stay_within_the_turn() {
        let payload = json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"});
        let thinking = vec![Thought { by: "openai/m".into(), text: String::new(), payload: payload.clone() }];
        let calls = vec![Call { id: "abc".into(), name: "functions.read".into(), arguments: json!({"path": "a"}) }];
        let answer = Message::Assistant { content: "I look.".into(), calls, thinking };
        let called = json!({
            "type": "function_call", "call_id": "abc", "name": "functions_read", "arguments": "{\"path\":\"a\"}",
        });
        let said = json!({"role": "assistant", "content": "I look."});
        assert_eq!(items(&answer, true), [payload, said.clone(), called.clone()]);
        assert_eq!(items(&answer, false), [said, called]);
        let result = Message::Tool { call: "abc".into(), name: "read".into(), content: "1".into() };
        assert_eq!(items(&result, true), [json!({"type": "function_call_output", "call_id": "abc", "output": "1"})]);
        assert_eq!(items(&Message::user("hi"), false), [json!({"role": "user", "content": "hi"})]);
    }

    #[test]
    fn files_are_parts_before_the_text() {
        let asked = Message::with_attachments("look", fixtures::attachments());
        let expected = json!({"role": "user", "content": [
            {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "auto"},
            {"type": "input_file", "filename": "b.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQ="},
            {"type": "input_text", "text": "look"},
        ]});
        assert_eq!(items(&asked, false), [expected]);
    }

    #[test]
    fn models_that_think_are_known_by_their_names() {
        let is = ["gpt-5.5", "o3-pro", "codex-mini-latest", "openai/gpt-5"].map(thinks);
        let is_not = ["gpt-5-chat-latest", "gpt-4.1", "deepseek-r1", "my-o3"].map(thinks);
        assert_eq!((is, is_not), ([true; 4], [false; 4]));
    }
}
