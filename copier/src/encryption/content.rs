//! Contents that are encrypted and decrypted while they are read.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use berth_hash::{Hasher, Kind};
use berth_oci::Digest;

use super::{
    DecryptionKey, Recipient,
    cipher::{LayerKey, PIECE_BYTES},
    options::{self, Private, Public},
};
use crate::{
    ByteStream, Content, Error, Result,
    compression::pump::{self, fault},
};

/// Content that is encrypted on its way, as long as it was.
///
/// Every opening has a key of its own, so that two openings whose plain bytes differ never share a key stream. So the
/// bytes differ each time: their digest is known after an upload, never before.
pub struct Encrypted {
    from: Box<dyn Content>,
    recipients: Vec<Recipient>,
    made: Arc<Mutex<Option<BTreeMap<String, String>>>>,
}

impl Encrypted {
    /// Encrypts `from` (a layer as it would have been stored: compressed already) for the recipients.
    ///
    /// # Errors
    /// `Error::Usage` if there are none.
    pub fn new(from: Box<dyn Content>, recipients: Vec<Recipient>) -> Result<Self> {
        if recipients.is_empty() {
            return Err(Error::Usage("encryption needs a recipient: --encryption-key jwe:PATH".to_owned()));
        }
        Ok(Self { from, recipients, made: Arc::default() })
    }

    /// The annotations that the encrypted layer's descriptor must have, once the last stream that was opened ended
    /// without an error. They belong to that stream's bytes.
    #[must_use]
    pub fn annotations(&self) -> Option<BTreeMap<String, String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Content for Encrypted {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        if from != 0 {
            return Err(Error::NotSeekable);
        }
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let stream = self.from.open(0).await?;
        let (recipients, made) = (self.recipients.clone(), Arc::clone(&self.made));
        Ok(pump::transform(stream, move |mut input, output| {
            let annotations = encrypt(&mut input, output, &recipients)?;
            *made.lock().unwrap_or_else(PoisonError::into_inner) = Some(annotations);
            Ok(())
        }))
    }
}

fn encrypt(
    plain: &mut pump::Input,
    output: &mut pump::Output,
    recipients: &[Recipient],
) -> Result<BTreeMap<String, String>> {
    let key = LayerKey::generate()?;
    let mut cipher = key.cipher()?;
    let mut hasher = Hasher::new(Kind::Sha256);
    loop {
        let piece = next_piece(plain)?;
        if piece.is_empty() {
            break;
        }
        hasher.update(&piece);
        let encrypted = cipher.encrypt(&piece)?;
        output.piece(encrypted.into()).map_err(|error| fault("encrypting the layer", error))?;
    }
    let private = Private::new(&key, &Digest::from_hasher(hasher)).to_json()?;
    let public = Public::new(cipher.tag());
    Ok([
        (options::KEYS_ANNOTATION.to_owned(), options::wrap(&private, recipients)?),
        (options::OPTIONS_ANNOTATION.to_owned(), public.to_annotation()?),
    ]
    .into())
}

fn next_piece(input: &mut pump::Input) -> Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    input
        .take(PIECE_BYTES as u64)
        .read_to_end(&mut piece)
        .map_err(|error| fault("reading the layer", error))?;
    Ok(piece)
}

/// Content that is decrypted on its way. Its stream fails, and before its last piece, where the bytes are not those that
/// were encrypted.
pub struct Decrypted {
    from: Box<dyn Content>,
    key: Arc<LayerKey>,
    tag: Arc<[u8]>,
    digest: Option<Digest>,
}

impl Decrypted {
    /// Decrypts `from`, an encrypted layer's content, with the key that its descriptor's annotations have for one of
    /// `keys`.
    ///
    /// # Errors
    /// If no key fits, and `Error::Integrity` for annotations that are not as they must be.
    pub fn new(
        from: Box<dyn Content>,
        annotations: &BTreeMap<String, String>,
        keys: &[DecryptionKey],
    ) -> Result<Self> {
        let public = Public::of(annotations)?;
        let private = Private::from_json(&options::unwrap(annotations, keys)?)?;
        let key = private.layer_key()?;
        Ok(Self { from, key: Arc::new(key), tag: public.tag()?.into(), digest: private.digest() })
    }

    /// The digest of the plain layer, as whoever encrypted it wrote it down (Skopeo writes the digest of its source,
    /// which differs where it recompressed besides).
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }
}

#[async_trait]
impl Content for Decrypted {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        if from != 0 {
            return Err(Error::NotSeekable);
        }
        let stream = self.from.open(0).await?;
        let (key, tag) = (Arc::clone(&self.key), Arc::clone(&self.tag));
        Ok(pump::transform(stream, move |mut input, output| decrypt(&mut input, output, &key, &tag)))
    }
}

fn decrypt(input: &mut pump::Input, output: &mut pump::Output, key: &LayerKey, tag: &[u8]) -> Result<()> {
    let mut cipher = key.cipher()?;
    let writing = |error| fault("decrypting the layer", error);
    let mut held = Vec::new();
    loop {
        let piece = next_piece(input)?;
        if piece.is_empty() {
            break;
        }
        let plain = cipher.decrypt(&piece)?;
        output.piece(std::mem::replace(&mut held, plain).into()).map_err(writing)?;
    }
    cipher.verify(tag)?;
    output.piece(held.into()).and_then(|()| output.flush()).map_err(writing)
}
