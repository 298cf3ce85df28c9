//! Accepting a received message: the rules, the event's id, its sender and destination, and the durable publication. It
//! is the only way from a channel into the inbox.
//!
//! The channel's own code names the sender and the place; everything else of an event is set here. No field of a message
//! reaches the event but its text, its files and, below `meta.channel`, its labels.

use crate::channel::account;
use crate::core::channel::code;
use crate::core::channel::inbound::{Inbound, META, Place, derived_id};
use crate::core::channel::policy::{self, GroupFacts, PairedAs, Policy, Refusal, SenderFacts};
use crate::core::channel::settings::{ChannelSettings, PairingMode};
use crate::core::event::address::Address;
use crate::core::event::id::{Derived, Id};
use crate::core::event::origin::SenderClass;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, EventKind, MAX_BYTES};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::base32::hash32;
use crate::store::channel::pairing::{self, ChannelAccount};
use crate::store::channel::seen::{self, SeenMessage};
use crate::store::fs::contained;
use crate::store::queue::{locate, publish};
use crate::store::workspace::Workspace;
use crate::store::workspace::home::{self, LearnedHome};
use crate::store::workspace::mailbox::Mailbox;
use std::path::{Component, Path};

/// The longest platform id, in bytes.
const MAX_ID: usize = 256;
/// An event's id is derived from the platform's instant only if that is at most this old, in days: later, a finished
/// event may have been pruned.
const DERIVED_DAYS: u32 = 2;
/// How far the platform's clock may be ahead, in seconds.
const AHEAD: i64 = 600;
/// The folder of received files.
const FILES: &str = "files";

/// The result of accepting a message. In every case the platform may be told that the message has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is an event, durable.
    Published(Id),
    /// It was one before.
    Repeated(Id),
    /// It is no event; no model is asked.
    Refused(Refusal),
    /// It was the code of an invitation: the sender is paired, and the answer with this id says so.
    Paired(Id),
}

/// Applies the rules of `channel` to a message, and publishes its event. Durable on return.
///
/// # Errors
/// `Config` if the channel is not in the settings or its account is unknown; `Machine`. The message must then not be
/// acknowledged.
#[expect(clippy::needless_pass_by_value, reason = "a received message is accepted once")]
pub fn accept(workspace: &Workspace, channel: &str, inbound: Inbound) -> Result<Accepted> {
    let config = workspace.config()?;
    let Some((settings, kind)) = config.channels.get(channel) else {
        return Err(Fault::config(format!("claw.yaml has no channel `{channel}`")));
    };
    let (from, reply_to) = match addresses(channel, &inbound) {
        Ok(addresses) => addresses,
        Err(refusal) => return Ok(Accepted::Refused(refusal)),
    };
    let account =
        ChannelAccount { channel: channel.to_owned(), kind: kind.to_owned(), account: account(workspace, channel)? };
    let facts = facts(workspace, settings, &account, &from, &inbound)?;
    let decided = policy::decide(settings.policy, settings.members, &facts);
    // An owner's invitation may also be for a contact.
    if settings.policy == Policy::Pairing
        && inbound.place == Place::Direct
        && !inbound.is_bot
        && let Some(code) = code::in_text(&inbound.text)
        && pairing::redeem(workspace, &account, &from, &code)?
    {
        let id = answer_stranger(workspace, channel, &inbound, &reply_to, PAIRED.to_owned())?;
        learn_home(workspace, &account, &from, &inbound, &reply_to)?;
        return Ok(Accepted::Paired(id));
    }
    let class = match decided {
        Ok(class) => class,
        Err(refusal) => {
            let may_ask = settings.policy == Policy::Pairing && settings.pairing == PairingMode::Ask;
            if refusal == Refusal::NotAllowed && may_ask && inbound.place == Place::Direct {
                let message = hash32(&inbound.key(), 16);
                if let Some(code) = pairing::ask(workspace, &account, &from, &message)? {
                    let text = format!("I do not know you yet. Ask my owner to run: claw pair approve {code}");
                    answer_stranger(workspace, channel, &inbound, &reply_to, text)?;
                }
            }
            return Ok(Accepted::Refused(refusal));
        }
    };
    if let Err(refusal) = check(workspace, &inbound) {
        return Ok(Accepted::Refused(refusal));
    }
    let accepted = publish(workspace, channel, &inbound, (&from, &reply_to), class)?;
    if class == SenderClass::Owner && !matches!(accepted, Accepted::Refused(_)) {
        learn_home(workspace, &account, &from, &inbound, &reply_to)?;
    }
    Ok(accepted)
}

