//! Pairings, below `.claw/pairing`, which agents cannot read: `approved/` has one file for each paired sender, bound to
//! its channel's type and account; `invites/` the codes of invitations; `pending/` the senders that wait for approval.
//! Moving a file from `pending/` to `approved/` approves it.

use crate::core::channel::code;
use crate::core::channel::policy::PairedAs;
use crate::core::event::address::Address;
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Result};
use crate::store::fs::{At, durable, if_there};
use crate::store::lock::NamedLock;
use crate::store::workspace::{Workspace, home};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// The folder in the workspace.
pub const FOLDER: &str = ".claw/pairing";
/// The folder of approved pairings.
const APPROVED: &str = "approved";
/// The folder of senders that wait for approval.
const PENDING: &str = "pending";
/// The folder of invitations.
const INVITES: &str = "invites";
/// How long a code is valid, in seconds.
pub const VALID: i64 = 3600;
/// The most senders of one channel that may wait for approval.
const MAX_PENDING: usize = 3;
/// The lock on changes.
const LOCK: &str = "pairing";

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
    /// When the code was made.
    pub at: Timestamp,
    /// Whether the sender is the owner.
    #[serde(default)]
    pub owner: bool,
    /// A hash of the message that asked for it: its repeat gets the same answer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asked_by: String,
    /// Since when the platform refuses messages to it: it has blocked the account, or has gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<Timestamp>,
}

/// An invitation: whoever sends the code first is paired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The channel that it is bound to.
    #[serde(flatten)]
    pub account: ChannelAccount,
    /// The code.
    pub code: String,
    /// When it was made.
    pub at: Timestamp,
    /// Whether it makes the sender the owner.
    pub owner: bool,
}

/// A file of the folder, with its path.
pub type Stored<T> = (PathBuf, T);

/// The rank of a sender by the approved pairings of this account.
///
/// # Errors
/// If they cannot be read.
pub fn rank(workspace: &Workspace, account: &ChannelAccount, sender: &Address) -> Result<Option<PairedAs>> {
    let own = approved(workspace)?.into_iter().filter(|(_, one)| one.account == *account && one.address == *sender);
    let rank = |(_, one): Stored<Pairing>| if one.owner { PairedAs::Owner } else { PairedAs::Contact };
    Ok(own.map(rank).max_by_key(|rank| *rank == PairedAs::Owner))
}

/// The approved pairings. A file that is not a pairing is ignored, with a message.
///
/// # Errors
/// If the folder cannot be read.
pub fn approved(workspace: &Workspace) -> Result<Vec<Stored<Pairing>>> {
    read(workspace, APPROVED)
}

/// The senders that wait for approval, and whose code is valid.
///
/// # Errors
/// If the folder cannot be read.
pub fn pending(workspace: &Workspace) -> Result<Vec<Stored<Pairing>>> {
    Ok(read(workspace, PENDING)?.into_iter().filter(|(_, one): &Stored<Pairing>| is_valid(workspace, one.at)).collect())
}

/// The invitations whose code is valid.
///
/// # Errors
/// If the folder cannot be read.
pub fn invitations(workspace: &Workspace) -> Result<Vec<Stored<Invitation>>> {
    let all = read(workspace, INVITES)?.into_iter();
    Ok(all.filter(|(_, one): &Stored<Invitation>| is_valid(workspace, one.at)).collect())
}

/// Makes an invitation; durable on return.
///
/// # Errors
/// Those of the file system.
pub fn invite(workspace: &Workspace, account: ChannelAccount, owner: bool) -> Result<Invitation> {
    let _lock = NamedLock::wait(workspace, LOCK)?;
    let code = code::of(workspace.world.secret()?);
    let invitation = Invitation { account, code, at: workspace.world.now().timestamp(), owner };
    write(workspace, INVITES, &format!("{}-{}", invitation.account.channel, invitation.code), &invitation)?;
    Ok(invitation)
}

/// Pairs a sender whose message is the code of a valid invitation of this account. Also true for a sender that was
/// paired by this code before: the platform has repeated the message. Durable on return.
///
/// # Errors
/// Those of the file system.
pub fn redeem(workspace: &Workspace, account: &ChannelAccount, sender: &Address, code: &str) -> Result<bool> {
    let _lock = NamedLock::wait(workspace, LOCK)?;
    let own = approved(workspace)?.into_iter().map(|(_, one)| one);
    let own: Vec<Pairing> = own.filter(|one| one.account == *account && one.address == *sender).collect();
    let is_paired = own.iter().any(|one| one.code == code);
    let invitation = invitations(workspace)?.into_iter().find(|(_, one)| one.account == *account && one.code == code);
    let Some((path, Invitation { at, owner, .. })) = invitation else { return Ok(is_paired) };
    if !is_paired {
        let account = account.clone();
        let pairing = Pairing {
            address: sender.clone(),
            account,
            code: code.to_owned(),
            at,
            // The code of a contact does not lower the owner.
            owner: owner || own.iter().any(|one| one.owner),
            asked_by: String::new(),
            unreachable: None,
        };
        write(workspace, APPROVED, &sender.slug(), &pairing)?;
    }
    // Last, so that an interruption does not lose the code.
    remove(workspace, &path)?;
    Ok(true)
}

