//! A token bucket: how many messages a client may send.

use std::time::{Duration, Instant};

/// Messages in a row that a rested client may send at once.
pub const BURST: u32 = 64;
/// Messages a second.
pub const PER_SECOND: u32 = 20;

/// The allowance of one client.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// The instant at which the bucket is full again.
    full: Instant,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { full: now }
    }

    /// Takes one message's worth; false if the bucket is empty.
    pub fn take(&mut self, now: Instant) -> bool {
        let each = Duration::from_secs(1) / PER_SECOND;
        let full = self.full.max(now) + each;
        if full.duration_since(now) > each * BURST {
            return false;
        }
        self.full = full;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_is_followed_by_the_steady_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let mut taken = |at: Duration, most: u32| (0..most).filter(|_| bucket.take(start + at)).count();
        assert_eq!(taken(Duration::ZERO, 200), 64);
        assert_eq!(taken(Duration::from_millis(49), 200), 0);
        assert_eq!(taken(Duration::from_secs(1), 200), 20);
        assert_eq!(taken(Duration::from_mins(1), 200), 64);
    }
}
