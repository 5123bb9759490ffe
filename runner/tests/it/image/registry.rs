//! A registry of ours, and images that buildah made: pulled, pushed, compared.

use berth_conformance::harness::{Berth, Scratch, Tool, require, require_root};

use super::{done, refused};
use crate::program::Runner;

/// Pushes an image of two layers: hard links, attributes, setuid, a FIFO, owners; then a whiteout, an opaque folder, a
/// changed mode.
fn image(berth: &Berth, scratch: &Scratch) -> String {
    let script = r#"set -e
b() { buildah --root "$ROOT" --runroot "$RUN" --storage-driver overlay "$@"; }
c=$(b from scratch); m=$(b mount $c)
mkdir -p $m/bin $m/etc $m/opt/old $m/var
cp /bin/busybox $m/bin/busybox; ln $m/bin/busybox $m/bin/sh; ln -s busybox $m/bin/ls
cp /bin/busybox $m/bin/su; chmod 4755 $m/bin/su
echo old > $m/opt/old/file; echo gone > $m/etc/gone; echo x > $m/etc/shadow; chown 1000:1000 $m/opt/old/file; mkfifo $m/var/fifo
python3 -c 'import os,sys; os.setxattr(sys.argv[1], "user.note", b"hello")' $m/bin/busybox
b umount $c >/dev/null; b config --cmd /bin/sh $c; b commit -q $c localhost/base:1
c=$(b from localhost/base:1); m=$(b mount $c)
rm -rf $m/opt/old; mkdir $m/opt/old; echo new > $m/opt/old/new; rm $m/etc/gone; chmod 600 $m/etc/shadow
head -c 300000 /dev/urandom > $m/large
b umount $c >/dev/null; b commit -q $c localhost/app:1
b push -q --tls-verify=false localhost/app:1 docker://$HOST/team/app:1
b rm -a >/dev/null; b rmi -a -f >/dev/null
"#;
    Tool::new("sh")
        .unwrap()
        .args(["-c", script])
        .env("ROOT", scratch.subfolder("root").unwrap())
        .env("RUN", scratch.subfolder("run").unwrap())
        .env("HOST", berth.host())
        .run()
        .unwrap();
    format!("{}/team/app:1", berth.host())
}

fn digest_at(name: &str) -> String {
    let tool = Tool::new("skopeo").unwrap();
    let name = format!("docker://{name}");
    tool.args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &name])
        .run()
        .unwrap()
        .trim()
        .to_owned()
}

#[test]
fn an_image_comes_from_our_registry_and_goes_back_with_the_same_digest() {
    if !require_root() || !require(&["buildah", "skopeo"]) {
        return;
    }
    let (berth, scratch) = (Berth::builder().start().unwrap(), Scratch::new("pull").unwrap());
    let name = image(&berth, &scratch);
    let digest = digest_at(&name);
    let runner = Runner::new();
    done(&runner, &["pull", "-q", "--tls-verify=false", &name]);
    assert_eq!(done(&runner, &["images", "--format", "{{.Digest}}"]), digest);

    // Everything is there: nothing is sent, and under another repository it is mounted.
    assert_eq!(done(&runner, &["push", "--tls-verify=false", &name]), digest);
    let other = format!("{}/another/app:2", berth.host());
    assert_eq!(done(&runner, &["push", "--tls-verify=false", &name, &other]), digest);
    assert_eq!(digest_at(&other), digest);

    // A registry that has nothing gets layers that are packed anew, of the same content.
    let second = Berth::builder().start().unwrap();
    let there = format!("{}/app:1", second.host());
    let file = scratch.join("digest");
    let pushed =
        done(&runner, &["push", "--tls-verify=false", "--digestfile", file.to_str().unwrap(), &name, &there]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), pushed);
    assert_eq!(digest_at(&there), pushed);
    let back = Runner::new();
    done(&back, &["pull", "-q", "--tls-verify=false", &there]);
    let layers = |runner: &Runner, name: &str| {
        done(runner, &["image", "inspect", "-f", "{{.Id}} {{.RootFS.Layers}}", name])
    };
    assert_eq!(layers(&back, &there), layers(&runner, &name));
    assert!(back.run(&["check"]).status.success());
}

#[test]
fn an_image_is_pulled_by_digest_and_all_tags_by_one_command() {
    if !require_root() || !require(&["buildah", "skopeo"]) {
        return;
    }
    let (berth, scratch) = (Berth::builder().start().unwrap(), Scratch::new("digest").unwrap());
    let name = image(&berth, &scratch);
    let runner = Runner::new();
    let pinned = format!("{}/team/app@{}", berth.host(), digest_at(&name));
    done(&runner, &["pull", "-q", "--tls-verify=false", &pinned]);
    assert_eq!(done(&runner, &["images", "--format", "{{.Tag}}"]), "<none>");
    done(&runner, &["image", "exists", &pinned]);
    done(&runner, &["push", "-q", "--tls-verify=false", &pinned, &format!("{}/team/app:2", berth.host())]);
    let all = Runner::new();
    done(&all, &["pull", "-q", "--all-tags", "--tls-verify=false", &format!("{}/team/app", berth.host())]);
    assert_eq!(done(&all, &["images", "--sort", "tag", "--format", "{{.Tag}}"]), "1\n2");
    let missing = format!("{}/team/none:1", berth.host());
    refused(&runner, 1, &["pull", "--tls-verify=false", &missing]);
}
