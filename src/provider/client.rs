//! The HTTP client of a model's server: its settings, the credentials of its requests, and their failures.

use crate::core::fault::{Fault, Result};
use crate::core::model::settings::Model;
use crate::http::{self, ClientOptions, Credentials, Proxy};
use crate::provider::limit;
use reqwest::Client;

/// A client for `url`, a server of the model `name`.
pub(super) fn client(name: &str, model: &Model, url: &str) -> Result<Client> {
    let connect_timeout = limit(model.connect_timeout, 10);
    let options = ClientOptions { url, connect_timeout, proxy: Proxy::Environment, resolver: None };
    http::client(options).map_err(|e| {
        Fault::config(Credentials::default().and_url(url).hide(&format!("model {name}: {}", http::cause(&e))))
    })
}

/// The fault of a request that got no answer, or not all of it.
pub(super) fn failed(name: &str, error: &reqwest::Error, credentials: &Credentials) -> Fault {
    let url = error.url().map(|url| format!("{url}: ")).unwrap_or_default();
    http::request_fault(&format!("model {name}: {url}"), error, credentials)
}
