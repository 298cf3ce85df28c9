//! The web channel: one listener on a loopback address or a Unix socket, with a WebSocket for programs (`/ws`), webhooks
//! (`POST /hook/NAME`) and the owner's page (`/`). A program has a token, whose name is its address `web:NAME`; a page
//! that is logged in is the owner, `web:owner`.
//!
//! Delivery needs no connection: an answer is delivered when its line is in the journal, from which a client fetches it
//! with its cursor.

mod api;
mod delivery;
mod feed;
mod hub;
mod login;
mod markdown;
mod page;
mod requests;
mod site;
mod socket;
mod webhook;
mod workers;

use crate::channel::listening::Listening;
use crate::channel::web::feed::KnownEvents;
use crate::channel::web::hub::Hub;
use crate::channel::web::site::Site;
use crate::channel::web::workers::DiskWorkers;
use crate::channel::{Channel, Listener};
use crate::core::channel::web::listen_address::{self, ListenAddress};
use crate::core::fault::{Fault, Kind, Result};
use crate::http::block_on;
use crate::http::server::{self, ServerSocket};
use crate::store::channel::{listener_state, tokens};
use crate::store::session::stream;
use crate::store::workspace::journal_reader::JournalReader;
pub use login::{PageLink, link, log_out, open_file};

/// The type's name.
pub const KIND: &str = "web";

pub(super) const CHANNEL: Channel = Channel {
    name: KIND,
    send: delivery::send,
    is_sent: |_, _, receipt| !receipt.lines.is_empty(),
    check: |_, _| Ok(()),
    problems: |_| Vec::new(),
    hint: "The reader sees your answer on a web page, which shows Markdown, or in a program.",
    folder: None,
    listen: Some(Listener {
        run,
        delivers: false,
        account: |_, name, _| Ok(name.to_owned()),
        invitation: |_, name, _, _| format!("Channel {name} has tokens instead of codes: claw channels token NAME"),
    }),
};

/// The number of the control socket among the sockets.
const CONTROL: usize = 0;

fn run(listening: &Listening) -> Result<()> {
    let (workspace, settings) = (listening.workspace, listening.settings);
    let address =
        ListenAddress::parse(settings.listen.as_deref().unwrap_or(listen_address::DEFAULT)).map_err(Fault::config)?;
    let tokens_folder = format!("{}/{}", tokens::FOLDER, listening.name);
    workspace.make_dir(&workspace.path(&tokens_folder), 2)?;
    workspace.make_dir(&workspace.path(listener_state::FOLDER), 2)?;
    stream::prepare(workspace)?;
    let (known, watch) = (KnownEvents::default(), feed::watch(workspace, &tokens_folder)?);
    let reader = JournalReader::at_end(workspace);
    let (feed_sender, mut feed_receiver) = tokio::sync::mpsc::unbounded_channel();
    std::thread::scope(|scope| {
        let no_thread = |e: std::io::Error| Fault::new(Kind::Machine, format!("cannot start a thread: {e}"));
        let workers = DiskWorkers::start(scope).map_err(no_thread)?;
        let hub = Hub::new(workspace, listening.name, reader.cursor().clone());
        let (known_events, watched) = (&known, &watch);
        let feed = move || feed::run(workspace, known_events, reader, watched, listening.stop, &feed_sender);
        let feed = std::thread::Builder::new().name("feed".to_owned()).spawn_scoped(scope, feed).map_err(no_thread)?;
        let result = block_on(None, async {
            let control = ListenAddress::Unix(login::control_socket(listening.name));
            let sockets =
                vec![ServerSocket::bind(&control, &workspace.root)?, ServerSocket::bind(&address, &workspace.root)?];
            let port = sockets.get(1).and_then(ServerSocket::port);
            let site = Site::new(listening, &known, &workers, &hub, port);
            let (spawn, spawned) = server::tasks();
            let pump = async {
                while let Some(message) = feed_receiver.recv().await {
                    hub.take(message, |token| site.is_valid(token));
                }
            };
            let handle = |socket, request| site.handle(socket == CONTROL, request, &spawn);
            listening.connected();
            if !listening.once {
                // The feed's thread ends when the listener must, or when it cannot watch the folders.
                server::serve(sockets, pump, &handle, spawned, || hub.end()).await;
            }
            Ok(())
        });
        // Ends the feed's thread if it has not ended: the listener has failed, or there was nothing to wait for.
        feed_receiver.close();
        watch.wake();
        result.and(feed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
