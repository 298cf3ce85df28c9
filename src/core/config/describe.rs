//! The settings by their JSON Schema: which keys there are, and their defaults.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::problem::nearest;
use serde_json::Value;
use std::sync::LazyLock;

static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../docs/schema/claw.yaml.json")).unwrap_or_default());

/// The default of the setting at `path`; null if it has none.
///
/// # Errors
/// `Usage` if there is no such setting, with the most similar one.
pub fn default(path: &[String]) -> Result<serde_yaml::Value> {
    let mut schema = &*SCHEMA;
    for (depth, key) in path.iter().enumerate() {
        schema = below(schema, key).ok_or_else(|| {
            let whole = path[..=depth].join(".");
            let known = keys(schema);
            let fault = Fault::new(Kind::Usage, format!("there is no setting `{}`", whole.escape_debug()));
            match nearest(key, known.iter().copied()) {
                Some(near) => fault.hint(format!("did you mean `{near}`?")),
                None if known.is_empty() => fault.hint("it has no parts"),
                None => fault.hint(format!("there are: {}", known.join(", "))),
            }
        })?;
    }
    Ok(serde_yaml::to_value(&schema["default"]).unwrap_or_default())
}

/// The alternatives of a schema: itself, what it refers to, and each of several.
fn resolved(schema: &Value) -> Vec<&Value> {
    let referred = schema["$ref"].as_str().and_then(|to| SCHEMA.pointer(to.trim_start_matches('#')));
    let several = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten();
    let mut all = vec![schema];
    for other in referred.into_iter().chain(several) {
        all.extend(resolved(other));
    }
    all
}

fn below<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    resolved(schema).into_iter().find_map(|schema| {
        let named = schema["properties"].get(key);
        named.or_else(|| schema.get("additionalProperties").filter(|other| **other != Value::Bool(false)))
    })
}

fn keys(schema: &Value) -> Vec<&str> {
    let maps = resolved(schema).into_iter().filter_map(|schema| schema["properties"].as_object());
    maps.flat_map(|map| map.keys().map(String::as_str)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::edit;

    #[test]
    fn defaults_and_unknown_keys_are_found_at_every_depth() {
        let default = |key: &str| default(&edit::path(key).unwrap());
        assert_eq!(default("max_concurrency").unwrap(), serde_yaml::Value::from(8));
        assert_eq!(default("keep.done_days").unwrap(), serde_yaml::Value::from(7));
        for known in ["models.gpt.model", "models.gpt.price.input", "models.gpt.headers.X-Title", "web.search.provider"]
        {
            assert!(default(known).is_ok(), "{known}: {:?}", default(known));
        }
        let hint = |key: &str| default(key).unwrap_err().hint.unwrap();
        assert_eq!(hint("modle"), "did you mean `model`?");
        assert_eq!(hint("models.gpt.modle"), "did you mean `model`?");
        assert!(hint("keep.x").contains("done_days"));
        assert!(default("model.x").is_err());
    }
}
