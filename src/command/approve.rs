//! `claw approve [ID…]` and `claw deny ID…`

use crate::command::Here;
use crate::command::terminal::{out, until_end};
use crate::core::event::session_name;
use crate::core::fault::{Fault, Result};
use crate::core::text::visible;
use crate::core::tool;
use crate::core::tool::approval::Approval;
use crate::store::session::approvals::{self, Verdict, always};
use crate::store::workspace::Workspace;
use crate::world;
use serde_json::{Value, json};

/// Approve tool calls of agents; without an ID, list pending approvals
#[derive(Debug, clap::Args)]
pub struct ApproveArgs {
    /// Print the pending approvals as JSON Lines
    #[arg(long, conflicts_with = "ids")]
    json: bool,
    /// Run the calls now, and print the answers of their turns
    #[arg(long, requires = "ids")]
    run: bool,
    /// List the calls that are approved once and for all
    #[arg(long, conflicts_with_all = ["ids", "run"])]
    always: bool,
    /// Ask again before this call, which was approved once and for all
    #[arg(long, value_name = "ID", conflicts_with_all = ["ids", "run", "json", "always"])]
    forget: Option<String>,
    /// The calls to approve: each runs once, exactly as its file shows it
    #[arg(value_name = "ID|-")]
    ids: Vec<String>,
}

/// Deny tool calls of agents
#[derive(Debug, clap::Args)]
pub struct DenyArgs {
    /// Finish the turns now, and print their answers
    #[arg(long)]
    run: bool,
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
    if let Some(id) = &args.forget {
        return match always::remove(&workspace, id)? {
            0 => Err(Fault::data(format!("no call with the id {} is approved once and for all", id.escape_debug()))
                .hint("`claw approve --always` lists them")),
            _ => Ok(0),
        };
    }
    if args.always {
        return list_always(&workspace, args.json);
    }
    if !args.ids.is_empty() {
        return decide(&workspace, &args.ids, Verdict::Approved, args.run);
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
    decide(&here.open()?, &args.ids, Verdict::Denied, args.run)
}

/// Prints the calls that are approved once and for all.
fn list_always(workspace: &Workspace, is_json: bool) -> Result<u8> {
    for line in always::list(workspace)? {
        if is_json {
            out::json(&line)?;
            continue;
        }
        let call = visible::exact(&format!("{}: {}", line.tool, tool::describe_call(&line.tool, &line.arguments)));
        out::line(&format!("{}  {}  {call}", out::row(&line.id), out::row(&line.agent)))?;
    }
    Ok(0)
}

/// Decides, and prints the ids of the events; or runs these events, and prints their answers.
fn decide(workspace: &Workspace, ids: &[String], verdict: Verdict, runs: bool) -> Result<u8> {
    let mut decided = Vec::new();
    let mut code = out::each_argument(ids, |text| {
        let id = approvals::find(workspace, text)?;
        approvals::decide(workspace, &id, verdict)?;
        if !runs {
            out::line(id.as_str())?;
        }
        decided.push(id);
        Ok(())
    })?;
    for (_, fault) in approvals::publish_decisions(workspace)? {
        workspace.world.say(&fault.to_string());
    }
    for id in decided.iter().filter(|_| runs) {
        code = code.max(until_end::run(workspace, id)?);
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
