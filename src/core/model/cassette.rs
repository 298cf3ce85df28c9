//! A cassette: recorded exchanges with models, byte for byte, one line of JSON each. A replay answers the same requests
//! in the same way without a server. A cassette never contains a key.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::settings::Model;
use crate::core::text::json_diff;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The version of the line format.
pub const VERSION: u32 = 1;
/// The settings of a model that are recorded: those that determine the request.
const REQUEST_SETTINGS: &[&str] = &[
    "provider",
    "model",
    "api_base",
    "temperature",
    "max_tokens",
    "thinking",
    "num_ctx",
    "keep_alive",
    "dialect",
    "wire",
    "tools",
    "extra_body",
    "command",
];
/// The headers of a response that are used.
const USED_HEADERS: &[&str] = &["content-type", "retry-after"];
/// The most differences in an error.
const MAX_DIFFERENCES: usize = 12;

/// One exchange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedExchange {
    /// [`VERSION`].
    pub v: u32,
    /// The instant of the recording.
    pub at: Timestamp,
    /// The session; for information only.
    pub session: String,
    /// The owner's name for the model; for information only.
    pub name: String,
    /// The model's settings, without credentials.
    pub model: Map<String, Value>,
    /// The request.
    pub request: RecordedRequest,
    /// The response.
    pub response: Response,
}

/// A recorded request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedRequest {
    /// `POST`, or `RUN` for a program.
    pub method: String,
    /// The path of the URL, or the name of the program.
    pub path: String,
    /// The body.
    pub body: Value,
}

/// A recorded response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The HTTP status, or the exit code of a program.
    pub status: u16,
    /// The headers that are used, by lower-case name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body, in the chunks in which it arrived.
    pub chunks: Vec<RecordedChunk>,
    /// The reason why the response broke off, if it did; a program's stderr.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
}

/// A chunk of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RecordedChunk {
    /// A chunk of valid UTF-8.
    Text(String),
    /// A chunk that is not UTF-8, for example because it splits a character.
    Bytes {
        /// The bytes as hexadecimal, two digits each.
        hex: String,
    },
}

impl RecordedChunk {
    /// A chunk with these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes { hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect() },
        }
    }

    /// The bytes.
    ///
    /// # Errors
    /// `Data` where the digits are not hexadecimal.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Bytes { hex } => {
                let digits: Option<Vec<u8>> =
                    hex.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
                let digits = digits.filter(|digits| digits.len().is_multiple_of(2));
                let digits = digits.ok_or_else(|| Fault::data("a chunk of a recorded response is not hexadecimal"))?;
                Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
            }
        }
    }
}

impl Response {
    /// A response without a body; only the used headers are recorded.
    pub fn new<'a>(status: u16, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let headers = headers.into_iter().filter(|(name, _)| USED_HEADERS.contains(name));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { status, headers, ..Self::default() }
    }
}

/// The settings of `model` that are recorded.
#[must_use]
pub fn settings(model: &Model) -> Map<String, Value> {
    let Ok(Value::Object(mut all)) = serde_json::to_value(model) else { return Map::new() };
    all.retain(|key, value| {
        let is_empty = value.is_null() || *value == Value::Array(Vec::new()) || *value == Value::Object(Map::new());
        REQUEST_SETTINGS.contains(&key.as_str()) && !is_empty
    });
    if let Some(Value::String(base)) = all.get_mut("api_base") {
        *base = without_secrets(base);
    }
    all
}

/// A URL without user name, password and query; empty if it cannot be parsed.
#[must_use]
pub fn without_secrets(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else { return String::new() };
    if parsed.username().is_empty() && parsed.password().is_none() && parsed.query().is_none() {
        return url.to_owned();
    }
    let _ = parsed.set_username("").and_then(|()| parsed.set_password(None));
    parsed.set_query(None);
    parsed.to_string()
}

impl RecordedExchange {
    /// The model with its recorded settings.
    ///
    /// # Errors
    /// `Data` where the recorded settings are not valid.
    pub fn model(&self) -> Result<Model> {
        let model = serde_json::from_value(Value::Object(self.model.clone()));
        model.map_err(|e| Fault::data(format!("the recorded settings of the model: {e}")))
    }

    /// The exchange with `hide` applied to all its texts. If a secret is split over several chunks of the body, the
    /// chunks are joined into one.
    #[must_use]
    pub fn redacted(mut self, hide: &dyn Fn(String) -> String) -> Self {
        self.model = self.model.into_iter().map(|(key, value)| (key, redact(value, hide))).collect();
        self.request.body = redact(self.request.body, hide);
        self.request.path = hide(self.request.path);
        self.session = hide(self.session);
        self.response.cut = self.response.cut.map(hide);
        for value in self.response.headers.values_mut() {
            *value = hide(std::mem::take(value));
        }
        for chunk in &mut self.response.chunks {
            if let RecordedChunk::Text(text) = chunk {
                *text = hide(std::mem::take(text));
            }
        }
        let whole: Vec<u8> = self.response.chunks.iter().filter_map(|chunk| chunk.bytes().ok()).flatten().collect();
        let body = String::from_utf8_lossy(&whole).into_owned();
        let redacted = hide(body.clone());
        if redacted != body {
            self.response.chunks = vec![RecordedChunk::Text(redacted)];
        }
        self
    }

