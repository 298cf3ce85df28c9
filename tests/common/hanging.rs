//! Turns that hang on a gate, and the processes that wait for them.

use super::strict::Strict;
use super::{Fixture, Ran};
use serde_json::json;
use std::process::Child;

/// A workspace whose model is a program: it answers `fine`, or hangs on a gate at a message that ends with `hang`. It
/// leaves its last request in `request`.
pub fn hanging() -> Fixture {
    let ws = Fixture::new();
    // The time may follow the last message.
    let model = r#"cat >request; if grep -qE 'hang(\\n| )*(\[2[^}"]*)?"\}\]' request; then : >hangs; read x <gate; fi; echo fine"#;
    ws.write("model.sh", model);
    ws.model("mock", "provider: command, command: [sh, model.sh]");
    assert_eq!(ws.shell("mkfifo gate").code, 0);
    ws
}

/// A workspace with a tool `block` that hangs on a gate.
pub fn with_hanging_tool(server: &Strict) -> Fixture {
    let ws = Fixture::new();
    server.model(&ws);
    ws.write("tools/block", "#!/bin/sh\n: >files/hangs; read x <files/gate\n");
    ws.write("tools/block.json", &json!({"description": "Blocks.", "parameters": {"type": "object"}}).to_string());
    assert_eq!(ws.shell("chmod +x tools/block; mkdir -p files; mkfifo files/gate").code, 0);
    ws
}

/// Starts a command, and returns when its turn hangs.
pub fn begun(ws: &Fixture, arguments: &[&str]) -> Child {
    let child = ws.command(arguments).spawn().unwrap();
    ws.eventually("the turn hangs", |ws| ws.path("hangs").exists() || ws.path("files/hangs").exists());
    child
}

/// Sends a signal, by its name without `SIG`.
pub fn signal(ws: &Fixture, name: &str, child: &Child) {
    assert_eq!(ws.shell(&format!("kill -{name} {}", child.id())).code, 0);
}

/// The exit code and the output of a child, when it has ended.
pub fn ended(child: Child) -> Ran {
    child.wait_with_output().unwrap().into()
}
