//! What a model takes, by the version in its name: `claude-3-7-sonnet-20250219`, `claude-opus-4-7`.

/// Major and minor version; 0.0 where the name has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation(u32, u32);

impl Generation {
    pub(super) fn of(model: &str) -> Self {
        // Longer numbers are dates.
        let numbers = model.split(|c: char| !c.is_ascii_digit()).filter(|part| (1..=2).contains(&part.len()));
        let mut numbers = numbers.filter_map(|part| part.parse().ok());
        Self(numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
    }

    /// It decides itself how long it thinks, and is told how much effort is wanted.
    pub(super) fn is_adaptive(self) -> bool {
        self >= Self(4, 6)
    }

    /// It takes no number of tokens for its thoughts any more, and no temperature.
    pub(super) fn has_no_knobs(self) -> bool {
        self >= Self(4, 7)
    }

    /// It can think. What nobody knows is left to the server.
    pub(super) fn can_think(self) -> bool {
        self >= Self(3, 7) || self == Self(0, 0)
    }

    /// The longest answer where nobody has said how long it may be: the service wants a number, and refuses one
    /// that is over the model's own.
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
    fn the_version_is_in_the_name() {
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
