//! The request of `/chat/completions`.

use crate::core::fault::Result;
use crate::core::json::shape;
use crate::core::model::attachment::Attachment;
use crate::core::model::structured;
use crate::core::model::{Call, Message, Thought};
use crate::provider::openai::BASE;
use crate::provider::openai::dialect::{self, Dialect, Echo};
use crate::provider::{ModelCall, wire};
use serde_json::{Value, json};

pub(super) fn of(call: &ModelCall) -> Result<Value> {
    let (request, settings) = (call.request, &call.chosen.model);
    let model = wire::model(call)?;
    let dialect = dialect::of(&call.chosen.name, settings, settings.api_base.as_deref().unwrap_or(BASE))?;
    let mut messages = vec![json!({"role": dialect.prompt_role, "content": request.system})];
    messages.extend(request.messages.iter().map(|sent| message(dialect, sent)));
    if dialect.marks_cache(model) {
        mark_for_cache(&mut messages, request.system_parts());
    }
    let mut body = json!({"model": model, "messages": messages, "stream": true});
    if dialect.reports_usage {
        body["stream_options"] = json!({"include_usage": true});
    }
    if !request.tools.is_empty() {
        body["tools"] = request.tools.iter().map(|tool| json!({"type": "function", "function": tool})).collect();
        if request.must_answer {
            body["tool_choice"] = json!("none");
        }
    }
    if let Some(temperature) = request.temperature.filter(|_| dialect.has_temperature) {
        body["temperature"] = json!(temperature);
    }
    if let Some(max_tokens) = request.max_tokens {
        body[dialect.max_tokens] = json!(max_tokens);
    }
    if let Some(schema) = request.schema.as_ref().filter(|_| dialect.binds_answers(model)) {
        let named = json!({"name": structured::NAME, "schema": schema, "strict": shape::is_strict(schema)});
        body["response_format"] = json!({"type": "json_schema", "json_schema": named});
    }
    if let Some(thinking) = &settings.thinking {
        dialect.think(&mut body, model, thinking);
    }
    Ok(body)
}

/// Marks the stable part of the prompt and the last message of the user, so that the service caches the request up to
/// them.
fn mark_for_cache(messages: &mut [Value], (stable, changing): (&str, &str)) {
    let part = |text: &str| json!({"type": "text", "text": text});
    let marked = |text: &str| json!({"type": "text", "text": text, "cache_control": {"type": "ephemeral"}});
    if let Some(last) = messages.iter_mut().rfind(|message| message["role"] == "user") {
        match &mut last["content"] {
            // The text stands behind the files.
            Value::Array(parts) => {
                if let Some(part) = parts.last_mut() {
                    part["cache_control"] = json!({"type": "ephemeral"});
                }
            }
            content => *content = json!([marked(content.as_str().unwrap_or_default())]),
        }
    }
    if !stable.trim().is_empty() {
        let rest = Some(changing).filter(|text| !text.trim().is_empty()).map(part);
        messages[0]["content"] = std::iter::once(marked(stable)).chain(rest).collect();
    }
}

/// The part of a message for one file.
fn part(file: &Attachment) -> Value {
    if file.is_document() {
        json!({"type": "file", "file": {"filename": file.name(), "file_data": file.data_url()}})
    } else {
        json!({"type": "image_url", "image_url": {"url": file.data_url()}})
    }
}

fn message(dialect: &Dialect, message: &Message) -> Value {
    match message {
        Message::User { attachments, .. } if !attachments.is_empty() => {
            let text = json!({"type": "text", "text": message.timed()});
            let parts: Value = attachments.iter().map(part).chain([text]).collect();
            json!({"role": "user", "content": parts})
        }
        Message::User { .. } => json!({"role": "user", "content": message.timed()}),
        Message::Assistant { content, calls, thinking } if calls.is_empty() => {
            let mut sent = json!({"role": "assistant", "content": content});
            if dialect.echo == Echo::Details {
                details(&mut sent, thinking);
            }
            sent
        }
        Message::Assistant { content, calls, thinking } => {
            let content = (!content.is_empty()).then_some(content);
            let mut sent = json!({"role": "assistant", "content": content});
            sent["tool_calls"] = calls.iter().map(call).collect();
            match dialect.echo {
                Echo::Nothing => {}
                Echo::Text => {
                    let text: String = thinking.iter().map(|thought| thought.text.as_str()).collect();
                    sent["reasoning_content"] = json!(text);
                }
                Echo::Details => details(&mut sent, thinking),
                Echo::Signatures => {
                    let signed = thinking.iter().find_map(|thought| thought.payload["extra_content"].as_object());
                    for (at, extra) in signed.into_iter().flatten() {
                        if let Some(call) = at.parse().ok().and_then(|at: usize| sent["tool_calls"].get_mut(at)) {
                            call["extra_content"] = extra.clone();
                        }
                    }
                }
            }
            sent
        }
        // Some servers refuse a `name` here.
        Message::Tool { call, content, .. } => json!({"role": "tool", "tool_call_id": call, "content": content}),
    }
}

