//! One WebSocket client, from its first frame to its end. Frames of a client are handled one after the other, so that its
//! messages keep their order.

use super::feed::replay;
use super::hub::{Client, Out};
use super::site::Site;
use crate::channel::accept::Accepted;
use crate::core::channel::inbound::Inbound;
use crate::core::channel::web::cursor::Cursor;
use crate::core::channel::web::frame::{self, ClientFrame, ClientMessage, FrameError, MAX_FRAME};
use crate::core::channel::web::rate::Bucket;
use crate::core::event::origin::SenderClass;
use crate::http::server::TokioIo;
use crate::store::agent::definitions;
use crate::store::channel::tokens::{self, OWNER, Token};
use crate::store::workspace::journal_reader::JournalReader;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use hyper::upgrade::Upgraded;
use serde_json::{Value, json};
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

/// The longest wait for the first frame, with the token.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(5);
/// The time without a frame after which the client is asked whether it is there; after twice the time it is not.
const PING: Duration = Duration::from_secs(20);
/// The longest time in which a client takes no bytes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// The most bytes that a client may send without completing a message.
const MAX_UNFINISHED: usize = MAX_FRAME + (64 << 10);

type Socket = WebSocketStream<Metered>;

/// The connection; it fails when a client sends endless fragments.
struct Metered {
    stream: TokioIo<Upgraded>,
    unfinished: Rc<Cell<usize>>,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context, buffer: &mut ReadBuf) -> Poll<std::io::Result<()>> {
        if self.unfinished.get() > MAX_UNFINISHED {
            return Poll::Ready(Err(std::io::Error::other("a message is too long")));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.unfinished.set(self.unfinished.get() + buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The next thing to do.
enum Next {
    Frame(Option<Result<Message, Error>>),
    Out(Out),
    Tick,
}

/// Why a connection ends: the code and the reason of its last frame.
struct SocketEnd(u16, String);

/// Serves a client until it leaves.
pub(super) async fn run(site: &Site<'_, '_, '_>, stream: Upgraded, token: Option<Token>, cursor: Option<String>) {
    let unfinished = Rc::new(Cell::new(0));
    let metered = Metered { stream: TokioIo::new(stream), unfinished: Rc::clone(&unfinished) };
    let config = WebSocketConfig::default()
        .read_buffer_size(8 << 10)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME));
    let mut socket = WebSocketStream::from_raw_socket(metered, Role::Server, Some(config)).await;
    let login = match token {
        Some(token) => Ok((token, cursor)),
        None => log_in(site, &mut socket).await,
    };
    let end = match login {
        Ok((token, cursor)) => Session::run(site, &mut socket, &unfinished, token, cursor).await,
        Err(end) => end,
    };
    if end.0 > 0 {
        let close = CloseFrame { code: CloseCode::from(end.0), reason: end.1.into() };
        let _ = timeout(CLOSE_TIMEOUT, socket.close(Some(close))).await;
        // A client that is closed while it still writes gets the reason only if its bytes are read.
        let _ = timeout(CLOSE_TIMEOUT, async { while let Some(Ok(_)) = socket.next().await {} }).await;
    }
}

async fn log_in(site: &Site<'_, '_, '_>, socket: &mut Socket) -> Result<(Token, Option<String>), SocketEnd> {
    let first = timeout(LOGIN_TIMEOUT, async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return Some(text),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return None,
            }
        }
    });
    let wrong = |why: &str| Err(SocketEnd(1008, why.to_owned()));
    match first.await {
        Err(_) => wrong("the first frame with the token did not come within 5 s"),
        Ok(None) => Err(SocketEnd(1008, "the first frame must be {\"type\":\"auth\",\"token\":…}".to_owned())),
        Ok(Some(text)) => match frame::parse(&text) {
            Ok(ClientFrame::Auth { token, cursor }) => match site.token(&token) {
                Some(token) => Ok((token, cursor)),
                None => wrong("the token is wrong"),
            },
            _ => wrong("the first frame must be {\"type\":\"auth\",\"token\":…}"),
        },
    }
}

/// A client that is logged in.
struct Session<'s, 'x, 'w, 'a> {
    site: &'s Site<'x, 'w, 'a>,
    socket: &'s mut Socket,
    unfinished: &'s Cell<usize>,
    client: Rc<Client>,
    bucket: Bucket,
    /// The place after the last frame that was sent.
    last: Cursor,
}

