//! The plan of an import: every file of the source becomes one or more files, is kept aside in `imported/`, or stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

/// The folder of files that have no place in a workspace.
pub const ASIDE: &str = "imported";
/// The file with the whole plan, in [`ASIDE`].
pub const PLAN: &str = "PLAN.txt";
/// The lines that are printed for each kind of file; the plan in `imported/` has all.
const SHOWN: usize = 20;

/// What happens to each file of the source, and the settings taken from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportPlan {
    /// The program that made the source.
    pub program: &'static str,
    /// Every file, in the order of the source.
    pub items: Vec<PlanItem>,
    /// Secrets in the source: their places, never their values.
    pub secrets: Vec<String>,
    /// Further remarks for the owner.
    pub remarks: Vec<String>,
    /// The settings of the new workspace.
    pub settings: ImportedSettings,
    /// Files that no single file of the source becomes.
    pub made: Vec<(String, String)>,
    /// The sender of each session in the source, by the path of its log.
    pub senders: BTreeMap<String, String>,
    /// The tree is a claw workspace already: nothing is added to it.
    pub is_complete: bool,
    taken: BTreeSet<String>,
}

/// Settings of the source for `claw.yaml`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportedSettings {
    /// The agent that answers by default.
    pub default_agent: Option<String>,
    /// The model of the source.
    pub model: Option<ImportedModel>,
    /// Patterns and agents, in order.
    pub bindings: Vec<(String, String)>,
}

/// The model that the source has configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedModel {
    /// `openai`, `anthropic` or `ollama`.
    pub provider: &'static str,
    /// The provider's name of the model.
    pub model: String,
    /// The address of the server, if the source names one.
    pub api_base: Option<String>,
    /// The environment variable for the key; `None` for a local server.
    pub key_env: Option<String>,
}

/// A file of the source and its fate.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanItem {
    /// The path in the source.
    pub source: String,
    /// The fate.
    pub fate: Fate,
    /// Differences between the source and its result, for the owner.
    pub notes: Vec<String>,
}

/// The fate of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It becomes these files.
    Becomes(Vec<Output>),
    /// It is copied to `imported/`, unchanged.
    Aside,
    /// It is not copied, for this reason.
    Stays(String),
}

/// A file of the new workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The path in the workspace.
    pub path: String,
    /// Its content.
    pub content: OutputContent,
}

/// The content of a file of the new workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputContent {
    /// That of the source.
    Copy,
    /// This text.
    Text(String),
    /// The log of a session, converted from these files in this order.
    Session(Vec<String>),
    /// It is written for another file of the source.
    Part,
}

impl ImportPlan {
    /// An empty plan for a source of `program`.
    #[must_use]
    pub fn new(program: &'static str) -> Self {
        Self { program, ..Self::default() }
    }

    /// The file `source` is copied to `path`; aside, if the path is taken.
    pub fn copy(&mut self, source: &str, path: &str) {
        if self.take(path) {
            self.becomes(source, vec![Output { path: path.to_owned(), content: OutputContent::Copy }], Vec::new());
        } else {
            self.aside(source, &[format!("another file becomes {path}")]);
        }
    }

    /// The file `source` becomes these files, whose paths the caller has taken.
    pub fn becomes(&mut self, source: &str, outputs: Vec<Output>, notes: Vec<String>) {
        self.items.push(PlanItem { source: source.to_owned(), fate: Fate::Becomes(outputs), notes });
    }

    /// The file `source` is kept aside.
    pub fn aside(&mut self, source: &str, notes: &[String]) {
        self.items.push(PlanItem { source: source.to_owned(), fate: Fate::Aside, notes: notes.to_vec() });
    }

    /// The file `source` stays.
    pub fn stays(&mut self, source: &str, why: impl Into<String>) {
        self.items.push(PlanItem { source: source.to_owned(), fate: Fate::Stays(why.into()), notes: Vec::new() });
    }

    /// Takes a path of the workspace; false if another file has it.
    pub fn take(&mut self, path: &str) -> bool {
        self.taken.insert(path.to_owned())
    }

    /// Takes `path`, or `path-2` and so on, where `{}` in the pattern is replaced by `""`, `-2`, …; returns the path.
    pub fn take_numbered(&mut self, before: &str, after: &str) -> String {
        let numbered = (2..).map(|n| format!("{before}-{n}{after}"));
        let mut names = std::iter::once(format!("{before}{after}")).chain(numbered);
        names.find(|name| self.take(name)).unwrap_or_default()
    }

