//! Session files of other programs: JSON Lines, read line by line, so that a torn line costs only itself.

use crate::core::event::stamp::Stamp;
use crate::import::conversation::Utterance;
use crate::import::secrets;
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::Value;

/// The messages of a session, and the differences from its file.
#[derive(Debug, Default)]
pub struct SessionContent {
    /// The messages in order.
    pub utterances: Vec<Utterance>,
    /// Remarks about lines that are left out or changed.
    pub notes: Vec<String>,
}

impl SessionContent {
    /// Reads the lines of a file as JSON objects. Keys in them are replaced; other lines are noted and left out.
    pub fn lines(&mut self, name: &str, text: &str) -> Vec<Value> {
        let (mut values, mut secrets) = (Vec::new(), 0);
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let (line, found) = secrets::removed(line);
            secrets += found;
            match serde_json::from_str::<Value>(&line) {
                Ok(value) if value.is_object() => values.push(value),
                Ok(_) => self.notes.push(format!("{name}:{}: no JSON object; the line is left out", number + 1)),
                Err(e) if e.is_eof() => {
                    self.notes.push(format!("{name}:{}: a torn line is left out", number + 1));
                }
                Err(e) => self.notes.push(format!("{name}:{}: the line is left out: {e}", number + 1)),
            }
        }
        if secrets > 0 {
            self.notes.push(format!("{name}: {secrets} keys are replaced by [secret removed]"));
        }
        values
    }
}

/// An instant as other programs write it: RFC 3339, a local date and time, or the milliseconds since 1970.
#[must_use]
pub fn instant(value: &Value) -> Option<Stamp> {
    if let Some(text) = value.as_str() {
        let local = || text.parse::<DateTime>().ok()?.to_zoned(crate::world::zone()).ok().map(|at| at.timestamp());
        return text.parse::<Timestamp>().ok().or_else(local).map(Stamp::from);
    }
    let number = value.as_f64()?;
    // Before 1973 as milliseconds means seconds.
    let seconds = if number < 1e11 { number } else { number / 1e3 };
    let micros = seconds * 1e6;
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    (micros.abs() < 2.5e17).then_some(Stamp(micros as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn torn_line_costs_only_itself() {
        let mut content = SessionContent::default();
        let text = "{\"a\":1}\n\n[1]\nnope\n{\"k\":\"sk-abcdefghijklmnop1234\"}\n{\"b\":";
        let values = content.lines("s.jsonl", text);
        assert_eq!(values, [json!({"a": 1}), json!({"k": "[secret removed]"})]);
        assert_eq!(content.notes.len(), 4, "{:?}", content.notes);
        assert_eq!(content.notes[2], "s.jsonl:6: a torn line is left out");
    }

    #[test]
    fn instants_of_every_form_are_read() {
        let at = Stamp(1_771_000_000_500_000);
        for value in [json!("2026-02-13T16:26:40.5Z"), json!(1_771_000_000_500_u64), json!(1_771_000_000.5)] {
            assert_eq!(instant(&value), Some(at), "{value}");
        }
        assert!(instant(&json!("2026-02-13T16:26:40.123456")).is_some());
        for value in [json!(null), json!("soon"), json!(1e300), json!({})] {
            assert_eq!(instant(&value), None, "{value}");
        }
    }
}
