//! The address policy of everything that an agent fetches, over the one HTTP client. A host is looked up once, all its
//! addresses are checked, and the connection goes to these addresses only; a redirect is a new target that is checked
//! like the first. Time, size and the number of redirects are bounded, nothing is decompressed, no cookie and no key
//! is sent, and the proxies of the environment are not used.
//!
//! Through the owner's proxy the proxy makes the connection: it looks the name up again, so its own rules apply.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::web::page;
use crate::core::web::settings::AgentWeb;
use crate::core::web::url_policy::{PrivateHost, Target};
use crate::http::{self, ClientOptions, Credentials, Proxy, Resolver};
use crate::tool::web::names::{DnsLookup, Pinned};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Client, Response};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// The longest body, in bytes.
const MAX_BODY: usize = 8 << 20;
/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest exchange, with its lookups and redirects.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);
const ACCEPT: &str = "text/html, application/xhtml+xml, text/markdown, text/plain, application/pdf, */*;q=0.5";

/// The rules that decide which targets an agent may fetch.
pub(super) struct FetchPolicy<'a> {
    pub(super) names: Arc<dyn DnsLookup>,
    pub(super) private: &'a [PrivateHost],
    pub(super) agent: &'a AgentWeb,
    pub(super) proxy: Option<&'a str>,
}

/// A fetched document.
#[derive(Debug)]
pub(super) struct Fetched {
    /// The URL after all redirects.
    pub(super) url: String,
    pub(super) content_type: String,
    /// The kind by the content type; none if that does not tell.
    pub(super) kind: Option<page::PageKind>,
    pub(super) body: Vec<u8>,
}

/// The end of a call.
#[derive(Clone, Copy)]
pub(super) struct Until<'a> {
    /// The deadline of the turn.
    pub(super) end: Instant,
    /// Readable once the turn is cancelled.
    pub(super) stop: Option<BorrowedFd<'a>>,
}

/// Runs one exchange, until the turn ends and for at most [`EXCHANGE_TIMEOUT`].
pub(super) fn block_on<T>(until: Until, work: impl Future<Output = Result<T>>) -> Result<T> {
    let limit = EXCHANGE_TIMEOUT.min(until.end.saturating_duration_since(Instant::now()));
    let late = || Fault::new(Kind::Unavailable, format!("no whole response within {limit:.0?}"));
    let result = http::block_on(until.stop, http::within(limit, late, work));
    result.map_err(|fault| Credentials::default().hide_in(fault))
}

/// Fetches `url`, if `policy` allows it and every target that it redirects to.
pub(super) fn fetch(policy: &FetchPolicy, url: &str, until: Until) -> Result<Fetched> {
    let fetched = block_on(until, async {
        let pinned = Pinned::default();
        let mut target = Target::parse(url)?;
        for _ in 0..=MAX_REDIRECTS {
            policy.agent.allows(&target.host)?;
            policy.check(&target, &pinned).await?;
            let response = policy.request(&target, &pinned).await?;
            match redirect(&response) {
                Some(location) => target = target.next(&location)?,
                None => return read(response, &target).await,
            }
        }
        Err(Fault::data(format!("{url} redirects more than {MAX_REDIRECTS} times")))
    });
    let credentials = policy.proxy.map_or_else(Credentials::default, |proxy| Credentials::default().and_url(proxy));
    fetched.map_err(|fault| credentials.hide_in(fault))
}

