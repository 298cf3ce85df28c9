//! `claw page`

use crate::channel::web::{self, KIND};
use crate::command::Here;
use crate::command::terminal::out;
use crate::core::fault::{Fault, Result};
use crate::process::own;

/// Print a link that logs a browser into the page; it works once, for two minutes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The page is served by `claw listen web`, after `web: {}` was added below `channels` in claw.yaml. This command asks that
listener before it prints the link, so that no other program on its port gets the code.")]
pub struct Args {
    /// Open the link in the browser
    #[arg(long, conflicts_with_all = ["host", "logout"])]
    open: bool,
    /// Print the link for this name of a tunnel or a proxy; `hosts` of the channel lists it
    #[arg(long, value_name = "NAME", conflicts_with = "logout")]
    host: Option<String>,
    /// End all logins of pages
    #[arg(long)]
    logout: bool,
    /// The channel of type web
    #[arg(value_name = "CHANNEL", default_value = KIND)]
    channel: String,
}

/// Prints the link, opens it, or ends all logins.
///
/// # Errors
/// `Config` if there is no such channel; `Unavailable` if its listener does not run.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    let config = workspace.config()?;
    let Some((settings, KIND)) = config.channels.get(&args.channel) else {
        return Err(Fault::config(format!("claw.yaml has no channel `{}` of type web", args.channel.escape_debug()))
            .hint("add `web: {}` below `channels`, then run `claw listen web`"));
    };
    if args.logout {
        let count = web::log_out(&workspace, &args.channel)?;
        out::message(&format!("logins ended: {count}"));
        return Ok(0);
    }
    let link = web::link(&workspace, &args.channel, settings, args.host.as_deref())?;
    if args.open {
        own::open_in_browser(&web::open_file(&workspace, &link)?)?;
    } else {
        out::line(&link.url)?;
    }
    Ok(0)
}
