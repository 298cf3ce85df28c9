//! Texts that never become notes: answers without content, results of searches, summaries of conversations.

use crate::core::event::scheduled;
use crate::core::session::compaction;
use regex::Regex;
use std::sync::LazyLock;

/// A line of a search in the notes, and the fence around text from outside.
static RECALLED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?m)^\s*(?:[-*]\s+)?memories/[^\n:]+:\d+(?: \[[^\n]*\])?(?: \(\d{4}-\d\d-\d\d\))?:|^</?data-[0-9a-z]{6,}",
    )
    .ok()
});

/// Why a text is not noted; `None` if it may be.
#[must_use]
pub fn reason(text: &str) -> Option<&'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Some("there is nothing to remember: text is empty");
    }
    if scheduled::is_quiet(text.trim_end_matches('.')) {
        return Some("an answer without content is not a fact");
    }
    if text.contains(compaction::HEAD) {
        return Some("a summary of a conversation is not a fact");
    }
    RECALLED.as_ref()?.is_match(text).then_some("it is the result of a search in the notes, which have it already")
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn recalled_text_and_empty_answers_are_no_facts() {
        for text in [
            "",
            " \n",
            "HEARTBEAT_OK",
            "NO_REPLY",
            " NO_REPLY. ",
            "memories/topics/nas.md:3: the NAS is 10.0.0.7",
            "I know:\n- memories/topics/nas.md:3 [House > NAS] (2026-11-21): it is 10.0.0.7",
            "<data-k7f3q9k7f3q9 from=\"web:a.org\">\nx",
            "[The older part of this conversation, in short. It is not a new message.]\n\nx",
        ] {
            assert!(reason(text).is_some(), "{text:?}");
        }
        for text in [
            "the NAS is 10.0.0.7",
            "see memories/topics/nas.md for the NAS",
            "a < b",
            "NO_REPLY is an answer of agents that ends a run",
        ] {
            assert_eq!(reason(text), None, "{text:?}");
        }
    }
}
