use super::*;
use crate::record::{Records, tests::desired};

fn layer(shed: &Shed, seed: u64) -> Digest {
    let tar = Archive::new().file("same", &content(70_000, 0)).file("own", &content(70_000, seed)).end();
    shed.add(&tar, 4096).unwrap()
}

#[test]
fn an_image_is_found_by_its_names_its_id_and_its_digest() {
    let shed = Shed::new();
    let one = layer(&shed, 1);
    let image = shed.image(std::slice::from_ref(&one), &["docker.io/library/app:latest", "localhost/tool:2"]);
    assert_eq!(image.size, 140_000);
    let id = image.id.hex();
    let manifest = image.manifest.as_str();
    let pinned = format!("app@{manifest}");
    for name in [
        "app",
        "docker.io/library/app",
        "app:latest",
        "tool:2",
        &id[..3],
        id,
        image.id.as_str(),
        manifest,
        &pinned,
    ] {
        let found = shed.store.find(name).unwrap().unwrap_or_else(|| panic!("{name}"));
        assert_eq!(found.manifest, image.manifest, "{name}");
        assert_eq!(found.names, ["docker.io/library/app:latest", "localhost/tool:2"], "{name}");
    }
    let other = format!("other@{manifest}");
    for name in ["other", "tool", "app:1", &id[..2], "../app", "", &other] {
        assert!(shed.store.find(name).unwrap().is_none(), "{name}");
    }
}

#[test]
fn a_name_moves_to_the_image_that_gets_it() {
    let shed = Shed::new();
    let first = shed.image(&[layer(&shed, 1)], &["localhost/app:1"]);
    let second = shed.image(&[layer(&shed, 2)], &["localhost/app:1"]);
    assert_eq!(shed.store.find("app:1").unwrap().unwrap().manifest, second.manifest);
    let images = shed.store.images().unwrap();
    assert_eq!(images.len(), 2);
    assert_eq!(
        (&images[0].manifest, &images[1].manifest),
        (&second.manifest, &first.manifest),
        "newest first"
    );
    assert!(images[1].names.is_empty());
    assert!(shed.store.untag("localhost/app:1").unwrap());
    assert!(!shed.store.untag("localhost/app:1").unwrap());
    assert!(matches!(shed.store.tag(&first.manifest, "app"), Err(RunnerError::Usage(_))));
}

#[test]
fn an_image_without_all_its_parts_is_none() {
    let shed = Shed::new();
    let missing = digest(b"missing");
    let error =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| shed.image(&[missing], &["localhost/a:1"])));
    assert!(error.is_err());
    assert!(shed.store.images().unwrap().is_empty() && shed.store.find("a:1").unwrap().is_none());
    assert!(matches!(shed.store.add_image(&digest(b"x"), &[]), Err(RunnerError::NotFound(_))));
}

#[test]
fn what_only_a_removed_image_used_goes_with_it() {
    let shed = Shed::new();
    let (base, one, two) = (layer(&shed, 1), layer(&shed, 2), layer(&shed, 3));
    let first = shed.image(&[base.clone(), one], &["localhost/a:1"]);
    let second = shed.image(&[base.clone(), two.clone()], &["localhost/a:2"]);
    let mut user = desired("web", 0xab);
    user.image = Some(crate::record::ImageUse {
        name: "localhost/a:1".into(),
        manifest: first.manifest.clone(),
        id: first.id.clone(),
    });
    let records = Records::new(shed.store.folders());
    records.create(&user).unwrap();
    let used = shed.store.remove_image(&first.manifest).unwrap_err();
    assert!(matches!(&used, RunnerError::Conflict(text) if text.contains("web")), "{used}");
    records.remove(&user.id).unwrap();
    let freed = shed.store.remove_image(&first.manifest).unwrap();
    assert_eq!((freed.images, freed.layers, freed.objects), (1, 1, 1));
    assert!(freed.bytes >= 70_000);
    assert!(shed.store.find("a:1").unwrap().is_none());
    assert_eq!(shed.store.images().unwrap().len(), 1);
    shed.tar(&base);
    shed.tar(&two);
    assert!(shed.store.untag("localhost/a:2").unwrap());
    let (removed, freed) = shed.store.prune_images(false).unwrap();
    assert_eq!(removed, [second.manifest]);
    assert_eq!((freed.layers, freed.objects), (2, 3));
    assert!(shed.layers().is_empty());
    assert!(shed.store.all_blobs().unwrap().is_empty());
    assert!(shed.store.check().unwrap().leftovers.is_empty());
}

