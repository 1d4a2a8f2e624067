//! The embedded cluster's certificate authority and the API's certificate.
//!
//! The authority lies in the state folder, so that a kubeconfig stays good; the server's key never leaves memory: it is
//! made at start and again before its certificate ends, under the running listener.
use crate::statedir::{StateDir, StateDirError};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

const CA_CERT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const NAMES: [&str; 6] =
    ["localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
/// Below the 398 days that some clients take for the longest.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// A new certificate is made when the old one has less than this left.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Clocks of client and server may differ.
const BACKDATE: Duration = Duration::from_secs(24 * 3600);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// The authority's files are damaged.
    #[error("the certificate authority in {0} is damaged ({1}): start with --reset, or restore ca.crt and ca.key")]
    Damaged(std::path::PathBuf, rcgen::Error),
    /// Making one failed.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The TLS library refused it.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The authority.
pub struct Pki {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    /// Reads the authority from the state folder, or makes one there.
    pub fn open(dir: &StateDir) -> Result<Pki, PkiError> {
        if let (Some(ca_pem), Some(key)) = (dir.read(CA_CERT)?, dir.read(CA_KEY)?) {
            let damaged = |e| PkiError::Damaged(dir.path().to_owned(), e);
            let key = KeyPair::from_pem(&key).map_err(damaged)?;
            let issuer = Issuer::from_ca_cert_pem(&ca_pem, key).map_err(damaged)?;
            return Ok(Pki { ca_pem, issuer });
        }
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "demo-panel embedded cluster");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        // It lives as long as its state folder: rcgen's default ends in the year 4096. A clock may be at its zero.
        params.not_before = rcgen::date_time_ymd(1970, 1, 1);
        let ca = CertifiedIssuer::self_signed(params.clone(), KeyPair::generate()?)?;
        let ca_pem = ca.pem();
        let key_pem = ca.key().serialize_pem();
        dir.write(CA_KEY, &key_pem)?;
        dir.write(CA_CERT, &ca_pem)?;
        Ok(Pki { ca_pem, issuer: Issuer::new(params, KeyPair::from_pem(&key_pem)?) })
    }

    /// The authority's certificate, for kubeconfigs.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// TLS for the API's listener: HTTP/2 and HTTP/1.1, a certificate that renews itself.
    pub fn server_config(self) -> Result<Arc<rustls::ServerConfig>, PkiError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let now = SystemTime::now();
        let current = issue(&self.issuer, &provider, now)?;
        let renewing =
            Renewing { issuer: self.issuer, provider: provider.clone(), current: Mutex::new((Arc::new(current), now)) };
        let mut config = rustls::ServerConfig::builder_with_details(provider, Arc::new(AnyClock))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(renewing));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Session tickets: two suffice where connections are kept, and each costs a signature's worth of memory.
        config.send_tls13_tickets = 1;
        Ok(Arc::new(config))
    }
}

struct Renewing {
    issuer: Issuer<'static, KeyPair>,
    provider: Arc<rustls::crypto::CryptoProvider>,
    /// The certificate in use, and when it was made.
    current: Mutex<(Arc<CertifiedKey>, SystemTime)>,
}

impl Renewing {
    fn at(&self, now: SystemTime) -> Arc<CertifiedKey> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back makes the certificate one of the future.
        if now + RENEW_BEFORE >= current.1 + LIFETIME || now + BACKDATE / 2 < current.1 {
            match issue(&self.issuer, &self.provider, now) {
                Ok(new) => *current = (Arc::new(new), now),
                Err(e) => tracing::error!("the API's certificate could not be renewed: {e}"),
            }
        }
        current.0.clone()
    }
}

impl ResolvesServerCert for Renewing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.at(SystemTime::now()))
    }
}

impl std::fmt::Debug for Renewing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Renewing")
    }
}

/// The machine's clock for TLS. rustls' own takes a time before 1970 for impossible.
#[derive(Debug)]
struct AnyClock;

impl rustls::time_provider::TimeProvider for AnyClock {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Some(rustls::pki_types::UnixTime::since_unix_epoch(since))
    }
}

fn issue(
    issuer: &Issuer<'static, KeyPair>,
    provider: &rustls::crypto::CryptoProvider,
    now: SystemTime,
) -> Result<CertifiedKey, PkiError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(NAMES.map(str::to_owned).to_vec())?;
    params.distinguished_name.push(DnType::CommonName, "demo-panel API");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    // A certificate knows no time before 1950, and no clock that is right is before 1970.
    let now = now.max(SystemTime::UNIX_EPOCH + BACKDATE);
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + LIFETIME).into();
    let certificate = params.signed_by(&key, issuer)?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok(CertifiedKey::from_der(vec![certificate.der().clone()], key.into(), provider)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renewing(dir: &StateDir) -> Renewing {
        let pki = Pki::open(dir).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let now = SystemTime::now();
        let key = issue(&pki.issuer, &provider, now).unwrap();
        Renewing { issuer: pki.issuer, provider, current: Mutex::new((Arc::new(key), now)) }
    }

    #[test]
    fn the_authority_outlives_the_process() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&temp.path().join("s"), false).unwrap();
        let first = Pki::open(&dir).unwrap().ca_pem;
        assert_eq!(Pki::open(&dir).unwrap().ca_pem, first);
        dir.write(CA_CERT, "nonsense").unwrap();
        assert!(matches!(Pki::open(&dir), Err(PkiError::Damaged(..))));
    }

    #[test]
    fn a_clock_that_is_set_back_gets_a_certificate_that_is_valid_then() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&temp.path().join("s"), false).unwrap();
        let resolver = renewing(&dir);
        let ca = rustls::pki_types::pem::PemObject::from_pem_slice(Pki::open(&dir).unwrap().ca_pem.as_bytes()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        let ca: rustls::pki_types::CertificateDer<'static> = ca;
        roots.add(ca).unwrap();
        let verifier =
            rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), resolver.provider.clone())
                .build()
                .unwrap();
        let day = Duration::from_secs(24 * 3600);
        let now = SystemTime::now();
        for at in [
            now,
            now - day / 4,
            now - 2 * day,
            now - 400 * day,
            now,
            SystemTime::UNIX_EPOCH + day,
            SystemTime::UNIX_EPOCH,
            SystemTime::UNIX_EPOCH - day,
            now + 400 * day,
        ] {
            let key = resolver.at(at);
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let time = rustls::pki_types::UnixTime::since_unix_epoch(since);
            let name = "127.0.0.1".try_into().unwrap();
            let verified = rustls::client::danger::ServerCertVerifier::verify_server_cert(
                &*verifier,
                &key.cert[0],
                &[],
                &name,
                &[],
                time,
            );
            assert!(verified.is_ok(), "{since:?}: {verified:?}");
        }
    }

    #[test]
    fn the_certificate_is_renewed_before_it_ends() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(&temp.path().join("s"), false).unwrap();
        let resolver = renewing(&dir);
        let now = SystemTime::now();
        let first = resolver.at(now);
        assert!(Arc::ptr_eq(&first, &resolver.at(now + LIFETIME - RENEW_BEFORE - Duration::from_secs(60))));
        assert!(!Arc::ptr_eq(&first, &resolver.at(now + LIFETIME - RENEW_BEFORE + Duration::from_secs(60))));
    }
}
