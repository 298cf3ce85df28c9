//! What is said to a model and what comes back, in no provider's dialect.

pub mod cassette;
pub mod context_window;
pub mod money;
pub mod overflow;
pub mod settings;
pub mod tokens;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The JSON Schema of [`Request`], as `command` models are written against it.
pub const REQUEST_SCHEMA: &str = include_str!("../../../docs/schema/request.json");
/// The JSON Schema of a `command` model's [`Reply`].
pub const REPLY_SCHEMA: &str = include_str!("../../../docs/schema/reply.json");

/// The most characters of a tool's name that servers take.
const MAX_NAME: usize = 64;

/// One message of the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum Message {
    /// The person (or program) that the agent talks to.
    User {
        /// What was said.
        content: String,
    },
    /// The agent.
    Assistant {
        /// What it said; empty where it only called tools.
        content: String,
        /// The tools that it called. The results follow, one for each, in this order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<Call>,
        /// What it thought before; a provider that wants it back gets its own.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        thinking: Vec<Thought>,
    },
    /// What came of a call.
    Tool {
        /// The call's id.
        call: String,
        /// The tool's name.
        name: String,
        /// What it told, or why it failed.
        content: String,
    },
}

impl Message {
    /// Something that the user said.
    #[must_use]
    pub fn user(content: impl Into<String>) -> Self {
        Self::User { content: content.into() }
    }

    /// What was said, by whomever.
    #[must_use]
    pub fn content(&self) -> &str {
        match self {
            Self::User { content } | Self::Assistant { content, .. } | Self::Tool { content, .. } => content,
        }
    }

    /// About how much room it takes in a request, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let (calls, thinking) = match self {
            Self::Assistant { calls, thinking, .. } => (calls.as_slice(), thinking.as_slice()),
            _ => (&[][..], &[][..]),
        };
        let thinking: usize = thinking.iter().map(|thought| thought.text.len()).sum();
        let calls: usize = calls.iter().map(|call| 64 + call.arguments.to_string().len()).sum();
        16 + self.content().len() + calls + thinking
    }
}

/// What a model thought before it spoke. It is for that model alone: others refuse it, or take it for theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thought {
    /// Which model: provider and name.
    #[serde(default)]
    pub by: String,
    /// What it was, as far as it is told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What the provider wants back unchanged: signatures, and what nobody may read.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub payload: Value,
}

/// A tool that an agent wants to use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// By what the result is told apart from others: nine letters and digits, made by us, because
    /// servers leave it out, repeat it, or refuse each other's.
    #[serde(default)]
    pub id: String,
    /// The tool.
    pub name: String,
    /// An object; a string holds what was no object, as the model wrote it.
    #[serde(default)]
    pub arguments: Value,
}

impl Call {
    /// The arguments, as servers take them that read them again: what was no object, inside of one.
    #[must_use]
    pub fn object(&self) -> Value {
        match &self.arguments {
            Value::Object(_) => self.arguments.clone(),
            other => Value::Object(Map::from_iter([("malformed".to_owned(), other.clone())])),
        }
    }

    /// A tool's name, as servers take it that refuse a request for one: models make names up, and the log keeps
    /// them as they are.
    #[must_use]
    pub fn plain_name(name: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let name: String = name.chars().take(MAX_NAME).map(plain).collect();
        if name.is_empty() { "unknown".to_owned() } else { name }
    }

    /// What a model wrote as arguments: nothing means none, and what is no object stays the text it is.
    #[must_use]
    pub fn parse_arguments(text: &str) -> Value {
        if text.trim().is_empty() {
            return Value::Object(Map::new());
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Value::Object(map),
            Ok(Value::Null) => Value::Object(Map::new()),
            // Some servers write the object as a string in a string.
            Ok(Value::String(inner)) if inner.trim_start().starts_with('{') => Self::parse_arguments(&inner),
            _ => Value::String(text.to_owned()),
        }
    }
}

/// A tool, as a model is told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// What it is called by: `a-z 0-9 _ -`, at most 64.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// Its arguments: a JSON Schema of type `object`.
    pub parameters: Value,
}

/// A request: `command` models read exactly this as JSON on stdin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// The provider's name of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The prompt: its layers, the stable ones first.
    pub system: String,
    /// How many bytes from the start of `system` are the same from turn to turn: where a provider's cache
    /// wants a mark, it belongs there.
    pub system_stable: usize,
    /// The conversation, oldest first; the last one is the user's, or the results of calls.
    pub messages: Vec<Message>,
    /// What may be called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolSpec>,
    /// Nothing may be called any more, though the conversation knows of tools.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub must_answer: bool,
    /// Sampling temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The most tokens of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
}