impl FetchPolicy<'_> {
    /// Checks the addresses of a target, and pins them for the client.
    async fn check(&self, target: &Target, pinned: &Pinned) -> Result<()> {
        let known = pinned.get(&target.host);
        let addresses = match (target.ip, known) {
            (Some(ip), _) => vec![ip],
            (None, Some(known)) => known,
            (None, None) => self.addresses(&target.host).await?,
        };
        target.check_addresses(&addresses, self.private)?;
        pinned.pin(&target.host, &addresses);
        Ok(())
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>> {
        let (names, name) = (Arc::clone(&self.names), host.to_owned());
        let found = tokio::task::spawn_blocking(move || names.addresses(&name)).await;
        let found = found.map_err(|e| Fault::new(Kind::Machine, format!("cannot look up {host}: {e}")))??;
        if found.is_empty() {
            return Err(Fault::new(Kind::Unavailable, format!("the host {host} has no address")));
        }
        Ok(found)
    }

    async fn request(&self, target: &Target, pinned: &Pinned) -> Result<Response> {
        if let Some(proxy) = self.proxy.and_then(|proxy| reqwest::Url::parse(proxy).ok())
            && let Some(host) = proxy.domain()
        {
            // The owner has chosen it, so its addresses are not checked.
            pinned.pin(host, &self.addresses(host).await?);
        }
        let client = client(target.url.as_str(), self.proxy, Some(pinned.clone()))?;
        let request = client.get(target.url.clone()).header("accept", ACCEPT).header("accept-encoding", "identity");
        request.send().await.map_err(|e| failed(&e))
    }
}

/// A client for one URL. With `pinned` it connects to no other hosts; without, it asks the system's resolver.
pub(super) fn client(url: &str, proxy: Option<&str>, pinned: Option<Pinned>) -> Result<Client> {
    let options = ClientOptions {
        url,
        connect_timeout: CONNECT_TIMEOUT,
        proxy: proxy.map_or(Proxy::None, Proxy::Url),
        resolver: pinned.map(|pinned| Arc::new(pinned) as Arc<dyn Resolver>),
    };
    http::client(options).map_err(|e| Fault::config(Credentials::default().hide(&format!("web: {e}"))))
}

fn redirect(response: &Response) -> Option<String> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    header(response.headers(), LOCATION.as_str()).filter(|_| is_redirect)
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    // A location that is not ASCII is UTF-8.
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Reads a response, if its status, type and encoding are supported.
async fn read(response: Response, target: &Target) -> Result<Fetched> {
    let url = target.url.to_string();
    let status = response.status();
    if !status.is_success() {
        let kind = if status.is_server_error() { Kind::Unavailable } else { Kind::Failed };
        return Err(Fault::new(kind, format!("{url}: HTTP {status}")));
    }
    let content_type = header(response.headers(), CONTENT_TYPE.as_str()).unwrap_or_default();
    let kind = page::kind(&content_type).map_err(|fault| Fault::data(format!("{url}: {}", fault.message)))?;
    let coding = header(response.headers(), CONTENT_ENCODING.as_str()).filter(|c| !c.trim().is_empty());
    if let Some(coding) = coding.filter(|coding| !coding.trim().eq_ignore_ascii_case("identity")) {
        // Nothing is decompressed, so a small response cannot become a huge one.
        let problem = format!("{url}: the response is compressed ({}), against the request", coding.escape_debug());
        return Err(Fault::data(problem));
    }
    let body = body(response, MAX_BODY).await.map_err(|fault| Fault { message: format!("{url}: {fault}"), ..fault })?;
    Ok(Fetched { url, content_type, kind, body })
}

