//! The request of the Messages API: roles alternate, all results of an answer's calls are in the one message after it,
//! and no text is empty.

use crate::core::fault::Result;
use crate::core::json::shape;
use crate::core::model::attachment::Attachment;
use crate::core::model::settings::Thinking;
use crate::core::model::{Call, Message};
use crate::provider::ModelCall;
use crate::provider::anthropic::family::{Family, Thinks};
use crate::provider::wire;
use serde_json::{Value, json};

/// The smallest thinking budget that the service accepts, in tokens.
const MIN_BUDGET: u32 = 1024;
/// The smallest room for the answer beside a budget, in tokens: the service refuses a budget that is not below the limit.
const MIN_ANSWER: u32 = 1024;
/// The room for the thoughts of a model that thinks by default, in tokens.
const DEFAULT_ROOM: u32 = 8192;

pub(super) fn of(call: &ModelCall) -> Result<Value> {
    let request = call.request;
    let model = wire::model(call)?;
    let family = Family::of(model);
    let mut thinks = thinks(call.chosen.model.thinking.as_ref(), family, &request.messages);
    let answer = request.max_tokens.unwrap_or(family.longest_answer());
    // A foreign model has no known limit: the owner's numbers count.
    let most = if family.is_foreign() { u32::MAX } else { family.most };
    let max_tokens = answer.saturating_add(thinks.tokens).min(most);
    if let Some(budget) = thinks.setting.get_mut("budget_tokens") {
        *budget = json!(thinks.tokens.min(max_tokens.saturating_sub(answer.min(MIN_ANSWER))).max(MIN_BUDGET));
    }
    let mut body = json!({
        "model": model,
        // The limit includes the thoughts.
        "max_tokens": max_tokens,
        "stream": true,
        "messages": messages(&request.messages, !thinks.omits_thoughts),
    });
    let (stable, changing) = request.system_parts();
    let mut system: Vec<Value> = Vec::new();
    if !stable.trim().is_empty() {
        system.push(cacheable(text(stable)));
    }
    if !changing.trim().is_empty() {
        system.push(text(changing));
    }
    if !system.is_empty() {
        body["system"] = json!(system);
    }
    if !request.tools.is_empty() {
        let tool = |tool: &crate::core::model::ToolSpec| json!({"name": tool.name, "description": tool.description, "input_schema": tool.parameters});
        let mut tools: Vec<Value> = request.tools.iter().map(tool).collect();
        if let Some(last) = tools.pop() {
            tools.push(cacheable(last));
        }
        body["tools"] = json!(tools);
        if request.must_answer {
            body["tool_choice"] = json!({"type": "none"});
        }
    }
    if let Some(temperature) =
        request.temperature.filter(|_| thinks.setting.is_null() && !family.refuses_sampling_settings())
    {
        body["temperature"] = json!(temperature);
    }
    if !thinks.setting.is_null() {
        body["thinking"] = thinks.setting;
    }
    if let Some(effort) = thinks.effort {
        body["output_config"]["effort"] = json!(effort);
    }
    // Other schemas are refused; the answer is checked anyway.
    if let Some(schema) = request.schema.as_ref().filter(|schema| family.has_schemas && shape::is_strict(schema)) {
        body["output_config"]["format"] = json!({"type": "json_schema", "schema": schema});
    }
    Ok(body)
}

/// The thinking of a request.
#[derive(Debug, Default, PartialEq)]
struct RequestThinking {
    /// The field `thinking`; null if it is left out.
    setting: Value,
    /// The tokens for thoughts, which are a part of `max_tokens`.
    tokens: u32,
    effort: Option<String>,
    /// Earlier thoughts are not sent back.
    omits_thoughts: bool,
}

fn thinks(wanted: Option<&Thinking>, family: Family, messages: &[Message]) -> RequestThinking {
    let is_off = wanted.is_some_and(Thinking::is_off);
    let adaptive = |effort: Option<&str>| RequestThinking {
        setting: json!({"type": "adaptive"}),
        // The thoughts are a part of the answer's limit.
        tokens: wanted.map_or(DEFAULT_ROOM, Thinking::budget),
        effort: effort.map(|word| if word == "minimal" { "low" } else { word }.to_owned()),
        ..RequestThinking::default()
    };
    match (family.thinks, wanted) {
        (Thinks::Always, Some(_)) if is_off => {
            RequestThinking { tokens: MIN_BUDGET, setting: Value::Null, ..adaptive(Some("low")) }
        }
        (Thinks::Always | Thinks::ByDefault, None) => RequestThinking { setting: Value::Null, ..adaptive(None) },
        (Thinks::ByDefault, Some(_)) if is_off => {
            RequestThinking { setting: json!({"type": "disabled"}), ..RequestThinking::default() }
        }
        (Thinks::Never, _) | (_, None) => RequestThinking::default(),
        _ if is_off => RequestThinking::default(),
        (Thinks::Always | Thinks::ByDefault | Thinks::Adaptive, Some(wanted)) => adaptive(wanted.effort()),
        (Thinks::Either, Some(wanted)) if wanted.tokens().is_none() => adaptive(wanted.effort()),
        (Thinks::Either | Thinks::Budget, Some(wanted)) => budgeted(wanted, messages),
    }
}

