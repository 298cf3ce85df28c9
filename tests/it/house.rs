//! The house: imports between rooms, and the files that may use dangerous functions.

use crate::common::findings;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{LazyLock, OnceLock};
use walkdir::WalkDir;

/// A room of the first level, and the rooms it may import besides itself. `process` is ground: `store` runs git.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("world", &["core"]),
    ("process", &["core"]),
    ("store", &["core", "world", "process"]),
    ("http", &["core", "store"]),
    ("report", &["core", "world", "store"]),
    ("import", &["core", "world", "store"]),
    ("provider", &["core", "world", "store", "process", "http"]),
    ("channel", &["core", "world", "store", "process", "http", "report"]),
    ("tool", &["core", "world", "store", "process", "http"]),
    ("stage", &["core", "world", "store", "process", "http", "report", "provider", "channel", "tool"]),
    (
        "command",
        &["core", "world", "store", "process", "http", "report", "import", "provider", "channel", "tool", "stage"],
    ),
    ("cli", &["core", "world", "store", "process", "provider", "channel", "tool", "stage", "command"]),
    ("lib", &[]),
    ("main", &["core", "process", "cli"]),
];

/// A pattern that only these files may use, and the reason.
const ONLY_IN: &[(&str, &[&str], &str)] = &[
    (
        r"fs::rename|renameat|\blinkat|hard_link",
        &["store/fs/durable.rs", "process/sandbox/known_calls.rs"],
        "a rename that replaces, or is not synced, loses events",
    ),
    (
        r"\bflock\(|F_SETLK|try_lock\(|lock_exclusive",
        &["store/lock/held.rs", "store/lock/slots.rs", "store/workspace/clock.rs"],
        "a lock is a claim",
    ),
    (r"Timestamp::now|SystemTime::now|Zoned::now", &["world.rs"], "the clock enters through `World`"),
    (
        r"getrandom|thread_rng|rand::",
        &["world.rs", "process/sandbox/known_calls.rs"],
        "randomness enters through `World`",
    ),
    (r"env::var|env::vars|env::args", &["world.rs", "main.rs"], "the environment enters through `World`"),
    (
        r"Command::new|\.spawn\(\)|\bfork\(",
        &[
            "process/interactive.rs",
            "process/own.rs",
            "process/run.rs",
            "process/sandbox/namespaces.rs",
            "process/watcher.rs",
            "store/memory/git.rs",
        ],
        "every program but git, the owner's editor and pager, and this one, runs under the watcher",
    ),
    (
        r"reqwest|TcpStream|TcpListener|UnixStream|UdpSocket|rustix::net",
        &[
            "channel/telegram/api.rs",
            "stage/supervise/service_manager.rs",
            "http/client.rs",
            "http/error.rs",
            "http/local.rs",
            "http/server.rs",
            "provider/client.rs",
            "provider/refusal.rs",
            "provider/source.rs",
            "provider/wire.rs",
            "tool/web/client.rs",
            "tool/web/search.rs",
        ],
        "sockets belong to the HTTP client and its callers, and to the messages for a service manager",
    ),
    (
        r"Client::(builder|new|default)|ClientBuilder|reqwest::(get|blocking|Proxy::|dns)|default_provider",
        &["http/client.rs"],
        "one place builds HTTP clients",
    ),
    (r"new_current_thread|runtime::(Builder|Runtime)", &["http/run.rs"], "requests are run in one place"),
    (
        r"println!|print!\(|io::stdout|io::stdin",
        &["command/terminal/out.rs"],
        "stdout carries results, through one module",
    ),
    (
        r"\bunsafe\b",
        &[
            "main.rs",
            "process/sandbox/file_rules.rs",
            "process/sandbox/namespaces.rs",
            "process/watcher.rs",
            "store/fs/lease.rs",
        ],
        "each use has its proof beside it",
    ),
    (r"thread::sleep|tokio::time::sleep", &[], "polling is not allowed"),
];

/// Most files in a folder; `command/` has one per subcommand.
const MOST_FILES: usize = 16;

/// Every source file: its path below `src/`, and its text without tests and comments.
fn sources() -> &'static [(String, String)] {
    static SOURCES: OnceLock<Vec<(String, String)>> = OnceLock::new();
    SOURCES.get_or_init(read)
}

