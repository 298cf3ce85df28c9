//! Context windows of models by name, in tokens. The numbers are the vendors'. A server may offer less: the owner sets
//! that in claw.yaml (`window:`), or it is read from the server's refusal of a request.

/// The context window of an unknown model, in tokens.
pub const DEFAULT: u64 = 32_768;

/// Part of a model's name at the start of a word (`^`: at the start of the name), and the context window in tokens. The
/// first match counts.
const TABLE: &[(&str, u64)] = &[
    // OpenAI
    ("gpt-5-chat", 128_000),
    ("gpt-5.1-chat", 128_000),
    ("gpt-5", 400_000),
    ("gpt-4.1", 1_047_576),
    ("gpt-4.5", 128_000),
    ("gpt-4o", 128_000),
    ("chatgpt-4o", 128_000),
    ("gpt-4-turbo", 128_000),
    ("gpt-4-1106", 128_000),
    ("gpt-4-0125", 128_000),
    ("gpt-4-32k", 32_768),
    ("gpt-4", 8_192),
    ("gpt-3.5-turbo", 16_385),
    ("gpt-oss", 131_072),
    ("^o1-mini", 128_000),
    ("^o1-preview", 128_000),
    ("^o1", 200_000),
    ("^o3", 200_000),
    ("^o4-mini", 200_000),
    ("codex-mini", 200_000),
    // Anthropic
    ("claude-instant", 100_000),
    ("claude-2.0", 100_000),
    ("claude", 200_000),
    // Google
    ("gemini-1.5-pro", 2_097_152),
    ("gemini-1.0", 32_760),
    ("gemini", 1_048_576),
    ("gemma-3-1b", 32_768),
    ("gemma3:1b", 32_768),
    ("gemma3n", 32_768),
    ("gemma-3n", 32_768),
    ("gemma3", 131_072),
    ("gemma-3", 131_072),
    ("gemma", 8_192),
    // Meta
    ("llama-4", 131_072),
    ("llama4", 131_072),
    ("llama-3.1", 131_072),
    ("llama-3.2", 131_072),
    ("llama-3.3", 131_072),
    ("llama3.1", 131_072),
    ("llama3.2", 131_072),
    ("llama3.3", 131_072),
    ("llama-3", 8_192),
    ("llama3", 8_192),
    ("codellama", 16_384),
    ("llama", 4_096),
    // Mistral
    ("mistral-large", 131_072),
    ("mistral-medium", 131_072),
    ("mistral-small", 32_768),
    ("mistral-nemo", 131_072),
    ("magistral", 40_960),
    ("ministral", 131_072),
    ("devstral", 131_072),
    ("codestral", 32_768),
    ("pixtral", 131_072),
    ("mixtral-8x22b", 65_536),
    ("mixtral", 32_768),
    ("mistral", 32_768),
    // DeepSeek, Alibaba, Moonshot, Zhipu, MiniMax
    ("deepseek-coder", 16_384),
    ("deepseek", 128_000),
    ("qwen3-coder", 262_144),
    ("qwen3-max", 262_144),
    ("qwen3", 32_768),
    ("qwen-turbo", 1_000_000),
    ("qwen-plus", 131_072),
    ("qwen", 32_768),
    ("qwq", 32_768),
    ("kimi-k2", 131_072),
    ("moonshot", 131_072),
    ("glm-4.6", 200_000),
    ("glm-4", 128_000),
    ("minimax", 204_800),
    // Others
    ("grok-4-fast", 2_000_000),
    ("grok-4", 256_000),
    ("grok", 131_072),
    ("command-a", 256_000),
    ("command-r", 128_000),
    ("nova-micro", 128_000),
    ("nova", 300_000),
    ("phi-4", 16_384),
    ("phi4", 16_384),
    ("phi-3", 4_096),
    ("phi3", 4_096),
    ("granite", 131_072),
    ("sonar", 127_072),
];

/// Words before the size of the context window in a server's refusal of a too long request.
const LIMITS: &[&str] = &[
    "context length",
    "context window",
    "context size",
    "context limit",
    "maximum",
    "max context",
    "limit",
    "at most",
    "less than",
    "allowed",
    "<=",
    ">",
    "n_ctx",
];

