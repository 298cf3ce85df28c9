//! `claw skills`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::problem::Problem;
use crate::report::problem::ProblemReport;
use crate::store::agent::definitions;
use crate::store::skills::scripts::{self, Role, SkillFile};
use crate::store::skills::{self, SkillStatus};
use crate::store::workspace::Workspace;
use crate::tool;
use serde_json::{Value, json};

/// List skills, show and check them, and approve their texts and scripts
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print JSON: one line for each skill, problem or file
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the text that an agent reads, and the state of the skill
    Show {
        /// The skill
        id: String,
    },
    /// Check the skills' files
    Check {
        /// The skills [default: all]
        ids: Vec<String>,
    },
    /// Approve a skill's texts and scripts in their present version; prints them first
    Approve {
        /// The skills
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Only print the files
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
}

/// Lists, shows, checks or approves skills.
///
/// # Errors
/// `Data` if a skill does not exist.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    match &args.action {
        None => list(&here.look()?, args.json),
        Some(Action::Show { id }) => show(&here.look()?, id, args.json),
        Some(Action::Check { ids }) => check(&here.look()?, ids, args.json),
        Some(Action::Approve { ids, dry_run }) => {
            let workspace = if *dry_run { here.look()? } else { here.open()? };
            ids.iter().try_for_each(|id| approve(&workspace, id, *dry_run, args.json)).map(|()| 0)
        }
    }
}

fn list(workspace: &Workspace, as_json: bool) -> Result<u8> {
    let all = skills::all(workspace)?;
    let width = all.iter().map(|skill| skill.id.chars().count()).max().unwrap_or_default();
    for status in &all {
        let files = scripts::of(workspace, &status.id);
        if as_json {
            out::json(&document(workspace, status, &files))?;
            continue;
        }
        let manual = scripts::manual(workspace, &status.id);
        let unapproved = manual.iter().chain(&files).filter(|file| is_unapproved(file)).count();
        let mut text = match status.offered() {
            Some(skill) => skill.description.split_whitespace().collect::<Vec<_>>().join(" "),
            None => format!("not offered: {}", status.unavailable_reason()),
        };
        if unapproved > 0 {
            text += &format!(" [{unapproved} files not approved: claw skills approve {}]", status.id);
        }
        out::line(&format!("{:<width$}  {text}", status.id))?;
    }
    if !all.is_empty() && agents_with_skills(workspace).is_empty() {
        workspace.world.say("no agent may use skills; set `allow_skills: true` in an AGENT.md");
    }
    Ok(0)
}

fn show(workspace: &Workspace, name: &str, as_json: bool) -> Result<u8> {
    let status = skills::find(workspace, name)?;
    let files = scripts::of(workspace, &status.id);
    let text = tool::skill::describe(workspace, &status.id);
    if as_json {
        let mut document = document(workspace, &status, &files);
        document["text"] = json!(text.as_ref().ok());
        out::json(&document)?;
        return Ok(0);
    }
    if let Ok((skill, _)) = status.read.as_deref() {
        let head = [
            ("description", Some(skill.description.as_str())),
            ("compatibility", skill.compatibility.as_deref()),
            ("license", skill.license.as_deref()),
        ];
        for (key, value) in head.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            out::line(&format!("{key}: {value}"))?;
        }
        out::line(&format!("offered to: {}", offered_to(workspace, &status).join(", ")))?;
        out::line("")?;
    }
    out::line(&text?)?;
    Ok(0)
}

fn check(workspace: &Workspace, names: &[String], as_json: bool) -> Result<u8> {
    let wanted: Vec<String> =
        names.iter().map(|name| skills::find(workspace, name).map(|s| s.id)).collect::<Result<_>>()?;
    let mut problems = skills::problems(workspace);
    let is_of = |problem: &Problem, id: &String| problem.path == format!("{}/{id}/SKILL.md", skills::FOLDER);
    problems.retain(|problem| wanted.is_empty() || wanted.iter().any(|id| is_of(problem, id)));
    for problem in &problems {
        if as_json {
            out::json(&ProblemReport::from(problem))?;
        } else {
            out::line(&problem.to_string())?;
        }
    }
    if problems.is_empty() && !as_json {
        let count = if names.is_empty() { definitions::folders(workspace, skills::FOLDER)?.len() } else { names.len() };
        out::line(&format!("{count} skills without problems"))?;
    }
    Ok(if problems.iter().any(|problem| !problem.is_warning) { 78 } else { 0 })
}