fn read() -> Vec<(String, String)> {
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
fn imports_go_down_the_list_of_rooms() {
    let import = Regex::new(r"\b(?:crate|claw)::(\w+)").unwrap();
    let mut wrong = Vec::new();
    for (file, code) in sources() {
        let from = room(file);
        let (_, allowed) =
            MAY_IMPORT.iter().find(|(room, _)| *room == from).unwrap_or_else(|| panic!("{file} is in no room"));
        for found in import.captures_iter(code) {
            let to = found.get(1).unwrap().as_str();
            if to != from && !allowed.contains(&to) {
                wrong.push(format!("{file} imports {to}"));
            }
        }
    }
    findings::none("imports are against the order of the rooms", &wrong);
}

#[test]
fn dangerous_functions_are_used_in_their_files_only() {
    let mut wrong = Vec::new();
    for (tool, places, why) in ONLY_IN {
        let pattern = Regex::new(tool).unwrap();
        for (file, code) in sources() {
            for found in pattern.find_iter(code).filter(|_| !places.contains(&&file[..])) {
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
    findings::none("functions are used outside of their files", &wrong);
}

#[test]
fn every_file_has_a_header() {
    for (file, _) in sources() {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file)).unwrap();
        assert!(text.starts_with("//! "), "{file} has no header");
    }
}

#[test]
fn rooms_and_states_are_in_the_architecture_document() {
    let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    for (room, _) in MAY_IMPORT.iter().filter(|(room, _)| *room != "lib") {
        assert!(map.contains(&format!("`src/{room}")), "ARCHITECTURE.md does not name src/{room}");
    }
    for mailbox in ["new", "ready", "run", "wait", "done", "failed"] {
        assert!(map.contains(&format!("/{mailbox}")), "ARCHITECTURE.md has no state {mailbox}");
    }
}

/// A path without an ending may be a folder or a Rust file.
#[test]
fn every_path_in_the_documents_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = Regex::new(r"`((?:src|docs|examples|tests|benches)/[\w./-]+)`").unwrap();
    let mut missing = Vec::new();
    for document in [
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/channels.md",
        "docs/import.md",
        "docs/install.md",
        "docs/protocol.md",
        "docs/reliability.md",
        "docs/schedules.md",
        "docs/security.md",
    ] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let paths = named.captures_iter(&text).map(|found| found[1].to_owned());
        let is_there = |path: &String| {
            path.contains("NAME") || root.join(path).exists() || root.join(format!("{path}.rs")).exists()
        };
        missing.extend(paths.filter(|path| !is_there(path)).map(|path| format!("{document}: {path}")));
    }
    findings::none("documents name a path that does not exist", &missing);
}

#[test]
fn every_kind_of_line_in_the_journal_is_in_its_table() {
    let written =
        Regex::new(r#"\bJournalLine::(?:of|about)\([^,]+,\s*"(\w+)"|\bJournalLine \{ kind: "(\w+)""#).unwrap();
    let mut found = 0;
    for (file, code) in sources() {
        for kind in written.captures_iter(code).filter_map(|found| found.get(1).or(found.get(2))) {
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

/// Every path that a file imports from this crate, groups expanded: `["core", "event", "id", "Id"]`.
fn imports(code: &str) -> Vec<Vec<String>> {
    static IMPORT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bcrate::((?:\w+::)*)(\w+|\{[^}]*\})").unwrap());
    let mut paths = Vec::new();
    for found in IMPORT.captures_iter(code) {
        let base: Vec<String> = found[1].split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        for item in found[2].trim_matches(['{', '}']).split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let parts = item.split("::").map(str::to_owned).filter(|part| part != "self");
            paths.push(base.iter().cloned().chain(parts).collect());
        }
    }
    paths
}

/// The file that an import names: the longest prefix of its path that is a module.
fn target(path: &[String], files: &BTreeSet<&str>) -> Option<String> {
    (1..=path.len()).rev().find_map(|length| {
        let stem = path[..length].join("/");
        let named = [format!("{stem}.rs"), format!("{stem}/mod.rs")];
        named.into_iter().find(|name| files.contains(&name[..]))
    })
}

/// Which node imports which, of all files; `node` names a file's node.
fn graph(node: impl Fn(&str) -> String) -> BTreeMap<String, BTreeSet<String>> {
    let files = sources().iter().map(|(file, _)| &file[..]).collect();
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, code) in sources() {
        let own = node(file);
        let to = imports(code).into_iter().filter_map(|path| target(&path, &files)).map(|to| node(&to));
        let to: Vec<String> = to.filter(|to| *to != own).collect();
        needs.entry(own).or_default().extend(to);
    }
    needs
}

/// The nodes that lie on a circle, or above one.
fn circles(mut needs: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    loop {
        let free = needs.iter().find(|(_, to)| to.iter().all(|to| !needs.contains_key(to)));
        let Some(free) = free.map(|(node, _)| node.clone()) else { return needs };
        needs.remove(&free);
    }
}

fn listed(found: BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    found.into_iter().map(|(node, to)| format!("{node}: {}", to.into_iter().collect::<Vec<_>>().join(", "))).collect()
}

#[test]
fn files_do_not_import_each_other_in_circles() {
    let found = circles(graph(str::to_owned));
    findings::none("files import each other in a circle, or import one that does", &listed(found));
}

/// `store/queue/spool.rs` is in `store/queue`, `core/fault.rs` a room of its own.
#[test]
fn rooms_of_the_second_level_do_not_import_each_other_in_circles() {
    let room = |file: &str| match file.split('/').collect::<Vec<_>>()[..] {
        [first, second, ..] => format!("{first}/{}", second.trim_end_matches(".rs")),
        [first, ..] => first.trim_end_matches(".rs").to_owned(),
        [] => String::new(),
    };
    // The header of a room of the first level may hold its table (channels, tools), so it counts as a room.
    let found = circles(graph(room));
    findings::none("rooms import each other in a circle, or import one that does", &listed(found));
}

#[test]
fn no_folder_is_a_heap() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (file, _) in sources() {
        let folder = file.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
        *counts.entry(folder).or_default() += 1;
    }
    counts.retain(|folder, count| *count > MOST_FILES && folder != "command");
    assert!(counts.is_empty(), "{counts:?}");
}

