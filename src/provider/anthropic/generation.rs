//! The features of a model, by the version in its name: `claude-3-7-sonnet-20250219`, `claude-opus-4-7`.

/// Major and minor version; 0.0 if the name has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(u32, u32);

impl Generation {
    pub(super) fn of(model: &str) -> Self {
        // A longer number is a date.
        let numbers = model.split(|c: char| !c.is_ascii_digit()).filter(|part| (1..=2).contains(&part.len()));
        let mut numbers = numbers.filter_map(|part| part.parse().ok());
        Self(numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
    }

    /// Adaptive thinking: the model decides how long it thinks, guided by an effort.
    pub(super) fn is_adaptive(self) -> bool {
        self >= Self(4, 6)
    }

    /// The model refuses a thinking budget in tokens, and a temperature.
    pub(super) fn refuses_sampling_settings(self) -> bool {
        self >= Self(4, 7)
    }

    /// The model can think. An unknown version is assumed to; the server decides.
    pub(super) fn can_think(self) -> bool {
        self >= Self(3, 7) || self == Self(0, 0)
    }

    /// The default of `max_tokens`: the service requires a number, and refuses one above the model's maximum.
    pub(super) fn longest_answer(self) -> u32 {
        match self {
            Self(0, _) | Self(3, 5 | 6) => 8192,
            Self(1..=3, 0..=4) => 4096,
            _ => 16_384,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Generation;

    #[test]
    fn version_is_read_from_the_name() {
        let cases = [
            ("claude-3-haiku-20240307", Generation(3, 0)),
            ("claude-3-7-sonnet-20250219", Generation(3, 7)),
            ("claude-opus-4-20250514", Generation(4, 0)),
            ("claude-sonnet-4-5-20250929", Generation(4, 5)),
            ("anthropic/claude-opus-4.7", Generation(4, 7)),
            ("claude-sonnet-5", Generation(5, 0)),
            ("m", Generation(0, 0)),
        ];
        for (name, generation) in cases {
            assert_eq!(Generation::of(name), generation, "{name}");
        }
        let longest = |name| Generation::of(name).longest_answer();
        assert_eq!(
            ["m", "claude-3-5-haiku-latest", "claude-3-opus-20240229", "claude-sonnet-5"].map(longest),
            [8192, 8192, 4096, 16_384]
        );
    }
}
