//! Edits the text of `claw.yaml`: one setting at a time, by changing the fewest lines, so that comments, order and
//! quoting of everything else stay.
//!
//! ```text
//! let path = edit::path("models.gpt.model")?;          // "models.\"gpt-4.1\".model" for names with dots
//! let new = edit::set(&old, &path, &"gpt-5".into())?;  // mappings become blocks, lists and scalars stay in one line
//! let new = edit::remove(&new, &edit::path("models.gpt.temperature")?)?;
//! ```
//!
//! A command reads the file, edits its text here, shows the difference, and writes it with
//! `store::workspace::settings_file`, which checks that the result is a valid `claw.yaml`.
//!
//! Invariant: the new text means the old settings with exactly this one changed. The result is parsed and compared, and
//! a text for which that is not so (an anchor, a value over several lines, a tab) is refused and left to the user.

use crate::core::config::flow::{self, FlowEntry};
use crate::core::fault::{Fault, Kind, Result};
use serde_yaml::{Mapping, Value};
use std::ops::Range;

/// The keys of a path: `models.gpt.model`. A part in double quotes may contain dots.
///
/// # Errors
/// `Usage` if a part is empty or a quote is not closed.
pub fn path(text: &str) -> Result<Vec<String>> {
    let bad = |why: &str| {
        Fault::new(Kind::Usage, format!("`{}` names no setting: {why}", text.escape_debug()))
            .hint("write it like models.gpt.model; a name with a dot stands in double quotes")
    };
    let (mut parts, mut rest) = (Vec::new(), text);
    loop {
        let part = if let Some(quoted) = rest.strip_prefix('"') {
            let (part, after) = quoted.split_once('"').ok_or_else(|| bad("a quote is not closed"))?;
            rest = after;
            part
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let part = &rest[..end];
            rest = &rest[end..];
            part
        };
        if part.is_empty() || part.chars().any(char::is_control) {
            return Err(bad("a part of it is empty or has control characters"));
        }
        parts.push(part.to_owned());
        match rest.strip_prefix('.') {
            Some(more) => rest = more,
            None if rest.is_empty() => return Ok(parts),
            None => return Err(bad("a dot is missing after a quote")),
        }
    }
}

/// The value at `path`; `None` if the text does not set it, or is not YAML.
#[must_use]
pub fn get(text: &str, path: &[String]) -> Option<Value> {
    let mut value = parse(text).ok()?;
    for key in path {
        value = value.as_mapping_mut()?.remove(key.as_str())?;
    }
    Some(value)
}

/// The text with `path` set to `value`. An existing value is replaced in its line; a new setting is written behind its
/// commented example, else at the end of its section.
///
/// # Errors
/// `Config` if the text is not YAML, or has a form in which this setting cannot be changed by itself.
pub fn set(text: &str, path: &[String], value: &Value) -> Result<String> {
    let before = parse(text)?;
    let mut expected = before.clone();
    if !put(&mut expected, path, value) {
        return Err(refused(path, "a part of it is a value and not a section"));
    }
    if before == expected {
        return Ok(text.to_owned());
    }
    let edited = Text::new(text).set(path, value).ok_or_else(|| refused(path, "its value has several lines"))?;
    checked(edited, &expected, path)
}

/// The text without the setting at `path`, with the sections that become empty. Removing a setting that is not there
/// changes nothing.
///
/// # Errors
/// As [`set`].
pub fn remove(text: &str, path: &[String]) -> Result<String> {
    let mut expected = parse(text)?;
    let Some(kept) = take(&mut expected, path) else { return Ok(text.to_owned()) };
    let edited = Text::new(text).remove(&path[..kept]).ok_or_else(|| refused(path, "its lines are not its own"))?;
    checked(edited, &expected, path)
}

fn checked(edited: String, expected: &Value, path: &[String]) -> Result<String> {
    match parse(&edited) {
        Ok(found) if found == *expected => Ok(edited),
        _ => Err(refused(path, "it is written in a form that this program does not edit")),
    }
}

