//! `index.json`, read strictly and written with everything kept that is not changed.

use std::fmt;

use berth_oci::{Descriptor, Digest, Manifest, MediaType};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::RawValue;

use super::REF_NAME;
use crate::{Error, RawManifest, Result};

/// The list of a layout: its entries, and the text of each, so that what another program wrote there stays.
#[derive(Debug)]
pub(crate) struct Index {
    fields: Fields,
    entries: Vec<(Descriptor, Box<RawValue>)>,
}

/// An object's fields in their order.
#[derive(Debug)]
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

fn json(fault: serde_json::Error) -> Error {
    Error::Other { what: "index.json".to_owned(), source: fault.into() }
}

impl Index {
    /// A list with nothing in it.
    pub(crate) fn empty() -> Result<Self> {
        let version = serde_json::value::to_raw_value(&2).map_err(json)?;
        Ok(Self { fields: Fields(vec![("schemaVersion".to_owned(), version)]), entries: Vec::new() })
    }

    /// Reads `index.json`.
    ///
    /// # Errors
    /// `Error::Manifest` if it is no OCI index.
    pub(crate) fn parse(raw: Bytes) -> Result<Self> {
        let raw = RawManifest::new(raw, Some(MediaType::OCI_INDEX.into()));
        let Manifest { manifests, .. } = raw.parse()?;
        let mut fields: Fields = serde_json::from_slice(&raw.raw).map_err(json)?;
        let at = fields.0.iter().position(|(key, _)| key == "manifests");
        let texts: Vec<Box<RawValue>> = match at.map(|at| fields.0.remove(at).1) {
            // The strict reader takes null for an empty list, as Go writes it.
            Some(list) => serde_json::from_str::<Option<_>>(list.get()).map_err(json)?.unwrap_or_default(),
            None => Vec::new(),
        };
        if texts.len() != manifests.len() {
            return Err(Error::Integrity("index.json has two lists of manifests".to_owned()));
        }
        Ok(Self { fields, entries: manifests.into_iter().zip(texts).collect() })
    }

    /// The entries.
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = &Descriptor> {
        self.entries.iter().map(|(entry, _)| entry)
    }

    /// Puts an image under its name: in the place of the entry with that name, or of one without a name that is the
    /// same image, or at the end.
    pub(crate) fn put(&mut self, entry: Descriptor) -> Result<()> {
        let text = serde_json::value::to_raw_value(&entry).map_err(json)?;
        let name = ref_name(&entry).map(str::to_owned);
        let place = match &name {
            Some(name) => {
                let named = |other: &Descriptor| ref_name(other) == Some(name);
                let same = |other: &Descriptor| ref_name(other).is_none() && other.digest == entry.digest;
                self.entries().position(named).or_else(|| self.entries().position(same))
            }
            // Without a name it is another way to the same image, if that is there.
            None => match self.position(&entry.digest) {
                Some(_) => return Ok(()),
                None => None,
            },
        };
        match place {
            Some(place) => self.entries[place] = (entry, text),
            None => self.entries.push((entry, text)),
        }
        Ok(())
    }

    /// Where an image stands.
    pub(crate) fn position(&self, digest: &Digest) -> Option<usize> {
        self.entries().position(|entry| entry.digest == *digest)
    }

    /// The file.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let texts: Vec<&RawValue> = self.entries.iter().map(|(_, text)| &**text).collect();
        let list = serde_json::value::to_raw_value(&texts).map_err(json)?;
        let mut fields: Vec<_> = self.fields.0.clone();
        // Before free text, as everybody writes it.
        let place = fields.iter().take_while(|(key, _)| key == "schemaVersion" || key == "mediaType").count();
        fields.insert(place, ("manifests".to_owned(), list));
        serde_json::to_vec(&Fields(fields)).map_err(json)
    }
}

/// The name of an entry; empty is none.
pub(crate) fn ref_name(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(REF_NAME).map(String::as_str).filter(|name| !name.is_empty())
}
