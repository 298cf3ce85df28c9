//! Quirks of servers: every file in `tests/fixtures/openai` is a stream, and its first line, a comment, is its meaning as
//! JSON. Empty fields are left out.

use crate::core::model::Call;
use crate::provider::answer::{Answer, AnswerError};
use crate::provider::frames::{Frames, Framing};
use crate::provider::openai::chunk;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// The meaning of a stream that arrives in chunks of `size` bytes.
fn meaning(stream: &[u8], size: usize) -> Value {
    let (mut frames, mut answer) = (Frames::new(Framing::Events), Answer::default());
    let mut on_text = String::new();
    let mut error = Value::Null;
    'stream: for piece in stream.chunks(size).chain([&b"\n\n"[..]]) {
        frames.push(piece);
        while let Some(frame) = frames.pop().unwrap() {
            match chunk::take(&mut answer, &frame, &mut |text| on_text += text) {
                Ok(false) => {}
                Ok(true) => break 'stream,
                Err(AnswerError::Reported(reported)) => {
                    error = reported;
                    break 'stream;
                }
                Err(other) => panic!("{other:?}: {frame}"),
            }
        }
    }
    assert_eq!(on_text, answer.content);
    let thinking: String = answer.thoughts.iter().map(|thought| thought.text.as_str()).collect();
    let payload = answer.thoughts.first().map(|thought| thought.payload.clone()).unwrap_or_default();
    let calls = answer.calls.iter().map(|part| json!([part.name, Call::parse_arguments(&part.arguments)]));
    let usage = json!([answer.usage.input, answer.usage.output, answer.usage.cached]);
    let all = [
        ("content", json!(answer.content)),
        ("thinking", json!(thinking)),
        ("payload", payload),
        ("calls", calls.collect()),
        ("usage", if usage == json!([0, 0, 0]) { Value::Null } else { usage }),
        ("end", answer.end.map_or(Value::Null, |end| json!(format!("{end:?}").to_lowercase()))),
        ("error", error),
    ];
    let is_set = |value: &Value| !matches!(value, Value::Null) && *value != json!("") && *value != json!([]);
    let fields = all.into_iter().filter(|(_, value)| is_set(value)).map(|(name, value)| (name.to_owned(), value));
    Value::Object(fields.collect::<Map<_, _>>())
}

#[test]
fn every_fixture_has_the_meaning_of_its_first_line() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/openai");
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let stream = fs::read(&path).unwrap();
        let first = stream.split(|b| *b == b'\n').next().unwrap();
        let first = std::str::from_utf8(first).unwrap().trim().strip_prefix(':').unwrap();
        let expected: Value = serde_json::from_str(first).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for size in [1, 3, 64, 1 << 20] {
            assert_eq!(meaning(&stream, size), expected, "{} in pieces of {size}", path.display());
        }
        count += 1;
    }
    assert!(count >= 20, "only {count} fixtures");
}
