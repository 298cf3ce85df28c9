//! `claw channels [token]`

mod add;

use crate::command::terminal::out;
use crate::command::{Here, channel_token};
use crate::core::event::stamp::Stamp;
use crate::core::fault::Result;
use crate::report::channels::{self, ChannelReport};
use crate::world;
use jiff::Timestamp;

/// List the channels: state, last exchange, waiting messages, next try
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Print JSON: one line for each channel
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Add(add::Args),
    Token(channel_token::Args),
}

/// Prints the channels, or adds one.
///
/// # Errors
/// If `claw.yaml` is invalid or the outbox cannot be listed; as adding a channel does.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    if let Some(Action::Token(args)) = &args.action {
        return channel_token::run(args, here);
    }
    let workspace = here.look()?;
    if let Some(Action::Add(args)) = &args.action {
        return add::run(args, &workspace);
    }
    let all = channels::all(&workspace)?;
    if all.is_empty() && !args.json {
        out::message("there are no channels: set one up below `channels` in claw.yaml");
    }
    for channel in all {
        if args.json {
            out::json(&channel)?;
        } else {
            print(&channel)?;
        }
    }
    Ok(0)
}

fn print(channel: &ChannelReport) -> Result<()> {
    let at = |at: Timestamp| world::local(Stamp::from(at));
    let kind = if channel.kind == channel.name { String::new() } else { format!(" ({})", channel.kind) };
    let policy = channel.policy.map(|policy| format!(", {policy}")).unwrap_or_default();
    let since = channel.since.map(|since| format!(" since {}", at(since))).unwrap_or_default();
    let why = if channel.why.is_empty() { String::new() } else { format!(": {}", channel.why) };
    let (name, state) = (&channel.name, channel.state);
    out::line(&out::row(&format!("{name}{kind}{policy}: {state}{since}{why}")))?;
    let mut facts = Vec::new();
    facts.extend(channel.next_try.map(|next| format!("next try {}", at(next))));
    facts.extend(channel.last_in.map(|last| format!("last in {}", at(last))));
    facts.extend(channel.last_out.map(|last| format!("last out {}", at(last))));
    let counts = [
        (channel.accepted, "accepted"),
        (channel.refused, "refused"),
        (channel.waiting as u64, "waiting"),
        (channel.unknown as u64, "perhaps sent"),
        (channel.failed as u64, "failed"),
    ];
    facts.extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    if facts.is_empty() { Ok(()) } else { out::line(&format!("  {}", facts.join(", "))) }
}
