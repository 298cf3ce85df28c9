//! The settings of channels: `channels.NAME` in `claw.yaml`. The name is the part of an address before the colon; the
//! type decides which program code serves the channel. `channels.exec` is a map of its own: destinations `exec:NAME`.

use crate::core::channel::policy::{Members, Policy};
use crate::core::channel::web::hook::{Hook, HookScheme};
use crate::core::channel::web::listen_address::ListenAddress;
use crate::core::program_env::ProgramEnv;
use jiff::SignedDuration;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Names that a channel of the settings cannot have: claw uses them in addresses.
pub const RESERVED: [&str; 9] = ["cli", "drop", "file", "exec", "agent", "cron", "heartbeat", "task", "claw"];
/// The longest time that an answer is kept for a channel, by default.
pub const KEEP: SignedDuration = SignedDuration::from_hours(24);
/// The longest text of an address before its colon, in bytes.
const MAX_NAME: usize = 24;

/// Settings of channels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channels {
    /// Destinations `exec:NAME`: programs that are run once for each message.
    pub exec: BTreeMap<String, Exec>,
    /// Channels by name: `telegram: {…}`, `work: {type: telegram, …}`.
    pub named: BTreeMap<String, ChannelSettings>,
}

impl Channels {
    /// The settings and the type of the channel `name`.
    #[must_use]
    pub fn get<'a>(&'a self, name: &'a str) -> Option<(&'a ChannelSettings, &'a str)> {
        self.named.get(name).map(|settings| (settings, settings.kind_of(name)))
    }

    /// The programs of all channels, each with its key.
    pub fn commands(&self) -> impl Iterator<Item = (String, &Vec<String>)> {
        let once = self.exec.iter().map(|(name, exec)| (format!("channels.exec.{name}.command"), &exec.command));
        let named = self.named.iter().map(|(name, one)| (format!("channels.{name}.command"), &one.command));
        once.chain(named)
    }

    /// The first invalid name or value: its key, and the message.
    #[must_use]
    pub fn invalid(&self) -> Option<(String, String)> {
        self.named.iter().find_map(|(name, settings)| {
            let key = format!("channels.{name}");
            match name_problem(name) {
                Some(why) => Some((key.clone(), format!("{key}: {why}"))),
                None => {
                    settings.invalid().map(|(field, why)| (format!("{key}.{field}"), format!("{key}.{field}: {why}")))
                }
            }
        })
    }
}

/// Why `name` cannot be the name of a channel.
fn name_problem(name: &str) -> Option<String> {
    let is_plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if RESERVED.contains(&name) {
        return Some(format!("the name `{name}` is reserved; use another name, and `type` for the kind of channel"));
    }
    let is_valid = is_plain && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= MAX_NAME;
    (!is_valid)
        .then(|| format!("a channel's name begins with a-z, has only a-z and 0-9, and at most {MAX_NAME} of them"))
}

/// Written by hand: a map with one key of another type, whose unknown keys are still reported.
impl<'de> Deserialize<'de> for Channels {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct ChannelsVisitor;
        impl<'de> Visitor<'de> for ChannelsVisitor {
            type Value = Channels;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map from channel names to settings")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Channels, E> {
                Ok(Channels::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Channels, A::Error> {
                let mut channels = Channels::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "exec" {
                        channels.exec = map.next_value::<Option<_>>()?.unwrap_or_default();
                    } else {
                        channels.named.insert(name, map.next_value::<Option<_>>()?.unwrap_or_default());
                    }
                }
                Ok(channels)
            }
        }
        source.deserialize_map(ChannelsVisitor)
    }
}

