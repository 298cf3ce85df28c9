//! The meaning of a service's refusal, by its words. Services use the same status for different reasons: a used-up
//! credit comes with 400, 402, 403 or 429, an invalid key with 400, 401 or 403.

use crate::core::model::overflow::is_overflow;

/// The part of a refusal that is searched, in bytes.
const MAX_SEARCHED: usize = 8 << 10;

/// The meaning of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The account has no credit left.
    Credit,
    /// The key is wrong or missing.
    Key,
    /// The model or its server has no tools.
    Tools,
    /// The model does not think.
    Thinking,
    /// The model exists only at the interface `/responses`.
    Responses,
    /// The service does not have the model.
    Model,
    /// The model's call could not be read by its server; another answer may be.
    MalformedCall,
    /// The request is longer than the context window.
    Overflow,
    /// It speaks of lengths and limits, so the request may be too long.
    PerhapsOverflow,
    /// None of these.
    Other,
}

/// Phrases in lower case, in the order of their search. All parts of a phrase occur, in any order.
const PHRASES: &[(Meaning, &[&[&str]])] = &[
    (
        Meaning::Credit,
        &[
            &["insufficient_quota"],
            &["credit balance"],
            &["insufficient", "balance"],
            &["insufficient", "credit"],
            &["insufficient", "funds"],
            &["more credits"],
            &["out of credit"],
            &["no credits"],
            &["used up", "credit"],
            &["billing_hard_limit"],
            &["billing hard limit"],
            &["billing_error"],
            &["billing_not_active"],
            &["payment required"],
            &["payment_required"],
            &["monthly included credits"],
            &["arrearage"],
        ],
    ),
    (
        Meaning::Key,
        &[
            &["invalid_api_key"],
            &["api_key_invalid"],
            &["authentication_error"],
            &["incorrect api key"],
            &["invalid api key"],
            &["invalid api-key"],
            &["invalid x-api-key"],
            &["api key not valid"],
            &["api key", "expired"],
            &["api key", "missing"],
            &["api key", "not found"],
            &["no api key"],
            &["no auth credentials"],
            &["invalid authentication"],
        ],
    ),
    (Meaning::Responses, &[&["v1/responses"]]),
    (
        Meaning::Tools,
        &[
            &["not support tool"],
            &["not support function call"],
            &["support tool use"],
            &["tool", "not supported"],
            &["function calling", "not supported"],
            &["tools param requires"],
            &["tool choice requires"],
            &["unsupported", "'tools'"],
        ],
    ),
    (
        Meaning::Thinking,
        &[
            &["not support thinking"],
            &["not support reasoning"],
            &["thinking", "not supported"],
            &["unsupported", "reasoning_effort"],
            &["unsupported", "reasoning.effort"],
            &["reasoning_effort", "not support"],
        ],
    ),
    (Meaning::MalformedCall, &[&["tool_use_failed"], &["failed_generation"]]),
    (
        Meaning::Model,
        &[
            &["model_not_found"],
            &["model", "not found"],
            &["model", "does not exist"],
            &["not_found_error", "model:"],
            &["not a valid model"],
            &["unknown model"],
            &["no such model"],
        ],
    ),
];

/// The statuses that never mean a request that is too long: keys, rights, addresses, time and rate limits.
const NEVER_TOO_LONG: [u16; 7] = [401, 402, 403, 404, 405, 408, 429];
/// Words for the length of a request.
const LENGTHS: [&str; 8] = ["token", "context", "length", "too long", "too large", "too big", "prompt", "input"];
/// Words for a limit that is exceeded.
const LIMITS: [&str; 16] = [
    "exceed",
    "too long",
    "too large",
    "too big",
    "too many",
    "maximum",
    "at most",
    "limit",
    "longer",
    "larger",
    "greater",
    "beyond",
    "more than",
    "reduce",
    "shorten",
    "does not fit",
];
/// Words for the length of the answer, which a shorter conversation does not change.
const OF_THE_ANSWER: [&str; 4] = ["max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens"];

/// The meaning of a refusal. `status` is the HTTP status; `None` for an error inside a response.
#[must_use]
pub fn meaning(status: Option<u16>, words: &str) -> Meaning {
    if is_overflow(status, words) {
        return Meaning::Overflow;
    }
    let words = crate::core::text::cut::cut(words, MAX_SEARCHED).to_lowercase();
    let has = |phrase: &&[&str]| phrase.iter().all(|part| words.contains(part));
    if let Some((meaning, _)) = PHRASES.iter().find(|(_, phrases)| phrases.iter().any(has)) {
        return *meaning;
    }
    let has_any = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    let may_be = status.is_some_and(|status| (400..500).contains(&status) && !NEVER_TOO_LONG.contains(&status));
    if may_be && has_any(&LENGTHS) && has_any(&LIMITS) && !has_any(&OF_THE_ANSWER) {
        return Meaning::PerhapsOverflow;
    }
    Meaning::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meaning_is_read_from_the_words_and_the_status() {
        let cases = [
            (429, r#"{"error": {"code": "insufficient_quota"}}"#, Meaning::Credit),
            (400, "Your credit balance is too low to access the API.", Meaning::Credit),
            (402, "Insufficient Balance", Meaning::Credit),
            (402, "This request requires more credits, or fewer max_tokens.", Meaning::Credit),
            (400, "Incorrect API key provided: xx***yy.", Meaning::Key),
            (400, "API key not valid. Please pass a valid API key.", Meaning::Key),
            (400, r#""llama" does not support tools"#, Meaning::Tools),
            (404, "No endpoints found that support tool use.", Meaning::Tools),
            (500, "tools param requires --jinja flag", Meaning::Tools),
            (400, r#""auto" tool choice requires --enable-auto-tool-choice"#, Meaning::Tools),
            (400, r#""llama" does not support thinking"#, Meaning::Thinking),
            (404, "This model is only supported in v1/responses and not in v1/chat/completions.", Meaning::Responses),
            (
                400,
                "Function tools with reasoning are not supported here. Please use /v1/responses instead.",
                Meaning::Responses,
            ),
            (404, "model 'llama9' not found", Meaning::Model),
            (404, "The model `gpt-9` does not exist or you do not have access to it.", Meaning::Model),
            (400, "prompt is too long: 9 > 8", Meaning::Overflow),
            (400, "the input of 9000 tokens goes beyond what is allowed", Meaning::PerhapsOverflow),
            (422, "Conversation length larger than 4096", Meaning::PerhapsOverflow),
            (429, "Too many tokens per minute", Meaning::Other),
            (500, "too many tokens", Meaning::Other),
            (
                400,
                "max_tokens is too large: 100000. This model supports at most 4096 completion tokens",
                Meaning::Other,
            ),
            (429, "You exceeded your current quota, please check your plan and billing details.", Meaning::Other),
            (400, r#"{"error": {"code": "tool_use_failed"}}"#, Meaning::MalformedCall),
            (400, "messages: text content blocks must be non-empty", Meaning::Other),
        ];
        for (status, words, expected) in cases {
            assert_eq!(meaning(Some(status), words), expected, "{status} {words}");
        }
        assert_eq!(meaning(None, "too many tokens"), Meaning::Other);
    }
}
