//! `tick`: runs every task of the table once, in order. Claiming adopts orphaned events on the way. Answers for
//! terminals are not delivered.

use crate::core::fault::Result;
use crate::stage::outcome::{Outcome, failures};
use crate::stage::task::{Inline, Runner, Start, TASKS, TaskRow, turn_width};
use crate::stage::worker::pool;
use crate::store::workspace::Workspace;

/// One tick; `report` is called with each outcome and its stage.
///
/// # Errors
/// `Machine`, or an invalid `claw.yaml`.
pub fn run(workspace: &Workspace, report: &mut dyn FnMut(&str, Outcome)) -> Result<()> {
    turn_width(workspace)?;
    let mut inline = Inline::new(workspace);
    for task in TASKS.iter().filter(|task| task.start != Start::OnChange) {
        for earlier in TASKS.iter().filter(|earlier| task.again.contains(&earlier.name)) {
            step(workspace, earlier, &mut inline, report)?;
        }
        step(workspace, task, &mut inline, report)?;
    }
    Ok(())
}

fn step<'w>(
    workspace: &'w Workspace,
    task: &TaskRow,
    inline: &mut Inline<'w>,
    report: &mut dyn FnMut(&str, Outcome),
) -> Result<()> {
    match &task.run {
        Runner::Inline(run) => loop {
            let taken = run(inline)?;
            failures(taken.failed).for_each(|outcome| report(task.stage, outcome));
            // There is more to do at once.
            if taken.again.is_none_or(|at| at > workspace.world.now()) {
                break;
            }
        },
        Runner::Pool(pool) => {
            let pool = pool(workspace);
            let width = (pool.width)(workspace);
            pool::drain(workspace, &*pool.handler, width, &mut |outcome| report(task.stage, outcome))?;
        }
    }
    Ok(())
}
