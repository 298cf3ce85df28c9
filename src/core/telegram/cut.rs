//! Cuts a formatted text into messages: at paragraphs, else at lines, else at spaces, and never inside a grapheme
//! cluster. A block of code that fits into one message is not cut; a longer one is cut at lines, and each piece is a
//! block of code. Only white space around a cut is left out.

use crate::core::telegram::formatted::{EntityKind, FormattedText, MAX_ENTITIES, TextEntity};
use unicode_segmentation::UnicodeSegmentation;

/// A cut is made at the best place in the last part of a message: at least 1/`LEAST` of it is used.
const LEAST: usize = 4;

/// The messages of a text, each with at most `max_units` UTF-16 code units. A text of nothing but white space has none.
#[must_use]
pub fn cut(whole: &FormattedText, max_units: usize) -> Vec<FormattedText> {
    let places = Places::of(whole, max_units);
    let (mut parts, mut from) = (Vec::new(), 0);
    loop {
        from = places.without_leading_space(from);
        if from >= places.last() {
            return parts;
        }
        let to = places.end_of_part(from, max_units);
        let part = places.part(from, places.without_trailing_space(from, to));
        parts.extend(Some(part).filter(|part| !part.text.trim().is_empty()));
        from = to;
    }
}

/// A place where a text may be cut: the beginning of a grapheme cluster, in bytes and in UTF-16 code units.
#[derive(Clone, Copy)]
struct CutPlace {
    byte: usize,
    unit: usize,
}

struct Places<'a> {
    whole: &'a FormattedText,
    /// All places, and the end of the text.
    all: Vec<CutPlace>,
}

impl<'a> Places<'a> {
    fn of(whole: &'a FormattedText, max_units: usize) -> Self {
        let mut all = vec![CutPlace { byte: 0, unit: 0 }];
        let mut unit = 0;
        for (byte, cluster) in whole.text.grapheme_indices(true) {
            let length: usize = cluster.chars().map(char::len_utf16).sum();
            if length > max_units {
                // No message can hold this cluster.
                for (inner, c) in cluster.char_indices() {
                    unit += c.len_utf16();
                    all.push(CutPlace { byte: byte + inner + c.len_utf8(), unit });
                }
            } else {
                unit += length;
                all.push(CutPlace { byte: byte + cluster.len(), unit });
            }
        }
        Self { whole, all }
    }

    fn last(&self) -> usize {
        self.all.len() - 1
    }

    /// The text of the cluster at a place.
    fn at(&self, place: usize) -> &str {
        &self.whole.text[self.all[place].byte..self.all[place + 1].byte]
    }

    /// The block of code that has clusters on both sides of a place.
    fn code(&self, place: usize) -> Option<&TextEntity> {
        let unit = self.all[place].unit;
        let mut code = self.whole.entities.iter().filter(|entity| entity.kind == EntityKind::Pre);
        code.find(|entity| entity.offset < unit && unit < entity.end())
    }

    /// Whether the cluster at a place is in a block of code; the indentation of code is not white space to leave out.
    fn is_code(&self, place: usize) -> bool {
        let unit = self.all[place].unit;
        let mut code = self.whole.entities.iter().filter(|entity| entity.kind == EntityKind::Pre);
        code.any(|entity| entity.offset <= unit && unit < entity.end())
    }

    fn is_space(&self, place: usize) -> bool {
        let cluster = self.at(place);
        if self.is_code(place) { cluster == "\n" } else { cluster.chars().all(char::is_whitespace) }
    }

    fn without_leading_space(&self, mut from: usize) -> usize {
        while from < self.last() && self.is_space(from) {
            from += 1;
        }
        from
    }

    fn without_trailing_space(&self, from: usize, mut to: usize) -> usize {
        while to > from && self.is_space(to - 1) {
            to -= 1;
        }
        to
    }

