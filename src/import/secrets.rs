//! Secrets in a source: they are named, never copied.

use regex::Regex;
use serde_yaml::Value;
use std::sync::LazyLock;

/// Parts of the names of settings that hold a secret.
const NAMES: &[&str] = &["api_key", "apikey", "token", "secret", "password", "passphrase", "private_key", "credential"];
/// The largest file that is searched for keys, in bytes.
pub const MOST: u64 = 4 << 20;

/// The forms of keys of well-known services, of bots, and of private keys.
static FORMS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"\b(?:sk-[A-Za-z0-9_-]{16,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}",
        r"|xox[abprs]-[A-Za-z0-9-]{16,}|AIza[0-9A-Za-z_-]{35}|[0-9]{8,10}:[A-Za-z0-9_-]{35})\b",
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?-----END [A-Z ]*PRIVATE KEY-----)?",
    ))
    .ok()
});

/// The number of the first line that has the form of a secret, from 1.
#[must_use]
pub fn line(text: &str) -> Option<usize> {
    let at = FORMS.as_ref()?.find(text)?.start();
    Some(text[..at].matches('\n').count() + 1)
}

/// The text with every key replaced, and the number of keys.
#[must_use]
pub fn removed(text: &str) -> (String, usize) {
    let Some(forms) = FORMS.as_ref() else { return (text.to_owned(), 0) };
    let count = forms.find_iter(text).count();
    if count == 0 { (text.to_owned(), 0) } else { (forms.replace_all(text, "[secret removed]").into_owned(), count) }
}

/// Whether a file of this path holds credentials by its name or place.
#[must_use]
pub fn is_credential_file(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let name = lower.rsplit('/').next().unwrap_or_default();
    let is_named = name == ".env"
        || name.starts_with(".env.")
        || name.starts_with("id_rsa")
        || name.starts_with("id_ed25519")
        || name.starts_with("auth-profiles.json")
        || matches!(
            name,
            "auth.json" | "credentials" | "credentials.json" | "device-auth.json" | "paired.json" | ".netrc"
        );
    let has_ending = [".pem", ".key", ".p12", ".pfx"].iter().any(|ending| name.ends_with(ending));
    let mut folders = lower.split('/').rev().skip(1);
    is_named || has_ending || folders.any(|folder| matches!(folder, "credentials" | ".secrets" | "secrets" | ".ssh"))
}

/// The settings below `value` that hold a secret, as `llm.api_key`. References to the environment do not count.
#[must_use]
pub fn settings(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(value, "", &mut found);
    found
}

fn collect(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Mapping(map) => {
            for (key, value) in map {
                let key =
                    key.as_str().map_or_else(|| serde_yaml::to_string(key).unwrap_or_default(), ToOwned::to_owned);
                let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                let text = value.as_str().unwrap_or_default();
                if is_secret_name(&key) && !text.is_empty() && !text.starts_with("${") {
                    found.push(path);
                } else {
                    collect(value, &path, found);
                }
            }
        }
        Value::Sequence(values) => {
            for (n, value) in values.iter().enumerate() {
                collect(value, &format!("{at}[{n}]"), found);
            }
        }
        Value::String(text) if line(text).is_some() => found.push(at.to_owned()),
        _ => {}
    }
}

/// Whether a setting of this name holds a secret: `botToken`, `api_key`, but not `max_tokens` or `api_key_env`.
#[must_use]
pub fn is_secret_name(key: &str) -> bool {
    let plain = key.replace('-', "_").to_ascii_lowercase();
    let is_count = plain.ends_with("tokens") || plain.ends_with("_env") || plain.ends_with("_file");
    !is_count && NAMES.iter().any(|name| plain.ends_with(name) || plain.ends_with(&name.replace('_', "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_by_name_by_form_and_by_place() {
        let value: Value = serde_yaml::from_str(
            "llm: {api_key: abc, max_tokens: 5, api_base: 'https://x'}\nchannels: [{botToken: t}, {apiKey: '${X}'}]\n\
             a: {b: 'sk-abcdefghijklmnop1234'}\nwhere: {api_key_env: HERE}\n",
        )
        .unwrap();
        assert_eq!(settings(&value), ["llm.api_key", "channels[0].botToken", "a.b"]);
        assert_eq!(line("a\nb sk-abcdefghijklmnop1234\n"), Some(2));
        assert_eq!(line("the task-force risk-assessment of disk-management"), None);
        assert_eq!(removed("x ghp_0123456789abcdefghijABCDEFGHIJ y").0, "x [secret removed] y");
        for path in [".env", "credentials/a.json", "agents/main/agent/auth-profiles.json", "tls/x.pem"] {
            assert!(is_credential_file(path), "{path}");
        }
        for path in ["memory/secrets.md", "skills/environment/SKILL.md", "keys.md"] {
            assert!(!is_credential_file(path), "{path}");
        }
    }
}
