//! The cost of the system prompt with many skills, beside reading their files.
//!
//! `cargo bench --bench prompt [-- --quick]` prints one table. Every figure is the median of runs that alternate
//! with the floor's.

mod gauge;

use claw::core::context::prompt::join;
use claw::core::event::EventKind;
use claw::core::event::address::Address;
use claw::core::event::origin::SenderClass;
use claw::core::event::stamp::{SECOND, Stamp};
use claw::stage::turn::prompt::{self, PromptContext};
use claw::store::agent::definitions;
use claw::store::workspace::Workspace;
use claw::tool;
use claw::world::{self, World};
use gauge::table::{self, Row, median};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|a| a == "--bench") {
        println!("nothing is measured here but by `cargo bench --bench prompt`");
        return Ok(());
    }
    let runs = if arguments.iter().any(|a| a == "--quick") { 5 } else { 50 };
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("prompt-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("claw.yaml"), "model: offline\n")?;
    let measured = prompted(&dir, runs);
    fs::remove_dir_all(&dir)?;
    table::print(&measured?);
    Ok(())
}

/// The number of skills in the workspace.
const SKILLS: usize = 200;

/// A prompt that lists many skills, in a new process and in one that has built it before, beside reading their
/// files.
fn prompted(dir: &Path, runs: usize) -> Result<[Row; 2]> {
    let head = "---\nname: pickle\ndescription: answers\nallow_skills: true\n---\nYou are Pickle.\n";
    fs::create_dir_all(dir.join("agents/pickle"))?;
    fs::write(dir.join("agents/pickle/AGENT.md"), head)?;
    let mut files = Vec::new();
    for n in 0..SKILLS {
        let folder = dir.join(format!("skills/skill-{n:03}"));
        fs::create_dir_all(&folder)?;
        let description = "Turns what lies here into what is wanted there. Use it when somebody asks for that.";
        let head = format!("name: skill-{n:03}\ndescription: {description}\nrequires: {{bins: [sh], env: [PATH]}}");
        let text = format!("---\n{head}\n---\n{}", "1. Do this, and then that.\n".repeat(100));
        files.push(folder.join("SKILL.md"));
        fs::write(folder.join("SKILL.md"), text)?;
    }
    let (place, now) = (Address::parse("cli:ann")?, jiff::Timestamp::UNIX_EPOCH.to_zoned(world::zone()));
    let moment = PromptContext {
        now: &now,
        began: &now,
        session: "pickle.cli-ann",
        kind: EventKind::Message,
        reply_to: &place,
        class: SenderClass::Owner,
    };
    let made = |workspace: &Workspace| -> Result<f64> {
        let began = Instant::now();
        let agent = definitions::agent(workspace, "pickle")?;
        let layers = prompt::layers(
            workspace,
            &agent,
            &tool::offered(workspace, &agent, SenderClass::Owner, EventKind::Message)?,
            &moment,
        )?;
        let (text, _) = join(&layers);
        let taken = began.elapsed().as_secs_f64() * 1000.0;
        if text.matches("- skill-").count() == SKILLS { Ok(taken) } else { Err("not all skills are offered".into()) }
    };
    // Files as young as these would be read again each time.
    let later = || -> Result<World> {
        let world = World::real()?;
        let now = Stamp(world.now().0 + SECOND);
        Ok(world.at(now))
    };
    let kept = Workspace::open(later()?, dir.to_path_buf(), true)?;
    made(&kept)?;
    let (mut first, mut again, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        first.push(made(&Workspace::open(later()?, dir.to_path_buf(), true)?)?);
        again.push(made(&kept)?);
        let began = Instant::now();
        let read = files.iter().map(|file| fs::read(file).map(|text| text.len())).sum::<std::io::Result<usize>>()?;
        floor.push(began.elapsed().as_secs_f64() * 1000.0);
        if read == 0 {
            return Err("nothing was read".into());
        }
    }
    let floor = median(floor);
    let name = format!("prompt of {SKILLS} skills, beside reading their files");
    let first = Row::millis(&name, median(first), floor).under(5.0);
    Ok([first, Row::millis("the same again in one process", median(again), floor).under(5.0)])
}
