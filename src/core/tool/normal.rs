//! Calls that are nearly right. Models write a name with a prefix, a number as a text or a key that no tool has; the
//! meaning is clear, and a call that is refused for its form is often made again in the same form.

use crate::core::model::Call;
use serde_json::{Map, Value};

/// Prefixes that models write before the name of a tool.
const PREFIXES: [&str; 4] = ["functions.", "functions/", "tools.", "default_api."];

/// The tool that a written name means; `None` if there is none, or if it could be several. An exact name wins.
#[must_use]
pub fn name<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let find = |wanted: &str| known.iter().find(|name| **name == wanted).copied();
    let trimmed = written.trim();
    let plain = PREFIXES.iter().find_map(|prefix| strip_prefix_of_any_case(trimmed, prefix)).unwrap_or(trimmed);
    // A number after the name counts the calls.
    let plain = plain.rsplit_once(':').filter(|(_, n)| n.parse::<u32>().is_ok()).map_or(plain, |(name, _)| name).trim();
    find(written).or_else(|| find(trimmed)).or_else(|| find(plain)).or_else(|| {
        let mut similar = known.iter().filter(|name| name.eq_ignore_ascii_case(plain));
        similar.next().copied().filter(|_| similar.next().is_none())
    })
}

fn strip_prefix_of_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    text.get(..prefix.len()).filter(|begin| begin.eq_ignore_ascii_case(prefix)).map(|_| &text[prefix.len()..])
}

/// The call with arguments of the types that `schema` names, and the keys that were left out because the schema excludes
/// them. A value without a clear meaning stays as it is.
#[must_use]
pub fn call(call: &Call, schema: &Value) -> (Call, Vec<String>) {
    let mut ignored = Vec::new();
    let arguments = value(&call.arguments, schema, &mut ignored);
    (Call { arguments, ..call.clone() }, ignored)
}

fn value(written: &Value, schema: &Value, ignored: &mut Vec<String>) -> Value {
    let is = |name: &str| match &schema["type"] {
        Value::String(only) => only == name,
        Value::Array(names) => names.iter().any(|one| one == name),
        _ => false,
    };
    match written {
        Value::Object(map) if schema["properties"].is_object() => Value::Object(object(map, schema, ignored)),
        Value::Array(all) => all.iter().map(|one| value(one, &schema["items"], ignored)).collect(),
        Value::String(text) if !is("string") => {
            from_text(text.trim(), &is).map_or_else(|| written.clone(), |read| value(&read, schema, ignored))
        }
        Value::Number(number) if is("integer") => number.as_f64().and_then(integer).unwrap_or_else(|| written.clone()),
        Value::Number(_) | Value::Bool(_) if is("string") && !is("number") && !is("integer") && !is("boolean") => {
            Value::String(written.to_string())
        }
        _ => written.clone(),
    }
}

fn object(map: &Map<String, Value>, schema: &Value, ignored: &mut Vec<String>) -> Map<String, Value> {
    let is_closed = schema["additionalProperties"] == false;
    let is_required = |key: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == key));
    let mut read = Map::new();
    for (key, written) in map {
        match schema["properties"].get(key) {
            None if is_closed => ignored.push(key.clone()),
            None => drop(read.insert(key.clone(), written.clone())),
            // Null stands for an argument that is left out.
            Some(_) if written.is_null() && !is_required(key) => {}
            Some(property) => drop(read.insert(key.clone(), value(written, property, ignored))),
        }
    }
    read
}

/// The value of another type that a text means.
fn from_text(text: &str, is: &dyn Fn(&str) -> bool) -> Option<Value> {
    let number = || text.parse::<f64>().ok().filter(|number| number.is_finite());
    if is("boolean") && (text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")) {
        return Some(Value::Bool(text.eq_ignore_ascii_case("true")));
    }
    if is("integer")
        && let Some(read) = number().and_then(integer)
    {
        return Some(read);
    }
    if is("number")
        && let Some(read) = number()
    {
        return Some(Value::from(read));
    }
    let read: Value = serde_json::from_str(text).ok()?;
    let fits = (is("array") && read.is_array()) || (is("object") && read.is_object());
    fits.then_some(read)
}