/// A code for a sender that asks to be paired, once: `None` if it has one already, or too many others wait. `message` is
/// a hash of the sender's message; a repeat of the message gets the same code. Durable on return.
///
/// # Errors
/// Those of the file system.
pub fn ask(workspace: &Workspace, account: &ChannelAccount, sender: &Address, message: &str) -> Result<Option<String>> {
    let _lock = NamedLock::wait(workspace, LOCK)?;
    let own: Vec<Pairing> =
        pending(workspace)?.into_iter().map(|(_, one)| one).filter(|one| one.account == *account).collect();
    if let Some(earlier) = own.iter().find(|one| one.address == *sender) {
        return Ok(Some(earlier.code.clone()).filter(|_| earlier.asked_by == message));
    }
    if own.len() >= MAX_PENDING {
        return Ok(None);
    }
    let (code, at) = (code::of(workspace.world.secret()?), workspace.world.now().timestamp());
    let account = account.clone();
    let pairing = Pairing {
        address: sender.clone(),
        account,
        code: code.clone(),
        at,
        owner: false,
        asked_by: message.to_owned(),
        unreachable: None,
    };
    write(workspace, PENDING, &sender.slug(), &pairing)?;
    Ok(Some(code))
}

/// Approves the sender that waits with this code; durable on return.
///
/// # Errors
/// `Data` if no sender waits with it.
pub fn approve(workspace: &Workspace, code: &str, owner: bool) -> Result<Pairing> {
    let _lock = NamedLock::wait(workspace, LOCK)?;
    let found = pending(workspace)?.into_iter().find(|(_, one)| one.code.eq_ignore_ascii_case(code.trim()));
    let Some((path, pairing)) = found else {
        return Err(Fault::data("no sender waits with this code")
            .hint("`claw pair list` shows them; a code is valid for one hour"));
    };
    let pairing = Pairing { owner, ..pairing };
    write(workspace, APPROVED, &pairing.address.slug(), &pairing)?;
    remove(workspace, &path)?;
    Ok(pairing)
}

/// Removes every pairing of an address, also one that waits, and forgets it as the default destination. Returns the
/// removed pairings.
///
/// # Errors
/// Those of the file system.
pub fn revoke(workspace: &Workspace, address: &Address) -> Result<Vec<Pairing>> {
    let _lock = NamedLock::wait(workspace, LOCK)?;
    let mut removed = Vec::new();
    for folder in [APPROVED, PENDING] {
        let all: Vec<Stored<Pairing>> = read(workspace, folder)?;
        for (path, pairing) in all.into_iter().filter(|(_, one)| one.address == *address) {
            remove(workspace, &path)?;
            removed.push(pairing);
        }
    }
    if home::learned(&workspace.root, &*workspace.config()?).is_some_and(|home| home.address == *address) {
        home::forget(&workspace.root)?;
    }
    Ok(removed)
}

/// Marks an approved sender as one that cannot be written to, or removes the mark. Durable on return.
///
/// # Errors
/// Those of the file system.
pub fn mark(workspace: &Workspace, account: &ChannelAccount, sender: &Address, is_reachable: bool) -> Result<()> {
    let differs =
        |one: &Pairing| one.account == *account && one.address == *sender && one.unreachable.is_none() != is_reachable;
    if !approved(workspace)?.iter().any(|(_, one)| differs(one)) {
        return Ok(());
    }
    let _lock = NamedLock::wait(workspace, LOCK)?;
    let unreachable = (!is_reachable).then(|| workspace.world.now().timestamp());
    for (_, one) in approved(workspace)?.into_iter().filter(|(_, one)| differs(one)) {
        write(workspace, APPROVED, &one.address.slug(), &Pairing { unreachable, ..one })?;
    }
    Ok(())
}

/// Removes codes that are no longer valid.
///
/// # Errors
/// Those of the file system.
pub fn tidy(workspace: &Workspace) -> Result<()> {
    let _lock = NamedLock::wait(workspace, LOCK)?;
    let pending = read(workspace, PENDING)?.into_iter().map(|(path, one): Stored<Pairing>| (path, one.at));
    let invites = read(workspace, INVITES)?.into_iter().map(|(path, one): Stored<Invitation>| (path, one.at));
    let old = pending.chain(invites).filter(|(_, at)| !is_valid(workspace, *at));
    old.collect::<Vec<_>>().iter().try_for_each(|(path, _)| remove(workspace, path))
}

/// A code of the future was made with a wrong clock.
fn is_valid(workspace: &Workspace, at: Timestamp) -> bool {
    let (at, now) = (Stamp::from(at), workspace.world.now());
    at <= now && now < at.plus_seconds(VALID)
}

fn write(workspace: &Workspace, folder: &str, name: &str, value: &impl Serialize) -> Result<()> {
    let dir = workspace.path(FOLDER).join(folder);
    workspace.make_dir(&dir, 2)?;
    let text = serde_json::to_string(value).map_err(|e| Fault::data(e.to_string()))? + "\n";
    durable::replace(&dir, &format!("{name}.json"), text.as_bytes(), workspace.sync()?)
}

fn remove(workspace: &Workspace, path: &Path) -> Result<()> {
    durable::remove(path)?;
    durable::sync_dir(path.parent().unwrap_or(path), workspace.sync()?)
}

fn read<T: DeserializeOwned>(workspace: &Workspace, folder: &str) -> Result<Vec<Stored<T>>> {
    let dir = workspace.path(FOLDER).join(folder);
    let mut found = Vec::new();
    for entry in if_there(fs::read_dir(&dir)).at("list", &dir)?.into_iter().flatten() {
        let path = entry.at("list", &dir)?.path();
        // A file that is being written is hidden.
        if path.extension().is_none_or(|end| end != "json")
            || path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."))
        {
            continue;
        }
        let Some(text) = if_there(fs::read_to_string(&path)).at("read", &path)? else { continue };
        match serde_json::from_str(&text) {
            Ok(value) => found.push((path, value)),
            Err(e) => workspace.world.say(&format!("{} is not a pairing: {e}", path.display())),
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}