/// Thinking with a budget in tokens.
fn budgeted(wanted: &Thinking, messages: &[Message]) -> RequestThinking {
    // The service refuses thoughts in a turn that began without one (by another model, or with a call that the owner
    // approved).
    let first = messages[turn_start(messages)..].iter().find_map(|message| match message {
        Message::Assistant { thinking, .. } => Some(thinking.iter().any(|thought| thought.payload.is_object())),
        _ => None,
    });
    if first == Some(false) {
        return RequestThinking { omits_thoughts: true, ..RequestThinking::default() };
    }
    let tokens = wanted.budget().max(MIN_BUDGET);
    RequestThinking {
        setting: json!({"type": "enabled", "budget_tokens": tokens}),
        tokens,
        ..RequestThinking::default()
    }
}

/// The index of the last message of the user, which begins the turn.
fn turn_start(messages: &[Message]) -> usize {
    messages.iter().rposition(|message| matches!(message, Message::User { .. })).unwrap_or_default()
}

fn messages(messages: &[Message], with_thoughts: bool) -> Vec<Value> {
    let turn_start = turn_start(messages);
    let mut all: Vec<(&str, Vec<Value>)> = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        let (role, mut blocks) = match message {
            Message::User { content, attachments, .. } => {
                ("user", attachments.iter().map(part).chain([text(not_blank(content))]).collect())
            }
            Message::Tool { call, content, .. } => ("user", vec![result(call, content)]),
            Message::Assistant { content, calls, thinking } => {
                let thoughts =
                    thinking.iter().filter(|_| with_thoughts && n > turn_start).map(|thought| &thought.payload);
                let mut blocks: Vec<Value> = thoughts.filter(|block| block.is_object()).cloned().collect();
                if calls.is_empty() || !content.trim().is_empty() {
                    blocks.push(text(not_blank(content)));
                }
                blocks.extend(calls.iter().map(call));
                ("assistant", blocks)
            }
        };
        match all.last_mut() {
            Some((last, before)) if *last == role => before.append(&mut blocks),
            _ => all.push((role, blocks)),
        }
    }
    // The next request begins with all of these messages.
    if let Some(last) = all.last_mut().and_then(|(_, blocks)| blocks.last_mut()) {
        *last = cacheable(last.take());
    }
    // It does not have the time, which is therefore a block of its own, behind the mark.
    let now = messages.iter().rev().find_map(|message| match message {
        Message::User { now, .. } => Some(now.as_deref()),
        _ => None,
    });
    let asked =
        all.iter_mut().rfind(|(role, blocks)| *role == "user" && blocks.iter().any(|block| block["type"] == "text"));
    if let (Some(Some(now)), Some((_, blocks))) = (now, asked) {
        let at = blocks.iter().rposition(|block| block["type"] == "text").map_or(0, |at| at + 1);
        blocks.insert(at, text(&format!("[{now}]")));
    }
    all.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

