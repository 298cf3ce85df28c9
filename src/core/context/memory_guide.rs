//! The layer of the system prompt about the memory, by `memories.way`. It names only tools that the agent has.

use crate::core::tool::DISPATCH;
use serde::Deserialize;

const HEAD: &str = "## Memory\n\nWhat is known about the owner is in `{{memories_path}}`. If you need a fact about the \
                    owner, search there before you ask, and cite the note.";
const RECALL: &str = "Look things up with `recall`.";
const REMEMBER: &str = "Save a fact with `remember`, one fact a call; if it replaces a fact, name the old one's \
                        path:line in `replaces`.";
const SKILL: &str = "Search and write there with your file tools, as the skill `memory` says.";

/// How agents use the memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum MemoryWay {
    /// They have the tools `recall` and `remember` for one look-up and one fact, and ask the memory agent for more.
    #[default]
    Agent,
    /// They do everything with these tools. They are not offered the memory agent.
    Tools,
    /// They use the skill `memory` and the file tools.
    Skill,
}

/// The layer for an agent that has these tools; empty if it can do nothing with the memory.
#[must_use]
pub fn text(way: MemoryWay, keeper: &str, has: impl Fn(&str) -> bool) -> String {
    let mut parts = vec![HEAD.to_owned()];
    if way == MemoryWay::Skill {
        parts.push(SKILL.to_owned());
    }
    if has("recall") {
        parts.push(RECALL.to_owned());
    }
    if has("remember") {
        parts.push(REMEMBER.to_owned());
    }
    if way == MemoryWay::Agent && has(DISPATCH) {
        parts.push(format!(
            "That is for one look-up or one fact. Give everything that takes more than one look-up, longer texts to \
             file, and tidying to the agent `{keeper}` with `{DISPATCH}`: it sees nothing of this conversation, so tell \
             it the whole question or all facts, and what you want back."
        ));
    }
    if parts.len() == 1 { String::new() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_names_only_the_tools_that_the_agent_has() {
        let all = |_: &str| true;
        let agent = text(MemoryWay::Agent, "cookie", all);
        assert!(agent.contains("`recall`") && agent.contains("`cookie`"), "{agent}");
        let tools = text(MemoryWay::Tools, "cookie", all);
        assert!(tools.contains("`remember`") && !tools.contains("cookie"), "{tools}");
        let skill = text(MemoryWay::Skill, "cookie", |name| name == DISPATCH);
        assert!(
            skill.contains("skill `memory`") && !skill.contains("`recall`") && !skill.contains("cookie"),
            "{skill}"
        );
        assert_eq!(text(MemoryWay::Tools, "cookie", |_| false), "");
        assert!(!text(MemoryWay::Agent, "cookie", |name| name == "recall").contains("cookie"));
    }
}
