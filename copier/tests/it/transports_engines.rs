//! Images to and from podman and docker.

use berth_conformance::{
    clients::Podman,
    harness::{Dockerd, Scratch, require, require_root},
};
use berth_copier::{Error, Side};

use crate::transports_carry::{carry, carry_plain, make_layout, read, session, top};

fn scratch() -> Scratch {
    let scratch = Scratch::new("transports").unwrap();
    make_layout(&scratch.join("layout"));
    scratch
}

/// Reads every blob of an image and verifies it.
async fn verify(name: &str, side: &Side) -> berth_oci::Manifest {
    let session = session();
    let source = session.source(&name.parse().unwrap(), side).await.unwrap();
    let image = source.manifest(None).await.unwrap().parse().unwrap();
    for blob in image.config.iter().chain(&image.layers) {
        let content = read(&*source.blob(blob).await.unwrap()).await.unwrap();
        assert_eq!(berth_oci::Digest::of(blob.digest.algorithm(), &content), blob.digest);
        assert_eq!(content.len() as u64, blob.size);
    }
    image
}

#[tokio::test]
async fn podman_loads_archives_of_ours_and_we_read_what_it_saves() {
    if !require(Podman::TOOLS) || !require_root() {
        return;
    }
    let (podman, scratch) = (Podman::new().unwrap(), scratch());
    let path = |name: &str| scratch.join(name).display().to_string();
    let from = format!("oci:{}:one", path("layout"));
    let archive = path("docker.tar");
    let side = Side { additional_tags: vec!["other:v2".parse().unwrap()], ..Side::default() };
    carry_plain(&from, &format!("docker-archive:{archive}:app:v1"), &side).await.unwrap();
    let loaded = podman.run(&["load", "-i", &archive]).unwrap();
    assert!(
        loaded.contains("docker.io/library/app:v1") && loaded.contains("docker.io/library/other:v2"),
        "{loaded}"
    );
    let layout = path("oci.tar");
    carry(&from, &format!("oci-archive:{layout}:docker.io/library/third:v3")).await.unwrap();
    let loaded = podman.run(&["load", "-i", &layout]).unwrap();
    assert!(loaded.contains("docker.io/library/third:v3"), "{loaded}");
    for (format, name) in [("docker-archive", "saved.tar"), ("oci-archive", "saved-oci.tar")] {
        podman.run(&["save", "--format", format, "-o", &path(name), "docker.io/library/app:v1"]).unwrap();
        let image = verify(&format!("{format}:{}", path(name)), &Side::default()).await;
        assert_eq!(image.layers.len(), 1);
    }
    podman
        .run(&[
            "save",
            "-m",
            "-o",
            &path("two.tar"),
            "docker.io/library/app:v1",
            "docker.io/library/third:v3",
        ])
        .unwrap();
    let names = session().archive_names(&scratch.join("two.tar")).await.unwrap();
    assert!(names.contains(&"docker.io/library/third:v3".to_owned()), "{names:?}");
    verify(&format!("docker-archive:{}:third:v3", path("two.tar")), &Side::default()).await;
}

#[tokio::test]
async fn docker_loads_archives_of_ours_and_we_read_what_it_saves() {
    if !require(Dockerd::TOOLS) || !require_root() {
        return;
    }
    let (engine, scratch) = (Dockerd::shared().unwrap(), scratch());
    let path = |name: &str| scratch.join(name).display().to_string();
    let from = format!("oci:{}:one", path("layout"));
    let archive = path("docker.tar");
    let side = Side { additional_tags: vec!["other:v2".parse().unwrap()], ..Side::default() };
    carry_plain(&from, &format!("docker-archive:{archive}:app:v1"), &side).await.unwrap();
    let docker = |words: &[&str]| engine.docker().unwrap().args(words.iter().copied()).run().unwrap();
    let loaded = docker(&["load", "-i", &archive]);
    assert!(loaded.contains("app:v1") && loaded.contains("other:v2"), "{loaded}");
    docker(&["save", "-o", &path("saved.tar"), "app:v1"]);
    let saved = verify(&format!("docker-archive:{}", path("saved.tar")), &Side::default()).await;
    let ours = verify(&format!("docker-archive:{archive}:app:v1"), &Side::default()).await;
    assert_eq!((saved.config, saved.layers), (ours.config, ours.layers));

    // Without a file between, both ways.
    let side = Side { daemon_host: Some(format!("unix://{}", engine.socket().display())), ..Side::default() };
    carry_plain(&from, "docker-daemon:direct:v1", &side).await.unwrap();
    assert!(docker(&["image", "ls", "-q", "direct:v1"]).len() > 10);
    let direct = verify("docker-daemon:direct:v1", &side).await;
    let id = docker(&["image", "inspect", "-f", "{{.Id}}", "direct:v1"]);
    let by_id = verify(&format!("docker-daemon:{}", id.trim()), &side).await;
    assert_eq!(direct.raw, by_id.raw);

    let session = session();
    let error = session.source(&"docker-daemon:none:v1".parse().unwrap(), &side).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    // A sink that is dropped leaves nothing.
    let sink = session.sink(&"docker-daemon:dropped:v1".parse().unwrap(), &side).await.unwrap();
    drop(sink);
    assert_eq!(docker(&["image", "ls", "-q", "dropped:v1"]), "");
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_an_error_in_dockers_words() {
    let side = Side { daemon_host: Some("unix:///nonexistent/docker.sock".to_owned()), ..Side::default() };
    let error = session().source(&"docker-daemon:x:y".parse().unwrap(), &side).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("Is the docker daemon running?"), "{error}");
    let scratch = scratch();
    let from = format!("oci:{}:one", scratch.join("layout").display());
    let error = carry_plain(&from, "docker-daemon:x:y", &side).await.unwrap_err();
    assert!(error.to_string().contains("Is the docker daemon running?"), "{error}");
    drop(top(&from).await.unwrap());
}
