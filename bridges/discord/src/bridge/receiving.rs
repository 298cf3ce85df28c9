//! From Discord to claw: places fall behind, are fetched, become current. Only then are their live messages handed over.

use super::{Bridge, Fetched};
use crate::catch_up::{self, Page};
use crate::exit::Exit;
use crate::incoming;
use crate::ledger::{Ledger, is_plausible};
use crate::place::{Kind, Phase, Place};
use crate::rest::Failure;
use crate::wire::{Channel, Message, Snowflake, now_millis};
use std::collections::HashMap;
use tokio::time::sleep;

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

impl Bridge {
    /// Messages may have been missed everywhere.
    pub(super) fn fall_behind(&mut self) {
        self.is_listed = false;
        self.queue.clear();
        self.places.values_mut().for_each(Place::fall_behind);
    }

    pub(super) fn list(&mut self) {
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
    pub(super) fn live(&mut self, message: Message) {
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

    pub(super) fn first_floor(&self) -> Snowflake {
        Snowflake::at(self.store.since().max(now_millis().saturating_sub(BACK)))
    }

    pub(super) fn enqueue(&mut self, at: Snowflake) {
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
    pub(super) fn fetch(&mut self) {
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

    pub(super) fn fetched(&mut self, fetched: Fetched) -> Result<(), Exit> {
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
}
