//! Secrets in a text: private keys, keys of common services by their format, and values of high entropy behind a word
//! such as `token`. Hashes, UUIDs, IBANs and ids of events are not secrets.

mod formats;

use formats::FORMATS;
use regex::Regex;
use serde_json::Value;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

/// The replacement of a secret.
pub const HIDDEN: &str = "[hidden]";
/// The name of the tool whose arguments are notes.
pub const NOTING_TOOL: &str = "remember";
/// The distance between the word and the value, in bytes.
const REACH: usize = 60;
/// The least entropy of a value, in bits for each character.
const ENTROPY: f64 = 3.2;
/// The shortest run of letters and digits in a value: a name of several words has shorter ones.
const RUN: usize = 12;

/// Values that may be secret, if one of [`WORDS`] is before them.
static VALUE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[A-Za-z0-9+/_.~-]{32,}={0,2}").ok());
static WORDS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let english = r"key|token|secret|passwor[dt]|passwd|passphrase|credential|bearer|\bpsk\b|\bsession\b";
    let other = "kennwort|schlüssel|geheim|mot de passe|\\bclé|contraseña|\\bclave|chiave|senha|wachtwoord|lösenord|hasło|\
                 парол|\\bключ|パスワード|暗証|密码|密碼|密钥|密鑰|비밀번호|암호";
    Regex::new(&format!("(?i){english}|{other}")).ok()
});
static NO_SECRET: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let hash = "[0-9a-f]{40}|[0-9a-f]{64}|[0-9A-F]{40}|[0-9A-F]{64}";
    let uuid = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}";
    let id = r"\d{8}T\d{6}\.\d{6}Z-.*";
    let named_hash = "sha[0-9]{1,3}-.*";
    Regex::new(&format!("^(?:{hash}|{uuid}|{id}|{named_hash})$")).ok()
});

/// The name of a hash before its value: `SHA256:`, `sha512 `, `md5=`.
static HASH_NAME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)\b(?:sha-?[0-9]{1,3}|md5|blake[23][bs]?)(?:sum)?\W{0,3}$").ok());

/// A secret in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSecret {
    /// The kind, for messages: `a private key`.
    pub kind: &'static str,
    /// Its place in the text, in bytes.
    pub range: Range<usize>,
}

/// The secrets of a text, by place; they do not overlap.
#[must_use]
pub fn all(text: &str) -> Vec<FoundSecret> {
    let mut found: Vec<FoundSecret> = Vec::new();
    for format in FORMATS.iter() {
        found.extend(format.find(text).map(|range| FoundSecret { kind: format.kind, range }));
    }
    for value in VALUE.iter().flat_map(|value| value.find_iter(text)) {
        // A full stop ends the sentence, not the value.
        let shown = value.as_str().trim_end_matches('.');
        let before = &text[..value.start()];
        let is_hash = HASH_NAME.as_ref().is_some_and(|name| name.is_match(last(before, 20)));
        if is_behind_a_word(before) && !is_hash && is_random(shown) {
            let range = value.start()..value.start() + shown.len();
            found.push(FoundSecret { kind: "a value of high entropy", range });
        }
    }
    found.sort_by_key(|secret| (secret.range.start, std::cmp::Reverse(secret.range.end)));
    let mut end = 0;
    found.retain(|secret| {
        let is_first = secret.range.start >= end;
        end = end.max(secret.range.end);
        is_first
    });
    found
}

/// The text with every secret replaced.
#[must_use]
pub fn hide(text: &str) -> Cow<'_, str> {
    let found = all(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let (mut shown, mut end) = (String::with_capacity(text.len()), 0);
    for secret in found {
        shown.push_str(&text[end..secret.range.start]);
        shown.push_str(HIDDEN);
        end = secret.range.end;
    }
    shown.push_str(&text[end..]);
    Cow::Owned(shown)
}

/// Replaces every secret in the texts of a JSON value.
pub fn hide_in(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(shown) = hide(text) {
                *text = shown;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_in),
        Value::Object(fields) => fields.values_mut().for_each(hide_in),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The arguments of a call as models and people see them: without the secrets that it would have noted.
#[must_use]
pub fn shown_arguments<'a>(tool: &str, arguments: &'a Value) -> Cow<'a, Value> {
    let is_note = || arguments.get("path").and_then(Value::as_str).is_some_and(|path| path.contains("memories"));
    if tool != NOTING_TOOL && !(matches!(tool, "write" | "edit") && is_note()) {
        return Cow::Borrowed(arguments);
    }
    let mut shown = arguments.clone();
    hide_in(&mut shown);
    if shown == *arguments { Cow::Borrowed(arguments) } else { Cow::Owned(shown) }
}

/// Whether the end of the line `before` has a word such as `token`.
fn is_behind_a_word(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default();
    WORDS.as_ref().is_some_and(|words| words.is_match(last(line, REACH)))
}

/// The last `most` bytes of a text, or a few less.
fn last(text: &str, most: usize) -> &str {
    let from = (text.len().saturating_sub(most)..=text.len()).find(|at| text.is_char_boundary(*at));
    &text[from.unwrap_or_default()..]
}

fn is_random(value: &str) -> bool {
    let bare = value.trim_end_matches('=');
    if bare.len() < 32 || NO_SECRET.as_ref().is_some_and(|other| other.is_match(bare)) || is_iban(bare) {
        return false;
    }
    let is_run = |run: &str| {
        run.len() >= RUN && run.bytes().any(|b| b.is_ascii_digit()) && run.bytes().any(|b| b.is_ascii_alphabetic())
    };
    bare.split(|c: char| !c.is_ascii_alphanumeric()).any(is_run) && entropy(bare) >= ENTROPY
}

