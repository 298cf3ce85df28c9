//! Keeping credentials out of texts. This is the one place that removes them from the text of a request: its error,
//! the body that a server refused it with, its URL.

use crate::core::base64;
use crate::core::fault::Fault;
use regex::Regex;
use std::sync::LazyLock;
use url::Url;

/// The mark that replaces a credential.
const HIDDEN: &str = "[key]";
/// The shortest credential out of a URL, in bytes, that is searched for in other texts: hiding every `a` would make
/// them unreadable, and would show that the secret is `a`.
const SHORTEST: usize = 4;

/// User information of a URL, up to the last `@` of its authority.
static USERINFO: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?i)\b([a-z][a-z0-9+.-]*://)[^/?#\s"'<>`]+@"#).ok());
/// A query parameter that carries a credential by its name: `key`, `api_key`, `access_token`, `X-Amz-Signature`.
static PARAMETER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let names = r"(?:key|token|sig|signature|secret|password|passwd|pwd|auth|authorization|credential|credentials)";
    // A colon or comma at the end belongs to the sentence around the URL.
    let value = r#"[^&#\s"'<>`]*[^&#\s"'<>`:,;.)]"#;
    Regex::new(&format!(r"(?i)([?&;](?:[a-z0-9._-]*[._-]|access|api|auth|client)?{names}=){value}")).ok()
});

/// The credentials of one request. Its own are removed wherever they occur, also percent-encoded, as a JSON escape or
/// as the base64 of a basic authorization; those of foreign URLs by their place in the URL.
#[derive(Clone, Default)]
pub struct Credentials(Vec<String>);

impl Credentials {
    /// A request with this key or token, which may be sent in a header, in the query or in the path.
    #[must_use]
    pub fn of(key: Option<&str>) -> Self {
        let mut credentials = Self::default();
        credentials.add(key.unwrap_or_default(), 1);
        credentials
    }

    /// The same, with the credentials of a URL: its user information and the parameters that carry one. A text that
    /// is no URL has none.
    #[must_use]
    pub fn and_url(mut self, text: &str) -> Self {
        let Ok(url) = Url::parse(text) else { return self };
        let (user, password) = (url.username(), url.password());
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            let [user, password] = [user, password].map(decoded);
            // Without padding: a secret is found with or without it.
            self.add(&base64::unpadded(format!("{user}:{password}").as_bytes()), SHORTEST);
            self.add(&password, SHORTEST);
        } else if !user.is_empty() {
            // A user without a password is a token.
            let user = decoded(user);
            self.add(&base64::unpadded(format!("{user}:").as_bytes()), SHORTEST);
            self.add(&user, SHORTEST);
        }
        let parameters: Vec<String> = PARAMETER.as_ref().map_or_else(Vec::new, |parameter| {
            let found = parameter.captures_iter(text).filter_map(|found| Some(found.get(0)?.as_str()));
            found.filter_map(|whole| Some(decoded(whole.split_once('=')?.1))).collect()
        });
        for value in parameters {
            self.add(&value, SHORTEST);
        }
        self
    }

    /// The same, with another secret: a token in a header.
    #[must_use]
    pub fn and(mut self, secret: &str) -> Self {
        self.add(secret, SHORTEST);
        self
    }

    fn add(&mut self, secret: &str, shortest: usize) {
        if secret.len() >= shortest && !self.0.iter().any(|known| known == secret) {
            self.0.push(secret.to_owned());
            // The longest first: one may be the beginning of another.
            self.0.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// `text` without credentials. To be called before a text is cut: half a key is a secret too.
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        let mut clean = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let found = self.0.iter().find_map(|secret| matched(rest.as_bytes(), secret.as_bytes()));
            let length = found.unwrap_or(next.len_utf8());
            clean.push_str(if found.is_some() { HIDDEN } else { &rest[..length] });
            rest = &rest[length..];
        }
        for (pattern, kept) in [(&USERINFO, format!("${{1}}{HIDDEN}@")), (&PARAMETER, format!("${{1}}{HIDDEN}"))] {
            if let Some(pattern) = &**pattern {
                clean = pattern.replace_all(&clean, kept).into_owned();
            }
        }
        clean
    }

    /// The same fault without credentials in its message and its hint.
    #[must_use]
    pub fn hide_in(&self, fault: Fault) -> Fault {
        Fault { message: self.hide(&fault.message), hint: fault.hint.map(|hint| self.hide(&hint)), ..fault }
    }
}

