//! A small JSON Schema: types, properties, items, enumerations and bounds. A schema with any other keyword is refused,
//! because a keyword that is ignored would promise what is not checked. References, patterns, formats and conditions are
//! not supported.

use serde_json::Value;

/// Keywords that only describe.
const NOTES: [&str; 7] = ["$schema", "$id", "title", "description", "default", "examples", "$comment"];
/// Keywords that are checked.
const CHECKED: [&str; 16] = [
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "anyOf",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "exclusiveMinimum",
    "exclusiveMaximum",
];
/// The deepest nesting.
const DEPTH: usize = 32;

/// A schema of which every keyword is checked.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonShape(Value);

impl JsonShape {
    /// Takes a schema.
    ///
    /// # Errors
    /// The place and the keyword that is not supported or has a wrong value.
    pub fn parse(schema: &Value) -> Result<Self, String> {
        supported(schema, "", 0)?;
        Ok(Self(schema.clone()))
    }

    /// Checks a value.
    ///
    /// # Errors
    /// The first place that does not satisfy the schema, and why.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        satisfies(&self.0, value, "")
    }
}

/// Whether every service with structured output can bind an answer to this schema: every object has all of its properties
/// and no others, and the bounds that some services do not know are absent. Sources: platform.openai.com/docs/guides/
/// structured-outputs (supported schemas) and platform.claude.com/docs, structured outputs (limitations).
#[must_use]
pub fn is_strict(schema: &Value) -> bool {
    const KNOWN: [&str; 9] =
        ["type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "description"];
    let Some(map) = schema.as_object() else { return false };
    let children = |key: &str| match map.get(key) {
        Some(Value::Object(all)) => all.values().all(is_strict),
        Some(Value::Array(all)) => all.iter().all(is_strict),
        _ => true,
    };
    let is_closed = || {
        let names = map.get("properties").and_then(Value::as_object);
        let required = map.get("required").and_then(Value::as_array);
        let is_required = |name: &String| required.is_some_and(|all| all.iter().any(|one| one == name));
        map.get("additionalProperties") == Some(&Value::Bool(false))
            && names.is_some_and(|all| all.keys().all(is_required))
    };
    let may_be_object = map.get("type").and_then(types).is_some_and(|names| names.contains(&"object"));
    map.keys().all(|key| KNOWN.contains(&key.as_str()))
        && (!may_be_object || is_closed())
        && children("properties")
        && children("anyOf")
        && map.get("items").is_none_or(is_strict)
}

fn at(path: &str) -> &str {
    if path.is_empty() { "the document" } else { path }
}

fn supported(schema: &Value, path: &str, depth: usize) -> Result<(), String> {
    if schema.is_boolean() {
        return Ok(());
    }
    let map = schema.as_object().ok_or_else(|| format!("{}: a schema is an object", at(path)))?;
    if depth > DEPTH {
        return Err(format!("{}: the schema is nested over {DEPTH} levels deep", at(path)));
    }
    let bad = |key: &str, why: &str| format!("{}: `{key}` {why}", at(path));
    for (key, value) in map {
        if NOTES.contains(&key.as_str()) {
            continue;
        }
        if !CHECKED.contains(&key.as_str()) {
            return Err(bad(key, &format!("is not supported; supported are {}", CHECKED.join(", "))));
        }
        let is_valid = match key.as_str() {
            "type" => types(value).is_some_and(|names| names.iter().all(|name| is_type(name))),
            "properties" => value.is_object(),
            "required" => value.as_array().is_some_and(|all| all.iter().all(Value::is_string)),
            "enum" | "anyOf" => value.as_array().is_some_and(|all| !all.is_empty()),
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => value.is_number(),
            "minLength" | "maxLength" | "minItems" | "maxItems" => value.is_u64(),
            _ => true,
        };
        if !is_valid {
            return Err(bad(key, "has a value that it cannot have"));
        }
        match (key.as_str(), value) {
            ("properties", Value::Object(all)) => {
                for (name, inner) in all {
                    supported(inner, &format!("{path}/{name}"), depth + 1)?;
                }
            }
            ("anyOf", Value::Array(all)) => {
                all.iter().try_for_each(|inner| supported(inner, path, depth + 1))?;
            }
            ("items" | "additionalProperties", inner) => supported(inner, &format!("{path}/*"), depth + 1)?,
            _ => {}
        }
    }
    Ok(())
}

fn types(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(name) => Some(vec![name]),
        Value::Array(all) => all.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

fn is_type(name: &str) -> bool {
    ["object", "array", "string", "number", "integer", "boolean", "null"].contains(&name)
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        // 1.0 is an integer (JSON Schema 2020-12, 6.1.1).
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    }
}

fn satisfies(schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    match schema {
        Value::Bool(true) => return Ok(()),
        Value::Bool(false) => return Err(format!("{} is not allowed", at(path))),
        _ => {}
    }
    let fails = |why: String| Err(format!("{} {why}", at(path)));
    if let Some(names) = schema.get("type").and_then(types)
        && !names.iter().any(|name| has_type(value, name))
    {
        return fails(format!("is not of type {}", names.join(" or ")));
    }
    if let Some(all) = schema["enum"].as_array().filter(|all| !all.contains(value)) {
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        return fails(format!("is none of {}", all.join(", ")));
    }
    if let Some(only) = schema.get("const").filter(|only| *only != value) {
        return fails(format!("is not {only}"));
    }
    if let Some(all) = schema["anyOf"].as_array() {
        let mut tried = all.iter().map(|inner| satisfies(inner, value, path));
        let first = tried.next().unwrap_or(Ok(()));
        if first.is_err() && !tried.any(|tried| tried.is_ok()) {
            return first;
        }
    }
    bounds(schema, value).map_or(Ok(()), fails)?;
    if let Some(map) = value.as_object() {
        if let Some(missing) = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find(|key| !map.contains_key(*key))
        {
            return fails(format!("has no `{missing}`"));
        }
        for (key, inner) in map {
            let own = schema["properties"].get(key).or_else(|| schema.get("additionalProperties"));
            own.map_or(Ok(()), |own| satisfies(own, inner, &format!("{path}/{key}")))?;
        }
    }
    if let (Some(all), Some(items)) = (value.as_array(), schema.get("items")) {
        for (n, inner) in all.iter().enumerate() {
            satisfies(items, inner, &format!("{path}/{n}"))?;
        }
    }
    Ok(())
}

/// The bound that a number, a text or a list exceeds.
fn bounds(schema: &Value, value: &Value) -> Option<String> {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let Some(n) = value.as_f64() {
        let over = [
            ("minimum", bound("minimum").filter(|least| n < *least)),
            ("maximum", bound("maximum").filter(|most| n > *most)),
            ("exclusiveMinimum", bound("exclusiveMinimum").filter(|least| n <= *least)),
            ("exclusiveMaximum", bound("exclusiveMaximum").filter(|most| n >= *most)),
        ];
        return over.into_iter().find_map(|(key, bound)| Some(format!("is beyond its {key}, {}", bound?)));
    }
    let (unit, length) = match value {
        Value::String(text) => ("Length", text.chars().count()),
        Value::Array(all) => ("Items", all.len()),
        _ => return None,
    };
    let bound = |key: &str| schema.get(format!("{key}{unit}")).and_then(Value::as_u64);
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    let least = bound("min").filter(|least| length < *least).map(|least| format!("is shorter than {least}"));
    least.or_else(|| bound("max").filter(|most| length > *most).map(|most| format!("is longer than {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(schema: &Value, value: &Value) -> String {
        JsonShape::parse(schema).unwrap().check(value).err().unwrap_or_default()
    }

    #[test]
    fn every_supported_keyword_is_checked() {
        let person = json!({
            "type": "object", "required": ["name"], "additionalProperties": false,
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 5},
                "age": {"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 150},
                "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
                "kind": {"anyOf": [{"const": 1}, {"type": "boolean"}]},
            },
        });
        let fails = |value: Value| check(&person, &value);
        assert_eq!(fails(json!({"name": "Ann", "age": 7.0, "tags": ["a"], "kind": true})), "");
        for (value, why) in [
            (json!([]), "the document is not of type object"),
            (json!({}), "the document has no `name`"),
            (json!({"name": ""}), "/name is shorter than 1"),
            (json!({"name": "Annabel"}), "/name is longer than 5"),
            (json!({"name": "A", "age": 1.5}), "/age is not of type integer or null"),
            (json!({"name": "A", "age": -1}), "/age is beyond its minimum, 0"),
            (json!({"name": "A", "age": 150}), "/age is beyond its exclusiveMaximum, 150"),
            (json!({"name": "A", "tags": ["c"]}), "/tags/0 is none of \"a\", \"b\""),
            (json!({"name": "A", "tags": ["a", "a", "b"]}), "/tags is longer than 2"),
            (json!({"name": "A", "kind": 2}), "/kind is not 1"),
            (json!({"name": "A", "x": 1}), "/x is not allowed"),
        ] {
            assert_eq!(fails(value), why);
        }
    }

    #[test]
    fn strict_schemas_have_closed_objects_and_no_bounds() {
        let closed = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
            "additionalProperties": false});
        let list = json!({"type": "array", "items": closed});
        assert!(is_strict(&closed) && is_strict(&list) && is_strict(&json!({"anyOf": [closed, {"type": "null"}]})));
        for (key, value) in [
            ("required", json!([])),
            ("additionalProperties", json!(true)),
            ("properties", json!({"a": {"type": "integer", "minimum": 1}})),
            ("properties", json!({"a": {"type": "object"}})),
            ("minItems", json!(1)),
        ] {
            let mut other = closed.clone();
            other[key] = value;
            assert!(!is_strict(&other), "{other}");
            assert!(!is_strict(&json!({"type": "array", "items": other})) && !is_strict(&json!({"anyOf": [other]})));
        }
        assert!(!is_strict(&json!(true)));
    }

    #[test]
    fn other_keywords_are_refused_wherever_they_are() {
        let refused = |schema: &Value| JsonShape::parse(schema).unwrap_err();
        for (schema, place) in [
            (json!({"pattern": "x"}), "the document: `pattern` is not supported"),
            (json!({"properties": {"a": {"$ref": "#"}}}), "/a: `$ref` is not supported"),
            (json!({"items": {"format": "date"}}), "/*: `format` is not supported"),
            (json!({"type": "text"}), "the document: `type` has a value that it cannot have"),
            (json!({"minLength": -1}), "the document: `minLength` has"),
            (json!([]), "the document: a schema is an object"),
        ] {
            assert!(refused(&schema).starts_with(place), "{schema}: {}", refused(&schema));
        }
        let mut deep = json!({});
        for _ in 0..40 {
            deep = json!({"items": deep});
        }
        assert!(refused(&deep).contains("levels deep"));
    }
}
