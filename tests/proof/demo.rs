//! The demo of the README, verbatim, and its pipes.

use crate::common::Fixture;

#[test]
fn demo_of_the_readme_runs() {
    let ws = Fixture::empty();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let demo = text.split("```console\n").nth(1).and_then(|t| t.split("```").next()).unwrap();
    let mut steps: Vec<(String, String)> = Vec::new();
    for line in demo.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => steps.push((command.to_owned(), String::new())),
            None => *steps.last_mut().map(|(_, out)| out).unwrap() += &format!("{line}\n"),
        }
    }
    assert!(steps.len() >= 6, "{steps:?}");
    // One shell runs all of it, and prints a mark after each step.
    let script: String = steps.iter().map(|(command, _)| format!("{command}\necho '--8<--'\n")).collect();
    let out = ws.shell(&script).ok();
    let got: Vec<&str> = out.split("--8<--\n").collect();
    for ((command, expected), got) in steps.iter().zip(got) {
        assert_eq!(steady(got), steady(expected), "$ {command}");
    }
}

/// Ids, days and durations differ from run to run.
fn steady(text: &str) -> String {
    let id = regex::Regex::new(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-z]{6}").unwrap();
    let day = regex::Regex::new(r"\d{4}-\d\d-\d\d").unwrap();
    let time = regex::Regex::new(r"in [\d.]+ m?s\b").unwrap();
    let text = id.replace_all(text, "ID");
    let text = day.replace_all(&text, "DAY");
    time.replace_all(&text, "in TIME").into_owned()
}
