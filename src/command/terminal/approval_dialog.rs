//! Asking the user at the terminal about a call that waits for approval.

use crate::command::terminal::{dialog, out};
use crate::core::event::session_name;
use crate::core::fault::Result;
use crate::core::text::{edit, line_diff};
use crate::core::tool::approval::Approval;
use crate::store::fs::contained;
use crate::store::session::approvals::{Verdict, always};
use crate::store::workspace::Workspace;
use crate::world;
use serde_json::Value;
use std::path::Path;

/// The most lines of a difference that is shown unasked.
const FEW: usize = 40;
/// The most lines of a difference.
const MANY: usize = 2000;
/// The largest file that is compared, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Whether a user can decide here: stdin, stdout and stderr are terminals, and messages are wanted.
#[must_use]
pub(crate) fn can_ask() -> bool {
    dialog::can_ask() && out::is_terminal() && out::is_stderr_terminal() && !world::is_quiet()
}

/// The answer of a turn without its requests for approval, which the dialog shows instead.
#[must_use]
pub(crate) fn without_requests<'t>(answer: &'t str, pending: &[Approval]) -> &'t str {
    let mut rest = answer.trim_end();
    while let Some(shorter) = pending.iter().find_map(|approval| rest.strip_suffix(approval.request().trim_end())) {
        rest = shorter.trim_end();
    }
    rest
}

/// Asks until the user decides; `None` if the decision is left for later.
///
/// # Errors
/// If the terminal cannot be read, or the decision for later calls cannot be saved.
pub(crate) fn ask(workspace: &Workspace, approval: &Approval) -> Result<Option<Verdict>> {
    // The answer was laid out; this is the call as it is.
    let agent = session_name::agent(&approval.session);
    out::stderr_line(&format!("{agent} wants to run this ({}):", out::row(&approval.reason)));
    approval.exact_lines().iter().for_each(|line| out::stderr_line(&format!("    {line}")));
    let difference = difference(workspace, approval);
    if let Some(lines) = &difference {
        show(lines, FEW);
    }
    let has_more = if difference.is_some() { " / [d]iff" } else { " / [d]etails" };
    loop {
        let prompt = format!("Run it? [y]es / [n]o / [a]lways for exactly this{has_more} / [l]ater");
        let Some(answer) = dialog::line(&prompt, "")? else {
            out::stderr_line("");
            return Ok(later(approval));
        };
        match &answer.to_lowercase()[..] {
            "y" | "yes" => return Ok(Some(Verdict::Approved)),
            "n" | "no" => return Ok(Some(Verdict::Denied)),
            "l" | "later" => return Ok(later(approval)),
            "a" | "always" => {
                always::add(workspace, approval)?;
                out::message(&format!(
                    "this call runs without a question from now on; claw approve --forget {} ends that",
                    approval.id.short()
                ));
                return Ok(Some(Verdict::Approved));
            }
            "d" | "diff" | "details" => match &difference {
                Some(lines) => show(lines, MANY),
                None => details(approval),
            },
            _ => {}
        }
    }
}

/// Names the commands that decide later.
fn later(approval: &Approval) -> Option<Verdict> {
    let short = approval.id.short();
    out::message(&format!("it waits: claw approve --run {short}, or claw deny --run {short}"));
    None
}

fn show(lines: &[String], most: usize) {
    lines.iter().take(most).for_each(|line| out::stderr_line(&format!("    {line}")));
    if lines.len() > most {
        out::stderr_line(&format!("    … and {} more lines: d shows them", lines.len() - most));
    }
}

fn details(approval: &Approval) {
    let arguments = serde_json::to_string_pretty(&approval.arguments).unwrap_or_default();
    let arguments = crate::core::text::visible::exact_json(&arguments);
    arguments.lines().for_each(|line| out::stderr_line(&format!("    {line}")));
}

/// The change of a file that the call would make: of `write` and `edit`.
fn difference(workspace: &Workspace, approval: &Approval) -> Option<Vec<String>> {
    let text = |key: &str| approval.arguments.get(key).and_then(Value::as_str);
    let path = text("path")?;
    let relative = Path::new(path).strip_prefix(workspace.real_root()).unwrap_or(Path::new(path));
    let old = || contained::text(&workspace.root, relative, MAX_FILE);
    let (before, after) = match &approval.tool[..] {
        "write" => (old().unwrap_or_default(), text("content")?.to_owned()),
        "edit" => {
            let (before, all) = (old().ok()?, approval.arguments.get("replace_all").and_then(Value::as_bool));
            let edited = edit::replace(&before, text("old")?, text("new")?, all.unwrap_or_default()).ok()?;
            (before, edited.text)
        }
        _ => return None,
    };
    let unchanged = if before == after { " no change" } else { "" };
    let mut lines = vec![format!("{}:{unchanged}", crate::core::text::visible::exact(path))];
    lines.extend(line_diff::lines(&before, &after, MANY).iter().map(|line| crate::core::text::visible::exact(line)));
    Some(lines)
}
