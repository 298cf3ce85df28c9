//! Quirks of servers: every file in `tests/fixtures/<protocol>` is the body of a response, behind a first line with its
//! meaning as JSON. Empty fields are left out.

use crate::core::model::Call;
use crate::core::model::attachment::{Attachment, Media};
use crate::provider::reading::answer::AnswerError;
use crate::provider::reading::reported;
use crate::provider::response::{Take, read_chunks};
use crate::provider::{anthropic, ollama, openai, responses};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// An image and a document, as a message has them.
pub(super) fn attachments() -> Vec<Attachment> {
    let file =
        |path: &str, media, data: &str| Attachment { media: Some(media), data: data.into(), ..Attachment::at(path) };
    vec![file("files/a", Media::Png, "iVBORw0KGgo="), file("files/sub/b.pdf", Media::Pdf, "JVBERi0xLjQ=")]
}

/// The meaning of a body that arrives in these chunks.
fn meaning<'a>(take: Take, chunks: impl Iterator<Item = &'a [u8]>) -> Value {
    let (answer, shown, error) = read_chunks(take, chunks);
    assert_eq!(shown, answer.content);
    let error = match error {
        None => Value::Null,
        Some(AnswerError::Reported(error)) => json!(reported::words(&error)),
        Some(other) => panic!("{other:?}"),
    };
    let payload = answer.thoughts.first().map(|thought| thought.payload.clone()).unwrap_or_default();
    let calls = answer.calls.iter().map(|part| json!([part.name, Call::parse_arguments(&part.arguments)]));
    let usage = json!([answer.usage.input, answer.usage.output, answer.usage.cached]);
    let all = [
        ("content", json!(answer.content)),
        ("thinking", json!(answer.thinking())),
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

/// The body in pieces of pseudo-random sizes.
fn pieces(body: &[u8], mut seed: u64) -> Vec<&[u8]> {
    let (mut rest, mut all) = (body, Vec::new());
    while !rest.is_empty() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let size = usize::try_from(seed >> 59).unwrap() + 1;
        let (piece, more) = rest.split_at(size.min(rest.len()));
        all.push(piece);
        rest = more;
    }
    all
}

#[test]
fn every_fixture_has_the_meaning_of_its_first_line() {
    let wires = [
        ("openai", openai::WIRE.take, 60),
        ("responses", responses::WIRE.take, 7),
        ("anthropic", anthropic::WIRE.take, 8),
        ("ollama", ollama::WIRE.take, 6),
    ];
    for (folder, take, least) in wires {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
        let mut count = 0;
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let file = fs::read(&path).unwrap();
            let end = file.iter().position(|b| *b == b'\n').unwrap();
            let (first, body) = (std::str::from_utf8(&file[..end]).unwrap(), &file[end + 1..]);
            let expected = serde_json::from_str::<Value>(first.trim().trim_start_matches(':'));
            let expected = expected.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            for size in [1, 3, 64, 1 << 20] {
                let got = meaning(take, body.chunks(size));
                assert_eq!(got, expected, "{} in pieces of {size}", path.display());
            }
            for seed in 0..8 {
                let got = meaning(take, pieces(body, seed).into_iter());
                assert_eq!(got, expected, "{} in random pieces {seed}", path.display());
            }
            count += 1;
        }
        assert!(count >= least, "only {count} fixtures of {folder}");
    }
}
