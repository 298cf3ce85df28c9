//! `/usage`: what the models have taken, in words.

use crate::core::budget::ledger::Ledger;
use crate::core::budget::ledger_line::Sums;
use crate::core::event::session_name;
use crate::core::fault::Result;
use crate::stage::turn::model_call::meter;
use crate::store::usage;
use crate::store::workspace::Workspace;

/// What a conversation has taken; for the owner also what its agent and all together have, and what is left.
///
/// # Errors
/// Where the ledger cannot be read or the settings are bad.
pub(crate) fn describe(workspace: &Workspace, name: &str, agent: &str, is_owner: bool) -> Result<String> {
    let today = usage::today(workspace);
    // Of the month that is in its first days, no more is read than that.
    let month = format!("{}-01", today.rsplit_once('-').map_or(today.as_str(), |(month, _)| month));
    let mut ledger = Ledger::default();
    usage::for_each_since(workspace, &month, &mut |line| {
        let label = line.session.clone();
        ledger.take(line, &label);
    })?;
    let config = workspace.config()?;
    let sum = |since: &str, is_meant: &dyn Fn(&str) -> bool| {
        let mut sums = Sums::default();
        let days = ledger.days().filter(|(day, label, _)| *day >= since && is_meant(label));
        days.for_each(|(.., part)| sums.add(part));
        sums.words(&config.currency)
    };
    let of = |who: &str, is_meant: &dyn Fn(&str) -> bool| {
        format!("{who}: {} today; {} this month", sum(&today, is_meant), sum(&month, is_meant))
    };
    let mut lines = vec![of("this conversation", &|label| label == name)];
    if is_owner {
        lines.push(of(agent, &|label| session_name::agent(label) == agent));
        lines.push(of("all together", &|_| true));
        let standing = meter::standing(workspace)?.into_iter();
        // Another agent's limits are not what stops this one.
        let own = standing.filter(|(limit, _)| limit.agent.as_deref().is_none_or(|of| of == agent));
        lines.extend(own.map(|(limit, used)| format!("left: {}", limit.left(used, &config.currency))));
    }
    Ok(lines.join("\n"))
}