impl Request {
    /// The prompt in two: what is the same from turn to turn, and the present.
    #[must_use]
    pub fn system_parts(&self) -> (&str, &str) {
        self.system.split_at_checked(self.system_stable).unwrap_or((&self.system, ""))
    }
}

/// A whole answer: `command` models may write exactly this as JSON on stdout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The text.
    #[serde(default)]
    pub content: String,
    /// The tools to be called; where there are none, the text is the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// What it thought before it said so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thinking: Vec<Thought>,
    /// What shall be remembered; each becomes a `remember` event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remember: Vec<String>,
    /// What it cost, where the provider says.
    #[serde(default)]
    pub usage: Usage,
}

impl Reply {
    /// Whether nothing is said, and nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.content.trim().is_empty() && self.calls.is_empty() && self.remember.is_empty()
    }
}

/// Tokens, as the provider counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Those of `input` that the provider had read before.
    #[serde(skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// Those of `input` that it has kept, to have read them before the next time; some providers charge for that.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_are_an_object_or_what_the_model_wrote() {
        let parse = Call::parse_arguments;
        assert_eq!(parse(""), json!({}));
        assert_eq!(parse("null"), json!({}));
        assert_eq!(parse(r#"{"a":1}"#), json!({"a": 1}));
        assert_eq!(parse(r#""{\"a\":1}""#), json!({"a": 1}));
        assert_eq!(parse(r#"{"a":1"#), json!(r#"{"a":1"#));
        assert_eq!(parse("[1]"), json!("[1]"));
    }

    #[test]
    fn a_name_that_no_server_takes_is_sent_as_one_that_all_take() {
        let names = ["read_2-x", "multi_tool_use.parallel", "a b/ñ", ""].map(Call::plain_name);
        assert_eq!(names, ["read_2-x", "multi_tool_use_parallel", "a_b__", "unknown"]);
        assert_eq!(Call::plain_name(&"猫".repeat(99)), "_".repeat(64));
    }

    /// Every field of `value` stands in this part of a schema, and what the schema requires is there.
    fn described(schema: &Value, part: &str, value: &Value) {
        let part = schema.pointer(part).unwrap_or_else(|| panic!("there is no {part}"));
        let fields = value.as_object().unwrap();
        for field in fields.keys() {
            assert!(part["properties"].get(field).is_some(), "the schema does not describe `{field}`");
        }
        for field in part["required"].as_array().into_iter().flatten() {
            assert!(fields.contains_key(field.as_str().unwrap()), "{field} is required, and not always there");
        }
    }

    #[test]
    fn every_field_is_described_by_the_schema_that_is_given_out() {
        let (request, reply): (Value, Value) =
            (serde_json::from_str(REQUEST_SCHEMA).unwrap(), serde_json::from_str(REPLY_SCHEMA).unwrap());
        let call = Call { id: "abcdefghi".into(), name: "read".into(), arguments: json!({}) };
        let thought = Thought { by: "command/m".into(), text: "t".into(), payload: json!({"signature": "s"}) };
        let tool = ToolSpec { name: "read".into(), description: "d".into(), parameters: json!({"type": "object"}) };
        let messages = [
            Message::user("u"),
            Message::Assistant { content: String::new(), calls: vec![call.clone()], thinking: vec![thought.clone()] },
            Message::Tool { call: call.id.clone(), name: call.name.clone(), content: "r".into() },
        ];
        for (message, part) in messages.iter().zip(["user", "assistant", "result"]) {
            described(&request, &format!("/$defs/{part}"), &json!(message));
        }
        described(&request, "/$defs/call", &json!(call));
        described(&request, "/$defs/thought", &json!(thought));
        described(&request, "/$defs/tool", &json!(tool));
        let mut full = Request {
            model: Some("m".into()),
            system: "s".into(),
            system_stable: 1,
            messages: messages.into(),
            tools: vec![tool],
            must_answer: true,
            temperature: Some(0.5),
            max_tokens: Some(9),
        };
        described(&request, "", &json!(full));
        (full.model, full.tools, full.must_answer, full.temperature, full.max_tokens) = Default::default();
        described(&request, "", &json!(full));
        let usage = Usage { input: 1, output: 2, cached: 3, cache_write: 4 };
        let full = Reply {
            content: "c".into(),
            calls: vec![call.clone()],
            thinking: vec![thought.clone()],
            remember: vec!["r".into()],
            usage,
        };
        described(&reply, "", &json!(full));
        described(&reply, "/properties/calls/items", &json!(call));
        described(&reply, "/properties/thinking/items", &json!(thought));
        described(&reply, "/properties/usage", &json!(usage));
    }
}
