//! The families of Anthropic's models: how they think, and how long an answer may be. Rows apply to the maker's own
//! names only; a gateway's dot in a version is read as a hyphen. Source: platform.claude.com/docs, models overview and
//! extended thinking, read 2026-12-01.

/// How a family thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinks {
    /// It does not.
    Never,
    /// With a budget in tokens, if the request says so.
    Budget,
    /// With a budget, or adaptively: the model decides how long, guided by an effort.
    Either,
    /// Adaptively, if the request says so. Budgets and sampling settings are refused.
    Adaptive,
    /// Adaptively, unless the request switches it off. Budgets and sampling settings are refused.
    ByDefault,
    /// Adaptively, always; switching it off is refused, as are budgets and sampling settings.
    Always,
}

/// A family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    /// Parts of names behind `claude-`.
    names: &'static [&'static str],
    pub(super) thinks: Thinks,
    /// The largest `max_tokens` that the service accepts.
    pub(super) most: u32,
    /// The service binds its answers to a JSON Schema (platform.claude.com/docs, structured outputs).
    pub(super) has_schemas: bool,
}

const fn row(names: &'static [&'static str], thinks: Thinks, most: u32, has_schemas: bool) -> Family {
    Family { names, thinks, most, has_schemas }
}

/// The first row whose name begins the rest of a model's name applies.
const FAMILIES: &[Family] = &[
    row(&["3-5-"], Thinks::Never, 8192, false),
    row(&["3-7-"], Thinks::Budget, 64_000, false),
    row(&["3-", "2", "instant"], Thinks::Never, 4096, false),
    row(&["opus-4-5"], Thinks::Budget, 64_000, true),
    row(&["opus-4-6", "sonnet-4-6"], Thinks::Either, 64_000, true),
    row(&["opus-4-7", "opus-4-8"], Thinks::Adaptive, 128_000, true),
    row(&["opus-4"], Thinks::Budget, 32_000, false),
    row(&["sonnet-4-5", "haiku-4-5"], Thinks::Budget, 64_000, true),
    row(&["sonnet-4", "haiku-4"], Thinks::Budget, 64_000, false),
    row(&["fable", "mythos", "opus-5-5"], Thinks::Always, 128_000, true),
    row(&["opus", "sonnet", "haiku", ""], Thinks::ByDefault, 128_000, true),
];

/// Models of other makers behind this interface.
const FOREIGN: Family = row(&[], Thinks::Budget, 8192, false);
/// The longest answer without `max_tokens`, where the family allows as much.
const ANSWER: u32 = 16_384;

impl Family {
    pub(super) fn of(model: &str) -> Self {
        let name = model.to_ascii_lowercase().replace('.', "-");
        let Some((_, rest)) = name.split_once("claude-") else { return FOREIGN };
        let fits = |family: &&Self| family.names.iter().any(|part| rest.starts_with(part));
        FAMILIES.iter().find(fits).copied().unwrap_or(FOREIGN)
    }

    /// Whether it is a model of another maker.
    pub(super) fn is_foreign(self) -> bool {
        self.names.is_empty()
    }

    /// Whether the service refuses a temperature.
    pub(super) fn refuses_sampling_settings(self) -> bool {
        matches!(self.thinks, Thinks::Adaptive | Thinks::ByDefault | Thinks::Always)
    }

    /// The default of `max_tokens`, which the service requires.
    pub(super) fn longest_answer(self) -> u32 {
        self.most.min(ANSWER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_is_read_from_the_makers_own_names() {
        let cases = [
            ("claude-3-haiku-20240307", Thinks::Never, 4096),
            ("claude-3-5-haiku-latest", Thinks::Never, 8192),
            ("claude-3-7-sonnet-20250219", Thinks::Budget, 64_000),
            ("claude-opus-4-20250514", Thinks::Budget, 32_000),
            ("claude-opus-4-1", Thinks::Budget, 32_000),
            ("claude-sonnet-4-5-20250929", Thinks::Budget, 64_000),
            ("anthropic/claude-opus-4.7", Thinks::Adaptive, 128_000),
            ("anthropic.claude-opus-4-6-v1:0", Thinks::Either, 64_000),
            ("claude-sonnet-5", Thinks::ByDefault, 128_000),
            ("claude-opus-5", Thinks::ByDefault, 128_000),
            ("claude-opus-5-5", Thinks::Always, 128_000),
            ("claude-fable-5-1", Thinks::Always, 128_000),
            ("claude-x", Thinks::ByDefault, 128_000),
            ("deepseek-v5.1", Thinks::Budget, 8192),
            ("m", Thinks::Budget, 8192),
        ];
        for (name, thinks, most) in cases {
            let family = Family::of(name);
            assert_eq!((family.thinks, family.most), (thinks, most), "{name}");
        }
        let bound = |name: &str| Family::of(name).has_schemas;
        assert!(["claude-sonnet-4-5", "claude-opus-4.6", "claude-fable-5", "claude-opus-5"].into_iter().all(bound));
        assert!(
            !["claude-sonnet-4-20250514", "claude-opus-4-1", "claude-3-7-sonnet-latest", "m"].into_iter().any(bound)
        );
        assert_eq!(
            ["m", "claude-3-opus-20240229", "claude-sonnet-5"].map(|m| Family::of(m).longest_answer()),
            [8192, 4096, ANSWER]
        );
    }
}
