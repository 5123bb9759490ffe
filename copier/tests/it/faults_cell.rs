//! What the fault tests share: an image of ten layers, the program as a process, and questions to a registry.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use berth_conformance::harness::{Berth, Daemon, DaemonSpec, DockerRegistry, Scratch, Signal, until};
use berth_oci::{Algorithm, Digest, MediaType};
use serde_json::json;

/// Layers of the image.
pub(crate) const LAYERS: usize = 10;
/// Bytes of one.
pub(crate) const LAYER: usize = 4 << 20;
/// Bytes of all.
pub(crate) const ALL: u64 = (LAYERS * LAYER) as u64;
/// What requests and answers may have besides content.
pub(crate) const TALK: u64 = 256 << 10;

const LIMIT: Duration = Duration::from_secs(120);

/// An image in a layout, of layers that no compression makes smaller.
pub(crate) struct Image {
    /// `oci:…`.
    pub(crate) name: String,
    /// Digest of its manifest.
    pub(crate) digest: Digest,
    pub(crate) layers: Vec<Digest>,
    /// With the configuration: what the destination must have.
    pub(crate) blobs: Vec<Digest>,
}

impl Image {
    /// Writes one into a new folder. Images with another seed share no layer.
    pub(crate) fn write(folder: &Path, seed: u64, layers: usize, layer: usize) -> Self {
        std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        let put = |content: &[u8], kind: &str| {
            let digest = Digest::of(Algorithm::Sha256, content);
            std::fs::write(folder.join("blobs/sha256").join(digest.hex()), content).unwrap();
            (json!({"mediaType": kind, "digest": digest.as_str(), "size": content.len()}), digest)
        };
        let mut state = seed;
        let mut content = vec![0; layer];
        let (entries, layers): (Vec<_>, Vec<_>) = (0..layers)
            .map(|_| {
                for eight in content.chunks_mut(8) {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    eight.copy_from_slice(&state.rotate_left(29).to_le_bytes()[..eight.len()]);
                }
                put(&content, MediaType::OCI_LAYER_GZIP)
            })
            .unzip();
        let config = format!("{{\"architecture\":\"amd64\",\"os\":\"linux\",\"author\":\"{seed}\"}}");
        let (config, config_digest) = put(config.as_bytes(), MediaType::OCI_CONFIG);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": entries,
        });
        let (mut entry, digest) = put(manifest.to_string().as_bytes(), MediaType::OCI_MANIFEST);
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": "big"});
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let blobs = layers.iter().cloned().chain([config_digest]).collect();
        Self { name: format!("oci:{}:big", folder.display()), digest, layers, blobs }
    }

    /// The usual one.
    pub(crate) fn big(scratch: &Scratch) -> Self {
        Self::write(&scratch.join("layout"), 7, LAYERS, LAYER)
    }
}

/// The folders of a user, and the program in them.
pub(crate) struct User<'a> {
    pub(crate) scratch: &'a Scratch,
}

/// A program that was started.
pub(crate) struct Running {
    daemon: Daemon,
}

impl User<'_> {
    fn spec(&self, wrapper: &[&str], arguments: &[&str]) -> DaemonSpec {
        self.scratch.subfolder("tmp").unwrap();
        self.scratch.subfolder("home").unwrap();
        let log = self.scratch.join(format!("log-{:?}", std::time::Instant::now()));
        let tmp = format!("--tmpdir={}", self.tmp().display());
        let own = [env!("CARGO_BIN_EXE_berth-copier"), "--insecure-policy", tmp.as_str()];
        let argv = wrapper.iter().chain(&own).chain(arguments).copied();
        let mut spec = DaemonSpec::new("berth-copier", log, argv);
        for name in ["HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"] {
            spec.env.push((name.into(), self.scratch.join("home").into()));
        }
        spec
    }

    /// The folder for temporary files.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.scratch.join("tmp")
    }

    /// Starts `copy`, two layers at once, with more flags.
    pub(crate) fn start_copy(&self, flags: &[&str], from: &str, to: &str) -> Running {
        self.start_under(&[], flags, from, to)
    }

    /// [`Self::start_copy`] behind a wrapper like `prlimit`.
    pub(crate) fn start_under(&self, wrapper: &[&str], flags: &[&str], from: &str, to: &str) -> Running {
        let always =
            ["copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--image-parallel-copies=2"];
        let arguments: Vec<&str> = always.iter().chain(flags).copied().chain([from, to]).collect();
        Running { daemon: self.spec(wrapper, &arguments).start().unwrap() }
    }

    /// Copies, which must go well.
    pub(crate) fn copy(&self, flags: &[&str], from: &str, to: &str) {
        let (status, log) = self.start_copy(flags, from, to).end();
        assert_eq!(status.code(), Some(0), "{log}");
    }
}

impl Running {
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.daemon.signal(signal);
    }

    /// How it ended, and what it said.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        (self.daemon.wait(LIMIT).unwrap(), self.daemon.log())
    }
}

/// Which of the blobs a repository has.
pub(crate) fn present(port: u16, repository: &str, blobs: &[Digest]) -> usize {
    blobs.iter().filter(|digest| is_there(port, &format!("/v2/{repository}/blobs/{digest}"))).count()
}

/// Whether a tag means something.
pub(crate) fn tagged(port: u16, repository: &str, tag: &str) -> bool {
    is_there(port, &format!("/v2/{repository}/manifests/{tag}"))
}

fn is_there(port: u16, path: &str) -> bool {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // Some registries have no manifest for those who do not name its type.
    let accept = MediaType::OCI_MANIFEST;
    let head = format!(
        "HEAD {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    match answer.split(' ').nth(1) {
        Some("200") => true,
        Some("404") => false,
        _ => panic!("{answer}"),
    }
}

/// Files under a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path) } else { vec![path] }
        })
        .collect()
}

/// A registry that can die.
pub(crate) enum Server {
    Berth(Box<Berth>),
    Docker(Box<DockerRegistry>),
}

impl Server {
    pub(crate) fn berth() -> Self {
        Self::Berth(Box::new(Berth::builder().start().unwrap()))
    }

    pub(crate) fn docker() -> Self {
        Self::Docker(Box::new(DockerRegistry::start().unwrap()))
    }

    pub(crate) fn host(&self) -> String {
        match self {
            Self::Berth(berth) => berth.host(),
            Self::Docker(registry) => registry.host(),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.host().rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Ends it without a warning.
    pub(crate) fn kill(&mut self) {
        match self {
            Self::Berth(berth) => berth.kill().unwrap(),
            Self::Docker(registry) => registry.kill().unwrap(),
        }
    }

    /// Starts it again, with the same data and port.
    pub(crate) fn restart(&mut self) {
        match self {
            Self::Berth(berth) => drop(berth.start().unwrap()),
            Self::Docker(registry) => drop(registry.restart().unwrap()),
        }
    }

    /// Uploads that it keeps files of.
    pub(crate) fn uploads(&self) -> usize {
        match self {
            Self::Berth(berth) => files(&berth.data().join("storage/uploads"))
                .iter()
                // Its own check that the disk can be written.
                .filter(|path| path.file_name().is_some_and(|name| name != "probe"))
                .count(),
            Self::Docker(registry) => files(&registry.data())
                .iter()
                .filter(|path| path.components().any(|part| part.as_os_str() == "_uploads"))
                .filter(|path| path.file_name().is_some_and(|name| name == "data"))
                .count(),
        }
    }

    /// Waits until no upload is left.
    pub(crate) fn no_upload_left(&self) -> bool {
        until(Duration::from_secs(10), || (self.uploads() == 0).then_some(())).is_some()
    }
}
