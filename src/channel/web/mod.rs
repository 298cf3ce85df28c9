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
mod site;
mod socket;
mod webhook;
mod workers;

use crate::channel::listening::Listening;
use crate::channel::web::feed::KnownEvents;
use crate::channel::web::hub::Hub;
use crate::channel::web::site::Site;
use crate::channel::web::workers::Workers;
use crate::channel::{Channel, Listener};
use crate::core::channel::web::listen_address::{self, ListenAddress};
use crate::core::fault::{Fault, Kind, Result};
use crate::http::server::{self, ServerSocket};
use crate::http::block_on;
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
    let address = ListenAddress::parse(settings.listen.as_deref().unwrap_or(listen_address::DEFAULT)).map_err(Fault::config)?;
    let tokens_folder = format!("{}/{}", tokens::FOLDER, listening.name);
    workspace.make_dir(&workspace.path(&tokens_folder), 2)?;
    workspace.make_dir(&workspace.path(listener_state::FOLDER), 2)?;
    stream::prepare(workspace)?;
    let (known, watch) = (KnownEvents::default(), feed::watch(workspace, &tokens_folder)?);
    let reader = JournalReader::at_end(workspace);
    let (feed_sender, mut feed_receiver) = tokio::sync::mpsc::unbounded_channel();
    std::thread::scope(|scope| {
        let no_thread = |e: std::io::Error| Fault::new(Kind::Machine, format!("cannot start a thread: {e}"));
        let workers = Workers::start(scope).map_err(no_thread)?;
        let hub = Hub::new(workspace, listening.name, reader.cursor().clone());
        let feed = || {
            if let Err(fault) = feed::run(workspace, &known, reader, &watch, listening.stop, &feed_sender) {
                workspace.world.say(&fault.to_string());
            }
        };
        std::thread::Builder::new().name("feed".to_owned()).spawn_scoped(scope, feed).map_err(no_thread)?;
        let (spawn, spawned) = server::tasks();
        let result = block_on(None, async {
            let control = ListenAddress::Unix(login::control_socket(listening.name));
            let sockets = vec![ServerSocket::bind(&control, &workspace.root)?, ServerSocket::bind(&address, &workspace.root)?];
            let port = sockets.get(1).and_then(ServerSocket::port);
            let site = Site::new(listening, &known, &workers, &hub, port, spawn);
            let pump = async {
                while let Some(message) = feed_receiver.recv().await {
                    hub.take(message, |token| site.is_valid(token));
                }
            };
            let handle = |socket, request| site.handle(socket == CONTROL, request);
            let serve = async {
                listening.connected();
                match listening.once {
                    true => Ok(()),
                    false => server::serve(sockets, listening.stop, &handle, spawned, || hub.end()).await,
                }
            };
            let (pump, serve) = (std::pin::pin!(pump), std::pin::pin!(serve));
            match futures_util::future::select(serve, pump).await {
                futures_util::future::Either::Left((result, _)) => result,
                // The feed's thread ends only with the listener, or when it cannot watch the folders.
                futures_util::future::Either::Right(((), _)) => Err(Fault::new(Kind::Machine, "the feed has ended")),
            }
        });
        // Ends the feed's thread if the listener has failed.
        drop(workers);
        drop(feed_receiver);
        watch.wake();
        result
    })
}
