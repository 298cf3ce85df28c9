//! The front matter of a definition as far as lists show it. Reading is lenient: a list with an invalid line is more
//! useful than one in which the definition is missing.

use crate::core::text::front_matter;
use serde::Deserialize;
use serde_yaml::Value;

/// The fields of an AGENT.md or SKILL.md that lists show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headline {
    /// The description, in one line.
    pub description: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HeadlineFields {
    description: Option<Value>,
}

/// Reads the front matter. If it is invalid, the description says so.
#[must_use]
pub fn read(text: &str) -> Headline {
    let head: HeadlineFields = match front_matter::split(text).map(|parts| parts.yaml.map(serde_yaml::from_str)) {
        Ok(Some(Ok(head))) => head,
        Ok(None) => HeadlineFields::default(),
        Ok(Some(Err(_))) | Err(_) => {
            return Headline { description: "(invalid: run claw check)".to_owned() };
        }
    };
    let text = |value: Option<Value>| value.as_ref().and_then(Value::as_str).map(one_line).filter(|t| !t.is_empty());
    Headline { description: text(head.description).unwrap_or_default() }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_is_one_line_and_invalid_front_matter_is_reported() {
        let agent = read("---\nname: x\ndescription: |\n  Reads\n  the news.\n---\nx");
        assert_eq!(agent.description, "Reads the news.");
        assert_eq!(read("no front matter"), Headline::default());
        for bad in ["---\nname: [\n---\n", "---\nname: x\n"] {
            assert!(read(bad).description.contains("claw check"), "{bad}");
        }
    }
}
