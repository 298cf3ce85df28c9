//! The formats of keys, as their services publish them.

use regex::Regex;
use std::ops::Range;
use std::sync::LazyLock;

/// A format of keys.
pub(super) struct KeyFormat {
    pub(super) kind: &'static str,
    regex: Regex,
    /// A further condition on a match, where the format alone fits words too.
    is_key: fn(&str) -> bool,
}

impl KeyFormat {
    pub(super) fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        self.regex.find_iter(text).filter(|found| (self.is_key)(found.as_str())).map(|found| found.range())
    }
}

fn always(_: &str) -> bool {
    true
}

/// Whether the text behind `sk-` is random: it has digits, and letters of both cases or no separators.
fn has_random_body(key: &str) -> bool {
    let has = |is: fn(&u8) -> bool| key.as_bytes()[3..].iter().any(&is);
    has(u8::is_ascii_digit)
        && (has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) || !key[3..].contains(['-', '_']))
}

/// The name of a kind of key, its pattern, and a condition on a match.
type FormatRow = (&'static str, &'static str, fn(&str) -> bool);

const ROWS: &[FormatRow] = &[
    (
        "a private key",
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
        always,
    ),
    ("a private key", r"PuTTY-User-Key-File-\d:", always),
    ("a private key", r"AGE-SECRET-KEY-1[0-9A-Z]{50,}", always),
    ("a key of a model's provider", r"\bsk-[A-Za-z0-9_-]{20,}", has_random_body),
    ("a key of a model's provider", r"\b(?:gsk_|xai-|pplx-)[A-Za-z0-9]{40,}", always),
    ("a key of a model's provider", r"\b(?:hf_|r8_)[A-Za-z0-9]{30,}", always),
    ("a key of a search service", r"\btvly-[A-Za-z0-9-]{20,}", always),
    ("an AWS access key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", always),
    ("a GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{22,}", always),
    ("a GitLab token", r"\bgl(?:pat|dt|rt|ptt|soat|cbt|agent)-[A-Za-z0-9_-]{20,}", always),
    ("a Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-\d-[A-Za-z0-9-]{10,}", always),
    ("a Slack webhook", r"hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]+", always),
    ("a Google key", r"\bAIza[0-9A-Za-z_-]{35}|\bya29\.[0-9A-Za-z_-]{20,}|\bGOCSPX-[A-Za-z0-9_-]{28}", always),
    ("a Stripe key", r"\b(?:sk|rk)_(?:live|test)_[0-9a-zA-Z]{16,}|\bwhsec_[A-Za-z0-9]{24,}", always),
    ("a Telegram bot's token", r"\b\d{8,10}:[A-Za-z0-9_-]{35}\b", always),
    ("a Discord bot's token", r"\b[MNO][A-Za-z\d]{23,25}\.[A-Za-z\d_-]{6}\.[A-Za-z\d_-]{27,38}\b", always),
    ("an npm token", r"\bnpm_[A-Za-z0-9]{36}\b", always),
    ("a PyPI token", r"\bpypi-[A-Za-z0-9_-]{50,}", always),
    ("a Twilio or Mailgun key", r"\bSK[0-9a-f]{32}\b|\bkey-[0-9a-f]{32}\b", always),
    ("a SendGrid key", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}", always),
    ("a DigitalOcean token", r"\bdo[opr]_v1_[0-9a-f]{64}\b", always),
    ("a Linear or Notion key", r"\blin_api_[A-Za-z0-9]{32,}|\bntn_[A-Za-z0-9]{40,}|\bsecret_[A-Za-z0-9]{43}\b", always),
    ("a Shopify token", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b", always),
    ("a Databricks token", r"\bdapi[0-9a-f]{32}\b", always),
    ("a Tailscale key", r"\btskey-[a-z]+-[A-Za-z0-9-]{20,}", always),
    ("a Vault token", r"\bhv[bs]\.[A-Za-z0-9_-]{24,}", always),
    ("a Docker token", r"\bdckr_pat_[A-Za-z0-9_-]{20,}", always),
    ("an Atlassian token", r"\bATATT3[A-Za-z0-9_=-]{50,}", always),
    ("an Azure key", r"AccountKey=[A-Za-z0-9+/]{86}==", always),
    ("a JSON Web Token", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}", always),
    ("a URL with a password", r#"\b[a-z][a-z0-9+.-]*://[^/\s:@"'<>]*:[^/\s:@"'<>]{3,}@"#, always),
];

pub(super) static FORMATS: LazyLock<Vec<KeyFormat>> = LazyLock::new(|| {
    let format = |(kind, regex, is_key): &(&'static str, &str, fn(&str) -> bool)| {
        Some(KeyFormat { kind, regex: Regex::new(regex).ok()?, is_key: *is_key })
    };
    ROWS.iter().filter_map(format).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_compiles() {
        assert_eq!(FORMATS.len(), ROWS.len());
    }
}
