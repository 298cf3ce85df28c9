//! Waiting times of `claw chat`: for its prompt, and for each word of an answer.
//!
//! `cargo bench --bench chat [-- --quick]` prints one table. Every figure is the median of runs that alternate
//! with the floor's; the last one is the 99th percentile.

mod gauge;
#[path = "../tests/common/terminal.rs"]
mod terminal;

use gauge::child;
use gauge::table::{self, Row, median};
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use terminal::Terminal;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How many words an answer has.
const WORDS: u32 = 20;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|a| a == "--bench") {
        println!("nothing is measured here but by `cargo bench --bench chat`");
        return Ok(());
    }
    let runs = if arguments.iter().any(|a| a == "--quick") { 5 } else { 50 };
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chat-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let measured = measured(&dir, runs);
    fs::remove_dir_all(&dir)?;
    table::print(&measured?);
    Ok(())
}

fn measured(dir: &Path, runs: usize) -> Result<Vec<Row>> {
    let mut rows = vec![started(dir, 4 * runs)?];
    rows.extend(streamed(dir, runs)?);
    Ok(rows)
}

fn claw(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claw"));
    command.env_clear().env("HOME", dir).env("USER", "ann").env("TZ", "UTC").arg("-w").arg(dir).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// From the start of `claw chat` on a terminal to its prompt, beside `claw --version`.
fn started(dir: &Path, runs: usize) -> Result<Row> {
    fs::write(dir.join("claw.yaml"), "model: offline\nsync: none\n")?;
    fs::create_dir_all(dir.join("agents/pickle"))?;
    fs::write(dir.join("agents/pickle/AGENT.md"), "---\nname: pickle\n---\nYou are Pickle.\n")?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let begun = Instant::now();
        let mut terminal = Terminal::start(claw(dir, &["chat"]));
        terminal.until("> ");
        ours.push(begun.elapsed().as_secs_f64() * 1e3);
        terminal.press("\x04");
        let (code, said) = terminal.ended();
        if code != 0 {
            return Err(format!("chat ends with {code}: {said}").into());
        }
        floor.push(child::run(&mut claw(dir, &["--version"]))?.wall * 1e3);
    }
    Ok(Row::millis("chat: start to prompt, beside --version", median(ours), median(floor)).under(10.0))
}

/// From the sending of a word by a server to its display on the terminal, beside a word through a bare socket
/// of the kernel.
fn streamed(dir: &Path, runs: usize) -> Result<Vec<Row>> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    let base = format!("http://{}/v1", server.local_addr()?);
    let model = format!("model: m\nmodels: {{m: {{provider: openai, model: m, api_base: '{base}'}}}}\nsync: none\n");
    fs::write(dir.join("claw.yaml"), model)?;
    let (mut first, mut later, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    let mut terminal = Terminal::start(claw(dir, &["chat"]));
    terminal.until("> ");
    for run in 0..runs {
        terminal.press("go on\r");
        let (stream, _) = server.accept()?;
        let mut stream = asked(stream)?;
        for word in 0..WORDS {
            let text = format!("word-{run}-{word}.");
            let data = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text} \"}}}}]}}\n\n");
            let sent = Instant::now();
            stream.write_all(data.as_bytes())?;
            terminal.until(&text);
            let took = sent.elapsed().as_secs_f64() * 1e3;
            if word == 0 { first.push(took) } else { later.push(took) }
        }
        stream.write_all(b"data: [DONE]\n\n")?;
        drop(stream);
        terminal.until("> ");
        floor.push(through_a_socket()?);
    }
    later.sort_by(f64::total_cmp);
    let slow = later[later.len() * 99 / 100];
    let floor = median(floor);
    Ok(vec![
        Row::millis("first word: sent to shown, beside a socket", median(first), floor).under(1.0),
        Row::millis("a later word", median(later), floor).under(1.0),
        Row::millis("a later word, p99", slow, floor),
    ])
}

/// Reads a request, and begins the answer.
fn asked(mut stream: TcpStream) -> Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")?;
    Ok(stream)
}

/// Milliseconds for a word to another thread and back through a socket, one way.
fn through_a_socket() -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let mut word = [0; 16];
        for _ in 0..WORDS {
            far.read_exact(&mut word)?;
            far.write_all(&word)?;
        }
        Ok(())
    });
    let begun = Instant::now();
    let mut word = [b'x'; 16];
    for _ in 0..WORDS {
        near.write_all(&word)?;
        near.read_exact(&mut word)?;
    }
    let took = begun.elapsed().as_secs_f64() * 1e3;
    echo.join().map_err(|_| "the echo has broken down")??;
    Ok(took / f64::from(2 * WORDS))
}