fn approve(workspace: &Workspace, name: &str, is_dry: bool, as_json: bool) -> Result<()> {
    let id = skills::find(workspace, name)?.id;
    let files = scripts::unapproved(workspace, &id)?;
    let verb = if is_dry { "would be approved" } else { "approved" };
    for file in &files {
        let (size, hash) = (file.bytes.len(), scripts::hash(&file.bytes));
        if as_json {
            let now = !is_dry;
            out::json(&json!({"skill": id, "path": file.path, "size": size, "hash": hash, "approved": now}))?;
            continue;
        }
        out::line(&format!("==> {} ({size} bytes, blake3 {})", out::row(&file.path), &hash[..16]))?;
        match std::str::from_utf8(&file.bytes) {
            Ok(text) => out::line(text.trim_end_matches('\n'))?,
            Err(_) => out::line("(not UTF-8 text)")?,
        }
    }
    if !is_dry && !files.is_empty() {
        scripts::approve(workspace, &files)?;
    }
    if files.is_empty() {
        out::message(&format!("{id} has no unapproved file"));
    } else {
        out::message(&format!("{verb}: {} files of {id}, as printed", files.len()));
    }
    let links = scripts::of(workspace, &id).into_iter().filter(is_unapproved);
    match links.map(|file| file.path).find(|path| workspace.path(path).is_symlink()) {
        Some(link) => Err(Fault::new(Kind::Failed, format!("{link} is a symbolic link, which cannot be approved"))
            .hint("replace it by the file itself")),
        None => Ok(()),
    }
}

fn is_unapproved(file: &SkillFile) -> bool {
    matches!(file.role, Role::Inert | Role::Unapproved)
}

/// The agents that may use skills.
fn agents_with_skills(workspace: &Workspace) -> Vec<String> {
    let may = |id: &String| definitions::agent(workspace, id).is_ok_and(|agent| agent.allow_skills);
    definitions::folders(workspace, "agents").unwrap_or_default().into_iter().filter(may).collect()
}

fn offered_to(workspace: &Workspace, status: &SkillStatus) -> Vec<String> {
    match status.offered() {
        None => vec!["no agent".to_owned()],
        Some(_) => {
            Some(agents_with_skills(workspace)).filter(|ids| !ids.is_empty()).unwrap_or(vec!["no agent".to_owned()])
        }
    }
}

fn document(workspace: &Workspace, status: &SkillStatus, files: &[SkillFile]) -> Value {
    let found = status.read.as_deref();
    let skill = found.map(|(skill, _)| skill).ok();
    let problems: Vec<String> = match found {
        Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect(),
        Err(problem) => vec![problem.to_string()],
    };
    json!({
        "skill": status.id,
        "name": skill.map(|skill| &skill.name),
        "description": skill.map(|skill| &skill.description),
        "license": skill.and_then(|skill| skill.license.as_ref()),
        "compatibility": skill.and_then(|skill| skill.compatibility.as_ref()),
        "allowed_tools": skill.map(|skill| &skill.tools),
        "offered": status.offered().is_some(),
        "approved": scripts::has_approved_manual(workspace, &status.id).unwrap_or(false),
        "agents": if status.offered().is_some() { agents_with_skills(workspace) } else { Vec::new() },
        "missing": status.missing,
        "problems": problems,
        "files": files
            .iter()
            .map(|file| json!({"path": file.path, "size": file.size, "role": file.role}))
            .collect::<Vec<_>>(),
    })
}
