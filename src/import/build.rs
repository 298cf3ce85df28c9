//! Carrying out a plan: the files of the new workspace, below a folder that the caller gives its name at the end.

use crate::core::event::stamp::{SECOND, Stamp};
use crate::core::fault::{Fault, Kind, Result};
use crate::import::Import;
use crate::import::conversation;
use crate::import::plan::{ASIDE, Fate, ImportPlan, ImportedSettings, OutputContent, PLAN};
use crate::import::session_file::SessionContent;
use crate::store::fs::At;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes every file of the plan below `tree`; without one, only reads the sessions, to complete the notes of the plan.
/// `progress` is called with the number of files done.
///
/// # Errors
/// If a file cannot be read or written.
pub fn carry_out(import: &Import, plan: &mut ImportPlan, tree: Option<&Path>, progress: &dyn Fn(usize)) -> Result<()> {
    let senders = std::mem::take(&mut plan.senders);
    for (done, item) in plan.items.iter_mut().enumerate() {
        progress(done);
        let source = item.source.clone();
        let mut is_empty = false;
        if let Fate::Becomes(outputs) = &item.fate {
            for output in outputs {
                let at = tree.map(|tree| tree.join(&output.path));
                match (&output.content, at) {
                    (OutputContent::Session(files), at) => {
                        let from = senders.get(&output.path).map_or("", String::as_str);
                        let (log, notes) = session(import, &output.path, files, from)?;
                        is_empty |= log.is_empty();
                        item.notes.extend(notes);
                        if let Some(at) = at.filter(|_| !log.is_empty()) {
                            write(&at, 0o600, log.as_bytes())?;
                        }
                    }
                    (OutputContent::Copy, Some(at)) => copy(import, &source, &at)?,
                    (OutputContent::Text(text), Some(at)) => write(&at, 0o644, text.as_bytes())?,
                    (OutputContent::Part, _) | (_, None) => {}
                }
            }
        }
        if let (Fate::Aside, Some(tree)) = (&item.fate, tree) {
            copy(import, &source, &tree.join(ASIDE).join(&source))?;
        }
        if is_empty {
            item.fate = Fate::Stays("it has no message".to_owned());
        }
    }
    plan.senders = senders;
    if let Some(tree) = tree {
        for (path, text) in &plan.made {
            write(&tree.join(path), 0o644, text.as_bytes())?;
        }
        if !plan.is_complete {
            write(&tree.join(ASIDE).join(PLAN), 0o644, plan.text(true).as_bytes())?;
            // The files kept aside are no part of the workspace's history.
            write(&tree.join(ASIDE).join(".gitignore"), 0o644, b"*\n")?;
        }
    }
    Ok(())
}

/// The log of a session and the notes about it.
fn session(import: &Import, path: &str, files: &[String], from: &str) -> Result<(String, Vec<String>)> {
    let mut content = SessionContent::default();
    let mut start = 0;
    for file in files {
        (import.program.read)(file, &import.source.text(file)?, &mut content);
        let known = import.source.files.binary_search_by(|known| known.path.as_str().cmp(file));
        start = known.ok().and_then(|at| import.source.files.get(at)).map_or(start, |file| file.modified);
    }
    let name = path.trim_start_matches("sessions/").trim_end_matches("/log.jsonl");
    let records = conversation::records(content.utterances, name, from, Stamp(start.saturating_mul(SECOND)))?;
    let mut log = String::new();
    for record in records {
        log += &serde_json::to_string(&record).map_err(|e| Fault::data(format!("{path}: {e}")))?;
        log.push('\n');
    }
    Ok((log, content.notes))
}

/// Writes a new file and the folders above it.
fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<()> {
    create(path, mode)?.write_all(bytes).at("write", path)
}

fn copy(import: &Import, source: &str, to: &Path) -> Result<()> {
    let known = import.source.files.binary_search_by(|known| known.path.as_str().cmp(source));
    let is_executable = known.ok().and_then(|at| import.source.files.get(at)).is_some_and(|file| file.is_executable);
    let mut file = create(to, if is_executable { 0o755 } else { 0o644 })?;
    io::copy(&mut import.source.file(source)?, &mut file).map(drop).at("copy", to)
}

fn create(path: &Path, mode: u32) -> Result<File> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).at("make", dir)?;
    }
    let open = File::options().write(true).create_new(true).mode(mode).open(path);
    match open {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            Err(Fault::new(Kind::Failed, format!("two files of the source become {}", path.display())))
        }
        other => other.at("make", path),
    }
}

/// The lines for `claw.yaml` that choose the model: those of this machine, and the model of the source. `chosen` is the
/// model of this machine and its lines; `has` tells whether an environment variable is set.
#[must_use]
pub fn settings(settings: &ImportedSettings, chosen: (&str, &str), has: &dyn Fn(&str) -> bool) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let (name, lines) = chosen;
    let mut text = lines.to_owned();
    if let Some(model) = &settings.model {
        let base = model.api_base.as_ref().map(|base| format!(", api_base: {}", quoted(base))).unwrap_or_default();
        let key = model.key_env.as_ref().map(|key| format!(", api_key_env: {key}")).unwrap_or_default();
        let entry =
            format!("  imported: {{provider: {}, model: {}{base}{key}}}\n", model.provider, quoted(&model.model));
        if !text.contains("models:\n") {
            text += "models:\n";
        }
        text += &entry;
        if model.key_env.as_ref().is_none_or(|key| has(key)) {
            text = text.replacen(&format!("model: {name}\n"), "model: imported\n", 1);
        }
    }
    if let Some(agent) = &settings.default_agent {
        text += &format!("default_agent: {agent}\n");
    }
    if !settings.bindings.is_empty() {
        text += "routing:\n  bindings:\n";
        for (pattern, agent) in &settings.bindings {
            text += &format!("    - {{pattern: {}, agent: {agent}}}\n", quoted(pattern));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config;
    use crate::import::plan::ImportedModel;

    #[test]
    fn settings_of_the_source_are_valid_here() {
        let imported = ImportedSettings {
            default_agent: Some("main".into()),
            model: Some(ImportedModel {
                provider: "openai",
                model: "a\"b: c".into(),
                api_base: Some("https://x/v1".into()),
                key_env: Some("X_API_KEY".into()),
            }),
            bindings: vec![("telegram:.*".into(), "main".into())],
        };
        let offline = ("offline", "model: offline\n");
        let gpt = ("gpt", "model: gpt\nmodels:\n  gpt: {provider: openai, model: gpt-5-mini}\n");
        for (chosen, has_key, model) in
            [(offline, false, "offline"), (offline, true, "imported"), (gpt, true, "imported"), (gpt, false, "gpt")]
        {
            let text = settings(&imported, chosen, &|_| has_key);
            let (config, warnings) = config::parse(&text).unwrap();
            assert_eq!((config.model.as_str(), warnings), (model, vec![]), "{text}");
            assert_eq!(config.default_agent, "main");
            assert!(config.models.contains_key("imported"), "{text}");
        }
    }
}
