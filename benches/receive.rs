//! The cost of a received message until its event is durable, beside a bare synced file.
//!
//! `cargo bench --bench receive [-- --quick]` prints one table. Every figure is the median of runs that alternate with
//! the floor's.

mod gauge;

use claw::channel::accept::{Accepted, accept};
use claw::core::channel::inbound::Inbound;
use claw::core::event::stamp::Stamp;
use claw::store::workspace::Workspace;
use claw::world::World;
use gauge::table::{self, Row, median};
use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TEXT: &str = "where is the NAS?";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|a| a == "--bench") {
        println!("nothing is measured here but by `cargo bench --bench receive`");
        return Ok(());
    }
    let runs = if arguments.iter().any(|a| a == "--quick") { 50 } else { 1_000 };
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("receive-{}", std::process::id()));
    fs::create_dir_all(dir.join("floor"))?;
    fs::write(dir.join("claw.yaml"), "model: offline\nchannels: {irc: {type: exec, command: [cat], allow: [ann]}}\n")?;
    let measured = measured(&dir, runs);
    fs::remove_dir_all(&dir)?;
    table::print(&measured?);
    Ok(())
}

fn measured(dir: &Path, runs: usize) -> Result<Vec<Row>> {
    let workspace = Workspace::open(World::real()?, dir.to_owned(), true)?;
    workspace.make_layout()?;
    let (mut with_instant, mut without, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..runs {
        let began = Instant::now();
        receive(&workspace, number, Some(workspace.world.now()))?;
        with_instant.push(millis(began));
        let began = Instant::now();
        receive(&workspace, runs + number, None)?;
        without.push(millis(began));
        let began = Instant::now();
        bare(&dir.join("floor"), number)?;
        floor.push(millis(began));
    }
    let floor = median(floor);
    Ok(vec![
        Row::millis("received to durable, id of the platform's instant", median(with_instant), floor),
        Row::millis("received to durable, id of the first receipt", median(without), floor),
    ])
}

fn receive(workspace: &Workspace, number: usize, at: Option<Stamp>) -> Result<()> {
    let inbound = Inbound {
        platform_id: number.to_string(),
        at,
        sender: "ann".to_owned(),
        reply_to: "ann".to_owned(),
        text: TEXT.to_owned(),
        ..Inbound::default()
    };
    match accept(workspace, "irc", inbound)? {
        Accepted::Published(_) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// A file, its name and its folder, synced.
fn bare(folder: &Path, number: usize) -> Result<()> {
    let mut file = File::create_new(folder.join(number.to_string()))?;
    file.write_all(TEXT.as_bytes())?;
    file.sync_all()?;
    Ok(File::open(folder)?.sync_all()?)
}

fn millis(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}
