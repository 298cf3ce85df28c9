//! `claw channels add TYPE`

use crate::channel;
use crate::command::terminal::{change, dialog, out};
use crate::core::config::edit;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::agent::secrets;
use crate::store::workspace::{Workspace, key_file, settings_file};

/// Set up a channel with a bot's token: check it, write it to a key file, show the change of claw.yaml
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The type of channel
    #[arg(value_name = "TYPE", value_parser = ["telegram"])]
    kind: String,
    /// The channel's name; default: its type
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The address of the service, if it is not the official one
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Write claw.yaml without a question
    #[arg(short, long)]
    yes: bool,
}

/// Adds a channel. The token is typed without echo, or read from stdin.
///
/// # Errors
/// `Usage` if the channel exists; `Config` for a token that the service refuses, or that another channel has;
/// `Unavailable` without a network.
pub(super) fn run(args: &Args, workspace: &Workspace) -> Result<u8> {
    let name = args.name.as_deref().unwrap_or(&args.kind);
    if !workspace.is_trusted {
        return Err(
            Fault::config("channels are not used: this workspace is not trusted").hint("run `claw trust` in it")
        );
    }
    let old = settings_file::read(workspace)?;
    let key = |field: &str| ["channels", name, field].map(ToOwned::to_owned).to_vec();
    if edit::get(&old, &key("")[..2]).is_some() {
        return Err(Fault::new(Kind::Usage, format!("claw.yaml has a channel `{name}` already"))
            .hint("--name gives another bot a name of its own; a new token belongs into the file that it names"));
    }
    let file = key_file::file(&format!("{name}.token"));
    let texts = [
        ("type", (name != args.kind).then_some(args.kind.as_str())),
        ("token_file", Some(file.as_str())),
        ("base_url", args.base_url.as_deref()),
    ];
    let mut new = old.clone();
    for (field, value) in texts {
        if let Some(value) = value {
            new = edit::set(&new, &key(field), &value.into())?;
        }
    }
    // A bad name or URL is reported before the token is asked for.
    settings_file::check(&new)?;
    let typed = if dialog::can_ask() { dialog::secret("Token of @BotFather, not shown: ")? } else { out::stdin()? };
    let token = secrets::cleaned(&typed).unwrap_or_default();
    refuse_known(workspace, &token)?;
    let account = channel::identify(workspace, (name, &args.kind), args.base_url.as_deref(), &token)?;
    out::message(&format!("the bot is {account}"));
    key_file::write(workspace, &file, &token)?;
    if !change::write(workspace, &old, &new, dialog::can_ask() && !args.yes)? {
        key_file::remove(workspace, &file)?;
        return Err(dialog::left());
    }
    out::message(&format!("the token is in {file}, which only you can read"));
    out::message(&format!("next: claw pair invite {name} --owner, and claw listen {name} (or claw supervise)"));
    Ok(0)
}

/// Refuses the token of another channel: two pollers of one bot disturb each other.
fn refuse_known(workspace: &Workspace, token: &str) -> Result<()> {
    let config = workspace.config()?;
    let mut others = config.channels.named.iter().filter_map(|(name, settings)| {
        let own = secrets::channel_token(workspace, name, settings).ok().flatten()?;
        (own == token).then_some(name)
    });
    match others.next() {
        Some(other) => Err(Fault::config(format!("channels.{other} has this token: one bot is one channel"))),
        None => Ok(()),
    }
}