impl<'s, 'x, 'w, 'a> Session<'s, 'x, 'w, 'a> {
    async fn run(
        site: &'s Site<'x, 'w, 'a>,
        socket: &'s mut Socket,
        unfinished: &'s Cell<usize>,
        token: Token,
        cursor: Option<String>,
    ) -> SocketEnd {
        let workspace = site.workspace();
        let position = site.hub.position();
        let (mut gap, mut reader) = (None, None);
        if let Some(text) = cursor {
            reader = Some(JournalReader::at(workspace, &text).unwrap_or_else(|(found, reader)| {
                gap = Some(found);
                reader
            }));
        }
        let begin = reader.as_ref().map_or_else(|| position.clone(), |reader| reader.cursor().clone());
        let after = if (&begin.day, begin.offset) > (&position.day, position.offset) {
            begin.clone()
        } else {
            position.clone()
        };
        let (client, queue) = site.hub.add(token, Some(after));
        let mut session = Session {
            site,
            socket,
            unfinished,
            client: Rc::clone(&client),
            bucket: Bucket::new(Instant::now()),
            last: begin,
        };
        let end = session
            .serve(queue, gap.map(crate::store::workspace::journal_reader::JournalGap::text), reader, &position)
            .await;
        site.hub.remove(&client);
        let reason = if end.0 == 1013 { format!("{}; your cursor: {}", end.1, session.last) } else { end.1 };
        SocketEnd(end.0, reason)
    }

