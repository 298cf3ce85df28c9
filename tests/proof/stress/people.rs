//! People: senders, droppers, and one who moves files as the protocol permits.

use crate::common::proof::Random;
use crate::stress::town::Town;
use crate::stress::zoo::{Zoo, ends_within};
use claw::core::event::entry::{Entry, Tries};
use claw::core::event::stamp::Stamp;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whether this is the only possible reason of a failure here: three workers were killed on the event, or more if
/// the writer of the reason was killed too.
pub fn is_by_kills(reason: &str) -> bool {
    let killed = reason.strip_prefix("its worker was killed ").and_then(|rest| rest.split(' ').next()?.parse().ok());
    killed.is_some_and(|times: u32| times >= 3)
}

/// The messages: number → its lane, and whether the sender has an acknowledgement.
pub type Said = BTreeMap<usize, (usize, bool)>;

/// Sends these messages. Even lanes by `send`, odd ones by drops: a drop gets its id when it is taken in, so there is
/// no order between the two.
pub fn speak(town: &Town, numbers: Range<usize>, random: &mut Random, said: &mut Said) {
    for n in numbers {
        let lane = random.below(town.lanes);
        let is_safe = if lane.is_multiple_of(2) { send(town, lane, n, random) } else { drop_in(town, lane, n, random) };
        said.insert(n, (lane, is_safe));
    }
}

/// One of forty senders is killed at a random moment.
fn send(town: &Town, lane: usize, n: usize, random: &mut Random) -> bool {
    let (from, text) = (format!("file:l{lane}"), format!("n={n}"));
    let mut send = town.ws.command(&["send", "--from", &from, &text]);
    let mut child = send.args(town.named(lane).map(|agent| format!("--agent={agent}"))).spawn().unwrap();
    if random.below(40) == 0 && !ends_within(&child, Duration::from_micros(random.below(6000) as u64)) {
        child.kill().unwrap();
        child.wait().unwrap();
        return false;
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    true
}

fn drop_in(town: &Town, lane: usize, n: usize, random: &mut Random) -> bool {
    let inbox = town.ws.path("inbox");
    let agent = town.named(lane);
    let named = agent.as_ref().map(|agent| format!("agent: {agent}\n")).unwrap_or_default();
    let text = format!("---\nfrom: file:l{lane}\n{named}---\nn={n}\n");
    let hidden = inbox.join(format!(".{n}"));
    match random.below(4) {
        0 => {
            fs::write(&hidden, text).unwrap();
            fs::rename(hidden, inbox.join(format!("{n}.md"))).unwrap();
        }
        1 => {
            let json = json!({"source": format!("file:l{lane}"), "agent_id": agent, "text": format!("n={n}")});
            fs::write(&hidden, json.to_string()).unwrap();
            fs::rename(hidden, inbox.join(format!("{n}.json"))).unwrap();
        }
        2 => {
            let aside = town.ws.dir.path().join("aside.md");
            fs::write(&aside, text).unwrap();
            fs::copy(aside, inbox.join(format!("{n}.md"))).unwrap();
        }
        _ => {
            // Written in place, by a writer that is interrupted half-way.
            let mut file = File::create(inbox.join(format!("{n}.md"))).unwrap();
            let (head, tail) = text.split_at(text.len() / 2);
            file.write_all(head.as_bytes()).unwrap();
            if random.below(8) == 0 {
                town.ws.claw(&["route"]).ok();
            }
            file.write_all(tail.as_bytes()).unwrap();
        }
    }
    true
}

/// The actions of the person who moves files.
#[derive(Default)]
pub struct Meddled {
    /// Events that were in `failed/` and were retried.
    pub forgiven: BTreeSet<String>,
    /// Reasons that kills cannot cause.
    pub strange: Vec<String>,
    /// The number of moves, copies, edits and removed locks.
    pub acts: [usize; 4],
}

/// Moves files until the zoo closes.
pub fn meddle(town: &Town, crowd: &Zoo, seed: u64) -> Meddled {
    let mut random = Random(seed);
    let mut done = Meddled::default();
    // Names seen, for copies of events that have moved on.
    let mut known: Vec<(&str, Entry)> = Vec::new();
    while !crowd.is_closed() {
        let side = ["inbox", "inbox", "outbox"][random.below(3)];
        match random.below(10) {
            0 | 1 => forgive(town, side, &mut done, &mut random),
            2 | 3 => done.acts[0] += usize::from(delay(town, side, &mut random)),
            4 => done.acts[0] += usize::from(hurry(town, side, &mut random)),
            5 | 6 => done.acts[1] += usize::from(copy(town, side, &mut known, &mut random)),
            7 => {
                edit(town, &mut random);
                done.acts[2] += 1;
            }
            _ => done.acts[3] += usize::from(unlock(town, side, &mut random)),
        }
        crowd.rest(Duration::from_millis(5));
    }
    done
}

fn pick(town: &Town, dir: &str, random: &mut Random) -> Option<Entry> {
    let entries: Vec<Entry> = town.ws.list(dir).iter().filter_map(|name| Entry::parse(name)).collect();
    (!entries.is_empty()).then(|| entries[random.below(entries.len())].clone())
}

fn moved(from: &Path, to: &Path) -> bool {
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).is_ok()
}

