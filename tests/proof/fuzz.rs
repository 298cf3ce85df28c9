//! The targets of `.ci/fuzz` without libFuzzer: each over its corpus, over every input that once broke it
//! (`fuzz/regressions/`), and over a fixed number of seeded mutations of both.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use crate::common::findings;
use crate::common::proof::{self, Proof, Random};
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest input, as for the fuzzer.
const MAX: usize = 64 << 10;
/// Time limit of one input: many times the need of any, because a machine may be busy.
const LIMIT: Duration = Duration::from_secs(10);

/// The inputs of `fuzz/<kind>/<target>/`, by path.
fn inputs(kind: &str, target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target);
    let files = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Runs one target over one input; returns the failure, if any.
fn violation(run: targets::Target, data: &[u8]) -> Option<&'static str> {
    let since = Instant::now();
    let ran = panic::catch_unwind(AssertUnwindSafe(|| run(data)));
    match ran {
        Err(_) => Some("panics (above)"),
        Ok(()) if since.elapsed() > LIMIT => Some("takes too long"),
        Ok(()) => None,
    }
}

#[test]
fn every_known_input_is_accepted_or_refused() {
    let mut proof = Proof::begin("fuzz: corpus and regressions");
    let mut wrong = Vec::new();
    for (target, run) in targets::TARGETS {
        let corpus = inputs("corpus", target);
        assert!(!corpus.is_empty(), "fuzz/corpus/{target} is empty");
        for (path, data) in corpus.into_iter().chain(inputs("regressions", target)) {
            proof.points += 1;
            wrong.extend(violation(*run, &data).map(|why| format!("{} {why}", path.display())));
        }
    }
    proof.end(wrong.len());
    findings::none("inputs break an invariant", &wrong);
}

#[test]
fn mutations_of_known_inputs_are_accepted_or_refused() {
    let mut proof = Proof::begin("fuzz: seeded mutations");
    let seed = proof::seed();
    proof.seed = Some(seed);
    let mut wrong = Vec::new();
    let rounds = if proof::is_full() { 20_000 } else { 400 };
    for (target, run) in targets::TARGETS {
        let known: Vec<Vec<u8>> =
            ["corpus", "regressions"].iter().flat_map(|kind| inputs(kind, target)).map(|(_, data)| data).collect();
        let mut random = Random(seed);
        for round in 0..rounds {
            let data = mutate(&known, &mut random);
            proof.points += 1;
            if let Some(why) = violation(*run, &data) {
                let kept = std::env::temp_dir().join(format!("claw-fuzz-{target}-{seed}-{round}"));
                fs::write(&kept, &data).unwrap();
                wrong.push(format!("{target}, seed {seed}, round {round}: {why}; the input is {}", kept.display()));
                break;
            }
        }
    }
    proof.end(wrong.len());
    findings::none("inputs break an invariant", &wrong);
}

/// One to eight small changes of one of the known inputs.
fn mutate(known: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    const WORDS: &[&[u8]] = &[b"\n", b"---\n", b": ", b"~", b"\xff", b"\0", b"{", b"[", b"\"", b"- ", b"4294967295"];
    let mut data = known[random.below(known.len())].clone();
    for _ in 0..=random.below(8) {
        let at = random.below(data.len() + 1);
        let end = data.len().min(at + random.below(24));
        match random.below(6) {
            0 if at < data.len() => data[at] ^= 1 << random.below(8),
            1 if at < data.len() => data[at] = u8::try_from(random.below(256)).unwrap(),
            2 => drop(data.drain(at..end)),
            3 => drop(data.splice(at..at, data[at..end].to_vec())),
            4 => drop(data.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
            _ => {
                let other = &known[random.below(known.len())];
                let from = random.below(other.len() + 1);
                drop(data.splice(at.., other[from..].iter().copied()));
            }
        }
    }
    data.truncate(MAX);
    data
}

const ID: &str = "20261121T004130.123456Z-k7f3q9";

/// An event with these fields besides the required ones.
fn event(more: &str) -> String {
    let must = r#""kind":"message","from":"cli:ann","reply_to":"file:x","content":"hi""#;
    format!(r#"{{"v":1,"id":"{ID}",{must},"created_at":"2026-11-21T00:41:30Z",{more}}}"#)
}

#[test]
fn deepest_event_is_read_back_from_its_log() {
    let deeper = event(&format!(r#""meta":{{"a":{}{}}}"#, "[".repeat(65), "]".repeat(65)));
    let fault = claw::core::event::Event::from_json(deeper.as_bytes()).unwrap_err();
    assert!(fault.message.contains("64 levels"), "{fault}");
    let deep = event(&format!(r#""meta":{{"a":{}{}}}"#, "[".repeat(64), "]".repeat(64)));
    let event = claw::core::event::Event::from_json(deep.as_bytes()).unwrap();
    let at = jiff::Timestamp::UNIX_EPOCH;
    let line = serde_json::to_string(&claw::core::session::record::Record::In { at, event: Box::new(event) }).unwrap();
    serde_json::from_str::<claw::core::session::record::Record>(&line).unwrap();
}

#[test]
fn hostile_claw_yaml_is_refused_quickly() {
    let since = Instant::now();
    let nested = format!("a: {}", "[".repeat(60_000));
    assert!(claw::core::config::parse(&nested).is_err());
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
}

#[test]
fn highest_number_of_claims_is_handled() {
    let ws = crate::common::Fixture::new();
    ws.write(&format!("inbox/ready/{ID}~pickle.x~4294967295.json"), &event(r#""hops":0"#));
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/files/x").len(), 1);
}

#[test]
fn highest_number_of_hops_is_handled() {
    let ws = crate::common::Fixture::new();
    ws.write(&format!("inbox/new/{ID}.json"), &event(r#""hops":4294967295"#));
    let ran = ws.shell("timeout 10 claw tick 2>/dev/null");
    assert_ne!(ran.code, 124, "it goes on for ever");
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn lane_stays_within_its_length_limit() {
    let name = format!("{ID}~pickle.{}~0.json", "x".repeat(200));
    assert_eq!(claw::core::event::entry::Entry::parse(&name), None);
}