    /// Checks that the request `now` is the recorded one. Keys are not compared.
    ///
    /// # Errors
    /// `Failed`, with the places that differ.
    pub fn check_request(&self, now: &RecordedRequest) -> Result<()> {
        let then = &self.request;
        let mut lines = Vec::new();
        if (&then.method, &then.path) != (&now.method, &now.path) {
            let (was, is) = (format!("{} {}", then.method, then.path), format!("{} {}", now.method, now.path));
            lines.push(format!("was {was}, now {is}"));
        }
        lines.extend(json_diff::between(&then.body, &now.body));
        if lines.is_empty() {
            return Ok(());
        }
        let more = lines.len().saturating_sub(MAX_DIFFERENCES);
        lines.truncate(MAX_DIFFERENCES);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        Err(Fault::new(Kind::Failed, format!("the request differs from the recorded one:\n  {}", lines.join("\n  "))))
    }
}

/// `value` with `hide` applied to all texts and keys in it.
#[must_use]
pub fn redact(value: Value, hide: &dyn Fn(String) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(hide(text)),
        Value::Array(all) => all.into_iter().map(|value| redact(value, hide)).collect(),
        Value::Object(all) => all.into_iter().map(|(key, value)| (hide(key), redact(value, hide))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn exchange(chunks: &[&[u8]]) -> RecordedExchange {
        RecordedExchange {
            v: VERSION,
            at: Timestamp::UNIX_EPOCH,
            session: "pickle.work".into(),
            name: "mock".into(),
            model: Map::new(),
            request: RecordedRequest {
                method: "POST".into(),
                path: "/v1/x".into(),
                body: json!({"model": "m", "n": [1]}),
            },
            response: Response {
                chunks: chunks.iter().map(|bytes| RecordedChunk::new(bytes)).collect(),
                ..Response::new(200, [("content-type", "a/b"), ("set-cookie", "sk-secret")])
            },
        }
    }

    #[test]
    fn line_keeps_the_body_byte_for_byte() {
        let one = exchange(&[b"data: \xe7\x8c", b"\xab\n\n", b""]);
        let line = serde_json::to_string(&one).unwrap();
        assert!(line.contains(r#"[{"hex":"646174613a20e78c"},{"hex":"ab0a0a"},""]"#), "{line}");
        let read: RecordedExchange = serde_json::from_str(&line).unwrap();
        assert_eq!(read, one);
        let bytes: Vec<u8> = read.response.chunks.iter().flat_map(|chunk| chunk.bytes().unwrap()).collect();
        assert_eq!(bytes, "data: 猫\n\n".as_bytes());
        for hex in ["a", "zz", "é"] {
            assert!(RecordedChunk::Bytes { hex: hex.into() }.bytes().is_err(), "{hex}");
        }
    }

    #[test]
    fn key_is_redacted_everywhere_and_across_chunks() {
        let hide = |text: String| text.replace("sk-secret", "[hidden]");
        let mut one = exchange(&[b"a sk-secret b", b"c"]);
        one.request.body = json!({"sk-secret": ["x sk-secret"]});
        one.response.cut = Some("sk-secret".into());
        let line = serde_json::to_string(&one.redacted(&hide)).unwrap();
        assert!(!line.contains("sk-secret") && line.contains(r#"["a [hidden] b","c"]"#), "{line}");
        for chunks in [[&b"a sk-se"[..], b"cret b"], [b"\xc3 sk-se", b"cret b"]] {
            let line = serde_json::to_string(&exchange(&chunks).redacted(&hide)).unwrap();
            assert!(line.contains("[hidden] b\"]") && !line.contains("hex"), "{line}");
        }
    }

    #[test]
    fn recorded_settings_contain_no_credentials() {
        let text = "{provider: openai, model: m, api_base: 'http://ann:word@h:1/v1?key=word', api_key: word, \
                    api_key_env: word, api_key_file: word, temperature: 0.5, timeout: 1m, max_concurrency: 2}";
        let model: Model = serde_yaml::from_str(text).unwrap();
        let recorded = settings(&model);
        let expected = json!({"provider": "openai", "model": "m", "api_base": "http://h:1/v1", "temperature": 0.5});
        assert_eq!(Value::Object(recorded), expected);
    }

    #[test]
    fn different_request_is_refused_with_every_difference() {
        let one = exchange(&[]);
        assert_eq!(one.check_request(&one.request), Ok(()));
        let now =
            RecordedRequest { path: "/v2/x".into(), body: json!({"model": "m", "n": [2]}), ..one.request.clone() };
        let message = one.check_request(&now).unwrap_err().message;
        assert_eq!(
            message,
            "the request differs from the recorded one:\n  was POST /v1/x, now POST /v2/x\n  \
             $.n[0]: was 1, now 2"
        );
        let now = RecordedRequest { body: json!({"n": (0..20).collect::<Vec<_>>()}), ..one.request.clone() };
        assert!(one.check_request(&now).unwrap_err().message.ends_with("\n  and 9 more"));
    }
}
