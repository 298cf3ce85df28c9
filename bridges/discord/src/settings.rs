//! Arguments and environment.

use crate::exit::Exit;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

const USAGE: &str = "\
Discord for claw: a channel of type `exec`.

Usage: claw-discord [--token-file FILE] [--api URL] [--gateway URL] [--gateway-timeout SECONDS]

  --token-file FILE          the bot's token; without it, the variable DISCORD_TOKEN
  --api URL                  the REST API [https://discord.com/api/v10]
  --gateway URL              the gateway [the API's answer]
  --gateway-timeout SECONDS  a new connection that the gateway does not greet is given up [30]
  --version, --help

claw starts it and sets CLAW_STATE, the folder of its state. With CLAW_ONCE=1 it fetches what was missed, and ends.
";

/// The settings of a run.
pub struct Settings {
    /// The bot's token, without a prefix.
    pub token: String,
    /// The REST API, without a slash at its end.
    pub api: String,
    /// The gateway, if it is not the API's choice.
    pub gateway: Option<String>,
    /// The longest wait for READY or RESUMED.
    pub patience: Duration,
    /// The folder of the state.
    pub state: PathBuf,
    /// Fetch what was missed, and end.
    pub once: bool,
}

/// Reads them. `None` after `--help` and `--version`.
///
/// # Errors
/// 78, with the argument or variable that is wrong.
pub fn read() -> Result<Option<Settings>, Exit> {
    let mut file = None;
    let mut api = "https://discord.com/api/v10".to_owned();
    let mut gateway = None;
    let mut patience = Duration::from_secs(30);
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| Exit::config(format!("{arg} needs a value")));
        match arg.as_str() {
            "--token-file" => file = Some(PathBuf::from(value()?)),
            "--api" => api = url(&arg, &value()?, &["https", "http"])?,
            "--gateway" => gateway = Some(url(&arg, &value()?, &["wss", "ws"])?),
            "--gateway-timeout" => {
                let seconds = value()?.parse().ok().filter(|seconds| (1..=600).contains(seconds));
                patience =
                    Duration::from_secs(seconds.ok_or_else(|| Exit::config("--gateway-timeout: 1 to 600 seconds"))?);
            }
            "--help" | "-h" => {
                print!("{USAGE}");
                return Ok(None);
            }
            "--version" => {
                println!("claw-discord {}", env!("CARGO_PKG_VERSION"));
                return Ok(None);
            }
            // The argument itself may be a token.
            _ => return Err(Exit::config("unknown argument; see claw-discord --help")),
        }
    }
    if cfg!(not(feature = "tls"))
        && (api.starts_with("https") || gateway.as_ref().is_some_and(|url| url.starts_with("wss")))
    {
        return Err(Exit::config("this program was built without TLS; build it with its default features"));
    }
    let state = env::var_os("CLAW_STATE").filter(|state| !state.is_empty());
    let state = state.ok_or_else(|| Exit::config("CLAW_STATE is not set: claw starts this program as a channel"))?;
    let once = env::var_os("CLAW_ONCE").is_some_and(|once| once == "1");
    Ok(Some(Settings { token: token(file.as_deref())?, api, gateway, patience, state: state.into(), once }))
}

fn token(file: Option<&Path>) -> Result<String, Exit> {
    let (text, source) = match file {
        Some(file) => {
            let text =
                fs::read_to_string(file).map_err(|e| Exit::config(format!("--token-file {}: {e}", file.display())))?;
            (text, format!("the token file {}", file.display()))
        }
        None => (env::var("DISCORD_TOKEN").unwrap_or_default(), "DISCORD_TOKEN".to_owned()),
    };
    let text = text.trim();
    match token_problem(text) {
        Some(why) => Err(Exit::config(format!("{source} {why}. The developer portal has the token: Bot, Reset Token"))),
        None => Ok(text.strip_prefix("Bot ").unwrap_or(text).to_owned()),
    }
}

fn token_problem(text: &str) -> Option<&'static str> {
    let text = text.strip_prefix("Bot ").unwrap_or(text);
    match text {
        "" => Some("is empty"),
        "undefined" | "null" | "None" => Some("holds the word for a missing value"),
        // Shorter ones would be cut out of ordinary text.
        _ if text.len() < 20 => Some("is too short for a token"),
        _ if !text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\')) => {
            Some("has characters that no token has")
        }
        _ => None,
    }
}

/// Checks a URL and removes the slash at its end.
fn url(name: &str, text: &str, schemes: &[&str]) -> Result<String, Exit> {
    let has_scheme = |scheme: &&str| text.strip_prefix(*scheme).is_some_and(|rest| rest.starts_with("://"));
    if schemes.iter().any(has_scheme) && reqwest::Url::parse(text).is_ok() {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err(Exit::config(format!("{name} needs a URL that begins with {}://", schemes.join(":// or "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_token_is_refused() {
        for text in
            ["", "undefined", "null", "Bot ", "short", "two words of more than 20", "twenty characters\nand a line"]
        {
            assert!(token_problem(text).is_some(), "{text}");
        }
        assert_eq!(token_problem("MTA1.GabcdE.x-y_z0123456789abcdef"), None);
        assert_eq!(token_problem("Bot MTA1.GabcdE.x-y_z0123456789abcdef"), None);
    }

    #[test]
    fn url_needs_its_scheme() {
        assert_eq!(url("--api", "http://127.0.0.1:1/api/", &["https", "http"]).unwrap(), "http://127.0.0.1:1/api");
        for text in ["", "127.0.0.1", "ftp://x", "http://", "httpx://a", "http://[::1"] {
            assert!(url("--api", text, &["https", "http"]).is_err(), "{text}");
        }
    }
}