fn refused(path: &[String], why: &str) -> Fault {
    Fault::config(format!("claw.yaml: `{}` cannot be changed: {why}", path.join(".")))
        .hint("`claw config edit` opens the file in your editor")
}

fn parse(text: &str) -> Result<Value> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value: Value = serde_yaml::from_str(text).map_err(|e| Fault::config(format!("claw.yaml: {e}")))?;
    Ok(if value.is_null() { Value::Mapping(Mapping::new()) } else { value })
}

/// Sets the value at `path`; false if a part of the path is neither a section nor empty.
fn put(value: &mut Value, path: &[String], new: &Value) -> bool {
    let Some((key, rest)) = path.split_first() else {
        *value = new.clone();
        return true;
    };
    if value.is_null() {
        *value = Value::Mapping(Mapping::new());
    }
    let Some(map) = value.as_mapping_mut() else { return false };
    put(map.entry(key.as_str().into()).or_insert(Value::Null), rest, new)
}

/// Removes the value at `path` and the sections that are empty then. Returns the length of the path that was removed.
fn take(value: &mut Value, path: &[String]) -> Option<usize> {
    let (key, rest) = path.split_first()?;
    let map = value.as_mapping_mut()?;
    let child = map.get_mut(key.as_str())?;
    if rest.is_empty() {
        map.remove(key.as_str());
        return Some(1);
    }
    let length = take(child, rest)?;
    if child.as_mapping().is_some_and(Mapping::is_empty) {
        map.remove(key.as_str());
        return Some(1);
    }
    Some(length + 1)
}

/// A text by lines.
struct Text<'a> {
    lines: Vec<&'a str>,
    /// The line end of the first line.
    end: &'static str,
}

/// A key of a block mapping.
struct BlockKey {
    key: String,
    /// Its line.
    line: usize,
    /// The end of its last line that is no comment.
    last: usize,
    /// Its value in the line, without the comment behind it; empty if there is none.
    value: Range<usize>,
}

impl<'a> Text<'a> {
    fn new(text: &'a str) -> Self {
        let end =
            if text.split_inclusive('\n').next().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
        Self { lines: text.split_inclusive('\n').collect(), end }
    }

    fn set(&self, path: &[String], value: &Value) -> Option<String> {
        let (mut within, mut indent) = (0..self.lines.len(), 0);
        for (depth, key) in path.iter().enumerate() {
            let keys = self.keys(within.clone())?;
            indent = keys.first().map_or(indent, |first| self.indent(first.line));
            let Some(found) = keys.into_iter().find(|found| found.key == *key) else {
                let new = self.rendered(&path[depth..], value, indent);
                return Some(self.inserted(self.place(within, key, indent), &new));
            };
            let rest = &path[depth + 1..];
            let line = self.lines[found.line];
            let has_block = found.last > found.line + 1;
            if !found.value.is_empty() {
                let new = flow::set(&line[found.value.clone()], rest, value)?;
                return (!has_block).then(|| self.with_value(found.line, found.value, &new));
            }
            if rest.is_empty() && has_block {
                return None;
            }
            if rest.is_empty() && !value.is_mapping() {
                return Some(self.with_value(found.line, found.value, &flow::scalar(value)));
            }
            if !has_block {
                let new = match rest {
                    [] => self.section(value.as_mapping()?, indent + 2),
                    rest => self.rendered(rest, value, indent + 2),
                };
                return Some(self.inserted(found.line + 1, &new));
            }
            (within, indent) = (found.line + 1..found.last, indent + 2);
        }
        None
    }

    fn remove(&self, path: &[String]) -> Option<String> {
        let mut within = 0..self.lines.len();
        for (depth, key) in path.iter().enumerate() {
            let found = self.keys(within)?.into_iter().find(|found| found.key == *key)?;
            let rest = &path[depth + 1..];
            if rest.is_empty() {
                return Some([self.lines[..found.line].concat(), self.lines[found.last..].concat()].concat());
            }
            if !found.value.is_empty() {
                let new = flow::remove(&self.lines[found.line][found.value.clone()], rest)?;
                return Some(self.with_value(found.line, found.value, &new));
            }
            within = found.line + 1..found.last;
        }
        None
    }

