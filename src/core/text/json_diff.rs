//! The differences between two JSON documents, one readable line for each place.

use serde_json::Value;

/// The longest part of a value that is shown, in characters.
const SHOWN: usize = 60;
/// Characters of a long text that are shown before the first different one.
const BEFORE: usize = 16;

/// A line for every place where `now` differs from `then`. Paths are written as in JSON Path: `$.messages[1].content`.
#[must_use]
pub fn between(then: &Value, now: &Value) -> Vec<String> {
    let mut all = Vec::new();
    walk("$", then, now, &mut all);
    all
}

fn walk(path: &str, then: &Value, now: &Value, all: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(was), Value::Object(is)) => {
            for (key, value) in was {
                let path = format!("{path}.{key}");
                match is.get(key) {
                    Some(now) => walk(&path, value, now, all),
                    None => all.push(format!("{path}: was {}, now missing", shown(value))),
                }
            }
            let new = is.iter().filter(|(key, _)| !was.contains_key(*key));
            all.extend(new.map(|(key, value)| format!("{path}.{key}: was missing, now {}", shown(value))));
        }
        (Value::Array(was), Value::Array(is)) => {
            for (n, (then, now)) in was.iter().zip(is).enumerate() {
                walk(&format!("{path}[{n}]"), then, now, all);
            }
            let common = was.len().min(is.len());
            for (n, value) in was.iter().enumerate().skip(common) {
                all.push(format!("{path}[{n}]: was {}, now missing", shown(value)));
            }
            for (n, value) in is.iter().enumerate().skip(common) {
                all.push(format!("{path}[{n}]: was missing, now {}", shown(value)));
            }
        }
        (Value::String(was), Value::String(is)) if was != is => all.push(texts(path, was, is)),
        _ if then != now => all.push(format!("{path}: was {}, now {}", shown(then), shown(now))),
        _ => {}
    }
}

/// The difference of two texts, from their first different character on, with its line number in longer texts.
fn texts(path: &str, was: &str, is: &str) -> String {
    let same = was.chars().zip(is.chars()).take_while(|(a, b)| a == b).count();
    let skipped = if same > SHOWN { same - BEFORE } else { 0 };
    let place = match was.chars().take(same).filter(|c| *c == '\n').count() {
        0 if skipped == 0 => String::new(),
        lines => format!(" (line {})", lines + 1),
    };
    let part = |text: &str| {
        let cut: String = text.chars().skip(skipped).take(SHOWN).collect();
        let (dots, more) = (skipped > 0, text.chars().nth(skipped + SHOWN).is_some());
        format!("{}{}{}", if dots { "…" } else { "" }, Value::from(cut), if more { "…" } else { "" })
    };
    format!("{path}{place}: was {}, now {}", part(was), part(is))
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_difference_is_listed_with_both_values() {
        let then = json!({"model": "a", "messages": [{"role": "user", "content": "hi"}, {"n": 1}], "old": [1, 2]});
        let now =
            json!({"model": "b", "messages": [{"role": "user", "content": "hi"}], "old": [1, 3], "new": {"x": 1}});
        let expected = [
            "$.messages[1]: was {\"n\":1}, now missing",
            "$.model: was \"a\", now \"b\"",
            "$.old[1]: was 2, now 3",
            "$.new: was missing, now {\"x\":1}",
        ];
        assert_eq!(between(&then, &now), expected);
        assert_eq!(between(&then, &then), [""; 0]);
        assert_eq!(between(&json!(1), &json!("1")), ["$: was 1, now \"1\""]);
    }

    #[test]
    fn long_text_shows_the_part_that_differs() {
        let long = |end: &str| json!({"system": format!("{}\nNow: {end}{}", "x".repeat(200), "y".repeat(99))});
        let lines = between(&long("monday"), &long("tuesday"));
        let (was, is) = (format!("monday{}", "y".repeat(37)), format!("tuesday{}", "y".repeat(37)));
        let begin = format!("$.system (line 2): was …\"{}\\nNow: {}", "x".repeat(10), &was[..10]);
        assert!(lines.len() == 1 && lines[0].starts_with(&begin) && lines[0].contains(&is[..10]), "{lines:#?}");
        assert!(lines[0].ends_with("\"…"), "{lines:#?}");
    }
}
