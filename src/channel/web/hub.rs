//! The connected clients: each has a queue of frames, bounded in bytes, so that one that does not read delays no other.

use super::feed::{FeedFrame, FeedMessage};
use crate::core::channel::web::cursor::Cursor;
use crate::core::event::address::Address;
use crate::store::channel::tokens::Token;
use crate::store::session::stream;
use crate::store::workspace::Workspace;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The most bytes that wait for one client; a single frame may be longer.
const MAX_WAITING: usize = 1 << 20;

/// A message to a client's task.
pub(super) enum Out {
    /// A frame, and the place after it.
    Frame(Arc<str>, Option<Cursor>),
    /// The connection ends with this code and reason.
    Close(u16, &'static str),
}

/// A connected client.
pub(super) struct Client {
    /// What it may do.
    pub(super) token: Token,
    queue: UnboundedSender<Out>,
    waiting: Cell<usize>,
    /// Frames up to here it has received already.
    after: RefCell<Option<Cursor>>,
    has_ended: Cell<bool>,
}

impl Client {
    /// The task has taken a frame of this length from the queue.
    pub(super) fn took(&self, length: usize) {
        self.waiting.set(self.waiting.get().saturating_sub(length));
    }

    pub(super) fn sees(&self, channel: &str, concerns: &[Address]) -> bool {
        let name = &self.token.name;
        let is_own = |address: &Address| {
            let below = address.rest().strip_prefix(name.as_str());
            address.channel() == channel && below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        };
        self.token.owner || self.token.observe || concerns.iter().any(is_own)
    }

    fn push(&self, frame: &FeedFrame) {
        if self.has_ended.get() || is_before(frame.cursor.as_ref(), self.after.borrow().as_ref()) {
            return;
        }
        let before = self.waiting.get();
        self.waiting.set(before + frame.text.len());
        if before > 0 && self.waiting.get() > MAX_WAITING {
            self.end(1013, "you do not read");
            return;
        }
        let _ = self.queue.send(Out::Frame(Arc::clone(&frame.text), frame.cursor.clone()));
    }

    fn end(&self, code: u16, reason: &'static str) {
        if !self.has_ended.replace(true) {
            let _ = self.queue.send(Out::Close(code, reason));
        }
    }
}

fn is_before(cursor: Option<&Cursor>, after: Option<&Cursor>) -> bool {
    match (cursor, after) {
        (Some(cursor), Some(after)) => (&cursor.day, cursor.offset) <= (&after.day, after.offset),
        _ => false,
    }
}

/// All clients.
pub(super) struct Hub<'a> {
    workspace: &'a Workspace,
    channel: &'a str,
    clients: RefCell<Vec<Rc<Client>>>,
    /// The place after the last frame.
    position: RefCell<Cursor>,
}

impl<'a> Hub<'a> {
    pub(super) fn new(workspace: &'a Workspace, channel: &'a str, position: Cursor) -> Self {
        Self { workspace, channel, clients: RefCell::default(), position: RefCell::new(position) }
    }

    /// Adds a client that has received everything up to `after`. From now on it gets new frames.
    pub(super) fn add(&self, token: Token, after: Option<Cursor>) -> (Rc<Client>, UnboundedReceiver<Out>) {
        let (queue, receiver) = unbounded_channel();
        let after = RefCell::new(after);
        let client = Rc::new(Client { token, queue, waiting: Cell::new(0), after, has_ended: Cell::new(false) });
        let mut clients = self.clients.borrow_mut();
        if clients.is_empty() {
            stream::set_watched(self.workspace, true);
        }
        clients.push(Rc::clone(&client));
        (client, receiver)
    }

    pub(super) fn remove(&self, client: &Rc<Client>) {
        let mut clients = self.clients.borrow_mut();
        clients.retain(|other| !Rc::ptr_eq(other, client));
        if clients.is_empty() {
            stream::set_watched(self.workspace, false);
        }
    }

    /// The place after the last frame that was distributed.
    pub(super) fn position(&self) -> Cursor {
        self.position.borrow().clone()
    }

    /// Distributes the feed to the clients that it concerns.
    pub(super) fn take(&self, message: FeedMessage, is_valid: impl Fn(&Token) -> bool) {
        match message {
            FeedMessage::Frame(frame) => {
                if let Some(cursor) = &frame.cursor {
                    self.position.replace(cursor.clone());
                }
                let clients = self.clients.borrow();
                clients
                    .iter()
                    .filter(|client| client.sees(self.channel, &frame.concerns))
                    .for_each(|client| client.push(&frame));
            }
            FeedMessage::Tokens => {
                let clients = self.clients.borrow();
                clients
                    .iter()
                    .filter(|client| !is_valid(&client.token))
                    .for_each(|client| client.end(4001, "the token was removed"));
            }
        }
    }

    /// Says goodbye to everybody.
    pub(super) fn end(&self) {
        self.clients.borrow().iter().for_each(|client| client.end(1001, "the listener ends"));
        stream::set_watched(self.workspace, false);
    }
}