/// A body of at most `limit` bytes.
pub(super) async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>> {
    let too_long = || Fault::data(format!("the response has more than {limit} bytes"));
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_long());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| failed(&e))? {
        if body.len() + chunk.len() > limit {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The fault of a failed request: its host and the cause.
pub(super) fn failed(error: &reqwest::Error) -> Fault {
    let host = error.url().and_then(|url| url.host_str()).map(|host| format!("{host}: ")).unwrap_or_default();
    let fault = http::request_fault(&host, error, &Credentials::default());
    if fault.kind == Kind::Machine { fault } else { Fault { kind: Kind::Unavailable, ..fault } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::os::fd::AsFd;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Gives the answers for a host in order, the last one for ever, and records the lookups.
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

    impl DnsLookup for Fake {
        fn addresses(&self, host: &str) -> Result<Vec<IpAddr>> {
            let mut asked = self.asked.lock().unwrap();
            let before = asked.iter().filter(|name| *name == host).count();
            asked.push(host.to_owned());
            let own: Vec<_> = self.answers.iter().filter(|(name, _)| *name == host).collect();
            let (_, ips) = own[before.min(own.len() - 1)];
            Ok(ips.iter().map(|ip| ip.parse().unwrap()).collect())
        }
    }

    /// Blocks for ever.
    struct Silent(Mutex<Receiver<()>>);

    impl DnsLookup for Silent {
        fn addresses(&self, _: &str) -> Result<Vec<IpAddr>> {
            let _ = self.0.lock().unwrap().recv();
            Ok(Vec::new())
        }
    }

    /// A server that answers `GET path` with `answer(path, port)`. Returns the port, and the paths of all requests.
    fn server(answer: fn(&str, u16) -> String) -> (u16, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, paths): (Sender<String>, _) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(&stream).lines();
                let first = lines.next().unwrap().unwrap();
                while !lines.next().unwrap().unwrap().is_empty() {}
                let path = first.split(' ').nth(1).unwrap().to_owned();
                let _ = (&stream).write_all(answer(&path, port).as_bytes());
                if sender.send(path.clone()).is_err() || path == "/drip" {
                    // Keeps the connection open until the client closes it.
                    let _ = (&stream).read(&mut [0]);
                }
            }
        });
        (port, paths)
    }

    fn redirects(path: &str, port: u16) -> String {
        let hops = path.strip_prefix("/hop/").and_then(|hops| hops.parse::<usize>().ok()).filter(|hops| *hops > 0);
        if let Some(hops) = hops {
            return moved(&format!("/hop/{}", hops - 1));
        }
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
        moved(&to)
    }

    fn moved(to: &str) -> String {
        format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    }

    fn exceptions(list: &[String]) -> Vec<PrivateHost> {
        serde_json::from_value(serde_json::json!(list)).unwrap()
    }

    fn get(names: Arc<dyn DnsLookup>, private: &[String], url: &str, time: Duration) -> Result<Fetched> {
        let (private, agent) = (exceptions(private), AgentWeb::default());
        fetch(&FetchPolicy { names, private: &private, agent: &agent, proxy: None }, url, within(time))
    }

    const MINUTE: Duration = Duration::from_mins(1);

    fn within(time: Duration) -> Until<'static> {
        Until { end: Instant::now() + time, stop: None }
    }

    #[test]
    fn name_is_looked_up_once_and_all_requests_go_to_its_address() {
        let (port, paths) = server(redirects);
        let names = Fake::new(&[("a.test", &["127.0.0.1"]), ("a.test", &["127.0.0.2"])]);
        let fetched =
            get(names.clone(), &[format!("a.test:{port}")], &format!("http://a.test:{port}/"), MINUTE).unwrap();
        assert_eq!((fetched.url, fetched.body), (format!("http://a.test:{port}/two"), b"ok".to_vec()));
        assert_eq!(paths.try_iter().collect::<Vec<_>>(), ["/", "/two"]);
        assert_eq!(*names.asked.lock().unwrap(), ["a.test"]);
    }

    #[test]
    fn nothing_is_sent_if_one_address_of_several_is_special() {
        let (port, paths) = server(redirects);
        for ips in [&["127.0.0.1"][..], &["1.1.1.1", "127.0.0.1"], &["::ffff:127.0.0.1"], &["fd00::1", "1.1.1.1"]] {
            let fault = get(Fake::new(&[("c.test", ips)]), &[], &format!("http://c.test:{port}/"), MINUTE).unwrap_err();
            assert!(fault.message.contains("not a public address"), "{fault}");
        }
        assert_eq!(paths.try_iter().count(), 0);
    }

    #[test]
    fn redirect_target_is_checked_like_the_first_target() {
        let (port, paths) = server(redirects);
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
        assert!(paths.try_iter().all(|path| path != "/secret" && path != "/two"));
    }

    #[test]
    fn sixth_redirect_is_not_followed() {
        let (port, paths) = server(redirects);
        for (hops, is_followed) in [(4, true), (5, true), (6, false)] {
            let names = Fake::new(&[("a.test", &["127.0.0.1"])]);
            let url = format!("http://a.test:{port}/hop/{hops}");
            let fetched = get(names, &[format!("a.test:{port}")], &url, MINUTE);
            assert_eq!(fetched.is_ok(), is_followed, "{hops} redirects: {:?}", fetched.err());
            // The server records a request after it has answered.
            let seen: Vec<String> = paths.iter().take(1 + hops.min(MAX_REDIRECTS)).collect();
            assert_eq!(seen.last().unwrap(), &format!("/hop/{}", hops.saturating_sub(MAX_REDIRECTS)));
            assert!(paths.try_recv().is_err());
        }
    }

    #[test]
    fn body_may_have_the_limit_and_no_byte_more() {
        let with_length = |_: &str, _: u16| {
            format!("HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{}", "x".repeat(9))
        };
        let without = |_: &str, _: u16| format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(9));
        for (port, _paths) in [server(with_length), server(without)] {
            for (limit, is_read) in [(10, true), (9, true), (8, false)] {
                let url = format!("http://127.0.0.1:{port}/");
                let client = client(&url, None, None).unwrap();
                let read = block_on(within(MINUTE), async {
                    body(client.get(&url).send().await.map_err(|e| failed(&e))?, limit).await
                });
                assert_eq!(read.as_ref().is_ok_and(|body| body.len() == 9), is_read, "limit {limit}: {read:?}");
            }
        }
    }

    #[test]
    fn allowed_hosts_of_an_agent_apply_to_every_redirect() {
        let (port, _paths) = server(redirects);
        let private = exceptions(&[format!("a.test:{port}"), format!("b.test:{port}")]);
        let agent: AgentWeb = serde_json::from_value(serde_json::json!({"hosts": ["a.test"]})).unwrap();
        let names = Fake::new(&[("a.test", &["127.0.0.1"]), ("b.test", &["127.0.0.1"])]);
        let policy = FetchPolicy { names, private: &private, agent: &agent, proxy: None };
        let until = within(MINUTE);
        assert!(fetch(&policy, &format!("http://a.test:{port}/two"), until).is_ok());
        for url in [format!("http://a.test:{port}/name"), format!("http://b.test:{port}/")] {
            let fault = fetch(&policy, &url, until).unwrap_err();
            assert!(fault.message.contains("b.test is not among the hosts"), "{fault}");
        }
    }

    #[test]
    fn slow_server_and_slow_lookup_end_at_the_deadline() {
        let (port, _paths) = server(redirects);
        let short = Duration::from_millis(300);
        let began = Instant::now();
        let names = Fake::new(&[("a.test", &["127.0.0.1"])]);
        let fault = get(names, &[format!("a.test:{port}")], &format!("http://a.test:{port}/drip"), short).unwrap_err();
        assert!(fault.message.contains("no whole response within"), "{fault}");
        let (_sender, never) = channel();
        let fault = get(Arc::new(Silent(Mutex::new(never))), &[], "http://a.test/", short).unwrap_err();
        assert!(fault.message.contains("no whole response within"), "{fault}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[test]
    fn cancelled_fetch_ends_during_the_lookup() {
        let (stop, writer) = rustix::pipe::pipe().unwrap();
        let (_sender, never) = channel();
        let names = Arc::new(Silent(Mutex::new(never)));
        let (agent, began) = (AgentWeb::default(), Instant::now());
        let policy = FetchPolicy { names, private: &[], agent: &agent, proxy: None };
        rustix::io::write(&writer, b"x").unwrap();
        let until = Until { stop: Some(stop.as_fd()), ..within(MINUTE) };
        assert_eq!(fetch(&policy, "http://a.test/", until).unwrap_err().message, "the request was cancelled");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[test]
    fn client_connects_to_no_host_that_was_not_checked() {
        let pinned = Pinned::default();
        pinned.pin("a.test", &["127.0.0.1".parse().unwrap()]);
        let client = client("http://b.test/", None, Some(pinned)).unwrap();
        let result =
            block_on(within(MINUTE), async { client.get("http://b.test/").send().await.map_err(|e| failed(&e)) });
        let fault = result.unwrap_err();
        assert!(fault.message.contains("the addresses of b.test were not checked"), "{fault}");
    }
}
