//! The HTTP client: proxies of the environment, certificates of the system, and no server that can stall it for ever.

use std::time::Duration;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

/// A client that gives a server `stall` for every step, however long the whole takes.
pub(crate) fn agent(stall: Duration) -> Agent {
    // The system's certificates, since companies that look into their traffic install their own there.
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_connect(Some(stall))
        .timeout_recv_response(Some(stall))
        .timeout_per_read(Some(stall))
        .http_status_as_error(false)
        .user_agent(concat!("gaat/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}
