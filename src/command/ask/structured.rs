//! `claw ask --schema FILE`: the answer is one JSON document that satisfies a JSON Schema.

use super::answer::{self, AnswerPrinter};
use crate::command::terminal::out;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::json::shape::JsonShape;
use crate::core::markdown;
use crate::store::fs::At;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The largest schema, in bytes.
const MAX: usize = 64 << 10;
/// How often a model that fails is asked again.
const RETRIES: usize = 1;

/// A schema that was read from a file.
pub(super) struct AnswerSchema {
    schema: Value,
    shape: JsonShape,
}

/// Reads the schema.
///
/// # Errors
/// `Usage` if the file is no schema, or has a keyword that is not checked here.
pub(super) fn read(path: &Path) -> Result<AnswerSchema> {
    let text = fs::read_to_string(path).at("read", path)?;
    let bad = |why: String| Fault::new(Kind::Usage, format!("{}: {why}", path.display()));
    if text.len() > MAX {
        return Err(bad(format!("the schema has more than {MAX} bytes")));
    }
    let value: Value = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    let shape = JsonShape::parse(&value).map_err(bad)?;
    Ok(AnswerSchema { schema: value, shape })
}

impl AnswerSchema {
    /// The schema, for providers that bind answers to one.
    pub(super) fn schema(&self) -> &Value {
        &self.schema
    }

    /// The question with the demand for the form.
    pub(super) fn question(&self, text: &str) -> String {
        format!(
            "{text}\n\nAnswer with one JSON document and nothing else. It must satisfy this JSON Schema:\n{}",
            self.schema
        )
    }

    /// Prints the answer if it satisfies the schema; else `ask` asks for another one.
    ///
    /// # Errors
    /// `Data` if no answer satisfies the schema; as `ask`.
    pub(super) fn settle(&self, printer: &AnswerPrinter, mut ask: impl FnMut(String) -> Result<()>) -> Result<()> {
        for attempt in 0.. {
            // A turn that was stopped or waits for approval has no answer.
            let Some(content) = printer.kept() else { return Ok(()) };
            let problem = match self.document(&content) {
                Ok(document) => return out::json(&document),
                Err(problem) => problem,
            };
            if attempt >= RETRIES {
                return Err(Fault::data(format!("the answer does not satisfy the schema: {problem}"))
                    .hint("claw sessions show prints it"));
            }
            out::message(&format!("the answer does not satisfy the schema ({problem}); asking once more"));
            ask(format!("This does not satisfy the schema: {problem}. Answer again, with the JSON document alone."))?;
        }
        Ok(())
    }

    /// The document in an answer: the whole text, or its first block of code.
    fn document(&self, content: &str) -> std::result::Result<Value, String> {
        let whole = serde_json::from_str(content.trim());
        let value: Value = match whole {
            Ok(value) => value,
            Err(e) => {
                let code = answer::first_code(&markdown::parse(content));
                let code = code.and_then(|code| serde_json::from_str(&code).ok());
                code.ok_or_else(|| format!("it is not JSON: {e}"))?
            }
        };
        self.shape.check(&value)?;
        Ok(value)
    }
}
