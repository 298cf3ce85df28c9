//! `claw pair`

use crate::channel;
use crate::command::Here;
use crate::command::terminal::out;
use crate::core::channel::policy::Policy;
use crate::core::event::address::Address;
use crate::core::event::stamp::{SECOND, Stamp};
use crate::core::fault::{Fault, Kind, Result};
use crate::store::channel::pairing::{self, ChannelAccount, Invitation, Pairing};
use crate::store::workspace::Workspace;
use crate::world;
use serde_json::{Value, json};

/// Pair the senders of channels: invite, approve, list and revoke them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A pairing counts for its channel's type and account, while the channel's policy is `pairing`. The files are in
.claw/pairing: moving one from pending/ to approved/ approves it, removing it from approved/ revokes it.")]
pub struct Args {
    /// Print JSON: one line for each pairing
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List paired senders, those that wait for approval, and open invitations [default]
    List,
    /// Print a code: who sends it on the channel first, within one hour, is paired
    Invite {
        /// The channel
        #[arg(value_name = "CHANNEL")]
        channel: String,
        /// The sender becomes the owner: it may use owner commands, and all tools
        #[arg(long)]
        owner: bool,
    },
    /// Approve the sender that has received this code
    Approve {
        /// The code
        #[arg(value_name = "CODE")]
        code: String,
        /// The sender becomes the owner: it may use owner commands, and all tools
        #[arg(long)]
        owner: bool,
    },
    /// Remove the pairing of a sender
    Revoke {
        /// The sender, like telegram:42
        #[arg(value_name = "ADDRESS")]
        address: String,
    },
}

/// Changes or lists pairings.
///
/// # Errors
/// `Data` for an unknown channel, code or address; `Config` if the account of the channel is unknown.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    match args.action.as_ref().unwrap_or(&Action::List) {
        Action::List => list(&workspace, args.json)?,
        Action::Invite { channel, owner } => invite(&workspace, channel, *owner, args.json)?,
        Action::Approve { code, owner } => {
            let pairing = pairing::approve(&workspace, code, *owner)?;
            let rank = if *owner { " as the owner" } else { "" };
            out::message(&format!("{} is paired{rank}", pairing.address));
            if args.json {
                out::json(&row("approved", &pairing))?;
            }
        }
        Action::Revoke { address } => {
            let address = Address::parse(address)?;
            let removed = pairing::revoke(&workspace, &address)?;
            let Some(last) = removed.last() else {
                return Err(Fault::data(format!("{address} is not paired")).hint("`claw pair list` shows all"));
            };
            out::message(&format!("{address} is not paired any more"));
            if args.json {
                out::json(&row("revoked", last))?;
            }
        }
    }
    Ok(0)
}

/// A pairing in JSON.
fn row(state: &str, pairing: &Pairing) -> Value {
    let Pairing { address, owner, at, .. } = pairing;
    let mut row = json!({"state": state, "address": address, "owner": owner, "at": at});
    if let Some(since) = pairing.unreachable {
        row["unreachable_since"] = json!(since);
    }
    row
}

fn invite(workspace: &Workspace, name: &str, owner: bool, json: bool) -> Result<()> {
    let config = workspace.config()?;
    let Some((settings, kind)) = config.channels.get(name) else { return Err(channel::unknown(&config, name)) };
    let Some(listener) = channel::listener(&config, name) else {
        return Err(Fault::data(format!("channel `{name}` does not receive messages")));
    };
    if settings.policy != Policy::Pairing {
        let fault = Fault::new(Kind::Config, format!("pairings do not count on channel `{name}`"));
        return Err(fault.hint(format!("its policy must be `pairing`: channels.{name}.policy in claw.yaml")));
    }
    let account = channel::account(workspace, name)?;
    let account = ChannelAccount { channel: name.to_owned(), kind: kind.to_owned(), account };
    let invitation = pairing::invite(workspace, account, owner)?;
    if json {
        let Invitation { code, at, .. } = invitation;
        return out::json(&json!({"state": "invited", "channel": name, "code": code, "owner": owner, "at": at}));
    }
    out::line(&(listener.invitation)(workspace, name, settings, &invitation.code))?;
    out::message("the code is good once, for one hour");
    Ok(())
}

fn list(workspace: &Workspace, json: bool) -> Result<()> {
    let now = workspace.world.now();
    let print = |state: &str, pairing: &Pairing| {
        if json {
            return out::json(&row(state, pairing));
        }
        let rank = if pairing.owner { ", owner" } else { "" };
        let since = world::local(Stamp::from(pairing.at));
        let code = if state == "pending" { format!(", claw pair approve {}", pairing.code) } else { String::new() };
        let unreachable =
            pairing.unreachable.map(|at| format!(", cannot be written to since {}", world::local(at.into())));
        let unreachable = unreachable.unwrap_or_default();
        out::line(&format!("{state:<9} {}{rank}, since {since}{code}{unreachable}", out::row(pairing.address.as_str())))
    };
    for (_, pairing) in pairing::approved(workspace)? {
        let config = workspace.config()?;
        let is_current =
            config.channels.get(&pairing.account.channel).is_some_and(|(_, kind)| kind == pairing.account.kind)
                && channel::account(workspace, &pairing.account.channel)
                    .is_ok_and(|account| account == pairing.account.account);
        print(if is_current { "approved" } else { "void" }, &pairing)?;
    }
    for (_, pairing) in pairing::pending(workspace)? {
        print("pending", &pairing)?;
    }
    for (_, invitation) in pairing::invitations(workspace)? {
        let (channel, left) = (
            &invitation.account.channel,
            (Stamp::from(invitation.at).plus_seconds(pairing::VALID + 59).0 - now.0) / (60 * SECOND),
        );
        if json {
            out::json(
                &json!({"state": "invited", "channel": channel, "owner": invitation.owner, "at": invitation.at}),
            )?;
        } else {
            out::line(&format!("{:<9} {channel}: a code that is valid for {left} min", "invited"))?;
        }
    }
    Ok(())
}