/// The service refuses a blank text.
fn not_blank(content: &str) -> &str {
    if content.trim().is_empty() { "(no text)" } else { content }
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// The block of one file.
fn part(file: &Attachment) -> Value {
    let source = json!({"type": "base64", "media_type": file.media_name(), "data": file.data});
    if file.is_document() {
        json!({"type": "document", "source": source, "title": file.name()})
    } else {
        json!({"type": "image", "source": source})
    }
}

fn result(call: &str, content: &str) -> Value {
    let mut result = json!({"type": "tool_result", "tool_use_id": call});
    if !content.trim().is_empty() {
        result["content"] = json!(content);
    }
    result
}

fn call(call: &Call) -> Value {
    json!({"type": "tool_use", "id": call.id, "name": Call::plain_name(&call.name), "input": call.object()})
}

/// The block, marked so that the service caches the request up to it.
fn cacheable(mut block: Value) -> Value {
    block["cache_control"] = json!({"type": "ephemeral"});
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::Thought;
    use crate::provider::fixtures;

    fn thought(payload: Value) -> Vec<Thought> {
        vec![Thought { by: "anthropic/m".into(), text: String::new(), payload }]
    }

    fn answer(content: &str, calls: &[&str], thinking: Vec<Thought>) -> Message {
        let call = |id: &&str| Call { id: (*id).into(), name: "read".into(), arguments: json!({"path": id}) };
        Message::Assistant { content: content.into(), calls: calls.iter().map(call).collect(), thinking }
    }

    fn result_of(id: &str, content: &str) -> Message {
        Message::Tool { call: id.into(), name: "read".into(), content: content.into() }
    }

    #[test]
    fn results_share_one_message_and_thoughts_are_sent_back_only_within_the_turn() {
        let block = json!({"type": "thinking", "thinking": "hm", "signature": "s"});
        let all = [
            Message::user("a"),
            answer("b", &[], thought(block.clone())),
            Message::user("c"),
            answer(" ", &["x", "y"], thought(block.clone())),
            result_of("x", "1"),
            result_of("y", ""),
        ];
        let expected = json!([
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "b"}]},
            {"role": "user", "content": [{"type": "text", "text": "c"}]},
            {"role": "assistant", "content": [
                block,
                {"type": "tool_use", "id": "x", "name": "read", "input": {"path": "x"}},
                {"type": "tool_use", "id": "y", "name": "read", "input": {"path": "y"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "x", "content": "1"},
                {"type": "tool_result", "tool_use_id": "y", "cache_control": {"type": "ephemeral"}},
            ]},
        ]);
        assert_eq!(json!(messages(&all, true)), expected);
        assert_eq!(json!(messages(&all, false))[3]["content"][0]["type"], "tool_use");
    }

    #[test]
    fn present_time_stands_behind_the_mark_of_the_cache() {
        let asked =
            Message::User { content: "a".into(), attachments: Vec::new(), now: Some("2026-11-21 09:05".into()) };
        let text = |text: &str| json!({"type": "text", "text": text});
        let marked = json!({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}});
        let expected = json!([{"role": "user", "content": [marked, text("[2026-11-21 09:05]")]}]);
        assert_eq!(json!(messages(std::slice::from_ref(&asked), true)), expected);
        // While tools run it stays at the question, and the mark is at the end.
        let all = [asked, answer("", &["x"], Vec::new()), result_of("x", "1")];
        let sent = messages(&all, true);
        assert_eq!(sent[0], json!({"role": "user", "content": [text("a"), text("[2026-11-21 09:05]")]}));
        assert!(sent[2]["content"][0].get("cache_control").is_some(), "{sent:?}");
    }

    #[test]
    fn files_are_blocks_before_the_text() {
        let expected = json!([{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
            {"type": "document", "title": "b.pdf",
             "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="}},
            {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
        ]}]);
        let asked = Message::with_attachments("look", fixtures::attachments());
        assert_eq!(json!(messages(&[asked], true)), expected);
    }

    #[test]
    fn name_of_a_call_is_sent_in_the_characters_that_the_service_accepts() {
        let dotted = Call { id: "x".into(), name: "functions.read".into(), arguments: json!({}) };
        assert_eq!(call(&dotted)["name"], "functions_read");
    }

    #[test]
    fn thinking_depends_on_the_family_of_the_model() {
        let of = |yaml: &str, name: &str| {
            let wanted: Option<Thinking> = serde_yaml::from_str(yaml).unwrap();
            let thinks = thinks(wanted.as_ref(), Family::of(name), &[Message::user("a")]);
            (thinks.setting, thinks.tokens, thinks.effort)
        };
        let enabled = |tokens: u32| (json!({"type": "enabled", "budget_tokens": tokens}), tokens, None);
        let adaptive =
            |tokens: u32, effort: Option<&str>| (json!({"type": "adaptive"}), tokens, effort.map(str::to_owned));
        let none = || (Value::Null, 0, None);
        let cases = [
            ("5000", "claude-sonnet-4-5", enabled(5000)),
            ("10", "claude-sonnet-4-5", enabled(MIN_BUDGET)),
            ("low", "claude-3-7-sonnet-20250219", enabled(4096)),
            ("high", "deepseek-v5.1", enabled(16_384)),
            ("5000", "claude-opus-4-6", enabled(5000)),
            ("high", "claude-opus-4-6", adaptive(16_384, Some("high"))),
            ("true", "claude-opus-4-7", adaptive(8192, None)),
            ("5000", "claude-opus-4-7", adaptive(5000, Some("medium"))),
            ("minimal", "claude-sonnet-5", adaptive(4096, Some("low"))),
            ("high", "claude-3-haiku-20240307", none()),
            ("off", "claude-opus-4-7", none()),
            ("off", "claude-sonnet-4-5", none()),
            ("off", "deepseek-v5.1", none()),
            ("off", "claude-sonnet-5", (json!({"type": "disabled"}), 0, None)),
            ("off", "claude-opus-5-5", (Value::Null, MIN_BUDGET, Some("low".to_owned()))),
            ("null", "claude-sonnet-5", (Value::Null, DEFAULT_ROOM, None)),
            ("null", "claude-sonnet-4-5", none()),
        ];
        for (yaml, name, expected) in cases {
            assert_eq!(of(yaml, name), expected, "{name} {yaml}");
        }
    }

    #[test]
    fn turn_that_began_without_a_thought_continues_without_thinking() {
        let wanted = Thinking::Tokens(2000);
        let block = json!({"type": "redacted_thinking", "data": "x"});
        let of = |first: Vec<Thought>| {
            let all =
                [Message::user("a"), answer("", &["x"], first), result_of("x", "1"), answer("", &["y"], Vec::new())];
            thinks(Some(&wanted), Family::of("claude-sonnet-4-5"), &all)
        };
        assert_eq!(of(Vec::new()), RequestThinking { omits_thoughts: true, ..RequestThinking::default() });
        assert_eq!(of(thought(block)).tokens, 2000);
    }
}
