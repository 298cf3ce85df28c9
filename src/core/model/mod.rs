//! Requests to models and their replies, independent of any provider.

pub mod attachment;
pub mod cassette;
pub mod context_window;
pub mod effort;
pub mod money;
pub mod overflow;
pub mod price;
pub mod price_table;
pub mod refusal;
pub mod services;
pub mod settings;
pub mod sight;
pub mod structured;
pub mod tokens;

use crate::core::json::lenient;
use crate::core::model::attachment::Attachment;
use crate::core::model::money::Money;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The JSON Schema of [`Request`], for authors of `command` models.
pub const REQUEST_SCHEMA: &str = include_str!("../../../docs/schema/request.json");
/// The JSON Schema of a `command` model's [`Reply`].
pub const REPLY_SCHEMA: &str = include_str!("../../../docs/schema/reply.json");

/// The longest tool name that servers accept, in characters.
const MAX_NAME: usize = 64;

/// One message of the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum Message {
    /// The user or program that talks to the agent.
    User {
        /// The text.
        content: String,
        /// The images and documents of the message.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<Attachment>,
        /// The present time, at the last message of the user in a request. It would change the beginning of every
        /// request if it stood in the prompt, and so miss the providers' caches.
        #[serde(skip)]
        now: Option<String>,
    },
    /// The agent.
    Assistant {
        /// The text; empty where the message has only tool calls.
        content: String,
        /// The tool calls. Their results follow, one for each, in this order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<Call>,
        /// The thoughts before the text; they are sent back only to the provider that made them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        thinking: Vec<Thought>,
    },
    /// The result of a call.
    Tool {
        /// The call's id.
        call: String,
        /// The tool's name.
        name: String,
        /// The result, or the error.
        content: String,
    },
}

impl Message {
    /// A user message.
    #[must_use]
    pub fn user(content: impl Into<String>) -> Self {
        Self::with_attachments(content, Vec::new())
    }

    /// A user message with files.
    #[must_use]
    pub fn with_attachments(content: impl Into<String>, attachments: Vec<Attachment>) -> Self {
        Self::User { content: content.into(), attachments, now: None }
    }

    /// The files of the message.
    #[must_use]
    pub fn attachments(&self) -> &[Attachment] {
        match self {
            Self::User { attachments, .. } => attachments,
            _ => &[],
        }
    }

    /// The text of the message.
    #[must_use]
    pub fn content(&self) -> &str {
        match self {
            Self::User { content, .. } | Self::Assistant { content, .. } | Self::Tool { content, .. } => content,
        }
    }

    /// The text, with the present time behind it.
    #[must_use]
    pub fn timed(&self) -> String {
        match self {
            Self::User { content, now: Some(now), .. } => format!("{content} [{now}]"),
            other => other.content().to_owned(),
        }
    }

    /// The approximate size in a request, in bytes.
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

/// A model's thoughts before its answer. They are sent back only to the same model: other models refuse them, or take
/// them for their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thought {
    /// The model: provider and name. Empty for a thought that the model wrote into its text; it is not sent back.
    #[serde(default)]
    pub by: String,
    /// The text, if the provider shows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Data that the provider requires unchanged: signatures and encrypted thoughts.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub payload: Value,
}

/// A tool call by a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The id that links the call and its result: nine letters and digits. We generate it, because servers omit ids,
    /// repeat them, or refuse those of other servers.
    #[serde(default)]
    pub id: String,
    /// The tool.
    pub name: String,
    /// An object; or a string with the model's text, where that was not an object.
    #[serde(default)]
    pub arguments: Value,
}

impl Call {
    /// The arguments as an object, for servers that parse them again: malformed arguments are wrapped in one.
    #[must_use]
    pub fn object(&self) -> Value {
        match &self.arguments {
            Value::Object(_) => self.arguments.clone(),
            other => Value::Object(Map::from_iter([("malformed".to_owned(), other.clone())])),
        }
    }

