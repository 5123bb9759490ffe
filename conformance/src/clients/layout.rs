//! OCI image layouts made on the spot, since a test may not fetch an image from anywhere.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use berth_hash::{Hasher, Kind};
use berth_oci::{Algorithm, Digest, MediaType};
use serde_json::{Value, json};

use crate::harness::{HarnessError, Result};

/// SHA-256 digest of some bytes.
pub fn digest_of(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Kind::Sha256);
    hasher.update(bytes);
    Digest::from_hash(Algorithm::Sha256, &hasher.finish())
}

/// What a file of a layer holds.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// So many bytes that look random, so that nothing on the way makes them fewer. A multiple of eight.
    Noise {
        /// Two files of one seed are the same.
        seed: u64,
        /// Length in bytes.
        size: u64,
    },
}

/// A blob of the layout (image-spec, descriptor.md).
#[derive(Debug, Clone)]
pub struct Descriptor {
    /// Its media type.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

impl Descriptor {
    fn json(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest.as_str(), "size": self.size})
    }
}

/// A folder in the OCI image layout (image-spec, image-layout.md).
#[derive(Debug)]
pub struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// Makes an empty layout in a folder, which may not exist yet.
    pub fn create(folder: impl Into<PathBuf>) -> Result<Self> {
        let layout = Self { folder: folder.into() };
        let blobs = layout.folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(HarnessError::file(&blobs))?;
        layout.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(layout)
    }

    /// A layout that a client wrote.
    pub fn open(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The digest of the one manifest that its `index.json` names.
    pub fn only(&self) -> Result<Digest> {
        let path = self.folder.join("index.json");
        let text = fs::read(&path).map_err(HarnessError::file(&path))?;
        let index: Value = serde_json::from_slice(&text).unwrap_or_default();
        match index["manifests"].as_array().map(Vec::as_slice) {
            Some([one]) => one["digest"].as_str().and_then(|text| text.parse().ok()),
            _ => None,
        }
        .ok_or_else(|| HarnessError::Unexpected(format!("{}: not one manifest", path.display())))
    }

    /// Every blob, hashed anew: the sorted digests of contents, and an error if one lies under another's name.
    pub fn contents(&self) -> Result<Vec<Digest>> {
        let folder = self.folder.join("blobs/sha256");
        let mut digests = Vec::new();
        for entry in fs::read_dir(&folder).map_err(HarnessError::file(&folder))?.flatten() {
            let digest = hash_file(&entry.path())?;
            if digest.hex() != entry.file_name().to_string_lossy() {
                return Err(HarnessError::Unexpected(format!("{} holds {digest}", entry.path().display())));
            }
            digests.push(digest);
        }
        digests.sort();
        Ok(digests)
    }

    /// Adds a blob.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let digest = digest_of(bytes);
        self.write(&format!("blobs/sha256/{}", digest.hex()), bytes)?;
        Ok(Descriptor { media_type: media_type.to_owned(), digest, size: bytes.len() as u64 })
    }

    /// Adds an uncompressed layer with these files.
    pub fn layer(&self, files: &[(&str, Content<'_>)]) -> Result<Descriptor> {
        let place = self.folder.join("blobs/sha256/new");
        let file = File::create(&place).map_err(HarnessError::file(&place))?;
        let mut tar =
            Tar { file: BufWriter::with_capacity(1 << 20, file), hasher: Hasher::new(Kind::Sha256), size: 0 };
        let written =
            files.iter().try_for_each(|(name, content)| tar.add(name, *content)).and_then(|()| tar.end());
        written.map_err(HarnessError::file(&place))?;
        let size = tar.size;
        let digest = Digest::from_hash(Algorithm::Sha256, &tar.hasher.finish());
        let home = self.folder.join("blobs/sha256").join(digest.hex());
        fs::rename(&place, &home).map_err(HarnessError::file(&home))?;
        Ok(Descriptor { media_type: MediaType::OCI_LAYER.to_owned(), digest, size })
    }

    /// Adds an image of uncompressed layers for Linux on this architecture.
    pub fn image(&self, architecture: &str, layers: &[Descriptor]) -> Result<Descriptor> {
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
        let config = json!({"architecture": architecture, "os": "linux", "config": {"Cmd": ["/hello"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = self.blob(MediaType::OCI_CONFIG, config.to_string().as_bytes())?;
        let layers: Vec<Value> = layers.iter().map(Descriptor::json).collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config.json(),
            "layers": layers});
        self.blob(MediaType::OCI_MANIFEST, manifest.to_string().as_bytes())
    }

    /// Adds an index of images, each with its architecture.
    pub fn index(&self, images: &[(&str, Descriptor)]) -> Result<Descriptor> {
        let manifests: Vec<Value> = images
            .iter()
            .map(|(architecture, image)| {
                let mut entry = image.json();
                entry["platform"] = json!({"architecture": architecture, "os": "linux"});
                entry
            })
            .collect();
        let index = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": manifests});
        self.blob(MediaType::OCI_INDEX, index.to_string().as_bytes())
    }

    /// Names the one image or index of this layout.
    pub fn tag(&self, name: &str, descriptor: &Descriptor) -> Result<()> {
        let mut entry = descriptor.json();
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        let index = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [entry]});
        self.write("index.json", index.to_string().as_bytes())
    }

    /// The usual small image: two layers, tagged `latest`. `salt` makes its blobs unlike those of other tests:
    /// clients remember where they saw a blob and would mount it from there.
    pub fn small_image(folder: impl Into<PathBuf>, salt: &str) -> Result<(Self, Digest)> {
        let layout = Self::create(folder)?;
        let image = layout.small("amd64", salt)?;
        layout.tag("latest", &image)?;
        Ok((layout, image.digest))
    }

    /// The usual index: two platforms that share a layer, tagged `latest`.
    pub fn small_index(folder: impl Into<PathBuf>, salt: &str) -> Result<(Self, Digest)> {
        let layout = Self::create(folder)?;
        let images = [("amd64", layout.small("amd64", salt)?), ("arm64", layout.small("arm64", salt)?)];
        let index = layout.index(&images)?;
        layout.tag("latest", &index)?;
        Ok((layout, index.digest))
    }

    fn small(&self, architecture: &str, salt: &str) -> Result<Descriptor> {
        let seed = u64::from_str_radix(&digest_of(salt.as_bytes()).hex()[..16], 16).unwrap_or(1);
        let noise = Content::Noise { seed, size: 256 << 10 };
        let base = self.layer(&[("hello", Content::Bytes(salt.as_bytes())), ("noise", noise)])?;
        let own = format!("{architecture} {salt}");
        let own = self.layer(&[("architecture", Content::Bytes(own.as_bytes()))])?;
        self.image(architecture, &[base, own])
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, bytes).map_err(HarnessError::file(&path))
    }
}