/// The context window that a server names when it refuses a request; `None` where it names no number.
#[must_use]
pub fn from_refusal(refusal: &str) -> Option<u64> {
    let text = refusal.to_lowercase();
    let mut found = None;
    let mut at = 0;
    while let Some(begin) = text[at..].find(|c: char| c.is_ascii_digit()).map(|n| at + n) {
        let is_digit = |c: char| c.is_ascii_digit() || matches!(c, ',' | '_');
        let end = text[begin..].find(|c| !is_digit(c)).map_or(text.len(), |n| begin + n);
        let number: String = text[begin..end].chars().filter(char::is_ascii_digit).collect();
        let before = &text[..begin];
        let near = before.char_indices().rev().take(40).last().map_or("", |(from, _)| &before[from..]);
        // Words before an earlier number belong to that number.
        let near = near.rfind(|c: char| c.is_ascii_digit()).map_or(near, |last| &near[last..]);
        let number = number.parse().ok().filter(|number| (256..100_000_000).contains(number));
        if number.is_some() && LIMITS.iter().any(|word| near.contains(word)) {
            found = number;
        }
        at = end;
    }
    found
}

/// The context window of a model by its name; `None` where no line of the table matches. Only the part after the last
/// `/` is compared, as in `meta-llama/Llama-3.1-8B`.
#[must_use]
pub fn by_name(model: &str) -> Option<u64> {
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    let begins = |at: usize| !name[..at].ends_with(|c: char| c.is_alphanumeric());
    let fits = |part: &str| {
        part.strip_prefix('^')
            .map_or_else(|| name.match_indices(part).any(|(at, _)| begins(at)), |first| name.starts_with(first))
    };
    TABLE.iter().find(|(part, _)| fits(part)).map(|(_, tokens)| *tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_is_known_by_its_name_for_every_server() {
        for (name, tokens) in [
            ("gpt-4o-mini-2024-07-18", 128_000),
            ("openai/gpt-5-mini", 400_000),
            ("gpt-4-0613", 8_192),
            ("claude-sonnet-4-5-20250929", 200_000),
            ("anthropic.claude-3-haiku-20240307-v1:0", 200_000),
            ("models/gemini-2.5-flash", 1_048_576),
            ("meta-llama/Meta-Llama-3.1-8B-Instruct", 131_072),
            ("llama3.2", 131_072),
            ("llama3:70b", 8_192),
            ("o3-mini", 200_000),
            ("Qwen/Qwen2.5-7B-Instruct", 32_768),
        ] {
            assert_eq!(by_name(name), Some(tokens), "{name}");
        }
        for name in ["", "m", "my-model", "foo1", "marco-o1"] {
            assert_eq!(by_name(name), None, "{name}");
        }
    }

    #[test]
    fn window_is_read_from_a_refusal() {
        for (refusal, tokens) in [
            (
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
                8192,
            ),
            (
                "maximum context length is 4,096 tokens, however you requested 5000 tokens (3976 in the messages, 1024 in the completion)",
                4096,
            ),
            ("prompt is too long: 210000 tokens > 200000 maximum", 200_000),
            ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", 200_000),
            ("request (5000 tokens) exceeds the available context size (4096 tokens)", 4096),
            ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", 1_048_576),
            ("`inputs` tokens + `max_new_tokens` must be <= 2048. Given: 3000 `inputs` tokens", 2048),
        ] {
            assert_eq!(from_refusal(refusal), Some(tokens), "{refusal}");
        }
        for refusal in ["", "HTTP 400: too long", "model x: HTTP 413", "your prompt of 9000 tokens is too long"] {
            assert_eq!(from_refusal(refusal), None, "{refusal}");
        }
    }

    #[test]
    fn every_line_of_the_table_is_reachable() {
        for (part, tokens) in TABLE {
            assert_eq!(by_name(part.trim_start_matches('^')), Some(*tokens), "{part}");
        }
    }
}
