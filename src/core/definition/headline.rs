//! What a definition says of itself in its first lines, for lists: lenient, because a list with a hole says
//! less than one with a bad line.

use crate::core::text::front_matter;
use serde::Deserialize;
use serde_yaml::Value;

/// The head of an AGENT.md, SKILL.md or CRON.md.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headline {
    /// What it is for, in one line.
    pub description: String,
    /// When it runs.
    pub schedule: Option<String>,
    /// Who does it.
    pub agent: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    description: Option<Value>,
    schedule: Option<Value>,
    agent: Option<Value>,
}

/// Reads the head; what cannot be read is said in the place of the description.
#[must_use]
pub fn read(text: &str) -> Headline {
    let head: Fields = match front_matter::split(text).map(|parts| parts.yaml.map(serde_yaml::from_str)) {
        Ok(Some(Ok(head))) => head,
        Ok(None) => Fields::default(),
        Ok(Some(Err(_))) | Err(_) => {
            return Headline { description: "(cannot be read: claw check)".to_owned(), ..Headline::default() };
        }
    };
    let text = |value: Option<Value>| value.as_ref().and_then(Value::as_str).map(one_line).filter(|t| !t.is_empty());
    Headline {
        description: text(head.description).unwrap_or_default(),
        schedule: text(head.schedule),
        agent: text(head.agent),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_one_line_and_a_bad_one_says_so() {
        let cron =
            read("---\nname: x\ndescription: |\n  Reads\n  the news.\nschedule: '0 7 * * *'\nagent: cookie\n---\nx");
        assert_eq!(cron.description, "Reads the news.");
        assert_eq!((cron.schedule.as_deref(), cron.agent.as_deref()), (Some("0 7 * * *"), Some("cookie")));
        assert_eq!(read("no front matter"), Headline::default());
        for bad in ["---\nname: [\n---\n", "---\nname: x\n"] {
            assert!(read(bad).description.contains("claw check"), "{bad}");
        }
    }
}