/// Whether the sender of a message may talk here; nothing is counted or stored.
///
/// # Errors
/// As [`accept`].
pub fn may_talk(workspace: &Workspace, channel: &str, inbound: &Inbound) -> Result<bool> {
    let config = workspace.config()?;
    let Some((settings, kind)) = config.channels.get(channel) else { return Ok(false) };
    let Ok((from, _)) = addresses(channel, inbound) else { return Ok(false) };
    let account =
        ChannelAccount { channel: channel.to_owned(), kind: kind.to_owned(), account: account(workspace, channel)? };
    let facts = facts(workspace, settings, &account, &from, inbound)?;
    Ok(policy::decide(settings.policy, settings.members, &facts).is_ok())
}

/// The answer to the code of an invitation.
const PAIRED: &str = "You are paired: send me a message.";

/// Learns the default destination from a direct message of the owner.
fn learn_home(
    workspace: &Workspace,
    account: &ChannelAccount,
    from: &Address,
    inbound: &Inbound,
    reply_to: &Address,
) -> Result<()> {
    let is_owner = || -> Result<bool> {
        let is_paired = pairing::rank(workspace, account, from)? == Some(PairedAs::Owner);
        Ok(is_paired || workspace.class_of(from)? == SenderClass::Owner)
    };
    if inbound.place != Place::Direct || workspace.home()?.is_some() || !is_owner()? {
        return Ok(());
    }
    let ChannelAccount { kind, account, .. } = account.clone();
    let learned = LearnedHome { address: reply_to.clone(), kind, account };
    home::learn(&workspace.root, &learned, &*workspace.config()?).map(drop)
}

/// Publishes an answer to a message that is no event; no model is asked. A repeated message has one answer.
fn answer_stranger(
    workspace: &Workspace,
    channel: &str,
    inbound: &Inbound,
    reply_to: &Address,
    text: String,
) -> Result<Id> {
    let (id, _) = event_id(workspace, channel, inbound)?;
    let id = id.derive(Derived::Notice, 1);
    if !locate::of(workspace, Mailbox::Outbox, &id)?.is_empty() {
        return Ok(id);
    }
    let from = Address::parse("claw:pairing")?;
    let draft = Draft { kind: EventKind::Notice, ..Draft::message(text) };
    let event = draft.complete(id.clone(), workspace.world.now(), &from, reply_to);
    publish::outbox(workspace, &event)?;
    Ok(id)
}

/// The sender's address and that of the answer, both within the channel.
fn addresses(channel: &str, inbound: &Inbound) -> std::result::Result<(Address, Address), Refusal> {
    let address = |rest: &str, what: &str| match Address::parse(&format!("{channel}:{rest}")) {
        // `*` stands for every sender in lists.
        Ok(address) if rest.trim() == rest && rest != "*" => Ok(address),
        _ => Err(Refusal::Invalid(format!("its {what} is not valid in an address"))),
    };
    if inbound.platform_id.is_empty() || inbound.platform_id.len() > MAX_ID {
        return Err(Refusal::Invalid(format!("its id must have 1 to {MAX_ID} bytes")));
    }
    Ok((address(&inbound.sender, "sender")?, address(&inbound.reply_to, "place")?))
}

fn facts(
    workspace: &Workspace,
    settings: &ChannelSettings,
    account: &ChannelAccount,
    from: &Address,
    inbound: &Inbound,
) -> Result<SenderFacts> {
    let group = match &inbound.place {
        Place::Direct => None,
        Place::Group { id, is_mentioned, is_reply } => Some(GroupFacts {
            is_named: settings.names_group(&account.channel, id),
            is_mentioned: *is_mentioned,
            is_reply: *is_reply,
        }),
    };
    let class = inbound.authenticated.max(Some(workspace.class_of(from)?));
    Ok(SenderFacts {
        is_bot: inbound.is_bot,
        group,
        is_owner: class == Some(SenderClass::Owner),
        is_allowed: inbound.authenticated >= Some(SenderClass::Known) || settings.allows(&account.channel, from.rest()),
        is_known: class == Some(SenderClass::Known),
        pairing: pairing::rank(workspace, account, from)?,
    })
}

