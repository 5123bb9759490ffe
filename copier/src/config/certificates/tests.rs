use std::os::unix::fs::{PermissionsExt as _, symlink};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use super::*;

const HOST: &str = "h.test:5000";

struct Machine {
    folder: TempDir,
    environment: Environment,
    pair: CertifiedKey<rcgen::KeyPair>,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::under(folder.path());
        Self { folder, environment, pair: generate_simple_self_signed(["h.test".to_owned()]).unwrap() }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn certificate(&self) -> String {
        self.pair.cert.pem()
    }

    fn key(&self) -> String {
        self.pair.signing_key.serialize_pem()
    }

    fn find(&self) -> Result<HostCertificates> {
        HostCertificates::find_in(HOST, None, &self.environment)
    }
}

#[test]
fn nothing_is_the_usual_case() {
    assert!(Machine::new().find().unwrap().is_empty());
}

#[test]
fn the_first_folder_that_is_there_counts_alone() {
    let machine = Machine::new();
    let folders = ["home/.config/containers/certs.d", "etc/containers/certs.d", "etc/docker/certs.d"];
    for (number, folder) in folders.iter().enumerate().rev() {
        machine.write(&format!("{folder}/{HOST}/ca.crt"), machine.certificate().repeat(number + 1));
        assert_eq!(machine.find().unwrap().roots.len(), number + 1, "{folder}");
    }
    // The port is part of the name.
    assert!(HostCertificates::find_in("h.test", None, &machine.environment).unwrap().is_empty());
    let named = machine.write("named/a.crt", machine.certificate());
    machine.write("named/b.crt", machine.certificate());
    let found = HostCertificates::find_in(HOST, named.parent(), &machine.environment).unwrap();
    assert_eq!(found.roots.len(), 2);
    assert_eq!(found.roots[0].as_ref(), machine.pair.cert.der().as_ref());
}

#[test]
fn a_pair_is_who_to_be() {
    let machine = Machine::new();
    let folder = format!("etc/containers/certs.d/{HOST}");
    machine.write(&format!("{folder}/client.cert"), machine.certificate().repeat(2));
    machine.write(&format!("{folder}/client.key"), machine.key());
    machine.write(&format!("{folder}/README"), "not a certificate");
    let found = machine.find().unwrap();
    assert_eq!((found.roots.len(), found.clients.len(), found.clients[0].chain.len()), (0, 1, 2));
    assert_eq!(found.clients[0].key.secret_der(), machine.pair.signing_key.serialized_der());
    let shown = format!("{found:?}");
    assert!(!shown.contains(&format!("{:?}", machine.pair.signing_key.serialized_der())), "{shown}");
}

#[test]
fn half_a_pair_is_an_error_that_names_the_other_half() {
    for (there, missing) in [("client.cert", "client.key"), ("client.key", "client.cert")] {
        let machine = Machine::new();
        let path = machine.write(&format!("etc/docker/certs.d/{HOST}/{there}"), machine.certificate());
        let error = machine.find().unwrap_err().to_string();
        assert!(error.starts_with(path.with_file_name(missing).to_str().unwrap()), "{error}");
        assert!(error.contains(there), "{error}");
    }
}

fn hostile() -> [Vec<u8>; 6] {
    let broken = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    let long = format!("-----BEGIN {}", "hunter2".repeat(100_000));
    [b"".to_vec(), b"hello".to_vec(), b"\0\xff".to_vec(), broken.into(), empty.into(), long.into()]
}

#[test]
fn roots_are_taken_from_whatever_stands_around_them() {
    for content in hostile() {
        let machine = Machine::new();
        let path = machine.write(&format!("etc/docker/certs.d/{HOST}/ca.crt"), &content);
        assert!(machine.find().unwrap().is_empty());
        let ended = [content.as_slice(), b"\n-----END CERTIFICATE-----\n"].concat();
        fs::write(&path, [&ended, machine.certificate().as_bytes()].concat()).unwrap();
        assert_eq!(
            machine.find().unwrap().roots.len(),
            1,
            "{}",
            String::from_utf8_lossy(&content[..content.len().min(80)])
        );
    }
    let machine = Machine::new();
    let no_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    machine.write(&format!("etc/docker/certs.d/{HOST}/ca.crt"), no_x509);
    assert!(machine.find().unwrap().is_empty());
}

#[test]
fn a_pair_that_holds_something_else_is_an_error_without_secrets() {
    let large = vec![b'-'; super::super::MAX_FILE + 1];
    for content in hostile().into_iter().chain([large]) {
        for faulty in ["c.key", "c.cert"] {
            let machine = Machine::new();
            let folder = format!("etc/docker/certs.d/{HOST}");
            machine.write(&format!("{folder}/c.cert"), machine.certificate());
            machine.write(&format!("{folder}/c.key"), machine.key());
            let path = machine.write(&format!("{folder}/{faulty}"), &content);
            let error = machine.find().unwrap_err().to_string();
            assert!(error.starts_with(path.to_str().unwrap()) && error.len() < 300, "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

#[test]
fn a_link_to_nothing_and_a_folder_that_may_not_be_read_are_passed_over() {
    let machine = Machine::new();
    let good = machine.write(&format!("etc/docker/certs.d/{HOST}/a.crt"), machine.certificate());
    symlink("/nowhere", good.with_file_name("b.crt")).unwrap();
    assert_eq!(machine.find().unwrap().roots.len(), 1);
    let folder = good.parent().unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything.
    let expected = usize::from(fs::read_dir(folder).is_ok());
    let found = machine.find();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(found.unwrap().roots.len(), expected);
}

#[test]
fn a_host_never_leads_out_of_the_folder() {
    let machine = Machine::new();
    for host in ["", ".", "..", "../..", "/etc", "a/b", "a\\b", "a\0b"] {
        assert!(HostCertificates::find_in(host, None, &machine.environment).is_err(), "{host:?}");
    }
}
