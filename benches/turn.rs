//! The cost of a turn beside its floors: routing, reading back the log, and the steps between model and
//! tool.
//!
//! `cargo bench --bench turn [-- --quick]` prints one table. Every figure is the median of runs that alternate
//! with the floor's.

mod gauge;

use claw::core::event::Draft;
use claw::core::event::address::Address;
use claw::core::event::id::Id;
use claw::core::event::stamp::Stamp;
use claw::core::model::{Call, Reply};
use claw::core::routing::binding::{Binding, Scope, Table, Tier, whole};
use claw::core::routing::learned::Learned;
use claw::core::routing::{self, RoutingRules};
use claw::core::session::record::{Record, ToolResult};
use claw::core::turn;
use claw::store::session::log;
use claw::store::workspace::Workspace;
use claw::world::World;
use gauge::server;
use gauge::table::{self, Row, median};
use regex::RegexSetBuilder;
use serde_json::json;
use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SESSION: &str = "pickle.long";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|a| a == "--bench") {
        println!("nothing is measured here but by `cargo bench --bench turn`");
        return Ok(());
    }
    let runs = if arguments.iter().any(|a| a == "--quick") { 5 } else { 50 };
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("turn-{}", std::process::id()));
    fs::create_dir_all(dir.join("sessions").join(SESSION))?;
    fs::create_dir_all(dir.join("agents/pickle"))?;
    fs::write(dir.join("agents/pickle/AGENT.md"), "---\nname: Pickle\n---\nYou are Pickle.\n")?;
    fs::write(dir.join("claw.yaml"), "model: offline\nsync: none\n")?;
    let measured = (|| {
        let workspace = Workspace::open(World::real()?, dir.clone(), true)?;
        let mut rows = Vec::new();
        for messages in [5_000, 50_000] {
            rows.push(replayed(&workspace, messages, runs)?);
        }
        rows.extend(called(&dir, runs)?);
        rows.push(routed(runs)?);
        Ok::<_, Box<dyn Error>>(rows)
    })();
    fs::remove_dir_all(&dir)?;
    table::print(&measured?);
    Ok(())
}

/// A conversation of this many messages, every fourth of them the result of a call.
fn conversation(messages: i64) -> Result<String> {
    let place = Address::parse("cli:ann")?;
    let mut text = String::new();
    for n in 0..messages / 4 {
        let at = Stamp(1_795_221_690_000_000 + n * 60_000_000);
        let id = Id::new(at, n.unsigned_abs());
        let event = Draft::message(format!("question {n}: {}", "where was it that we put this? ".repeat(4)));
        let event = event.complete(id.clone(), at, &place, &place);
        let said = format!("answer {n}: {}", "it is where it always was. ".repeat(8));
        let out = event.child(claw::core::event::id::Derived::Reply, 1, &place, said.clone(), at);
        let call = Call { id: String::new(), name: "recall".into(), arguments: json!({"query": "this"}) };
        let mut state = turn::Replay::default();
        let first = state.add_reply(Reply { calls: vec![call], ..Reply::default() }).clone();
        let outcome = ToolResult { result: "memories/topics/house.md:3: here ".repeat(10), ..ToolResult::default() };
        let at = at.timestamp();
        let model = |reply| Record::Model { at, id: id.clone(), model: "m".into(), ms: 1, reply, estimated: 0 };
        let call = first.calls[0].id.clone();
        let records = [
            Record::In { at, event: Box::new(event) },
            model(first),
            Record::Tool { at, id: id.clone(), call, ms: 1, outcome },
            model(Reply { content: said, ..Reply::default() }),
            Record::Done { at, ids: vec![id.clone()], out: vec![out], said: None },
        ];
        for record in records {
            writeln!(text, "{}", serde_json::to_string(&record)?)?;
        }
    }
    Ok(text)
}

/// The start of the next turn of a long session, beside reading the file.
fn replayed(workspace: &Workspace, messages: i64, runs: usize) -> Result<Row> {
    let path = workspace.path("sessions").join(SESSION).join("log.jsonl");
    let text = conversation(messages)?;
    fs::write(&path, &text)?;
    let id = Id::new(Stamp(1_895_221_690_000_000), 1);
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let began = Instant::now();
        let state = turn::replay(log::read(workspace, SESSION, &id)?, &id);
        ours.push(began.elapsed().as_secs_f64() * 1000.0);
        if state.history.is_empty() || state.is_logged {
            return Err("nothing was replayed".into());
        }
        let began = Instant::now();
        let read = fs::read(&path)?.len();
        floor.push(began.elapsed().as_secs_f64() * 1000.0);
        if read != text.len() {
            return Err("not all of it was read".into());
        }
    }
    let mib = text.len() >> 20;
    let name = format!("replay of {messages} messages ({mib} MiB), beside reading the file");
    Ok(Row::millis(&name, median(ours), median(floor)).at_most(50.0))
}

/// The number of calls in a turn.
const CALLS: u32 = 20;

