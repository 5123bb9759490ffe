//! Keys that signatures are made with, and their passphrases.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::Arc,
};

use berth_copier::{
    Error, Result, Secret,
    error::ResultExt,
    signature::{GpgSigner, Sign, SigstoreSigner, read_passphrase},
};
use serde::Deserialize;

use super::ManifestOptions;

/// The most that a parameter file may be long, in bytes.
const MAX_PARAMETERS: u64 = 64 * 1024;

/// The passphrase of a private key: from the file, or from whoever sits at the terminal.
///
/// # Errors
/// If the file cannot be read, or nobody sits there.
pub(crate) fn passphrase(file: Option<&Path>, key: &Path) -> Result<Secret> {
    if let Some(file) = file {
        return read_passphrase(file);
    }
    if !io::stdin().is_terminal() {
        return Err(Error::Usage(format!(
            "Cannot prompt for a passphrase for key {}, standard input is not a TTY; give --passphrase-file, or \
             --sign-passphrase-file with copy and sync",
            key.display()
        )));
    }
    let prompt = format!("Passphrase for key {}: ", key.display());
    rpassword::prompt_password(prompt)
        .map(Secret::new)
        .map_err(|source| Error::Other { what: "Error reading password".to_owned(), source: source.into() })
}

impl ManifestOptions {
    /// What makes the signatures that these options ask for.
    ///
    /// # Errors
    /// For keys that cannot be used, and for parameter files that ask for what is not done here.
    pub(super) fn signers(&self) -> Result<Vec<Arc<dyn Sign>>> {
        let file = self.sign_passphrase_file.as_deref();
        if file.is_some() && self.sign_by.is_some() && self.sign_by_sigstore_private_key.is_some() {
            return Err(Error::Usage(
                "Only one of --sign-by and --sign-by-sigstore-private-key can be used with --sign-passphrase-file"
                    .to_owned(),
            ));
        }
        let mut signers: Vec<Arc<dyn Sign>> = Vec::new();
        if let Some(path) = &self.sign_by_sigstore {
            let signer = Parameters::read(path).and_then(|parameters| parameters.signer(path));
            signers.push(Arc::new(signer.context("Error using --sign-by-sigstore")?));
        }
        if let Some(fingerprint) = &self.sign_by {
            signers.push(Arc::new(GpgSigner::new(fingerprint, file.map(read_passphrase).transpose()?)?));
        }
        if let Some(key) = &self.sign_by_sigstore_private_key {
            signers.push(Arc::new(SigstoreSigner::from_file(key, &passphrase(file, key)?)?));
        }
        Ok(signers)
    }
}

/// A sigstore parameter file (containers-sigstore-signing-params.yaml).
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Parameters {
    private_key_file: Option<PathBuf>,
    private_key_passphrase_file: Option<PathBuf>,
    fulcio: Option<serde::de::IgnoredAny>,
    #[serde(rename = "rekorURL")]
    rekor_url: Option<String>,
}

impl Parameters {
    fn read(path: &Path) -> Result<Self> {
        let size = std::fs::metadata(path).map_err(Error::file(path))?.len();
        let fault = |fault: String| Error::Configuration { path: path.to_owned(), fault };
        if size > MAX_PARAMETERS {
            return Err(fault(format!("{size} bytes; at most {MAX_PARAMETERS} are read")));
        }
        let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
        serde_saphyr::from_str(&text).map_err(|error| fault(error.to_string()))
    }

    fn signer(&self, path: &Path) -> Result<SigstoreSigner> {
        let unsupported = [("fulcio", self.fulcio.is_some()), ("rekorURL", self.rekor_url.is_some())];
        if let Some((key, _)) = unsupported.iter().find(|(_, given)| *given) {
            return Err(Error::Unsupported(format!(
                "{}: {key}: signatures are made by a private key alone; certificates of Fulcio and entries in Rekor are \
                 verified and not made, use `cosign sign` for them",
                path.display()
            )));
        }
        let Some(key) = &self.private_key_file else {
            let fault = "privateKeyFile: required, since signatures are made by a private key".to_owned();
            return Err(Error::Configuration { path: path.to_owned(), fault });
        };
        SigstoreSigner::from_file(key, &passphrase(self.private_key_passphrase_file.as_deref(), key)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SigstoreSigner> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("parameters.yaml");
        std::fs::write(&path, text).unwrap();
        Parameters::read(&path).and_then(|parameters| parameters.signer(&path))
    }

    #[test]
    fn parameter_files_say_what_is_not_done() {
        let fulcio = read("fulcio:\n  fulcioURL: https://fulcio.example.org\n").unwrap_err();
        assert!(matches!(fulcio, Error::Unsupported(_)), "{fulcio}");
        let rekor = read("privateKeyFile: k\nrekorURL: https://rekor.example.org\n").unwrap_err();
        assert!(matches!(rekor, Error::Unsupported(_)), "{rekor}");
        for text in ["{}", "privateKeyFil: k", "- a", "\t"] {
            assert!(matches!(read(text), Err(Error::Configuration { .. })), "{text}");
        }
        assert!(matches!(
            read("privateKeyFile: /nonexistent/k\nprivateKeyPassphraseFile: /nonexistent/p"),
            Err(Error::File { .. })
        ));
    }
}
