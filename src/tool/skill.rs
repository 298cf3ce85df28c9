//! `skill`: what an agent can learn to do, told when it is about to do it. The list is in its prompt; the
//! instructions, and which files lie beside them, are told here. A skill that is broken is told to be: who
//! has just written one looks at it in this way.

use crate::core::definition::Agent;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::template;
use crate::core::tool::{self, Approve, Class};
use crate::store::skills::scripts::{self, Role, SkillFile};
use crate::store::skills::{self, FOLDER};
use crate::store::workspace::Workspace;
use crate::tool::{Builtin, ToolContext};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write;

/// The most files that are told by name.
const MAX_FILES: usize = 200;

pub(super) const SKILL: Builtin = Builtin {
    name: "skill",
    class: Class::Reads,
    description: "Learn how something is done here: tells a skill's instructions, and the files that lie beside \
                  them. Your instructions list the skills there are. Call it also to see whether a skill that you \
                  have written is in order.",
    parameters: || {
        json!({
            "type": "object",
            "properties": {
                "skill_name": {"type": "string", "description": "The skill, by its name in the list."},
            },
            "required": ["skill_name"],
            "additionalProperties": false,
        })
    },
    run: skill,
};

/// Whether the owner is asked before `agent` learns; nothing where it may not. Its `allow_skills` decides,
/// and a line in its `tools:` may say when he is asked.
pub(super) fn grant(agent: &Agent) -> Option<Approve> {
    agent.allow_skills.then(|| agent.tools.approve(SKILL.name).unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    skill_name: String,
}

fn skill(context: &ToolContext, arguments: &Value) -> Result<String> {
    let args: Args = tool::arguments(arguments)?;
    told(context.workspace, args.skill_name.trim())
}

/// What an agent is told of the skill `name`.
///
/// # Errors
/// `Data` where there is none of that name, or where its file is bad; `Failed` where this machine lacks
/// something for it.
pub fn told(workspace: &Workspace, name: &str) -> Result<String> {
    let standing = skills::find(workspace, name)?;
    let id = &standing.id;
    let (skill, warnings) =
        &**standing.read.as_ref().map_err(|problem| Fault::data(format!("skill `{id}`: {problem}")))?;
    if !standing.missing.is_empty() {
        let what = format!("skill `{id}` cannot be used here: {}", standing.missing.join("; "));
        return Err(Fault::new(Kind::Failed, what));
    }
    let root = workspace.real_root().display().to_string();
    let mut text = format!("# Skill {id}, in {FOLDER}/{id}\n\n{}\n", template::expand(&skill.body, &root));
    let files: Vec<SkillFile> =
        scripts::of(workspace, id).into_iter().filter(|file| !file.path.contains("/.")).collect();
    if !files.is_empty() {
        let _ = write!(text, "\n---\nFiles beside it, to be read when the text above sends you there:\n");
        for file in files.iter().take(MAX_FILES) {
            let role = match file.role {
                Role::Text => "",
                Role::Approved => ", a script that may be run",
                Role::Inert => ", a script that is not approved: do not run it",
            };
            let _ = writeln!(text, "- {} ({} bytes{role})", file.path, file.size);
        }
        if files.len() > MAX_FILES {
            let _ = writeln!(text, "- … and {} more", files.len() - MAX_FILES);
        }
        if files.iter().any(|file| file.role == Role::Inert) {
            let _ = writeln!(text, "What is not approved the owner approves with `claw skills approve {id}`.");
        }
    }
    if !skill.tools.is_empty() {
        let _ = writeln!(text, "\nIt expects these tools, maybe by other names: {}", skill.tools.join(", "));
    }
    if !warnings.is_empty() {
        let _ = writeln!(text, "\nTo be mended in its SKILL.md:");
        for warning in warnings {
            let _ = writeln!(text, "- {warning}");
        }
    }
    Ok(text.trim_end().to_owned())
}
