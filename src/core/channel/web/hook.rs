//! Webhooks: the settings of one, and the proof that a request is its sender's. GitHub's scheme is described at
//! <https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries>, Standard Webhooks at
//! <https://www.standardwebhooks.com>.

use crate::core::base64;
use ring::hmac;
use serde::Deserialize;
use serde_json::Value;

/// How far the timestamp of a request may be from the present, in seconds.
const WINDOW: i64 = 300;
/// The longest delivery id, in bytes.
const MAX_ID: usize = 200;

/// Settings of one webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Hook {
    /// How a request proves its sender.
    pub scheme: HookScheme,
    /// The environment variable with the secret.
    pub secret_env: Option<String>,
    /// The file with the secret.
    pub secret_file: Option<String>,
    /// For `hmac`: the header with the signature of the body.
    pub header: Option<String>,
    /// The field of the JSON body that is the message, as a JSON pointer like `/comment/body`; default: the whole body.
    pub text: Option<String>,
    /// The agent that answers.
    pub agent: Option<String>,
}

/// How a request proves its sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum HookScheme {
    /// `Authorization: Bearer SECRET`.
    #[default]
    Token,
    /// `X-Hub-Signature-256`, as GitHub and its imitators sign.
    Github,
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature` of Standard Webhooks.
    Standard,
    /// HMAC-SHA256 of the body in the header of `header`, as hex or base64.
    Hmac,
}

/// The headers of a request, by their names in lower case.
pub type HeaderOf<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The delivery id of an authentic request, if it has one.
///
/// # Errors
/// The reason why the request is not authentic.
pub fn verify(hook: &Hook, secret: &str, header: HeaderOf, body: &[u8], now: i64) -> Result<Option<String>, String> {
    let signed = |name: &str| header(name).ok_or_else(|| format!("the header {name} is missing"));
    let wrong = || "the signature is wrong".to_owned();
    let own_id = match hook.scheme {
        HookScheme::Token => {
            let token = header("authorization").unwrap_or_default();
            let (_, token) = token
                .split_once(' ')
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                .ok_or("the header authorization with a bearer token is missing")?;
            if !is_equal(token.as_bytes(), secret.as_bytes()) {
                return Err("the token is wrong".to_owned());
            }
            None
        }
        HookScheme::Github => {
            let signature = signed("x-hub-signature-256")?;
            let hex = signature.strip_prefix("sha256=").ok_or_else(wrong)?;
            if !is_mac(secret.as_bytes(), &[body], hex) {
                return Err(wrong());
            }
            header("x-github-delivery")
        }
        HookScheme::Hmac => {
            let name = hook.header.as_deref().unwrap_or_default().to_ascii_lowercase();
            let signature = signed(&name)?;
            if !is_mac(secret.as_bytes(), &[body], signature.strip_prefix("sha256=").unwrap_or(&signature)) {
                return Err(wrong());
            }
            None
        }
        HookScheme::Standard => {
            let (id, at, signatures) =
                (signed("webhook-id")?, signed("webhook-timestamp")?, signed("webhook-signature")?);
            let seconds: i64 = at.parse().map_err(|_| "webhook-timestamp is not a number of seconds".to_owned())?;
            let key =
                secret.strip_prefix("whsec_").and_then(base64::decode).unwrap_or_else(|| secret.as_bytes().to_vec());
            let parts: [&[u8]; 5] = [id.as_bytes(), b".", at.as_bytes(), b".", body];
            let mut versions = signatures.split(' ').filter_map(|one| one.strip_prefix("v1,"));
            if !versions.any(|signature| is_mac(&key, &parts, signature)) {
                return Err(wrong());
            }
            if seconds.abs_diff(now) > WINDOW.unsigned_abs() {
                return Err(format!("webhook-timestamp is over {WINDOW} s from the present"));
            }
            Some(id)
        }
    };
    let id = own_id.or_else(|| header("idempotency-key")).filter(|id| !id.is_empty());
    match id {
        Some(id) if id.len() > MAX_ID => Err(format!("the delivery id has more than {MAX_ID} bytes")),
        id => Ok(id),
    }
}

/// Whether `text` is the HMAC-SHA256 of the parts, as hex or base64, compared in constant time.
fn is_mac(key: &[u8], parts: &[&[u8]], text: &str) -> bool {
    let claimed = match text.len() {
        64 => unhex(text),
        _ => base64::decode(text),
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    claimed.is_some_and(|claimed| hmac::verify(&key, &parts.concat(), &claimed).is_ok())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// Whether two secrets are equal; the time does not depend on where they differ.
#[must_use]
pub fn is_equal(a: &[u8], b: &[u8]) -> bool {
    // The comparison of hashes of this crate takes constant time.
    blake3::hash(a) == blake3::hash(b)
}

/// The text of the message in a body: the field at `pointer`, or all of it.
///
/// # Errors
/// The reason why there is none.
pub fn text(pointer: Option<&str>, body: &[u8]) -> Result<String, String> {
    let whole = std::str::from_utf8(body).map_err(|e| format!("the body is not UTF-8 at byte {}", e.valid_up_to()))?;
    let text = match pointer {
        None => whole.to_owned(),
        Some(pointer) => {
            let value: Value = serde_json::from_str(whole).map_err(|e| format!("the body is not JSON: {e}"))?;
            match value.pointer(pointer) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => return Err(format!("the body has no field {pointer}")),
                Some(other) => other.to_string(),
            }
        }
    };
    if text.trim().is_empty() { Err("the message is empty".to_owned()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const NOW: i64 = 1_614_265_330;

    fn check(
        hook: &Hook,
        secret: &str,
        headers: &[(&str, &str)],
        body: &str,
        now: i64,
    ) -> Result<Option<String>, String> {
        let headers: BTreeMap<&str, &str> = headers.iter().copied().collect();
        verify(hook, secret, &|name| headers.get(name).map(|value| (*value).to_owned()), body.as_bytes(), now)
    }

    /// The values of GitHub's documentation.
    #[test]
    fn githubs_example_is_authentic_and_a_changed_one_is_not() {
        let hook = Hook { scheme: HookScheme::Github, ..Hook::default() };
        let secret = "It's a Secret to Everybody";
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let headers = [("x-hub-signature-256", signature), ("x-github-delivery", "72d3162e")];
        assert_eq!(check(&hook, secret, &headers, "Hello, World!", 0), Ok(Some("72d3162e".into())));
        assert!(check(&hook, secret, &headers, "Hello, World", 0).is_err());
        assert!(check(&hook, "other", &headers, "Hello, World!", 0).is_err());
        for bad in ["sha256=", &signature[7..], "sha1=757107ea", &signature[..70], "sha256=zz"] {
            assert!(check(&hook, secret, &[("x-hub-signature-256", bad)], "Hello, World!", 0).is_err(), "{bad}");
        }
        assert!(check(&hook, secret, &[], "Hello, World!", 0).is_err());
    }

    /// The values of the reference implementations of Standard Webhooks.
    #[test]
    fn standard_webhooks_example_is_authentic_within_its_window() {
        let hook = Hook { scheme: HookScheme::Standard, ..Hook::default() };
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let headers = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,aaaa v2,x v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ];
        let body = r#"{"test": 2432232314}"#;
        assert_eq!(check(&hook, secret, &headers, body, NOW), Ok(Some("msg_p5jXN8AQM9LWM0D4loKWxJek".into())));
        assert!(check(&hook, secret, &headers, body, NOW + 301).is_err());
        assert!(check(&hook, secret, &headers, body, NOW - 301).is_err());
        assert!(check(&hook, secret, &headers, "{}", NOW).is_err());
        let moved = [headers[0], ("webhook-timestamp", "1614265331"), headers[2]];
        assert!(check(&hook, secret, &moved, body, NOW).is_err());
    }

    #[test]
    fn token_and_other_headers() {
        let token = Hook::default();
        assert_eq!(
            check(&token, "s", &[("authorization", "Bearer s"), ("idempotency-key", "k")], "x", 0),
            Ok(Some("k".into()))
        );
        assert!(check(&token, "s", &[("authorization", "Bearer t")], "x", 0).is_err());
        assert_eq!(check(&token, "s", &[("authorization", "bearer s")], "x", 0), Ok(None));
        for bad in ["s", "Basic s", "Bearer", "Bearer  s", " s"] {
            assert!(check(&token, "s", &[("authorization", bad)], "x", 0).is_err(), "{bad}");
        }
        let hook = Hook { scheme: HookScheme::Hmac, header: Some("X-Sign".into()), ..Hook::default() };
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"s"), b"x");
        let signature = base64::padded(mac.as_ref());
        assert_eq!(check(&hook, "s", &[("x-sign", &signature)], "x", 0), Ok(None));
        assert!(check(&hook, "s", &[("x-sign", &signature)], "y", 0).is_err());
        assert!(check(&hook, "s", &[("x-sign", &signature), ("idempotency-key", &"k".repeat(201))], "x", 0).is_err());
    }

    #[test]
    fn message_is_a_field_or_the_whole_body() {
        let body = br#"{"comment":{"body":"hi","n":7}}"#;
        assert_eq!(text(Some("/comment/body"), body).as_deref(), Ok("hi"));
        assert_eq!(text(Some("/comment"), body).as_deref(), Ok(r#"{"body":"hi","n":7}"#));
        assert_eq!(text(None, b"plain").as_deref(), Ok("plain"));
        for (pointer, body) in
            [(None, &b"\xff"[..]), (None, b" "), (Some("/x"), b"{}"), (Some("/x"), b"{"), (Some("/x"), b"{\"x\":\"\"}")]
        {
            assert!(text(pointer, body).is_err(), "{pointer:?} {body:?}");
        }
    }
}