/// Checks the text and the files of a message from a sender that may talk.
fn check(workspace: &Workspace, inbound: &Inbound) -> std::result::Result<(), Refusal> {
    if inbound.text.trim().is_empty() && inbound.attachments.is_empty() {
        return Err(Refusal::Empty);
    }
    let quoted = inbound.quoted.as_ref().map_or(0, |quote| quote.text.len());
    // Escapes may double a text.
    if (inbound.text.len() + quoted) as u64 > MAX_BYTES / 4 {
        return Err(Refusal::Invalid(format!("it has more than {} bytes", MAX_BYTES / 4)));
    }
    for path in &inbound.attachments {
        let path = Path::new(path);
        let is_plain = path.starts_with(FILES) && path.components().all(|part| matches!(part, Component::Normal(_)));
        if !is_plain
            || contained::read(&workspace.root, path, 0).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
        {
            return Err(Refusal::Invalid(format!("{} is not a file below {FILES}/", path.display())));
        }
    }
    Ok(())
}

fn publish(
    workspace: &Workspace,
    channel: &str,
    inbound: &Inbound,
    (from, reply_to): (&Address, &Address),
    class: SenderClass,
) -> Result<Accepted> {
    let now = workspace.world.now();
    let (id, seen) = event_id(workspace, channel, inbound)?;
    if seen == Seen::Changed {
        return Ok(Accepted::Refused(Refusal::Invalid("its id was used for another text".to_owned())));
    }
    let is_known = match seen {
        Seen::No | Seen::Changed => Mailbox::Inbox.done(workspace, &id).exists(),
        Seen::Yes => !locate::of(workspace, Mailbox::Inbox, &id)?.is_empty(),
    };
    if is_known {
        return Ok(Accepted::Repeated(id));
    }
    let draft = Draft {
        from: Some(from.clone()),
        reply_to: Some(reply_to.clone()),
        attachments: inbound.attachments.clone(),
        agent: inbound.agent.clone(),
        session: inbound.session.clone(),
        ..Draft::message(inbound.content(workspace.world.random()))
    };
    let mut event = draft.complete(id.clone(), now, from, reply_to);
    event.origin.class = Some(class);
    event.origin.taint = inbound.taint(channel);
    event.meta.insert(META.to_owned(), inbound.meta());
    match publish::inbox(workspace, &event) {
        Ok(true) => Ok(Accepted::Published(id)),
        // An event that has moved on meanwhile is recognised by its id.
        Ok(_) => Ok(Accepted::Repeated(id)),
        Err(fault) if fault.kind == Kind::Data => Ok(Accepted::Refused(Refusal::Invalid(fault.message))),
        Err(fault) => Err(fault),
    }
}

/// Whether a message was received before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    No,
    Yes,
    /// With another text.
    Changed,
}

/// The id of the event of a message: derived from the platform's instant, or chosen at the first receipt.
fn event_id(workspace: &Workspace, channel: &str, inbound: &Inbound) -> Result<(Id, Seen)> {
    let now = workspace.world.now();
    let is_stable = |at: &Stamp| *at > now.minus_days(DERIVED_DAYS) && *at < now.plus_seconds(AHEAD);
    if let Some(id) = inbound.at.filter(is_stable).and_then(|at| derived_id(channel, inbound, at)) {
        return Ok((id, Seen::No));
    }
    let seen = seen::look_up(workspace, channel, &inbound.key(), &inbound.text)?;
    Ok(match seen {
        SeenMessage { id, is_changed: true, .. } => (id, Seen::Changed),
        SeenMessage { id, is_repeat: true, .. } => (id, Seen::Yes),
        SeenMessage { id, .. } => (id, Seen::No),
    })
}
