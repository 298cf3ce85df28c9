//! The one client for whatever an agent can aim. A host is looked up once, every address of it is judged, and
//! the connection goes to those and no others; a redirect is a new place that is judged like the first. Time,
//! size and the number of redirects are bounded, nothing is decompressed, no cookie and no key is sent, and the
//! environment's proxies are not used.
//!
//! Through the owner's proxy the last step is the proxy's: it looks the name up again, so its own walls count.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::web::page;
use crate::core::web::settings::AgentWeb;
use crate::core::web::url_policy::{PrivateHost, Target};
use crate::tool::web::names::{Pinned, Resolver};
use futures_util::future::{Either, select};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Client, Response};
use std::error::Error;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;

/// The most redirects that are followed.
const MAX_HOPS: usize = 5;
/// The most bytes of a page.
const MAX_BODY: usize = 8 << 20;
/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest that all of it may take.
const WHOLE: Duration = Duration::from_secs(30);
const ACCEPT: &str = "text/html, application/xhtml+xml, text/markdown, text/plain, application/pdf, */*;q=0.5";

/// What stands between an agent and the network.
pub(super) struct FetchPolicy<'a> {
    pub(super) names: Arc<dyn Resolver>,
    pub(super) private: &'a [PrivateHost],
    pub(super) agent: &'a AgentWeb,
    pub(super) proxy: Option<&'a str>,
}

/// What was fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Where it was in the end.
    pub(super) url: String,
    pub(super) content_type: String,
    /// What it is, where its type says so.
    pub(super) kind: Option<page::PageKind>,
    pub(super) body: Vec<u8>,
}

/// How long a call may take.
#[derive(Clone, Copy)]
pub(super) struct Until<'a> {
    /// When the turn must be over.
    pub(super) end: Instant,
    /// Readable when somebody has stopped it.
    pub(super) stop: Option<BorrowedFd<'a>>,
}

