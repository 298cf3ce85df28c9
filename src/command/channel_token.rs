//! `claw channels token NAME`

use crate::channel::web::KIND;
use crate::command::Here;
use crate::command::terminal::out;
use crate::core::fault::{Fault, Result};
use crate::store::agent::definitions;
use crate::store::channel::tokens::{self, Token};
use crate::store::fs::durable;

/// Make a token for a program, and print it once; a token of the same name ends
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The program sees the events of everybody
    #[arg(long)]
    observe: bool,
    /// The agents among which the program may choose
    #[arg(long, value_name = "AGENT", value_delimiter = ',')]
    agents: Vec<String>,
    /// Remove the token instead
    #[arg(long, conflicts_with_all = ["observe", "agents"])]
    remove: bool,
    /// The channel of type web
    #[arg(long, value_name = "CHANNEL", default_value = KIND)]
    channel: String,
    /// The name: the program's address is web:NAME
    #[arg(value_name = "NAME")]
    name: String,
}

/// Makes a token and prints it.
///
/// # Errors
/// `Config` if there is no such channel; `Data` for an unknown agent or an invalid name.
pub fn run(args: &Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    let config = workspace.config()?;
    if config.channels.get(&args.channel).is_none_or(|(_, kind)| kind != KIND) {
        return Err(Fault::config(format!("claw.yaml has no channel `{}` of type web", args.channel.escape_debug()))
            .hint("add `web: {}` below `channels`"));
    }
    if args.remove {
        let all = tokens::all(&workspace, &args.channel)?;
        let Some((path, _)) = all.iter().find(|(_, token)| !token.owner && token.name == args.name) else {
            return Err(Fault::data(format!("there is no token `{}`", args.name.escape_debug())));
        };
        durable::remove(path)?;
        return Ok(0);
    }
    if let Some(agent) = args.agents.iter().find(|agent| !definitions::has_agent(&workspace, agent)) {
        return Err(definitions::unknown(&workspace, agent));
    }
    let token =
        Token { name: args.name.clone(), observe: args.observe, agents: args.agents.clone(), ..Token::default() };
    out::line(&tokens::create(&workspace, &args.channel, token)?)?;
    Ok(0)
}