    /// The end of a message that begins at `from`; it is after `from`.
    fn end_of_part(&self, from: usize, max_units: usize) -> usize {
        let farthest = self.farthest(from, max_units);
        if farthest == self.last() {
            return farthest;
        }
        let begin = self.all[from].unit;
        if let Some(code) = self.code(farthest).filter(|code| code.length <= max_units && code.offset > begin) {
            // The block of code begins the next message.
            if let Ok(before) = self.all.binary_search_by_key(&code.offset, |place| place.unit)
                && self.without_trailing_space(from, before) > from
            {
                return before;
            }
        }
        let least = begin + (self.all[farthest].unit - begin) / LEAST;
        let candidates = || (from + 1..=farthest).rev().take_while(|place| self.all[*place].unit >= least);
        let ends_line = |place: usize| self.at(place - 1) == "\n";
        let is_paragraph = |place: &usize| ends_line(*place) && *place > from + 1 && ends_line(*place - 1);
        let paragraph = candidates().find(|place| is_paragraph(place) && self.code(*place).is_none());
        let line = || candidates().find(|place| ends_line(*place) || self.at(*place) == "\n");
        let space = || {
            let is_blank = |place: usize| self.at(place).chars().all(char::is_whitespace);
            candidates().find(|place| is_blank(*place) || is_blank(*place - 1))
        };
        paragraph.or_else(line).or_else(space).unwrap_or(farthest)
    }

    /// The last place that the limits of a message allow.
    fn farthest(&self, from: usize, max_units: usize) -> usize {
        let begin = self.all[from].unit;
        let by_length = self.all.partition_point(|place| place.unit <= begin + max_units) - 1;
        let entities = self.whole.entities.iter().filter(|entity| entity.end() > begin);
        let by_entities = entities.skip(MAX_ENTITIES).map(|entity| entity.offset).min();
        let by_entities =
            by_entities.map_or(usize::MAX, |unit| self.all.partition_point(|place| place.unit <= unit) - 1);
        by_length.min(by_entities).max(from + 1)
    }

