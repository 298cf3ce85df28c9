//! Slash commands of `claw chat` alone: they concern the terminal, so no other channel has them.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::slash::table::ArgumentKind;

/// A command of the chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatCommand {
    /// Write the next message in the editor; it begins with this text.
    Edit(String),
    /// Show the model, or use another one from now on.
    Model(Option<String>),
    /// Send the last message again.
    Retry,
    /// Copy the last answer to the clipboard.
    Copy,
    /// Go on in another session.
    Switch(String),
}

/// A row of the table.
#[derive(Debug)]
pub struct ChatRow {
    /// The name.
    pub name: &'static str,
    /// The arguments, as shown to users.
    pub arguments: &'static str,
    /// The kinds of the arguments, in order.
    pub argument_kinds: &'static [ArgumentKind],
    /// The help text.
    pub help: &'static str,
}

/// Every command of the chat.
pub const CHAT_ROWS: &[ChatRow] = &[
    ChatRow {
        name: "edit",
        arguments: "[TEXT]",
        argument_kinds: &[ArgumentKind::Text],
        help: "write the message in $EDITOR; it is sent when the editor ends, unless it is empty",
    },
    ChatRow {
        name: "model",
        arguments: "[NAME]",
        argument_kinds: &[ArgumentKind::Model],
        help: "show the model, or use another one in this chat",
    },
    ChatRow { name: "retry", arguments: "", argument_kinds: &[], help: "send the last message again" },
    ChatRow {
        name: "copy",
        arguments: "",
        argument_kinds: &[],
        help: "copy the last answer to the clipboard (by the terminal, OSC 52)",
    },
    ChatRow {
        name: "session",
        arguments: "[NAME]",
        argument_kinds: &[ArgumentKind::Session],
        help: "go on in another session; without a name, show this one",
    },
];

impl ChatRow {
    /// The syntax, as shown to users.
    #[must_use]
    pub fn usage(&self) -> String {
        format!("/{} {}", self.name, self.arguments).trim_end().to_owned()
    }
}

/// Reads a line; `None` if it is not a command of the chat.
#[must_use]
pub fn parse(line: &str) -> Option<Result<ChatCommand>> {
    let line = line.trim().strip_prefix('/')?;
    let (name, rest) = line.split_once(char::is_whitespace).map_or((line, ""), |(name, rest)| (name, rest.trim()));
    let row = CHAT_ROWS.iter().find(|row| row.name.eq_ignore_ascii_case(name))?;
    let wrong = || Some(Err(Fault::new(Kind::Usage, format!("usage: {}", row.usage()))));
    let is_one = !rest.contains(char::is_whitespace);
    Some(Ok(match (row.name, rest) {
        ("edit", text) => ChatCommand::Edit(text.to_owned()),
        // Without a name it is the command that every channel has.
        ("session", "") => return None,
        ("model", "") => ChatCommand::Model(None),
        ("retry", "") => ChatCommand::Retry,
        ("copy", "") => ChatCommand::Copy,
        ("model", name) if is_one => ChatCommand::Model(Some(name.to_owned())),
        ("session", name) if is_one => ChatCommand::Switch(name.to_owned()),
        _ => return wrong(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_of_the_chat_or_of_every_channel() {
        let read = |line| parse(line).map(|command| command.map_err(|fault| fault.message));
        assert_eq!(read("/edit  a b"), Some(Ok(ChatCommand::Edit("a b".into()))));
        assert_eq!(read("/MODEL fast"), Some(Ok(ChatCommand::Model(Some("fast".into())))));
        assert_eq!(read("/model a b"), Some(Err("usage: /model [NAME]".into())));
        assert_eq!(read("/retry now"), Some(Err("usage: /retry".into())));
        assert_eq!(read(" /session work"), Some(Ok(ChatCommand::Switch("work".into()))));
        for line in ["/session", "/help", "/editor", "copy", "/", ""] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
