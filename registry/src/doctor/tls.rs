//! Certificate and key.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use x509_parser::pem::Pem;

use super::Look;
use crate::{
    clock::Clock,
    config::Config,
    http::serve::{Tls, TlsFiles},
};

const ABOUT: &str = "TLS";
/// A certificate that runs out sooner should have been renewed by now.
const SOON: i64 = 14 * 24 * 3600;

/// Whether certificate and key can be read, fit each other and are in force.
pub(super) fn look(config: &Config, clock: &dyn Clock) -> Vec<Look> {
    let Some((cert, key)) = config.tls.files() else {
        return vec![Look::ok(ABOUT, "not configured; the registry speaks plain http")];
    };
    let mut looks = Vec::new();
    if let Err(error) =
        Tls::load(TlsFiles { cert: cert.clone(), key: key.clone(), client_ca: config.tls.client_ca.clone() })
    {
        return vec![Look::failure(ABOUT, error.to_string())];
    }
    match fs::metadata(&key).map(|found| found.permissions().mode() & 0o007) {
        Ok(0) => {}
        Ok(_) => {
            let why = format!("everybody may read the key: chmod 600 {}", key.display());
            looks.push(Look::warning(ABOUT, why));
        }
        Err(error) => looks.push(Look::failure(ABOUT, format!("{}: {error}", key.display()))),
    }
    let now = clock.now().0 / 1_000_000;
    looks.push(match ends(&cert) {
        Err(why) => Look::failure(ABOUT, format!("{}: {why}", cert.display())),
        Ok((from, _)) if from > now => {
            Look::failure(ABOUT, "the certificate is not valid yet: look at the clock")
        }
        Ok((_, until)) if until <= now => Look::failure(ABOUT, "the certificate has expired: renew it"),
        Ok((_, until)) if until - now < SOON => {
            Look::warning(ABOUT, format!("the certificate expires in {} days", (until - now) / 86_400))
        }
        Ok((_, until)) => {
            let days = (until - now) / 86_400;
            Look::ok(ABOUT, format!("certificate and key fit; {days} days are left"))
        }
    });
    looks
}

/// From when until when the first certificate is valid, in seconds since 1970.
fn ends(cert: &Path) -> Result<(i64, i64), String> {
    let bytes = fs::read(cert).map_err(|error| error.to_string())?;
    let first = Pem::iter_from_buffer(&bytes).next().ok_or("no certificate in it")?;
    let first = first.map_err(|error| error.to_string())?;
    let parsed = first.parse_x509().map_err(|error| error.to_string())?;
    let validity = parsed.validity();
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}