    /// The keys of the block mapping in these lines; none without a line that is no comment. `None` if the lines are
    /// something else.
    fn keys(&self, within: Range<usize>) -> Option<Vec<BlockKey>> {
        let mut keys: Vec<BlockKey> = Vec::new();
        let mut column = None;
        for line in within {
            let text = self.lines[line].trim_end();
            let content = text.trim_start_matches([' ', '\u{feff}']);
            if content.is_empty() || content.starts_with('#') || content == "---" {
                continue;
            }
            let column = *column.get_or_insert_with(|| self.indent(line));
            match key_of(content).filter(|_| self.indent(line) == column) {
                Some((key, after)) => {
                    let begin = text.len() - content.len() + after;
                    keys.push(BlockKey { key, line, last: line + 1, value: value_of(text, begin) });
                }
                None => keys.last_mut()?.last = line + 1,
            }
        }
        Some(keys)
    }

    fn indent(&self, line: usize) -> usize {
        let text = self.lines[line].trim_start_matches('\u{feff}');
        text.len() - text.trim_start_matches(' ').len()
    }

    /// The line before which a new `key` of the section in these lines is written.
    fn place(&self, within: Range<usize>, key: &str, indent: usize) -> usize {
        // The comments behind a section belong to it while they are indented as its keys are.
        let is_comment = |line: usize| self.lines[line].trim_start().starts_with('#');
        let mut end = within.end;
        while end < self.lines.len() && is_comment(end) && self.indent(end) == indent && indent > 0 {
            end += 1;
        }
        let is_example = |line: &usize| {
            let text = self.lines[*line].trim_start().strip_prefix('#');
            let text = text.map(|text| text.strip_prefix(' ').unwrap_or(text));
            let rest = text.and_then(|text| text.strip_prefix(key)).is_some_and(|rest| rest.starts_with(':'));
            rest && self.indent(*line) == indent
        };
        if let Some(example) = (within.start..end).find(is_example) {
            return (example..end).find(|line| !is_comment(*line)).unwrap_or(end);
        }
        within.end
    }

    fn inserted(&self, line: usize, new: &str) -> String {
        let before = self.lines[..line].concat();
        let gap = if before.is_empty() || before.ends_with('\n') { "" } else { self.end };
        [&before, gap, new, &self.lines[line..].concat()].concat()
    }

    fn with_value(&self, line: usize, range: Range<usize>, new: &str) -> String {
        let text = self.lines[line];
        let gap = if text[..range.start].ends_with(':') { " " } else { "" };
        let edited = [&text[..range.start], gap, new, &text[range.end..]].concat();
        self.lines[..line].concat() + &edited + &self.lines[line + 1..].concat()
    }

    /// The lines of a new setting; `path` begins with its first key that is not there yet.
    fn rendered(&self, path: &[String], value: &Value, indent: usize) -> String {
        let Some((key, rest)) = path.split_first() else { return String::new() };
        let begin = format!("{}{}:", " ".repeat(indent), flow::scalar(&key.as_str().into()));
        match value.as_mapping().filter(|map| !map.is_empty()) {
            _ if !rest.is_empty() => begin + self.end + &self.rendered(rest, value, indent + 2),
            Some(map) => begin + self.end + &self.section(map, indent + 2),
            None => format!("{begin} {}{}", flow::scalar(value), self.end),
        }
    }

    fn section(&self, map: &Mapping, indent: usize) -> String {
        let keys = map.iter().filter_map(|(key, value)| Some((key.as_str()?.to_owned(), value)));
        keys.map(|(key, value)| self.rendered(&[key], value, indent)).collect()
    }
}