    /// The ids of the folders `FOLDER/ID/` that the plan writes.
    #[must_use]
    pub fn ids(&self, folder: &str) -> BTreeSet<&str> {
        let below = |path: &'_ String| path.starts_with(folder) && path[folder.len()..].starts_with('/');
        let paths = self.taken.iter().filter(|path| below(path));
        paths.filter_map(|path| path[folder.len() + 1..].split_once('/').map(|(id, _)| id)).collect()
    }

    /// The number of files with each fate: becomes, aside, stays.
    #[must_use]
    pub fn counts(&self) -> [usize; 3] {
        let mut counts = [0; 3];
        for item in &self.items {
            counts[match item.fate {
                Fate::Becomes(_) => 0,
                Fate::Aside => 1,
                Fate::Stays(_) => 2,
            }] += 1;
        }
        counts
    }

    /// The whole plan, one line for each file, its notes below it.
    #[must_use]
    pub fn text(&self, is_whole: bool) -> String {
        let mut text = String::new();
        let mut shown: BTreeMap<(String, u8), usize> = BTreeMap::new();
        for item in &self.items {
            let count = shown.entry(item.group()).or_default();
            *count += 1;
            if is_whole || *count <= SHOWN {
                let _ = writeln!(text, "{item}");
                for note in &item.notes {
                    let _ = writeln!(text, "    {note}");
                }
            }
        }
        if !is_whole {
            for ((folder, _), count) in shown.into_iter().filter(|(_, count)| *count > SHOWN) {
                let _ = writeln!(text, "{} more like these in {folder}", count - SHOWN);
            }
        }
        for (path, _) in &self.made {
            let _ = writeln!(text, "{path}  is new");
        }
        for (head, lines) in [("secret, not copied: ", &self.secrets), ("note: ", &self.remarks)] {
            for line in lines {
                let _ = writeln!(text, "{head}{line}");
            }
        }
        text
    }
}

impl PlanItem {
    /// The folder and the fate, for a plan that shows only some files of each.
    fn group(&self) -> (String, u8) {
        let folder = self.source.rsplit_once('/').map_or("./", |(folder, _)| folder);
        let fate = match self.fate {
            Fate::Becomes(_) => 0,
            Fate::Aside => 1,
            Fate::Stays(_) => 2,
        };
        (folder.to_owned(), fate)
    }

    /// The paths of the workspace to which it leads.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        match &self.fate {
            Fate::Becomes(outputs) => outputs.iter().map(|output| output.path.clone()).collect(),
            Fate::Aside => vec![format!("{ASIDE}/{}", self.source)],
            Fate::Stays(_) => Vec::new(),
        }
    }
}

impl fmt::Display for PlanItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.source;
        match &self.fate {
            Fate::Becomes(_) => write!(f, "{source}  becomes {}", self.targets().join(", ")),
            Fate::Aside => write!(f, "{source}  is kept aside in {}", self.targets().join(", ")),
            Fate::Stays(why) => write!(f, "{source}  stays, because {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_taken_once_and_a_long_plan_shows_a_sample() {
        let mut plan = ImportPlan::new("x");
        plan.copy("a", "memories/topics/a.md");
        plan.copy("b", "memories/topics/a.md");
        assert_eq!(plan.take_numbered("agents/x", "/AGENT.md"), "agents/x/AGENT.md");
        assert_eq!(plan.take_numbered("agents/x", "/AGENT.md"), "agents/x-2/AGENT.md");
        assert_eq!(plan.ids("agents").into_iter().collect::<Vec<_>>(), ["x", "x-2"]);
        for n in 0..30 {
            plan.stays(&format!("s/{n}"), "it is old");
        }
        assert_eq!(plan.counts(), [1, 1, 30]);
        let text = plan.text(false);
        assert!(text.starts_with("a  becomes memories/topics/a.md\nb  is kept aside in imported/b\n"), "{text}");
        assert!(text.contains("s/19  stays, because it is old\n10 more like these in s\n"), "{text}");
        assert_eq!(plan.text(true).matches("it is old").count(), 30);
    }
}
