//! Pairings: `.claw/pairing/approved/*.json`, one file per paired sender, each bound to a channel's type and account.
//! Agents cannot read the folder. Moving a file from `pending/` to `approved/` approves it.

use crate::core::channel::policy::PairedAs;
use crate::core::event::address::Address;
use crate::core::fault::{Fault, Result};
use crate::store::fs::At;
use crate::store::fs::if_there;
use crate::store::workspace::Workspace;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;

/// The folder in the workspace.
pub const FOLDER: &str = ".claw/pairing";
/// The folder of approved pairings.
const APPROVED: &str = "approved";

/// A channel with its account at the other side. A pairing of another one does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelAccount {
    /// The channel's name.
    pub channel: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The account.
    pub account: String,
}

/// A paired sender, or one that asks to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairing {
    /// The sender.
    pub address: Address,
    /// The channel that it is bound to.
    #[serde(flatten)]
    pub account: ChannelAccount,
    /// The code that has paired it, or will.
    pub code: String,
    /// When the file was written.
    pub at: Timestamp,
    /// Whether the sender is the owner.
    #[serde(default)]
    pub owner: bool,
}

/// The rank of a sender by the approved pairings of this account.
///
/// # Errors
/// If they cannot be read.
pub fn rank(workspace: &Workspace, account: &ChannelAccount, sender: &Address) -> Result<Option<PairedAs>> {
    let own = approved(workspace)?.into_iter().filter(|(_, one)| one.account == *account && one.address == *sender);
    Ok(own
        .map(|(_, one)| if one.owner { PairedAs::Owner } else { PairedAs::Contact })
        .max_by_key(|rank| *rank == PairedAs::Owner))
}

/// The approved pairings, with their files.
///
/// # Errors
/// If the folder cannot be read. A file that is not a pairing is ignored, with a message.
pub fn approved(workspace: &Workspace) -> Result<Vec<(PathBuf, Pairing)>> {
    read(workspace, APPROVED)
}

fn read(workspace: &Workspace, folder: &str) -> Result<Vec<(PathBuf, Pairing)>> {
    let dir = workspace.path(FOLDER).join(folder);
    let mut found = Vec::new();
    for entry in if_there(fs::read_dir(&dir)).at("list", &dir)?.into_iter().flatten() {
        let path = entry.at("list", &dir)?.path();
        let Some(text) = if_there(fs::read_to_string(&path)).at("read", &path)? else { continue };
        match serde_json::from_str(&text) {
            Ok(pairing) => found.push((path, pairing)),
            Err(e) => {
                workspace.world.say(&Fault::data(format!("{} is not a pairing: {e}", path.display())).to_string())
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}
