//! The inputs from outside the process in one value, made by `main`: clock, randomness and environment. For tests,
//! `CLAW_NOW` (RFC 3339) and `CLAW_SEED` (a number) fix the first two, and `CLAW_CLOCK` names a file with an offset of
//! the clock in seconds, like `-90` or `+3600s`, which is read at every look: it sets the clock of running processes.

use crate::core::event::stamp::{SECOND, Stamp};
use crate::core::fault::{Fault, Kind, Result};
use crate::core::text::visible;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Whether messages are suppressed.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Suppresses the messages of this process, as `--quiet` demands; errors are still printed.
pub fn set_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether messages are suppressed.
#[must_use]
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// The folder of the zone files.
pub const ZONE_FILES: &str = "/usr/share/zoneinfo";
/// The link to the file of this machine's zone.
pub const LOCAL_ZONE: &str = "/etc/localtime";

/// Clock, randomness, environment and stderr of the process.
#[derive(Debug)]
pub struct World {
    env: HashMap<String, String>,
    fixed: Option<Stamp>,
    shift: Option<Shift>,
    state: AtomicU64,
    printed: Mutex<HashSet<String>>,
}

/// The file that shifts the clock.
#[derive(Debug)]
struct Shift {
    path: PathBuf,
    /// The offset that was read last, in microseconds: it holds while the file is being written.
    last: AtomicI64,
}

impl Shift {
    /// The present offset in microseconds; 0 without a file. `None` if the file cannot be parsed.
    fn read(&self) -> Option<i64> {
        let Ok(text) = std::fs::read_to_string(&self.path) else { return Some(0) };
        let text = text.trim();
        text.strip_suffix('s').unwrap_or(text).parse::<i64>().ok()?.checked_mul(SECOND)
    }

    fn offset(&self) -> i64 {
        let offset = self.read().unwrap_or_else(|| self.last.load(Ordering::Relaxed));
        self.last.store(offset, Ordering::Relaxed);
        offset
    }
}

/// The wait, in seconds, for a time that a fixed clock shows only after it was set.
const FIXED_WAIT: i64 = 600;

impl World {
    /// The real environment of this process.
    ///
    /// # Errors
    /// `Usage` where `CLAW_NOW`, `CLAW_SEED` or the file `CLAW_CLOCK` cannot be parsed.
    pub fn real() -> Result<Self> {
        let env: HashMap<String, String> =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
        let bad = |name: &str, text: &str| Fault::new(Kind::Usage, format!("{name}={text} cannot be parsed"));
        let fixed = match env.get("CLAW_NOW") {
            Some(text) => Some(text.parse::<Timestamp>().map_err(|_| bad("CLAW_NOW", text))?.into()),
            None => None,
        };
        let seed = match env.get("CLAW_SEED") {
            Some(text) => text.parse().map_err(|_| bad("CLAW_SEED", text))?,
            None => entropy(),
        };
        let path = env.get("CLAW_CLOCK").filter(|path| !path.is_empty());
        let shift = path.map(|path| Shift { path: path.into(), last: AtomicI64::default() });
        if let Some(shift) = shift.as_ref().filter(|shift| shift.read().is_none()) {
            return Err(bad("CLAW_CLOCK", &shift.path.display().to_string()).hint("the file has a number of seconds"));
        }
        Ok(Self { env, fixed, shift, state: AtomicU64::new(seed), printed: Mutex::default() })
    }

    /// The same world with the clock fixed at `now`, for `tick --now`.
    #[must_use]
    pub fn at(mut self, now: Stamp) -> Self {
        self.fixed = Some(Stamp(now.0.saturating_sub(self.offset())));
        self
    }

    /// The present instant (real-time clock).
    #[must_use]
    pub fn now(&self) -> Stamp {
        let unshifted = self.fixed.unwrap_or_else(|| Timestamp::now().into());
        Stamp(unshifted.0.saturating_add(self.offset()))
    }

    /// The fixed instant of the clock without the offset of `CLAW_CLOCK`, if it is fixed.
    #[must_use]
    pub fn fixed_now(&self) -> Option<Stamp> {
        self.fixed
    }