/// The entropy of the characters, in bits for each.
#[expect(clippy::cast_precision_loss, reason = "a value has few characters")]
fn entropy(value: &str) -> f64 {
    let mut counts = [0u32; 256];
    value.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let all = value.len() as f64;
    counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / all).map(|part| -part * part.log2()).sum()
}

/// Whether a value is an account number by its form and its check digits (ISO 13616).
fn is_iban(value: &str) -> bool {
    let bytes = value.as_bytes();
    let is_plain = bytes.iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
    if !(15..=34).contains(&bytes.len()) || !is_plain || !bytes[..2].iter().all(u8::is_ascii_uppercase) {
        return false;
    }
    let digits = bytes[4..].iter().chain(&bytes[..4]);
    let rest = digits.fold(0u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        letter => (rest * 100 + u32::from(letter - b'A') + 10) % 97,
    });
    rest == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kinds(text: &str) -> Vec<&'static str> {
        all(text).into_iter().map(|secret| secret.kind).collect()
    }

    /// Keys are put together here, so that no scanner of repositories takes this file for a leak.
    #[test]
    fn keys_of_services_are_secrets() {
        let body = |length: usize| "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA".chars().cycle().take(length).collect::<String>();
        for (head, length) in [
            ("sk-", 48),
            ("sk-ant-api03-", 80),
            ("sk-proj-", 60),
            ("ghp_", 36),
            ("github_pat_", 40),
            ("glpat-", 20),
            ("xoxb-", 40),
            ("AIza", 35),
            ("sk_live_", 24),
            ("npm_", 36),
            ("hf_", 34),
            ("gsk_", 50),
            ("12345678:", 35),
            ("ya29.", 40),
            ("hvs.", 30),
        ] {
            let text = format!("it is {head}{}, really", body(length));
            assert_eq!(all(&text).len(), 1, "{text}");
            assert_eq!(hide(&text), "it is [hidden], really", "{text}");
        }
        assert_eq!(kinds(&format!("AKIA{}", "ABCDEFGH23456789")), ["an AWS access key"]);
        let pem = format!("x -----BEGIN OPENSSH {0}-----\nabc\n-----END OPENSSH {0}----- y", "PRIVATE KEY");
        assert_eq!(hide(&pem), "x [hidden] y");
        assert_eq!(hide(&pem[..40]), "x [hidden]", "the end is missing");
        assert_eq!(kinds("postgres://ann:pa55word@db.example.org/x"), ["a URL with a password"]);
        assert_eq!(kinds("redis://:pa55word@db.example.org/0"), ["a URL with a password"], "without a name");
    }

    #[test]
    fn random_values_are_secrets_only_behind_a_word() {
        let value = "q7Zt3LmP9xWv2RbN8sKd4HjF6gYc1QaE";
        for text in [
            format!("the API token is {value}."),
            format!("password: {value}"),
            format!("DB_SECRET={value}"),
            format!("Passwort für das NAS: {value}"),
            format!("aws_secret_access_key = {value}+/abcdEFG"),
            format!("Kennwort: {value}"),
            format!("clé d'API: {value}"),
            format!("пароль: {value}"),
            format!("パスワードは{value}"),
            format!("wifi PSK {value}"),
        ] {
            assert_eq!(kinds(&text), ["a value of high entropy"], "{text}");
        }
        for text in [
            value.to_owned(),
            format!("the id is {value}"),
            format!("token\n{value}"),
            format!("the token is {}", &value[..31]),
        ] {
            assert_eq!(kinds(&text), [""; 0], "{text}");
        }
    }

    #[test]
    fn hashes_ids_and_names_are_no_secrets() {
        for text in [
            "key commit 3f786850e387550fdab836ed7e6dc881de23001b",
            "the token has sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "secret project 550e8400-e29b-41d4-a716-446655440000",
            "the account behind the password: MT84MALT011000012345MTLCAST001S",
            "key event 20261121T004130.123456Z-k7f3q9.m01.r01",
            "the key has the fingerprint SHA256:q7Zt3LmP9xWv2RbN8sKd4HjF6gYc1QaEq7Zt3LmP9xW",
            "integrity of the key file: sha384-q7Zt3LmP9xWv2RbN8sKd4HjF6gYc1QaE",
            "the token file has md5 9f86d081884c7d659a2feaa0c55ad015",
            "the club meets in session 12 of the conference-on-monkeys-and-donkeys-2026",
            "the key file is /home/ann/projects/backup-2026/keys/readme-first.txt",
            "password manager: https://example.org/docs/2026/how-to-rotate-all-keys",
            "key-management-service-configuration-of-the-house",
            "use sk-learn-contrib-imbalanced-learn-2026 for this",
            "the risk-free-rate-of-return-is-2-percent",
            "the token is aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1",
            "the password is hunter2, and the key is under the mat",
        ] {
            assert_eq!(all(text), [], "{text}");
        }
        assert!(is_iban("MT84MALT011000012345MTLCAST001S") && !is_iban("MT85MALT011000012345MTLCAST001S"));
    }

    #[test]
    fn texts_of_a_json_value_are_hidden() {
        let mut value = json!({"text": ["password q7Zt3LmP9xWv2RbN8sKd4HjF6gYc1QaE"], "n": 1});
        hide_in(&mut value);
        assert_eq!(value, json!({"text": ["password [hidden]"], "n": 1}));
        let call = json!({"path": "memories/a.md", "content": "token q7Zt3LmP9xWv2RbN8sKd4HjF6gYc1QaE"});
        assert_eq!(shown_arguments("write", &call)["content"], "token [hidden]");
        assert_eq!(*shown_arguments("bash", &call), call);
        let other = json!({"path": "files/a.env", "content": call["content"]});
        assert_eq!(*shown_arguments("write", &other), other);
    }
}
