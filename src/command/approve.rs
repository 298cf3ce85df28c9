//! `claw approve [ID…]` and `claw deny ID…`

use crate::command::{Here, out};
use crate::core::fault::{Fault, Result};
use crate::core::id::Id;
use crate::store::approvals::{self, Verdict};
use crate::store::workspace::Workspace;

/// Allow what an agent asks for; without an ID, show what waits for your word
#[derive(Debug, clap::Args)]
pub struct Approve {
    /// What is allowed: once, exactly as it stands in the file
    #[arg(value_name = "ID")]
    ids: Vec<String>,
}

/// Refuse what an agent asks for
#[derive(Debug, clap::Args)]
pub struct Deny {
    /// What is refused
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

/// Allows calls, and prints the ids of the events that run them; or shows what waits.
///
/// # Errors
/// `Data` where nothing of that id waits.
pub fn approve(args: &Approve, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    if args.ids.is_empty() {
        for approval in approvals::pending(&workspace) {
            let (short, agent) = (approval.id.short(), crate::core::session::agent(&approval.session));
            let until = out::clock(approval.expires_at.into());
            out::line(&format!("{short}  {agent}  {}\n    {}, until {until}", approval.line(), approval.reason))?;
        }
        return Ok(0);
    }
    decide(&workspace, &args.ids, Verdict::Approved)
}

/// Refuses calls, and prints the ids of the events that tell their agents.
///
/// # Errors
/// `Data` where nothing of that id waits.
pub fn deny(args: &Deny, here: Here) -> Result<u8> {
    decide(&here.open()?, &args.ids, Verdict::Denied)
}

fn decide(workspace: &Workspace, ids: &[String], verdict: Verdict) -> Result<u8> {
    for text in ids {
        let id = find(workspace, text)?;
        approvals::decide(workspace, &id, verdict)?;
        out::line(id.as_str())?;
    }
    for (_, fault) in approvals::take_up(workspace)? {
        workspace.world.say(&fault.to_string());
    }
    Ok(0)
}

/// The one approval whose id ends so; an id that is whole need not wait any more to be told what became of it.
fn find(workspace: &Workspace, text: &str) -> Result<Id> {
    let text = text.rsplit('/').next().unwrap_or(text).trim_end_matches(".md");
    if let Ok(id) = Id::parse(text) {
        return Ok(id);
    }
    let pending = approvals::pending(workspace);
    let mut found = pending.iter().map(|approval| &approval.id).filter(|id| id.as_str().ends_with(text));
    match (found.next(), found.next()) {
        (Some(id), None) if !text.is_empty() => Ok(id.clone()),
        (Some(_), Some(_)) => {
            Err(Fault::data(format!("`{text}` ends more than one id")).hint("claw approve lists them"))
        }
        _ => Err(Fault::data(format!("nothing that ends with `{text}` waits for your word"))
            .hint("claw approve lists what does")),
    }
}
