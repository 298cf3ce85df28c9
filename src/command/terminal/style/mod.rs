//! The looks of output on a terminal: colours, width, tables, Markdown, and the line that shows what is going on. Output
//! that goes into a pipe or a file has none of it.

pub(in crate::command) mod live;
pub(in crate::command) mod markdown;
pub(in crate::command) mod spinner;
pub(in crate::command) mod table;

use crate::command::terminal::out;
use crate::world::World;
use std::sync::OnceLock;
use unicode_width::UnicodeWidthStr;

/// The narrowest width that is laid out; a narrower terminal wraps lines itself.
const NARROWEST: usize = 10;

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb
    #[default]
    Auto,
    /// Into pipes and files, too
    Always,
    /// Nowhere
    Never,
}

static CHOICE: OnceLock<ColorChoice> = OnceLock::new();

/// Sets the choice for this process; the first call counts.
pub fn choose(choice: ColorChoice) {
    let _ = CHOICE.set(choice);
}

/// Whether escape sequences for colours go to a stream that is a terminal or not.
#[must_use]
pub(crate) fn has_colour(world: &World, is_terminal: bool) -> bool {
    match CHOICE.get().copied().unwrap_or_default() {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => is_terminal && world.var("NO_COLOR").is_none() && is_capable(world),
    }
}

/// Whether the terminal understands escape sequences: `TERM` is set, and is not `dumb`.
#[must_use]
pub(crate) fn is_capable(world: &World) -> bool {
    world.var("TERM").is_some_and(|term| term != "dumb")
}

/// Whether the terminal shows characters beyond ASCII, by its locale.
#[must_use]
pub(crate) fn is_unicode(world: &World) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| world.var(name)).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// The width of the terminal of stdout, in columns; `None` if stdout is none.
#[must_use]
pub(crate) fn width(world: &World) -> Option<usize> {
    if !out::is_terminal() {
        return None;
    }
    let named = world.var("COLUMNS").and_then(|columns| columns.parse().ok());
    Some(named.or_else(out::terminal_width).unwrap_or(80).max(NARROWEST))
}

/// The columns that a text takes: wide characters take two, combining ones none.
#[must_use]
pub(crate) fn columns(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The text in lines of at most `width` columns, broken between words. A longer word has a line of its own.
#[must_use]
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split([' ', '\n', '\t']).filter(|word| !word.is_empty()) {
        let last = lines.len() - 1;
        if lines[last].is_empty() {
            lines[last].push_str(word);
        } else if columns(&lines[last]) + 1 + columns(word) <= width {
            lines[last].push(' ');
            lines[last].push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole() {
        assert_eq!(wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a incomprehensibilities b", 5), ["a", "incomprehensibilities", "b"]);
        assert_eq!(wrapped("日本 語語 x", 5), ["日本", "語語", "x"]);
        assert_eq!(wrapped("e\u{301}e\u{301} e\u{301}", 4), ["e\u{301}e\u{301} e\u{301}"]);
        assert_eq!(wrapped("", 5), [""]);
    }
}