/// A number without a fraction as an integer.
fn integer(number: f64) -> Option<Value> {
    #[expect(clippy::cast_possible_truncation, reason = "exact up to 2^53")]
    (number.fract() == 0.0 && number.abs() < 9e15).then(|| Value::from(number as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn name_is_found_in_every_spelling_and_an_exact_one_wins() {
        let known = ["bash", "read", "Read", "functions.x"];
        let cases = [
            ("bash", Some("bash")),
            (" bash\n", Some("bash")),
            ("Bash", Some("bash")),
            ("functions.bash", Some("bash")),
            ("Functions.BASH:0", Some("bash")),
            ("functions.x", Some("functions.x")),
            ("Read", Some("Read")),
            ("READ", None),
            ("bas", None),
            ("", None),
        ];
        for (written, found) in cases {
            assert_eq!(name(written, &known), found, "{written:?}");
        }
    }

    #[test]
    fn arguments_get_the_types_of_the_schema() {
        let schema = json!({"type": "object", "additionalProperties": false, "required": ["path"], "properties": {
            "path": {"type": "string"}, "limit": {"type": "integer"}, "share": {"type": "number"},
            "all": {"type": "boolean"}, "names": {"type": "array", "items": {"type": "integer"}},
            "any": {}, "either": {"type": ["integer", "null"]},
        }});
        let cases = [
            (json!({"path": "a", "limit": "20"}), json!({"path": "a", "limit": 20})),
            (json!({"path": "a", "limit": 20.0, "share": "0.5"}), json!({"path": "a", "limit": 20, "share": 0.5})),
            (json!({"path": "a", "all": "True", "limit": null}), json!({"path": "a", "all": true})),
            (json!({"path": 7, "names": "[1, 2]"}), json!({"path": "7", "names": [1, 2]})),
            (json!({"path": true, "names": ["1", 2.0]}), json!({"path": "true", "names": [1, 2]})),
            (json!({"path": null, "any": "5", "either": "5"}), json!({"path": null, "any": "5", "either": 5})),
            (
                json!({"path": "20", "limit": "many", "all": "maybe"}),
                json!({"path": "20", "limit": "many", "all": "maybe"}),
            ),
            (json!({"path": "a", "limit": 1.5}), json!({"path": "a", "limit": 1.5})),
            (json!("{\"pa"), json!("{\"pa")),
        ];
        for (arguments, expected) in cases {
            let written = Call { id: "x".into(), name: "read".into(), arguments };
            assert_eq!(call(&written, &schema).0.arguments, expected, "{written:?}");
        }
    }

    #[test]
    fn unknown_keys_are_left_out_only_where_the_schema_excludes_them() {
        let arguments = json!({"path": "a", "description": "says A"});
        let written = Call { id: "x".into(), name: "read".into(), arguments: arguments.clone() };
        let mut schema = json!({"type": "object", "properties": {"path": {"type": "string"}}});
        assert_eq!(call(&written, &schema), (written.clone(), vec![]));
        schema["additionalProperties"] = json!(false);
        let (normal, ignored) = call(&written, &schema);
        assert_eq!((normal.arguments, ignored), (json!({"path": "a"}), vec!["description".to_owned()]));
        assert_eq!(call(&written, &json!({"type": "object"})).0, written);
    }

    #[test]
    fn normal_call_stays_as_it_is() {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": false});
        let written = Call { id: "x".into(), name: "read".into(), arguments: json!({"n": "7", "x": 1}) };
        let (once, _) = call(&written, &schema);
        assert_eq!(call(&once, &schema), (once.clone(), vec![]));
    }
}
