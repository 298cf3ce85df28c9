//! `claw send [TEXT|-]`

use crate::command::Here;
use crate::command::terminal::out;
use crate::core::event::address::Address;
use crate::core::event::id::Id;
use crate::core::event::session_name;
use crate::core::event::stamp::Stamp;
use crate::core::event::{Draft, Event};
use crate::core::fault::{Fault, Kind, Result};
use crate::store::agent::definitions;
use crate::store::queue::{locate, publish, spool};
use crate::store::workspace::Workspace;
use crate::store::workspace::clock;
use crate::store::workspace::mailbox::Mailbox;
use crate::world;
use jiff::civil;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

/// Put a message into the inbox, and print its id once it is durable
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The sender, channel:rest [default: cli:$USER]
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// The destination of the answer [default: the sender; with --in or --at, without --from, deliver_to]
    #[arg(long, value_name = "ADDRESS")]
    reply_to: Option<String>,
    /// The agent that answers
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// The session
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// Process it after this time: 10m, 1h30m, 2d
    #[arg(long = "in", value_name = "SPAN", conflicts_with = "at")]
    after: Option<String>,
    /// Process it at this time: 2026-11-21T09:00, 09:00, or with a time zone
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The event's id, to repeat a send that may not be durable
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The message; `-` reads it from stdin
    #[arg(value_name = "TEXT|-")]
    text: Vec<String>,
}

/// Publishes a message and prints its id.
///
/// # Errors
/// `Data` for a message that can never be answered; `Machine`, with the id, if the message may not be durable.
pub fn run(args: Args, here: Here) -> Result<u8> {
    let workspace = here.open()?;
    let id = send(&workspace, args)?;
    out::line(id.as_str())?;
    Ok(0)
}

fn send(workspace: &Workspace, args: Args) -> Result<Id> {
    let due = due(workspace, args.after.as_deref(), args.at.as_deref())?;
    let config = workspace.config()?;
    if let Some(agent) = args.agent.as_deref().filter(|agent| !definitions::has_agent(workspace, agent)) {
        return Err(definitions::unknown(workspace, agent));
    }
    if let Some(name) = &args.session {
        let full = session_name::qualify(name, args.agent.as_deref(), &config.default_agent)?;
        let agent = session_name::agent(&full);
        if !definitions::has_agent(workspace, agent) {
            return Err(definitions::unknown(workspace, agent));
        }
    }
    let from = args.from.as_deref().map(Address::parse).transpose()?;
    let reply_to = match args.reply_to.as_deref() {
        Some(address) => Some(Address::parse(address)?),
        // The user at this terminal gets the answer; a later one goes to where the user is then.
        None if from.is_none() && due.is_none() => Some(workspace.local_user()?),
        None => None,
    };
    let draft = Draft {
        from,
        reply_to,
        agent: args.agent,
        session: args.session,
        not_before: due.map(Stamp::timestamp),
        ..Draft::message(out::text(&args.text)?)
    };
    let id = match (&args.id, due) {
        (Some(id), _) => Id::parse(id)?,
        // The id of a scheduled message has its due time; the clock of ids does not advance to it.
        (None, Some(due)) => Id::new(due, workspace.world.random()),
        (None, None) => clock::next_id(workspace)?,
    };
    let event = publish::complete(workspace, draft, id.clone())?;
    for found in locate::of(workspace, Mailbox::Inbox, &id)? {
        let is_same = |known: Event| known.content == event.content && known.reply_to == event.reply_to;
        if !spool::read_event(&found.path, &id).is_ok_and(is_same) {
            return Err(
                Fault::data(format!("{id} is the id of another event")).hint(format!("claw why {}", id.short()))
            );
        }
    }
    publish::inbox(workspace, &event).map_err(|fault| match fault.kind {
        Kind::Machine => {
            let message = format!("{id}: {}", fault.message);
            Fault { message, ..fault }.hint(format!("send it again with --id {id}"))
        }
        _ => fault,
    })?;
    Ok(id)
}

/// The instant of `--in` or `--at`; `None` if it is past.
fn due(workspace: &Workspace, after: Option<&str>, at: Option<&str>) -> Result<Option<Stamp>> {
    let now = workspace.world.now();
    let usage = |noun: &str, text: &str| Fault::new(Kind::Usage, format!("`{}` is not a {noun}", text.escape_debug()));
    if let Some(text) = after {
        let span = text.replace('d', "d ");
        let whole = span.split_whitespace().try_fold(SignedDuration::ZERO, |sum, part| match part.strip_suffix('d') {
            Some(days) => {
                days.parse().ok().map(|days: i64| sum + SignedDuration::from_hours(24 * days.clamp(0, 36_500)))
            }
            None => part.parse::<SignedDuration>().ok().map(|span| sum + span),
        });
        let whole = whole.filter(|s| !s.is_negative() && !s.is_zero());
        let whole = whole.ok_or_else(|| usage("duration", text).hint("for example 10m, 1h30m or 2d"))?;
        return Ok(Some(now.plus_seconds(whole.as_secs())));
    }
    let Some(text) = at else { return Ok(None) };
    let zone = world::zone();
    let here = now.timestamp().to_zoned(zone.clone());
    let zoned = || text.parse::<Zoned>().ok().map(|at| at.timestamp());
    // The parser of civil times ignores trailing text.
    let is_civil = text.bytes().all(|b| b.is_ascii_digit() || b"-:.T ".contains(&b));
    let civil = || zone.to_timestamp(text.parse::<civil::DateTime>().ok()?).ok();
    let of_day = || {
        let time: civil::Time = text.parse().ok()?;
        let today = here.date().to_datetime(time).to_zoned(zone.clone()).ok()?;
        if today > here { Some(today.timestamp()) } else { today.checked_add(1.day()).ok().map(|at| at.timestamp()) }
    };
    let instant = text.parse::<Timestamp>().ok().or_else(zoned);
    let instant = instant.or_else(|| if is_civil { civil().or_else(of_day) } else { None });
    let instant = instant
        .ok_or_else(|| usage("time", text).hint("for example 09:00, 2026-11-21T09:00 or 2026-11-21T09:00:00Z"))?;
    Ok(Some(Stamp::from(instant)).filter(|due| *due > now))
}
