//! When to try again, and when to stop trying.

use crate::core::event::stamp::{SECOND, Stamp};

/// An event that killed its worker this often ends in `failed/`.
pub const MAX_CRASHES: u32 = 3;
/// The longest back-off in seconds.
pub const MAX_BACKOFF: i64 = 3600;
/// How long a temporary failure is retried where the event says nothing, in seconds.
pub const RETRY_FOR: i64 = 24 * 3600;

/// The longest wait between two attempts, in seconds: a budget of a month begins anew within that.
pub const MAX_WAIT: i64 = 31 * 24 * 3600;

/// Microseconds to wait after attempt `attempts` (from 1): 5 s · 2ⁿ, at most an hour, ± 20 %.
/// `random` decides where in that range.
#[must_use]
pub fn backoff(attempts: u32, random: u64) -> i64 {
    let spread = i64::try_from(random % 401).unwrap_or(200) - 200;
    plain(attempts) * SECOND / 1000 * (1000 + spread)
}

/// Whether the other side asked for more than the back-off would be.
#[must_use]
pub fn is_longer(after: Option<u64>, attempts: u32) -> bool {
    after.and_then(|seconds| i64::try_from(seconds).ok()).is_some_and(|seconds| seconds >= plain(attempts))
}

/// The instant of the next attempt: the back-off, or what the other side asked for if that is longer; `None` when
/// patience has run out. Patience is 24 hours *of trying*, so an event that lay untouched while no
/// program ran is still tried as often as any other; an explicit `expires_at` is that instant.
#[must_use]
pub fn next(now: Stamp, attempts: u32, after: Option<u64>, expires: Option<Stamp>, random: u64) -> Option<Stamp> {
    let asked = after.map_or(0, |seconds| i64::try_from(seconds).map_or(MAX_BACKOFF, |s| s.min(MAX_WAIT)) * SECOND);
    let due = Stamp(now.0.saturating_add(if is_longer(after, attempts) { asked } else { backoff(attempts, random) }));
    match expires {
        Some(end) if due > end => None,
        None if tried_for(attempts) > RETRY_FOR => None,
        _ => Some(due),
    }
}

/// The instant of the next attempt of what waits for a budget: patience does not run out, but for an explicit
/// `expires_at`.
#[must_use]
pub fn pause(now: Stamp, after: Option<u64>, expires: Option<Stamp>) -> Option<Stamp> {
    let seconds = after.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(MAX_BACKOFF);
    Some(now.plus_seconds(seconds.clamp(1, MAX_WAIT))).filter(|due| expires.is_none_or(|end| *due <= end))
}

fn plain(attempts: u32) -> i64 {
    (5_i64 << attempts.saturating_sub(1).min(10)).min(MAX_BACKOFF)
}

fn tried_for(attempts: u32) -> i64 {
    (1..attempts.min(1000)).map(plain).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let middle = |n| backoff(n, 200) / SECOND;
        assert_eq!([1, 2, 3, 4, 10, 11, 50].map(middle), [5, 10, 20, 40, 2560, 3600, 3600]);
        for random in 0..1000 {
            let wait = backoff(1, random);
            assert!((4 * SECOND..=6 * SECOND).contains(&wait), "{wait}");
        }
    }

    #[test]
    fn patience_is_about_a_day_of_trying() {
        let now = Stamp(0);
        let tries = (1..1000).find(|n| next(now, *n, None, None, 200).is_none()).unwrap();
        assert!((30..40).contains(&tries), "{tries}");
    }

    #[test]
    fn the_other_side_and_the_event_have_the_last_word() {
        let now = Stamp(0);
        assert_eq!(next(now, 1, Some(7), None, 0), Some(Stamp(7 * SECOND)));
        assert_eq!(next(now, 7, Some(0), None, 200), Some(Stamp(320 * SECOND)), "not at once, again and again");
        assert_eq!(next(now, 1, None, Some(Stamp(SECOND)), 0), None);
        assert_eq!(next(now, 99, None, Some(Stamp(4000 * SECOND)), 200), Some(Stamp(3600 * SECOND)));
    }
}
