//! The examples of each command, for `--help` and the man pages. A test runs every line.

/// Rows: the command, and its examples, lines of shell. In a line, `k7f3q9` is the end of an event's id.
pub const ROWS: &[(&str, &[&str])] = &[
    ("agents", &["claw agents", "claw agents show pickle", "EDITOR=vi claw agents edit pickle"]),
    ("approve", &["claw approve", "claw approve k7f3q9", "claw approve --json | jq -r .id | claw approve -"]),
    (
        "ask",
        &[
            "claw ask \"where is the NAS?\"",
            "claw ask -c \"and its address?\"      # go on with the last session",
            "git diff | claw ask \"write a commit message\"",
            "claw ask -n -f notes.txt \"what is missing here?\"",
            "claw ask --json hello | jq -r .content",
        ],
    ),
    (
        "channels",
        &[
            "claw channels",
            "claw channels --json | jq -r .name",
            "claw channels add telegram",
            "claw channels token laptop",
        ],
    ),
    (
        "chat",
        &[
            "claw chat",
            "claw chat -c                      # go on with the last session",
            "printf 'hello\\nand bye\\n' | claw chat",
        ],
    ),
    ("check", &["claw check", "claw check --fix", "claw check --json | jq -r .message"]),
    (
        "completions",
        &[
            "mkdir -p ~/.local/share/bash-completion/completions",
            "claw completions bash > ~/.local/share/bash-completion/completions/claw",
            "claw completions zsh > ~/_claw      # into a folder of $fpath",
            "claw completions fish > ~/claw.fish # into ~/.config/fish/completions",
        ],
    ),
    (
        "config",
        &[
            "claw config get",
            "claw config get model --json",
            "claw config set max_concurrency 4",
            "claw config unset max_concurrency",
            "EDITOR=vi claw config edit",
        ],
    ),
    (
        "crons",
        &[
            "claw crons",
            "claw crons list --json | jq -r .id",
            "claw crons next morning -n 20",
            "claw crons approve morning      # its `if`",
            "claw crons run morning",
            "claw crons pause morning",
            "claw crons resume morning",
            "claw crons audit",
        ],
    ),
    (
        "deliver",
        &[
            "claw deliver",
            "claw deliver --channel file",
            "claw send hi | claw route - | claw run-agent - | claw deliver -",
        ],
    ),
    ("deny", &["claw deny k7f3q9"]),
    ("discard", &["claw discard k7f3q9", "claw discard --failed"]),
    ("export", &["claw export ~/backup", "claw export ~/copy && claw init --from ~/copy ~/other"]),
    (
        "init",
        &[
            "claw init ~/me",
            "claw init --from ~/.openclaw --dry-run",
            "claw init --from ~/.openclaw ~/mine",
            "claw init --from ~/.pickle-bot --dry-run --json | jq -r .fate | sort | uniq -c",
        ],
    ),
    ("keys", &["claw keys list", "claw keys set gpt < key.txt", "claw keys rm gpt"]),
    ("listen", &["claw listen phone", "claw listen --once phone"]),
    ("log", &["claw log -n 20", "claw log --kind route", "claw log --json | jq -r .kind | sort | uniq -c"]),
    ("man", &["claw man | man -l -", "claw man ask | man -l -", "claw man --dir ~/.local/share/man/man1"]),
    ("memory", &["claw memory", "claw memory undo k7f3q9", "claw memory restore memories/topics/nas.md@HEAD~3"]),
    (
        "models",
        &[
            "claw models",
            "claw models --offline --json | jq -r .name",
            "claw models --schema request",
            "claw models use gpt",
        ],
    ),
    (
        "new",
        &[
            "claw new agent gardener --description \"Knows plants\" \"You are a gardener.\"",
            "claw new skill brew-tea",
            "claw new tool shout",
            "claw new cron tea --every 2h --deliver-to file:reminders \"Remind me of tea.\"",
        ],
    ),
    ("page", &["claw page", "claw page --open", "claw page --logout"]),
    (
        "pair",
        &[
            "claw pair list",
            "claw pair invite telegram --owner",
            "claw pair approve 7QK2M9",
            "claw pair revoke telegram:42",
        ],
    ),
    ("prompt", &["claw prompt pickle", "claw prompt pickle --layers", "claw prompt cookie --json | jq -r .system"]),
    (
        "recall",
        &[
            "claw recall NAS",
            "claw recall -n 3 --since 2026-01-01 address of the NAS",
            "claw recall --json NAS | jq -r .path",
        ],
    ),
    (
        "remember",
        &[
            "claw remember the NAS is 10.0.0.7",
            "claw remember --topic house the door is blue",
            "date | claw remember -",
        ],
    ),
    ("retry", &["claw retry k7f3q9", "claw retry --all", "claw retry --all --wait"]),
    (
        "route",
        &[
            "claw route",
            "claw send hi | claw route -",
            "claw route --explain telegram:42",
            "claw route --explain file:a --json | jq -r .agent",
        ],
    ),
    ("run-agent", &["claw run-agent", "claw run-agent --agent pickle", "claw run-agent k7f3q9"]),
    (
        "send",
        &[
            "claw send \"what is due this week?\"",
            "claw send --at 09:00 --reply-to file:mornings \"good morning\"",
            "claw send --in 10m \"look at the oven\"",
            "date | claw send --reply-to file:dates -",
        ],
    ),
    (
        "sessions",
        &[
            "claw sessions",
            "claw sessions list --grep NAS -n 5",
            "claw sessions show work --markdown > work.md",
            "claw sessions --json | jq -r .session",
            "claw sessions rm old",
        ],
    ),
    ("skills", &["claw skills", "claw skills show tmux", "claw skills check", "claw skills approve tmux"]),
    ("status", &["claw status", "claw status --json | jq .mailboxes"]),
    ("supervise", &["claw supervise", "claw supervise deliver"]),
    (
        "tasks",
        &[
            "claw tasks add Water the plants",
            "claw tasks list --all",
            "claw tasks claim -- make report",
            "claw tasks show \"$(claw tasks add Feed the cat)\"",
            "id=$(claw tasks claim) && claw tasks release \"$id\"",
            "id=$(claw tasks claim) && claw tasks done --result Done. \"$id\"",
        ],
    ),
    ("tick", &["claw tick", "claw tick --dry-run", "claw tick --now 2026-12-24T18:00:00Z"]),
    ("trust", &["claw trust --dry-run", "claw trust"]),
    ("units", &["claw units --print", "claw units --user", "claw units --user && systemctl --user daemon-reload"]),
    (
        "usage",
        &[
            "claw usage",
            "claw usage --plot",
            "claw usage --by model --since 2026-11-01",
            "claw usage --by session --csv > usage.csv",
        ],
    ),
    (
        "why",
        &["claw why                          # the last event", "claw why k7f3q9", "claw why --json | jq -r .status"],
    ),
];

