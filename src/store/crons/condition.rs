//! The approval of a job's `if`: of the command, the agent in whose sandbox it runs, and the content of the files that
//! the command names and that agents may write. The ledger holds its hash.

use crate::core::fault::Result;
use crate::core::tool::BASH;
use crate::core::tool::approval::ApprovedFile;
use crate::store::crons::ledger;
use crate::store::session::approvals;
use crate::store::workspace::Workspace;
use serde_json::json;

/// A command as it would be approved now.
pub struct CronCondition {
    /// The files that the command names and that agents may write.
    pub files: Vec<ApprovedFile>,
    /// The hash of everything that is approved.
    pub hash: String,
}

/// The command of a job as it would be approved now.
///
/// # Errors
/// `Data` if the command has too many words; `Machine`.
pub fn of(workspace: &Workspace, agent: &str, command: &str) -> Result<CronCondition> {
    let files = approvals::named_files(workspace, BASH, &json!({"command": command}))?;
    let hash = blake3::hash(json!([agent, command, files]).to_string().as_bytes()).to_hex().to_string();
    Ok(CronCondition { files, hash })
}

/// Whether the owner has approved the command of a job as it is now.
///
/// # Errors
/// As [`of`]; if the ledger cannot be read.
pub fn is_approved(workspace: &Workspace, job: &str, agent: &str, command: &str) -> Result<bool> {
    let ledger = ledger::read(workspace, &ledger::name(job))?;
    Ok(ledger.state.approved == Some(of(workspace, agent, command)?.hash))
}