    /// A tool name that every server accepts. Models invent names and the log keeps them unchanged, but some servers
    /// refuse a whole request because of one invalid name.
    #[must_use]
    pub fn plain_name(name: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let name: String = name.chars().take(MAX_NAME).map(plain).collect();
        if name.is_empty() { "unknown".to_owned() } else { name }
    }

    /// Parses the arguments that a model wrote: JSON, also in a Markdown fence, in a string, with line ends in strings or
    /// a comma too many. Empty text and `null` are an empty object; other text that is not an object stays a string.
    #[must_use]
    pub fn parse_arguments(text: &str) -> Value {
        let json = lenient::unfenced(text).trim();
        if json.is_empty() {
            return Value::Object(Map::new());
        }
        match lenient::parse(json) {
            Some(Value::Object(map)) => lenient::resolved(Value::Object(map)),
            Some(Value::Null) => Value::Object(Map::new()),
            // Some servers write the object as a string in a string.
            Some(Value::String(inner)) if inner.len() < json.len() && Self::parse_arguments(&inner).is_object() => {
                Self::parse_arguments(&inner)
            }
            _ => Value::String(text.to_owned()),
        }
    }
}

/// The description of a tool for a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// The name: `a-z 0-9 _ -`, at most 64 characters.
    pub name: String,
    /// Its purpose, and when to use it.
    pub description: String,
    /// The arguments: a JSON Schema of type `object`.
    pub parameters: Value,
}

/// A request to a model. `command` models read this as JSON on stdin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// The provider's name for the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The system prompt, its stable layers first.
    pub system: String,
    /// The length of the part of `system` that is the same from turn to turn, in bytes: the place for the cache mark of
    /// providers that use one.
    pub system_stable: usize,
    /// The conversation, oldest first; it ends with a user message or with the results of calls.
    pub messages: Vec<Message>,
    /// The tools that the model may call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolSpec>,
    /// The model may not call tools any more, although the conversation contains calls.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub must_answer: bool,
    /// Sampling temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The longest answer, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The JSON Schema of the answer. It is in the text of the question too, and the answer is checked: a provider may
    /// ignore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}

impl Request {
    /// The system prompt in two parts: the stable one, and the one that changes from turn to turn.
    #[must_use]
    pub fn system_parts(&self) -> (&str, &str) {
        self.system.split_at_checked(self.system_stable).unwrap_or((&self.system, ""))
    }
}

/// A complete answer of a model. `command` models may write this as JSON on stdout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The text.
    #[serde(default)]
    pub content: String,
    /// The tool calls; without any, the text is the final answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// The thoughts before the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thinking: Vec<Thought>,
    /// Notes for the memory; each becomes a `remember` event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remember: Vec<String>,
    /// The tokens used, if the provider reports them.
    #[serde(default)]
    pub usage: Usage,
}

impl Reply {
    /// Whether the reply has no text, no calls and no notes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.content.trim().is_empty() && self.calls.is_empty() && self.remember.is_empty()
    }
}

/// Tokens, as counted by the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Tokens of `input` that came from the provider's cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// Tokens of `input` that were written to the provider's cache; some providers charge extra for them.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    /// The cost in dollars, where the provider reports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
}

