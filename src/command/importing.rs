//! `claw init --from`: the plan of an import, and the workspace that is built from it.

use crate::command::terminal::style::spinner::Spinner;
use crate::command::terminal::{create, out};
use crate::core::config::{FILE, OFFLINE};
use crate::core::fault::{Fault, Kind, Result};
use crate::import::plan::ImportPlan;
use crate::import::source::Source;
use crate::import::{Import, build};
use crate::store::fs::At;
use crate::store::memory::git;
use crate::store::staging::Staging;
use crate::store::workspace::{Workspace, scaffold, trust};
use crate::world::World;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// The record of an import, in the new workspace.
const RECORD: &str = ".claw/imported.json";
/// The number of files between two steps of the progress.
const STEP: usize = 100;

/// The form in which a plan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanForm {
    Text,
    Json,
}

/// Prints the plan of an import, and writes nothing.
///
/// # Errors
/// `Data` if the source is not recognised; those of the file system.
pub(crate) fn show(world: &World, from: &Path, form: PlanForm) -> Result<()> {
    let source = Source::open(from)?;
    let import = Import::of(&source, world.now().timestamp())?;
    let mut plan = import.plan()?;
    build::carry_out(&import, &mut plan, None, &progress(world, source.files.len()))?;
    if form == PlanForm::Json {
        let lines: String = plan.items.iter().map(|item| document(item).to_string() + "\n").collect();
        return out::json_lines(&lines);
    }
    for line in plan.text(false).lines() {
        out::line(line)?;
    }
    out::line(&summary(&plan))
}

fn document(item: &crate::import::plan::PlanItem) -> Value {
    use crate::import::plan::Fate;
    let (fate, why) = match &item.fate {
        Fate::Becomes(_) => ("becomes", None),
        Fate::Aside => ("aside", None),
        Fate::Stays(why) => ("stays", Some(why)),
    };
    json!({"source": item.source, "fate": fate, "targets": item.targets(), "reason": why, "notes": item.notes})
}

fn summary(plan: &ImportPlan) -> String {
    let [becomes, aside, stays] = plan.counts();
    format!("{}: {becomes} files become files of the workspace, {aside} are kept aside, {stays} stay", plan.program)
}

/// Imports the folder `from` as a new workspace in `target`; returns a line about it. A second run changes nothing.
///
/// # Errors
/// `Failed` if the target has files; `Data` if the source is not recognised; those of the file system. Then there is no
/// target.
pub(crate) fn import(world: &World, from: &Path, target: &Path) -> Result<String> {
    let source = Source::open(from)?;
    let target = absolute(target)?;
    for (outer, inner) in [(&source.root, &target), (&target, &source.root)] {
        if inner.starts_with(outer) {
            return Err(Fault::new(Kind::Usage, format!("{} is in {}", inner.display(), outer.display()))
                .hint("import into a folder outside of the source"));
        }
    }
    let is_empty = match fs::read_dir(&target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => true,
        Err(e) => return Err(e).at("read", &target),
    };
    if !is_empty {
        return repeated(&source, &target);
    }
    let import = Import::of(&source, world.now().timestamp())?;
    let mut plan = import.plan()?;
    let parent = target.parent().unwrap_or(&target);
    fs::create_dir_all(parent).at("make", parent)?;
    let staging = Staging::begin(&target)?;
    build_tree(world, &import, &mut plan, &staging.tree())?;
    staging.finish()?;
    if let Err(fault) = trust::trust(world, &target) {
        out::message(&fault.to_string());
    }
    report(&plan);
    if std::env::current_dir().is_err() {
        out::message("the current folder was replaced: enter it again with `cd \"$PWD\"`");
    }
    Ok(format!("imported {} from {}", create::short(world, &target), summary(&plan)))
}

