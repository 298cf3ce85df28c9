//! Requests: which may be answered, and by whom. Every request must name one of our hosts; one with an `Origin` must come
//! from a page of ours. A token is taken from `Authorization` only.

use super::login::CODE_PATH;
use super::site::Site;
use super::webhook;
use super::{api, page, socket};
use crate::core::base64;
use crate::core::fault::{Fault, Kind};
use crate::http::server::{
    self, ConnectionTask, HttpReply, Incoming, Method, Request, StatusCode, header, reply, upgrade,
};
use crate::store::channel::tokens::{self, OWNER, Token};
use hyper::header::HeaderMap;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use tokio::sync::mpsc::UnboundedSender;
use url::form_urlencoded;

/// The longest body of a request of the page, in bytes.
const MAX_BODY: usize = 64 << 10;
/// Names of parameters in which programs put tokens.
const TOKEN_NAMES: [&str; 6] = ["token", "access_token", "auth", "authorization", "key", "api_key"];
/// The constant of RFC 6455, section 1.3.
const HANDSHAKE: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

impl Site<'_, '_, '_> {
    /// Answers a request; a WebSocket's task goes to `spawn`. `is_control`: it came over the control socket, which only this user can open.
    pub(super) async fn handle<'s>(
        &'s self,
        is_control: bool,
        request: Request<Incoming>,
        spawn: &UnboundedSender<ConnectionTask<'s>>,
    ) -> HttpReply {
        if is_control {
            return self.control(&request);
        }
        match self.refusal(&request) {
            Some(refused) => refused,
            None => self.answer(request, spawn).await,
        }
    }

    fn control(&self, request: &Request<Incoming>) -> HttpReply {
        if request.method() != Method::POST
            || request.uri().path() != CODE_PATH
            || request.headers().contains_key(header::ORIGIN)
        {
            return text(StatusCode::NOT_FOUND, "not found");
        }
        match tokens::secret(self.workspace()) {
            Ok(code) => {
                self.codes.add(&code);
                let base = self
                    .port
                    .map(|_| format!("http://{}", self.listening.settings.listen.as_deref().unwrap_or_default()));
                let base = base.map(|base| self.base(&base));
                document(StatusCode::OK, &json!({"base": base.unwrap_or_default(), "code": code}))
            }
            Err(fault) => fault_reply(&fault),
        }
    }

    /// The beginning of the page's URL: the address of the settings, with the port that was taken.
    fn base(&self, configured: &str) -> String {
        let host = configured
            .strip_prefix("http://")
            .and_then(|rest| rest.rsplit_once(':'))
            .map_or("127.0.0.1", |(host, _)| host);
        format!("http://{}:{}", if host.is_empty() { "127.0.0.1" } else { host }, self.port.unwrap_or_default())
    }

    /// The response to a request that may not be answered.
    fn refusal(&self, request: &Request<Incoming>) -> Option<HttpReply> {
        let headers = request.headers();
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        // A request to a proxy names its host in the target, too.
        let is_foreign_target = request.uri().authority().is_some_and(|target| !self.own.is_host(target.as_str()));
        if hosts.next().is_some() || is_foreign_target || !host.is_some_and(|host| self.own.is_host(host)) {
            return Some(text(
                StatusCode::MISDIRECTED_REQUEST,
                "this host name is not one of this server's; `hosts` in claw.yaml lists further ones",
            ));
        }
        if headers
            .get_all(header::TRANSFER_ENCODING)
            .iter()
            .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        {
            return Some(text(StatusCode::NOT_IMPLEMENTED, "the only transfer coding is chunked"));
        }
        let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
        let site = headers.get("sec-fetch-site").map(|site| site.to_str().unwrap_or_default());
        let is_navigation = request.method() == Method::GET && request.uri().path() == "/";
        let is_foreign = origin.is_some_and(|origin| !self.own.is_origin(origin))
            || site.is_some_and(|site| !matches!(site, "same-origin" | "none")) && !is_navigation;
        if is_foreign {
            return Some(text(StatusCode::FORBIDDEN, "a page of another site may not use this server"));
        }
        let query = request.uri().query().unwrap_or_default();
        let leaked = form_urlencoded::parse(query.as_bytes()).find(|(name, value)| self.is_token(name, value));
        leaked.map(|(_, value)| {
            let whose = self.token(&value).map(|token| token.name);
            if let Some(name) = whose {
                let again = format!("replace it with `claw channels token {name}`");
                self.workspace().world.log(&format!("the token `{name}` has leaked: it was sent in a URL, which logs keep; {again}"));
            }
            text(StatusCode::BAD_REQUEST, "a token in a URL is refused: logs and histories keep URLs. Send it as `Authorization: Bearer TOKEN` or in the first frame, and replace this one")
        })
    }

    fn is_token(&self, name: &str, value: &str) -> bool {
        TOKEN_NAMES.contains(&name.to_ascii_lowercase().as_str()) || self.token(value).is_some()
    }

    async fn answer<'s>(
        &'s self,
        request: Request<Incoming>,
        spawn: &UnboundedSender<ConnectionTask<'s>>,
    ) -> HttpReply {
        let path = request.uri().path().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::GET, "/") => page::response(),
            (&Method::GET, "/ws") => self.socket(request, spawn),
            (&Method::POST, path) if path.starts_with("/hook/") => {
                self.hook(path["/hook/".len()..].to_owned(), request).await
            }
            (_, path) if path.starts_with("/api/") => self.api(request).await,
            (_, "/" | "/ws") => text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
            _ => text(StatusCode::NOT_FOUND, "not found"),
        }
    }

    async fn hook(&self, name: String, request: Request<Incoming>) -> HttpReply {
        let headers: BTreeMap<String, String> = readable(request.headers());
        let body = match server::body(request, webhook::MAX_BODY).await {
            Ok(body) => body,
            Err(status) => return document(status, &json!({"error": "the body is too long, too slow or broken"})),
        };
        let listening = self.listening;
        let accepted = self.workers.run(move || webhook::accept(listening, &name, &headers, &body)).await;
        let (status, answer) =
            accepted.unwrap_or((StatusCode::INTERNAL_SERVER_ERROR, json!({"error": "internal error"})));
        document(status, &answer)
    }

    async fn api(&self, request: Request<Incoming>) -> HttpReply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
                .map(|(name, value): (Cow<str>, Cow<str>)| (name.into_owned(), value.into_owned()))
                .collect();
        if method == Method::POST && !request.headers().contains_key(header::ORIGIN) {
            return text(StatusCode::FORBIDDEN, "the header Origin is missing");
        }
        let token = bearer(request.headers()).and_then(|text| self.token(text)).filter(|token| token.owner);
        let body: Value = if method == Method::POST {
            match server::body(request, MAX_BODY).await {
                Ok(body) => serde_json::from_slice(&body).unwrap_or_default(),
                Err(status) => return text(status, "the body is too long, too slow or broken"),
            }
        } else {
            Value::Null
        };
        if (&method, path.as_str()) == (&Method::POST, "/api/login") {
            return self.log_in(body.get("code").and_then(Value::as_str).unwrap_or_default());
        }
        let Some(token) = token else {
            return document(StatusCode::UNAUTHORIZED, &json!({"error": "log in with `claw page`"}));
        };
        let (workspace, channel) = (self.workspace(), self.listening.name);
        let call = api::ApiCall { method, path, query, body, token };
        let answered = self.workers.run(move || api::answer(workspace, channel, &call)).await;
        match answered {
            Some(Ok(api::ApiAnswer::Document(value))) => document(StatusCode::OK, &value),
            Some(Ok(api::ApiAnswer::Image(kind, bytes))) => reply(StatusCode::OK, kind, bytes),
            Some(Ok(api::ApiAnswer::NotFound)) => document(StatusCode::NOT_FOUND, &json!({"error": "not found"})),
            Some(Err(fault)) => fault_reply(&fault),
            None => document(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": "internal error"})),
        }
    }

    fn log_in(&self, code: &str) -> HttpReply {
        if !self.codes.take(code) {
            return document(
                StatusCode::FORBIDDEN,
                &json!({"error": "this code was used, or is older than two minutes"}),
            );
        }
        let login = Token { name: OWNER.to_owned(), owner: true, observe: true, ..Token::default() };
        match tokens::create(self.workspace(), self.listening.name, login) {
            Ok(token) => document(StatusCode::OK, &json!({"token": token})),
            Err(fault) => fault_reply(&fault),
        }
    }

    /// Upgrades a connection to a WebSocket, and runs its client beside.
    fn socket<'s>(&'s self, mut request: Request<Incoming>, spawn: &UnboundedSender<ConnectionTask<'s>>) -> HttpReply {
        let headers = request.headers();
        let has = |name: header::HeaderName, wanted: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            value.split(',').any(|part| part.trim().eq_ignore_ascii_case(wanted))
        };
        let key = headers
            .get("sec-websocket-key")
            .filter(|key| base64::decode(key.to_str().unwrap_or_default()).is_some_and(|key| key.len() == 16));
        let is_upgrade = has(header::CONNECTION, "upgrade") && has(header::UPGRADE, "websocket");
        let Some(key) =
            key.filter(|_| is_upgrade && headers.get("sec-websocket-version").is_some_and(|version| version == "13"))
        else {
            let mut reply = text(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket of version 13");
            reply.headers_mut().insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
            reply.headers_mut().insert("sec-websocket-version", header::HeaderValue::from_static("13"));
            return reply;
        };
        let token = match bearer(headers) {
            Some(text) => match self.token(text) {
                Some(token) => Some(token),
                None => return refused(),
            },
            None if headers.contains_key(header::AUTHORIZATION) => return refused(),
            None => None,
        };
        let accept = [key.as_bytes(), HANDSHAKE.as_bytes()].concat();
        let accept = base64::padded(digest(&SHA1_FOR_LEGACY_USE_ONLY, &accept).as_ref());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let cursor = form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == "cursor")
            .map(|(_, value)| value.into_owned());
        let upgraded = upgrade::on(&mut request);
        let task: ConnectionTask<'s> = Box::pin(async move {
            if let Ok(stream) = upgraded.await {
                socket::run(self, stream, token, cursor).await;
            }
        });
        let _ = spawn.send(task);
        let mut reply = reply(StatusCode::SWITCHING_PROTOCOLS, "text/plain", "");
        let headers = reply.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
        if let Ok(accept) = header::HeaderValue::from_str(&accept) {
            headers.insert("sec-websocket-accept", accept);
        }
        reply
    }
}

fn refused() -> HttpReply {
    let mut reply = text(StatusCode::UNAUTHORIZED, "the token is wrong; `claw channels token NAME` makes one");
    reply.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    reply
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The headers that are text, by their names in lower case; of repeated ones the first.
fn readable(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text =
        |name: &header::HeaderName| Some((name.as_str().to_owned(), headers.get(name)?.to_str().ok()?.to_owned()));
    headers.keys().filter_map(text).collect()
}

fn text(status: StatusCode, message: &str) -> HttpReply {
    reply(status, "text/plain; charset=utf-8", format!("{message}\n"))
}

fn document(status: StatusCode, value: &Value) -> HttpReply {
    reply(status, "application/json", value.to_string())
}

fn fault_reply(fault: &Fault) -> HttpReply {
    let status = match fault.kind {
        Kind::Data | Kind::Usage => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    document(status, &json!({"error": fault.to_string()}))
}