fn hash_file(path: &Path) -> Result<Digest> {
    use std::io::Read;
    let mut file = File::open(path).map_err(HarnessError::file(path))?;
    let (mut hasher, mut buffer) = (Hasher::new(Kind::Sha256), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).map_err(HarnessError::file(path))? {
            0 => return Ok(Digest::from_hash(Algorithm::Sha256, &hasher.finish())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Writes a POSIX ustar archive of regular files and hashes it on the way.
struct Tar {
    file: BufWriter<File>,
    hasher: Hasher,
    size: u64,
}

const BLOCK: usize = 512;

impl Tar {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn add(&mut self, name: &str, content: Content<'_>) -> std::io::Result<()> {
        let size = match content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Noise { size, .. } => size,
        };
        self.put(&header(name, size))?;
        match content {
            Content::Bytes(bytes) => self.put(bytes)?,
            Content::Noise { seed, size } => self.noise(seed, size)?,
        }
        let used = usize::try_from(self.size % BLOCK as u64).unwrap_or(0);
        self.put(&[0; BLOCK][..(BLOCK - used) % BLOCK])
    }

    /// Xorshift: fast, and nothing that a compressor could shorten.
    fn noise(&mut self, seed: u64, size: u64) -> std::io::Result<()> {
        let (mut state, mut left) = (seed | 1, size);
        let mut block = vec![0; 64 << 10];
        while left > 0 {
            for word in block.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            let part = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.put(&block[..part])?;
            left -= part as u64;
        }
        Ok(())
    }

    fn end(&mut self) -> std::io::Result<()> {
        self.put(&[0; 2 * BLOCK])?;
        self.file.flush()
    }
}

/// Header of a regular file of mode 0755 that belongs to root, from the year 1970.
fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut field = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    field(0, name);
    field(100, "0000755\0");
    field(108, "0000000\0");
    field(116, "0000000\0");
    field(124, &format!("{size:011o}\0"));
    field(136, "00000000000\0");
    field(148, "        ");
    field(156, "0");
    field(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
