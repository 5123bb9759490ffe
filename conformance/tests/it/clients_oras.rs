//! The Python client of ORAS: artifacts that are not images.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use berth_conformance::clients::{Registry, digest_of, new_repository};
use berth_conformance::harness::{Scratch, Tool, require};
use berth_oci::MediaType;

const PUSH: &str = r"
import sys, oras.client
client = oras.client.OrasClient(hostname=sys.argv[1], insecure=True)
client.push(target=sys.argv[2], files=[sys.argv[3] + ':application/vnd.example.readme', sys.argv[4]],
            disable_path_validation=True, manifest_annotations={'org.example.kind': 'test'})
";
const PULL: &str = r"
import sys, oras.client
client = oras.client.OrasClient(hostname=sys.argv[1], insecure=True)
print('\n'.join(client.pull(target=sys.argv[2], outdir=sys.argv[3])))
print('\n'.join(client.get_tags(sys.argv[2].rsplit(':', 1)[0])))
";

#[test]
fn oras_pushes_files_as_an_artifact_and_pulls_the_same_files() {
    const TOOLS: &[&str] = &["oras-python", "setpriv"];
    if !require(TOOLS) {
        return;
    }
    let (registry, scratch, repository) =
        (Registry::shared().unwrap(), Scratch::new("oras").unwrap(), new_repository("oras"));
    let image = registry.image(&repository, "v1");
    let python = |script: &str, words: &[&str]| {
        Tool::new("oras-python").unwrap().args(["-c", script, registry.host()]).args(words).run().unwrap()
    };
    let readme = scratch.write("readme.txt", &repository).unwrap();
    let noise: Vec<u8> = (0..1_000_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let data = scratch.write("data.bin", &noise).unwrap();
    python(PUSH, &[&image, &readme.display().to_string(), &data.display().to_string()]);

    let held = registry.remote().unwrap().manifest(&repository, "v1").unwrap().unwrap();
    assert_eq!(held.media_type, MediaType::OCI_MANIFEST);
    assert_eq!(held.child_types()[0], "application/vnd.example.readme");
    let sent = [digest_of(repository.as_bytes()), digest_of(&noise)];
    assert_eq!(held.child_digests(), sent.each_ref().map(|digest| digest.as_str()));
    assert_eq!(held.json["annotations"]["org.example.kind"], "test");

    let out = scratch.subfolder("out").unwrap();
    let said = python(PULL, &[&image, &out.display().to_string()]);
    assert_eq!(said.lines().last(), Some("v1"));
    let pulled: Vec<_> = said.lines().filter(|line| line.contains('/')).map(std::fs::read).collect();
    let pulled: Vec<_> = pulled.into_iter().map(|file| digest_of(&file.unwrap())).collect();
    assert_eq!(pulled, sent);
}
