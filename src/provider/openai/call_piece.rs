//! A piece of a tool call. Servers number pieces by an index, an id, both or neither, and some repeat, change or leave
//! out one of them.

use crate::core::model::Call;
use crate::provider::reading::answer::{Answer, PartialCall};
use crate::provider::reading::fields::{index, text};
use serde_json::Value;

/// Adds a piece with its function to the call that it belongs to.
pub(super) fn take(answer: &mut Answer, piece: &Value, function: &Value) {
    let (index, id, name) = (index(&piece["index"]), text(&piece["id"]), text(&function["name"]));
    let arguments = match &function["arguments"] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        whole => Some(whole.to_string()),
    };
    let is_nothing = id.is_empty() && name.trim().is_empty() && arguments.is_none();
    let known = find(&answer.calls, index, &id, &name, arguments.as_deref());
    if known.is_none() && is_nothing {
        return;
    }
    let at = known.unwrap_or_else(|| {
        answer.calls.push(PartialCall { index, ..PartialCall::default() });
        answer.calls.len() - 1
    });
    let call = &mut answer.calls[at];
    if call.id.is_empty() {
        call.id = id;
    }
    // A name is never split; some servers repeat it with every piece.
    if call.name.trim().is_empty() {
        call.name = name;
    }
    match (function["arguments"].is_string(), arguments) {
        (_, None) => {}
        // The whole call once more.
        (_, Some(again)) if is_whole(&call.arguments) && again == call.arguments => {}
        (true, Some(more)) => call.arguments += &more,
        (false, Some(whole)) => call.arguments = whole,
    }
    // Google's signature of the thoughts before the call, which must be sent back.
    let extra = &piece["extra_content"];
    if !extra.is_null() {
        answer.payload_bytes += extra.to_string().len();
        answer.thought(None).payload["extra_content"][at.to_string()] = extra.clone();
    }
}

/// The call that a piece continues; `None` if the piece begins a call.
fn find(calls: &[PartialCall], index: Option<i64>, id: &str, name: &str, arguments: Option<&str>) -> Option<usize> {
    let last = calls.len().checked_sub(1);
    let by_index = index.and_then(|_| calls.iter().rposition(|call| call.index == index));
    let by_id = calls.iter().rposition(|call| !id.is_empty() && call.id == id);
    if name.trim().is_empty() {
        // Only a name begins a call, or an id before the name.
        let begins = !id.is_empty() && arguments.is_none() && by_id.is_none();
        return by_index.or(by_id).or(last.filter(|_| !begins));
    }
    let at = if index.is_some() { by_index } else { by_id }?;
    let call = &calls[at];
    let is_complete = is_whole(&call.arguments);
    let is_other_id = !id.is_empty() && !call.id.is_empty() && call.id != id;
    // Some servers use index 0 for every call; those differ by their ids, or not at all.
    let begins = match arguments {
        _ if call.name.trim().is_empty() => false,
        Some(more) if is_complete => more != call.arguments || is_other_id,
        Some(more) if is_other_id => call.arguments.is_empty() || more.trim_start().starts_with('{'),
        None if is_other_id => is_complete || call.arguments.is_empty(),
        _ => false,
    };
    (!begins).then_some(at)
}

