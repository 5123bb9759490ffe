//! The program ends in the middle of a copy: killed, or asked to stop.

use std::{net::TcpListener, path::PathBuf, time::Duration};

use berth_conformance::harness::{CountingProxy, DockerRegistry, Scratch, Signal, require, until};

use crate::{
    faults_cell::{ALL, Image, LAYER, LAYERS, Server, TALK, User, files, present, tagged},
    faults_valve::{Valve, Way},
};

/// What is made of a journal's text.
type Harm<'a> = &'a dyn Fn(&str) -> Vec<u8>;

/// Two registries, an image in the first, and a valve before the second.
struct Lab {
    scratch: Scratch,
    image: Image,
    _source: Server,
    target: Server,
    valve: Valve,
    /// Behind the valve.
    counting: CountingProxy,
    from: String,
}

impl Lab {
    fn new(target: Server) -> Self {
        let scratch = Scratch::new("killed").unwrap();
        let image = Image::big(&scratch);
        let source = Server::berth();
        let from = format!("docker://{}/big:1", source.host());
        User { scratch: &scratch }.copy(&[], &image.name, &from);
        let counting = CountingProxy::start(&target.host()).unwrap();
        let valve = Valve::start(&counting.host());
        Self { scratch, image, _source: source, target, valve, counting, from }
    }

    fn user(&self) -> User<'_> {
        User { scratch: &self.scratch }
    }

    fn to(&self, repository: &str) -> String {
        format!("docker://{}/{repository}:1", self.valve.host())
    }

    fn journals(&self) -> Vec<PathBuf> {
        files(&self.scratch.join("journal"))
    }

    fn resume(&self) -> String {
        format!("--resume={}", self.scratch.join("journal").display())
    }

    /// Copies to `repository` until so many bytes were sent, and is killed then. Answers how many blobs are whole.
    fn killed(&self, repository: &str, after: u64) -> usize {
        self.valve.hold_after(Way::Up, after);
        let mut copy = self.user().start_copy(&[&self.resume()], &self.from, &self.to(repository));
        self.valve.held();
        copy.signal(Signal::KILL);
        assert_eq!(copy.end().0.code(), None);
        self.valve.open();
        assert!(!tagged(self.target.port(), repository, "1"), "half an image has a name");
        present(self.target.port(), repository, &self.image.layers)
    }

    /// Copies again, which must go well; answers how many bytes went to the registry.
    fn resumed(&self, repository: &str) -> u64 {
        self.valve.hold_after(Way::Up, u64::MAX);
        let digest = self.scratch.join("digest");
        let flags = [&*self.resume(), &*format!("--digestfile={}", digest.display())];
        self.user().copy(&flags, &self.from, &self.to(repository));
        assert_eq!(std::fs::read_to_string(digest).unwrap(), self.image.digest.as_str());
        assert_eq!(present(self.target.port(), repository, &self.image.blobs), LAYERS + 1);
        self.valve.sent()
    }
}

/// `keeps_parts` says whether the registry still has what was sent of a blob when the connection breaks.
fn killed_and_resumed(target: Server, keeps_parts: bool) {
    let lab = Lab::new(target);
    for (repository, after) in [("early", ALL / 20), ("middle", ALL * 45 / 100), ("late", ALL * 95 / 100)] {
        let whole = lab.killed(repository, after);
        assert!(after < ALL / 10 || whole > 0, "{repository}: nothing was whole");
        let sent = lab.resumed(repository);
        let missing = ((LAYERS - whole) * LAYER) as u64;
        assert!(sent < missing + TALK, "{repository}: {whole} layers were there, and {sent} bytes were sent");
        if keeps_parts {
            // What the registry had of layers in their middle is not sent again, but for what was on its way.
            assert!(sent < ALL - after + (2 << 20), "{repository}: {sent} bytes after {after}");
        }
        assert!(lab.journals().is_empty(), "{:?}", lab.journals());
    }
}

#[test]
fn a_copy_to_berth_that_was_killed_goes_on_where_it_was() {
    killed_and_resumed(Server::berth(), true);
}

#[test]
fn a_copy_to_docker_registry_that_was_killed_sends_no_whole_layer_again() {
    if require(DockerRegistry::TOOLS) {
        killed_and_resumed(Server::docker(), false);
    }
}

