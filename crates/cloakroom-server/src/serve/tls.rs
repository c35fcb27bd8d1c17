//! HTTPS by rustls. Certificate and key are read at start and again on SIGHUP; a pair that does not
//! load leaves the one in use.

use std::error::Error;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::settings::TlsFiles;

/// The certificate in use.
pub(crate) struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads certificate and key.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            files: files.clone(),
            config: RwLock::new(read(files)?),
        })
    }

    /// Reads them again; new connections get them.
    pub(crate) fn reload(&self) -> Result<(), Box<dyn Error>> {
        let config = read(&self.files)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// The same certificate for a protocol that negotiates none.
    pub(crate) fn acceptor_without_protocols(&self) -> TlsAcceptor {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        let mut config = ServerConfig::clone(&config);
        config.alpn_protocols.clear();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Takes the next connection with the certificate in use.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&config))
    }
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, Box<dyn Error>> {
    let cert = files.cert.display();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&files.cert)
        .map_err(|error| format!("cannot read the certificate in {cert}: {error}"))?
        .collect();
    let chain = chain.map_err(|error| format!("no PEM certificate in {cert}: {error}"))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| format!("cannot read a key in {}: {error}", files.key.display()))?;
    let mode = std::fs::metadata(&files.key)?.permissions().mode();
    if mode & 0o007 != 0 {
        let (file, mode) = (files.key.display(), format!("{:03o}", mode & 0o777));
        tracing::warn!(%file, mode, "everybody on this machine can read or change tls-key; close it with chmod 640");
    }
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| format!("the certificate in {cert} does not fit its key: {error}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.files.cert.display())
    }
}
