//! Recognises refusals of requests that are longer than the model's context window. There is no standard for them:
//! servers use statuses from 400 to 500 and their own wording. The wordings are a table.

/// The part of a refusal that is searched, in bytes: some servers repeat the request in it.
const MAX_SEARCHED: usize = 8 << 10;

/// The servers, and lower-case phrases that their refusals contain in this order.
const WORDINGS: &[(&str, &[&str])] = &[
    ("OpenAI, Azure, Groq, Cerebras: the code", &["context_length_exceeded"]),
    ("OpenAI's newer models", &["exceeds the context window"]),
    ("OpenAI, vLLM, DeepSeek, OpenRouter, Mistral, Fireworks", &["maximum context length"]),
    ("OpenAI, Groq: more tokens than a minute has", &["request too large for"]),
    ("Groq, Cerebras", &["reduce the length of the messages"]),
    ("Anthropic, Fireworks", &["prompt is too long"]),
    ("Anthropic, with max_tokens", &["input length and", "exceed context limit"]),
    ("Anthropic: the type, with 413", &["request_too_large"]),
    ("Bedrock", &["input is too long"]),
    ("llama.cpp", &["exceeds the available context size"]),
    ("llama.cpp: the type", &["exceed_context_size_error"]),
    ("llama.cpp, while it answers", &["context size has been exceeded"]),
    ("llama.cpp, older", &["input is too large to process"]),
    ("vLLM", &["longer than the maximum model length"]),
    ("SGLang", &["longer than the model's context length"]),
    ("Ollama", &["input length exceeds", "context length"]),
    ("Ollama", &["exceeded max context length"]),
    ("LM Studio", &["loaded with context length of only"]),
    ("LM Studio", &["greater than the context length"]),
    ("Mistral", &["too large for model with"]),
    ("Gemini", &["input token count", "exceeds the maximum number of tokens"]),
    ("xAI", &["maximum prompt length is"]),
    ("Together, text-generation-inference", &["`inputs` tokens", "must be <="]),
    ("text-generation-inference", &["`inputs` must have less than"]),
    ("Cohere", &["total number of tokens", "cannot exceed"]),
    ("watsonx", &["number of input tokens", "cannot exceed"]),
    ("Moonshot", &["exceeded model token limit"]),
    ("MiniMax", &["context window exceeds limit"]),
    ("Zhipu", &["prompt exceeds max length"]),
    ("Zhipu: the reason to finish", &["model_context_window_exceeded"]),
    ("DashScope", &["range of input length should be"]),
    ("GitHub: the code, with 413", &["tokens_limit_reached"]),
    ("GitHub Copilot", &["prompt token count of", "exceeds the limit"]),
];

/// Whether this refusal means that the request is too long. `status` is the HTTP status; `None` for an error inside a
/// response.
#[must_use]
pub fn is_overflow(status: Option<u16>, words: &str) -> bool {
    let words = crate::core::text::cut::cut(words, MAX_SEARCHED).to_lowercase();
    status == Some(413) || WORDINGS.iter().any(|(_, parts)| contains_in_order(&words, parts))
}

/// Whether `words` contains all of `parts` in this order.
fn contains_in_order(words: &str, parts: &[&str]) -> bool {
    let mut rest = words;
    parts.iter().all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Refusals of real servers.
    const SEEN: &[(u16, &str)] = &[
        (
            400,
            r#"{"error":{"message":"This model's maximum context length is 128000 tokens. However, your messages resulted in 130011 tokens. Please reduce the length of the messages.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
        ),
        (400, "Your input exceeds the context window of this model. Please adjust your input and try again."),
        (
            429,
            "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 40211.",
        ),
        (400, "prompt is too long: 210000 tokens > 200000 maximum"),
        (400, "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length"),
        (400, r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#),
        (
            400,
            r#"{"error":{"code":400,"message":"the request exceeds the available context size. try increasing the context size or enable context shift","type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}}"#,
        ),
        (500, r#"{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}"#),
        (
            400,
            "This model's maximum context length is 4096 tokens. However, you requested 5196 tokens (4696 in the messages, 500 in the completion).",
        ),
        (400, "The decoder prompt (length 6045) is longer than the maximum model length of 4096."),
        (400, "The input (5421 tokens) is longer than the model's context length (4096 tokens)."),
        (500, r#"{"error":"input length exceeds maximum context length"}"#),
        (400, "the input length exceeds the context length"),
        (400, "prompt too long; exceeded max context length by 112 tokens"),
        (400, "Prompt contains 40960 tokens and 0 draft tokens, too large for model with 32768 maximum context length"),
        (400, "Please reduce the length of the messages or completion."),
        (400, "The input token count (1205003) exceeds the maximum number of tokens allowed (1048575)."),
        (
            400,
            "This endpoint's maximum context length is 131072 tokens. However, you requested about 190211 tokens (190211 of text input).",
        ),
        (400, "ValidationException: Input is too long for requested model."),
        (400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
        (
            422,
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens",
        ),
        (400, "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5211"),
        (400, "Invalid request: Your request exceeded model token limit: 262144 (requested: 291351)"),
        (400, "invalid params, context window exceeds limit (2013)"),
        (400, "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]"),
        (
            400,
            "Trying to keep the first 5010 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens",
        ),
        (413, "<html><title>413 Request Entity Too Large</title></html>"),
    ];

    #[test]
    fn too_long_request_is_recognised_for_every_server() {
        for (status, words) in SEEN {
            assert!(is_overflow(Some(*status), words), "{status} {words}");
            assert!(*status == 413 || is_overflow(None, words), "in a response: {words}");
        }
    }

    #[test]
    fn other_refusals_are_not_an_overflow() {
        let others = [
            (429, "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000."),
            (429, "Too many tokens, please wait before trying again."),
            (429, "This request would exceed your organization's rate limit of 40,000 input tokens per minute"),
            (400, "max_tokens is too large: 100000. This model supports at most 4096 completion tokens"),
            (400, "messages: text content blocks must be non-empty"),
            (500, "boom"),
            (529, "Overloaded"),
            (401, "Incorrect API key provided"),
            (400, "cannot exceed … total number of tokens"),
        ];
        for (status, words) in others {
            assert!(!is_overflow(Some(status), words), "{status} {words}");
        }
    }

    #[test]
    fn repeated_request_in_a_refusal_is_not_searched() {
        let long = format!("bad request: {} prompt is too long", "x".repeat(MAX_SEARCHED));
        assert!(!is_overflow(Some(400), &long));
    }
}
