//! `claw approve [ID…]` and `claw deny ID…`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::fault::Result;
use crate::store::session::approvals::{self, Verdict};
use crate::store::workspace::Workspace;
use crate::world;

/// Allow what an agent asks for; without an ID, show what waits for your word
#[derive(Debug, clap::Args)]
pub struct ApproveArgs {
    /// What is allowed: once, exactly as it stands in the file
    #[arg(value_name = "ID|-")]
    ids: Vec<String>,
}

/// Refuse what an agent asks for
#[derive(Debug, clap::Args)]
pub struct DenyArgs {
    /// What is refused
    #[arg(required = true, value_name = "ID|-")]
    ids: Vec<String>,
}

/// Allows calls, and prints the ids of the events that run them; or shows what waits.
///
/// # Errors
/// `Data` where nothing of that id waits.
pub fn approve(args: &ApproveArgs, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    if args.ids.is_empty() {
        for approval in approvals::pending(&workspace)? {
            let (short, agent) = (approval.id.short(), crate::core::event::session_name::agent(&approval.session));
            let until = world::local(approval.expires_at.into());
            // Where a line of it ends is seen, so that no call looks like two, or like another one.
            out::line(&format!("{short}  {agent}  {}", out::row(&approval.line())))?;
            out::line(&format!("    {}, until {until}", out::row(&approval.reason)))?;
        }
        return Ok(0);
    }
    decide(&workspace, &args.ids, Verdict::Approved)
}

/// Refuses calls, and prints the ids of the events that tell their agents.
///
/// # Errors
/// `Data` where nothing of that id waits.
pub fn deny(args: &DenyArgs, here: Here) -> Result<u8> {
    decide(&here.open()?, &args.ids, Verdict::Denied)
}

fn decide(workspace: &Workspace, ids: &[String], verdict: Verdict) -> Result<u8> {
    let code = out::words(ids, |text| {
        let id = approvals::find(workspace, text)?;
        approvals::decide(workspace, &id, verdict)?;
        out::line(id.as_str())
    })?;
    for (_, fault) in approvals::publish_decisions(workspace)? {
        workspace.world.say(&fault.to_string());
    }
    Ok(code)
}
