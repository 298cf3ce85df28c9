//! Markdown that arrives in pieces: the words of a plain paragraph are shown as they come, a line of code as soon as it
//! ends, and every other block once it is complete.

use super::markdown::{TerminalLook, code_line, render};

/// A renderer of one text.
#[derive(Debug)]
pub(crate) struct LiveMarkdown {
    look: TerminalLook,
    /// The last line, which has no end yet.
    partial: String,
    /// Complete lines of the present block.
    block: String,
    /// The fence of a block in `block`, or of one whose lines are shown as they come.
    fence: Option<Fence>,
    has_blank: bool,
    is_first: bool,
    /// The part of the present block that is shown.
    shown: String,
}

#[derive(Clone, Debug)]
struct Fence {
    mark: String,
    is_shown: bool,
}

impl LiveMarkdown {
    /// A renderer for this terminal.
    pub(crate) fn new(look: TerminalLook) -> Self {
        let (partial, block) = (String::new(), String::new());
        Self { look, partial, block, fence: None, has_blank: false, is_first: true, shown: String::new() }
    }

    /// Takes a piece of the text. Returns what can be shown now.
    pub(crate) fn push(&mut self, text: &str) -> String {
        let mut shown = String::new();
        self.partial.push_str(text);
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            shown += &self.line(line.trim_end_matches(['\n', '\r']));
        }
        shown + &self.words()
    }

    /// The words of a plain paragraph that are complete and not shown yet.
    fn words(&mut self) -> String {
        if self.fence.is_some() || self.has_blank {
            return String::new();
        }
        let text = self.block.clone() + &self.partial;
        let plain = render(plain_words(&text), self.look);
        let plain = plain.trim_end();
        match plain.strip_prefix(self.shown.as_str()) {
            Some(rest) if !rest.is_empty() => {
                let gap = if self.shown.is_empty() { self.gap() } else { "" };
                let rest = gap.to_owned() + rest;
                plain.clone_into(&mut self.shown);
                rest
            }
            _ => String::new(),
        }
    }

    /// The rest, at the end of the text.
    pub(crate) fn finish(&mut self) -> String {
        let last = std::mem::take(&mut self.partial);
        let mut shown = if last.is_empty() { String::new() } else { self.line(&last) };
        shown += &self.flush();
        self.fence = None;
        shown
    }

    /// Whether the last line that was shown has no end yet.
    pub(crate) fn is_open(&self) -> bool {
        !self.shown.is_empty()
    }

    fn line(&mut self, line: &str) -> String {
        let content = line.trim_start();
        if let Some(fence) = self.fence.clone() {
            let is_end = content.starts_with(&fence.mark) && content.trim_end().trim_matches(['`', '~']).is_empty();
            if is_end {
                self.fence = None;
            }
            if fence.is_shown {
                return if is_end { String::new() } else { code_line(line, self.look) + "\n" };
            }
            self.keep(line);
            return String::new();
        }
        if content.is_empty() {
            self.has_blank = true;
            self.keep(line);
            return String::new();
        }
        let is_inner = line.starts_with([' ', '\t']);
        let mut shown = if self.has_blank && !is_inner { self.flush() } else { String::new() };
        self.has_blank = false;
        if let Some(mark) = fence_mark(content) {
            if !is_inner {
                shown += &self.flush();
                shown += self.gap();
            }
            self.fence = Some(Fence { mark, is_shown: !is_inner });
            if !is_inner {
                return shown;
            }
        }
        self.keep(line);
        shown
    }

    fn keep(&mut self, line: &str) {
        self.block.push_str(line);
        self.block.push('\n');
    }

    fn flush(&mut self) -> String {
        let (block, before) = (std::mem::take(&mut self.block), std::mem::take(&mut self.shown));
        self.has_blank = false;
        let shown = render(&block, self.look);
        match shown.strip_prefix(before.as_str()) {
            Some(rest) if !before.is_empty() => rest.to_owned(),
            // It was no paragraph in the end.
            _ if !before.is_empty() => format!("\n{shown}"),
            _ if shown.is_empty() => shown,
            _ => self.gap().to_owned() + &shown,
        }
    }

    /// The empty line before a block that is not the first.
    fn gap(&mut self) -> &'static str {
        if std::mem::take(&mut self.is_first) { "" } else { "\n" }
    }
}

/// The beginning of a paragraph that is plain text up to the end of a word; empty for another block.
fn plain_words(text: &str) -> &str {
    if !text.starts_with(char::is_alphabetic) {
        return "";
    }
    let mut is_line_start = false;
    let markup = text.char_indices().find(|(_, c)| {
        let is_block = is_line_start && !c.is_alphabetic();
        is_line_start = *c == '\n';
        is_block || matches!(c, '*' | '_' | '`' | '[' | ']' | '<' | '&' | '\\' | '|' | '~' | '!' | '\t')
    });
    let plain = &text[..markup.map_or(text.len(), |(at, _)| at)];
    let end = plain.rfind([' ', '\n']).unwrap_or(0);
    &plain[..end]
}

/// The backquotes or tildes that open a block of code.
fn fence_mark(content: &str) -> Option<String> {
    let first = content.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let mark: String = content.chars().take_while(|c| *c == first).collect();
    (mark.len() >= 3 && !content[mark.len()..].contains('`')).then_some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: TerminalLook = TerminalLook { width: 40, has_colour: false, is_unicode: true };
    const TEXT: &str = "# T\n\nOne\nline of many words, so that it is wrapped, and *all* of them.\n\nTitle\n\n- a\n\n  b\n- c\n\n```sh\nls\n\npwd\n```\n\n1. x\n\n   ```\n   y\n   ```\n\nend";

    #[test]
    fn whole_and_split_text_look_the_same() {
        let whole = render(TEXT, LOOK);
        for size in 1..TEXT.len() {
            let mut live = LiveMarkdown::new(LOOK);
            let mut shown = String::new();
            for piece in TEXT.as_bytes().chunks(size) {
                shown += &live.push(std::str::from_utf8(piece).unwrap());
            }
            shown += &live.finish();
            assert_eq!(shown, whole, "pieces of {size}");
        }
    }

    #[test]
    fn block_is_shown_once_the_next_begins_and_code_line_by_line() {
        let mut live = LiveMarkdown::new(LOOK);
        assert_eq!(live.push("One para"), "One");
        assert!(live.is_open());
        assert_eq!(live.push("graph of **bo"), " paragraph of");
        assert_eq!(live.push("ld** words.\n\n"), "");
        assert_eq!(live.push("```\n"), " bold words.\n\n");
        assert_eq!(live.push("ls\npw"), "  ls\n");
        assert_eq!(live.push("d\n```\n"), "  pwd\n");
        assert_eq!(live.finish(), "");
    }
}
