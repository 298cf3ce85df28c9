//! Common parts of all proofs: size, seed, and the printed row of the table in docs/reliability.md, which
//! `.ci/proof` collects.

use super::findings;
use std::io::Write;
use std::time::Instant;

/// `CLAW_PROOF=full` runs everything; without it, the part that a test run has time for.
pub fn is_full() -> bool {
    std::env::var("CLAW_PROOF").is_ok_and(|value| value == "full")
}

/// `CLAW_PROOF=first` stops at the first violation.
pub fn is_first() -> bool {
    std::env::var("CLAW_PROOF").is_ok_and(|value| value == "first")
}

/// The seed of all random numbers: `CLAW_TEST_SEED`, or a constant.
pub fn seed() -> u64 {
    std::env::var("CLAW_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_121)
}

/// A stream of random numbers (`SplitMix64`, Steele, Lea, Flood 2014), the same for the same seed.
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }
}

/// A running proof; a number of zero is left out of its row.
pub struct Proof {
    pub name: &'static str,
    /// Disturbed places: system calls, operations, events.
    pub points: usize,
    /// Checked states.
    pub states: usize,
    pub seed: Option<u64>,
    /// The violations so far.
    pub found: Vec<String>,
    since: Instant,
}

impl Proof {
    pub fn begin(name: &'static str) -> Self {
        Self { name, points: 0, states: 0, seed: None, found: Vec::new(), since: Instant::now() }
    }

    /// Prints the row. Fails on any violation, and with no more than `points` points, which would show nothing.
    #[track_caller]
    pub fn judge(&self, points: usize) {
        self.end(self.found.len());
        findings::none(&format!("violations in {} points", self.points), &self.found);
        assert!(is_first() || self.points > points, "only {} points", self.points);
    }

    /// Prints the row, past the harness's capture of a passing test's output, because the figures are the result.
    pub fn end(&self, violations: usize) {
        let number = |n: usize| if n == 0 { String::new() } else { n.to_string() };
        let _ = writeln!(
            std::io::stdout(),
            "| {} | {} | {} | {} | {violations} | {:.0} |",
            self.name,
            number(self.points),
            number(self.states),
            self.seed.map(|seed| seed.to_string()).unwrap_or_default(),
            self.since.elapsed().as_secs_f64().ceil(),
        );
    }
}
