//! The program's one loop. It owns all places, hands messages to claw, and records which are finished.

use crate::catch_up::{self, Page};
use crate::exit::Exit;
use crate::gateway::{Gateway, News};
use crate::incoming;
use crate::ledger::{Ledger, is_plausible};
use crate::lines::{self, FromClaw, SendLine};
use crate::output::Output;
use crate::place::{Kind, Phase, Place};
use crate::rest::{Failure, Rest};
use crate::send::{Attempt, Sender};
use crate::settings::Settings;
use crate::store::Store;
use crate::wire::{Channel, Message, Snowflake, now_millis};
use serde_json::json;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

/// While claw has so many messages to answer, no page is fetched.
const MAX_OPEN: usize = 256;
/// While claw has so many messages to answer, live ones are left to be fetched.
const MAX_LIVE: usize = 1024;
/// Pages that are fetched at the same time.
const FETCHES: usize = 4;
/// How far back a place that was unknown is fetched, in milliseconds.
const BACK: u64 = 86_400_000;
/// A place with a message as new as this, in milliseconds, is fetched even if its newest one is known.
const RECENT: u64 = 60_000;
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
                self.list();
            }
            News::Lost => {
                self.deadline.get_or_insert(Instant::now() + OUTAGE);
                self.is_listed = false;
                self.queue.clear();
                self.places.values_mut().for_each(Place::fall_behind);
            }
            News::Message(message) => self.live(*message),
            News::End(exit) => return Err(exit),
        }
        Ok(())
    }

    fn list(&mut self) {
        if let Some(again) = &mut self.listing {
            *again = true;
            return;
        }
        self.listing = Some(false);
        let (rest, output) = (self.rest.clone(), self.output.clone());
        self.fetches.spawn(async move {
            let list = catch_up::list(&rest, &output).await;
            if let Err(Failure::Later(_, wait)) = &list {
                sleep(*wait).await;
            }
            Fetched::List(list)
        });
    }

    /// A message of the gateway.
    fn live(&mut self, message: Message) {
        let Some(me) = self.me else { return };
        let at = message.channel_id;
        if !is_plausible(message.id, now_millis()) || !is_plausible(at, now_millis()) {
            self.output.say(&format!(
                "message {} is from the future and is left out; is this machine's clock right?",
                message.id
            ));
            return;
        }
        let kind =
            message.guild_id.is_none().then_some(Kind::Direct(message.author.id)).filter(|_| message.author.id != me);
        if !self.places.contains_key(&at) {
            // The bot's own message in a new direct conversation does not say whose it is; the API does.
            self.places.insert(at, Place::new(kind, Ledger::new(self.first_floor())));
        }
        let is_full = self.open.len() >= MAX_LIVE;
        let Some(place) = self.places.get_mut(&at) else { return };
        match place.phase {
            Phase::Current if is_full => place.fall_behind(),
            Phase::Current => {
                self.take(at, &message);
                return;
            }
            Phase::Behind(_) | Phase::Fetching(_) => place.wait(message),
        }
        if self.is_listed {
            self.enqueue(at);
        }
    }

    fn first_floor(&self) -> Snowflake {
        Snowflake::at(self.store.since().max(now_millis().saturating_sub(BACK)))
    }

    fn enqueue(&mut self, at: Snowflake) {
        if !self.queue.contains(&at) {
            self.queue.push_back(at);
        }
    }

    /// Hands a message to claw, or skips it. A message that is known is neither.
    fn take(&mut self, at: Snowflake, message: &Message) {
        let (Some(me), Some(place)) = (self.me, self.places.get_mut(&at)) else { return };
        let Some(kind) = place.kind else { return };
        if place.ledger.knows(message.id) || !is_plausible(message.id, now_millis()) {
            return;
        }
        if let Some(line) = incoming::line(message, kind, me) {
            place.ledger.open(message.id);
            self.open.insert(message.id, at);
            self.output.line(&line);
        } else {
            place.ledger.skip(message.id);
            place.is_dirty = true;
        }
    }

    /// Starts fetches, unless claw has enough to answer.
    fn fetch(&mut self) {
        while self.is_listed && self.fetches.len() < FETCHES && self.open.len() < MAX_OPEN {
            let Some(at) = self.queue.pop_front() else { return };
            let Some(place) = self.places.get_mut(&at) else { continue };
            let Phase::Behind(after) = place.phase else { continue };
            place.phase = Phase::Fetching(false);
            let (rest, output, kind) = (self.rest.clone(), self.output.clone(), place.kind);
            self.fetches.spawn(async move {
                let page = catch_up::page(&rest, &output, at, after, kind).await;
                if let Err(Failure::Later(_, wait)) = &page {
                    sleep(*wait).await;
                }
                Fetched::Page(at, after, page)
            });
        }
    }

    fn fetched(&mut self, fetched: Fetched) -> Result<(), Exit> {
        match fetched {
            Fetched::List(list) => {
                let again = self.listing.take().unwrap_or_default();
                match list {
                    Ok(channels) if !again => self.listed(&channels),
                    Ok(_) => self.list(),
                    Err(failure) => {
                        self.trouble("the servers", failure)?;
                        self.list();
                    }
                }
            }
            Fetched::Page(at, after, page) => self.page(at, after, page)?,
        }
        Ok(())
    }

    /// The places are known: those that may have missed messages are fetched, the others are current.
    fn listed(&mut self, channels: &[Channel]) {
        self.is_listed = true;
        let now = now_millis();
        let floor = self.first_floor();
        let mut last = HashMap::new();
        for channel in channels.iter().filter(|channel| is_plausible(channel.id, now)) {
            last.insert(channel.id, channel.last_message_id);
            let kind = Kind::of(channel);
            let place = self.places.entry(channel.id).or_insert_with(|| Place::new(kind, Ledger::new(floor)));
            place.kind = kind.or(place.kind);
        }
        let mut current = Vec::new();
        for (at, place) in &mut self.places {
            place.fall_behind();
            let newest = place.ledger.newest();
            let is_known = |last: &Option<Snowflake>| {
                last.is_none_or(|last| last <= newest && (last <= place.ledger.floor() || last.millis() + RECENT < now))
            };
            if matches!(place.phase, Phase::Behind(_)) && last.get(at).is_some_and(is_known) {
                current.push(*at);
            } else if !self.queue.contains(at) {
                self.queue.push_back(*at);
            }
        }
        for at in current {
            self.make_current(at);
        }
    }

    fn page(&mut self, at: Snowflake, after: Snowflake, page: Result<Page, Failure>) -> Result<(), Exit> {
        let Some(place) = self.places.get_mut(&at) else { return Ok(()) };
        let is_missed_again = place.phase == Phase::Fetching(true);
        match page {
            Ok(page) => {
                place.kind = place.kind.or(page.kind);
                let is_known = place.kind.is_some();
                for message in &page.messages {
                    self.take(at, message);
                }
                let now = now_millis();
                let last = page.ids.iter().copied().filter(|id| is_plausible(*id, now)).max();
                match last {
                    _ if is_missed_again => self.behind(at, None),
                    Some(last) if page.is_full && last > after && is_known => self.behind(at, Some(last)),
                    _ => self.make_current(at),
                }
            }
            Err(Failure::Refused(_, why)) => {
                self.output.say(&format!("place {at}: what was missed cannot be fetched: {why}"));
                self.make_current(at);
            }
            Err(failure) => {
                self.behind(at, (!is_missed_again).then_some(after));
                self.trouble(&format!("place {at}"), failure)?;
            }
        }
        Ok(())
    }

    /// The rest is fetched: after `after`, or from the mark on.
    fn behind(&mut self, at: Snowflake, after: Option<Snowflake>) {
        let Some(place) = self.places.get_mut(&at) else { return };
        place.phase = Phase::Behind(after.unwrap_or(place.ledger.floor()));
        if self.is_listed {
            self.enqueue(at);
        }
    }

    /// Nothing is missing any more: the messages that waited come next.
    fn make_current(&mut self, at: Snowflake) {
        let Some(place) = self.places.get_mut(&at) else { return };
        place.phase = Phase::Current;
        for message in std::mem::take(&mut place.waiting).into_values() {
            self.take(at, &message);
        }
    }

    fn trouble(&self, of: &str, failure: Failure) -> Result<(), Exit> {
        match failure {
            Failure::Unauthorized => return Err(Exit::wrong_token()),
            Failure::Refused(_, why) | Failure::Later(why, _) | Failure::Unknown(why) => {
                self.output.say(&format!("{of}: {why}"));
            }
        }
        Ok(())
    }

    fn send(&mut self, line: SendLine) {
        if let Some(waiting) = self.lanes.get_mut(&line.to) {
            waiting.push_back(line);
            return;
        }
        self.lanes.insert(line.to.clone(), VecDeque::new());
        self.start_send(line);
    }

    fn start_send(&mut self, line: SendLine) {
        let known = self.known(&line.to);
        let sender = Sender { rest: self.rest.clone(), store: self.store.clone(), output: self.output.clone() };
        self.sends.spawn(sender.deliver(line, known));
    }

    /// The channel of a destination that is a known place.
    fn known(&self, to: &str) -> Option<Snowflake> {
        let id = Snowflake::parse(to.rsplit_once('/').map_or(to, |(_, thread)| thread))?;
        if self.places.contains_key(&id) {
            return Some(id);
        }
        let is_direct = |place: &Place| place.kind == Some(Kind::Direct(id));
        self.places.iter().find(|(_, place)| is_direct(place)).map(|(at, _)| *at)
    }

    fn attempted(&mut self, attempt: Attempt) -> Result<(), Exit> {
        if let Some((at, user)) = attempt.opened
            && !self.places.contains_key(&at)
        {
            // Its answers count, also those that come while the program does not run.
            let mut place = Place::new(Some(Kind::Direct(user)), Ledger::new(self.first_floor()));
            place.is_dirty = true;
            self.places.insert(at, place);
            if self.is_listed {
                self.enqueue(at);
            }
        }
        if let Some(exit) = attempt.exit {
            return Err(exit);
        }
        match self.lanes.get_mut(&attempt.to).and_then(VecDeque::pop_front) {
            Some(next) => self.start_send(next),
            None => drop(self.lanes.remove(&attempt.to)),
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