/// Settings of one channel.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ChannelSettings {
    /// The type of channel, like `exec` or `telegram`; default: its name.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Who may talk. `pairing`: those in `allow` and those that the owner has paired. `allow`: only those in `allow`.
    /// `open`: everybody.
    pub policy: Policy,
    /// Senders that may talk: the part of their address after the colon.
    pub allow: Vec<PlatformName>,
    /// Groups in which the channel listens, by their number or name.
    pub groups: Vec<PlatformName>,
    /// Whose messages count in these groups: `allowed` (those who may talk to it directly) or `any`.
    pub members: Members,
    /// How strangers are paired. `invite`: with a code of `claw pair invite`. `ask`: a stranger gets a code, which the
    /// owner approves with `claw pair approve`.
    pub pairing: PairingMode,
    /// After an interruption claw may not know whether a message was sent. `resend`: it is sent again, marked as
    /// possibly repeated. `hold`: it fails, and you get a notice.
    pub unknown: UnknownDelivery,
    /// An older answer is not sent, like `24h`.
    #[cfg_attr(test, schemars(with = "String"))]
    pub keep: SignedDuration,
    /// The account at the other side, if the type does not know it by itself. Pairings count only for their account.
    pub account: Option<String>,
    /// For `telegram`: the file with the bot's token.
    pub token_file: Option<String>,
    /// For `telegram`: the environment variable with the bot's token.
    pub token_env: Option<String>,
    /// For `telegram`: the token itself; one of the other two is safer.
    pub token: Option<String>,
    /// For `telegram`: the address of the Bot API, if it is not Telegram's own.
    pub base_url: Option<String>,
    /// For `telegram`: whether an edited message is a new one (`new`) or nothing (`ignore`).
    pub edits: Edits,
    /// For `exec`: the program and its arguments.
    pub command: Vec<String>,
    /// For `exec`: how long the program may take to send one message, like `30s`; default 1 min.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub timeout: Option<SignedDuration>,
    /// For `exec`: variables of claw's environment that the program gets besides HOME and PATH, or `inherit` for all.
    pub env: ProgramEnv,
    /// For `exec`: the sandbox to run the program in; default: none.
    pub sandbox: Option<ProgramSandbox>,
    /// For `web`: where it listens, `127.0.0.1:PORT` or `unix:PATH`; default 127.0.0.1:7171.
    pub listen: Option<String>,
    /// For `web`: further names of the page, those of a tunnel or a TLS proxy of yours, like `claw.example.org`.
    pub hosts: Vec<String>,
    /// For `web`: webhooks by name, `POST /hook/NAME`.
    pub hooks: BTreeMap<String, Hook>,
}

impl Default for ChannelSettings {
    fn default() -> Self {
        Self {
            kind: None,
            policy: Policy::default(),
            allow: Vec::new(),
            groups: Vec::new(),
            members: Members::default(),
            pairing: PairingMode::default(),
            unknown: UnknownDelivery::default(),
            keep: KEEP,
            account: None,
            token_file: None,
            token_env: None,
            token: None,
            base_url: None,
            edits: Edits::default(),
            command: Vec::new(),
            timeout: None,
            env: ProgramEnv::default(),
            sandbox: None,
            listen: None,
            hosts: Vec::new(),
            hooks: BTreeMap::new(),
        }
    }
}

impl ChannelSettings {
    /// The type of the channel `name`.
    #[must_use]
    pub fn kind_of<'a>(&'a self, name: &'a str) -> &'a str {
        self.kind.as_deref().unwrap_or(name)
    }

    /// Whether `allow` has this sender of the channel `name`.
    #[must_use]
    pub fn allows(&self, name: &str, sender: &str) -> bool {
        self.allow.iter().any(|own| own.is(name, sender))
    }

    /// Whether `groups` has this group of the channel `name`.
    #[must_use]
    pub fn names_group(&self, name: &str, group: &str) -> bool {
        self.groups.iter().any(|own| own.is(name, group))
    }

    /// The time that a program may take for one message.
    #[must_use]
    pub fn send_timeout(&self) -> Duration {
        self.timeout.and_then(|timeout| Duration::try_from(timeout).ok()).unwrap_or(Duration::from_mins(1))
    }

    fn invalid(&self) -> Option<(&'static str, String)> {
        let is_wildcard = |list: &[PlatformName]| list.iter().any(|one| matches!(one.0.as_str(), "*" | ""));
        if is_wildcard(&self.allow) {
            return Some(("allow", "it lists single senders; `policy: open` lets everybody talk".to_owned()));
        }
        if is_wildcard(&self.groups) {
            return Some(("groups", "each group must be named".to_owned()));
        }
        if let Some(Err(why)) = self.listen.as_deref().map(ListenAddress::parse) {
            return Some(("listen", why));
        }
        if let Some((name, why)) = self.hooks.iter().find_map(|(name, hook)| Some((name, hook_problem(name, hook)?))) {
            return Some(("hooks", format!("{name}: {why}")));
        }
        (self.keep <= SignedDuration::ZERO).then(|| ("keep", "it must be longer than 0".to_owned()))
    }
}

/// Why a webhook cannot work.
fn hook_problem(name: &str, hook: &Hook) -> Option<&'static str> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
        return Some("a webhook's name has A-Z, a-z, 0-9, - and _");
    }
    if hook.secret_env.is_some() == hook.secret_file.is_some() {
        return Some("set either `secret_env` or `secret_file`");
    }
    if (hook.scheme == HookScheme::Hmac) != hook.header.is_some() {
        return Some("`header` belongs to `scheme: hmac`, which needs it");
    }
    hook.text.as_ref().filter(|text| !text.starts_with('/')).map(|_| "`text` is a JSON pointer like /comment/body")
}

/// The name of a sender or a group at its platform; numbers are accepted, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformName(pub String);

impl PlatformName {
    /// Whether it is `other` of the channel `name`; it may be written as a whole address.
    fn is(&self, name: &str, other: &str) -> bool {
        self.0 == other || self.0.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')) == Some(other)
    }
}

