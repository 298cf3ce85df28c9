//! An answer, put together from its pieces. Lenient in what it reads: fields may be missing or null, and
//! calls come in as many shapes as there are servers.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::{Call, Reply, Usage};
use crate::provider::openai::{garbage, too_long};
use crate::provider::{MAX_ANSWER, http};
use serde::Deserialize;
use serde_json::Value;

/// The most calls of one answer.
const MAX_CALLS: usize = 128;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Tokens>,
    error: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice {
    delta: Option<Said>,
    message: Option<Said>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    content: Option<String>,
    tool_calls: Option<Vec<Piece>>,
}

/// A piece of a call.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Piece {
    index: Option<usize>,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Function {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tokens {
    #[serde(rename = "prompt_tokens")]
    prompt: Option<u64>,
    #[serde(rename = "completion_tokens")]
    completion: Option<u64>,
    #[serde(rename = "prompt_tokens_details")]
    details: Option<Details>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u64>,
}

/// A call that is not whole yet.
#[derive(Default)]
struct Part {
    index: Option<usize>,
    id: String,
    name: String,
    arguments: String,
}

#[derive(Default)]
pub(super) struct Collected {
    content: String,
    parts: Vec<Part>,
    usage: Usage,
    pub(super) is_finished: bool,
}

impl Collected {
    /// Whether anything of the answer is there.
    pub(super) fn has_begun(&self) -> bool {
        !self.content.is_empty() || !self.parts.is_empty()
    }

    /// Takes a piece in, or a whole answer.
    pub(super) fn take(
        &mut self,
        name: &str,
        data: &str,
        key: Option<&str>,
        heard: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let chunk: Chunk = serde_json::from_str(data).map_err(|_| {
            // Hidden before it is cut: half a key is a secret too.
            let shown: String = http::hide(data, key).chars().take(80).collect();
            garbage(name, &format!("`{}`", shown.escape_debug()))
        })?;
        if let Some(error) = chunk.error.filter(|e| !e.is_null()) {
            return Err(http::broken_off(name, &error, key));
        }
        for choice in chunk.choices.into_iter().flatten() {
            let is_whole = choice.message.is_some();
            let said = choice.delta.or(choice.message).unwrap_or_default();
            if let Some(text) = said.content.filter(|t| !t.is_empty()) {
                heard(&text);
                self.content += &text;
            }
            for piece in said.tool_calls.into_iter().flatten() {
                self.call(piece);
            }
            // Some servers send an empty reason with every piece.
            self.is_finished |= is_whole || choice.finish_reason.is_some_and(|reason| !reason.is_empty());
        }
        if let Some(tokens) = chunk.usage {
            self.usage = Usage {
                input: tokens.prompt.unwrap_or_default(),
                output: tokens.completion.unwrap_or_default(),
                cached: tokens.details.and_then(|of| of.cached_tokens).unwrap_or_default(),
            };
        }
        let length = self.content.len() + self.parts.iter().map(|part| part.arguments.len()).sum::<usize>();
        let is_too_long = length as u64 > MAX_ANSWER || self.parts.len() > MAX_CALLS;
        if is_too_long { Err(too_long(name)) } else { Ok(()) }
    }

    /// A piece belongs to the call of its index; without one, to the call of its id; without either, it goes
    /// on with the last call, unless it brings a name.
    fn call(&mut self, piece: Piece) {
        let function = piece.function.unwrap_or_default();
        let (id, name) = (piece.id.unwrap_or_default(), function.name.unwrap_or_default());
        let known = match piece.index {
            // Servers that number every call 0 tell them apart by their ids.
            Some(index) => self
                .parts
                .iter()
                .rposition(|part| part.index == Some(index))
                .filter(|at| id.is_empty() || self.parts[*at].id.is_empty() || self.parts[*at].id == id),
            None if !id.is_empty() => self.parts.iter().rposition(|part| part.id == id),
            None if name.is_empty() => self.parts.len().checked_sub(1),
            None => None,
        };
        let at = known.unwrap_or_else(|| {
            self.parts.push(Part { index: piece.index, ..Part::default() });
            self.parts.len() - 1
        });
        let part = &mut self.parts[at];
        if part.id.is_empty() {
            part.id = id;
        }
        // A name comes whole; some servers repeat it with every piece.
        if part.name.is_empty() {
            part.name = name;
        }
        match function.arguments {
            Some(Value::String(text)) => part.arguments += &text,
            Some(Value::Null) | None => {}
            Some(whole) => part.arguments = whole.to_string(),
        }
    }

    /// The answer, where it is whole.
    pub(super) fn finish(self, name: &str) -> Result<Reply> {
        if !self.is_finished {
            let length = self.content.chars().count();
            let why = format!("model {name}: the answer was cut off after {length} characters");
            return Err(Fault::new(Kind::Unavailable, why));
        }
        let calls = self.parts.into_iter().map(|part| Call {
            id: part.id,
            name: part.name,
            arguments: Call::parse_arguments(&part.arguments),
        });
        Ok(Reply { content: self.content, calls: calls.collect(), remember: Vec::new(), usage: self.usage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn calls(deltas: &[Value]) -> Vec<(String, Value)> {
        let mut collected = Collected::default();
        for delta in deltas {
            let chunk = json!({"choices": [{"delta": {"tool_calls": [delta]}}]});
            collected.take("m", &chunk.to_string(), None, &mut |_| {}).unwrap();
        }
        collected.is_finished = true;
        collected.finish("m").unwrap().calls.into_iter().map(|call| (call.name, call.arguments)).collect()
    }

    #[test]
    fn calls_are_put_together_however_a_server_cuts_them() {
        let two = vec![("read".to_owned(), json!({"path": "a"})), ("list".to_owned(), json!({}))];
        let by_index = [
            json!({"index": 0, "id": "x", "function": {"name": "read", "arguments": ""}}),
            json!({"index": 0, "function": {"arguments": "{\"path\""}}),
            json!({"index": 1, "id": "y", "function": {"name": "list", "arguments": null}}),
            json!({"index": 0, "function": {"arguments": ": \"a\"}"}}),
        ];
        assert_eq!(calls(&by_index), two);
        let all_are_zero = [
            json!({"index": 0, "id": "x", "function": {"name": "read", "arguments": "{\"path\": \"a\"}"}}),
            json!({"index": 0, "id": "y", "function": {"name": "list", "arguments": "{}"}}),
        ];
        assert_eq!(calls(&all_are_zero), two);
        let without_numbers = [
            json!({"id": null, "function": {"name": "read", "arguments": "{\"path\": "}}),
            json!({"function": {"arguments": "\"a\"}"}}),
            json!({"function": {"name": "list", "arguments": {}}}),
        ];
        assert_eq!(calls(&without_numbers), two);
    }

    #[test]
    fn arguments_that_are_no_object_stay_what_they_are() {
        let cut = [json!({"index": 0, "function": {"name": "read", "arguments": "{\"path"}})];
        assert_eq!(calls(&cut), [("read".to_owned(), json!("{\"path"))]);
    }
}