/// The cost that a step and a call add to a turn, beside the bare exchange and the bare program. The model is a
/// server that answers at once.
fn called(dir: &Path, runs: usize) -> Result<Vec<Row>> {
    let host = server::start()?;
    let model =
        format!("model: m\nsync: none\nmodels:\n  m: {{provider: openai, model: m, api_base: 'http://{host}/v1'}}\n");
    fs::write(dir.join("claw.yaml"), model)?;
    let ask = |text: String| -> Result<f64> {
        let began = Instant::now();
        let mut claw = Command::new(env!("CARGO_BIN_EXE_claw"));
        let out = claw.arg("-w").arg(dir).args(["ask", "-n", "-s", "bench", &text]).stderr(Stdio::null()).output()?;
        if out.stdout != format!("{}\n", server::ANSWER).into_bytes() {
            return Err(format!("{text}: {}", String::from_utf8_lossy(&out.stdout)).into());
        }
        Ok(began.elapsed().as_secs_f64() * 1000.0)
    };
    let bare = |command: &[&str]| -> Result<f64> {
        let began = Instant::now();
        Command::new(command[0]).args(&command[1..]).output()?;
        Ok(began.elapsed().as_secs_f64() * 1000.0)
    };
    let exchange = || -> Result<f64> {
        let began = Instant::now();
        let mut stream = TcpStream::connect(&host)?;
        write!(&mut stream, "POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{{}}")?;
        stream.read_to_end(&mut Vec::new())?;
        Ok(began.elapsed().as_secs_f64() * 1000.0)
    };
    let (mut step, mut call, mut shell) = (Vec::new(), Vec::new(), Vec::new());
    let (mut wire, mut program) = (Vec::new(), Vec::new());
    let per = |whole: f64, without: f64| (whole - without) / f64::from(CALLS);
    for _ in 0..runs {
        fs::remove_dir_all(dir.join("sessions"))?;
        let nothing = ask("nothing".to_owned())?;
        step.push(per(ask(format!("steps {CALLS} recall {{\"query\": \"word%n\"}}"))?, nothing));
        call.push(per(ask(format!("calls {CALLS} recall {{\"query\": \"word%n\"}}"))?, nothing));
        shell.push(per(ask(format!("calls {CALLS} bash {{\"command\": \": %n\"}}"))?, nothing));
        wire.push(exchange()?);
        program.push(bare(&["bash", "-c", ":"])?);
    }
    let (wire, program) = (median(wire), median(program));
    Ok(vec![
        Row::millis("a step of a turn, beside a bare HTTP exchange", median(step), wire),
        Row::millis("a call of a built-in tool, beside the same", median(call), wire),
        Row::millis("a shell call within walls, beside bare bash", median(shell), program),
    ])
}

/// The bindings of a busy owner: as many exact ones as others, and some by sender.
fn bindings(count: usize) -> Vec<Binding> {
    let binding = |n: usize| Binding {
        pattern: match n % 4 {
            0 | 1 => format!("telegram:-100{n}"),
            2 => format!("telegram:-100{n}/[0-9]+|discord:{n}"),
            _ => format!("mail:.*@site{n}\\.org"),
        },
        agent: format!("agent{n}"),
        from: n.is_multiple_of(8).then(|| format!("telegram:{n}")),
        session: Scope::Place,
    };
    (0..count).map(binding).collect()
}

/// The cost of routing one event, beside looking its address up in a bare map and a bare set.
fn routed(runs: usize) -> Result<Row> {
    let given = bindings(1_000);
    let table = Table::new(given.iter().cloned().enumerate().map(|(n, one)| (n, None, one)))?;
    let exact: HashMap<&str, usize> = given.iter().enumerate().map(|(n, one)| (one.pattern.as_str(), n)).collect();
    let patterns = given.iter().filter(|one| Tier::of(&one.pattern) != Tier::Exact);
    let set = RegexSetBuilder::new(patterns.map(|one| whole(&one.pattern))).size_limit(64 << 20).build()?;
    let is_agent = |_: &str| true;
    let rules = RoutingRules { default_agent: "pickle", main: None, table: &table, is_agent: &is_agent };
    let learned = Learned::default();
    let event = |n: usize| {
        let place = match n % 4 {
            0 => format!("telegram:-100{n}"),
            1 => format!("telegram:-100{n}/{n}"),
            2 => format!("mail:user{n}@site{}.org", n / 4 * 4 + 3),
            _ => format!("cli:nobody{n}"),
        };
        let place = Address::parse(&place)?;
        let at = Stamp(1_795_221_690_000_000 + i64::try_from(n)?);
        Ok::<_, Box<dyn Error>>(Draft::message("hello").complete(Id::new(at, 1), at, &place, &place))
    };
    let events = (0..1_000).map(event).collect::<Result<Vec<_>>>()?;
    let each = |took: Duration| took.as_secs_f64() * 1000.0 / 1_000.0;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let began = Instant::now();
        for event in &events {
            std::hint::black_box(routing::decide(event, &learned, &rules)?);
        }
        ours.push(each(began.elapsed()));
        let began = Instant::now();
        for event in &events {
            let place = event.reply_to.as_str();
            std::hint::black_box((exact.get(place), set.matches(place).into_iter().next()));
        }
        floor.push(each(began.elapsed()));
    }
    let name = "routing with 1,000 bindings, beside a bare map and set";
    Ok(Row::millis(name, median(ours), median(floor)).at_most(0.05))
}
