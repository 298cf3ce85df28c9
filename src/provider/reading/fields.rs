//! Fields of a server's JSON, read by their meaning: a field that is missing, null or of another type is empty.

use serde_json::Value;

/// The largest number of tokens that a server may count. A larger one is an error of the server.
const MAX_COUNT: f64 = 1e9;

/// A count of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::provider) enum Counted {
    /// There is none, or it is no count: negative, a text that is no number, an object.
    Nothing,
    /// This many.
    Tokens(u64),
    /// More than any request has.
    Absurd,
}

/// The count in a field. Servers write it as an integer, as a number with a fraction, or as a text.
pub(in crate::provider) fn count(value: &Value) -> Counted {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match number.filter(|number| *number >= 0.0) {
        None => Counted::Nothing,
        Some(number) if number > MAX_COUNT => Counted::Absurd,
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to MAX_COUNT")]
        Some(number) => Counted::Tokens(number.round() as u64),
    }
}

/// A text, or a number in its place: ids and codes. Empty for everything else.
pub(in crate::provider) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// The position of a block or call in an answer; servers write it as a number or as a text, and some count from -1.
pub(in crate::provider) fn index(value: &Value) -> Option<i64> {
    match value {
        #[expect(clippy::cast_possible_truncation, reason = "an index is small; `as` saturates")]
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|number| number as i64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Whether a flag is set; servers write it as a boolean, a number or a text.
pub(in crate::provider) fn flag(value: &Value) -> bool {
    match value {
        Value::Bool(is_set) => *is_set,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

/// The elements of a list; a single object in its place is the only element.
pub(in crate::provider) fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(all) => all,
        Value::Object(_) => std::slice::from_ref(value),
        _ => &[],
    }
}

/// Whether a value says nothing: null, false, 0, and everything that is empty or holds only such values.
pub(in crate::provider) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is_set) => !is_set,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.trim().is_empty(),
        Value::Array(all) => all.iter().all(is_blank),
        Value::Object(all) => all.values().all(is_blank),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn count_is_read_in_every_spelling_and_an_absurd_one_is_refused() {
        let tokens = [json!(10), json!(10.0), json!("10"), json!(" 9.6 ")].map(|value| count(&value));
        assert_eq!(tokens, [Counted::Tokens(10); 4]);
        let nothing =
            [json!(null), json!(-35), json!("n/a"), json!([]), json!({}), json!(true), json!("NaN"), json!("")];
        assert_eq!(nothing.map(|value| count(&value)), [Counted::Nothing; 8]);
        assert_eq!([json!(u64::MAX), json!(1e300)].map(|value| count(&value)), [Counted::Absurd; 2]);
    }

    #[test]
    fn index_text_flag_and_list_accept_other_types() {
        let read = [json!(1), json!("1"), json!(1.0), json!(-1), json!(null), json!("x")].map(|value| index(&value));
        assert_eq!(read, [Some(1), Some(1), Some(1), Some(-1), None, None]);
        assert_eq!([json!("a"), json!(7), json!(null)].map(|value| text(&value)), ["a", "7", ""]);
        assert_eq!(
            [json!(true), json!("True"), json!(1), json!(0), json!(null)].map(|v| flag(&v)),
            [true, true, true, false, false]
        );
        let lists = [json!([{}, {}]), json!({"a": 1}), json!(null), json!("x")].map(|value| list(&value).len());
        assert_eq!(lists, [2, 1, 0, 0]);
    }

    #[test]
    fn blank_value_says_nothing() {
        for value in [json!(null), json!(""), json!({}), json!({"code": 0, "message": ""}), json!([null]), json!(false)]
        {
            assert!(is_blank(&value), "{value}");
        }
        for value in [json!("x"), json!({"message": "x"}), json!(7), json!([{"a": 1}])] {
            assert!(!is_blank(&value), "{value}");
        }
    }
}
