//! Foreign programs that tests talk to: those of `tests/peers`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Their folder.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

/// Whether a peer exists; if not, that is printed, and `CLAW_REQUIRE_PEERS=1` makes it a failure.
pub fn is_there(is_there: bool, why_not: &str) -> bool {
    let is_required = std::env::var("CLAW_REQUIRE_PEERS").is_ok_and(|v| v == "1");
    assert!(is_there || !is_required, "CLAW_REQUIRE_PEERS=1, and {why_not}");
    if !is_there {
        super::skipped(why_not);
    }
    is_there
}

/// Whether an npm package is installed.
pub fn has_package(name: &str) -> bool {
    let why_not = format!("{name} is not installed: npm ci --ignore-scripts in tests/peers");
    is_there(folder().join("node_modules").join(name).exists(), &why_not)
}

/// The errors that an independent validator finds in these documents, by the schema at this path of the repository;
/// with `closed`, also fields that the schema does not describe. `None` if the validator is not installed.
pub fn complaints(schema: &str, closed: bool, documents: &[serde_json::Value]) -> Option<String> {
    if !has_package("ajv") {
        return None;
    }
    let mut node = Command::new("node");
    node.arg(folder().join("validate.mjs")).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(schema));
    if closed {
        node.arg("--closed");
    }
    let mut node = node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines: String = documents.iter().map(|document| format!("{document}\n")).collect();
    node.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let ran = node.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(ran.status.success(), said.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
    Some(said)
}