fn build_tree(world: &World, import: &Import, plan: &mut ImportPlan, tree: &Path) -> Result<()> {
    build::carry_out(import, plan, Some(tree), &progress(world, import.source.files.len()))?;
    let mut makes_git = git::is_installed();
    if !plan.is_complete {
        let (name, lines) = create::model(world);
        let lines = build::settings(&plan.settings, (&name, &lines), &|variable| world.var(variable).is_some());
        let written = scaffold::write(tree, &lines, makes_git)?;
        remove_defaults(plan, tree, &written.new)?;
    }
    let workspace = Workspace::open(World::real()?, tree.to_path_buf(), true)?;
    workspace.make_layout()?;
    let record = json!({"source": import.source.root, "program": plan.program});
    let path = tree.join(RECORD);
    fs::write(&path, format!("{record}\n")).at("write", &path)?;
    makes_git &= workspace.config()?.memories.git;
    if makes_git {
        git::init(tree, &[".".to_owned()])?;
    }
    Ok(())
}

/// Removes files of the default agents and their jobs, and those that were added to an imported skill.
fn remove_defaults(plan: &ImportPlan, tree: &Path, new: &[String]) -> Result<()> {
    let (agents, skills) = (plan.ids("agents"), plan.ids("skills"));
    for name in new {
        let mut parts = name.split('/');
        let is_unwanted = match (parts.next(), parts.next(), parts.next()) {
            (Some("agents" | "crons"), Some(_), Some(_)) => !agents.is_empty(),
            (Some("skills"), Some(id), Some(_)) => skills.contains(id),
            _ => false,
        };
        if is_unwanted {
            let path = tree.join(name);
            fs::remove_file(&path).at("remove", &path)?;
            // Fails while the folder has imported files.
            let _ = path.parent().map(fs::remove_dir);
        }
    }
    Ok(())
}

/// The line of a target that has files: it is this import's, or another folder.
fn repeated(source: &Source, target: &Path) -> Result<String> {
    let record = fs::read_to_string(target.join(RECORD)).unwrap_or_default();
    let record: Value = serde_json::from_str(&record).unwrap_or_default();
    if target.join(FILE).exists() && record["source"].as_str().map(Path::new) == Some(&source.root) {
        return Ok(format!("{} was imported from there before; nothing has changed", target.display()));
    }
    Err(Fault::new(Kind::Failed, format!("{} is not empty", target.display()))
        .hint("an import needs a new folder; nothing was changed"))
}

/// What the owner should know: secrets, problems, the model.
fn report(plan: &ImportPlan) {
    for secret in &plan.secrets {
        out::message(&format!("secret, not copied: {secret}"));
    }
    for remark in &plan.remarks {
        out::message(remark);
    }
    let noted: Vec<_> = plan.items.iter().filter(|item| !item.notes.is_empty()).collect();
    for item in noted.iter().take(20) {
        // The notes about lines begin with the name of their file.
        let line = item.notes.join("; ");
        let has_name = line.starts_with(&item.source);
        out::message(&if has_name { line } else { format!("{}: {line}", item.source) });
    }
    if noted.len() > 20 {
        out::message(&format!("{} more files with notes; see imported/PLAN.txt", noted.len() - 20));
    }
    if let Some(key) = plan.settings.model.as_ref().and_then(|model| model.key_env.as_ref()) {
        out::message(&format!("the model of the source is `imported` in claw.yaml; it takes its key from ${key}"));
    } else if plan.settings.model.is_none() && !plan.is_complete {
        out::message(&format!("the source names no model; without a key, `{OFFLINE}` answers"));
    }
}

/// Shows the number of files done, for long imports on a terminal.
fn progress(world: &World, all: usize) -> impl Fn(usize) {
    let spinner = (all > STEP).then(|| Spinner::start(world, "importing"));
    move |done| {
        if let Some(spinner) = spinner.as_ref().filter(|_| done.is_multiple_of(STEP)) {
            spinner.count(&format!("importing: {done} of {all} files"));
        }
    }
}

/// The path of a folder that may not exist; its parents are resolved.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let full = std::path::absolute(path).at("find", path)?;
    match (full.parent().and_then(|parent| absolute(parent).ok()), full.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.join(name)),
        _ => Ok(full),
    }
}
