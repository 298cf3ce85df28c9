//! The conditions at the end of all events.

use crate::common::checker;
use crate::stress::people::{Said, is_by_kills};
use crate::stress::town::Town;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The result of the run.
pub struct Verdict {
    pub wrong: Vec<String>,
    /// Failed events, in the inbox and in the outbox, including those retried.
    pub failed: [usize; 2],
    /// How often an event was adopted from a killed worker.
    pub adopted: [usize; 2],
    /// Turns begun, and unfinished ones among them.
    pub turns: (usize, usize),
}

/// Brings all events to their end and checks them. Events held by three killed workers are in `failed/` with that
/// reason, and succeed when retried; `forgiven` failed before. `kills` is the number of killed workers, and
/// `at_once` the most events that one of them held.
pub fn judge(town: &Town, said: &Said, forgiven: &BTreeSet<String>, kills: [usize; 2], at_once: [usize; 2]) -> Verdict {
    let mut late = forgiven.clone();
    let mut wrong = Vec::new();
    town.drain();
    for side in SIDES {
        for name in town.failed(side) {
            let id = name.split('~').next().unwrap().to_owned();
            // A needless copy of a finished event may have come here; it is retried too.
            if !town.ws.done(side).contains(&format!("{id}.json")) {
                let reason = town.ws.path(&format!("{side}/failed/{id}.reason"));
                let reason = std::fs::read_to_string(reason).unwrap_or_default();
                if !is_by_kills(&reason) {
                    wrong.push(format!("{side}/failed/{name}: {reason}"));
                }
                late.insert(id.clone());
            }
            town.retry(&[id]);
        }
    }
    town.drain();
    wrong.extend(violations(town, said, &late));
    let adopted = SIDES.map(|side| adoptions(town, side));
    let outgoing = late.iter().filter(|id| is_outgoing(id)).count();
    let failed = [late.len() - outgoing, outgoing];
    for (n, side) in SIDES.into_iter().enumerate() {
        if adopted[n] > kills[n] * at_once[n] || failed[n] * 3 > adopted[n] {
            wrong.push(format!("{side}: {} kills, {} taken over, {} failed", kills[n], adopted[n], failed[n]));
        }
    }
    Verdict { wrong, failed, adopted, turns: turns(town) }
}

const SIDES: [&str; 2] = ["inbox", "outbox"];

/// Answers and notices.
fn is_outgoing(id: &str) -> bool {
    id.contains(".r") || id.contains(".n")
}

/// All violations. `late` are the events that failed once and were retried: their senders have a notice, and they
/// have lost their place in the order.
fn violations(town: &Town, said: &Said, late: &BTreeSet<String>) -> Vec<String> {
    let answers = answers(town);
    let mut wrong = numbers(town, said, &answers);
    let ids: Vec<String> = answers.iter().map(|answer| answer.id.clone()).collect();
    wrong.extend(checker::violations_with(&town.ws, &ids, late));
    wrong.extend(deliveries(town, &answers, late));
    wrong.extend(overlaps(town));
    wrong
}

/// One finished turn.
struct Answer {
    id: String,
    n: usize,
    lane: String,
    text: String,
}

/// Every `done` line of every session.
fn answers(town: &Town) -> Vec<Answer> {
    let mut answers = Vec::new();
    for session in town.ws.list("sessions") {
        let log = town.ws.read(&format!("sessions/{session}/log.jsonl"));
        let records: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let said: HashMap<&str, &str> = records
            .iter()
            .filter(|record| record["t"] == "in")
            .filter_map(|record| Some((record["event"]["id"].as_str()?, record["event"]["content"].as_str()?)))
            .collect();
        for record in records.iter().filter(|record| record["t"] == "done") {
            let id = record["ids"][0].as_str().unwrap();
            let n = said.get(id).and_then(|text| text.strip_prefix("n=")?.parse().ok()).unwrap_or(usize::MAX);
            let text = record["out"][0]["content"].as_str().unwrap_or_default().to_owned();
            answers.push(Answer { id: id.to_owned(), n, lane: session.clone(), text });
        }
    }
    answers
}

