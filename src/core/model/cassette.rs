//! A cassette: exchanges with models exactly as they were, a line of JSON each, so that the same questions are
//! answered the same way without anybody being asked. No key is ever in it.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::model::settings::Model;
use crate::core::text::json_diff;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The shape of a line.
pub const VERSION: u32 = 1;
/// The settings of a model that are recorded: those that shape what is said to it.
const SHAPING: &[&str] = &[
    "provider",
    "model",
    "api_base",
    "temperature",
    "max_tokens",
    "thinking",
    "num_ctx",
    "keep_alive",
    "dialect",
    "command",
];
/// The headers of an answer that anybody looks at.
const HEADERS: &[&str] = &["content-type", "retry-after"];
/// How many differences are told.
const MANY: usize = 12;

/// One exchange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedExchange {
    /// [`VERSION`].
    pub v: u32,
    /// When it was recorded.
    pub at: Timestamp,
    /// In which conversation; for people.
    pub session: String,
    /// What the owner called the model; for people.
    pub name: String,
    /// How it was set up, without what reaches it.
    pub model: Map<String, Value>,
    /// What was asked.
    pub request: RecordedRequest,
    /// What came back.
    pub response: Response,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedRequest {
    /// `POST`; `RUN` where it was a program.
    pub method: String,
    /// The path of the URL; the program's name.
    pub path: String,
    /// The body.
    pub body: Value,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The HTTP status; a program's exit code.
    pub status: u16,
    /// Those of its headers that anybody looks at, by their names in lower case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body, in the pieces that it came in.
    pub chunks: Vec<RecordedChunk>,
    /// Why it ended before its end, where it did; what a program complained with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
}

/// A piece of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RecordedChunk {
    /// One that is text.
    Text(String),
    /// One that is none, perhaps because a character is cut in two.
    Bytes {
        /// The bytes, two digits each.
        hex: String,
    },
}

impl RecordedChunk {
    /// A piece as it came.
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
    /// `Data` where the digits are none.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Bytes { hex } => {
                let digits: Option<Vec<u8>> =
                    hex.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
                let digits = digits.filter(|digits| digits.len().is_multiple_of(2));
                let digits = digits.ok_or_else(|| Fault::data("a piece of a recorded answer is not hexadecimal"))?;
                Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
            }
        }
    }
}

impl Response {
    /// The head of an answer; of the headers those that count.
    pub fn new<'a>(status: u16, headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let headers = headers.into_iter().filter(|(name, _)| HEADERS.contains(name));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { status, headers, ..Self::default() }
    }
}

/// The settings that a recording keeps.
#[must_use]
pub fn settings(model: &Model) -> Map<String, Value> {
    let Ok(Value::Object(mut all)) = serde_json::to_value(model) else { return Map::new() };
    all.retain(|key, value| SHAPING.contains(&key.as_str()) && !value.is_null() && *value != Value::Array(Vec::new()));
    if let Some(Value::String(base)) = all.get_mut("api_base") {
        *base = without_secrets(base);
    }
    all
}

/// A URL as others may see it: without whoever it names, and without what is asked of it.
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
    /// The model as it was set up.
    ///
    /// # Errors
    /// `Data` where the recorded settings are none.
    pub fn model(&self) -> Result<Model> {
        let model = serde_json::from_value(Value::Object(self.model.clone()));
        model.map_err(|e| Fault::data(format!("the recorded settings of the model: {e}")))
    }

    /// Itself, with everything that `hide` hides hidden wherever it stands. A key that is cut in two by the pieces
    /// of the body makes them one piece.
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
        let seen = String::from_utf8_lossy(&whole).into_owned();
        let hid = hide(seen.clone());
        if hid != seen {
            self.response.chunks = vec![RecordedChunk::Text(hid)];
        }
        self
    }

    /// That this very thing is asked; the key of nobody is looked at.
    ///
    /// # Errors
    /// `Failed`, with every place that differs.
    pub fn check_request(&self, now: &RecordedRequest) -> Result<()> {
        let then = &self.request;
        let mut lines = Vec::new();
        if (&then.method, &then.path) != (&now.method, &now.path) {
            let (was, is) = (format!("{} {}", then.method, then.path), format!("{} {}", now.method, now.path));
            lines.push(format!("it was {was}, and is {is} now"));
        }
        lines.extend(json_diff::between(&then.body, &now.body));
        if lines.is_empty() {
            return Ok(());
        }
        let more = lines.len().saturating_sub(MANY);
        lines.truncate(MANY);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        Err(Fault::new(Kind::Failed, format!("what is asked is not what was recorded:\n  {}", lines.join("\n  "))))
    }
}

/// A value with every text in it hidden.
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
    fn a_line_is_what_it_was_byte_for_byte() {
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
    fn a_key_is_hidden_wherever_it_stands_and_however_it_is_cut() {
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
    fn of_a_models_settings_what_shapes_a_request_is_kept_and_no_way_to_a_key() {
        let text = "{provider: openai, model: m, api_base: 'http://ann:word@h:1/v1?key=word', api_key: word, \
                    api_key_env: word, api_key_file: word, temperature: 0.5, timeout: 1m, max_concurrency: 2}";
        let model: Model = serde_yaml::from_str(text).unwrap();
        let kept = settings(&model);
        let expected = json!({"provider": "openai", "model": "m", "api_base": "http://h:1/v1", "temperature": 0.5});
        assert_eq!(Value::Object(kept), expected);
    }

    #[test]
    fn another_question_is_told_place_by_place() {
        let one = exchange(&[]);
        assert_eq!(one.check_request(&one.request), Ok(()));
        let now =
            RecordedRequest { path: "/v2/x".into(), body: json!({"model": "m", "n": [2]}), ..one.request.clone() };
        let said = one.check_request(&now).unwrap_err().message;
        assert_eq!(
            said,
            "what is asked is not what was recorded:\n  it was POST /v1/x, and is POST /v2/x now\n  \
             $.n[0]: it was 1, and is 2 now"
        );
        let now = RecordedRequest { body: json!({"n": (0..20).collect::<Vec<_>>()}), ..one.request.clone() };
        assert!(one.check_request(&now).unwrap_err().message.ends_with("\n  and 9 more"));
    }
}
