//! Reading the answer of a model beside parsing its JSON, and the share of a request that providers can take from their
//! caches.
//!
//! `cargo bench --bench reading [-- --quick]` prints one table and one line. Every figure is the median of runs that
//! alternate with the floor's.

mod gauge;

use gauge::table::{self, Row, median};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The turns of the conversation whose requests are compared.
const TURNS: usize = 20;
/// The share of a request, in percent, that should be the beginning of the next one.
const GOAL: f64 = 95.0;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|a| a == "--bench") {
        println!("nothing is measured here but by `cargo bench --bench reading`");
        return Ok(());
    }
    let runs = if arguments.iter().any(|a| a == "--quick") { 5 } else { 30 };
    table::print(&[read("openai", runs)?, read("anthropic", runs)?]);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("reading-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let share = stable_share(&dir);
    fs::remove_dir_all(&dir)?;
    let share = share?;
    let verdict = if share >= GOAL { "met" } else { "missed" };
    println!(
        "stable beginning of a request, {TURNS} turns, a minute each: {share:.1} % (at least {GOAL} %: {verdict})"
    );
    Ok(())
}

/// A stream of one MiB, beside `serde_json` alone on the same documents.
fn read(provider: &str, runs: usize) -> Result<Row> {
    let document = |n: usize| match provider {
        "openai" => format!(
            "{{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":\
             [{{\"index\":0,\"delta\":{{\"content\":\"word {n} \"}},\"finish_reason\":null}}]}}"
        ),
        _ => format!(
            "{{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"word {n} \"}}}}"
        ),
    };
    let mut stream = String::new();
    let mut documents = Vec::new();
    while stream.len() < 1 << 20 {
        let next = document(documents.len());
        stream += &format!("data: {next}\n\n");
        documents.push(next);
    }
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let began = Instant::now();
        let meaning = claw::provider::dissect(provider, stream.as_bytes(), 8 << 10);
        ours.push(began.elapsed().as_secs_f64() * 1000.0);
        if !meaning.contains("word 7 ") {
            return Err("the stream was not read".into());
        }
        let began = Instant::now();
        for document in &documents {
            std::hint::black_box(serde_json::from_str::<serde_json::Value>(document)?);
        }
        floor.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(Row::millis(&format!("a stream of 1 MiB ({provider}), beside serde_json"), median(ours), median(floor)))
}

fn claw(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claw"));
    command.current_dir(dir).env("HOME", dir).env_remove("CLAW_WORKSPACE");
    command
}

/// The share of a request that the next one begins with, in percent, over a conversation with a minute between two turns.
fn stable_share(dir: &Path) -> Result<f64> {
    let script = "cat >\"request-$$\"; mv \"request-$$\" request.json; echo It is in the notes.";
    claw(dir).args(["init", "."]).output()?;
    fs::write(
        dir.join("claw.yaml"),
        format!("sync: none\nmodel: m\nmodels:\n  m: {{provider: command, command: [sh, -c, '{script}']}}\n"),
    )?;
    let mut before = String::new();
    let (mut common, mut all) = (0, 0);
    for turn in 0..TURNS {
        let now = format!("2026-11-21T08:{turn:02}:00Z");
        let question = format!("question {turn}: where did I put the key of the shed?");
        let status = claw(dir).args(["ask", "-n", "-s", "t", &question]).env("CLAW_NOW", now).output()?.status;
        if !status.success() {
            return Err(format!("turn {turn}: {status}").into());
        }
        let request: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("request.json"))?)?;
        let text = request["system"].to_string() + &request["tools"].to_string() + &request["messages"].to_string();
        if turn > 0 {
            common += before.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
            all += before.len();
        }
        before = text;
    }
    #[expect(clippy::cast_precision_loss, reason = "some thousand bytes")]
    Ok(common as f64 * 100.0 / all as f64)
}