/// Every message was answered once, in its lane; unacknowledged messages may be missing.
fn numbers(town: &Town, said: &Said, answers: &[Answer]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut ends: BTreeMap<usize, usize> = BTreeMap::new();
    for answer in answers {
        *ends.entry(answer.n).or_default() += 1;
        let Some((lane, _)) = said.get(&answer.n) else {
            wrong.push(format!("{} answers what nobody said", answer.id));
            continue;
        };
        if answer.lane != town.session(*lane) {
            let session = town.session(*lane);
            wrong.push(format!("message {} of lane {lane} was answered in {}, not {session}", answer.n, answer.lane));
        }
        if !answer.text.starts_with(&format!("answer {} ", answer.n)) {
            wrong.push(format!("message {} was answered with {}", answer.n, answer.text));
        }
    }
    for (n, (lane, is_safe)) in said {
        match ends.get(n) {
            Some(1) => {}
            None if !is_safe => {}
            count => wrong.push(format!("message {n} of lane {lane} was answered {count:?} times")),
        }
    }
    wrong
}

/// The destination of each answer has it, once and as logged, and a notice if one has failed.
fn deliveries(town: &Town, answers: &[Answer], late: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let delivered: BTreeSet<String> = checker::delivered(&town.ws).into_iter().collect();
    let expected: BTreeSet<String> = answers.iter().map(|answer| format!("{}.r01.md", answer.id)).collect();
    wrong.extend(expected.difference(&delivered).map(|name| format!("not delivered: {name}")));
    let notices: BTreeSet<String> =
        delivered.difference(&expected).filter_map(|name| Some(name.split_once(".n")?.0.to_owned())).collect();
    wrong.extend(
        delivered.difference(&expected).filter(|name| !name.contains(".n")).map(|name| format!("delivered: {name}")),
    );
    let inbound: BTreeSet<String> = late.iter().filter(|id| !is_outgoing(id)).cloned().collect();
    wrong.extend(inbound.difference(&notices).map(|id| format!("{id} has failed and nobody was told")));
    wrong.extend(notices.difference(&inbound).map(|id| format!("{id} has not failed and that was told")));
    for answer in answers {
        let place = answer.lane.split_once(".file-").unwrap().1;
        let path = town.ws.path(&format!("outbox/files/{place}/{}.r01.md", answer.id));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.trim_end() != answer.text {
            wrong.push(format!("{}: logged `{}`, delivered `{text}`", answer.id, answer.text));
        }
    }
    wrong
}

/// The turns that certainly ran at the same time: a turn runs from its first line to its last.
fn overlaps(town: &Town) -> Vec<String> {
    let text = town.ws.read("turns");
    let mut spans: HashMap<&str, (usize, usize)> = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        spans.entry(&line[2..]).and_modify(|span| span.1 = at).or_insert((at, at));
    }
    // Positions are doubled, so that a turn of one line begins before it ends.
    let mut edges: Vec<(usize, bool, &str)> = Vec::new();
    for (turn, (first, last)) in &spans {
        edges.extend([(first * 2, true, *turn), (last * 2 + 1, false, *turn)]);
    }
    edges.sort_unstable();
    let mut wrong = Vec::new();
    let mut alive: BTreeSet<&str> = BTreeSet::new();
    for (_, begins, turn) in edges {
        if !begins {
            alive.remove(turn);
            continue;
        }
        alive.insert(turn);
        let session = turn.split(' ').next().unwrap();
        let Some((agent, _)) = session.split_once('.') else {
            wrong.push(format!("an unreadable turn: {turn}"));
            continue;
        };
        let beside = |is: &dyn Fn(&str) -> bool| alive.iter().filter(|turn| is(turn)).copied().collect::<Vec<_>>();
        let lane = beside(&|turn| turn.split(' ').next() == Some(session));
        let own = beside(&|turn| turn.split('.').next() == Some(agent));
        if lane.len() > 1 {
            wrong.push(format!("beside each other in one lane: {lane:?}"));
        }
        if own.len() > town.allows(agent[1..].parse().unwrap()) {
            wrong.push(format!("too many of one agent: {own:?}"));
        }
        if alive.len() > town.limit {
            wrong.push(format!("too many at once: {alive:?}"));
        }
    }
    wrong
}

/// How many turns were begun, and how many of those are certainly unfinished.
fn turns(town: &Town) -> (usize, usize) {
    let text = town.ws.read("turns");
    let count = |mark: char| text.lines().filter(|line| line.starts_with(mark)).count();
    (count('+'), count('+') - count('-'))
}

/// How often events of a mailbox were adopted from a killed worker, by the journal.
fn adoptions(town: &Town, side: &str) -> usize {
    let days = town.ws.list(".claw/journal");
    let texts = days.iter().map(|day| town.ws.read(&format!(".claw/journal/{day}")));
    let place = format!(r#""box":"{side}""#);
    texts.map(|text| text.lines().filter(|l| l.contains("its worker was gone") && l.contains(&place)).count()).sum()
}
