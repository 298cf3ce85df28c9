//! The HTTP client of models, web tools and channels: how a client is built, how a request is run on the caller's
//! thread with a deadline and a stop descriptor, how a failed request becomes a `Fault`, and how credentials are kept
//! out of every text that is made of a request. It knows no service and no policy: statuses and error bodies are read
//! by `provider`, and the addresses that an agent may reach are checked by `tool/web`.
//!
//! The one server is [`server`], for the page and the programs of this machine.
//!
//! Invariant: no text leaves a request without passing [`Credentials`].

mod client;
mod error;
pub mod local;
mod run;
mod secret;
pub mod server;

pub use client::{ClientOptions, Proxy, Resolver, client, is_loopback};
pub use error::{cause, request_fault};
pub use run::{block_on, join_all, within};
pub use secret::Credentials;