/// How many bytes at the beginning of `text` are `secret`: each byte as itself, percent-encoded, or as a JSON escape,
/// and a space also as `+`.
fn matched(text: &[u8], secret: &[u8]) -> Option<usize> {
    let mut at = 0;
    for byte in secret {
        let rest = text.get(at..)?;
        at += match rest {
            [first, ..] if first == byte => 1,
            [b'+', ..] if *byte == b' ' => 1,
            [b'%', high, low, ..] if number(&[*high, *low]) == Some(u32::from(*byte)) => 3,
            [b'\\', b'u', digits @ ..] if number(digits.get(..4)?) == Some(u32::from(*byte)) => 6,
            [b'\\', escaped, ..] if escaped == byte => 2,
            _ => return None,
        };
    }
    (at > 0).then_some(at)
}

fn number(digits: &[u8]) -> Option<u32> {
    let is_hexadecimal = digits.iter().all(u8::is_ascii_hexdigit);
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().filter(|_| is_hexadecimal)
}

/// A part of a URL without its percent-encoding.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let byte = (*first == b'%').then(|| number(after.get(..2)?)).flatten().and_then(|n| u8::try_from(n).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn key_is_removed_in_every_encoding() {
        let credentials = Credentials::of(Some("a b\"c/d+é"));
        for text in
            ["a b\"c/d+é", "a%20b%22c%2Fd%2Bé", "a+b%22c%2fd%2b%C3%A9", r#"a b\"c\/d+é"#, r#"a\u0020b\"c/d\u002Bé"#]
        {
            assert_eq!(credentials.hide(&format!("<{text}>")), "<[key]>", "{text}");
        }
        assert_eq!(credentials.hide("a b\"c/d"), "a b\"c/d");
        assert_eq!(Credentials::of(Some("")).hide("x"), "x");
    }

    #[test]
    fn token_in_a_path_is_removed() {
        let credentials = Credentials::of(Some("123:ABC-def"));
        let text = "https://api.telegram.org/bot123:ABC-def/getUpdates: timed out; /bot123%3AABC-def/x";
        assert_eq!(credentials.hide(text), "https://api.telegram.org/bot[key]/getUpdates: timed out; /bot[key]/x");
    }

    #[test]
    fn longest_secret_is_removed_first() {
        let credentials = Credentials::of(Some("sk-abcdef")).and_url("http://h/?key=sk-abcdef-more");
        assert_eq!(credentials.hide("a sk-abcdef-more b sk-abcdef c"), "a [key] b [key] c");
    }

    #[test]
    fn credentials_of_a_url_are_removed_wherever_they_are_repeated() {
        let credentials =
            Credentials::default().and_url("http://ann:pa%24s%40word@h/v1?api-version=7&key=sk%2Dsecret&x=1");
        assert_eq!(
            credentials.hide("pa$s@word pa%24s%40word sk-secret sk%2dsecret ann 7"),
            "[key] [key] [key] [key] ann 7"
        );
        assert_eq!(credentials.hide("Authorization: Basic YW5uOnBhJHNAd29yZA=="), "Authorization: Basic [key]==");
        assert_eq!(Credentials::default().and_url("http://sometoken@h/").hide("sometoken is bad"), "[key] is bad");
    }

    #[test]
    fn credentials_in_foreign_urls_are_removed_by_their_place() {
        let cases = [
            ("GET http://u:p@h:1/x?a=1 failed", "GET http://[key]@h:1/x?a=1 failed"),
            ("http://u:p@ss@h/", "http://[key]@h/"),
            ("see http://h/a@b?c=d@e", "see http://h/a@b?c=d@e"),
            ("http://h/?key=K&b=2#f", "http://h/?key=[key]&b=2#f"),
            ("/v1?b=2&access_token=T \"?sig=S\"", "/v1?b=2&access_token=[key] \"?sig=[key]\""),
            (
                "?token=T&api_key=K&apikey=K&X-Amz-Signature=S",
                "?token=[key]&api_key=[key]&apikey=[key]&X-Amz-Signature=[key]",
            ),
            ("?monkey=banana&tokens=7&page=2", "?monkey=banana&tokens=7&page=2"),
        ];
        for (text, expected) in cases {
            assert_eq!(Credentials::default().hide(text), expected);
        }
    }

    proptest! {
        #[test]
        fn no_text_keeps_the_key(before in "[%\\\\ +a-zé]{0,9}", key in "[%\\\\ +a-zé/]{1,6}", after in "[%\\\\ +a-zé]{0,9}") {
            let clean = Credentials::of(Some(&key)).hide(&format!("{before}{key}{after}"));
            prop_assert!(clean.contains(HIDDEN));
            prop_assert!(!clean.replace(HIDDEN, "\0").contains(&key), "{clean:?}");
        }
    }
}
