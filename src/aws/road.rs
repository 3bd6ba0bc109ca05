//! The ways to AWS: which connections the SDK's clients share.

use std::sync::{Arc, OnceLock};

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

use super::CONNECT;

/// One connector for every client, whatever its own connect timeout: the SDK would build one for each set of timeouts,
/// with a trust store and a pool of its own.
pub(super) fn http_client(road: Road) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(road);
    http_client_fn(move |_settings, _components| connector.clone())
}

/// The ways to AWS. Reading the machine's trust store, some hundreds of files, is most of what a start has to do; so it
/// is read when it is needed, and never for an endpoint without TLS. Clones share their connections.
#[derive(Clone, Debug)]
pub(super) struct Road {
    proxy: ProxyConfig,
    plain: Arc<OnceLock<Connector>>,
    secured: Arc<OnceLock<Connector>>,
}

impl Road {
    /// Proxies are taken from the environment, as curl does.
    pub(super) fn of_environment() -> Self {
        Self { proxy: ProxyConfig::from_env(), plain: Arc::default(), secured: Arc::default() }
    }

    fn plain(&self) -> &Connector {
        self.plain.get_or_init(|| self.builder().build_http())
    }

    pub(super) fn secured(&self) -> &Connector {
        self.secured.get_or_init(|| self.builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build())
    }

    fn builder(&self) -> ConnectorBuilder {
        Connector::builder()
            .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT).build())
            .proxy_config(self.proxy.clone())
    }
}

impl HttpConnector for Road {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // A proxy may itself want TLS, whatever lies behind it.
        let is_plain = request.uri().starts_with("http://") && self.proxy.is_disabled();
        if is_plain { self.plain().call(request) } else { self.secured().call(request) }
    }
}
