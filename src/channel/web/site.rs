//! One run of the web listener: what its requests and its sockets share.

use super::feed::KnownEvents;
use super::hub::Hub;
use super::login::Codes;
use super::workers::DiskWorkers;
use crate::channel::listening::Listening;
use crate::core::channel::web::same_origin::SameOrigin;
use crate::store::channel::tokens::{self, Token};
use crate::store::workspace::Workspace;

/// One run of the listener.
pub(super) struct Site<'x, 'w, 'a> {
    pub(super) listening: &'w Listening<'a>,
    pub(super) known: &'w KnownEvents,
    pub(super) workers: &'x DiskWorkers<'w>,
    pub(super) hub: &'x Hub<'w>,
    pub(super) own: SameOrigin,
    pub(super) port: Option<u16>,
    pub(super) codes: Codes,
}

impl<'x, 'w, 'a> Site<'x, 'w, 'a> {
    pub(super) fn new(
        listening: &'w Listening<'a>,
        known: &'w KnownEvents,
        workers: &'x DiskWorkers<'w>,
        hub: &'x Hub<'w>,
        port: Option<u16>,
    ) -> Self {
        let own = SameOrigin::new(port, &listening.settings.hosts);
        Self { listening, known, workers, hub, own, port, codes: Codes::default() }
    }

    pub(super) fn workspace(&self) -> &'w Workspace {
        self.listening.workspace
    }

    /// Whether a token is still one.
    pub(super) fn is_valid(&self, token: &Token) -> bool {
        tokens::all(self.workspace(), self.listening.name)
            .is_ok_and(|all| all.iter().any(|(_, other)| other.hash == token.hash))
    }

    /// The token of this text.
    pub(super) fn token(&self, text: &str) -> Option<Token> {
        tokens::find(self.workspace(), self.listening.name, text).unwrap_or_else(|fault| {
            self.workspace().world.say(&fault.to_string());
            None
        })
    }
}