impl<'de> Deserialize<'de> for PlatformName {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = PlatformName;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a name or a number")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<PlatformName, E> {
                Ok(PlatformName(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<PlatformName, E> {
                Ok(PlatformName(number.to_string()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PlatformName, E> {
                Ok(PlatformName(text.trim().to_owned()))
            }

            fn visit_unit<E: de::Error>(self) -> Result<PlatformName, E> {
                Err(E::custom("an entry is empty"))
            }
        }
        source.deserialize_any(NameVisitor)
    }
}

/// The meaning of an edited message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Edits {
    /// It is a new message that names the edited one.
    #[default]
    New,
    /// It is skipped.
    Ignore,
}

/// How strangers are paired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PairingMode {
    /// With the code of an invitation; strangers get no answer.
    #[default]
    Invite,
    /// A stranger gets a code, once, which the owner approves.
    Ask,
}

/// What happens to a message of which claw does not know whether it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum UnknownDelivery {
    /// It is sent again, marked as possibly repeated.
    #[default]
    Resend,
    /// It fails, and the owner gets a notice.
    Hold,
}

/// A program that delivers messages, run once for each.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Exec {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its time limit, like `30s`; default 1 min.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub timeout: Option<SignedDuration>,
    /// Variables of claw's environment that the program gets besides HOME and PATH, or `inherit` for all.
    pub env: ProgramEnv,
}

/// The sandbox of a channel's program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ProgramSandbox {
    /// Whether it may use the network.
    pub network: bool,
    /// Folders and files that it may read, besides those of the system.
    pub read: Vec<String>,
    /// Folders and files that it may write, besides its state folder.
    pub write: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(yaml: &str) -> Channels {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn type_defaults_to_the_name_and_the_old_map_stays() {
        let channels =
            channels("exec:\n  phone: {command: [x]}\ntelegram: {allow: [42]}\nwork: {type: telegram}\nirc:\n");
        assert_eq!(channels.exec["phone"].command, ["x"]);
        let kind = |name| channels.get(name).map(|(_, kind)| kind);
        assert_eq!([kind("telegram"), kind("work"), kind("irc")], [Some("telegram"), Some("telegram"), Some("irc")]);
        assert_eq!([kind("exec"), kind("phone")], [None, None]);
        assert!(channels.named["telegram"].allows("telegram", "42"));
    }

    #[test]
    fn sender_may_be_a_number_a_name_or_an_address_of_this_channel() {
        let channels = channels("irc: {allow: [ann, 'irc:ben', 'work:eve', -7]}");
        let allows = |sender| channels.named["irc"].allows("irc", sender);
        assert_eq!(
            ["ann", "ben", "-7", "eve", "work:eve", "an", ""].map(allows),
            [true, true, true, false, true, false, false]
        );
    }

    #[test]
    fn reserved_and_malformed_names_and_wildcards_are_invalid() {
        let invalid = |yaml: &str| channels(yaml).invalid().map(|(key, _)| key);
        for name in RESERVED.iter().filter(|name| **name != "exec") {
            assert_eq!(invalid(&format!("{name}: {{}}")), Some(format!("channels.{name}")));
        }
        for name in ["Irc", "1c", "my-irc", "a_b", "''", &"x".repeat(25)] {
            assert!(invalid(&format!("{name}: {{}}")).is_some(), "{name}");
        }
        assert_eq!(invalid("irc: {allow: ['*']}").as_deref(), Some("channels.irc.allow"));
        assert_eq!(invalid("irc: {groups: ['*']}").as_deref(), Some("channels.irc.groups"));
        assert_eq!(invalid("irc: {keep: 0s}").as_deref(), Some("channels.irc.keep"));
        assert_eq!(invalid("irc: {policy: open, keep: 1h}"), None);
        assert_eq!(invalid("web: {listen: '0.0.0.0:7171'}").as_deref(), Some("channels.web.listen"));
        for hook in [
            "ci: {}",
            "ci: {secret_env: A, secret_file: b}",
            "ci: {secret_env: A, scheme: hmac}",
            "ci: {secret_env: A, header: X}",
            "ci: {secret_env: A, text: x}",
            "a/b: {secret_env: A}",
        ] {
            assert_eq!(
                invalid(&format!("web: {{hooks: {{{hook}}}}}")).as_deref(),
                Some("channels.web.hooks"),
                "{hook}"
            );
        }
        assert_eq!(invalid("web: {hooks: {ci: {scheme: github, secret_env: A, text: /x}}}"), None);
    }

    #[test]
    fn malformed_values_are_errors() {
        for yaml in [
            "irc: {policy: everybody}",
            "irc: {allow: [~]}",
            "irc: {allow: [[1]]}",
            "irc: {env: all}",
            "irc: {env: [A=1]}",
            "irc: {env: {A: 1}}",
            "irc: {unknown: maybe}",
            "irc: 7",
        ] {
            assert!(serde_yaml::from_str::<Channels>(yaml).is_err(), "{yaml}");
        }
    }
}
