//! What scheduled jobs cost beside the floor, measured in the same run.
//!
//! `cargo bench --bench schedule [-- --quick]` prints one table; `--quick` makes few runs, and a tenth of the events.

mod gauge;

use claw::stage::schedule::pass;
use claw::store::workspace::Workspace;
use claw::world::World;
use gauge::bench::Bench;
use gauge::child::{self, Used};
use gauge::table::{self, Row, median};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// When the jobs are first seen, a time at which none is due, and one at which all are. The files are older, as in daily
/// life: what was just changed is in no index.
const SEEN: &str = "2100-11-30T08:00:00Z";
const QUIET: &str = "2100-11-30T16:00:00Z";
const DUE: &str = "2100-12-01T07:00:30Z";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|a| a == flag);
    if !has("--bench") {
        println!("nothing is measured here but by `cargo bench --bench schedule`");
        return Ok(());
    }
    let bench = Bench::with_floor(has("--quick"))?;
    let mut rows = bench.nothing_due(1000)?;
    rows.push(bench.due_at_once(if bench.is_quick { 1000 } else { 10_000 })?);
    table::print(&rows);
    Ok(())
}

impl Bench {
    /// A folder with the floor in it.
    fn with_floor(is_quick: bool) -> Result<Self> {
        let bench = Self::new("schedule", is_quick)?;
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floor/stat.rs");
        let mut compiler = Command::new(rustc);
        compiler.args(["-O", "--edition", "2024", "-o"]).arg(bench.dir.join("stat")).arg(source);
        if compiler.status()?.success() { Ok(bench) } else { Err("stat.rs does not compile".into()) }
    }

    fn tick(&self, root: &Path, now: &str) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_claw"));
        command.arg("-w").arg(root).args(["tick", "--now", now]);
        command
    }

    /// A workspace with so many daily jobs, which were seen.
    fn workspace(&self, name: &str, jobs: u32) -> Result<PathBuf> {
        let root = self.dir.join(name);
        child::run(self.command(env!("CARGO_BIN_EXE_claw")).arg("init").arg(&root))?;
        writeln!(File::options().append(true).open(root.join("claw.yaml"))?, "sync: none")?;
        for n in 0..jobs {
            let dir = root.join(format!("crons/job-{n}"));
            fs::create_dir(&dir)?;
            let text = format!(
                "---\nname: Job {n}\ndescription: looks at the news\nagent: pickle\nschedule: '0 7 * * *'\n\
                 deliver_to: file:news\n---\nLook at the news of number {n}, and tell me what is new.\n"
            );
            fs::write(dir.join("CRON.md"), text)?;
        }
        child::run(&mut self.tick(&root, SEEN))?;
        Ok(root)
    }

    /// `tick` with nothing due, with and without the index of due times.
    fn nothing_due(&self, jobs: u32) -> Result<Vec<Row>> {
        let root = self.workspace("quiet", jobs)?;
        let index = root.join(".claw/crons.index");
        let (mut first, mut later, mut floor) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..if self.is_quick { 5 } else { 50 } {
            let _ = fs::remove_file(&index);
            first.push(child::run(&mut self.tick(&root, QUIET))?);
            later.push(child::run(&mut self.tick(&root, QUIET))?);
            floor.push(child::run(self.command(self.dir.join("stat")).arg(&root))?);
        }
        if !index.exists() {
            return Err("tick has written no index".into());
        }
        let cpu = |runs: &[Used]| median(runs.iter().map(|run| run.cpu * 1e3).collect());
        let peak = |runs: &[Used]| median(runs.iter().map(|run| run.peak).collect());
        let name = |what: &str| format!("{jobs} jobs, none due: {what}");
        Ok(vec![
            Row::millis(&name("tick, CPU"), cpu(&later), cpu(&floor)).at_most(20.0),
            Row::mebibytes(&name("tick, peak memory"), peak(&later), peak(&floor)).at_most(16.0),
            Row::millis(&name("without index, CPU"), cpu(&first), cpu(&floor)),
            Row::mebibytes(&name("without index, memory"), peak(&first), peak(&floor)).at_most(16.0),
        ])
    }

    /// All jobs are due at one instant: until their events are published, and their ledgers written. The floor is as many
    /// files written unnamed and linked, and as many ledgers appended to.
    fn due_at_once(&self, jobs: u32) -> Result<Row> {
        let root = self.workspace("due", jobs)?;
        let told = |fault: claw::core::fault::Fault| fault.message;
        let now: jiff::Timestamp = DUE.parse()?;
        let world = World::real().map_err(told)?.at(now.into());
        let workspace = Workspace::find(world, Some(&root)).map_err(told)?;
        let start = Instant::now();
        pass::all(&workspace).map_err(told)?;
        let ours = f64::from(jobs) / start.elapsed().as_secs_f64();
        let published = u32::try_from(fs::read_dir(root.join("inbox/new"))?.count())?;
        if published != jobs {
            return Err(format!("{published} of {jobs} events were published").into());
        }
        let floor = f64::from(jobs) / self.bare(jobs)?;
        Ok(Row::rate(&format!("{jobs} jobs, all due at once: published"), ours, floor))
    }

    /// Seconds for as many files, each written unnamed and linked, and as many files appended to.
    fn bare(&self, files: u32) -> Result<f64> {
        let dir = self.dir.join("bare");
        fs::create_dir(&dir)?;
        for n in 0..files {
            fs::write(dir.join(format!("{n}.jsonl")), [b'x'; 300])?;
        }
        let start = Instant::now();
        for n in 0..files {
            let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::open(&dir, flags, Mode::RUSR | Mode::WUSR)?);
            file.write_all(&[b'x'; 500])?;
            let own = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, own, CWD, dir.join(n.to_string()), AtFlags::SYMLINK_FOLLOW)?;
            File::options().append(true).open(dir.join(format!("{n}.jsonl")))?.write_all(&[b'x'; 200])?;
        }
        Ok(start.elapsed().as_secs_f64())
    }
}
