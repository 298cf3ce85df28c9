//! `claw memory`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::fault::{Fault, Kind, Result};
use crate::core::memory::change::ChangeAuthor;
use crate::store::memory::history::{self, MemoryPlan};
use crate::store::memory::{FOLDER, git};
use crate::store::workspace::{Workspace, clock};

/// Show how to look into the history of the memories, undo a change, restore a file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every change of memories/ is a git commit with its author: the owner, or an agent and its event.

  claw memory                                   the git commands for log, diff and blame
  claw memory undo k7f3q9                       take back what an event changed, and nothing else
  claw memory restore memories/topics/nas.md@HEAD~3

EVENT is the id in the commit's line Claw-Event, or any unambiguous end of it. An undo is a change like any other: it
can be undone by its own event.")]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Take back what an event changed, and nothing else; later changes of other lines stay
    Undo {
        /// Do not ask before undoing changes that an agent's program made
        #[arg(short, long)]
        yes: bool,
        /// The event
        event: String,
    },
    /// Restore a file as it was in a commit
    Restore {
        /// Permit that more than half of the file is removed
        #[arg(long)]
        shrink: bool,
        /// The file, and the commit as git names it: memories/topics/nas.md@HEAD~3
        #[arg(value_name = "PATH@REV")]
        file: String,
    },
}

/// Prints the git commands, or changes the memories and prints the changed files.
///
/// # Errors
/// `Usage` for an unknown event, path or commit; `Data` if nothing was changed because of later changes.
pub fn run(args: Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    match args.action {
        None => commands(&workspace),
        Some(Action::Undo { yes, event }) => {
            let plan = history::plan_undo(&workspace, &event)?;
            if plan.is_by_shell && !yes {
                let why =
                    "a program of an agent made these changes; others may have changed the files at the same time";
                out::line(why)?;
                plan.difference().iter().try_for_each(|line| out::line(line))?;
                if !is_confirmed()? {
                    return Err(
                        Fault::new(Kind::Failed, "nothing was undone").hint("answer y, or repeat it with --yes")
                    );
                }
            }
            apply(&workspace, &plan)
        }
        Some(Action::Restore { shrink, file }) => {
            let (name, revision) = split_revision(&file).ok_or_else(|| {
                Fault::new(Kind::Usage, format!("{file:?} names no commit"))
                    .hint("write PATH@REV, like memories/a.md@HEAD~1")
            })?;
            apply(&workspace, &history::plan_restore(&workspace, name, revision, shrink)?)
        }
    }
}

/// Path and commit of `PATH@REV`. The commit may have an `@` in it (`HEAD@{1}`), and the path too.
fn split_revision(text: &str) -> Option<(&str, &str)> {
    let head = text.trim_end_matches(|c| c != '@');
    let is_reflog = text[head.len()..].starts_with('{');
    let head = if is_reflog { &head[..=head[..head.len() - 1].rfind('@')?] } else { head };
    Some((head.strip_suffix('@')?, &text[head.len()..]))
}

/// Asks at the terminal; without one the answer is no.
fn is_confirmed() -> Result<bool> {
    if !out::is_typed() {
        return Ok(false);
    }
    out::message("undo them? [y/N]");
    let mut answer = String::new();
    out::lines(|line| {
        answer = line?;
        Ok(false)
    })?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn apply(workspace: &Workspace, plan: &MemoryPlan) -> Result<u8> {
    let event = clock::next_id(workspace)?;
    let user = workspace.local_user()?;
    let author = ChangeAuthor {
        event,
        agent: None,
        session: None,
        origin: user.as_str().to_owned(),
        by_shell: false,
        undoes: None,
    };
    history::apply(workspace, &author, plan)?;
    plan.names().try_for_each(out::line)?;
    Ok(0)
}

fn commands(workspace: &Workspace) -> Result<u8> {
    if !git::is_installed() || !workspace.path(".git").exists() || !workspace.config()?.memories.git {
        let why = "the memories have no history: set memories.git: true in claw.yaml, in a git repository";
        return Err(Fault::new(Kind::Failed, why));
    }
    let root = workspace.root.display();
    for (what, command) in [
        ("what changed, and by whom", format!("log --stat -- {FOLDER}")),
        ("the changes of one file", format!("log -p --follow -- {FOLDER}/topics/NAME.md")),
        ("what one event changed", format!("log -p --grep 'Claw-Event: .*ID' -- {FOLDER}")),
        ("what one agent changed", format!("log -p --grep 'Claw-Agent: NAME' -- {FOLDER}")),
        ("not committed yet", format!("diff HEAD -- {FOLDER}")),
        ("who wrote each line", format!("blame {FOLDER}/topics/NAME.md")),
        ("lines that are gone", format!("log -p -S 'WORDS' -- {FOLDER}")),
    ] {
        out::line(&format!("{:<27}git -C '{root}' {command}", format!("{what}:")))?;
    }
    out::line("take back an event:        claw memory undo EVENT")?;
    out::line("restore a file:            claw memory restore PATH@REV")?;
    let (waiting, operation) = history::waiting(workspace)?;
    if waiting > 0 {
        let why = operation.map_or(String::new(), |operation| format!(" for the end of {operation}"));
        out::line(&format!("{waiting} changes wait{why}; the next change or tick commits them"))?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_commit_may_have_an_at_sign() {
        for (text, expected) in [
            ("memories/a.md@HEAD~3", Some(("memories/a.md", "HEAD~3"))),
            ("memories/a@b.md@main", Some(("memories/a@b.md", "main"))),
            ("memories/a.md@HEAD@{2 days ago}", Some(("memories/a.md", "HEAD@{2 days ago}"))),
            ("memories/a.md@@{1}", Some(("memories/a.md", "@{1}"))),
            ("memories/a.md", None),
            ("@{1}", None),
        ] {
            assert_eq!(split_revision(text), expected, "{text}");
        }
    }
}
