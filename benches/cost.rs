//! Costs of `claw` beside the floor: the cost of a minimal program for the same work, on the same machine in the
//! same run.
//!
//! `cargo bench --bench cost [-- --quick] [-- --minute]` prints one table. Every figure is the median of runs that
//! alternate with the floor's. `--quick` makes few of them, `--minute` watches the idle supervisor for a whole
//! minute. A floor is compiled at the start with `rustc -O`, from `floor/`.

mod gauge;

use claw::core::event::Draft;
use claw::core::event::address::Address;
use claw::store::queue::publish;
use claw::store::workspace::Workspace;
use claw::store::workspace::clock;
use claw::world::World;
use gauge::child::{self, Used};
use gauge::server;
use gauge::table::{self, Row, median};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Messages, and the sessions that they are spread over.
const MESSAGES: u32 = 300;
const SESSIONS: u32 = 30;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|a| a == flag);
    if !has("--bench") {
        println!("nothing is measured here but by `cargo bench --bench cost`");
        return Ok(());
    }
    let bench = Bench::new(has("--quick"))?;
    let stretch = match () {
        () if has("--minute") => 60,
        () if bench.is_quick => 5,
        () => 20,
    };
    let mut rows = vec![bench.start()?, bench.completion()?];
    rows.extend(bench.ask()?);
    rows.extend(bench.idle(Duration::from_secs(stretch))?);
    rows.extend(bench.throughput("none")?);
    rows.extend(bench.throughput("full")?);
    table::print(&rows);
    println!("\nA child's peak memory cannot be seen below this program's own, {:.1} MiB.", child::own_peak()?);
    if bench.aichat.is_none() {
        println!("aichat is not installed: cargo install aichat, or name it in $AICHAT");
    }
    Ok(())
}

/// A folder on the disk of the build, with the floors in it; removed at the end.
struct Bench {
    dir: PathBuf,
    /// A folder in memory, if there is such a file system.
    memory: PathBuf,
    is_quick: bool,
    aichat: Option<PathBuf>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
        let _ = fs::remove_dir_all(&self.memory);
    }
}

impl Bench {
    fn new(is_quick: bool) -> Result<Self> {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cost-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let shared = Path::new("/dev/shm");
        let name = format!("claw-cost-{}", std::process::id());
        let memory = if shared.is_dir() { shared.join(name) } else { dir.join(name) };
        let bench = Self { dir, memory, is_quick, aichat: aichat() };
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        for floor in ["nothing", "sleep", "exchange"] {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floor").join(floor).with_extension("rs");
            let mut compiler = Command::new(&rustc);
            compiler.args(["-O", "--edition", "2024", "-o"]).arg(bench.dir.join(floor)).arg(source);
            if !compiler.status()?.success() {
                return Err(format!("{floor}.rs does not compile").into());
            }
        }
        Ok(bench)
    }

    /// `most` runs, or few.
    fn runs(&self, most: usize) -> usize {
        if self.is_quick { most.div_ceil(10).max(1) } else { most }
    }