#[test]
fn staging_goes_when_nobody_fills_it() {
    let shed = Shed::new();
    let left = shed.store.staging("left");
    std::fs::create_dir_all(left.join("tree")).unwrap();
    let filled = std::fs::File::open(&left).unwrap();
    rustix::fs::flock(&filled, rustix::fs::FlockOperation::LockExclusive).unwrap();
    shed.store.prune_images(true).unwrap();
    assert!(left.exists() && shed.store.check().unwrap().leftovers.is_empty());
    drop(filled);
    assert_eq!(shed.store.check().unwrap().leftovers, std::slice::from_ref(&left));
    shed.store.prune_images(true).unwrap();
    assert!(!left.exists());
}

#[test]
fn nothing_is_swept_while_somebody_adds() {
    let shed = Shed::new();
    let one = layer(&shed, 1);
    let hold = shed.store.hold().unwrap();
    std::thread::scope(|scope| {
        let (sent, told) = std::sync::mpsc::channel();
        let store = &shed.store;
        scope.spawn(move || {
            store.prune_images(true).unwrap();
            sent.send(()).unwrap();
        });
        assert!(told.recv_timeout(std::time::Duration::from_millis(300)).is_err(), "it waits");
        assert!(shed.store.has_layer(&one));
        drop(hold);
        told.recv().unwrap();
    });
    assert!(!shed.store.has_layer(&one));
}

#[test]
fn f24_an_object_that_a_half_written_layer_links_to_is_not_swept() {
    let shed = Shed::new();
    // Nobody uses the first any more; what is on its way has a file in common with it.
    layer(&shed, 1);
    let tar = Archive::new().file("same", &content(70_000, 0)).file("own", &content(70_000, 2)).end();
    let Claim::New(mut writer) = shed.store.begin_layer(&digest(&tar)).unwrap() else { panic!() };
    let (first, rest) = tar.split_at(100_000);
    writer.take(first).unwrap();
    std::thread::scope(|scope| {
        let (sent, told) = std::sync::mpsc::channel();
        let store = &shed.store;
        scope.spawn(move || {
            store.prune_images(true).unwrap();
            sent.send(()).unwrap();
        });
        assert!(told.recv_timeout(std::time::Duration::from_millis(300)).is_err(), "it waits");
        assert_eq!(shed.store.all_objects().unwrap().len(), 2);
        writer.take(rest).unwrap();
        // Held on: an image is made of it before anybody sweeps.
        let hold = shed.store.hold();
        let diff_id = writer.finish().unwrap();
        assert!(shed.tar(&diff_id) == tar);
        shed.image(&[diff_id], &["localhost/a:1"]);
        drop(hold);
        told.recv().unwrap();
    });
    assert!(shed.store.check().unwrap().damage.is_empty());
}

#[test]
fn f20_damage_is_found_and_repaired() {
    let shed = Shed::new();
    let (one, two) = (layer(&shed, 1), layer(&shed, 2));
    shed.image(std::slice::from_ref(&one), &["localhost/a:1"]);
    shed.image(std::slice::from_ref(&two), &["localhost/a:2"]);
    let report = shed.store.check().unwrap();
    assert!(report.damage.is_empty() && report.leftovers.is_empty(), "{report:?}");
    assert_eq!((report.layers, report.objects), (2, 3));
    // A blob that says something else.
    let blob = shed.store.find("a:2").unwrap().unwrap().id;
    let (blob, _) = shed
        .store
        .all_blobs()
        .unwrap()
        .into_iter()
        .find(|(_, digest)| *digest == Some(blob.clone()))
        .unwrap();
    let text = std::fs::read(&blob).unwrap();
    std::fs::write(&blob, [&text[..], b" "].concat()).unwrap();
    let report = shed.store.check().unwrap();
    assert!(report.damage.iter().any(|damage| damage.to_string().starts_with(blob.to_str().unwrap())));
    std::fs::write(&blob, text).unwrap();
    // A bit of the object that only the first has.
    let own = shed.store.objects_of(&shed.store.layer_folder(&one)).unwrap();
    let others = shed.store.objects_of(&shed.store.layer_folder(&two)).unwrap();
    let own = own.iter().find(|key| !others.contains(key)).unwrap();
    let path = shed.store.folders().objects().join(own.path());
    let mut content = std::fs::read(&path).unwrap();
    content[35_000] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, content).unwrap();
    let report = shed.store.check().unwrap();
    assert_eq!(report.damage.len(), 2, "the object and the layer: {report:?}");
    let (kept, freed) = shed.store.repair(&report).unwrap();
    assert!(kept.is_empty());
    assert_eq!((freed.images, shed.store.images().unwrap().len()), (1, 1));
    let report = shed.store.check().unwrap();
    assert!(report.damage.is_empty() && report.leftovers.is_empty(), "{report:?}");
    assert_eq!(layer(&shed, 1), one);
    shed.tar(&one);
}
