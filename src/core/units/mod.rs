//! Units of systemd for a workspace: a path, a timer and the service that both start, and a service for `supervise`.
//! The texts are in the files of this folder.

use crate::core::fault::{Fault, Result};
use crate::core::text::base32::hash32;

/// The first words of every unit; a file without them was not written by claw.
pub const MARK: &str = "Written by claw units, and replaced by it.";
/// The system calls of the services: systemd 252 does not count the last five among the usual ones.
pub const CALLS: &str =
    "@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp capset";
/// The longest part of a unit's name that is made from the path, in bytes.
const MAX_NAME: usize = 80;

/// The manager of the units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// The user's own.
    User,
    /// The system's; the services run as this user.
    System {
        /// The user's number.
        user: u32,
        /// The group's number.
        group: u32,
    },
}

/// The facts that the units contain.
#[derive(Clone, Debug)]
pub struct UnitFacts<'a> {
    /// Whose units they are.
    pub manager: Manager,
    /// The path of claw.
    pub program: &'a str,
    /// The workspace's directory.
    pub workspace: &'a str,
    /// The folder with the lists of trusted workspaces and programs.
    pub state: &'a str,
    /// The file with the keys.
    pub keys: &'a str,
    /// Variables for the services, with their values.
    pub environment: Vec<(&'a str, &'a str)>,
}

/// The name of a workspace's units without the ending: `claw-home-ann-me`.
#[must_use]
pub fn name(workspace: &str) -> String {
    let path = workspace.trim_matches('/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
    let plain: String = path.chars().map(|c| if is_plain(c) && c != '/' { c } else { '-' }).collect();
    // Two paths must not have the same name.
    if plain.len() <= MAX_NAME && path.chars().all(is_plain) && !path.contains('-') {
        return format!("claw-{plain}");
    }
    let head: String = plain.chars().take(MAX_NAME).collect();
    format!("claw-{head}_{}", hash32(workspace, 8))
}

/// The units, each with its file name.
///
/// # Errors
/// `Data` if a path cannot be written in a unit.
pub fn all(facts: &UnitFacts) -> Result<Vec<(String, String)>> {
    let values = [facts.program, facts.workspace, facts.state, facts.keys];
    let mut values = values.into_iter().chain(facts.environment.iter().map(|(_, value)| *value));
    if let Some(value) = values.find(|value| value.contains(char::is_control)) {
        return Err(Fault::data(format!("`{}` cannot be in a unit: it has control characters", value.escape_debug())));
    }
    let name = name(facts.workspace);
    let (paths, services, identity) = match facts.manager {
        Manager::User => (
            "default.target",
            "default.target",
            "# The user's manager needs this for the rest.\nPrivateUsers=yes\n".to_owned(),
        ),
        Manager::System { user, group } => {
            ("paths.target", "multi-user.target", format!("User={user}\nGroup={group}\n"))
        }
    };
    let environment = |(key, value): &(&str, &str)| format!("Environment={}\n", quoted(&format!("{key}={value}")));
    let environment: String = facts.environment.iter().map(environment).collect();
    let shared = include_str!("shared")
        .replace("{IDENTITY}", &identity)
        .replace("{ENVIRONMENT}", &environment)
        .replace("{CALLS}", CALLS)
        .replace("{STATE}", &quoted(&format!("-{}", facts.state)))
        .replace("{KEYS}", &facts.keys.replace('%', "%%"));
    let fill = |text: &str| {
        text.replace("{SHARED}", shared.trim_end())
            .replace("{MARK}", MARK)
            .replace("{NAME}", &name)
            .replace("{PATHS}", paths)
            .replace("{SERVICES}", services)
            .replace("{PROGRAM}", &quoted(facts.program).replace('$', "$$"))
            .replace("-w {WORKSPACE}", &format!("-w {}", quoted(facts.workspace).replace('$', "$$")))
            .replace("{WORKSPACE}", &quoted(facts.workspace))
            .replace("{PATH}", &facts.workspace.replace('%', "%%"))
            .replace("{ROOT}", &facts.workspace.replace('%', "%%"))
    };
    Ok([
        (".path", include_str!("claw.path")),
        (".timer", include_str!("claw.timer")),
        (".service", include_str!("claw.service")),
        ("-supervise.service", include_str!("claw-supervise.service")),
        ("-listen@.service", include_str!("claw-listen@.service")),
    ]
    .map(|(ending, text)| (format!("{name}{ending}"), fill(text)))
    .into())
}

/// A word in the syntax of systemd: quoted, with escapes, and without specifiers.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(workspace: &str) -> Vec<(String, String)> {
        all(&UnitFacts {
            manager: Manager::User,
            program: "/usr/bin/claw",
            workspace,
            state: "/home/ann/.local/state/claw",
            keys: "/home/ann/.config/claw/environment",
            environment: vec![("PATH", "/usr/bin:/bin")],
        })
        .unwrap()
    }

    #[test]
    fn every_place_is_filled() {
        for (name, text) in units("/home/ann/me") {
            assert!(name.starts_with("claw-home-ann-me") && text.starts_with(&format!("# {MARK}")), "{name}");
            assert!(!text.contains('{') && !text.contains('}'), "{text}");
        }
    }

    #[test]
    fn path_with_signs_of_systemd_is_escaped() {
        let all = units("/home/ann/100% \"my\" $HOME");
        let text = |ending: &str| &all.iter().find(|(name, _)| name.ends_with(ending)).unwrap().1;
        assert!(text(".path").contains("PathChanged=/home/ann/100%% \"my\" $HOME/inbox\n"));
        assert!(text(".service").contains("-w \"/home/ann/100%% \\\"my\\\" $$HOME\" tick\n"), "{}", text(".service"));
        assert!(text(".service").contains("ReadWritePaths=\"/home/ann/100%% \\\"my\\\" $HOME\"\n"));
    }

    #[test]
    fn name_is_valid_and_different_for_each_workspace() {
        assert_eq!(name("/home/ann/me"), "claw-home-ann-me");
        let names = ["/home/ann/me", "/home/ann-me", "/home/ann/me ", "/home/änn/me", "/", &"/x".repeat(200)].map(name);
        for (n, one) in names.iter().enumerate() {
            assert!(one.len() < 120 && !names[..n].contains(one), "{one}");
            assert!(one.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{one}");
        }
    }
}