fn is_whole(arguments: &str) -> bool {
    !arguments.trim().is_empty() && Call::parse_arguments(arguments).is_object()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn calls(pieces: &[Value]) -> Vec<(String, Value)> {
        let mut answer = Answer::default();
        for piece in pieces {
            take(&mut answer, piece, &piece["function"]);
        }
        answer.calls.into_iter().map(|call| (call.name, Call::parse_arguments(&call.arguments))).collect()
    }

    #[expect(clippy::needless_pass_by_value, reason = "so that the cases below are short")]
    fn piece(index: Value, id: Value, name: Value, arguments: Value) -> Value {
        json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}})
    }

    #[test]
    fn two_calls_are_told_apart_in_every_numbering() {
        let two = vec![("read".to_owned(), json!({"path": "a"})), ("list".to_owned(), json!({"path": "b"}))];
        let [to_a, to_b] = [r#"{"path": "a"}"#, r#"{"path": "b"}"#];
        let none = || Value::Null;
        let whole = |first: [Value; 2], second: [Value; 2]| {
            let ([index, id], [other, other_id]) = (first, second);
            vec![piece(index, id, json!("read"), json!(to_a)), piece(other, other_id, json!("list"), json!(to_b))]
        };
        let cases = [
            whole([json!(0), json!("x")], [json!(1), json!("y")]),
            whole([json!(0), json!("x")], [json!(0), json!("y")]),
            whole([json!(0), none()], [json!(0), none()]),
            whole([none(), none()], [none(), none()]),
            whole([json!("0"), json!(7)], [json!("1"), json!(8)]),
            whole([json!(-1), json!("x")], [json!(-1), json!("y")]),
            whole([json!(0), json!("x")], [json!(0), json!("x")]),
            whole([json!(0), json!("")], [json!(1), json!("")]),
            // The head of the second call has the index of the first one, its tail its own.
            vec![
                piece(json!(0), json!("x"), json!("read"), json!(to_a)),
                piece(json!(0), json!("y"), json!("list"), json!(r#"{"path": "#)),
                piece(json!(1), none(), none(), json!(r#""b"}"#)),
            ],
            // The pieces of both alternate.
            vec![
                piece(json!(0), json!("x"), json!("read"), json!("")),
                piece(json!(1), json!("y"), json!("list"), none()),
                piece(json!(1), none(), none(), json!(to_b)),
                piece(json!(0), none(), none(), json!(r#"{"path": "#)),
                piece(json!(0), none(), none(), json!(r#""a"}"#)),
            ],
            // A later piece has nothing.
            vec![
                piece(json!(0), json!("x"), json!("read"), json!(to_a)),
                json!({"index": 0, "function": null}),
                piece(none(), none(), json!(""), json!("")),
                piece(json!(1), json!("y"), json!("list"), json!(to_b)),
            ],
        ];
        for case in cases {
            assert_eq!(calls(&case), two, "{case:?}");
        }
    }

    #[test]
    fn one_call_stays_one_however_its_pieces_are_named() {
        let one = vec![("read".to_owned(), json!({"path": "a"}))];
        let none = || Value::Null;
        let (head, tail) = (r#"{"path": "#, r#""a"}"#);
        let cases = [
            // Another id with every piece.
            vec![
                piece(json!(0), json!("x"), json!("read"), json!("")),
                piece(json!(0), json!("y"), none(), json!(head)),
                piece(json!(0), json!("z"), none(), json!(tail)),
            ],
            // The name with every piece.
            vec![
                piece(json!(0), json!("x"), json!("read"), json!(head)),
                piece(json!(0), json!("x"), json!("read"), json!(tail)),
                piece(json!(0), none(), json!("read"), json!("")),
            ],
            vec![
                piece(json!(0), json!("x"), json!("read"), json!(head)),
                piece(json!(0), json!("y"), json!("read"), json!(tail)),
            ],
            // The whole call at its end again.
            vec![
                piece(json!(0), json!("x"), json!("read"), json!(r#"{"path": "a"}"#)),
                piece(json!(0), json!("x"), json!("read"), json!(r#"{"path": "a"}"#)),
            ],
            vec![piece(none(), json!("x"), json!("read"), json!(head)), piece(none(), none(), none(), json!(tail))],
            vec![piece(none(), json!("x"), none(), none()), piece(none(), none(), json!("read"), json!({"path": "a"}))],
        ];
        for case in &cases[..5] {
            assert_eq!(calls(case), one, "{case:?}");
        }
        // Without an index, a name always begins a call: an id alone is none.
        assert_eq!(calls(&cases[5]).last(), one.first());
    }

    #[test]
    fn empty_piece_is_no_call_and_incomplete_arguments_stay_text() {
        assert!(calls(&[piece(Value::Null, Value::Null, json!(""), json!(""))]).is_empty());
        let cut = [piece(json!(0), json!("x"), json!("read"), json!("{\"path"))];
        assert_eq!(calls(&cut), [("read".to_owned(), json!("{\"path"))]);
    }
}
