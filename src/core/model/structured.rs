//! Answers that a service binds to a JSON Schema, beside tools.

/// The name of the schema in a request, where the interface demands one.
pub const NAME: &str = "answer";

/// Beginnings of the names of the models of `OpenAI` that have structured output (platform.openai.com/docs/guides/
/// structured-outputs).
pub const OPENAI: &[&str] = &["gpt-4o", "gpt-4.1", "gpt-4.5", "o1", "o3", "o4", "gpt-5", "gpt-6", "codex"];

/// Whether a model is among those with these beginnings; a maker's name before a slash does not count.
#[must_use]
pub fn is_bound(models: &[&str], model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    models.iter().any(|begin| name.starts_with(begin))
}
