//! The words for the effort of thinking that models accept, by family. A request with another word is refused. The rules
//! of a maker's version numbers hold only for the maker's own names: `deepseek-v3.2` is no `gpt-3.2`.

/// The words of a family of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Efforts {
    /// Parts of names, at the start of the name after its last slash; the first row with one of them applies.
    models: &'static [&'static str],
    /// A part that the name must have as well.
    with: &'static str,
    /// The accepted words, from the least to the most thinking; empty: the field itself is refused.
    words: &'static [&'static str],
}

/// All words, from the least to the most thinking.
const SCALE: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

const fn row(models: &'static [&'static str], words: &'static [&'static str]) -> Efforts {
    Efforts { models, with: "", words }
}

/// `OpenAI`'s models. Source: developers.openai.com/api/docs/guides/reasoning, and the page of each model.
pub const OPENAI: &[Efforts] = &[
    row(&["gpt-5-pro"], &["high"]),
    Efforts { models: &["gpt-5", "gpt-6"], with: "-pro", words: &["medium", "high", "xhigh"] },
    Efforts { models: &["gpt-5", "gpt-6", "codex"], with: "codex", words: &["low", "medium", "high"] },
    Efforts { models: &["gpt-5", "gpt-6"], with: "-chat", words: &[] },
    row(&["gpt-5."], &["none", "low", "medium", "high", "xhigh"]),
    row(&["gpt-5"], &["minimal", "low", "medium", "high"]),
    row(&["gpt-6"], &["none", "low", "medium", "high", "xhigh"]),
    row(&["o1-mini", "o1-preview"], &[]),
    row(&["o1", "o3", "o4"], &["low", "medium", "high"]),
    row(&["gpt-oss"], &["low", "medium", "high"]),
    row(&["gpt-4", "gpt-3", "chatgpt"], &[]),
];

/// Google's models at its compatible interface. Source: ai.google.dev/gemini-api/docs/openai.
pub const GEMINI: &[Efforts] = &[
    row(&["gemini-2.5-pro"], &["minimal", "low", "medium", "high"]),
    row(&["gemini-2.5"], &["none", "minimal", "low", "medium", "high"]),
    row(&["gemini-3"], &["minimal", "low", "medium", "high"]),
    row(&["gemini-2", "gemini-1", "gemma"], &[]),
];

/// xAI's models. Source: docs.x.ai/docs/guides/reasoning.
pub const XAI: &[Efforts] = &[row(&["grok-3-mini"], &["low", "high"]), row(&["grok"], &[])];

/// The words of Ollama's server, for every model. Source: docs/openapi.yaml of Ollama, `ChatRequest.think`.
pub const OLLAMA: &[&str] = &["low", "medium", "high", "max"];

/// The accepted word that is nearest to a wanted one, the lower one of two; `off` and `none` are the least. `None` if the
/// field must be left out. An unknown model gets the word as it is.
#[must_use]
pub fn accepted<'a>(table: &[Efforts], model: &str, wanted: &'a str) -> Option<&'a str> {
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    let wanted = if wanted == "off" { "none" } else { wanted };
    let fits = |row: &&Efforts| row.models.iter().any(|part| name.starts_with(part)) && name.contains(row.with);
    let Some(family) = table.iter().find(fits) else { return Some(wanted) };
    if place(wanted).is_none() {
        return Some(wanted);
    }
    nearest(family.words, wanted)
}

/// The word of `words` that is nearest to a wanted one, the lower one of two. `None` if there are no words, or the wanted
/// one is not on the scale.
#[must_use]
pub fn nearest(words: &[&'static str], wanted: &str) -> Option<&'static str> {
    let at = place(wanted)?;
    let distance = |word: &&&str| place(word).map_or(usize::MAX, |other| other.abs_diff(at));
    words.iter().min_by_key(distance).copied()
}

fn place(word: &str) -> Option<usize> {
    SCALE.iter().position(|known| *known == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_that_a_family_refuses_is_replaced_by_its_nearest() {
        let cases = [
            (OPENAI, "gpt-5-mini", "off", Some("minimal")),
            (OPENAI, "gpt-5.1", "off", Some("none")),
            (OPENAI, "gpt-5.4-mini-2026-03-17", "minimal", Some("none")),
            (OPENAI, "openai/gpt-5.5", "max", Some("xhigh")),
            (OPENAI, "gpt-5.2-pro", "off", Some("medium")),
            (OPENAI, "gpt-5-pro", "low", Some("high")),
            (OPENAI, "gpt-5.1-codex-max", "off", Some("low")),
            (OPENAI, "o4-mini", "none", Some("low")),
            (OPENAI, "o1-mini", "high", None),
            (OPENAI, "gpt-4o", "low", None),
            (OPENAI, "gpt-5-chat-latest", "low", None),
            (OPENAI, "deepseek-v5.1", "off", Some("none")),
            (OPENAI, "my-o3", "off", Some("none")),
            (GEMINI, "models/gemini-2.5-flash", "off", Some("none")),
            (GEMINI, "gemini-2.5-pro", "off", Some("minimal")),
            (GEMINI, "gemini-3.1-pro-preview", "high", Some("high")),
            (XAI, "grok-3-mini", "medium", Some("low")),
            (XAI, "grok-4", "high", None),
            (OPENAI, "gpt-5", "somewhat", Some("somewhat")),
        ];
        for (table, model, wanted, word) in cases {
            assert_eq!(accepted(table, model, wanted), word, "{model} {wanted}");
        }
    }

    #[test]
    fn every_word_is_on_the_scale_and_every_row_is_reachable() {
        for table in [OPENAI, GEMINI, XAI] {
            for (n, row) in table.iter().enumerate() {
                assert!(row.words.iter().all(|word| SCALE.contains(word)), "{row:?}");
                let name = format!("{}{}", row.models.last().unwrap(), row.with);
                let first = table
                    .iter()
                    .position(|row| row.models.iter().any(|part| name.starts_with(part)) && name.contains(row.with));
                assert_eq!(first, Some(n), "{row:?}");
            }
        }
    }
}
