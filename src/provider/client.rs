//! The HTTP client of a model's server: its settings, the credentials of its requests, and their failures.

use crate::core::fault::{Fault, Result};
use crate::core::model::settings::Model;
use crate::http::{self, ClientOptions, Credentials, Proxy};
use crate::provider::limit;
use crate::world::World;
use reqwest::Client;
use url::Url;

/// A client for `url`, a server of the model `name`.
///
/// # Errors
/// `Config` if it cannot be built, or if the environment names a proxy that cannot be used: without it, the request
/// would go directly.
pub(super) fn client(world: &World, name: &str, model: &Model, url: &str) -> Result<Client> {
    if let Some(problem) = proxy_problem(&|name| world.var(name), url) {
        return Err(Fault::config(format!("model {name}: {problem}")).hint("correct it, or add the host to NO_PROXY"));
    }
    let connect_timeout = limit(model.connect_timeout, 10);
    let options = ClientOptions { url, connect_timeout, proxy: Proxy::Environment, resolver: None };
    http::client(options).map_err(|e| {
        Fault::config(Credentials::default().and_url(url).hide(&format!("model {name}: {}", http::cause(&e))))
    })
}

/// The problem of the proxy that the environment names for `url`; `None` if there is none, or none is needed.
fn proxy_problem<'a>(var: &dyn Fn(&str) -> Option<&'a str>, url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?;
    let either =
        |name: &'static str| [name.to_ascii_lowercase(), name.to_owned()].into_iter().find_map(|n| Some((var(&n)?, n)));
    let is_exempt = either("NO_PROXY").is_some_and(|(hosts, _)| {
        let mut hosts = hosts.split(',').map(|host| host.trim().trim_start_matches('.'));
        hosts.any(|exempt| {
            exempt == "*" || host == exempt || host.strip_suffix(exempt).is_some_and(|rest| rest.ends_with('.'))
        })
    });
    if is_exempt || http::is_loopback(url.as_str()) {
        return None;
    }
    let own = if url.scheme() == "https" { "HTTPS_PROXY" } else { "HTTP_PROXY" };
    let (proxy, variable) = either(own).or_else(|| either("ALL_PROXY"))?;
    let with_scheme = if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") };
    let problem = match Url::parse(&with_scheme) {
        Ok(read) if !["http", "https"].contains(&read.scheme()) => {
            format!("proxies of the kind `{}` are not supported", read.scheme())
        }
        Ok(read) if read.host_str().is_some_and(|host| !host.is_empty()) => return None,
        Ok(_) => "it has no host".to_owned(),
        Err(e) => e.to_string(),
    };
    Some(format!("the proxy in {variable} cannot be used: {problem}"))
}

/// The fault of a request that got no answer, or not all of it.
pub(super) fn failed(name: &str, error: &reqwest::Error, credentials: &Credentials) -> Fault {
    let url = error.url().map(|url| format!("{url}: ")).unwrap_or_default();
    http::request_fault(&format!("model {name}: {url}"), error, credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_proxy_of_the_environment_is_named() {
        let problem = |vars: &[(&'static str, &'static str)], url: &str| {
            proxy_problem(&|name| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| *value), url)
        };
        let url = "https://api.example.org/v1";
        for proxy in ["http://proxy:8080", "proxy:8080", "https://proxy"] {
            assert_eq!(problem(&[("https_proxy", proxy)], url), None, "{proxy}");
        }
        for (variable, proxy) in
            [("HTTPS_PROXY", "socks5://proxy:1"), ("all_proxy", "http://"), ("https_proxy", "http://[x")]
        {
            let named = problem(&[(variable, proxy)], url).unwrap();
            assert!(named.contains(variable), "{named}");
        }
        assert_eq!(problem(&[("http_proxy", "socks5://x")], url), None, "of another scheme");
        assert_eq!(problem(&[("https_proxy", "socks5://x"), ("no_proxy", "a.test, .example.org")], url), None);
        assert_eq!(problem(&[("http_proxy", "socks5://x")], "http://127.0.0.1:1/v1"), None);
    }
}