    /// A program with an empty environment of its own.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("HOME", &self.dir).env("PATH", &self.dir).env("USER", "ann");
        command.env("OLLAMA_HOST", "127.0.0.1:1").current_dir(&self.dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn floor(&self, name: &str) -> Command {
        self.command(self.dir.join(name))
    }

    fn claw(&self, workspace: &Path, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_claw"));
        command.arg("-w").arg(workspace).args(arguments);
        command
    }

    /// A fresh workspace with these lines in its settings; they replace the offline model if they name
    /// one.
    fn workspace(&self, name: impl AsRef<Path>, lines: &str) -> Result<PathBuf> {
        let root = self.dir.join(name);
        let _ = fs::remove_dir_all(&root);
        child::run(self.command(env!("CARGO_BIN_EXE_claw")).arg("init").arg(&root))?;
        let file = root.join("claw.yaml");
        let text = fs::read_to_string(&file)?;
        let kept = if lines.contains("model:") { text.replace("model: offline\n", "") } else { text };
        fs::write(file, kept + "\n" + lines)?;
        Ok(root)
    }

    /// `route` without work, beside an empty program.
    fn start(&self) -> Result<Row> {
        let root = self.workspace("start", "")?;
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..self.runs(500) {
            ours.push(child::run(&mut self.claw(&root, &["route"]))?);
            floor.push(child::run(&mut self.floor("nothing"))?);
        }
        let row = Row::millis("route, nothing to do: start to exit", wall(&ours), wall(&floor));
        Ok(row.ratio_at_most(1.5))
    }

    /// Completion of a session's name among a thousand, beside an empty program.
    fn completion(&self) -> Result<Row> {
        let root = self.workspace("completion", "")?;
        for n in 0..1000 {
            fs::create_dir_all(root.join(format!("sessions/pickle.s{n}")))?;
        }
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..self.runs(200) {
            let mut command = self.command(env!("CARGO_BIN_EXE_claw"));
            command.args(["--", "claw", "ask", "-s", "s9"]).env("COMPLETE", "fish").env("CLAW_WORKSPACE", &root);
            ours.push(child::run(&mut command)?);
            floor.push(child::run(&mut self.floor("nothing"))?);
        }
        Ok(Row::millis("completion of a session among 1,000", wall(&ours), wall(&floor)).at_most(30.0))
    }

    /// `supervise` without work, beside a sleeping program.
    fn idle(&self, stretch: Duration) -> Result<Vec<Row>> {
        let root = self.workspace("idle", "")?;
        let mut ours = child::Running(self.claw(&root, &["supervise"]).stderr(Stdio::piped()).spawn()?);
        let floor = child::Running(self.floor("sleep").spawn()?);
        let mut said = BufReader::new(ours.0.stderr.take().ok_or("no stderr")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        if !line.contains("supervising") {
            return Err(format!("supervise says: {line}").into());
        }
        // The start is not part of the idle time.
        std::thread::sleep(Duration::from_secs(1));
        let (our_start, floor_start) = (ours.cpu()?, floor.cpu()?);
        std::thread::sleep(stretch);
        let scale = 60.0 / stretch.as_secs_f64();
        let minute = |now: f64, then: f64| (now - then) * scale;
        let (our_cpu, floor_cpu) = (minute(ours.cpu()?, our_start), minute(floor.cpu()?, floor_start));
        let memory = |what: &str, key: &str| -> Result<Row> {
            Ok(Row::mebibytes(&format!("supervise, idle: {what}"), ours.memory(key)?, floor.memory(key)?))
        };
        Ok(vec![
            Row::millis("supervise, idle: CPU in a minute", our_cpu, floor_cpu).under(10.0),
            memory("memory", "VmRSS")?.at_most(8.0),
            memory("peak memory", "VmHWM")?.at_most(8.0),
        ])
    }

    /// `ask` of a model over HTTP, beside a bare exchange and beside aichat. The cost of creating a file depends
    /// on the file system, so the same runs with the workspace in memory.
    fn ask(&self) -> Result<Vec<Row>> {
        let host = server::start()?;
        let model = format!("provider: openai, model: m, api_base: \"http://{host}/v1\"");
        let lines = format!("model: mock\nmodels:\n  mock: {{{model}}}\n");
        let (on_disk, in_memory) = (self.workspace("ask", &lines)?, self.workspace(&self.memory, &lines)?);
        let settings = format!(
            "model: mock:m\nclients:\n- type: openai-compatible\n  name: mock\n  api_base: http://{host}/v1\n  \
             api_key: none\n  models:\n  - name: m\n"
        );
        fs::write(self.dir.join("config.yaml"), settings)?;
        let (mut ours, mut memory, mut floor, mut theirs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let answer = |command: &mut Command| child::answered(command, &self.dir.join("answer"), server::ANSWER);
        for _ in 0..self.runs(100) {
            ours.push(answer(&mut self.claw(&on_disk, &["ask", "-n", "hi"]))?);
            memory.push(answer(&mut self.claw(&in_memory, &["ask", "-n", "hi"]))?);
            floor.push(child::run(self.floor("exchange").arg(&host))?);
            if let Some(program) = &self.aichat {
                theirs.push(answer(self.command(program).arg("hi").env("AICHAT_CONFIG_DIR", &self.dir))?);
            }
        }
        let mut rows = vec![Row::mebibytes("ask over HTTP: peak memory", peak(&ours), peak(&floor)).at_most(10.0)];
        for (what, runs) in [("ask over HTTP: CPU", &ours), ("ask over HTTP, workspace in memory: CPU", &memory)] {
            let row = Row::millis(what, cpu(runs), cpu(&floor));
            rows.push(if theirs.is_empty() { row } else { row.at_most_of("aichat", cpu(&theirs)) });
        }
        if !theirs.is_empty() {
            rows.push(Row::millis("the same by aichat: CPU", cpu(&theirs), cpu(&floor)));
            rows.push(Row::mebibytes("the same by aichat: peak memory", peak(&theirs), peak(&floor)));
        }
        Ok(rows)
    }

    /// Messages sent, and one `tick` that routes, answers (offline) and delivers them, beside as many
    /// files written and linked; with `sync: full` each of them and its name is synced.
    fn throughput(&self, sync: &str) -> Result<Vec<Row>> {
        let (mut sent, mut worked, mut floor) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.runs(5) {
            let root = self.workspace("throughput", &format!("sync: {sync}\n"))?;
            let start = Instant::now();
            send(&root)?;
            sent.push(start.elapsed().as_secs_f64() * 1e3);
            worked.push(child::run(&mut self.claw(&root, &["tick"]))?);
            let delivered = files(&root.join("outbox/files"))?;
            if delivered != MESSAGES {
                return Err(format!("{delivered} of {MESSAGES} messages were delivered").into());
            }
            floor.push(self.bare(sync == "full")?);
        }
        let rate = |millis: f64| f64::from(MESSAGES) / millis * 1e3;
        let (sent, worked, floor) = (median(sent), wall(&worked), median(floor));
        Ok(vec![
            Row::rate(&format!("sync: {sync}: sent"), rate(sent), rate(floor)),
            Row::rate(&format!("sync: {sync}: routed, answered, delivered"), rate(worked), rate(floor)),
        ])
    }

    /// The floor of an event: milliseconds for as many files, each written unnamed, then linked.
    fn bare(&self, is_synced: bool) -> Result<f64> {
        let dir = self.dir.join("bare");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir)?;
        let start = Instant::now();
        for n in 0..MESSAGES {
            let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::open(&dir, flags, Mode::RUSR | Mode::WUSR)?);
            file.write_all(&[b'x'; 300])?;
            if is_synced {
                file.sync_data()?;
            }
            let own = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, own, CWD, dir.join(n.to_string()), AtFlags::SYMLINK_FOLLOW)?;
            if is_synced {
                File::open(&dir)?.sync_all()?;
            }
        }
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }
}

