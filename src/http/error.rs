//! The causes of a failed request.

use crate::core::fault::{Fault, Kind};
use crate::http::secret::Credentials;
use crate::store::fs::is_shortage;
use std::error::Error;

/// The innermost cause of a failed request, without the number of an operating system error. It may hold a URL.
#[must_use]
pub fn cause(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    let length = text.find(" (os error").unwrap_or(text.len());
    text.truncate(length);
    text
}

/// The fault of a request that got no answer, or only the beginning of one: `subject`, then the cause. `Config` if
/// the request could not be built (a bad URL or header), `Machine` if this machine is short of descriptors or memory,
/// else `Unavailable`.
#[must_use]
pub fn request_fault(subject: &str, error: &reqwest::Error, credentials: &Credentials) -> Fault {
    let kind = match error.is_builder() {
        true => Kind::Config,
        false if is_local(error) => Kind::Machine,
        false => Kind::Unavailable,
    };
    Fault::new(kind, credentials.hide(&format!("{subject}{}", cause(error))))
}

/// Whether a request failed for a shortage of this machine, not of the other side.
fn is_local(error: &(dyn Error + 'static)) -> bool {
    let Some(io) = error.downcast_ref::<std::io::Error>() else { return error.source().is_some_and(is_local) };
    // The source of an I/O error that wraps another error is not that error, but its source.
    is_shortage(io) || io.get_ref().is_some_and(|inner| is_local(inner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{ClientOptions, Proxy, block_on, client};
    use std::time::Duration;

    fn failed(url: &str) -> Fault {
        let limit = Duration::from_secs(9);
        let options = ClientOptions { url, connect_timeout: limit, proxy: Proxy::None, resolver: None };
        let client = client(options).unwrap();
        let fault = |e| request_fault(&format!("{url}: "), &e, &Credentials::default());
        block_on(None, async { client.get(url).send().await.map_err(fault) }).map(|_| ()).unwrap_err()
    }

    #[test]
    fn shortage_of_descriptors_is_of_this_machine_at_any_depth() {
        let io = |errno: i32| std::io::Error::from_raw_os_error(errno);
        assert!(is_local(&std::io::Error::other(io(libc::EMFILE))) && is_local(&io(libc::ENFILE)));
        assert!(!is_local(&io(libc::ECONNREFUSED)) && !is_local(&std::io::Error::other("no server")));
    }

    #[test]
    fn fault_names_the_innermost_cause_and_no_credentials() {
        let fault = failed("http://ann:word@127.0.0.1:1/v1?key=sk-secret");
        assert_eq!(fault.message, "http://[key]@127.0.0.1:1/v1?key=[key]: Connection refused");
        assert_eq!(fault.kind, Kind::Unavailable);
        assert_eq!(failed("no-url?token=sk-secret").kind, Kind::Config);
    }
}
