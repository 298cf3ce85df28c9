//! Output of commands, compared whole with the files in `tests/snapshots/`: a change of any word shows as a diff of a
//! file. Clock and randomness are fixed, so ids are the same in every run.
//!
//! `CLAW_WRITE_SNAPSHOTS=1 cargo test --test it snapshots::` writes them.

use crate::common::Fixture;
use clap::CommandFactory;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The workspace of the snapshots is fixed in time; each command may come a minute later.
struct Scene {
    ws: Fixture,
    text: String,
    minute: u32,
}

impl Scene {
    fn new() -> Self {
        let ws = Fixture::new();
        ws.write("memories/topics/house.md", "# House\n- the NAS is 10.0.0.7\n");
        Self { ws, text: String::new(), minute: 0 }
    }

    fn command(&mut self, arguments: &[&str]) -> Command {
        self.minute += 1;
        let mut command = self.ws.command(arguments);
        command.env("CLAW_NOW", format!("2026-11-21T00:{:02}:00Z", self.minute)).env("CLAW_SEED", "7");
        command
    }

    /// Runs a command, and adds it with its output, as a terminal would show it.
    fn run(&mut self, arguments: &[&str]) {
        let output = self.command(arguments).output().unwrap();
        let home = self.ws.dir.path().display().to_string();
        let plain = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&home, "~");
        self.text += &format!("$ claw {}\n{}", arguments.join(" "), plain(&output.stdout));
        // The support for the sandbox depends on the kernel.
        for line in plain(&output.stderr).lines().filter(|line| !line.starts_with("claw: sandbox: ")) {
            self.text += &format!("[stderr] {line}\n");
        }
        match output.status.code() {
            Some(0) => {}
            code => self.text += &format!("[exit {}]\n", code.unwrap_or(-1)),
        }
        self.text.push('\n');
    }

    #[track_caller]
    fn compare(&self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}.txt"));
        // Durations differ from run to run.
        let took = regex::Regex::new(r"\b(?:in )?\d+(?:\.\d+)? m?s\b").unwrap();
        let text = took.replace_all(&self.text, "TIME").into_owned();
        if std::env::var_os("CLAW_WRITE_SNAPSHOTS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let known = fs::read_to_string(&path).unwrap_or_default();
        let differs = text.lines().zip(known.lines()).position(|(new, old)| new != old);
        let at = differs.unwrap_or_else(|| text.lines().count().min(known.lines().count()));
        let line = |text: &str| text.lines().nth(at).unwrap_or("(no line)").to_owned();
        assert!(
            text == known,
            "{} differs at line {}:\n  was {}\n  now {}\nCLAW_WRITE_SNAPSHOTS=1 writes it anew",
            path.display(),
            at + 1,
            line(&known),
            line(&text)
        );
    }
}

#[test]
fn help_of_every_command() {
    let mut scene = Scene::new();
    scene.run(&["--help"]);
    let commands = claw::cli::Cli::command();
    for command in commands.get_subcommands().filter(|command| !command.is_hide_set()) {
        scene.run(&[command.get_name(), "--help"]);
        for below in command.get_subcommands() {
            scene.run(&[command.get_name(), below.get_name(), "--help"]);
        }
    }
    scene.compare("help");
}

#[test]
fn views_of_a_workspace() {
    let mut scene = Scene::new();
    scene.run(&["status"]);
    scene.run(&["ask", "-n", "-s", "work", "where is the NAS?"]);
    scene.run(&["send", "--from", "file:a", "--in", "1h", "remember the milk"]);
    scene.run(&["send", "--from", "file:b", "hello"]);
    scene.run(&["route"]);
    scene.run(&["run-agent"]);
    scene.run(&["deliver"]);
    for command in [
        &["status"][..],
        &["why"],
        &["log"],
        &["sessions"],
        &["sessions", "show", "work"],
        &["agents"],
        &["agents", "show", "cookie"],
        &["models", "--offline"],
        &["usage"],
        &["approve"],
        &["recall", "NAS"],
        &["route", "--explain", "telegram:42"],
        &["ask", "-n", "/help"],
        &["ask", "-n", "-s", "work", "/context"],
    ] {
        scene.run(command);
    }
    let job = "---\nname: Morning\nagent: pickle\nschedule: '0 7 * * *'\ntimezone: Europe/Berlin\n---\nSay hello.\n";
    scene.ws.write("crons/morning/CRON.md", job);
    scene.run(&["status"]);
    scene.compare("views");
}

#[test]
fn errors_and_their_hints() {
    let mut scene = Scene::new();
    for command in [
        &["why", "nothing"][..],
        &["retry", "x"],
        &["approve", "x"],
        &["ask", "-n", "-m", "gtp", "hi"],
        &["ask", "-n", "/hepl"],
        &["send", "--reply-to", "phone:1", "hi"],
        &["send", "--agent", "pickel", "hi"],
        &["sessions", "show", "wrok"],
        &["agents", "show", "pickel"],
        &["skills", "show", "tmxu"],
        &["supervise", "rout"],
        &["prompt", "nobody"],
        &["-w", "/nowhere", "status"],
    ] {
        scene.run(command);
    }
    scene.ws.config("modle: gpt\nmax_concurrency: many\n");
    scene.run(&["check"]);
    scene.run(&["status"]);
    scene.compare("errors");
}
