//! The request of the Messages API: roles alternate, all results of an answer's calls are in the one message after it,
//! and no text is empty.

use crate::core::fault::Result;
use crate::core::model::settings::Thinking;
use crate::core::model::{Call, Message};
use crate::provider::ModelCall;
use crate::provider::anthropic::generation::Generation;
use crate::provider::wire;
use serde_json::{Value, json};

/// The smallest thinking budget that the service accepts, in tokens.
const MIN_BUDGET: u32 = 1024;

pub(super) fn of(call: &ModelCall) -> Result<Value> {
    let request = call.request;
    let model = wire::model(call)?;
    let generation = Generation::of(model);
    let thinks = thinks(call.chosen.model.thinking.as_ref(), generation, &request.messages);
    let answer = request.max_tokens.unwrap_or(generation.longest_answer());
    let mut body = json!({
        "model": model,
        // The limit includes the thinking budget.
        "max_tokens": answer.saturating_add(thinks.tokens),
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
        request.temperature.filter(|_| thinks.setting.is_null() && !generation.refuses_sampling_settings())
    {
        body["temperature"] = json!(temperature);
    }
    if !thinks.setting.is_null() {
        body["thinking"] = thinks.setting;
    }
    if let Some(effort) = thinks.effort {
        body["output_config"] = json!({"effort": effort});
    }
    Ok(body)
}

/// The thinking of a request.
#[derive(Debug, Default, PartialEq)]
struct Thinks {
    /// The field `thinking`; null if it is left out.
    setting: Value,
    /// The budget in tokens.
    tokens: u32,
    effort: Option<String>,
    /// Earlier thoughts are not sent back.
    omits_thoughts: bool,
}

fn thinks(wanted: Option<&Thinking>, generation: Generation, messages: &[Message]) -> Thinks {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_off() && generation.can_think()) else {
        return Thinks::default();
    };
    if generation.refuses_sampling_settings() || (generation.is_adaptive() && wanted.tokens().is_none()) {
        let effort = wanted.effort().map(ToOwned::to_owned);
        return Thinks { setting: json!({"type": "adaptive"}), effort, ..Thinks::default() };
    }
    // The service refuses thoughts in a turn that began without one (by another model, or with a call that the owner
    // approved).
    let first = messages[turn_start(messages)..].iter().find_map(|message| match message {
        Message::Assistant { thinking, .. } => Some(thinking.iter().any(|thought| thought.payload.is_object())),
        _ => None,
    });
    if first == Some(false) {
        return Thinks { omits_thoughts: true, ..Thinks::default() };
    }
    let tokens = wanted.budget().max(MIN_BUDGET);
    Thinks { setting: json!({"type": "enabled", "budget_tokens": tokens}), tokens, ..Thinks::default() }
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
            Message::User { content } => ("user", vec![text(not_blank(content))]),
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
    all.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

/// The service refuses a blank text.
fn not_blank(content: &str) -> &str {
    if content.trim().is_empty() { "(no text)" } else { content }
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
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
    fn name_of_a_call_is_sent_in_the_characters_that_the_service_accepts() {
        let dotted = Call { id: "x".into(), name: "functions.read".into(), arguments: json!({}) };
        assert_eq!(call(&dotted)["name"], "functions_read");
    }

    #[test]
    fn thinking_depends_on_the_generation_of_the_model() {
        let of = |yaml: &str, name: &str| {
            let wanted: Thinking = serde_yaml::from_str(yaml).unwrap();
            thinks(Some(&wanted), Generation::of(name), &[Message::user("a")])
        };
        let enabled = |tokens: u32| Thinks {
            setting: json!({"type": "enabled", "budget_tokens": tokens}),
            tokens,
            ..Thinks::default()
        };
        let adaptive = |effort: Option<&str>| Thinks {
            setting: json!({"type": "adaptive"}),
            effort: effort.map(Into::into),
            ..Thinks::default()
        };
        assert_eq!(of("5000", "claude-sonnet-4-5"), enabled(5000));
        assert_eq!(of("10", "claude-sonnet-4-5"), enabled(MIN_BUDGET));
        assert_eq!(of("low", "claude-3-7-sonnet-20250219"), enabled(4096));
        assert_eq!(of("5000", "claude-opus-4-6"), enabled(5000));
        assert_eq!(of("high", "claude-opus-4-6"), adaptive(Some("high")));
        assert_eq!(of("true", "claude-opus-4-7"), adaptive(None));
        assert_eq!(of("5000", "claude-opus-4-7"), adaptive(Some("medium")));
        assert_eq!(of("high", "claude-3-haiku-20240307"), Thinks::default());
        assert_eq!(of("off", "claude-opus-4-7"), Thinks::default());
    }

    #[test]
    fn turn_that_began_without_a_thought_continues_without_thinking() {
        let wanted = Thinking::Tokens(2000);
        let block = json!({"type": "redacted_thinking", "data": "x"});
        let of = |first: Vec<Thought>| {
            let all =
                [Message::user("a"), answer("", &["x"], first), result_of("x", "1"), answer("", &["y"], Vec::new())];
            thinks(Some(&wanted), Generation::of("claude-sonnet-4-5"), &all)
        };
        assert_eq!(of(Vec::new()), Thinks { omits_thoughts: true, ..Thinks::default() });
        assert_eq!(of(thought(block)).tokens, 2000);
    }
}
