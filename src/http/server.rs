//! The one HTTP server: it listens on a loopback address or a Unix socket and bounds everything that a client may send:
//! headers by size, number and time, bodies by size and time, connections by number. The response has headers that keep a
//! browser from guessing types, caching, and telling other sites about it.

use crate::core::channel::web::listen_address::ListenAddress;
use crate::core::fault::{Fault, Kind, Result};
use crate::http::run;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use http_body_util::{BodyExt, Full, Limited};
pub use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
pub use hyper::{Method, Request, Response, StatusCode, header, upgrade};
pub use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// Most connections at a time.
pub const MAX_CONNECTIONS: usize = 256;
/// The longest time for the headers of a request, also of the next one on a kept connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// The most headers of a request.
const MAX_HEADERS: usize = 64;
/// How long upgraded connections may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// The answer to a connection beyond [`MAX_CONNECTIONS`].
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 21\r\n\r\ntoo many connections\n";

/// A response of this server.
pub type HttpReply = Response<Full<Bytes>>;
/// Work that lives on after its request: an upgraded connection.
pub type ConnectionTask<'h> = LocalBoxFuture<'h, ()>;

/// A socket that listens.
pub enum ServerSocket {
    /// On a loopback address.
    Tcp(TcpListener),
    /// On a path.
    Unix(UnixListener),
}

/// An accepted connection.
enum ClientStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl ServerSocket {
    /// Listens; must be called inside of the runtime. A Unix socket is readable by this user alone, and replaces an older
    /// file of its name.
    ///
    /// # Errors
    /// `Later` if the address is in use; `Config` if it cannot be used.
    pub fn bind(address: &ListenAddress, root: &Path) -> Result<Self> {
        let refused = |name: String, e: io::Error| match e.kind() {
            io::ErrorKind::AddrInUse => Fault::new(Kind::Later, format!("another program listens on {name}"))
                .hint("end it, or set another port as `listen` of the channel"),
            io::ErrorKind::NotFound => {
                Fault::config(format!("cannot listen on {name}: {e}")).hint("make the folder of the socket")
            }
            _ => Fault::config(format!("cannot listen on {name}: {e}")),
        };
        match address {
            ListenAddress::Tcp(address) => {
                let bind = || {
                    let listener = std::net::TcpListener::bind(address)?;
                    listener.set_nonblocking(true)?;
                    TcpListener::from_std(listener)
                };
                bind().map(Self::Tcp).map_err(|e| refused(address.to_string(), e))
            }
            ListenAddress::Unix(path) => {
                let path = root.join(path);
                let bind = || {
                    use std::os::unix::fs::FileTypeExt;
                    if std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.file_type().is_socket()) {
                        std::fs::remove_file(&path)?;
                    }
                    // A path of a socket has at most 107 bytes; that of its folder's descriptor is short.
                    let folder = std::fs::File::open(path.parent().unwrap_or(root))?;
                    let name = path.file_name().unwrap_or_default();
                    let short = Path::new("/proc/self/fd")
                        .join(std::os::fd::AsRawFd::as_raw_fd(&folder).to_string())
                        .join(name);
                    let listener = UnixListener::bind(short)?;
                    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
                    Ok(listener)
                };
                bind().map(Self::Unix).map_err(|e: io::Error| refused(path.display().to_string(), e))
            }
        }
    }

    /// The port; `None` for a Unix socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(|address| address.port()),
            Self::Unix(_) => None,
        }
    }

    fn poll_accept(&self, context: &mut std::task::Context) -> Poll<io::Result<ClientStream>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(context).map_ok(|(stream, _)| ClientStream::Tcp(stream)),
            Self::Unix(listener) => listener.poll_accept(context).map_ok(|(stream, _)| ClientStream::Unix(stream)),
        }
    }
}

/// Serves the sockets until `stop` ends. `handle` gets each request with the number of its socket; tasks of
/// `spawned` are run beside the connections. `end` is called at the stop, and spawned tasks then get a second to end.
pub async fn serve<'h, 's, F: Future<Output = HttpReply> + 'h>(
    sockets: Vec<ServerSocket>,
    stop: impl Future<Output = ()>,
    handle: &'h dyn Fn(usize, Request<Incoming>) -> F,
    mut spawned: UnboundedReceiver<ConnectionTask<'s>>,
    end: impl FnOnce(),
) {
    let mut connections: FuturesUnordered<ConnectionTask<'h>> = FuturesUnordered::new();
    let mut tasks: FuturesUnordered<ConnectionTask<'s>> = FuturesUnordered::new();
    {
        let mut stopped = pin!(stop);
        poll_fn(|context| {
            if stopped.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            loop {
                for (number, socket) in sockets.iter().enumerate() {
                    // An error, like too many open files, is tried again when something else wakes this task.
                    while let Poll::Ready(Ok(stream)) = socket.poll_accept(context) {
                        if connections.len() + tasks.len() >= MAX_CONNECTIONS {
                            refuse(stream);
                        } else {
                            connections.push(connection(stream, number, handle));
                        }
                    }
                }
                while let Poll::Ready(Some(())) = connections.poll_next_unpin(context) {}
                let mut has_new = false;
                while let Poll::Ready(Some(task)) = spawned.poll_recv(context) {
                    tasks.push(task);
                    has_new = true;
                }
                while let Poll::Ready(Some(())) = tasks.poll_next_unpin(context) {}
                if !has_new {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }
    end();
    let late = || Fault::new(Kind::Unavailable, "a client did not end its connection");
    let goodbye = async {
        while tasks.next().await.is_some() {}
        Ok(())
    };
    let _ = run::within(GOODBYE, late, goodbye).await;
}

fn refuse(stream: ClientStream) {
    let _ = match stream {
        ClientStream::Tcp(stream) => stream.into_std().and_then(|mut stream| stream.write_all(FULL)),
        ClientStream::Unix(stream) => stream.into_std().and_then(|mut stream| stream.write_all(FULL)),
    };
}

fn connection<'h, F: Future<Output = HttpReply> + 'h>(
    stream: ClientStream,
    number: usize,
    handle: &'h dyn Fn(usize, Request<Incoming>) -> F,
) -> ConnectionTask<'h> {
    let service = service_fn(move |request| {
        let reply = handle(number, request);
        async move { Ok::<_, Infallible>(reply.await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    match stream {
        ClientStream::Tcp(stream) => {
            let _ = stream.set_nodelay(true);
            let served = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
            Box::pin(async { drop(served.await) })
        }
        ClientStream::Unix(stream) => {
            let served = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
            Box::pin(async { drop(served.await) })
        }
    }
}

/// The sender of tasks and its receiver, for [`serve`].
#[must_use]
pub fn tasks<'h>() -> (UnboundedSender<ConnectionTask<'h>>, UnboundedReceiver<ConnectionTask<'h>>) {
    tokio::sync::mpsc::unbounded_channel()
}

/// The whole body of a request.
///
/// # Errors
/// The status for a body that is too long, too slow or broken.
pub async fn body(request: Request<Incoming>, most: usize) -> std::result::Result<Bytes, StatusCode> {
    let declared =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > most as u64) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(request.into_body(), most).collect()).await {
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
    }
}

/// A response with the headers that every response has.
#[must_use]
pub fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> HttpReply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    for (name, value) in [
        ("content-type", content_type),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-resource-policy", "same-origin"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    reply
}
