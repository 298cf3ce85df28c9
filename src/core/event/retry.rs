//! The retry schedule: the next attempt, and the end of retries.

use crate::core::event::stamp::{SECOND, Stamp};

/// After this many kills in a row an event is handled by a process of its own.
pub const SUSPECT: u32 = 2;
/// An event that has killed this many processes of its own in a row goes to `failed/`.
pub const MAX_BLAMED: u32 = 3;
/// An event whose worker was killed this many times in a row, for any reason, goes to `failed/`.
pub const MAX_CRASHES: u32 = 10;
/// The longest back-off, in seconds.
pub const MAX_BACKOFF: i64 = 3600;
/// The retry period of a temporary failure, in seconds, for events without `expires_at`.
pub const RETRY_FOR: i64 = 24 * 3600;

/// The longest wait between two attempts, in seconds: a monthly limit is renewed within it.
pub const MAX_WAIT: i64 = 31 * 24 * 3600;

/// The instant at which an event whose workers were killed `crashes` times in a row is handled again: at once after the
/// first kill, 5 s after the second one, then a minute after each. One kill may have had any reason; an event that kills
/// its worker must not occupy one all the time.
#[must_use]
pub fn after_kill(now: Stamp, crashes: u32) -> Option<Stamp> {
    match crashes {
        0 | 1 => None,
        2 => Some(now.plus_seconds(5)),
        _ => Some(now.plus_seconds(60)),
    }
}

/// Microseconds to wait after attempt `attempts` (from 1): 5 s · 2ⁿ, at most an hour, ± 20 %. `random` selects the
/// point in that range.
#[must_use]
pub fn backoff(attempts: u32, random: u64) -> i64 {
    let spread = i64::try_from(random % 401).unwrap_or(200) - 200;
    unspread(attempts) * SECOND / 1000 * (1000 + spread)
}

/// Whether the other side asked for at least the back-off (without its random part).
#[must_use]
pub fn is_longer(after: Option<u64>, attempts: u32) -> bool {
    after.and_then(|seconds| i64::try_from(seconds).ok()).is_some_and(|seconds| seconds >= unspread(attempts))
}

/// The instant of the next attempt: after the back-off, or after the wait that the other side asked for if that is
/// longer. `None` when retries end: at `expires_at`, or else after back-offs of 24 hours in sum. Only back-offs count,
/// so an event that waited while no process ran still gets the usual number of attempts.
#[must_use]
pub fn next(now: Stamp, attempts: u32, after: Option<u64>, expires: Option<Stamp>, random: u64) -> Option<Stamp> {
    let asked = after.map_or(0, |seconds| i64::try_from(seconds).map_or(MAX_BACKOFF, |s| s.min(MAX_WAIT)) * SECOND);
    let due = Stamp(now.0.saturating_add(if is_longer(after, attempts) { asked } else { backoff(attempts, random) }));
    match expires {
        Some(end) if due > end => None,
        None if total_backoff(attempts) > RETRY_FOR => None,
        _ => Some(due),
    }
}

/// The instant of the next attempt of an event that waits for a budget: retries end only at `expires_at`.
#[must_use]
pub fn pause(now: Stamp, after: Option<u64>, expires: Option<Stamp>) -> Option<Stamp> {
    let seconds = after.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(MAX_BACKOFF);
    Some(now.plus_seconds(seconds.clamp(1, MAX_WAIT))).filter(|due| expires.is_none_or(|end| *due <= end))
}

/// The most retries of one model call while a user waits at a terminal.
const PATIENT_RETRIES: u32 = 2;
/// The longest wait for these retries in sum, in seconds.
const PATIENCE: u64 = 30;

/// Seconds before retry `number` (from 1) of a model call while a user waits at a terminal: 3, then 6, or as many as
/// the service asked for. `waited` is the sum of the waits before. `None` if the user should not wait any longer.
#[must_use]
pub fn patient(number: u32, waited: u64, after: Option<u64>) -> Option<u64> {
    let seconds = after.unwrap_or(3 * u64::from(number)).max(1);
    (number <= PATIENT_RETRIES && waited.saturating_add(seconds) <= PATIENCE).then_some(seconds)
}

/// The back-off without its random part, in seconds.
fn unspread(attempts: u32) -> i64 {
    (5_i64 << attempts.saturating_sub(1).min(10)).min(MAX_BACKOFF)
}

/// The sum of the back-offs before attempt `attempts`, in seconds.
fn total_backoff(attempts: u32) -> i64 {
    (1..attempts.min(1000)).map(unspread).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_an_hour() {
        let middle = |n| backoff(n, 200) / SECOND;
        assert_eq!([1, 2, 3, 4, 10, 11, 50].map(middle), [5, 10, 20, 40, 2560, 3600, 3600]);
        for random in 0..1000 {
            let wait = backoff(1, random);
            assert!((4 * SECOND..=6 * SECOND).contains(&wait), "{wait}");
        }
    }

    #[test]
    fn killed_worker_is_replaced_at_once_and_later_ones_after_a_while() {
        let seconds = |crashes| after_kill(Stamp(0), crashes).map(|due| due.0 / SECOND);
        assert_eq!([0, 1, 2, 3, 9].map(seconds), [None, None, Some(5), Some(60), Some(60)]);
    }

    #[test]
    fn retries_end_after_a_day_of_backoffs() {
        let now = Stamp(0);
        let tries = (1..1000).find(|n| next(now, *n, None, None, 200).is_none()).unwrap();
        assert!((30..40).contains(&tries), "{tries}");
    }

    #[test]
    fn user_at_a_terminal_waits_twice_and_not_for_long() {
        assert_eq!([1, 2, 3].map(|number| patient(number, 0, None)), [Some(3), Some(6), None]);
        assert_eq!(patient(1, 0, Some(0)), Some(1));
        assert_eq!([30, 31, u64::MAX].map(|after| patient(1, 0, Some(after))), [Some(30), None, None]);
        assert_eq!([10, 11].map(|after| patient(2, 20, Some(after))), [Some(10), None]);
    }

    #[test]
    fn requested_wait_and_expiry_are_respected() {
        let now = Stamp(0);
        assert_eq!(next(now, 1, Some(7), None, 0), Some(Stamp(7 * SECOND)));
        assert_eq!(
            next(now, 7, Some(0), None, 200),
            Some(Stamp(320 * SECOND)),
            "a requested wait of 0 s does not skip the back-off"
        );
        assert_eq!(next(now, 1, None, Some(Stamp(SECOND)), 0), None);
        assert_eq!(next(now, 99, None, Some(Stamp(4000 * SECOND)), 200), Some(Stamp(3600 * SECOND)));
    }
}
