//! The default delivery address: `deliver_to` of claw.yaml, else the one that was learned from the owner's first message
//! on a channel: `.claw/deliver_to`. A learned address is a destination; it makes nobody the owner.

use crate::core::config::Config;
use crate::core::event::address::Address;
use crate::core::fault::{Fault, Result};
use crate::store::fs::durable;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The file of the learned address, in `.claw`.
const FILE: &str = "deliver_to";

/// A learned address. It counts only while its channel has this type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedHome {
    /// The address.
    pub address: Address,
    /// The type of its channel.
    #[serde(rename = "type")]
    pub kind: String,
    /// The account of its channel.
    pub account: String,
}

/// The learned address of the workspace in `root`, under these settings.
#[must_use]
pub fn learned(root: &Path, config: &Config) -> Option<LearnedHome> {
    let text = fs::read_to_string(root.join(".claw").join(FILE)).ok()?;
    let home: LearnedHome = serde_json::from_str(&text).ok()?;
    let (_, kind) = config.channels.get(home.address.channel())?;
    (kind == home.kind).then_some(home)
}

/// Learns an address, unless one is known; durable on return. True if it was learned now.
///
/// # Errors
/// Those of the file system.
pub fn learn(root: &Path, home: &LearnedHome, config: &Config) -> Result<bool> {
    if config.deliver_to.is_some() || learned(root, config).is_some() {
        return Ok(false);
    }
    forget(root)?;
    let dir = root.join(".claw");
    let text = serde_json::to_string(home).map_err(|e| Fault::data(e.to_string()))? + "\n";
    durable::publish(&dir, FILE, &dir, text.as_bytes(), config.sync)
}

/// Forgets the learned address.
///
/// # Errors
/// Those of the file system.
pub fn forget(root: &Path) -> Result<()> {
    durable::remove(&root.join(".claw").join(FILE))
}
