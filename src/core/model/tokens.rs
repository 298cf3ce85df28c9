//! Estimates the number of tokens of a text. Only the provider knows the exact number. The estimate counts a token for
//! four ASCII characters, two characters of other alphabets, or one character of the wide scripts. Each count by the
//! provider corrects the later estimates.

use crate::core::model::attachment;
use crate::core::model::{Call, Message, ToolSpec};
use serde::{Deserialize, Serialize};

/// Tokens of a message besides its text: its role and its delimiters.
const FRAME: usize = 4;
/// The correction factor before the first count, in thousandths: dense text has three letters a token.
const DEFAULT_SCALE: u64 = 1334;

/// The estimate of a text, rounded up.
#[must_use]
pub fn estimate(text: &str) -> usize {
    text.chars().map(quarters).sum::<usize>().div_ceil(4)
}

fn quarters(c: char) -> usize {
    match u32::from(c) {
        0..0x80 => 1,
        0x80..0x2e80 => 2,
        _ => 4,
    }
}

/// The longest beginning of `text` with an estimate of at most `tokens`.
#[must_use]
pub fn cut(text: &str, tokens: usize) -> &str {
    let mut room = tokens.saturating_mul(4);
    let end = text.char_indices().find(|(_, c)| {
        let fits = quarters(*c) <= room;
        room = room.saturating_sub(quarters(*c));
        !fits
    });
    end.map_or(text, |(at, _)| &text[..at])
}

/// The estimate of a message.
#[must_use]
pub fn message(message: &Message) -> usize {
    let calls: &[Call] = match message {
        Message::Assistant { calls, .. } => calls,
        _ => &[],
    };
    let call = |call: &Call| 2 * FRAME + estimate(&call.name) + estimate(&call.arguments.to_string());
    let files = message.attachments().len() * attachment::TOKENS;
    FRAME + estimate(message.content()) + files + calls.iter().map(call).sum::<usize>()
}

/// The estimate of a conversation.
#[must_use]
pub fn messages(messages: &[Message]) -> usize {
    messages.iter().map(message).sum()
}

/// The estimate of the fixed part of a request: the system prompt and the tools.
#[must_use]
pub fn fixed<'a>(system: &str, tools: impl IntoIterator<Item = &'a ToolSpec>) -> usize {
    let tool = |tool: &ToolSpec| {
        2 * FRAME + estimate(&tool.name) + estimate(&tool.description) + estimate(&tool.parameters.to_string())
    };
    FRAME + estimate(system) + tools.into_iter().map(tool).sum::<usize>()
}

/// A provider's count of a request, beside our estimate of the same request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The model.
    pub model: String,
    /// Input tokens, as counted by the provider.
    pub counted: u64,
    /// Tokens of the same request, as estimated.
    pub estimated: u64,
}

impl Count {
    /// The correction factor for our estimates, in thousandths. A count under half of the estimate is ignored: it
    /// cannot be of the whole request (some servers leave out cached tokens).
    fn correction(&self) -> Option<u64> {
        let thousandths = self.counted.saturating_mul(1000).checked_div(self.estimated)?;
        (thousandths >= 500).then(|| thousandths.clamp(800, 4000))
    }
}

/// Converts between estimates and a model's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenScale {
    thousandths: u64,
    /// The scale comes from a count by the model's provider in this conversation.
    pub is_counted: bool,
}

impl TokenScale {
    /// The scale for `model` by the last count in the conversation; without one, a cautious default.
    #[must_use]
    pub fn of(model: &str, count: Option<&Count>) -> Self {
        let correction = count.filter(|count| count.model == model).and_then(Count::correction);
        Self { thousandths: correction.unwrap_or(DEFAULT_SCALE), is_counted: correction.is_some() }
    }

    /// The tokens of an estimate, rounded up.
    #[must_use]
    pub fn tokens(self, estimated: usize) -> u64 {
        (estimated as u64).saturating_mul(self.thousandths).div_ceil(1000)
    }

    /// The largest estimate that is at most `tokens`.
    #[must_use]
    pub fn estimate(self, tokens: u64) -> usize {
        usize::try_from(tokens.saturating_mul(1000) / self.thousandths).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimate_depends_on_length_and_script() {
        assert_eq!(estimate(""), 0);
        assert_eq!(estimate("word"), 1);
        assert_eq!(estimate("words"), 2);
        assert_eq!(estimate("слово"), 3);
        assert_eq!(estimate("名前"), 2);
    }

    #[test]
    fn cut_text_is_within_the_estimate() {
        assert_eq!(cut("four words of text", 1), "four");
        assert_eq!(cut("名前と住所", 2), "名前");
        assert_eq!(cut("слово", 9), "слово");
        assert_eq!(cut("x", 0), "");
    }

    #[test]
    fn plausible_count_corrects_the_estimates_of_its_model() {
        let scale = |counted, estimated| {
            let count = Count { model: "m".into(), counted, estimated };
            TokenScale::of("m", Some(&count))
        };
        assert_eq!((scale(3000, 2000).tokens(100), scale(3000, 2000).estimate(150)), (150, 100));
        assert_eq!(scale(1100, 2000).tokens(1000), 800);
        assert_eq!(scale(2000, 10).tokens(10), 40);
        // Ten tokens for a long request: the count is of something else.
        for unscaled in [scale(10, 2000), scale(10, 0), TokenScale::of("m", None)] {
            assert_eq!((unscaled.tokens(3000), unscaled.is_counted), (4002, false));
        }
        let other = Count { model: "n".into(), counted: 3000, estimated: 2000 };
        assert!(!TokenScale::of("m", Some(&other)).is_counted);
    }
}
