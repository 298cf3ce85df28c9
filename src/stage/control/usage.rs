//! `/usage`: the used tokens and money, as text.

use crate::core::budget::ledger::Ledger;
use crate::core::budget::ledger_line::Sums;
use crate::core::event::session_name;
use crate::core::fault::Result;
use crate::report::budget;
use crate::store::usage;
use crate::store::workspace::Workspace;

/// The usage of a conversation; for the owner also that of its agent and of all agents, and the rest of the budgets.
///
/// # Errors
/// If the ledger cannot be read or the settings are invalid.
pub(crate) fn describe(workspace: &Workspace, name: &str, agent: &str, is_owner: bool) -> Result<String> {
    let today = usage::today(workspace);
    // The ledger is read from the first day of the month.
    let month = format!("{}-01", today.rsplit_once('-').map_or(today.as_str(), |(month, _)| month));
    let mut ledger = Ledger::default();
    usage::for_each_since(workspace, &month, &mut |line| {
        let label = line.session.clone();
        ledger.add(line, &label);
    })?;
    let config = workspace.config()?;
    let sum = |since: &str, matches: &dyn Fn(&str) -> bool| {
        let mut sums = Sums::default();
        let days = ledger.days().filter(|(day, label, _)| *day >= since && matches(label));
        days.for_each(|(.., part)| sums.add(part));
        sums.describe(&config.currency)
    };
    let line = |label: &str, matches: &dyn Fn(&str) -> bool| {
        format!("{label}: {} today; {} this month", sum(&today, matches), sum(&month, matches))
    };
    let mut lines = vec![line("this conversation", &|label| label == name)];
    if is_owner {
        lines.push(line(agent, &|label| session_name::agent(label) == agent));
        lines.push(line("all together", &|_| true));
        let limits = budget::limits(workspace)?.into_iter();
        // The limits of other agents do not concern this one.
        let own = limits.filter(|(limit, _)| limit.agent.as_deref().is_none_or(|of| of == agent));
        lines.extend(own.map(|(limit, used)| format!("left: {}", limit.left(used, &config.currency))));
    }
    Ok(lines.join("\n"))
}
