//! The floor of a look at scheduled jobs: the names in `crons/` of the given folder, and one stat of each job's file and
//! of its ledger.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::args().nth(1).ok_or("no folder")?);
    let mut bytes = 0;
    for entry in fs::read_dir(root.join("crons"))? {
        let name = entry?.file_name();
        let file = root.join("crons").join(&name).join("CRON.md");
        let Ok(meta) = fs::metadata(file) else { continue };
        let ledger = root.join(".claw/crons").join(&name).with_extension("jsonl");
        bytes += meta.len() + fs::metadata(ledger)?.len();
    }
    if bytes == 0 { Err("there are no jobs".into()) } else { Ok(()) }
}
