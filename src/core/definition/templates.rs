//! The files that `claw new agent`, `claw new skill` and `claw new tool` write: each is valid at once.

/// The AGENT.md of a new agent. Without a description and a prompt it has examples.
#[must_use]
pub fn agent(id: &str, description: Option<&str>, prompt: Option<&str>) -> String {
    let description = quoted(description.unwrap_or(""));
    let prompt = prompt
        .map_or_else(|| format!("You are {id}. Answer briefly, and say so if you do not know."), ToOwned::to_owned);
    format!("---\nname: {id}\ndescription: {description}\n{AGENT_FIELDS}---\n\n{}\n", prompt.trim())
}

const AGENT_FIELDS: &str = "\
# model: NAME                     # a name of `models` in claw.yaml; default: the workspace's model
# allow_skills: true              # whether it may use skills
# tools: [read, recall]           # the tools that it may use; default: all
# write: [files]                  # the paths that it may write
# max_concurrency: 2              # turns at the same time
# max_steps: 30                   # model calls in one turn
# turn_timeout: 30m
# budget: {day: {tokens: 200000}}
";

/// The SKILL.md of a new skill.
#[must_use]
pub fn skill(id: &str, description: Option<&str>, text: Option<&str>) -> String {
    let example = "What it does, and when to use it: the model chooses a skill by this line.";
    let description = quoted(description.unwrap_or(example));
    let text = text
        .unwrap_or("1. The first step.\n2. The second step.\n\nProgram: `scripts/NAME`, after `claw skills approve`.");
    format!("---\nname: {id}\ndescription: {description}\n---\n\n# {id}\n\n{}\n", text.trim())
}

/// The program and the manifest of a new tool.
#[must_use]
pub fn tool(name: &str, description: Option<&str>) -> (String, String) {
    let program = format!(
        "#!/bin/sh\n\
         # The arguments are JSON on stdin; stdout is the result. Any exit code but 0 is a failure.\n\
         # Try it: echo '{{\"text\": \"hello\"}}' | tools/{name}\n\
         set -eu\n\
         exec sed -n 's/.*\"text\" *: *\"\\([^\"]*\\)\".*/{name}: \\1/p'\n"
    );
    let description = quoted(description.unwrap_or("Returns the text. (Say here what it does, for the model.)"));
    let manifest = format!(
        "{{\n  \"description\": {description},\n  \"parameters\": {{\n    \"type\": \"object\",\n    \"properties\": {{\n      \
         \"text\": {{\"type\": \"string\", \"description\": \"The text\"}}\n    }},\n    \"required\": [\"text\"]\n  }},\n  \
         \"class\": \"reads\"\n}}\n"
    );
    (program, manifest)
}

/// A text as JSON, which is YAML too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text.trim()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::definition::{agent as agents, skill as skills};

    #[test]
    fn new_definitions_are_valid_without_warnings() {
        for text in [None, Some("a: \"b\"\n# c")] {
            let (agent, warnings) = agents::read("a", "p", &agent("a", text, text), None).unwrap();
            assert_eq!((agent.name.as_str(), warnings), ("a", vec![]));
            let (_, warnings) = skills::read("a-b", "p", &skill("a-b", text, text)).unwrap();
            assert_eq!(warnings, []);
            let manifest: serde_json::Value = serde_json::from_str(&tool("t", text).1).unwrap();
            assert_eq!(manifest["class"], "reads");
        }
        let uncommented = agent("a", None, None).replace("# allow_skills", "allow_skills").replace("# tools", "tools");
        assert!(agents::read("a", "p", &uncommented, None).unwrap().1.is_empty());
    }
}
