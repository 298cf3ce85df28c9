//! Models that read images, by name. A model that is not here is not sent any, unless the owner sets `images: true`: a
//! server may ignore what its model cannot see, and the model would guess.

/// Beginnings of model names after their last slash, and whether such a model reads images. The first match counts.
/// Source: the makers' pages of their models.
const TABLE: &[(&str, bool)] = &[
    // OpenAI
    ("gpt-4o", true),
    ("chatgpt-4o", true),
    ("gpt-4.1", true),
    ("gpt-4.5", true),
    ("gpt-4-turbo", true),
    ("gpt-5", true),
    ("gpt-6", true),
    ("o1-mini", false),
    ("o1-preview", false),
    ("o1", true),
    ("o3-mini", false),
    ("o3", true),
    ("o4-mini", true),
    ("codex-mini", true),
    // Anthropic
    ("claude-2", false),
    ("claude-instant", false),
    ("claude-", true),
    // Google
    ("gemini-1.0", false),
    ("gemini-", true),
    ("gemma-3-1b", false),
    ("gemma3:1b", false),
    ("gemma-3n", false),
    ("gemma3n", false),
    ("gemma-3", true),
    ("gemma3", true),
    // Meta
    ("llama-4", true),
    ("llama4", true),
    ("llama-3.2-11b-vision", true),
    ("llama-3.2-90b-vision", true),
    ("llama3.2-vision", true),
    ("llava", true),
    // Mistral
    ("pixtral", true),
    ("mistral-small-3.1", true),
    ("mistral-small3.1", true),
    ("mistral-small-3.2", true),
    ("mistral-small3.2", true),
    ("mistral-medium-3", true),
    // Alibaba
    ("qwen2-vl", true),
    ("qwen2.5-vl", true),
    ("qwen2.5vl", true),
    ("qwen3-vl", true),
    ("qwen-vl", true),
    // Others
    ("grok-2-vision", true),
    ("grok-4", true),
    ("glm-4v", true),
    ("glm-4.1v", true),
    ("glm-4.5v", true),
    ("minicpm-v", true),
    ("moondream", true),
    ("phi-4-multimodal", true),
    ("nova-micro", false),
    ("nova-", true),
];

/// Whether a model is known to read images; `None` where no line of the table matches.
#[must_use]
pub fn by_name(model: &str) -> Option<bool> {
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    TABLE.iter().find(|(begin, _)| name.starts_with(begin)).map(|(_, reads)| *reads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_that_reads_images_is_known_by_its_name() {
        for name in
            ["gpt-4o-mini", "openai/gpt-5.1", "claude-sonnet-4-5", "o3", "gemma3:4b", "Qwen/Qwen2.5-VL-7B", "llava:13b"]
        {
            assert_eq!(by_name(name), Some(true), "{name}");
        }
        for name in ["o3-mini", "claude-2.1", "gemma3:1b"] {
            assert_eq!(by_name(name), Some(false), "{name}");
        }
        for name in ["gpt-4-0613", "deepseek-chat", "my-gpt-4o", "qwen3:8b", "m", ""] {
            assert_eq!(by_name(name), None, "{name}");
        }
    }
}