#[test]
fn a_journal_that_is_damaged_or_foreign_does_no_harm() {
    let lab = Lab::new(Server::berth());
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let address = elsewhere.local_addr().unwrap();
    let to_elsewhere = |text: &str| {
        let host = format!("http://{}/", lab.valve.host());
        assert!(text.contains(&host), "no upload was noted:\n{text}");
        text.replace(&host, &format!("http://{address}/"))
    };
    let harms: [(&str, Harm<'_>); 5] = [
        ("empty", &|_| Vec::new()),
        ("garbage", &|_| b"\0\xff{{{{".repeat(4000)),
        ("cut", &|text| text.as_bytes()[..text.len() - 7].to_vec()),
        ("foreign", &|text| text.replace("big", "small").into_bytes()),
        ("elsewhere", &|text| to_elsewhere(text).into_bytes()),
    ];
    for (repository, harm) in harms {
        let whole = lab.killed(repository, ALL * 45 / 100);
        let [journal] = &lab.journals()[..] else { panic!("{:?}", lab.journals()) };
        let text = std::fs::read_to_string(journal).unwrap();
        std::fs::write(journal, harm(&text)).unwrap();
        let sent = lab.resumed(repository);
        assert!(sent < ((LAYERS - whole) * LAYER) as u64 + TALK, "{repository}: {sent}");
    }
    assert!(elsewhere.accept().is_err(), "content was sent where a journal said");
}

#[test]
fn a_journal_that_cannot_be_written_is_told_before_anything_moves() {
    let scratch = Scratch::new("journal").unwrap();
    let image = Image::write(&scratch.join("layout"), 1, 1, 1000);
    let target = Server::berth();
    let folder = scratch.write("file", "no folder").unwrap();
    let to = format!("docker://{}/a:1", target.host());
    let user = User { scratch: &scratch };
    let (status, log) = user.start_copy(&[&format!("--resume={}", folder.display())], &image.name, &to).end();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains(folder.to_str().unwrap()), "{log}");
    assert!(!tagged(target.port(), "a", "1"));
}

/// `forgets` says whether the registry surely forgets an upload that is cancelled while its bytes still come in:
/// docker-registry's handler may write it down again behind the cancelling.
fn stopped(target: Server, forgets: bool) {
    let lab = Lab::new(target);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let repository = format!("stopped-{code}");
        let before = lab.target.uploads();
        // Half a layer: neither of the two that are on their way can be whole.
        lab.valve.hold_after(Way::Up, LAYER as u64 / 2);
        let mut copy = lab.user().start_copy(&[], &lab.from, &lab.to(&repository));
        lab.valve.held();
        let begun = until(Duration::from_secs(10), || (lab.target.uploads() > before).then_some(()));
        assert!(begun.is_some());
        drop(lab.counting.take());
        copy.signal(signal);
        // What was on its way may go, and the cancelling with it.
        lab.valve.open();
        let (status, log) = copy.end();
        assert_eq!(status.code(), Some(code), "{log}");
        assert!(!tagged(lab.target.port(), &repository, "1"));
        let cancelled = lab.counting.take().requests.get("DELETE upload").copied();
        assert!(cancelled.is_some(), "nothing was cancelled");
        assert!(!forgets || lab.target.no_upload_left(), "{} uploads stay", lab.target.uploads());
        assert!(files(&lab.user().tmp()).is_empty());
    }
}

#[test]
fn a_copy_to_berth_that_is_asked_to_stop_leaves_no_upload() {
    stopped(Server::berth(), true);
}

#[test]
fn a_copy_to_docker_registry_that_is_asked_to_stop_cancels_its_uploads() {
    if require(DockerRegistry::TOOLS) {
        stopped(Server::docker(), false);
    }
}

#[test]
fn a_copy_to_disk_that_is_asked_to_stop_leaves_nothing_like_an_image() {
    let scratch = Scratch::new("stopped").unwrap();
    let image = Image::big(&scratch);
    let server = Server::berth();
    let user = User { scratch: &scratch };
    user.copy(&[], &image.name, &format!("docker://{}/big:1", server.host()));
    let valve = Valve::start(&server.host());
    let from = format!("docker://{}/big:1", valve.host());
    for (transport, rest) in [("dir", ""), ("oci", ":x"), ("oci-archive", ":x"), ("docker-archive", ":x:1")] {
        for (signal, code) in [(Signal::INT, Some(130)), (Signal::KILL, None)] {
            let target = scratch.join(format!("{transport}-{code:?}"));
            let name = format!("{transport}:{}{rest}", target.display());
            valve.hold_after(Way::Down, ALL * 45 / 100);
            let mut copy = user.start_copy(&[], &from, &name);
            valve.held();
            copy.signal(signal);
            let (status, log) = copy.end();
            valve.open();
            assert_eq!(status.code(), code, "{log}");
            // A `dir:` without manifest.json and a layout without the entry are no images, and read as none.
            let (status, log) = user.start_copy(&[], &name, "dir:/nonexistent/never").end();
            assert!(!status.success() && !log.contains("nonexistent"), "{log}");
            if signal == Signal::INT {
                assert!(files(&user.tmp()).is_empty());
                assert!(transport != "oci-archive" && transport != "docker-archive" || !target.exists());
            }
            // And the same copy goes well afterwards.
            user.copy(&[], &from, &name);
        }
    }
}
