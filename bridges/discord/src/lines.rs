//! The lines of claw.

use serde::Deserialize;
use serde_json::Value;
use std::io::{BufRead, Read};
use tokio::sync::mpsc;

/// The longest line, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// A line of claw.
#[derive(Debug, PartialEq, Eq)]
pub enum FromClaw {
    /// The message with this id is durable, or refused: it is finished.
    Finished(String),
    /// A message to send.
    Send(SendLine),
    /// A ping.
    Ping(u64),
}

/// `{"send": {…}}`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SendLine {
    /// The event.
    pub id: String,
    /// The destination: a user, a channel, or `CHANNEL/THREAD`.
    pub to: String,
    /// The text, Markdown.
    pub text: String,
}

/// Parses a line.
///
/// # Errors
/// If it is none of the protocol's.
pub fn parse(line: &[u8]) -> Result<FromClaw, String> {
    let invalid = |_| "claw wrote an invalid line".to_owned();
    let mut line: Value = serde_json::from_slice(line).map_err(invalid)?;
    if let Some(id) = line.get("ack").or_else(|| line.get("refused")) {
        return match id {
            Value::String(id) => Ok(FromClaw::Finished(id.clone())),
            // A line without an id was none of a message.
            Value::Null => Err(format!("claw refused a line: {}", line["why"])),
            id => Ok(FromClaw::Finished(id.to_string())),
        };
    }
    if let Some(send) = line.get_mut("send") {
        return serde_json::from_value(send.take())
            .map(FromClaw::Send)
            .map_err(|e| format!("claw wrote an invalid send: {e}"));
    }
    line.get("ping").and_then(Value::as_u64).map(FromClaw::Ping).ok_or_else(|| "claw wrote an unknown line".to_owned())
}

/// Reads stdin in a thread; the channel ends with it.
pub fn read_stdin() -> mpsc::Receiver<Vec<u8>> {
    let (send, lines) = mpsc::channel(64);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = stdin.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line);
            // Half a line at the end was not written whole.
            if read.is_err() || line.pop() != Some(b'\n') || send.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_claw_are_read() {
        let parse = |text: &str| parse(text.as_bytes());
        assert_eq!(parse(r#"{"ack":"17"}"#), Ok(FromClaw::Finished("17".into())));
        assert_eq!(parse(r#"{"refused":17,"why":"x"}"#), Ok(FromClaw::Finished("17".into())));
        assert_eq!(parse(r#"{"ping":3}"#), Ok(FromClaw::Ping(3)));
        let send = SendLine { id: "e".into(), to: "5".into(), text: "hi".into() };
        assert_eq!(
            parse(r#"{"send":{"id":"e","to":"5","text":"hi","attempt":1,"maybe_repeated":false}}"#),
            Ok(FromClaw::Send(send))
        );
        for bad in
            ["", "[]", "7", "{}", r#"{"ping":-1}"#, r#"{"send":{"id":1}}"#, r#"{"refused":null,"why":"x"}"#, "\u{0}"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
