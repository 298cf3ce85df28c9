//! Discord for claw. On stdin and stdout: the line protocol of a channel of type `exec`. On the other side: Discord's
//! gateway for what is new, and its REST API for what was missed and for sending.
//!
//! A message counts as received once claw has acknowledged it; until then its place keeps it open (`ledger`), and a
//! restart fetches it again. A part counts as sent once its receipt says so (`receipt`).

mod bridge;
mod catch_up;
mod cut;
mod exit;
mod gateway;
mod incoming;
mod ledger;
mod limits;
mod lines;
mod output;
mod place;
mod receipt;
mod rest;
mod send;
mod settings;
mod store;
mod wire;

use exit::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    let settings = match settings::read() {
        Ok(Some(settings)) => settings,
        Ok(None) => return ExitCode::SUCCESS,
        Err(exit) => return exit.report(),
    };
    #[cfg(feature = "tls")]
    let _ = rustls::crypto::ring::default_provider().install_default();
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let exit = runtime.block_on(bridge::run(settings));
            // A request that is still under way is unknown; its receipt says so.
            runtime.shutdown_background();
            exit
        }
        Err(e) => Exit::later(format!("cannot start: {e}")),
    }
    .report()
}
