//! The pace of a channel's account: how many messages its platform takes within a time. `.claw/channels/NAME/pace` holds
//! the messages of the last minute, each with its instant and its place, also those that are planned. All processes that
//! send through the account read and change it under one lock. Losing it costs one refused request.

use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::fs::durable;
use crate::store::fs::watch::Watch;
use crate::store::lock::NamedLock;
use crate::store::workspace::Workspace;
use std::fs;

/// The file in the channel's folder.
const FILE: &str = "pace";
/// How far from now messages count, in seconds: the longest time of a rate.
const KEPT: i64 = 60;
/// The longest wait in place, in seconds. A longer one would hold up a thread that other channels need, and a stop.
const NEAR: i64 = 2;

/// So many messages within so many seconds, at most a minute.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// The messages.
    pub count: usize,
    /// The seconds.
    pub seconds: i64,
}

/// Waits until one more message to `place` keeps the rate of the account and those of the place. Messages that wait in
/// several processes have their turns.
///
/// # Errors
/// `Later`, with the wait, if that is longer than 2 s; those of the file system; if the kernel refuses to wait.
pub fn keep(workspace: &Workspace, channel: &str, account: Rate, place: &str, own: &[Rate]) -> Result<()> {
    let at = reserve(workspace, channel, account, place, own)?;
    let watch = Watch::new(&[])?;
    while workspace.world.now() < at {
        watch.wait(&workspace.world, Some(at), None)?;
    }
    Ok(())
}

/// Reserves the first instant at which one more message keeps the rates.
fn reserve(workspace: &Workspace, channel: &str, account: Rate, place: &str, own: &[Rate]) -> Result<Stamp> {
    let folder = workspace.path(super::FOLDER).join(channel);
    workspace.make_dir(&folder, 2)?;
    let _lock = NamedLock::wait(workspace, &format!("pace-{channel}"))?;
    let now = workspace.world.now();
    let text = fs::read_to_string(folder.join(FILE)).unwrap_or_default();
    let mut sent: Vec<(Stamp, &str)> = text.lines().filter_map(parse).filter(|(at, _)| counts(*at, now)).collect();
    let all = sent.iter().map(|(at, _)| *at).collect::<Vec<_>>();
    let there = sent.iter().filter(|(_, to)| *to == place).map(|(at, _)| *at).collect::<Vec<_>>();
    let at = own.iter().map(|rate| earliest(&there, *rate, now)).fold(earliest(&all, account, now), Stamp::max);
    if at > now.plus_seconds(NEAR) {
        let wait = (at.0 - now.0).cast_unsigned().div_ceil(1_000_000);
        let message = format!("channel `{channel}` has sent as many messages as the platform takes");
        return Err(Fault::new(Kind::Later, message).after(Some(wait)));
    }
    sent.push((at, place));
    sent.sort_unstable();
    let text: String = sent.iter().map(|(at, to)| format!("{at} {to}\n")).collect();
    durable::replace(&folder, FILE, text.as_bytes(), crate::core::config::Sync::None)?;
    Ok(at)
}

fn parse(line: &str) -> Option<(Stamp, &str)> {
    let (at, place) = line.split_once(' ')?;
    Some((Stamp::parse(at)?, place))
}

/// A message further ahead was planned before the clock was set back.
fn counts(at: Stamp, now: Stamp) -> bool {
    now.plus_seconds(-KEPT) < at && at < now.plus_seconds(KEPT)
}

/// The first instant from `now` at which one more message keeps the rate, after those in `sent`, the oldest first.
fn earliest(sent: &[Stamp], rate: Rate, now: Stamp) -> Stamp {
    let first = sent.len().checked_sub(rate.count).and_then(|n| sent.get(n));
    first.map_or(now, |first| now.max(first.plus_seconds(rate.seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::stamp::SECOND;
    use crate::world::World;

    const NOW: i64 = 1_795_221_690;

    /// The seconds from `NOW` at which messages to these places may be sent, reserved by processes at these seconds; the
    /// wait, negative, of a message that is refused for now.
    fn reserved(messages: &[(i64, &str)]) -> Vec<i64> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("claw.yaml"), "sync: none\n").unwrap();
        let reserve = |(at, place): &(i64, &str)| {
            let world = World::real().unwrap().at(Stamp((NOW + at) * SECOND));
            let workspace = Workspace::open(world, dir.path().canonicalize().unwrap(), true).unwrap();
            workspace.make_layout().unwrap();
            let (account, own) = (Rate { count: 4, seconds: 1 }, Rate { count: 2, seconds: 10 });
            match reserve(&workspace, "telegram", account, place, &[own]) {
                Ok(at) => (at.0 - NOW * SECOND) / SECOND,
                Err(fault) => -fault.after.unwrap().cast_signed(),
            }
        };
        messages.iter().map(reserve).collect()
    }

    #[test]
    fn each_place_has_its_turns_and_the_account_its_own() {
        let slow = [(0, "a"), (0, "a"), (0, "a"), (0, "b"), (3, "a"), (3, "a"), (3, "b"), (3, "b")];
        assert_eq!(reserved(&slow), [0, 0, -10, 0, -7, -7, 3, -7]);
        let many = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|place| (0, place));
        assert_eq!(reserved(&many), [0, 0, 0, 0, 1, 1, 1, 1, 2]);
        assert_eq!(reserved(&[(0, "a"), (0, "a"), (11, "a")]), [0, 0, 11], "a quiet place does not wait");
        assert_eq!(reserved(&[(500, "a"), (500, "a"), (0, "a")]), [500, 500, 0], "the clock was set back");
    }
}
