//! The guard against a file that is emptied by mistake. Words are compared, not sizes: a text of the same length that
//! keeps nothing of the old one has removed everything.

use crate::core::fault::{Fault, Result};
use std::collections::HashMap;

/// Files up to this size, in bytes, are not guarded.
const SMALL: usize = 200;
/// Longer words, in bytes, are compared by character: scripts without spaces have no shorter ones.
const LONG_WORD: usize = 40;

/// Refuses a change that removes more than half of a file. `new` is `None` if the file is removed.
///
/// # Errors
/// `Data`, with the argument that forces the change.
pub fn check(shown: &str, old: &[u8], new: Option<&[u8]>) -> Result<()> {
    if old.len() <= SMALL {
        return Ok(());
    }
    let Some(new) = new else {
        return Err(Fault::data(format!("{shown} has {} bytes, and would be removed; nothing was changed", old.len()))
            .hint("if that is intended, repeat it with \"shrink\": true"));
    };
    let (all, kept) = weights(old, new);
    if (all - kept) * 2 <= all {
        return Ok(());
    }
    let percent = (all - kept) * 100 / all.max(1);
    Err(Fault::data(format!("this removes {percent} % of {shown}; nothing was changed"))
        .hint("change a part with `edit`, or repeat it with \"shrink\": true if that is intended"))
}

/// The bytes of all words of `old`, and of those that `new` has too, each as often as it has them.
fn weights(old: &[u8], new: &[u8]) -> (usize, usize) {
    let mut left: HashMap<&[u8], usize> = HashMap::new();
    words(new, |word| *left.entry(word).or_default() += 1);
    let (mut all, mut kept) = (0, 0);
    words(old, |word| {
        all += word.len();
        if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            kept += word.len();
        }
    });
    (all, kept)
}

fn words<'t>(text: &'t [u8], mut each: impl FnMut(&'t [u8])) {
    for word in text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        if word.len() <= LONG_WORD {
            each(word);
            continue;
        }
        // A character begins at every byte that does not continue one.
        let mut rest = word;
        while !rest.is_empty() {
            let end = rest.iter().skip(1).position(|byte| byte & 0xc0 != 0x80).map_or(rest.len(), |at| at + 1);
            let (first, others) = rest.split_at(end);
            each(first);
            rest = others;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(old: &str, new: Option<&str>) -> bool {
        check("a.md", old.as_bytes(), new.map(str::as_bytes)).is_err()
    }

    #[test]
    fn more_than_half_of_a_file_is_not_removed_unasked() {
        let long: String = (0..60).map(|n| format!("fact{n:02}\n")).collect();
        let half: String = long.lines().take(30).map(|line| format!("{line}\n")).collect();
        let less: String = long.lines().take(29).map(|line| format!("{line}\n")).collect();
        assert!(is_refused(&long, Some("")) && is_refused(&long, None) && is_refused(&long, Some(&less)));
        assert!(!is_refused(&long, Some(&half)) && !is_refused(&long, Some(&long)));
        assert!(!is_refused(&long, Some(&format!("{long}{long}"))));
        // The same size, or longer, with other words.
        assert!(is_refused(&long, Some(&long.replace("fact", "junk"))));
        assert!(is_refused(&long, Some(&"x ".repeat(900))));
        // A file that is sorted, indented or wrapped keeps its words.
        let reversed: Vec<&str> = long.lines().rev().collect();
        assert!(!is_refused(&long, Some(&reversed.join(" "))));
    }

    #[test]
    fn only_files_over_200_bytes_are_guarded() {
        assert!(!is_refused(&"a ".repeat(100), None) && !is_refused(&"a ".repeat(100), Some("")));
        assert!(is_refused(&"a ".repeat(101), None) && is_refused(&"a ".repeat(101), Some("")));
    }

    #[test]
    fn text_without_spaces_is_compared_by_character() {
        let old = "東京の天気は晴れです。".repeat(9);
        assert!(!is_refused(&old, Some(&format!("{old}明日は雨です。"))));
        assert!(!is_refused(&old, Some(&old.replacen("晴れ", "雨", 2))));
        assert!(is_refused(&old, Some("東京")));
    }
}
