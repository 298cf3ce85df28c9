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

#[cfg(test)]
mod tests {
    use super::check;

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
