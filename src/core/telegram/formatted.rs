//! Text with entities, as the Bot API takes it: offsets and lengths are in UTF-16 code units.
//! Source of the rules: <https://core.telegram.org/bots/api#messageentity>.

use serde::{Deserialize, Serialize};

/// The most UTF-16 code units of a message.
pub const MAX_UNITS: usize = 4096;
/// The most entities of a message; Telegram ignores further ones.
pub const MAX_ENTITIES: usize = 100;

/// Text with its formatting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormattedText {
    /// The text.
    pub text: String,
    /// Its entities, by offset; of two at one offset, the longer one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<TextEntity>,
}

/// A formatted range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextEntity {
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: EntityKind,
    /// Its beginning, in UTF-16 code units.
    pub offset: usize,
    /// Its length, in UTF-16 code units.
    pub length: usize,
    /// The destination of a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The language of a block of code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// The kinds of entities that claw sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    /// Bold.
    Bold,
    /// Italic.
    Italic,
    /// Struck through.
    Strikethrough,
    /// Code within a line.
    Code,
    /// A block of code.
    Pre,
    /// A link with a text of its own.
    TextLink,
    /// A quotation.
    Blockquote,
}

impl FormattedText {
    /// The same behind a line of plain text.
    #[must_use]
    pub fn behind(mut self, line: &str) -> Self {
        let added = units(line) + 1;
        self.entities.iter_mut().for_each(|entity| entity.offset += added);
        self.text = format!("{line}\n{}", self.text);
        self
    }
}

impl TextEntity {
    /// Its end, in UTF-16 code units.
    #[must_use]
    pub fn end(&self) -> usize {
        self.offset + self.length
    }
}

/// The length of a text in UTF-16 code units.
#[must_use]
pub fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The part of `text` with this offset and length in UTF-16 code units; `None` if it is outside or splits a character.
#[must_use]
pub fn slice(text: &str, offset: usize, length: usize) -> Option<&str> {
    let end = offset.checked_add(length)?;
    let (mut begin, mut at) = (None, 0);
    for (byte, c) in text.char_indices() {
        if at == offset {
            begin = Some(byte);
        }
        if at == end {
            return text.get(begin?..byte);
        }
        at += c.len_utf16();
    }
    let begin = if at == offset { text.len() } else { begin? };
    (at == end).then(|| text.get(begin..))?
}

/// A text under construction.
#[derive(Debug, Default)]
pub struct FormattedWriter {
    text: String,
    units: usize,
    entities: Vec<TextEntity>,
}

impl FormattedWriter {
    /// Appends text. Characters that Telegram removes or replaces are left out: control characters but line breaks and
    /// tabs, and those that separate lines or change the direction of text.
    pub fn push(&mut self, text: &str) {
        for c in text.chars().filter(|c| is_sent(*c)) {
            self.text.push(c);
            self.units += c.len_utf16();
        }
    }

    /// The length so far, in UTF-16 code units.
    #[must_use]
    pub fn units(&self) -> usize {
        self.units
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Formats everything since `begin`; an empty range gets no entity.
    pub fn format(&mut self, kind: EntityKind, begin: usize, url: Option<&str>, language: Option<&str>) {
        if self.units > begin {
            self.entities.push(TextEntity {
                kind,
                offset: begin,
                length: self.units - begin,
                url: url.map(ToOwned::to_owned),
                language: language.map(ToOwned::to_owned),
            });
        }
    }

    /// Makes a link of everything since `begin`, if there is a destination.
    pub fn format_link(&mut self, begin: usize, url: Option<&str>) {
        if url.is_some() {
            self.format(EntityKind::TextLink, begin, url, None);
        }
    }

    /// The text.
    #[must_use]
    pub fn finish(mut self) -> FormattedText {
        // Of two with the same range, a quotation is outside and code is inside.
        let depth = |kind: EntityKind| match kind {
            EntityKind::Blockquote => 0,
            EntityKind::Code | EntityKind::Pre => 2,
            _ => 1,
        };
        self.entities.sort_by_key(|entity| (entity.offset, std::cmp::Reverse(entity.length), depth(entity.kind)));
        FormattedText { text: self.text, entities: self.entities }
    }
}

/// Whether Telegram sends a character unchanged.
#[must_use]
pub fn is_sent(c: char) -> bool {
    matches!(c, '\n' | '\t') || !c.is_control() && !matches!(c, '\u{2028}'..='\u{202e}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_counted_in_utf16_units() {
        let text = "a🥒b猫";
        assert_eq!((units(text), slice(text, 1, 2), slice(text, 3, 2)), (5, Some("🥒"), Some("b猫")));
        assert_eq!((slice(text, 5, 0), slice(text, 0, 5)), (Some(""), Some(text)));
        assert_eq!((slice(text, 2, 1), slice(text, 1, 1), slice(text, 4, 2)), (None, None, None));
        assert_eq!(slice(text, usize::MAX, 2), None);
    }

    #[test]
    fn entities_are_sorted_and_skip_characters_that_are_not_sent() {
        let mut writer = FormattedWriter::default();
        let begin = writer.units();
        writer.push("\0a\u{202e}");
        let inner = writer.units();
        writer.push("🥒");
        writer.format(EntityKind::Italic, inner, None, None);
        writer.format(EntityKind::Bold, begin, None, None);
        writer.format(EntityKind::Bold, writer.units(), None, None);
        let written = writer.finish();
        assert_eq!(written.text, "a🥒");
        let ranges = written.entities.iter().map(|e| (e.kind, e.offset, e.length));
        assert_eq!(ranges.collect::<Vec<_>>(), [(EntityKind::Bold, 0, 3), (EntityKind::Italic, 1, 2)]);
    }
}
