//! The table of slash commands: names, arguments, help and parser of each.

use crate::core::slash::command::SlashCommand;

/// The kind of an argument, so that a terminal can complete it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    /// The id of an agent.
    Agent,
    /// The id of a skill.
    Skill,
    /// The id of a cron.
    Cron,
    /// The id of a pending approval.
    Approval,
    /// The name of a model.
    Model,
    /// The name of a session.
    Session,
    /// Free text, which cannot be completed.
    Text,
}

/// A row of the table.
#[derive(Debug)]
pub struct CommandRow {
    /// The names; the first one is shown to users.
    pub names: &'static [&'static str],
    /// The arguments, as shown to users.
    pub arguments: &'static str,
    /// The kinds of the arguments, in order.
    pub argument_kinds: &'static [ArgumentKind],
    /// The help text.
    pub help: &'static str,
    /// Parses the arguments; `None` where they are invalid.
    pub parse: fn(&[&str]) -> Option<SlashCommand>,
}

impl CommandRow {
    /// The syntax, as shown to users.
    #[must_use]
    pub fn usage(&self) -> String {
        format!("/{} {}", self.names[0], self.arguments).trim_end().to_owned()
    }
}

/// The row of a command by any of its names.
#[must_use]
pub fn find(name: &str) -> Option<&'static CommandRow> {
    ROWS.iter().find(|row| row.names.contains(&name))
}

/// Every command, in the order of `/help`.
pub const ROWS: &[CommandRow] = &[
    CommandRow {
        names: &["help", "?"],
        arguments: "",
        argument_kinds: &[],
        help: "show the commands",
        parse: |a| no_arguments(a, SlashCommand::Help),
    },
    CommandRow {
        names: &["new", "clear"],
        arguments: "",
        argument_kinds: &[],
        help: "start a new conversation here; the old one is kept",
        parse: |a| no_arguments(a, SlashCommand::New),
    },
    CommandRow {
        names: &["stop"],
        arguments: "",
        argument_kinds: &[],
        help: "stop the running turn",
        parse: |a| no_arguments(a, SlashCommand::Stop),
    },
    CommandRow {
        names: &["session"],
        arguments: "",
        argument_kinds: &[],
        help: "show the session and the file of this conversation",
        parse: |a| no_arguments(a, SlashCommand::Session),
    },
    CommandRow {
        names: &["context"],
        arguments: "",
        argument_kinds: &[],
        help: "show the size of the context that is sent to the model",
        parse: |a| no_arguments(a, SlashCommand::Context),
    },
    CommandRow {
        names: &["compact"],
        arguments: "[FOCUS]",
        argument_kinds: &[ArgumentKind::Text],
        help: "summarise the older part of the context now, with attention to FOCUS; the log keeps everything",
        parse: |a| Some(SlashCommand::Compact((!a.is_empty()).then(|| a.join(" ")))),
    },
    CommandRow {
        names: &["usage"],
        arguments: "",
        argument_kinds: &[],
        help: "show the usage of the models and the rest of the budgets",
        parse: |a| no_arguments(a, SlashCommand::Usage),
    },
    CommandRow {
        names: &["agent"],
        arguments: "[ID]",
        argument_kinds: &[ArgumentKind::Agent],
        help: "show the agent that answers here, or let another agent answer from now on",
        parse: |a| optional(a).map(|id| id.map_or(SlashCommand::Agent, SlashCommand::Bind)),
    },
    CommandRow {
        names: &["route"],
        arguments: "PATTERN AGENT",
        argument_kinds: &[ArgumentKind::Text, ArgumentKind::Agent],
        help: "let another agent answer at these addresses from now on",
        parse: |a| match a {
            [pattern, agent] => Some(SlashCommand::Route((*pattern).to_owned(), (*agent).to_owned())),
            _ => None,
        },
    },
    CommandRow {
        names: &["bindings"],
        arguments: "",
        argument_kinds: &[],
        help: "list the bindings of addresses to agents",
        parse: |a| no_arguments(a, SlashCommand::Bindings),
    },
    CommandRow {
        names: &["agents"],
        arguments: "",
        argument_kinds: &[],
        help: "list the agents",
        parse: |a| no_arguments(a, SlashCommand::Agents),
    },
    CommandRow {
        names: &["skills"],
        arguments: "[ID]",
        argument_kinds: &[ArgumentKind::Skill],
        help: "list the skills, or show one",
        parse: |a| optional(a).map(SlashCommand::Skills),
    },
    CommandRow {
        names: &["crons"],
        arguments: "[ID]",
        argument_kinds: &[ArgumentKind::Cron],
        help: "list the scheduled jobs, or show one",
        parse: |a| optional(a).map(SlashCommand::Crons),
    },
    CommandRow {
        names: &["approve"],
        arguments: "[ID]",
        argument_kinds: &[ArgumentKind::Approval],
        help: "approve a tool call, or list the pending approvals",
        parse: |a| optional(a).map(|id| id.map_or(SlashCommand::Pending, SlashCommand::Approve)),
    },
    CommandRow {
        names: &["deny"],
        arguments: "ID",
        argument_kinds: &[ArgumentKind::Approval],
        help: "deny a tool call",
        parse: |a| optional(a).flatten().map(SlashCommand::Deny),
    },
];

fn no_arguments(arguments: &[&str], command: SlashCommand) -> Option<SlashCommand> {
    arguments.is_empty().then_some(command)
}

#[expect(
    clippy::option_option,
    reason = "the outer option: the arguments are valid; the inner one: the optional argument"
)]
fn optional(arguments: &[&str]) -> Option<Option<String>> {
    match arguments {
        [] => Some(None),
        [one] => Some(Some((*one).to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_has_a_kind() {
        for row in ROWS {
            assert_eq!(row.argument_kinds.len(), row.arguments.split_whitespace().count(), "/{}", row.names[0]);
        }
    }
}
