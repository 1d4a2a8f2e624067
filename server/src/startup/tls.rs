//! TLS of the panel's own listener, where it is asked for.
use super::StartError;
use crate::config::Serve;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// Nothing where the panel serves plain HTTP.
pub fn acceptor(config: &Serve) -> Result<Option<TlsAcceptor>, StartError> {
    let (chain, key) = match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => (read_chain(cert)?, read_key(key)?),
        _ if config.tls_self_signed => self_signed(config)?,
        _ => return Ok(None),
    };
    let server = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let mut server = server.map_err(|e| {
        StartError::new(format!("certificate and key cannot be used: {e}"), "Check --tls-cert and --tls-key.")
    })?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    read.map_err(|e| StartError::new(format!("cannot read {}: {e}", file.display()), "Check --tls-cert."))
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, StartError> {
    PrivateKeyDer::from_pem_file(file)
        .map_err(|e| StartError::new(format!("cannot read {}: {e}", file.display()), "Check --tls-key."))
}

fn self_signed(config: &Serve) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), StartError> {
    let mut names = vec!["localhost".to_owned(), config.listen.ip().to_string()];
    names.extend(config.public_urls.iter().filter_map(|u| u.host()).map(str::to_owned));
    let made = rcgen::generate_simple_self_signed(names);
    let made = made
        .map_err(|e| StartError::new(format!("cannot make a certificate: {e}"), "Check the hosts in --public-url."))?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok((vec![made.cert.der().clone()], key.into()))
}