/// The key at the beginning of a line, and the offset behind its colon.
fn key_of(content: &str) -> Option<(String, usize)> {
    let FlowEntry { key, value, .. } = flow::entry(content, 0)?;
    let is_item = content.starts_with("- ") || content.starts_with(['{', '[', '?', '&', '*', '!', '|', '>', '%']);
    (!is_item).then_some((key, value))
}

/// The part of a line from `begin` that is a value, without the comment behind it.
fn value_of(line: &str, begin: usize) -> Range<usize> {
    let start = begin + line[begin..].len() - line[begin..].trim_start_matches(' ').len();
    let end = flow::end_of_value(line, start, false);
    if line[start..].starts_with('#') || start >= end { begin..begin } else { start..end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "\
# Settings.
model: offline # the default

# Models.
# models:
#   gpt: {provider: openai}

# Budget.
# budget:
#   day:
#     calls: 9

memories:
  git: false   # no commits
  # languages: [en]

compact:
  at: 0.8
";

    fn changed(text: &str, name: &str, value: &str) -> String {
        let value: Value = serde_yaml::from_str(value).unwrap();
        set(text, &path(name).unwrap(), &value).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// The lines of `new` that `old` has not.
    fn added(old: &str, new: &str) -> Vec<String> {
        let mut old: Vec<&str> = old.lines().collect();
        let mut left = Vec::new();
        for line in new.lines() {
            match old.iter().position(|known| *known == line) {
                Some(at) => drop(old.remove(at)),
                None => left.push(line.to_owned()),
            }
        }
        left
    }

    #[test]
    fn value_is_replaced_in_its_line() {
        assert_eq!(added(FILE, &changed(FILE, "model", "gpt")), ["model: gpt # the default"]);
        assert_eq!(added(FILE, &changed(FILE, "memories.git", "true")), ["  git: true   # no commits"]);
        assert_eq!(changed(FILE, "compact.at", "0.5"), FILE.replace("0.8", "0.5"));
        assert_eq!(changed(FILE, "model", "offline"), FILE, "nothing changes");
        assert_eq!(changed("a: 'x # y' # z\n", "a", "\"1\""), "a: \"1\" # z\n");
        assert_eq!(changed("a:\nb: 1\n", "a", "x"), "a: x\nb: 1\n");
        assert_eq!(changed("a: # empty\n", "a", "x"), "a: x # empty\n");
    }

    #[test]
    fn new_setting_is_written_behind_its_example() {
        let new = changed(FILE, "models.gpt", "{provider: openai, model: gpt-5-mini}");
        let expected =
            "#   gpt: {provider: openai}\nmodels:\n  gpt:\n    provider: openai\n    model: gpt-5-mini\n\n# Budget";
        assert!(new.contains(expected), "{new}");
        let new = changed(FILE, "memories.languages", "[en, de]");
        assert!(new.contains("  # languages: [en]\n  languages: [\"en\",\"de\"]\n\ncompact"), "{new}");
        let new = changed(FILE, "budget.day.calls", "5");
        assert!(new.contains("#     calls: 9\nbudget:\n  day:\n    calls: 5\n\nmemories"), "{new}");
        assert_eq!(changed(FILE, "currency", "EUR"), format!("{FILE}currency: EUR\n"));
        assert_eq!(changed("a: 1", "b", "2"), "a: 1\nb: 2\n");
        assert_eq!(changed("", "b.c", "2"), "b:\n  c: 2\n");
        assert_eq!(changed("m:\n    x: 1\n\nn: 2\n", "m.y.z", "2"), "m:\n    x: 1\n    y:\n      z: 2\n\nn: 2\n");
    }

    #[test]
    fn settings_in_braces_stay_in_braces() {
        let text = "models:\n  gpt: {provider: openai, model: \"a, b\", price: {input: 1, output: 2}} # mine\n";
        assert_eq!(changed(text, "models.gpt.model", "c"), text.replace("\"a, b\"", "c"));
        assert_eq!(changed(text, "models.gpt.price.output", "3"), text.replace("output: 2", "output: 3"));
        assert_eq!(changed(text, "models.gpt.window", "4000"), text.replace("2}}", "2}, window: 4000}"));
        assert_eq!(changed("m: {}\n", "m.a", "1"), "m: {a: 1}\n");
        let gone = remove(text, &path("models.gpt.model").unwrap()).unwrap();
        assert_eq!(gone, text.replace(" model: \"a, b\",", ""));
        let gone = remove(text, &path("models.gpt.price").unwrap()).unwrap();
        assert_eq!(gone, text.replace(", price: {input: 1, output: 2}", ""));
    }

    #[test]
    fn setting_is_removed_with_its_lines_and_empty_sections() {
        let gone = |name: &str| remove(FILE, &path(name).unwrap()).unwrap();
        assert_eq!(gone("compact.at"), FILE.replace("compact:\n  at: 0.8\n", ""));
        assert_eq!(gone("model"), FILE.replace("model: offline # the default\n", ""));
        assert_eq!(gone("nothing.there"), FILE);
    }

    #[test]
    fn line_ends_and_byte_order_mark_stay() {
        assert_eq!(changed("\u{feff}a: 1\r\nb: 2\r\n", "b", "3"), "\u{feff}a: 1\r\nb: 3\r\n");
        assert_eq!(changed("\u{feff}a: 1\r\n", "c", "3"), "\u{feff}a: 1\r\nc: 3\r\n");
    }

    #[test]
    fn values_keep_their_type() {
        let text = |value: &str| set("", &path("a").unwrap(), &Value::from(value)).unwrap();
        assert_eq!(
            [text("x"), text("8"), text("yes: no"), text("")],
            ["a: x\n", "a: \"8\"\n", "a: \"yes: no\"\n", "a: \"\"\n"]
        );
        assert_eq!(text("http://h:1/v1"), "a: http://h:1/v1\n");
        assert_eq!(text("a #b\n"), "a: \"a #b\\n\"\n");
    }

    #[test]
    fn what_cannot_be_edited_safely_is_refused() {
        let set = |text: &str, name: &str| set(text, &path(name).unwrap(), &Value::from("x")).unwrap_err().message;
        for (text, name) in [
            ("a: |\n  text\n  b: 1\n", "a"),
            ("a: {b: 1,\n  c: 2}\n", "a.c"),
            ("a: \"x\n  y\"\n", "a"),
            ("a: 1\n", "a.b"),
            ("a:\n  - b: 1\n", "a.b"),
            ("a: &x\n  b: 1\n", "a.b"),
            ("a:\n  b: 1\n", "a"),
        ] {
            assert!(set(text, name).contains("cannot be changed"), "{text:?}");
        }
        assert!(set("a: [\n", "a").starts_with("claw.yaml: "));
    }

    #[test]
    fn path_may_have_quoted_parts() {
        assert_eq!(path("models.\"gpt-4.1\".model").unwrap(), ["models", "gpt-4.1", "model"]);
        for wrong in ["", "a.", ".a", "a..b", "\"a", "\"a\"b", "a.\n"] {
            assert!(path(wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        /// Whatever the text is: the result means the old settings with one changed, or nothing is changed.
        #[test]
        fn edit_changes_one_setting_or_fails(
            lines in prop::collection::vec("( {0,4}[ab]: ?(1|x|\\{a: 1\\}|\"q\"|\\||)( # c)?| {0,4}# ?a: 1| {0,4}- a|)", 0..7),
            name in "[ab](\\.[ab]){0,2}",
            value in "[x1#:, {}'\"\\[\\]-]{0,4}",
        ) {
            let text = lines.join("\n");
            let (path, value) = (path(&name).unwrap(), Value::from(value.as_str()));
            if let Ok(new) = set(&text, &path, &value) {
                prop_assert_eq!(get(&new, &path), Some(value));
                let comments = |text: &str| text.matches('#').count();
                prop_assert!(comments(&new) >= comments(&text), "{text:?} {new:?}");
            }
            if let Ok(new) = remove(&text, &path) {
                prop_assert_eq!(get(&new, &path), None);
            }
        }
    }
}