/// `examples/channels/log.diff` adds a channel. It must apply to the tree as it is, and give a value to every field of
/// the row, without touching anything but a new file and the table.
#[test]
fn a_channel_is_one_new_file_and_one_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let patch = root.join("examples/channels/log.diff");
    let copy = tempfile::tempdir().unwrap();
    let folder = copy.path().join("src/channel");
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(root.join("src/channel")).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let git = |arguments: &[&str]| {
        let ran = Command::new("git").args(arguments).current_dir(copy.path()).output().unwrap();
        assert!(ran.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    };
    git(&["init", "--quiet"]);
    let touched = git(&["apply", "--numstat", patch.to_str().unwrap()]);
    let touched: Vec<&str> = touched.lines().filter_map(|line| line.split('\t').nth(2)).collect();
    assert_eq!(touched, ["src/channel/log.rs", "src/channel/mod.rs"]);
    assert!(!folder.join("log.rs").exists(), "the tree has this channel already");
    git(&["apply", patch.to_str().unwrap()]);
    let (table, channel) =
        (fs::read_to_string(folder.join("mod.rs")).unwrap(), fs::read_to_string(folder.join("log.rs")).unwrap());
    assert!(table.contains("\nmod log;\n") && table.contains(" log::CHANNEL]"), "{table}");
    let row = table.split_once("\nstruct Channel {").unwrap().1.split_once("\n}").unwrap().0;
    let fields: Vec<&str> =
        row.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": ")).map(|f| f.0).collect();
    let fields: Vec<&str> = fields.into_iter().filter(|field| !field.starts_with("//")).collect();
    assert!(fields.len() >= 6, "{fields:?}");
    for field in fields {
        let is_given = channel.contains(&format!("\n    {field}: ")) || channel.contains(&format!("\n    {field},"));
        assert!(is_given, "examples/channels/log.diff gives no value to `{field}`");
    }
    let call = Regex::new(r"\b(?:workspace\.|durable::|file::)(\w+)\(").unwrap();
    for name in call.captures_iter(&channel).map(|found| found.get(1).unwrap().as_str()) {
        let is_there = sources().iter().any(|(_, code)| code.contains(&format!("fn {name}(")));
        assert!(is_there, "examples/channels/log.diff calls `{name}`, which is not there any more");
    }
}

/// Private argument types of subcommands, and names inside of functions and tests, do not count.
#[test]
fn type_names_have_one_meaning() {
    let defined = Regex::new(r"(?m)^(?:pub(?:\([^)]*\))? )?(?:struct|enum|trait|type) (\w+)").unwrap();
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, code) in sources() {
        for found in defined.captures_iter(code).filter(|found| !matches!(&found[1], "Args" | "Action")) {
            places.entry(found[1].to_owned()).or_default().push(file.clone());
        }
    }
    places.retain(|_, files| files.len() > 1);
    let places = places.iter().map(|(name, files)| format!("{name}: {}", files.join(", ")));
    findings::none("type names have several meanings", &places.collect::<Vec<_>>());
}
