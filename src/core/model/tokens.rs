//! How many tokens a text is about. Only its provider knows; until it has said, this is near enough to
//! compare with: four letters of a script with an alphabet, or one character of the wide scripts. What a
//! provider has counted once corrects the estimate from then on.

use crate::core::model::{Call, Message, ToolSpec};
use serde::{Deserialize, Serialize};

/// What a message costs besides its text: its role, and what holds it together.
const FRAME: usize = 4;
/// Thousandths by which an estimate is corrected that nobody has counted: dense text has three letters a token.
const UNKNOWN: u64 = 1334;

/// The estimate, rounded up.
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

/// The beginning of `text` that is at most `tokens` by the estimate.
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

/// A message's estimate.
#[must_use]
pub fn message(message: &Message) -> usize {
    let calls: &[Call] = match message {
        Message::Assistant { calls, .. } => calls,
        _ => &[],
    };
    let call = |call: &Call| 2 * FRAME + estimate(&call.name) + estimate(&call.arguments.to_string());
    FRAME + estimate(message.content()) + calls.iter().map(call).sum::<usize>()
}

/// The estimate of a conversation.
#[must_use]
pub fn messages(messages: &[Message]) -> usize {
    messages.iter().map(message).sum()
}

/// The estimate of what every request begins with: the prompt, and what may be called.
#[must_use]
pub fn fixed<'a>(system: &str, tools: impl IntoIterator<Item = &'a ToolSpec>) -> usize {
    let tool = |tool: &ToolSpec| {
        2 * FRAME + estimate(&tool.name) + estimate(&tool.description) + estimate(&tool.parameters.to_string())
    };
    FRAME + estimate(system) + tools.into_iter().map(tool).sum::<usize>()
}

/// What a provider has counted of a request, beside what we had estimated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The model.
    pub model: String,
    /// Tokens read, by its own count.
    pub counted: u64,
    /// Tokens of the same request, by ours.
    pub estimated: u64,
}

impl Count {
    /// By how many thousandths our estimates are to be corrected. A count that cannot be of the whole request
    /// (some servers leave out what they have read before) is none.
    fn correction(&self) -> Option<u64> {
        let thousandths = (self.counted * 1000).checked_div(self.estimated)?;
        (thousandths >= 500).then(|| thousandths.clamp(800, 4000))
    }
}

/// How estimates become a model's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenScale {
    thousandths: u64,
    /// The model has counted in this conversation.
    pub is_counted: bool,
}

impl TokenScale {
    /// For `model`, by the last count in the conversation; on the safe side where there is none.
    #[must_use]
    pub fn of(model: &str, count: Option<&Count>) -> Self {
        let correction = count.filter(|count| count.model == model).and_then(Count::correction);
        Self { thousandths: correction.unwrap_or(UNKNOWN), is_counted: correction.is_some() }
    }

    /// The tokens of an estimate, rounded up.
    #[must_use]
    pub fn tokens(self, estimated: usize) -> u64 {
        (estimated as u64).saturating_mul(self.thousandths).div_ceil(1000)
    }

    /// The largest estimate that is not over so many tokens.
    #[must_use]
    pub fn estimate(self, tokens: u64) -> usize {
        usize::try_from(tokens.saturating_mul(1000) / self.thousandths).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_grows_with_the_text_and_knows_scripts() {
        assert_eq!(estimate(""), 0);
        assert_eq!(estimate("word"), 1);
        assert_eq!(estimate("words"), 2);
        assert_eq!(estimate("слово"), 3);
        assert_eq!(estimate("名前"), 2);
    }

    #[test]
    fn what_is_cut_is_within_the_estimate() {
        assert_eq!(cut("four words of text", 1), "four");
        assert_eq!(cut("名前と住所", 2), "名前");
        assert_eq!(cut("слово", 9), "слово");
        assert_eq!(cut("x", 0), "");
    }

    #[test]
    fn a_count_corrects_the_estimate_of_its_own_model_if_it_can_be_true() {
        let gauge = |counted, estimated| {
            let count = Count { model: "m".into(), counted, estimated };
            TokenScale::of("m", Some(&count))
        };
        assert_eq!((gauge(3000, 2000).tokens(100), gauge(3000, 2000).estimate(150)), (150, 100));
        assert_eq!(gauge(1100, 2000).tokens(1000), 800);
        assert_eq!(gauge(2000, 10).tokens(10), 40);
        // Ten tokens of a long request: it has counted something else.
        for none in [gauge(10, 2000), gauge(10, 0), TokenScale::of("m", None)] {
            assert_eq!((none.tokens(3000), none.is_counted), (4002, false));
        }
        let other = Count { model: "n".into(), counted: 3000, estimated: 2000 };
        assert!(!TokenScale::of("m", Some(&other)).is_counted);
    }
}
