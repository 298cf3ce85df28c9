//! `claw tick`

use crate::command::Here;
use crate::command::terminal::out;
use crate::command::terminal::record::Recording;
use crate::core::fault::{Fault, Kind, Result};
use crate::stage::tick;

/// Process everything that is due, once
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The time to assume (RFC 3339)
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
    #[command(flatten)]
    record: Recording,
}

/// One pass over all stages; prints only failures.
///
/// # Errors
/// `Config` if `claw.yaml` is invalid, `Machine` if the machine fails.
pub fn run(args: &Args, mut here: Here) -> Result<u8> {
    if let Some(text) = &args.now {
        let now = text.parse::<jiff::Timestamp>();
        let now = now.map_err(|e| Fault::new(Kind::Usage, format!("`{text}` is not an RFC 3339 time: {e}")))?;
        here.world = here.world.at(now.into());
    }
    let mut workspace = here.open()?;
    args.record.begin(&mut workspace)?;
    let mut code = 0;
    tick::run(&workspace, &mut |_, outcome| code = code.max(out::report_outcome(&outcome)))?;
    Ok(code)
}
