//! Budget limits and the amounts used.

use crate::core::budget::Limit;
use crate::core::fault::Result;
use crate::store::agent::definitions;
use crate::store::usage;
use crate::store::workspace::Workspace;

/// Every limit of the settings and of the agents, with the amount used in its period, in the limit's unit.
///
/// # Errors
/// If the settings are invalid or the ledger cannot be read.
pub fn limits(workspace: &Workspace) -> Result<Vec<(Limit, u64)>> {
    let mut limits = workspace.config()?.budget.limits(None);
    for id in definitions::folders(workspace, "agents").unwrap_or_default() {
        limits.extend(definitions::agent(workspace, &id).into_iter().flat_map(|agent| agent.budget.limits(Some(&id))));
    }
    if limits.is_empty() {
        return Ok(Vec::new());
    }
    let (ledger, today) = (usage::ledger(workspace)?, usage::today(workspace));
    Ok(limits.into_iter().map(|limit| (limit.clone(), limit.used(&ledger, &today))).collect())
}