/// Runs one exchange, and no longer than it may take. Whoever still looks a name up is not waited for.
pub(super) fn block_on<T>(until: Until, work: impl Future<Output = Result<T>>) -> Result<T> {
    let limit = WHOLE.min(until.end.saturating_duration_since(Instant::now()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let cannot = |e: std::io::Error| Fault::new(Kind::Machine, format!("cannot start the network: {e}"));
    let late = |_| Fault::new(Kind::Unavailable, format!("it was not there within {limit:.0?}"));
    let runtime = runtime.map_err(cannot)?;
    let done = runtime.block_on(async {
        let work = timeout(limit, work);
        let Some(stop) = until.stop else { return work.await.map_err(late)? };
        let stop = stop.try_clone_to_owned().and_then(Receiver::from_owned_fd).map_err(cannot)?;
        match select(pin!(work), pin!(stop.readable())).await {
            Either::Left((done, _)) => done.map_err(late)?,
            Either::Right(_) => Err(Fault::new(Kind::Failed, "it was stopped")),
        }
    });
    runtime.shutdown_background();
    done
}

/// Fetches what is at `url`.
pub(super) fn fetch(wall: &FetchPolicy, url: &str, until: Until) -> Result<Fetched> {
    block_on(until, async {
        let pinned = Pinned::default();
        let mut place = Target::parse(url)?;
        for _ in 0..=MAX_HOPS {
            wall.agent.allows(&place.host)?;
            wall.judge(&place, &pinned).await?;
            let answer = wall.ask(&place, &pinned).await?;
            match redirect(&answer) {
                Some(to) => place = place.next(&to)?,
                None => return take(answer, &place).await,
            }
        }
        Err(Fault::data(format!("{url} redirects more than {MAX_HOPS} times")))
    })
}

impl FetchPolicy<'_> {
    /// Looks at the addresses of a place, and pins them where they may be connected to.
    async fn judge(&self, place: &Target, pinned: &Pinned) -> Result<()> {
        let known = pinned.get(&place.host);
        let addresses = match (place.ip, known) {
            (Some(ip), _) => vec![ip],
            (None, Some(known)) => known,
            (None, None) => self.addresses(&place.host).await?,
        };
        place.check_addresses(&addresses, self.private)?;
        pinned.pin(&place.host, &addresses);
        Ok(())
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>> {
        let (names, name) = (Arc::clone(&self.names), host.to_owned());
        let asked = tokio::task::spawn_blocking(move || names.addresses(&name)).await;
        let found = asked.map_err(|e| Fault::new(Kind::Machine, format!("cannot look up {host}: {e}")))??;
        if found.is_empty() {
            return Err(Fault::new(Kind::Unavailable, format!("the host {host} has no address")));
        }
        Ok(found)
    }

    async fn ask(&self, place: &Target, pinned: &Pinned) -> Result<Response> {
        if let Some(proxy) = self.proxy.and_then(|proxy| reqwest::Url::parse(proxy).ok())
            && let Some(host) = proxy.domain()
        {
            // The owner's word: it is not judged.
            pinned.pin(host, &self.addresses(host).await?);
        }
        let client = client(place.url.as_str(), self.proxy, Some(pinned.clone()))?;
        let asked = client.get(place.url.clone()).header("accept", ACCEPT).header("accept-encoding", "identity");
        asked.send().await.map_err(|e| failed(&e))
    }
}

/// A client for one URL. `pinned` are the only names it knows; without them it asks the system.
pub(super) fn client(url: &str, proxy: Option<&str>, pinned: Option<Pinned>) -> Result<Client> {
    let bad = |e: reqwest::Error| Fault::config(format!("web: {e}"));
    let mut builder = Client::builder()
        .no_proxy()
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .user_agent(concat!("claw/", env!("CARGO_PKG_VERSION")));
    if let Some(pinned) = pinned {
        builder = builder.dns_resolver(pinned);
    }
    if let Some(proxy) = proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(bad)?);
    }
    if url.starts_with("http://") && proxy.is_none_or(|proxy| proxy.starts_with("http://")) {
        // Without TLS nobody needs the certificates of the machine, which take long to read.
        builder = builder.tls_certs_only([]);
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder.build().map_err(bad)
}

fn redirect(answer: &Response) -> Option<String> {
    let is_one = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    header(answer.headers(), LOCATION.as_str()).filter(|_| is_one)
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    // Locations are UTF-8 where they are not ASCII.
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Takes an answer in, if it is one to be read.
async fn take(answer: Response, place: &Target) -> Result<Fetched> {
    let url = place.url.to_string();
    let status = answer.status();
    if !status.is_success() {
        let kind = if status.is_server_error() { Kind::Unavailable } else { Kind::Failed };
        return Err(Fault::new(kind, format!("{url}: HTTP {status}")));
    }
    let content_type = header(answer.headers(), CONTENT_TYPE.as_str()).unwrap_or_default();
    let kind = page::kind(&content_type).map_err(|fault| Fault::data(format!("{url}: {}", fault.message)))?;
    let coding = header(answer.headers(), CONTENT_ENCODING.as_str()).filter(|c| !c.trim().is_empty());
    if let Some(coding) = coding.filter(|coding| !coding.trim().eq_ignore_ascii_case("identity")) {
        // What is not unpacked cannot burst.
        let what = format!("{url}: it is packed ({}), which was not asked for", coding.escape_debug());
        return Err(Fault::data(what));
    }
    let body = body(answer, MAX_BODY).await.map_err(|fault| Fault { message: format!("{url}: {fault}"), ..fault })?;
    Ok(Fetched { url, content_type, kind, body })
}

/// A body of at most `limit` bytes.
pub(super) async fn body(mut answer: Response, limit: usize) -> Result<Vec<u8>> {
    let too_long = || Fault::data(format!("it has more than {limit} bytes"));
    if answer.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_long());
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| failed(&e))? {
        if body.len() + chunk.len() > limit {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What a failed request means.
pub(super) fn failed(error: &reqwest::Error) -> Fault {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    let text = text.split(" (os error").next().unwrap_or(&text);
    let host = error.url().and_then(|url| url.host_str()).map(|host| format!("{host}: ")).unwrap_or_default();
    Fault::new(Kind::Unavailable, format!("{host}{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::os::fd::AsFd;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Answers every question in turn, the last one for ever, and counts them.
    struct Fake {
        answers: Vec<(&'static str, Vec<&'static str>)>,
        asked: Mutex<Vec<String>>,
    }

    impl Fake {
        fn new(answers: &[(&'static str, &[&'static str])]) -> Arc<Self> {
            let answers = answers.iter().map(|(host, ips)| (*host, ips.to_vec())).collect();
            Arc::new(Self { answers, asked: Mutex::default() })
        }
    }

    impl Resolver for Fake {
        fn addresses(&self, host: &str) -> Result<Vec<IpAddr>> {
            let mut asked = self.asked.lock().unwrap();
            let before = asked.iter().filter(|name| *name == host).count();
            asked.push(host.to_owned());
            let own: Vec<_> = self.answers.iter().filter(|(name, _)| *name == host).collect();
            let (_, ips) = own[before.min(own.len() - 1)];
            Ok(ips.iter().map(|ip| ip.parse().unwrap()).collect())
        }
    }

    /// Never knows.
    struct Silent(Mutex<Receiver<()>>);

    impl Resolver for Silent {
        fn addresses(&self, _: &str) -> Result<Vec<IpAddr>> {
            let _ = self.0.lock().unwrap().recv();
            Ok(Vec::new())
        }
    }

    /// A server that answers `GET path` with what `answer` makes of the path and its own port. Returns the port,
    /// and what was asked for.
    fn server(answer: fn(&str, u16) -> String) -> (u16, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, heard): (Sender<String>, _) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(&stream).lines();
                let first = lines.next().unwrap().unwrap();
                while !lines.next().unwrap().unwrap().is_empty() {}
                let path = first.split(' ').nth(1).unwrap().to_owned();
                let _ = (&stream).write_all(answer(&path, port).as_bytes());
                if tell.send(path.clone()).is_err() || path == "/drip" {
                    // Whoever waits for more has to end it.
                    let _ = (&stream).read(&mut [0]);
                }
            }
        });
        (port, heard)
    }

    fn redirects(path: &str, port: u16) -> String {
        let to = match path {
            "/" => "/two".to_owned(),
            "/name" => format!("http://b.test:{port}/secret"),
            "/number" => format!("http://127.0.0.1:{port}/secret"),
            "/octal" => format!("http://0177.1:{port}/secret"),
            "/mapped" => format!("http://[::ffff:127.0.0.1]:{port}/secret"),
            "/user" => format!("http://u:p@a.test:{port}/two"),
            "/file" => "file:///etc/passwd".to_owned(),
            "/round" => "/round".to_owned(),
            "/drip" => return "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nslow".to_owned(),
            _ => return "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\nok".to_owned(),
        };
        format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    }

    fn exceptions(list: &[String]) -> Vec<PrivateHost> {
        serde_json::from_value(serde_json::json!(list)).unwrap()
    }

    fn get(names: Arc<dyn Resolver>, private: &[String], url: &str, time: Duration) -> Result<Fetched> {
        let (private, agent) = (exceptions(private), AgentWeb::default());
        fetch(&FetchPolicy { names, private: &private, agent: &agent, proxy: None }, url, within(time))
    }

    const MINUTE: Duration = Duration::from_mins(1);

    fn within(time: Duration) -> Until<'static> {
        Until { end: Instant::now() + time, stop: None }
    }

    #[test]
    fn a_name_is_looked_up_once_and_all_of_it_goes_to_that_address() {
        let (port, heard) = server(redirects);
        let names = Fake::new(&[("a.test", &["127.0.0.1"]), ("a.test", &["127.0.0.2"])]);
        let fetched =
            get(names.clone(), &[format!("a.test:{port}")], &format!("http://a.test:{port}/"), MINUTE).unwrap();
        assert_eq!((fetched.url, fetched.body), (format!("http://a.test:{port}/two"), b"ok".to_vec()));
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["/", "/two"]);
        assert_eq!(*names.asked.lock().unwrap(), ["a.test"]);
    }

    #[test]
    fn nothing_is_sent_where_one_address_of_several_is_special() {
        let (port, heard) = server(redirects);
        for ips in [&["127.0.0.1"][..], &["1.1.1.1", "127.0.0.1"], &["::ffff:127.0.0.1"], &["fd00::1", "1.1.1.1"]] {
            let fault = get(Fake::new(&[("c.test", ips)]), &[], &format!("http://c.test:{port}/"), MINUTE).unwrap_err();
            assert!(fault.message.contains("not a public address"), "{fault}");
        }
        assert_eq!(heard.try_iter().count(), 0);
    }

    #[test]
    fn a_redirect_leads_nowhere_that_could_not_be_asked_for_at_once() {
        let (port, heard) = server(redirects);
        let names = Fake::new(&[("a.test", &["127.0.0.1"]), ("b.test", &["127.0.0.1"])]);
        for (path, why) in [
            ("/name", "not a public address"),
            ("/number", "not a public address"),
            ("/octal", "not a public address"),
            ("/mapped", "not a public address"),
            ("/user", "name or password"),
            ("/file", "only http and https"),
            ("/round", "more than 5 times"),
        ] {
            let url = format!("http://a.test:{port}{path}");
            let fault = get(names.clone(), &[format!("a.test:{port}")], &url, MINUTE).unwrap_err();
            assert!(fault.message.contains(why), "{path}: {fault}");
        }
        assert!(heard.try_iter().all(|path| path != "/secret" && path != "/two"));
    }

    #[test]
    fn an_agents_hosts_hold_for_every_step() {
        let (port, _heard) = server(redirects);
        let private = exceptions(&[format!("a.test:{port}"), format!("b.test:{port}")]);
        let agent: AgentWeb = serde_json::from_value(serde_json::json!({"hosts": ["a.test"]})).unwrap();
        let names = Fake::new(&[("a.test", &["127.0.0.1"]), ("b.test", &["127.0.0.1"])]);
        let wall = FetchPolicy { names, private: &private, agent: &agent, proxy: None };
        let until = within(MINUTE);
        assert!(fetch(&wall, &format!("http://a.test:{port}/two"), until).is_ok());
        for url in [format!("http://a.test:{port}/name"), format!("http://b.test:{port}/")] {
            let fault = fetch(&wall, &url, until).unwrap_err();
            assert!(fault.message.contains("b.test is not among the hosts"), "{fault}");
        }
    }

    #[test]
    fn who_is_slow_is_left() {
        let (port, _heard) = server(redirects);
        let short = Duration::from_millis(300);
        let began = Instant::now();
        let names = Fake::new(&[("a.test", &["127.0.0.1"])]);
        let fault = get(names, &[format!("a.test:{port}")], &format!("http://a.test:{port}/drip"), short).unwrap_err();
        assert!(fault.message.contains("not there within"), "{fault}");
        let (_hold, never) = channel();
        let fault = get(Arc::new(Silent(Mutex::new(never))), &[], "http://a.test/", short).unwrap_err();
        assert!(fault.message.contains("not there within"), "{fault}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[test]
    fn who_is_stopped_asks_no_further() {
        let (cancel, mouth) = rustix::pipe::pipe().unwrap();
        let (_hold, never) = channel();
        let names = Arc::new(Silent(Mutex::new(never)));
        let (agent, began) = (AgentWeb::default(), Instant::now());
        let wall = FetchPolicy { names, private: &[], agent: &agent, proxy: None };
        rustix::io::write(&mouth, b"x").unwrap();
        let until = Until { stop: Some(cancel.as_fd()), ..within(MINUTE) };
        assert_eq!(fetch(&wall, "http://a.test/", until).unwrap_err().message, "it was stopped");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[test]
    fn a_client_knows_no_name_that_nobody_has_looked_at() {
        let pinned = Pinned::default();
        pinned.pin("a.test", &["127.0.0.1".parse().unwrap()]);
        let client = client("http://b.test/", None, Some(pinned)).unwrap();
        let asked =
            block_on(within(MINUTE), async { client.get("http://b.test/").send().await.map_err(|e| failed(&e)) });
        let fault = asked.unwrap_err();
        assert!(fault.message.contains("nobody has looked at the addresses of b.test"), "{fault}");
    }
}