/// The examples of a command; `path` is `crons next`, for example. A subcommand has those of its parent that run it.
#[must_use]
pub fn of(path: &str) -> Vec<&'static str> {
    let (command, below) = path.split_once(' ').map_or((path, None), |(command, below)| (command, Some(below)));
    let lines = ROWS.iter().find(|(name, _)| *name == command).map_or(&[][..], |(_, lines)| lines);
    let is_about = |line: &&&str| below.is_none_or(|_| line.contains(&format!("claw {path}")));
    lines.iter().filter(is_about).copied().collect()
}

/// The command line with examples at the end of every help text.
#[must_use]
pub fn attached(mut program: clap::Command) -> clap::Command {
    program.build();
    with_examples(program, "")
}

fn with_examples(command: clap::Command, path: &str) -> clap::Command {
    let mut command = command;
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names.iter().filter(|name| *name != "help") {
        let below = format!("{path} {name}").trim().to_owned();
        command = command.mut_subcommand(name, |command| with_examples(command, &below));
    }
    let lines = of(path);
    if lines.is_empty() {
        return command;
    }
    let before = command.get_after_help().map(|text| format!("{text}\n\n")).unwrap_or_default();
    command.after_help(format!("{before}Examples:\n  {}", lines.join("\n  ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subcommand_has_the_examples_that_run_it() {
        assert_eq!(of("crons next"), ["claw crons next morning -n 20"]);
        assert!(of("crons").len() > 5 && of("nothing").is_empty() && of("").is_empty());
        assert!(ROWS.is_sorted_by_key(|row| row.0));
    }
}
