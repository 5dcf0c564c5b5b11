//! TLS with the ring provider, given explicitly: a library that installs a process default would
//! decide for the whole program.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::wrong;
use crate::Result;

/// What we show to servers that ask.
pub(super) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(super) fn new(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self> {
        let key = PrivateKeyDer::from_pem_slice(key_pem)
            .map_err(|error| wrong("no private key in the pem text").with_source(error))?;
        Ok(Self {
            chain: certificates(certificate_pem)?,
            key,
        })
    }
}

/// These authorities, and those of the operating system where they are trusted, too.
pub(super) fn authorities(
    own: Vec<CertificateDer<'static>>,
    system: bool,
) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if system {
        // Some machines ship single certificates that rustls refuses: the others must work.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for certificate in own {
        roots.add(certificate).map_err(|error| {
            wrong("a certificate that cannot be an authority").with_source(error)
        })?;
    }
    if roots.is_empty() {
        // Not an error: what runs on this machine is asked without TLS, and all else fails safely.
        tracing::warn!("no tls authority to trust on this machine: https will fail");
    }
    Ok(roots)
}

/// TLS with these authorities.
pub(super) fn config(roots: RootCertStore, identity: Option<&Identity>) -> Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("no usable tls version").with_source(error))?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => builder
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| {
                wrong("the tls client certificate and key do not fit").with_source(error)
            })?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The certificates of a PEM file's content.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(wrong("no certificate in the pem text")),
        Err(error) => Err(wrong("no certificate in the pem text").with_source(error)),
    }
}