    fn part(&self, from: usize, to: usize) -> FormattedText {
        let (begin, end) = (self.all[from], self.all[to]);
        let clipped = self.whole.entities.iter().filter_map(|entity| {
            let (offset, last) = (entity.offset.max(begin.unit), entity.end().min(end.unit));
            (offset < last).then(|| TextEntity { offset: offset - begin.unit, length: last - offset, ..entity.clone() })
        });
        let entities = clipped.take(MAX_ENTITIES).collect();
        FormattedText { text: self.whole.text[begin.byte..end.byte].to_owned(), entities }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::telegram::formatted::{MAX_UNITS, is_sent, slice, units};
    use crate::core::telegram::render::render;
    use proptest::prelude::*;

    fn visible(text: &str) -> String {
        text.chars().filter(|c| !c.is_whitespace() && is_sent(*c)).collect()
    }

    /// The rules of the Bot API for one message.
    fn refusals(part: &FormattedText, max: usize) -> Vec<String> {
        let mut wrong = Vec::new();
        if part.text.trim().is_empty() || units(&part.text) > max || part.entities.len() > MAX_ENTITIES {
            wrong.push(format!("{} units, {} entities", units(&part.text), part.entities.len()));
        }
        for entity in &part.entities {
            if entity.length == 0 || slice(&part.text, entity.offset, entity.length).is_none() {
                wrong.push(format!("{entity:?}"));
            }
        }
        for (number, one) in part.entities.iter().enumerate() {
            for two in &part.entities[number + 1..] {
                let is_apart = two.offset >= one.end() || two.end() <= one.offset;
                let is_inside = two.offset >= one.offset && two.end() <= one.end();
                let is_code = |e: &TextEntity| matches!(e.kind, EntityKind::Code | EntityKind::Pre);
                if !is_apart && (!is_inside || is_code(one)) {
                    wrong.push(format!("{one:?} with {two:?}"));
                }
            }
        }
        wrong
    }

    fn check(text: &str, max: usize) {
        let whole = render(text);
        let parts = cut(&whole, max);
        for part in &parts {
            assert_eq!(refusals(part, max), [""; 0], "{text:?} {part:?}");
        }
        let joined: String = parts.iter().map(|part| visible(&part.text)).collect();
        assert_eq!(joined, visible(&whole.text), "{text:?}");
    }

    #[test]
    fn text_is_cut_at_paragraphs() {
        let text = format!("{}\n\n{}\n\n{}", "a".repeat(60), "b".repeat(30), "c".repeat(20));
        let parts: Vec<String> = cut(&render(&text), 100).into_iter().map(|part| part.text).collect();
        assert_eq!(parts, [format!("{}\n\n{}", "a".repeat(60), "b".repeat(30)), "c".repeat(20)]);
    }

    #[test]
    fn code_is_kept_whole_or_reopened_in_each_message() {
        let text = format!("{}\n\n```sh\n{}```\n", "a ".repeat(30), "  echo\n".repeat(8));
        let parts = cut(&render(&text), 100);
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[1].text.as_str(), parts[1].entities.len()), (&"  echo\n".repeat(8)[..55], 1));
        let parts = cut(&render(&format!("```sh\n{}```\n", "  echo\n".repeat(30))), 100);
        assert_eq!(parts.len(), 3);
        for part in parts {
            assert!(part.text.starts_with("  echo") && part.text.ends_with("echo"), "{part:?}");
            let [code] = &part.entities[..] else { panic!("{part:?}") };
            assert_eq!((code.language.as_deref(), code.length), (Some("sh"), units(&part.text)));
        }
    }

    #[test]
    fn no_grapheme_cluster_is_cut() {
        let family = "👩\u{200d}👩\u{200d}👧\u{200d}👦";
        let parts = cut(&render(&family.repeat(40)), 100);
        assert!(parts.len() > 1 && parts.iter().all(|part| part.text.len() % family.len() == 0), "{parts:?}");
        let endless = format!("e{}", "\u{301}".repeat(500));
        check(&endless, 100);
    }

    #[test]
    fn entities_are_limited_and_the_rest_follows() {
        let text: String = (0..250).map(|n| format!("**{n}** ")).collect();
        let parts = cut(&render(&text), MAX_UNITS);
        assert_eq!(parts.iter().map(|part| part.entities.len()).collect::<Vec<_>>(), [100, 100, 50]);
        check(&text, MAX_UNITS);
    }

    #[test]
    fn examples_of_commonmark_are_not_refused() {
        let fixture = include_str!("../../../tests/fixtures/commonmark-0.31.2.json");
        let fixture: serde_json::Value = serde_json::from_str(fixture).unwrap();
        let examples: Vec<&str> = fixture["examples"].as_array().unwrap().iter().filter_map(|e| e.as_str()).collect();
        assert_eq!(examples.len(), 652);
        for text in &examples {
            check(text, MAX_UNITS);
            check(text, 24);
        }
        check(&examples.join("\n"), MAX_UNITS);
    }

    /// 10,000 texts in the full proof.
    fn cases() -> ProptestConfig {
        let is_full = std::env::var("CLAW_PROOF").is_ok_and(|value| value == "full");
        ProptestConfig {
            cases: if is_full { 10_000 } else { 200 },
            failure_persistence: None,
            ..ProptestConfig::default()
        }
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn generated_texts_are_not_refused_and_stay_as_they_are(
            pieces in prop::collection::vec(prop_oneof![
                Just("\n\n"), Just("\n"), Just("```\n"), Just("**"), Just("*"), Just("`"), Just("> "), Just("- "),
                Just("1. "), Just("[a](https://b.c)"), Just("| a | b |\n|---|---|\n"), Just("    "), Just("~~"),
                Just("👩\u{200d}👧"), Just("e\u{301}"), Just("# "), Just("<b>"), Just("猫"), Just("word "), Just("\\"),
                Just("\u{202e}"), Just("\0"), Just("---\n"), Just("🥒🥒🥒🥒🥒🥒🥒🥒🥒🥒"),
            ], 0..80),
            max in 24_usize..120,
        ) {
            let text: String = pieces.concat();
            check(&text, max);
            check(&text.repeat(40), MAX_UNITS);
        }
    }
}