    /// The offset of `CLAW_CLOCK` in microseconds.
    fn offset(&self) -> i64 {
        self.shift.as_ref().map_or(0, Shift::offset)
    }

    /// The file of `CLAW_CLOCK`, whose changes set the clock.
    #[must_use]
    pub fn clock_file(&self) -> Option<&Path> {
        self.shift.as_ref().map(|shift| shift.path.as_path())
    }

    /// The instant of the machine's clock at which this clock shows `at`.
    #[must_use]
    pub fn alarm(&self, at: Stamp) -> Stamp {
        match (self.fixed, &self.shift) {
            // Such a clock moves with its file only.
            (Some(_), Some(_)) => Stamp::from(Timestamp::now()).plus_seconds(FIXED_WAIT),
            _ => Stamp(at.0.saturating_sub(self.offset())),
        }
    }

    /// 64 random bits (`SplitMix64`; not for secrets).
    pub fn random(&self) -> u64 {
        let mut z = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An environment variable that is set and not empty.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// The whole environment.
    pub fn vars(&self) -> impl Iterator<Item = (&str, &str)> {
        self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Prints a message to stderr, escaped; the same text is printed only once.
    pub fn say(&self, text: &str) {
        if !is_quiet() && self.printed.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned()) {
            let _ = writeln!(std::io::stderr(), "claw: {}", visible::message(text));
        }
    }

    /// Prints a message to stderr, escaped, each time.
    pub fn log(&self, text: &str) {
        log(text);
    }

    /// Random bits for secrets; with `CLAW_SEED` those of [`World::random`].
    ///
    /// # Errors
    /// `Machine` if the kernel has none.
    pub fn secret(&self) -> Result<u64> {
        if self.var("CLAW_SEED").is_some() {
            return Ok(self.random());
        }
        let mut bytes = [0u8; 8];
        match rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()) {
            Ok(8) => Ok(u64::from_ne_bytes(bytes)),
            _ => Err(Fault::new(Kind::Machine, "the kernel has no random bits")),
        }
    }

    /// The user's name in a form that is valid in an address: `USER` or `LOGNAME`, else `uid` and the number.
    #[must_use]
    pub fn user(&self) -> String {
        let name = self.var("USER").or_else(|| self.var("LOGNAME"));
        let plain = |n: &str| n.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        match name {
            Some(name) if plain(name) && name.len() <= 32 => name.to_owned(),
            _ => format!("uid{}", rustix::process::getuid().as_raw()),
        }
    }
}

/// Prints a message to stderr, escaped; for threads that have no [`World`].
pub fn log(text: &str) {
    let _ = writeln!(std::io::stderr(), "claw: {}", visible::message(text));
}

/// The owner's time zone: `TZ`, else `/etc/localtime`. The zone file is found by its name, because a search by content
/// takes longer than all other work of `claw ask`.
#[must_use]
pub fn zone() -> TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(|| named_zone().unwrap_or_else(TimeZone::system)).clone()
}

/// Date and time of an instant in the owner's time zone: `2026-11-21 01:41:30`.
#[must_use]
pub fn local(at: Stamp) -> String {
    at.timestamp().to_zoned(zone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The name of the owner's time zone, if `TZ` or `/etc/localtime` names a zone file.
#[must_use]
pub fn zone_name() -> Option<String> {
    match std::env::var("TZ") {
        Err(_) => {
            let path = std::fs::canonicalize(LOCAL_ZONE).ok()?;
            path.to_str()?.split_once("/zoneinfo/").map(|(_, name)| name.to_owned())
        }
        Ok(name) if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-/".contains(&b)) && !name.is_empty() => {
            Some(name)
        }
        Ok(_) => None,
    }
}

fn named_zone() -> Option<TimeZone> {
    let name = zone_name()?;
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    TimeZone::tzif(&name, &std::fs::read(Path::new(ZONE_FILES).join(&name)).ok()?).ok()
}

fn entropy() -> u64 {
    let mut bytes = [0u8; 8];
    match rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => u64::from_ne_bytes(bytes),
        // No entropy yet (early boot): time and process id still make ids distinct.
        _ => Timestamp::now().as_microsecond().unsigned_abs() ^ (u64::from(std::process::id()) << 40),
    }
}
