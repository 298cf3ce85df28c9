//! Discord's rate limits. Each route has a bucket, which the answers name; a bucket counts for each channel or server by
//! itself. One limit counts for the whole account. Refused requests count too: after 10,000 in ten minutes Discord bans
//! the address, so the account pauses long before.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Requests a second of an account, of 50 that Discord allows.
const GLOBAL: u32 = 45;
/// So many refusals within `WINDOW` pause the account.
const MOST_REFUSALS: usize = 1_000;
/// The time for which a refusal counts.
const WINDOW: Duration = Duration::from_mins(10);

/// A route: its template, and the channel or server that its bucket counts for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// Method and path without ids.
    pub template: &'static str,
    /// The channel or server; 0 if there is none.
    pub resource: u64,
}

/// The limit headers of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers {
    /// The bucket's name.
    pub bucket: Option<String>,
    /// The requests that are left.
    pub remaining: Option<u32>,
    /// Seconds until the bucket is full again.
    pub reset_after: Option<f64>,
}

/// A refusal for too many requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TooMany {
    /// Seconds.
    pub retry_after: f64,
    /// It counts for the whole account.
    pub is_global: bool,
    /// Others have used the limit up: it does not count as a refusal.
    pub is_shared: bool,
}

struct Bucket {
    remaining: u32,
    reset: Instant,
}

/// The limits of an account.
#[derive(Default)]
pub struct Limits {
    /// The bucket of each route.
    names: HashMap<&'static str, String>,
    buckets: HashMap<(String, u64), Bucket>,
    /// Routes whose bucket is not known, and until when they wait.
    blocked: HashMap<Route, Instant>,
    /// Nothing is sent until then.
    account: Option<Instant>,
    /// The current second and its requests.
    second: Option<(Instant, u32)>,
    refusals: VecDeque<Instant>,
}

impl Limits {
    /// Takes a request out of the limits, or returns how long it must wait.
    ///
    /// # Errors
    /// The wait.
    pub fn take(&mut self, route: &Route, now: Instant) -> Result<(), Duration> {
        let until = |instant: Option<Instant>| instant.filter(|instant| *instant > now);
        if let Some(pause) = until(self.account) {
            return Err(pause - now);
        }
        if let Some(blocked) = until(self.blocked.get(route).copied()) {
            return Err(blocked - now);
        }
        let key = self.names.get(route.template).map(|name| (name.clone(), route.resource));
        let bucket = key.and_then(|key| self.buckets.get_mut(&key)).filter(|bucket| bucket.reset > now);
        if let Some(bucket) = &bucket
            && bucket.remaining == 0
        {
            return Err(bucket.reset - now);
        }
        let second = self.second.get_or_insert((now, 0));
        if now - second.0 >= Duration::from_secs(1) {
            *second = (now, 0);
        }
        if second.1 >= GLOBAL {
            return Err(second.0 + Duration::from_secs(1) - now);
        }
        second.1 += 1;
        if let Some(bucket) = bucket {
            bucket.remaining -= 1;
        }
        Ok(())
    }

    /// Learns from the headers of an answer.
    pub fn learn(&mut self, route: &Route, headers: &Headers, now: Instant) {
        let (Some(name), Some(remaining), Some(after)) = (&headers.bucket, headers.remaining, headers.reset_after)
        else {
            return;
        };
        self.names.insert(route.template, name.clone());
        let reset = now + seconds(after);
        self.buckets.retain(|_, bucket| bucket.reset > now);
        let bucket = self.buckets.entry((name.clone(), route.resource)).or_insert(Bucket { remaining, reset });
        // Requests that are under way are already taken out.
        bucket.remaining =
            if reset > bucket.reset + Duration::from_secs(1) { remaining } else { bucket.remaining.min(remaining) };
        bucket.reset = reset;
    }

    /// A request was refused because there were too many.
    pub fn too_many(&mut self, route: &Route, refusal: TooMany, now: Instant) {
        let until = now + seconds(refusal.retry_after);
        if refusal.is_global {
            self.account = self.account.max(Some(until));
        } else {
            self.blocked.retain(|_, blocked| *blocked > now);
            self.blocked.insert(route.clone(), until);
        }
        if !refusal.is_shared {
            self.refused(now);
        }
    }

    /// A request was refused. Returns true if the account pauses from now on.
    pub fn refused(&mut self, now: Instant) -> bool {
        self.refusals.push_back(now);
        while self.refusals.front().is_some_and(|first| now - *first >= WINDOW) {
            self.refusals.pop_front();
        }
        let Some(first) = self.refusals.front().filter(|_| self.refusals.len() >= MOST_REFUSALS) else {
            return false;
        };
        self.account = self.account.max(Some(*first + WINDOW));
        // The next refusal after the pause begins a new count.
        self.refusals.clear();
        true
    }
}

/// Seconds of a server, at most a day.
fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value.clamp(0.0, 86_400.0)).unwrap_or(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: Route = Route { template: "POST messages", resource: 5 };
    const OTHER: Route = Route { template: "POST messages", resource: 6 };

    fn headers(remaining: u32, after: f64) -> Headers {
        Headers { bucket: Some("b".into()), remaining: Some(remaining), reset_after: Some(after) }
    }

    #[test]
    fn bucket_counts_for_each_channel() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        assert_eq!(limits.take(&ROUTE, now), Ok(()));
        limits.learn(&ROUTE, &headers(1, 2.0), now);
        assert_eq!(limits.take(&ROUTE, now), Ok(()));
        assert_eq!(limits.take(&ROUTE, now), Err(Duration::from_secs(2)));
        assert_eq!(limits.take(&OTHER, now), Ok(()));
        assert_eq!(limits.take(&ROUTE, now + Duration::from_secs(2)), Ok(()));
    }

    #[test]
    fn answer_under_way_does_not_refill_the_bucket() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        limits.learn(&ROUTE, &headers(2, 2.0), now);
        limits.take(&ROUTE, now).unwrap();
        limits.take(&ROUTE, now).unwrap();
        limits.learn(&ROUTE, &headers(1, 2.0), now);
        assert!(limits.take(&ROUTE, now).is_err());
    }

    #[test]
    fn global_limit_stops_every_route() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        limits.too_many(&ROUTE, TooMany { retry_after: 3.5, is_global: true, is_shared: false }, now);
        assert_eq!(limits.take(&OTHER, now), Err(Duration::from_millis(3500)));
        let later = now + Duration::from_millis(3500);
        for _ in 0..GLOBAL {
            limits.take(&OTHER, later).unwrap();
        }
        assert_eq!(limits.take(&ROUTE, later), Err(Duration::from_secs(1)));
    }

    #[test]
    fn account_pauses_after_a_thousand_refusals_in_ten_minutes() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        for second in 0..u64::try_from(MOST_REFUSALS).unwrap() {
            // One each 600 ms: after ten minutes the first one no longer counts.
            assert!(!limits.refused(now + Duration::from_millis(601 * second)));
        }
        let (mut limits, refusal) =
            (Limits::default(), TooMany { retry_after: 0.0, is_global: false, is_shared: true });
        for _ in 0..MOST_REFUSALS {
            limits.too_many(&ROUTE, refusal, now);
        }
        assert_eq!(limits.take(&OTHER, now), Ok(()), "shared refusals do not count");
        let paused = (0..MOST_REFUSALS).filter(|_| limits.refused(now)).count();
        assert_eq!((paused, limits.take(&OTHER, now)), (1, Err(WINDOW)));
        assert_eq!(limits.take(&OTHER, now + WINDOW), Ok(()));
    }
}
