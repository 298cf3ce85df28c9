//! YAML values that are written in one line: scalars, lists in brackets and mappings in braces. Only their text is
//! edited; a value that continues in the next line is none of them.

use serde_yaml::Value;

/// A key of a mapping, with offsets in its line.
pub(super) struct FlowEntry {
    pub(super) key: String,
    /// The offset of the key.
    start: usize,
    /// The offset behind the colon.
    pub(super) value: usize,
}

/// The key that begins at `start`; `None` without one.
pub(super) fn entry(text: &str, start: usize) -> Option<FlowEntry> {
    let rest = &text[start..];
    let length = if let quote @ ('"' | '\'') = rest.chars().next()? {
        quoted(rest, quote)?
    } else {
        let is_end = |(at, _): &(usize, &str)| rest[at + 1..].is_empty() || rest[at + 1..].starts_with([' ', ',', '}']);
        rest.match_indices(':').find(is_end)?.0
    };
    let key = match serde_yaml::from_str::<Value>(rest[..length].trim_end()).ok()? {
        Value::String(key) => key,
        Value::Number(_) | Value::Bool(_) => rest[..length].trim_end().to_owned(),
        _ => return None,
    };
    let colon = length + rest[length..].len() - rest[length..].trim_start_matches(' ').len();
    rest[colon..].starts_with(':').then_some(FlowEntry { key, start, value: start + colon + 1 })
}

/// The length of a quoted text, with its quotes.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote == '"' => drop(chars.next()),
            '\'' if quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == '\'') => drop(chars.next()),
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The end of the value that begins at `start`, without a comment behind it. In braces (`is_inner`) a comma or a closing
/// brace ends it, too.
pub(super) fn end_of_value(line: &str, start: usize, is_inner: bool) -> usize {
    let (mut at, mut depth) = (start, 0usize);
    while let Some(c) = line[at..].chars().next() {
        let is_first = at == start || line[..at].ends_with([' ', '{', '[', ',', ':']);
        match c {
            '"' | '\'' if is_first => match quoted(&line[at..], c) {
                Some(length) => {
                    at += length;
                    continue;
                }
                None => break,
            },
            '{' | '[' if is_first || depth > 0 => depth += 1,
            '}' | ']' | ',' if is_inner && depth == 0 => break,
            '}' | ']' if depth > 0 => depth -= 1,
            '#' if at > start && line[..at].ends_with(' ') => break,
            '\r' | '\n' => break,
            _ => {}
        }
        at += c.len_utf8();
    }
    start + line[start..at].trim_end().len()
}

/// The keys of a mapping in braces, with the ends of their values; `None` for another text.
fn entries(text: &str) -> Option<Vec<(FlowEntry, usize)>> {
    let mut found = Vec::new();
    let mut at = text.starts_with('{').then_some(1)?;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        if text[at..].starts_with('}') {
            return Some(found);
        }
        let entry = entry(text, at)?;
        let begin = entry.value + text[entry.value..].len() - text[entry.value..].trim_start().len();
        let end = end_of_value(text, begin, true);
        found.push((entry, end));
        at = end + text[end..].len() - text[end..].trim_start().len();
        match text[at..].chars().next()? {
            ',' => at += 1,
            '}' => {}
            _ => return None,
        }
    }
}

/// The value with the setting at `path` in it replaced or added.
pub(super) fn set(text: &str, path: &[String], value: &Value) -> Option<String> {
    let Some((key, rest)) = path.split_first() else {
        // A tag or an anchor belongs to the value, a block scalar goes on in the next lines.
        return (!text.starts_with(['&', '*', '!', '|', '>'])).then(|| scalar(value));
    };
    let all = entries(text)?;
    if let Some((found, end)) = all.iter().find(|(found, _)| found.key == *key) {
        let begin = found.value + text[found.value..*end].len() - text[found.value..*end].trim_start().len();
        let new = set(&text[begin..*end], rest, value)?;
        let gap = if begin == found.value { " " } else { "" };
        return Some([&text[..begin], gap, &new, &text[*end..]].concat());
    }
    let inner =
        rest.iter().rev().fold(scalar(value), |inner, key| format!("{{{}: {inner}}}", scalar(&key.as_str().into())));
    let new = format!("{}: {inner}", scalar(&key.as_str().into()));
    Some(match all.last() {
        Some((_, end)) => [&text[..*end], ", ", &new, &text[*end..]].concat(),
        None => format!("{{{new}}}"),
    })
}

/// The value without the setting at `path`.
pub(super) fn remove(text: &str, path: &[String]) -> Option<String> {
    let (key, rest) = path.split_first()?;
    let all = entries(text)?;
    let at = all.iter().position(|(found, _)| found.key == *key)?;
    let (found, end) = &all[at];
    if !rest.is_empty() {
        let begin = found.value + text[found.value..*end].len() - text[found.value..*end].trim_start().len();
        return Some([&text[..begin], &remove(&text[begin..*end], rest)?, &text[*end..]].concat());
    }
    Some(match (at, all.get(at + 1)) {
        (_, Some((next, _))) => [&text[..found.start], &text[next.start..]].concat(),
        (0, None) => "{}".to_owned(),
        (at, None) => [&text[..all[at - 1].1], &text[*end..]].concat(),
    })
}

/// A value in one line: plain where that has the same meaning, also in braces; else as JSON, which is YAML.
pub(super) fn scalar(value: &Value) -> String {
    if let Value::String(text) = value {
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '+' | '@' | ' ');
        let is_edged = text.starts_with(['-', ' ', ':']) || text.ends_with([' ', ':']);
        let read = || serde_yaml::from_str::<Value>(&format!("{{k: {text}}}")).ok();
        let is_same = |read: Value| read.get("k") == Some(value);
        if text.chars().all(is_plain) && !text.is_empty() && !is_edged && read().is_some_and(is_same) {
            return text.clone();
        }
    }
    serde_json::to_string(value).unwrap_or_default()
}
