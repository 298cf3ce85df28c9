//! The request as chat-completions servers want it.

use crate::core::fault::{Fault, Result};
use crate::core::model::{Call, Message};
use crate::provider::Question;
use serde_json::{Value, json};

pub(super) fn of(question: &Question) -> Result<Value> {
    let request = question.request;
    let Some(model) = &request.model else {
        return Err(Fault::config(format!("model {}: `model` is missing", question.chosen.name)));
    };
    let mut messages = vec![json!({"role": "system", "content": request.system})];
    messages.extend(request.messages.iter().map(message));
    let mut body = json!({
        "model": model,
        "messages": messages,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(|tool| json!({"type": "function", "function": tool})).collect();
        if request.must_answer {
            body["tool_choice"] = json!("none");
        }
    }
    if let Some(temperature) = request.temperature {
        body["temperature"] = json!(temperature);
    }
    if let Some(max_tokens) = request.max_tokens {
        body["max_tokens"] = json!(max_tokens);
    }
    Ok(body)
}

fn message(message: &Message) -> Value {
    match message {
        Message::User { content } => json!({"role": "user", "content": content}),
        Message::Assistant { content, calls } if calls.is_empty() => json!({"role": "assistant", "content": content}),
        Message::Assistant { content, calls } => {
            let content = (!content.is_empty()).then_some(content);
            json!({"role": "assistant", "content": content, "tool_calls": calls.iter().map(call).collect::<Value>()})
        }
        // Some servers refuse a `name` here.
        Message::Tool { call, content, .. } => json!({"role": "tool", "tool_call_id": call, "content": content}),
    }
}

fn call(call: &Call) -> Value {
    // What was no object goes back inside of one: there are servers that read the arguments again.
    let arguments = match &call.arguments {
        Value::Object(_) => call.arguments.to_string(),
        other => json!({"malformed": other}).to_string(),
    };
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
}
