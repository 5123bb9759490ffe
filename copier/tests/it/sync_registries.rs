//! `sync` between registries: what it costs, what it deletes, what it says.

use berth_conformance::harness::{Berth, CountingProxy, DockerRegistry, Scratch, require};

use crate::{
    sync_lab::{Direct, copier, done, failed, sync},
    transports_carry::make_layout,
};

struct Lab {
    source: Berth,
    target: DockerRegistry,
    scratch: Scratch,
}

impl Lab {
    fn new(name: &str) -> Option<Self> {
        if !require(DockerRegistry::TOOLS) {
            return None;
        }
        let scratch = Scratch::new(name).unwrap();
        make_layout(&scratch.join("layout"));
        Some(Self {
            source: Berth::builder().start().unwrap(),
            target: DockerRegistry::start().unwrap(),
            scratch,
        })
    }

    /// Puts an image of the layout under tags.
    fn fill(&self, image: &str, repository: &str, tags: &[&str]) {
        let from = format!("oci:{}:{image}", self.scratch.join("layout").display());
        for tag in tags {
            let to = format!("docker://{}/{repository}:{tag}", self.source.host());
            done(&self.scratch, &["copy", "--all", "--dest-tls-verify=false", &from, &to]);
        }
    }

    fn run(&self, arguments: &[&str]) -> String {
        done(&self.scratch, &sync(arguments))
    }

    fn tags(&self, host: &str, repository: &str) -> Vec<String> {
        let list = done(
            &self.scratch,
            &["list-tags", "--tls-verify=false", &format!("docker://{host}/{repository}")],
        );
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        let tags = list["Tags"].as_array().unwrap();
        let mut tags: Vec<_> = tags.iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
        tags.sort();
        tags
    }
}

#[test]
fn a_hundred_unchanged_tags_cost_two_heads_each() {
    let Some(lab) = Lab::new("sync-cost") else { return };
    lab.fill("multi", "team/app", &["n0"]);
    let source = Direct::new(&format!("{}/team/app", lab.source.host()));
    source.tag("n0", (1..100).map(|n| format!("n{n}")));
    let (near, far) = (
        CountingProxy::start(&lab.source.host()).unwrap(),
        CountingProxy::start(&lab.target.host()).unwrap(),
    );
    let (from, to) = (format!("{}/team/app", near.host()), format!("{}/mirror", far.host()));
    let arguments = ["--all", "-s", "docker", "-d", "docker", &from, &to];
    lab.run(&arguments);
    assert_eq!(lab.tags(&lab.target.host(), "mirror/app").len(), 100);
    let (_, _) = (near.take(), far.take());

    let report = lab.run(&[&["--report", "json"][..], &arguments].concat());
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let images = report["images"].as_array().unwrap();
    assert!(images.len() == 100 && images.iter().all(|image| image["action"] == "skip"), "{report}");
    let (near, far) = (near.take(), far.take());
    let total = near.total() + far.total();
    assert!(total <= 210, "{total} requests: {near:?} {far:?}");
    assert_eq!(near.requests.get("GET tags"), Some(&1), "{near:?}");
}

#[test]
fn what_the_source_has_no_more_is_pruned_and_a_dry_run_says_so_first() {
    let Some(lab) = Lab::new("sync-prune") else { return };
    lab.fill("one", "team/app", &["1", "2", "keep"]);
    let host = lab.source.host();
    let (from, to) = (format!("{host}/team/app"), format!("{host}/mirror"));
    let arguments = ["-s", "docker", "-d", "docker", "--exclude", "keep*", &from, &to];
    lab.run(&arguments);
    lab.fill("one", "mirror/app", &["keep-me"]);
    lab.run(&arguments);
    Direct::new(&from).delete("1");
    assert_eq!(lab.tags(&host, "mirror/app"), ["1", "2", "keep-me"]);

    let pruning = [&["--prune"][..], &arguments].concat();
    let plan = lab.run(&[&["--dry-run"][..], &pruning].concat());
    assert!(plan.contains(&format!("delete docker://{to}/app:1 sha256:")), "{plan}");
    assert!(plan.contains(&format!("skip   docker://{from}:2 -> docker://{to}/app:2 sha256:")), "{plan}");
    assert_eq!(lab.tags(&host, "mirror/app").len(), 3);
    lab.run(&pruning);
    assert_eq!(lab.tags(&host, "mirror/app"), ["2", "keep-me"]);
}