/// Sends all messages, as `claw send` does, in this process.
fn send(root: &Path) -> Result<()> {
    let told = |fault: claw::core::fault::Fault| fault.message;
    let workspace = Workspace::find(World::real().map_err(told)?, Some(root)).map_err(told)?;
    for n in 0..MESSAGES {
        let place = Address::parse(&format!("file:{}", n % SESSIONS)).map_err(told)?;
        let draft = Draft { reply_to: Some(place), ..Draft::message(format!("message {n}")) };
        let id = clock::next_id(&workspace).map_err(told)?;
        let event = publish::complete(&workspace, draft, id).map_err(told)?;
        publish::inbox(&workspace, &event).map_err(told)?;
    }
    Ok(())
}

/// How many files there are in the folders of `dir`.
fn files(dir: &Path) -> Result<u32> {
    let mut count = 0;
    for folder in fs::read_dir(dir)? {
        count += u32::try_from(fs::read_dir(folder?.path())?.count())?;
    }
    Ok(count)
}

/// Another program that asks models, if installed.
fn aichat() -> Option<PathBuf> {
    let named = std::env::var_os("AICHAT").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = || std::env::split_paths(&path).map(|dir| dir.join("aichat")).find(|file| file.is_file());
    named.or_else(found)
}

fn wall(runs: &[Used]) -> f64 {
    median(runs.iter().map(|r| r.wall * 1e3).collect())
}

fn cpu(runs: &[Used]) -> f64 {
    median(runs.iter().map(|r| r.cpu * 1e3).collect())
}

fn peak(runs: &[Used]) -> f64 {
    median(runs.iter().map(|r| r.peak).collect())
}
