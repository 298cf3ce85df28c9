//! YAML front matter: the YAML between a first line `---` and the next line `---` of a Markdown file.

use crate::core::fault::{Fault, Result};
use crate::core::text::yaml;

/// The largest front matter, in bytes.
pub const MAX: usize = 8 << 10;

/// The two parts of a Markdown file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The YAML, if there is front matter.
    pub yaml: Option<&'a str>,
    /// The text after it.
    pub body: &'a str,
}

/// Splits `text` into its two parts. The YAML starts at line 2 of the file.
///
/// # Errors
/// `Data` where the front matter does not end, or [`yaml::check`] refuses it.
pub fn split(text: &str) -> Result<Parts<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.lines().next().unwrap_or_default();
    if first.trim_end() != "---" {
        return Ok(Parts { yaml: None, body: text });
    }
    let start = text.find('\n').map_or(text.len(), |n| n + 1);
    let mut end = start;
    for line in text[start..].split_inclusive('\n') {
        if line.trim_end() == "---" {
            let yaml = &text[start..end];
            yaml::check(yaml, MAX).map_err(|why| Fault::data(format!("front matter {why}")))?;
            return Ok(Parts { yaml: Some(yaml), body: &text[end + line.len()..] });
        }
        end += line.len();
        if end - start > MAX {
            return Err(Fault::data(format!("front matter is over {MAX} bytes")));
        }
    }
    Err(Fault::data("line 1: the front matter that starts here has no closing `---`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_matter_and_body_are_split() {
        let parts = split("---\na: 1\n---\nbody\n---\nmore").unwrap();
        assert_eq!(parts, Parts { yaml: Some("a: 1\n"), body: "body\n---\nmore" });
        assert_eq!(split("\u{feff}---\r\na: 1\r\n---\r\nx").unwrap().yaml, Some("a: 1\r\n"));
        assert_eq!(split("---\n---\nx").unwrap(), Parts { yaml: Some(""), body: "x" });
    }

    #[test]
    fn file_without_front_matter_is_all_body() {
        for text in ["", "hello", "----\nx", "a\n---\nb\n---"] {
            assert_eq!(split(text).unwrap(), Parts { yaml: None, body: text });
        }
    }

    #[test]
    fn unclosed_or_oversized_front_matter_is_refused() {
        assert!(split("---\na: 1\n").is_err());
        assert!(split(&format!("---\n{}\n---\n", "[".repeat(MAX + 1))).is_err());
    }
}