fn at(town: &Town, side: &str, state: &str, entry: &Entry) -> PathBuf {
    town.ws.path(&format!("{side}/{state}/{entry}"))
}

fn soon(random: &mut Random) -> Stamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    Stamp(i64::try_from(now).unwrap() + 100_000 + i64::try_from(random.below(400_000)).unwrap())
}

/// `rm REASON; mv failed/… ready/…`, or `claw retry`.
fn forgive(town: &Town, side: &str, done: &mut Meddled, random: &mut Random) {
    let Some(entry) = pick(town, &format!("{side}/failed"), random) else { return };
    let reason = town.ws.path(&format!("{side}/failed/{}.reason", entry.id));
    done.strange.extend(fs::read_to_string(&reason).ok().filter(|text| !is_by_kills(text)));
    done.forgiven.insert(entry.id.to_string());
    done.acts[0] += 1;
    if random.below(2) == 0 {
        town.retry(&[entry.id.to_string()]);
        return;
    }
    let _ = fs::remove_file(reason);
    let fresh = Entry { tries: Tries { rounds: entry.tries.rounds, ..Tries::default() }, ..entry.clone() };
    moved(&at(town, side, "failed", &entry), &at(town, side, "ready", &fresh));
}

/// `mv ready/… wait/DUE~…`
fn delay(town: &Town, side: &str, random: &mut Random) -> bool {
    let Some(entry) = pick(town, &format!("{side}/ready"), random) else { return false };
    let later = Entry { due: Some(soon(random)), ..entry.clone() };
    moved(&at(town, side, "ready", &entry), &at(town, side, "wait", &later))
}

/// `mv wait/DUE~… ready/…`
fn hurry(town: &Town, side: &str, random: &mut Random) -> bool {
    let Some(entry) = pick(town, &format!("{side}/wait"), random) else { return false };
    let now = Entry { due: None, ..entry.clone() };
    moved(&at(town, side, "wait", &entry), &at(town, side, "ready", &now))
}

/// A second file of one event, in another folder; a link, because an incomplete copy would be an incomplete
/// event.
fn copy<'s>(town: &Town, side: &'s str, seen: &mut Vec<(&'s str, Entry)>, random: &mut Random) -> bool {
    let state = ["ready", "run", "wait"][random.below(3)];
    if let Some(entry) = pick(town, &format!("{side}/{state}"), random) {
        seen.push((side, entry.clone()));
        let from = at(town, side, state, &entry);
        let plain = Entry { due: None, ..entry.clone() };
        let to = match random.below(3) {
            0 => at(town, side, "ready", &Entry { tries: Tries { attempts: 9, ..entry.tries }, ..plain }),
            1 => at(town, side, "wait", &Entry { due: Some(soon(random)), ..entry }),
            _ if side == "inbox" => at(town, side, "new", &Entry::unrouted(entry.id, None)),
            _ => at(town, side, "ready", &plain),
        };
        return fs::hard_link(from, to).is_ok();
    }
    if seen.is_empty() {
        return false;
    }
    let (side, entry) = seen.swap_remove(random.below(seen.len()));
    let from = town.ws.path(&format!("{side}/done/{}/{}.json", entry.id.stamp().day(), entry.id));
    fs::hard_link(from, at(town, side, "ready", &Entry { due: None, ..entry })).is_ok()
}

/// An editor's rename over the agent's file, or a new SOUL.md written in place.
fn edit(town: &Town, random: &mut Random) {
    let agent = random.below(town.agents);
    let dir = town.ws.path(&format!("agents/{}", town.agent(agent)));
    let edition = random.below(1000);
    if random.below(2) == 0 {
        fs::write(dir.join("SOUL.md"), format!("You are in edition {edition}.\n")).unwrap();
    } else {
        fs::write(dir.join(".AGENT.md.swp"), town.definition(agent, edition)).unwrap();
        fs::rename(dir.join(".AGENT.md.swp"), dir.join("AGENT.md")).unwrap();
    }
}

/// `flock -n LOCK rm LOCK`
fn unlock(town: &Town, side: &str, random: &mut Random) -> bool {
    let dir = format!(".claw/locks/{side}");
    let names = town.ws.list(&dir);
    let Some(name) = (!names.is_empty()).then(|| &names[random.below(names.len())]) else { return false };
    let path = town.ws.path(&format!("{dir}/{name}"));
    // Opening a removed file would create it again.
    let Ok(lock) = File::open(&path) else { return false };
    let is_it = |lock: &File| lock.metadata().is_ok_and(|meta| meta.nlink() > 0);
    lock.try_lock().is_ok() && is_it(&lock) && fs::remove_file(&path).is_ok()
}