    async fn serve(
        &mut self,
        mut queue: UnboundedReceiver<Out>,
        gap: Option<&str>,
        reader: Option<JournalReader>,
        end: &Cursor,
    ) -> SocketEnd {
        match self.greet(gap, reader, end).await {
            Ok(()) => {}
            Err(end) => return end,
        }
        let mut ticks = interval(PING);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        let mut is_asked = false;
        loop {
            let done = match next(self.socket, &mut queue, &mut ticks).await {
                Next::Frame(frame) => {
                    is_asked = false;
                    ticks.reset();
                    self.unfinished.set(0);
                    self.receive(frame).await
                }
                Next::Out(Out::Frame(text, cursor)) => {
                    let sent = self.send_text(&text).await;
                    self.client.took(text.len());
                    self.last = cursor.unwrap_or_else(|| self.last.clone());
                    sent
                }
                Next::Out(Out::Close(code, reason)) => Err(SocketEnd(code, reason.to_owned())),
                Next::Tick if is_asked => Err(SocketEnd(0, String::new())),
                Next::Tick => {
                    is_asked = true;
                    self.send(Message::Ping(Vec::new().into())).await
                }
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    /// Tells the client who it is, and sends what it has missed.
    async fn greet(&mut self, gap: Option<&str>, reader: Option<JournalReader>, end: &Cursor) -> Result<(), SocketEnd> {
        let token = &self.client.token;
        let address = format!("{}:{}", self.site.listening.name, token.name);
        let ready =
            json!({"type": "ready", "client": address, "observe": token.observe, "cursor": self.last.to_string()});
        self.send_json(&ready).await?;
        if let Some(reason) = gap {
            self.send_json(&json!({"type": "gap", "message": reason, "cursor": self.last.to_string()})).await?;
        }
        let Some(mut reader) = reader else { return Ok(()) };
        let (workspace, known, end) = (self.site.workspace(), self.site.known, end.clone());
        loop {
            let end = end.clone();
            let read = self.site.workers.run(move || {
                let frames = replay(workspace, known, &mut reader, &end);
                (frames, reader)
            });
            let Some((frames, rest)) = read.await else { return Err(SocketEnd(1011, "internal error".to_owned())) };
            reader = rest;
            if frames.is_empty() {
                return Ok(());
            }
            let (client, channel) = (Rc::clone(&self.client), self.site.listening.name);
            for frame in frames.into_iter().filter(|frame| client.sees(channel, &frame.concerns)) {
                self.send_text(&frame.text).await?;
                self.last = frame.cursor.unwrap_or_else(|| self.last.clone());
            }
        }
    }

    async fn receive(&mut self, frame: Option<Result<Message, Error>>) -> Result<(), SocketEnd> {
        match frame {
            Some(Ok(Message::Text(text))) => match frame::parse(&text) {
                Ok(ClientFrame::Message(message)) if self.bucket.take(Instant::now()) => self.accept(message).await,
                Ok(ClientFrame::Message(message)) => {
                    let busy = "too many messages: 20 a second, 64 at once; it was not accepted";
                    self.error(&FrameError::new(busy, message.id).repeatable()).await
                }
                Ok(ClientFrame::Auth { .. }) => {
                    self.error(&FrameError::new("this connection is logged in already", None)).await
                }
                Err(error) if self.bucket.take(Instant::now()) => self.error(&error).await,
                Err(_) => Err(SocketEnd(1008, "too many invalid frames".to_owned())),
            },
            Some(Ok(Message::Binary(_))) => self.error(&FrameError::new("frames must be text", None)).await,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) if self.bucket.take(Instant::now()) => {
                // The answer to a ping waits in the socket.
                self.flush().await
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                Err(SocketEnd(1008, "too many control frames".to_owned()))
            }
            Some(Ok(Message::Close(_))) | None => {
                let _ = timeout(CLOSE_TIMEOUT, self.socket.flush()).await;
                Err(SocketEnd(0, String::new()))
            }
            Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => {
                Err(SocketEnd(1009, format!("a message has at most {MAX_FRAME} bytes")))
            }
            Some(Err(Error::Utf8(_))) => Err(SocketEnd(1007, "the text is not UTF-8".to_owned())),
            Some(Err(Error::Protocol(e))) => Err(SocketEnd(1002, e.to_string())),
            Some(Err(_)) => Err(SocketEnd(0, String::new())),
        }
    }

    async fn accept(&mut self, message: ClientMessage) -> Result<(), SocketEnd> {
        let id = message.id.clone();
        let token = self.client.token.clone();
        let listening = self.site.listening;
        let accepted = self.site.workers.run(move || {
            let inbound = inbound(listening.workspace, &token, message)?;
            listening.accept(inbound).map_err(|fault| {
                listening.workspace.world.say(&fault.to_string());
                FrameError::new("the message could not be stored; send it again", None).repeatable()
            })
        });
        let refused = |message: String| FrameError::new(message, id.clone());
        match accepted.await {
            Some(Ok(Accepted::Published(event))) => {
                self.send_json(&json!({"type": "ack", "id": id, "event": event})).await
            }
            Some(Ok(Accepted::Paired(_))) => self.error(&refused("a code is no message here".to_owned())).await,
            Some(Ok(Accepted::Repeated(event))) => {
                self.send_json(&json!({"type": "ack", "id": id, "event": event, "repeated": true})).await
            }
            Some(Ok(Accepted::Refused(why))) => self.error(&refused(why.to_string())).await,
            Some(Err(error)) => self.error(&FrameError { id, ..error }).await,
            None => self.error(&refused("internal error; send it again".to_owned()).repeatable()).await,
        }
    }

    async fn error(&mut self, error: &FrameError) -> Result<(), SocketEnd> {
        self.send_json(&error.to_json()).await
    }

    async fn send_json(&mut self, frame: &Value) -> Result<(), SocketEnd> {
        self.send(Message::text(frame.to_string())).await
    }

    async fn send_text(&mut self, text: &Arc<str>) -> Result<(), SocketEnd> {
        self.send(Message::text(&**text)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), SocketEnd> {
        match timeout(WRITE_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(SocketEnd(0, String::new())),
            Err(_) => Err(SocketEnd(1013, "you do not read".to_owned())),
        }
    }

    async fn flush(&mut self) -> Result<(), SocketEnd> {
        match timeout(WRITE_TIMEOUT, self.socket.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(SocketEnd(0, String::new())),
            Err(_) => Err(SocketEnd(1013, "you do not read".to_owned())),
        }
    }
}

/// The message as it is accepted. Its sender is the token's.
fn inbound(
    workspace: &crate::store::workspace::Workspace,
    token: &Token,
    message: ClientMessage,
) -> Result<Inbound, FrameError> {
    let refused = |text: String| FrameError::new(text, message.id.clone());
    if let Some(agent) = &message.agent {
        if !token.owner && !token.agents.contains(agent) {
            let shown: String = agent.chars().take(40).collect();
            return Err(refused(format!("this token may not choose the agent `{}`", shown.escape_debug())));
        }
        if !definitions::has_agent(workspace, agent) {
            return Err(refused(format!("there is no agent `{}`", agent.escape_debug())));
        }
    }
    if message.session.is_some() && !token.owner {
        return Err(refused("only the owner may choose the session".to_owned()));
    }
    let name = if token.owner { OWNER } else { token.name.as_str() };
    let address = match &message.source {
        Some(source) => format!("{name}/{source}"),
        None => name.to_owned(),
    };
    let platform_id = match message.id.clone() {
        Some(id) => id,
        None => tokens::secret(workspace).map_err(|fault| refused(fault.message))?,
    };
    Ok(Inbound {
        platform_id,
        sender: address.clone(),
        reply_to: address,
        text: message.content,
        authenticated: Some(if token.owner { SenderClass::Owner } else { SenderClass::Known }),
        agent: message.agent,
        session: message.session,
        ..Inbound::default()
    })
}

async fn next(socket: &mut Socket, queue: &mut UnboundedReceiver<Out>, ticks: &mut Interval) -> Next {
    poll_fn(|context| {
        if let Poll::Ready(frame) = Pin::new(&mut *socket).poll_next(context) {
            return Poll::Ready(Next::Frame(frame));
        }
        // Answers to pings and to a close wait in the socket until it is flushed.
        let _ = Pin::new(&mut *socket).poll_flush(context);
        match queue.poll_recv(context) {
            Poll::Ready(Some(out)) => return Poll::Ready(Next::Out(out)),
            Poll::Ready(None) => return Poll::Ready(Next::Out(Out::Close(1001, "the listener ends"))),
            Poll::Pending => {}
        }
        ticks.poll_tick(context).map(|_| Next::Tick)
    })
    .await
}
