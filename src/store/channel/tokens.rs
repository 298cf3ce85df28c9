//! Tokens of programs and logins of the page: `.claw/tokens/CHANNEL/NAME.json`. A file has the token's hash; the token
//! itself is printed once and kept nowhere. Removing a file ends it.

use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Result};
use crate::core::text::base32::base32;
use crate::store::fs::file_cache::FileCache;
use crate::store::fs::{At, durable, if_there};
use crate::store::workspace::Workspace;
use jiff::Timestamp;
use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder in the workspace.
pub const FOLDER: &str = ".claw/tokens";
/// The name under which the owner's pages write; no token may have it.
pub const OWNER: &str = "owner";
/// The beginning of a token, by which a scanner for secrets finds it.
const PREFIX: &str = "claw_";
/// The beginning of the file name of a login.
const LOGIN: &str = "login-";
/// How long a login lasts, in days.
const LOGIN_DAYS: u32 = 30;
/// The longest name of a token, in bytes.
const MAX_NAME: usize = 32;

/// The tokens by channel, as this process has read them last.
#[derive(Default)]
struct TokenCache(FileCache<Arc<[(PathBuf, Token)]>>);

/// What a token permits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The name: the address of its bearer is `CHANNEL:NAME`.
    pub name: String,
    /// BLAKE3 of the token.
    pub hash: String,
    /// Its bearer sees the events of everybody.
    #[serde(default)]
    pub observe: bool,
    /// Its bearer may choose among these agents.
    #[serde(default)]
    pub agents: Vec<String>,
    /// Its bearer is the owner, on a page.
    #[serde(default)]
    pub owner: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Makes a token, in place of an older one of this name, and returns its text.
///
/// # Errors
/// `Usage` for an invalid name; those of the file system.
pub fn create(workspace: &Workspace, channel: &str, token: Token) -> Result<String> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let name = &token.name;
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_plain) {
        return Err(Fault::data(format!("`{}` cannot name a token", name.escape_debug())).hint("use a-z, 0-9 and -"));
    }
    if !token.owner && ([OWNER, "hook"].contains(&name.as_str()) || name.starts_with(LOGIN)) {
        return Err(Fault::data(format!("the name `{name}` belongs to the page")).hint("use another name"));
    }
    let text = secret(workspace)?;
    let file = if token.owner {
        format!("{LOGIN}{}.json", base32(workspace.world.secret()?, 10))
    } else {
        format!("{name}.json")
    };
    let token = Token { hash: hash(&text), created_at: workspace.world.now().timestamp(), ..token };
    let json = serde_json::to_string(&token).map_err(|e| Fault::data(e.to_string()))? + "\n";
    let folder = folder(workspace, channel);
    workspace.make_dir(&folder, 2)?;
    let dir = openat(CWD, &folder, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .at("open", &folder)?;
    let (temp, mode) = (format!(".{file}.tmp"), Some(Mode::RUSR | Mode::WUSR));
    durable::replace_at(dir, OsStr::new(&file), &temp, json.as_bytes(), mode, workspace.sync()?)
        .at("write", &folder.join(&file))?;
    Ok(text)
}

/// A secret of 256 random bits.
///
/// # Errors
/// `Machine` if the kernel has no random bits.
pub fn secret(workspace: &Workspace) -> Result<String> {
    let mut text = PREFIX.to_owned();
    for _ in 0..4 {
        text += &base32(workspace.world.secret()?, 13);
    }
    Ok(text)
}

/// The token of this text, if it is one of the channel. The comparison takes the same time wherever they differ.
///
/// # Errors
/// If the folder cannot be read.
pub fn find(workspace: &Workspace, channel: &str, text: &str) -> Result<Option<Token>> {
    let wanted = blake3::hash(text.as_bytes());
    let is_wanted = |token: &Token| blake3::Hash::from_hex(&token.hash).is_ok_and(|hash| hash == wanted);
    let oldest = workspace.world.now().minus_days(LOGIN_DAYS);
    let is_valid = |token: &Token| !token.owner || Stamp::from(token.created_at) > oldest;
    Ok(all(workspace, channel)?
        .iter()
        .map(|(_, token)| token)
        .find(|token| is_wanted(token) && is_valid(token))
        .cloned())
}

/// The tokens and logins of a channel, with their files. Cached while the folder is unchanged; files are replaced by
/// renaming.
///
/// # Errors
/// If the folder cannot be read.
pub fn all(workspace: &Workspace, channel: &str) -> Result<Arc<[(PathBuf, Token)]>> {
    let folder = folder(workspace, channel);
    let cache = workspace.caches.of::<TokenCache>();
    cache.0.get(channel, std::slice::from_ref(&folder), workspace.world.now(), || read(&folder))
}

fn read(folder: &Path) -> Result<Arc<[(PathBuf, Token)]>> {
    let mut found = Vec::new();
    for entry in if_there(fs::read_dir(folder)).at("list", folder)?.into_iter().flatten() {
        let path = entry.at("list", folder)?.path();
        if path.extension().is_some_and(|extension| extension == "json")
            && let Some(text) = if_there(fs::read_to_string(&path)).at("read", &path)?
        {
            found.extend(serde_json::from_str(&text).ok().map(|token| (path, token)));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found.into())
}

/// Ends the login with this hash, or all of them. Returns how many.
///
/// # Errors
/// Those of the file system.
pub fn log_out(workspace: &Workspace, channel: &str, hash: Option<&str>) -> Result<usize> {
    let all = all(workspace, channel)?;
    let logins = all.iter().filter(|(_, token)| token.owner && hash.is_none_or(|hash| hash == token.hash));
    let mut count = 0;
    for (path, _) in logins {
        durable::remove(path)?;
        count += 1;
    }
    Ok(count)
}

fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

fn folder(workspace: &Workspace, channel: &str) -> PathBuf {
    workspace.path(FOLDER).join(channel)
}
