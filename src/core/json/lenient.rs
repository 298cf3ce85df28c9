//! JSON as servers and models write it. Strict JSON is parsed by `serde_json`. Other text is parsed again with
//! tolerance: `NaN` and numbers out of range are null, line ends and other control characters may stand in strings, a
//! comma may follow the last element, an unknown escape stands for itself, and half of a UTF-16 pair is kept as a mark
//! ([`surrogates`]). A text that ends early is no JSON for either parser.

use crate::core::json::surrogates;
use serde_json::{Map, Number, Value};

/// The deepest nesting, as in `serde_json`.
const DEPTH: usize = 127;

/// Parses a document; `None` if `text` is not one whole document. Strings may contain marks of halves.
#[must_use]
pub fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().or_else(|| {
        let mut parser = Parser { rest: text.trim_start() };
        let value = parser.value(DEPTH)?;
        parser.rest.trim_start().is_empty().then_some(value)
    })
}

/// The value with joined halves of UTF-16 pairs in all its strings and keys.
#[must_use]
pub fn resolved(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(surrogates::resolve(&text).into_owned()),
        Value::Array(all) => all.into_iter().map(resolved).collect(),
        Value::Object(all) => {
            all.into_iter().map(|(key, value)| (surrogates::resolve(&key).into_owned(), resolved(value))).collect()
        }
        other => other,
    }
}

/// The text inside a Markdown fence; the text itself if it has none.
#[must_use]
pub fn unfenced(text: &str) -> &str {
    let whole = text.trim();
    let inner = whole.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    // The word after the opening marks is the language.
    inner.map_or(text, |inner| inner.trim_start_matches(|c: char| c.is_ascii_alphanumeric()))
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        match self.rest.bytes().next()? {
            b'{' => self.object(depth.checked_sub(1)?),
            b'[' => self.array(depth.checked_sub(1)?),
            b'"' => self.string().map(Value::String),
            _ => self.word(),
        }
    }

    fn eat(&mut self, token: char) -> bool {
        let rest = self.rest.trim_start();
        let after = rest.strip_prefix(token);
        self.rest = after.map_or(rest, str::trim_start);
        after.is_some()
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        let mut map = Map::new();
        self.eat('{');
        while !self.eat('}') {
            let key = self.string()?;
            if !self.eat(':') {
                return None;
            }
            map.insert(key, self.value(depth)?);
            if !self.eat(',') && !self.rest.starts_with('}') {
                return None;
            }
        }
        Some(Value::Object(map))
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        let mut all = Vec::new();
        self.eat('[');
        while !self.eat(']') {
            all.push(self.value(depth)?);
            if !self.eat(',') && !self.rest.starts_with(']') {
                return None;
            }
        }
        Some(Value::Array(all))
    }

    fn string(&mut self) -> Option<String> {
        self.rest = self.rest.strip_prefix('"')?;
        let mut text = String::new();
        loop {
            let end = self.rest.find(['"', '\\'])?;
            text += &self.rest[..end];
            let is_escape = self.rest[end..].starts_with('\\');
            self.rest = &self.rest[end + 1..];
            if !is_escape {
                return Some(text);
            }
            self.escape(&mut text)?;
        }
    }

    fn escape(&mut self, text: &mut String) -> Option<()> {
        let escape = self.rest.chars().next()?;
        let after = &self.rest[escape.len_utf8()..];
        self.rest = after;
        match escape {
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            '"' | '\\' | '/' | '\'' => text.push(escape),
            'u' => {
                let Some(unit) = unit(after) else {
                    text.push_str("\\u");
                    return Some(());
                };
                self.rest = &after[4..];
                match (surrogates::mark(unit), char::from_u32(u32::from(unit))) {
                    (Some(half), _) => text.push_str(&half),
                    (None, c) => text.extend(c),
                }
            }
            other => text.extend(['\\', other]),
        }
        Some(())
    }

    /// A number, a constant, or one of the words that other languages write in their place.
    fn word(&mut self) -> Option<Value> {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        match word {
            "true" | "True" => Some(Value::Bool(true)),
            "false" | "False" => Some(Value::Bool(false)),
            "null" | "None" | "undefined" | "NaN" | "-NaN" | "Infinity" | "-Infinity" => Some(Value::Null),
            number => {
                if let Ok(number) = serde_json::from_str::<Number>(number) {
                    return Some(Value::Number(number));
                }
                let is_number = number.starts_with(|c: char| c.is_ascii_digit() || c == '-');
                let read = number.parse::<f64>().ok().filter(|_| is_number)?;
                // Null if it is out of range.
                Some(Number::from_f64(read).map_or(Value::Null, Value::Number))
            }
        }
    }
}

/// The UTF-16 unit of four hexadecimal digits.
fn unit(text: &str) -> Option<u16> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn odd_documents_are_read() {
        let cases = [
            (
                r#"{"a": NaN, "b": -Infinity, "c": 1e999, "d": [1, 2,],}"#,
                json!({"a": null, "b": null, "c": null, "d": [1, 2]}),
            ),
            ("{\"a\": \"one\ntwo\tthree\"}", json!({"a": "one\ntwo\tthree"})),
            (r#"{"a": "\d+\'", "b": True, "c": None}"#, json!({"a": "\\d+'", "b": true, "c": null})),
            (" [ ] \n", json!([])),
            (r#"{"a": "\u00e9\ud83d\ude00\n\/", "b": NaN}"#, json!({"a": "é😀\n/", "b": null})),
        ];
        for (text, value) in cases {
            assert_eq!(parse(text).map(resolved), Some(value), "{text}");
        }
    }

    #[test]
    fn half_of_a_pair_is_kept_until_the_other_one_is_known() {
        let text = |text: &str| parse(text).and_then(|value| value.as_str().map(ToOwned::to_owned)).unwrap();
        let (first, second) = (text(r#""a\ud83d""#), text(r#""\ude00b""#));
        assert_eq!(surrogates::resolve(&(first + &second)), "a😀b");
        assert_eq!(parse(r#""\ud83d""#).map(resolved), Some(json!("\u{fffd}")));
    }

    #[test]
    fn incomplete_and_foreign_text_is_refused() {
        for text in
            ["", "{", r#"{"a""#, r#"{"a": "b"#, "[1 2]", "{a: 1}", "x", "1.2.3", "--1", "{}{}", "[1", "{,}", "-"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"[".repeat(100_000)), None);
        assert!(parse(&("[".repeat(120) + "NaN" + &"]".repeat(120))).is_some());
    }

    #[test]
    fn fence_is_removed() {
        for text in ["```json\n{\"a\": 1}\n```", " ```\n{\"a\": 1}```\n", "{\"a\": 1}"] {
            assert_eq!(parse(unfenced(text)), Some(json!({"a": 1})), "{text}");
        }
    }

    proptest! {
        #[test]
        fn strict_documents_mean_the_same_to_the_tolerant_parser(text in r#"[\[\]{}",:a1 \\nu0-9.eE+-]{0,30}"#) {
            if let Ok(strict) = serde_json::from_str::<Value>(&text) {
                let mut parser = Parser { rest: text.trim_start() };
                prop_assert_eq!(parser.value(DEPTH), Some(strict));
            }
            let _ = parse(&text);
        }
    }
}
