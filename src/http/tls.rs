//! The files of a TLS connection, read and judged once, so that a wrong one is named before anything is dialled.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};

use crate::error::{Error, Result};

use super::Tls;

/// ureq's settings from our files.
pub(super) fn settings(tls: &Tls) -> Result<TlsConfig> {
    let mut settings = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .disable_verification(!tls.verify);
    match &tls.ca {
        Some(path) => {
            let trusted = certificates(path, "CA")?;
            let trusted: Vec<_> = trusted.iter().map(|one| Certificate::from_der(one).to_owned()).collect();
            settings = settings.root_certs(RootCerts::Specific(Arc::new(trusted)));
        }
        None if tls.verify => {
            return Err(Error::invalid("a TLS endpoint needs the certificate of its CA").with_hint(
                "put ca.pem, cert.pem and key.pem into one folder and name it in DOCKER_CERT_PATH",
            ));
        }
        None => settings = settings.root_certs(RootCerts::Specific(Arc::default())),
    }
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => settings = settings.client_cert(Some(identity(cert, key)?)),
        (None, None) => {}
        _ => return Err(Error::invalid("a TLS client certificate and its key belong together")),
    }
    Ok(settings.build())
}

fn identity(cert: &Path, key: &Path) -> Result<ClientCert> {
    let chain = certificates(cert, "client certificate")?;
    let text = std::fs::read(key).map_err(|_| unreadable("key"))?;
    let secret = PrivateKeyDer::from_pem_slice(&text).map_err(|_| unreadable("key"))?;
    // ureq panics where the two do not fit, at the first connection.
    rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_client_auth_cert(chain.clone(), secret)
        })
        .map_err(|_| Error::invalid("the TLS key does not fit the client certificate"))?;
    let chain: Vec<_> = chain.iter().map(|one| Certificate::from_der(one).to_owned()).collect();
    Ok(ClientCert::new_with_certs(&chain, PrivateKey::from_pem(&text).map_err(|_| unreadable("key"))?))
}

fn certificates(path: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let all: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|_| unreadable(what))?;
    if all.is_empty() { Err(unreadable(what)) } else { Ok(all) }
}

fn unreadable(what: &str) -> Error {
    Error::invalid(format!("the {what} file of the TLS endpoint cannot be read as PEM"))
        .with_hint("check that the file exists, that we may read it, and that it is PEM")
}
