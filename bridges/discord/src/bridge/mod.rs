//! The program's one loop. It owns all places, and nothing else changes them.

mod receiving;
mod sending;

use crate::catch_up::Page;
use crate::exit::Exit;
use crate::gateway::{Gateway, News};
use crate::lines::{self, FromClaw, SendLine};
use crate::output::Output;
use crate::place::Place;
use crate::rest::{Failure, Rest};
use crate::send::Attempt;
use crate::settings::Settings;
use crate::store::Store;
use crate::wire::{Channel, Snowflake};
use serde_json::json;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

/// The time in seconds between two stores of marks that only skipped messages have moved.
const TIDY: u64 = 30;
/// The longest start: claw wants a pong within 30 s.
const START: Duration = Duration::from_secs(25);
/// The longest interruption; after it the program ends, so that claw's status says that Discord is unreachable.
const OUTAGE: Duration = Duration::from_mins(1);
/// The time for unfinished sends when the program is asked to end.
const GRACE: Duration = Duration::from_secs(8);

/// The end of a fetch.
enum Fetched {
    List(Result<Vec<Channel>, Failure>),
    Page(Snowflake, Snowflake, Result<Page, Failure>),
}

struct Bridge {
    settings: Arc<Settings>,
    output: Output,
    rest: Arc<Rest>,
    store: Arc<Store>,
    places: BTreeMap<Snowflake, Place>,
    /// The account's own id.
    me: Option<Snowflake>,
    /// The places that may have missed messages are known.
    is_listed: bool,
    /// A list is being fetched; true if another one is needed after it.
    listing: Option<bool>,
    fetches: JoinSet<Fetched>,
    /// Places to fetch, in this order.
    queue: VecDeque<Snowflake>,
    /// The places of the messages that claw has not answered.
    open: HashMap<Snowflake, Snowflake>,
    sends: JoinSet<Attempt>,
    /// Pings that came before the gateway was ready; claw takes a pong for a connection.
    pings: Vec<u64>,
    /// The gateway was ready.
    was_ready: bool,
    /// The gateway must be ready by then.
    deadline: Option<Instant>,
    /// One destination is one lane: the sends that wait for the one under way.
    lanes: HashMap<String, VecDeque<SendLine>>,
}

/// Runs until stdin ends or no attempt makes sense.
pub async fn run(settings: Settings) -> Exit {
    let output = Output::new(&settings.token);
    let exit = match serve(settings, &output).await {
        Ok(()) => Exit::done(),
        Err(exit) => exit,
    };
    output.flush();
    Exit { code: exit.code, why: output.redact(&exit.why) }
}

async fn serve(settings: Settings, output: &Output) -> Result<(), Exit> {
    let store = Arc::new(Store::open(&settings.state)?);
    let rest = Arc::new(Rest::new(&settings.api, &settings.token, output)?);
    let places = store.places()?;
    let mut bridge = Bridge {
        settings: Arc::new(settings),
        output: output.clone(),
        rest,
        store,
        places,
        me: None,
        is_listed: false,
        listing: None,
        fetches: JoinSet::new(),
        queue: VecDeque::new(),
        open: HashMap::new(),
        sends: JoinSet::new(),
        pings: Vec::new(),
        was_ready: false,
        deadline: Some(Instant::now() + START),
        lanes: HashMap::new(),
    };
    let result = bridge.run().await;
    let saved = bridge.save_dirty();
    result.and(saved)
}

impl Bridge {
    async fn run(&mut self) -> Result<(), Exit> {
        let mut stdin = lines::read_stdin();
        let (send, mut news) = mpsc::channel(64);
        let gateway = Gateway {
            rest: self.rest.clone(),
            settings: self.settings.clone(),
            output: self.output.clone(),
            news: send,
        };
        let mut gateway = tokio::spawn(gateway.run());
        let mut tidy = interval(Duration::from_secs(TIDY));
        tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_running = true;
        loop {
            tokio::select! {
                line = stdin.recv() => match line {
                    Some(line) => self.read(&line)?,
                    None => return self.end().await,
                },
                Some(news) = news.recv() => self.hear(news)?,
                ended = &mut gateway, if is_running => {
                    is_running = false;
                    // A panic within twilight: claw starts the program again, and nothing is lost.
                    ended.map_err(|_| Exit::later("the gateway's task has failed"))?;
                }
                Some(fetched) = self.fetches.join_next() => self.fetched(finished(fetched)?)?,
                Some(attempt) = self.sends.join_next() => self.attempted(finished(attempt)?)?,
                () = sleep_until(self.deadline.unwrap_or_else(Instant::now)), if self.deadline.is_some() => {
                    return Err(Exit::unreachable(format!("Discord cannot be reached: {}", self.output.last())));
                }
                _ = tidy.tick() => {
                    self.store.prune();
                    self.save_dirty()?;
                }
            }
            self.fetch();
            if self.settings.once && self.is_listed && self.is_idle() {
                return Ok(());
            }
        }
    }

    /// Whether nothing is under way.
    fn is_idle(&self) -> bool {
        self.open.is_empty() && self.sends.is_empty() && self.fetches.is_empty() && self.queue.is_empty()
    }

    /// stdin has ended: the sends under way may finish.
    async fn end(&mut self) -> Result<(), Exit> {
        self.lanes.clear();
        let _ = timeout(GRACE, async { while self.sends.join_next().await.is_some() {} }).await;
        Ok(())
    }

    fn read(&mut self, line: &[u8]) -> Result<(), Exit> {
        match lines::parse(line) {
            Ok(FromClaw::Finished(id)) => self.finish(&id)?,
            Ok(FromClaw::Send(send)) => self.send(send),
            Ok(FromClaw::Ping(number)) if !self.was_ready => self.pings.push(number),
            Ok(FromClaw::Ping(number)) => self.output.line(&json!({"pong": number})),
            Err(why) => self.output.say(&why),
        }
        Ok(())
    }

    fn finish(&mut self, id: &str) -> Result<(), Exit> {
        let id = Snowflake::parse(id).unwrap_or_default();
        let Some(at) = self.open.remove(&id) else {
            self.output.say("claw answered a message that it was not given, or twice");
            return Ok(());
        };
        let Some(place) = self.places.get_mut(&at) else { return Ok(()) };
        place.ledger.finish(id);
        place.is_dirty = false;
        self.store.save(at, place)
    }

    fn hear(&mut self, news: News) -> Result<(), Exit> {
        match news {
            News::Me(me) => self.me = Some(me),
            News::Live => {
                self.deadline = None;
                self.was_ready = true;
                for number in std::mem::take(&mut self.pings) {
                    self.output.line(&json!({"pong": number}));
                }
                // A list that was begun before may have ended since.
                self.fall_behind();
                self.list();
            }
            News::Lost => {
                self.deadline.get_or_insert(Instant::now() + OUTAGE);
                self.fall_behind();
            }
            News::Message(message) => self.live(*message),
            News::End(exit) => return Err(exit),
        }
        Ok(())
    }

    fn save_dirty(&mut self) -> Result<(), Exit> {
        for (at, place) in self.places.iter_mut().filter(|(_, place)| place.is_dirty) {
            self.store.save(*at, place)?;
            place.is_dirty = false;
        }
        Ok(())
    }
}

/// A task's value; a panic ends the program, which claw starts again.
fn finished<T>(result: Result<T, JoinError>) -> Result<T, Exit> {
    result.map_err(|_| Exit::later("a task has failed"))
}