fn details(sent: &mut Value, thinking: &[Thought]) {
    if let Some(details) = thinking.iter().find_map(|thought| thought.payload.get("reasoning_details")) {
        sent["reasoning_details"] = details.clone();
    }
}

fn call(call: &Call) -> Value {
    let (name, arguments) = (Call::plain_name(&call.name), call.object().to_string());
    json!({"id": call.id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::settings::Model;
    use crate::provider::fixtures;

    fn sent(dialect: &str, message: &Message) -> Value {
        let settings = Model { dialect: Some(dialect.into()), ..Model::default() };
        super::message(dialect::of("m", &settings, BASE).unwrap(), message)
    }

    #[test]
    fn thoughts_are_sent_back_in_the_form_of_the_dialect() {
        let payload = json!({"reasoning_details": [{"text": "hm"}], "extra_content": {"1": {"google": "sig"}}});
        let thinking = vec![Thought { by: "openai/m".into(), text: "hm".into(), payload }];
        let calls: Vec<Call> =
            ["a", "b"].map(|id| Call { id: id.into(), name: "read".into(), arguments: json!({}) }).into();
        let answer = Message::Assistant { content: "I look.".into(), calls, thinking };
        let plain = sent("plain", &answer);
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&plain), ["content", "role", "tool_calls"]);
        assert_eq!(keys(&plain["tool_calls"][1]), ["function", "id", "type"]);
        assert_eq!(sent("openai", &answer), plain);
        assert_eq!(sent("deepseek", &answer)["reasoning_content"], "hm");
        assert_eq!(sent("openrouter", &answer)["reasoning_details"], json!([{"text": "hm"}]));
        let signed = sent("gemini", &answer);
        assert_eq!(signed["tool_calls"][1]["extra_content"], json!({"google": "sig"}));
        assert!(signed["tool_calls"][0].get("extra_content").is_none());
    }

    #[test]
    fn files_are_parts_before_the_text() {
        let asked = Message::with_attachments("look", fixtures::attachments());
        let expected = json!({"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
            {"type": "file", "file": {"filename": "b.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQ="}},
            {"type": "text", "text": "look"},
        ]});
        assert_eq!(sent("openai", &asked), expected);
        let mut messages = vec![json!({"role": "system", "content": ""}), expected];
        mark_for_cache(&mut messages, ("", ""));
        let marked = json!({"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}});
        assert_eq!((&messages[1]["content"][2], messages[1]["content"][0].get("cache_control")), (&marked, None));
    }

    #[test]
    fn stable_prompt_and_last_question_are_marked_for_the_cache() {
        let mut messages = vec![
            json!({"role": "system", "content": "who when"}),
            json!({"role": "user", "content": "a"}),
            json!({"role": "assistant", "content": "b"}),
            json!({"role": "user", "content": "c"}),
        ];
        mark_for_cache(&mut messages, ("who", " when"));
        let mark = json!({"type": "ephemeral"});
        assert_eq!(messages[0]["content"][0], json!({"type": "text", "text": "who", "cache_control": mark}));
        assert_eq!(messages[0]["content"][1], json!({"type": "text", "text": " when"}));
        assert_eq!(messages[1]["content"], "a");
        assert_eq!(messages[3]["content"], json!([{"type": "text", "text": "c", "cache_control": mark}]));
        let dialect = |base: &str| dialect::of("m", &Model::default(), base).unwrap();
        assert!(dialect("https://openrouter.ai/api/v1").marks_cache("anthropic/claude-sonnet-5"));
        assert!(!dialect("https://openrouter.ai/api/v1").marks_cache("openai/gpt-5"));
        assert!(!dialect(BASE).marks_cache("anthropic/claude-sonnet-5"));
    }

    #[test]
    fn call_is_sent_back_with_its_thought_even_if_that_is_empty() {
        let calls = vec![Call { id: "a".into(), name: "read".into(), arguments: json!({}) }];
        let called = Message::Assistant { content: String::new(), calls, thinking: Vec::new() };
        assert_eq!(sent("deepseek", &called)["reasoning_content"], "");
        let answer = Message::Assistant { content: "x".into(), calls: Vec::new(), thinking: Vec::new() };
        assert_eq!(sent("deepseek", &answer), json!({"role": "assistant", "content": "x"}));
    }
}
