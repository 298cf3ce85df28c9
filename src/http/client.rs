//! Building a client: TLS provider, proxy, connect timeout, DNS resolver. No client follows redirects or keeps cookies.

use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use url::{Host, Url};

/// The proxy of a client.
#[derive(Clone, Copy, Debug)]
pub enum Proxy<'a> {
    /// `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`; none for a loopback URL.
    Environment,
    /// No proxy.
    None,
    /// This proxy for every request.
    Url(&'a str),
}

/// Resolves host names in place of the system. It answers at once and does not block.
pub trait Resolver: Send + Sync {
    /// The addresses of `host`, which is in lower case and without a final dot.
    ///
    /// # Errors
    /// The reason why the host may not be connected to.
    fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String>;
}

/// The settings of a client for one URL.
pub struct ClientOptions<'a> {
    /// The URL that is requested; it decides whether the proxy of the environment and certificates are needed.
    pub url: &'a str,
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// The proxy.
    pub proxy: Proxy<'a>,
    /// The resolver; the system's if none.
    pub resolver: Option<Arc<dyn Resolver>>,
}

/// Builds a client.
///
/// # Errors
/// A bad proxy URL, or certificates of the system that cannot be read.
pub fn client(options: ClientOptions) -> reqwest::Result<Client> {
    let mut builder = Client::builder()
        .connect_timeout(options.connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .user_agent(concat!("claw/", env!("CARGO_PKG_VERSION")));
    let mut may_need_tls = !options.url.starts_with("http://");
    match options.proxy {
        Proxy::Environment if !is_loopback(options.url) => {}
        Proxy::Environment | Proxy::None => builder = builder.no_proxy(),
        Proxy::Url(url) => {
            builder = builder.no_proxy().proxy(reqwest::Proxy::all(url)?);
            may_need_tls |= !url.starts_with("http://");
        }
    }
    if let Some(resolver) = options.resolver {
        builder = builder.dns_resolver(ResolverHook(resolver));
    }
    if !may_need_tls {
        // Reading the certificates of the system takes longer than most requests.
        builder = builder.tls_certs_only([]);
    }
    // Fails where one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder.build()
}

/// Whether a URL names this machine by a loopback address or a `localhost` name. False for a text that is no URL.
#[must_use]
pub fn is_loopback(url: &str) -> bool {
    match Url::parse(url).as_ref().map(Url::host) {
        Ok(Some(Host::Ipv4(address))) => address.is_loopback(),
        Ok(Some(Host::Ipv6(address))) => address.is_loopback(),
        Ok(Some(Host::Domain(name))) => name == "localhost" || name.ends_with(".localhost"),
        _ => false,
    }
}

struct ResolverHook(Arc<dyn Resolver>);

impl Resolve for ResolverHook {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().trim_end_matches('.').to_ascii_lowercase();
        let found = self.0.resolve(&host).map(|addresses| {
            // Port 0 means the port of the URL.
            Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip.to_canonical(), 0))) as Addrs
        });
        Box::pin(std::future::ready(found.map_err(Into::into)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_urls_are_recognised() {
        for url in ["http://127.0.0.1:1/v1", "http://127.9.9.9", "http://[::1]:8/", "http://localhost:11434/api"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["http://10.0.0.7", "https://localhost.example.com", "http://128.0.0.1", "x"] {
            assert!(!is_loopback(url), "{url}");
        }
    }

    #[test]
    fn bad_proxy_url_is_an_error() {
        let (url, connect_timeout) = ("http://a.test/", Duration::from_secs(1));
        let options = |proxy| ClientOptions { url, connect_timeout, proxy: Proxy::Url(proxy), resolver: None };
        assert!(client(options("http://proxy.test:8080")).is_ok());
        assert!(client(options("http://[proxy")).is_err());
    }
}
