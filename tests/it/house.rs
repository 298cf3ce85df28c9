//! The house: who imports whom, and where the sharp tools lie.

use regex::Regex;
use std::fs;
use std::path::Path;
use walkdir::WalkDir;

/// Room, and the rooms it may enter besides itself.
const MAY_ENTER: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("world", &["core"]),
    ("store", &["core", "world"]),
    ("child", &["core"]),
    ("provider", &["core", "world", "store", "child"]),
    ("channel", &["core", "world", "store", "child"]),
    ("tool", &["core", "world", "store", "child"]),
    ("stage", &["core", "world", "store", "child", "provider", "channel", "tool"]),
    ("command", &["core", "world", "store", "child", "provider", "channel", "tool", "stage"]),
    ("cli", &["core", "world", "store", "child", "provider", "channel", "tool", "stage", "command"]),
    ("lib", &[]),
    ("main", &["core", "child", "cli"]),
];

/// A tool (a pattern), the only files that may name it, and why.
const ONLY_IN: &[(&str, &[&str], &str)] = &[
    (
        r"fs::rename|renameat|\blinkat|hard_link",
        &["store/fs/durable.rs"],
        "a move that replaces or is not synced loses events",
    ),
    (
        r"\bflock\(|F_SETLK|try_lock\(|lock_exclusive",
        &["store/lock/held.rs", "store/lock/slots.rs", "store/workspace/clock.rs"],
        "a lock is a claim",
    ),
    (r"Timestamp::now|SystemTime::now|Zoned::now", &["world.rs"], "the clock enters through the world"),
    (r"getrandom|thread_rng|rand::", &["world.rs"], "randomness enters through the world"),
    (r"env::var|env::vars|env::args", &["world.rs", "main.rs"], "the environment enters through the world"),
    (
        r"Command::new|\.spawn\(\)|\bfork\(",
        &["process/mod.rs", "process/watcher.rs", "store/memory/git.rs"],
        "nothing is run without a watcher but git",
    ),
    (
        r"reqwest|TcpStream|TcpListener|UnixStream|UdpSocket",
        &[
            "provider/http.rs",
            "provider/source.rs",
            "provider/wire.rs",
            "tool/web/client.rs",
            "tool/web/names.rs",
            "tool/web/search.rs",
        ],
        "the network is reached by providers, and for agents through the guarded client and the owner's search",
    ),
    (
        r"println!|print!\(|io::stdout|io::stdin",
        &["command/terminal/out.rs"],
        "stdout carries results, through one door",
    ),
    (r"\bunsafe\b", &["store/fs/lease.rs", "process/watcher.rs"], "each has its proof beside it"),
    (r"thread::sleep|tokio::time::sleep", &[], "nothing polls"),
];

/// Every source file: its path below `src/`, and its text without tests and comments.
fn sources() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = WalkDir::new(&src).sort_by_file_name().into_iter().flatten();
    let rust = files.filter(|e| e.path().extension().is_some_and(|x| x == "rs"));
    rust.map(|entry| {
        let name = entry.path().strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(entry.path()).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let lines = code.lines().filter(|l| !l.trim_start().starts_with("//"));
        (name, lines.collect::<Vec<_>>().join("\n"))
    })
    .collect()
}

fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

#[test]
fn every_arrow_runs_downwards() {
    let import = Regex::new(r"\b(?:crate|claw)::(\w+)").unwrap();
    let mut wrong = Vec::new();
    for (file, code) in sources() {
        let from = room(&file);
        let (_, allowed) =
            MAY_ENTER.iter().find(|(room, _)| *room == from).unwrap_or_else(|| panic!("{file} is in no room"));
        for found in import.captures_iter(&code) {
            let to = found.get(1).unwrap().as_str();
            if to != from && !allowed.contains(&to) {
                wrong.push(format!("{file} enters {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn sharp_tools_lie_in_their_place() {
    let mut wrong = Vec::new();
    for (tool, places, why) in ONLY_IN {
        let pattern = Regex::new(tool).unwrap();
        for (file, code) in sources() {
            for found in pattern.find_iter(&code).filter(|_| !places.contains(&&file[..])) {
                wrong.push(format!("{file} names `{}`, but {why}", found.as_str()));
            }
        }
        for place in *places {
            assert!(
                sources().iter().any(|(file, code)| file == place && pattern.is_match(code)),
                "{place} no longer needs `{tool}`"
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_room_says_what_it_is_for() {
    for (file, _) in sources() {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&file)).unwrap();
        assert!(text.starts_with("//! "), "{file} has no header");
    }
}

#[test]
fn a_new_file_has_its_line_on_the_map() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    for (room, _) in MAY_ENTER.iter().filter(|(room, _)| *room != "lib") {
        assert!(map.contains(&format!("`src/{room}")), "ARCHITECTURE.md does not name src/{room}");
    }
    for side in ["new", "ready", "run", "wait", "done", "failed"] {
        assert!(map.contains(&format!("/{side}")), "ARCHITECTURE.md has no state {side}");
    }
}

#[test]
fn every_kind_of_line_in_the_journal_is_in_its_table() {
    let written = Regex::new(r#"\bLine::(?:of|about)\([^,]+,\s*"(\w+)"|\bLine \{ what: "(\w+)""#).unwrap();
    let mut found = 0;
    for (file, code) in sources() {
        for kind in written.captures_iter(&code).filter_map(|found| found.get(1).or(found.get(2))) {
            assert!(
                claw::store::workspace::journal::KINDS.contains(&kind.as_str()),
                "{file} writes `{}`",
                kind.as_str()
            );
            found += 1;
        }
    }
    assert!(found > 12, "{found}");
}

/// The file that an import names: `crate::stage::worker::pool::run` lies in `stage/worker/pool.rs`, `crate::stage::outcome::Outcome`
/// in `stage/mod.rs`.
fn target(path: &str, files: &[(String, String)]) -> Option<String> {
    let mut parts = path.split("::");
    let (room, item) = (parts.next()?, parts.next().unwrap_or_default());
    let named = [format!("{room}/{item}.rs"), format!("{room}/mod.rs"), format!("{room}.rs")];
    named.into_iter().find(|name| files.iter().any(|(file, _)| file == name))
}

#[test]
fn no_file_needs_itself_in_the_end() {
    let files = sources();
    let import = Regex::new(r"\bcrate::(\w+(?:::\w+)?)").unwrap();
    let group = Regex::new(r"\bcrate::(\w+)::\{([^}]*)\}").unwrap();
    let mut needs: Vec<(String, Vec<String>)> = Vec::new();
    for (file, code) in &files {
        let single = import.captures_iter(code).map(|found| found[1].to_owned());
        let grouped = group.captures_iter(code).flat_map(|found| {
            let room = found[1].to_owned();
            found[2].split(',').map(|item| format!("{room}::{}", item.trim())).collect::<Vec<_>>()
        });
        let whole: Vec<String> = single.chain(grouped).filter_map(|path| target(&path, &files)).collect();
        needs.push((file.clone(), whole.into_iter().filter(|to| to != file).collect()));
    }
    // Whoever needs nobody that is left can go; who cannot is on a circle, or above one.
    while let Some(at) = needs.iter().position(|(_, to)| to.iter().all(|to| needs.iter().all(|(file, _)| file != to))) {
        needs.remove(at);
    }
    assert!(needs.is_empty(), "{needs:#?}");
}
