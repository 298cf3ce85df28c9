//! Limits for YAML. Its parsers are quadratic in nesting and expand aliases, so that a few kilobytes can cost seconds
//! or gigabytes: such text is refused before it is parsed.

/// The deepest nesting of brackets.
const DEPTH: usize = 64;

/// Checks that `yaml` has at most `max` bytes, no aliases, and no deep nesting of brackets.
///
/// # Errors
/// The problem, as the end of a sentence whose subject is the text.
pub fn check(yaml: &str, max: usize) -> Result<(), String> {
    if yaml.len() > max {
        return Err(format!("is over {max} bytes"));
    }
    if has_aliases(yaml) {
        return Err("has an alias (`*name` of `&name`); write the value out".to_owned());
    }
    let mut depth = 0usize;
    for byte in yaml.bytes() {
        depth = match byte {
            b'[' | b'{' => depth + 1,
            b']' | b'}' => depth.saturating_sub(1),
            _ => depth,
        };
        if depth > DEPTH {
            return Err(format!("is nested over {DEPTH} levels deep"));
        }
    }
    Ok(())
}

/// Whether `yaml` may have aliases: an anchor, and anywhere its name after a `*`. An alias expands to a copy of the
/// anchored value, which may be half of the text and have aliases itself.
fn has_aliases(yaml: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    yaml.split('&').skip(1).any(|rest| {
        let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
        !name.is_empty() && yaml.contains(&format!("*{name}"))
    })
}

/// A key that a mapping has twice.
#[derive(Debug, PartialEq, Eq)]
pub struct RepeatedKey {
    /// The key.
    pub name: String,
    /// The line of the second one, from 1.
    pub line: usize,
    /// Its column, from 1.
    pub column: usize,
}

/// The first key that a mapping has twice: of two values one would be ignored. YAML forbids it (1.2.2, 3.2.1.1), and its
/// parsers accept it where the keys are not known before.
#[must_use]
pub fn repeated_key(yaml: &str) -> Option<RepeatedKey> {
    let error = serde_yaml::from_str::<serde_yaml::Value>(yaml).err()?;
    let text = error.to_string();
    let name = text.split_once("duplicate entry with key ")?.1;
    let name = name.split(" at line ").next().unwrap_or(name).trim_matches(['"', '\'']).to_owned();
    let places = yaml.lines().enumerate().flat_map(|(line, text)| {
        let name = &name;
        text.match_indices(name.as_str()).filter_map(move |(at, _)| {
            let after = text[at + name.len()..].trim_start_matches(['"', '\'']).trim_start();
            let before = text[..at].trim_end_matches(['"', '\'']).trim_end();
            let is_key = after.starts_with(':') && (before.is_empty() || before.ends_with(['{', ',', '-']));
            is_key.then_some((line + 1, at + 1))
        })
    });
    // The parser names the mapping; the last of its equal keys is the one that was added.
    let begin = error.location().map_or(1, |place| place.line());
    let mut places: Vec<(usize, usize)> = places.collect();
    places.retain(|(line, _)| *line >= begin);
    let (line, column) = places.get(1).or(places.last()).copied().unwrap_or((begin, 1));
    Some(RepeatedKey { name, line, column })
}

/// A number with a decimal comma in braces, `{input: 0,25}`: it is the number 0 and a key 25 without a value.
#[must_use]
pub fn decimal_comma(yaml: &str) -> Option<String> {
    let value = serde_yaml::from_str::<serde_yaml::Value>(yaml).ok()?;
    numeric_key(&value)
}

fn numeric_key(value: &serde_yaml::Value) -> Option<String> {
    match value {
        serde_yaml::Value::Sequence(all) => all.iter().find_map(numeric_key),
        serde_yaml::Value::Mapping(map) => {
            let mut before = None;
            for (key, value) in map {
                if let (serde_yaml::Value::Number(cents), true, Some(whole)) = (key, value.is_null(), before) {
                    return Some(format!("{whole},{cents}"));
                }
                if let Some(found) = numeric_key(value) {
                    return Some(found);
                }
                before = value.as_i64();
            }
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_key_is_found_at_every_depth() {
        let found = |yaml: &str| repeated_key(yaml).map(|key| (key.name, key.line));
        assert_eq!(found("a: 1\nb: 2\na: 3\n"), Some(("a".into(), 3)));
        assert_eq!(found("models:\n  gpt: {provider: x}\n  gpt: {provider: y}\n"), Some(("gpt".into(), 3)));
        assert_eq!(found("models:\n  gpt: {provider: x, provider: y}\n"), Some(("provider".into(), 2)));
        for yaml in ["a: {x: 1}\nb: {x: 1}\n", "- {x: 1}\n- {x: 1}\n", "a: [\n", ""] {
            assert_eq!(found(yaml), None, "{yaml}");
        }
    }

    #[test]
    fn decimal_comma_is_found() {
        assert_eq!(decimal_comma("price: {input: 0,25, output: 2}\n").as_deref(), Some("0,25"));
        assert_eq!(decimal_comma("m:\n- a: {x: 1,5}\n").as_deref(), Some("1,5"));
        for yaml in ["price: {input: 0.25, output: 2}\n", "a: {1: x, 2: y}\n", "a: {b: 1, c: }\n"] {
            assert_eq!(decimal_comma(yaml), None, "{yaml}");
        }
    }

    #[test]
    fn alias_is_refused() {
        for yaml in ["a: &a [x]\nb: [*a, *a]\n", "a: &x-1 y\nb: *x-1\n", "- &a\n- *a\n"] {
            assert!(check(yaml, 999).unwrap_err().contains("alias"), "{yaml}");
        }
        for yaml in
            ["schedule: \"*/5 * * * *\"\n", "a: R&D\nb: \"*bold* & *more*\"\n", "a: &a x\nb: a * b\n", "a: \"& *\"\n"]
        {
            assert!(check(yaml, 999).is_ok(), "{yaml}");
        }
    }

    #[test]
    fn large_or_deep_yaml_is_refused() {
        assert!(check("a: b\n", 4).unwrap_err().contains("4 bytes"));
        assert!(check(&format!("a: {}", "[".repeat(65)), 999).unwrap_err().contains("64 levels"));
        assert!(check(&"a: [b, {c: d}]\n".repeat(40), 999).is_ok());
    }
}
