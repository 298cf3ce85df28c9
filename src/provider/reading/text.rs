//! The text of an answer as it arrives. Some models begin their text with a thought between `<think>` and `</think>`:
//! that is no part of the text. The same words later in the text are text. Halves of characters that a server has
//! split are joined.

use crate::core::json::surrogates;

const BEGIN: &str = "<think>";
const END: &str = "</think>";

/// The position in a text that may begin with a thought.
#[derive(Debug, Default, PartialEq, Eq)]
enum Position {
    /// Only white space has arrived, and perhaps a part of the first tag.
    #[default]
    Start,
    /// Within the thought.
    Thought,
    /// After the thought: white space that separates it from the text is dropped.
    Between,
    /// In the text.
    Text,
}

/// Splits a text into its thought and the rest.
#[derive(Debug, Default)]
pub(super) struct TextReader {
    position: Position,
    /// The end of what has arrived, which may be a part of a tag or of a character.
    held: String,
    /// The thought.
    pub(super) thought: String,
}

impl TextReader {
    /// Takes a piece, and returns the text that is known by now.
    pub(super) fn push(&mut self, piece: &str) -> String {
        self.held += piece;
        let (whole, open) = surrogates::split_open(&self.held);
        let (whole, open) = (surrogates::resolve(whole).into_owned(), open.to_owned());
        self.held = open;
        self.take(&whole)
    }

    /// The text that was held back when the answer has ended.
    pub(super) fn end(&mut self) -> String {
        let held = surrogates::resolve(&std::mem::take(&mut self.held)).into_owned();
        match self.position {
            Position::Thought => {
                self.thought += &held;
                String::new()
            }
            Position::Between => held.trim_start().to_owned(),
            Position::Start | Position::Text => held,
        }
    }

    fn take(&mut self, text: &str) -> String {
        match self.position {
            Position::Text => text.to_owned(),
            Position::Between => {
                let rest = text.trim_start();
                if !rest.is_empty() {
                    self.position = Position::Text;
                }
                rest.to_owned()
            }
            Position::Start => {
                let begun = text.trim_start();
                if let Some(thought) = begun.strip_prefix(BEGIN) {
                    self.position = Position::Thought;
                    return self.take(thought);
                }
                if BEGIN.starts_with(begun) {
                    self.held.insert_str(0, text);
                    return String::new();
                }
                self.position = Position::Text;
                text.to_owned()
            }
            Position::Thought => {
                if let Some((thought, rest)) = text.split_once(END) {
                    self.thought += thought;
                    self.position = Position::Between;
                    return self.take(rest);
                }
                let held = (1..END.len()).rev().find(|length| text.ends_with(&END[..*length])).unwrap_or_default();
                let (thought, part) = text.split_at(text.len() - held);
                self.thought += thought;
                self.held.insert_str(0, part);
                String::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The text and the thought of an answer that arrives in pieces of `size` characters.
    fn read(answer: &str, size: usize) -> (String, String) {
        let mut reader = TextReader::default();
        let chars: Vec<char> = answer.chars().collect();
        let mut text: String = chars.chunks(size).map(|piece| reader.push(&piece.iter().collect::<String>())).collect();
        text += &reader.end();
        (text, reader.thought)
    }

    #[test]
    fn thought_at_the_start_is_no_text_and_later_tags_are() {
        let cases = [
            ("<think>\nhm </thi</think>\n\nHello.", "Hello.", "\nhm </thi"),
            ("  <think></think>Hi", "Hi", ""),
            ("<think>never ends", "", "never ends"),
            ("<think>a</think> \n", "", "a"),
            ("<thin", "<thin", ""),
            (" <thinks>", " <thinks>", ""),
            ("the tag <think>x</think>", "the tag <think>x</think>", ""),
            ("<think>a</think>b<think>c</think>", "b<think>c</think>", "a"),
            (" x", " x", ""),
        ];
        for (answer, text, thought) in cases {
            for size in 1..20 {
                assert_eq!(read(answer, size), (text.to_owned(), thought.to_owned()), "{answer} {size}");
            }
        }
    }

    #[test]
    fn split_character_is_joined() {
        let [first, second] = [0xd83d, 0xde00].map(|unit| surrogates::mark(unit).unwrap());
        let mut reader = TextReader::default();
        assert_eq!((reader.push(&format!("a{first}")), reader.push(&format!("{second}b"))), ("a".into(), "😀b".into()));
        assert_eq!((reader.push(&first), reader.end()), (String::new(), "\u{fffd}".into()));
    }

    proptest! {
        #[test]
        fn pieces_do_not_change_the_text(answer in "(<think>|</think>|<|>|t| |\n|é){0,12}", size in 1usize..9) {
            prop_assert_eq!(read(&answer, size), read(&answer, 9999));
        }
    }
}