#[test]
fn a_registry_that_deletes_by_digest_alone_keeps_its_tags_and_the_sync_says_why() {
    let Some(lab) = Lab::new("sync-no-delete") else { return };
    lab.fill("one", "team/app", &["1", "2"]);
    let (from, to) = (format!("{}/team/app", lab.source.host()), format!("{}/mirror", lab.target.host()));
    let arguments = ["--prune", "-s", "docker", "-d", "docker", &from, &to];
    lab.run(&arguments);
    Direct::new(&from).delete("1");
    let (code, told) = failed(&lab.scratch, &sync(&arguments));
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("does not delete tags alone"), "{told}");
    assert_eq!(lab.tags(&lab.target.host(), "mirror/app"), ["1", "2"], "2 has the digest of 1 and stays");
}

#[test]
fn a_list_with_ranges_latest_and_platforms_takes_what_it_says() {
    let Some(lab) = Lab::new("sync-ranges") else { return };
    lab.fill("multi", "team/app", &["1.9", "1.10", "1.10.1", "2.0-rc1", "2.0", "edge"]);
    lab.fill("one", "team/tool", &["a"]);
    let list = format!(
        "{}:\n  tls-verify: false\n  images:\n    team/tool: []\n  images-by-semver:\n    team/app: \"^1\"\n  \
         latest: 2\n  platforms: [linux/arm64]\n",
        lab.source.host()
    );
    let path = lab.scratch.write("list.yml", list).unwrap().display().to_string();
    let to = format!("{}/mirror", lab.target.host());
    let (code, told) =
        failed(&lab.scratch, &["sync", "-s", "yaml", "-d", "docker", "--dest-tls-verify=false", &path, &to]);
    // This destination wants every child of an index to be there, and the plain image has another platform.
    assert!(code > 0, "{told}");

    let layout = lab.scratch.join("out").display().to_string();
    done(&lab.scratch, &["sync", "-s", "yaml", "-d", "oci", "--keep-going", &path, &layout]);
    let index = std::fs::read_to_string(lab.scratch.join("out/index.json")).unwrap();
    assert!(
        index.contains("app:1.10\"") && index.contains("app:1.10.1\"") && index.contains("tool:a\""),
        "{index}"
    );
    assert!(!index.contains("app:1.9\"") && !index.contains("app:2.0"), "{index}");
}

#[test]
fn a_missing_image_fails_with_its_name_and_keep_going_copies_the_others() {
    let Some(lab) = Lab::new("sync-keep-going") else { return };
    lab.fill("one", "team/app", &["1"]);
    let list = format!(
        "{}:\n  tls-verify: false\n  images:\n    team/app: [\"0\", \"1\"]\n    none: []\n",
        lab.source.host()
    );
    let path = lab.scratch.write("list.yml", list).unwrap().display().to_string();
    let (to, digests) = (lab.scratch.join("out").display().to_string(), lab.scratch.join("digests"));
    let digestfile = digests.display().to_string();
    let finished = copier(
        &lab.scratch,
        &["sync", "--keep-going", "--digestfile", &digestfile, "-s", "yaml", "-d", "dir", &path, &to],
    );
    assert_eq!(finished.status.code(), Some(2), "{}", finished.stderr);
    let missing = format!("docker://{}/team/app:0", lab.source.host());
    assert!(finished.stderr.contains(&missing), "{}", finished.stderr);
    assert!(finished.stderr.contains("/none"), "{}", finished.stderr);
    assert!(finished.stderr.contains("Sync failed due to previous reported error(s)"), "{}", finished.stderr);
    let lines = std::fs::read_to_string(digests).unwrap();
    assert!(lines.starts_with("sha256:") && lines.ends_with(&format!(" dir:{to}/app:1\n")), "{lines}");
    assert_eq!(lines.lines().count(), 1);
}

#[test]
fn a_faulty_list_is_told_in_full_before_anything_is_asked() {
    let scratch = Scratch::new("sync-faults").unwrap();
    let path =
        scratch.write("list.yml", "quay.io:\n  imgaes: {}\n  latest: none\n").unwrap().display().to_string();
    let (code, told) = failed(&scratch, &["sync", "-s", "yaml", "-d", "dir", &path, "out"]);
    assert_eq!(code, 1);
    assert!(told.contains("2 problems") && told.contains("line 2: ") && told.contains("line 3: "), "{told}");
}