impl Usage {
    /// Adds the tokens of another call. The sum has no reported cost.
    pub fn add(&mut self, other: &Self) {
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.cached = self.cached.saturating_add(other.cached);
        self.cache_write = self.cache_write.saturating_add(other.cache_write);
        self.cost = None;
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if wants a reference")]
fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_are_an_object_or_the_original_text() {
        let parse = Call::parse_arguments;
        assert_eq!(parse(""), json!({}));
        assert_eq!(parse("null"), json!({}));
        assert_eq!(parse(r#"{"a":1}"#), json!({"a": 1}));
        assert_eq!(parse(r#""{\"a\":1}""#), json!({"a": 1}));
        assert_eq!(parse(r#"{"a":1"#), json!(r#"{"a":1"#));
        assert_eq!(parse("[1]"), json!("[1]"));
        assert_eq!(parse("```json\n{\"a\": \"x\ny\",}\n```"), json!({"a": "x\ny"}));
        assert_eq!(parse(r#""```\n{\"a\":1}\n```""#), json!({"a": 1}));
        assert_eq!(parse(r#"{"a":"\ud83d\ude00\ud83d"}"#), json!({"a": "😀\u{fffd}"}));
        assert_eq!(parse("\"\""), json!({}));
    }

    #[test]
    fn invalid_tool_name_is_made_valid() {
        let names = ["read_2-x", "multi_tool_use.parallel", "a b/ñ", ""].map(Call::plain_name);
        assert_eq!(names, ["read_2-x", "multi_tool_use_parallel", "a_b__", "unknown"]);
        assert_eq!(Call::plain_name(&"猫".repeat(99)), "_".repeat(64));
    }

    /// Asserts that this part of a schema has every field of `value`, and that `value` has all required fields.
    fn assert_described(schema: &Value, part: &str, value: &Value) {
        let part = schema.pointer(part).unwrap_or_else(|| panic!("the schema has no {part}"));
        let fields = value.as_object().unwrap();
        for field in fields.keys() {
            assert!(part["properties"].get(field).is_some(), "the schema does not describe `{field}`");
        }
        for field in part["required"].as_array().into_iter().flatten() {
            assert!(fields.contains_key(field.as_str().unwrap()), "{field} is required, but missing");
        }
    }

    #[test]
    fn published_schemas_describe_every_field() {
        let (request, reply): (Value, Value) =
            (serde_json::from_str(REQUEST_SCHEMA).unwrap(), serde_json::from_str(REPLY_SCHEMA).unwrap());
        let call = Call { id: "abcdefghi".into(), name: "read".into(), arguments: json!({}) };
        let thought = Thought { by: "command/m".into(), text: "t".into(), payload: json!({"signature": "s"}) };
        let tool = ToolSpec { name: "read".into(), description: "d".into(), parameters: json!({"type": "object"}) };
        let file = Attachment { media: Some(attachment::Media::Png), ..Attachment::at("files/a.png") };
        let messages = [
            Message::with_attachments("u", vec![file.clone()]),
            Message::Assistant { content: String::new(), calls: vec![call.clone()], thinking: vec![thought.clone()] },
            Message::Tool { call: call.id.clone(), name: call.name.clone(), content: "r".into() },
        ];
        for (message, part) in messages.iter().zip(["user", "assistant", "result"]) {
            assert_described(&request, &format!("/$defs/{part}"), &json!(message));
        }
        assert_described(&request, "/$defs/attachment", &json!(file));
        assert_described(&request, "/$defs/call", &json!(call));
        assert_described(&request, "/$defs/thought", &json!(thought));
        assert_described(&request, "/$defs/tool", &json!(tool));
        let mut full = Request {
            model: Some("m".into()),
            system: "s".into(),
            system_stable: 1,
            messages: messages.into(),
            tools: vec![tool],
            must_answer: true,
            temperature: Some(0.5),
            max_tokens: Some(9),
            schema: Some(json!({"type": "object"})),
        };
        assert_described(&request, "", &json!(full));
        (full.model, full.tools, full.must_answer, full.temperature, full.max_tokens) = Default::default();
        full.schema = None;
        assert_described(&request, "", &json!(full));
        let usage = Usage { input: 1, output: 2, cached: 3, cache_write: 4, cost: Some(Money(5)) };
        let full = Reply {
            content: "c".into(),
            calls: vec![call.clone()],
            thinking: vec![thought.clone()],
            remember: vec!["r".into()],
            usage,
        };
        assert_described(&reply, "", &json!(full));
        assert_described(&reply, "/properties/calls/items", &json!(call));
        assert_described(&reply, "/properties/thinking/items", &json!(thought));
        assert_described(&reply, "/properties/usage", &json!(usage));
    }
}
