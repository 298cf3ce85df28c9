//! `claw approve [ID…]` and `claw deny ID…`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::event::session_name;
use crate::core::fault::Result;
use crate::core::tool::approval::Approval;
use crate::store::session::approvals::{self, Verdict};
use crate::store::workspace::Workspace;
use crate::world;
use serde_json::{Value, json};

/// Approve tool calls of agents; without an ID, list pending approvals
#[derive(Debug, clap::Args)]
pub struct ApproveArgs {
    /// Print the pending approvals as JSON Lines
    #[arg(long, conflicts_with = "ids")]
    json: bool,
    /// The calls to approve: each runs once, exactly as its file shows it
    #[arg(value_name = "ID|-")]
    ids: Vec<String>,
}

/// Deny tool calls of agents
#[derive(Debug, clap::Args)]
pub struct DenyArgs {
    /// The calls to deny
    #[arg(required = true, value_name = "ID|-")]
    ids: Vec<String>,
}

/// Approves calls and prints the ids of the events that run them; without ids, lists pending approvals.
///
/// # Errors
/// `Data` if no pending approval has this id.
pub fn approve(args: &ApproveArgs, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    if !args.ids.is_empty() {
        return decide(&workspace, &args.ids, Verdict::Approved);
    }
    for approval in approvals::pending(&workspace)? {
        if args.json {
            out::json(&document(&approval))?;
            continue;
        }
        let (short, agent) = (approval.id.short(), session_name::agent(&approval.session));
        let until = world::local(approval.expires_at.into());
        // Each is one line, so that a call can look neither like two calls nor like another one.
        let lines = approval.exact_lines().join("\n    ");
        out::line(&format!("{short}  {agent}  {lines}"))?;
        out::line(&format!("    {}, until {until}", out::row(&approval.reason)))?;
    }
    Ok(0)
}

/// Denies calls and prints the ids of the events that report it to their agents.
///
/// # Errors
/// `Data` if no pending approval has this id.
pub fn deny(args: &DenyArgs, here: Here) -> Result<u8> {
    decide(&here.open()?, &args.ids, Verdict::Denied)
}

fn decide(workspace: &Workspace, ids: &[String], verdict: Verdict) -> Result<u8> {
    let code = out::each_argument(ids, |text| {
        let id = approvals::find(workspace, text)?;
        approvals::decide(workspace, &id, verdict)?;
        out::line(id.as_str())
    })?;
    for (_, fault) in approvals::publish_decisions(workspace)? {
        workspace.world.say(&fault.to_string());
    }
    Ok(code)
}

fn document(approval: &Approval) -> Value {
    json!({
        "id": approval.id, "event": approval.event, "agent": session_name::agent(&approval.session),
        "session": approval.session, "tool": approval.tool, "arguments": approval.arguments,
        "files": approval.files, "reason": approval.reason, "from": approval.from, "reply_to": approval.reply_to,
        "expires_at": approval.expires_at,
    })
}
