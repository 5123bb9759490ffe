use proptest::prelude::*;

use super::*;

const HEX: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn parse(text: &str) -> Result<ImageName, Error> {
    text.parse()
}

#[test]
fn names_are_shown_as_they_could_be_written() {
    let with_digest = format!("docker://docker.io/library/busybox@sha256:{HEX}");
    let id = format!("docker-daemon:sha256:{HEX}");
    let sha512 = "docker-daemon:docker.io/library/sha512:x";
    for (text, shown) in [
        ("docker://busybox", "docker://busybox:latest"),
        ("docker://busybox:1", "docker://busybox:1"),
        (&with_digest, &format!("docker://busybox@sha256:{HEX}")),
        ("docker://h:5000/a/b", "docker://h:5000/a/b:latest"),
        ("docker://a@@unknown-digest@@", "docker://a@@unknown-digest@@"),
        ("dir:/a b:c", "dir:/a b:c"),
        ("dir:-", "dir:-"),
        ("oci:/a", "oci:/a"),
        ("oci:/a:", "oci:/a"),
        ("oci:a:v1", "oci:a:v1"),
        ("oci:a:docker.io/library/x:1", "oci:a:docker.io/library/x:1"),
        ("oci:a:@0", "oci:a:@0"),
        ("oci-archive:-:x", "oci-archive:-:x"),
        ("oci-archive:a.tar:@12", "oci-archive:a.tar:@12"),
        ("docker-archive:a.tar", "docker-archive:a.tar"),
        ("docker-archive:a.tar:x", "docker-archive:a.tar:docker.io/library/x:latest"),
        ("docker-archive:a.tar:h:1/x:y", "docker-archive:a.tar:h:1/x:y"),
        ("docker-archive:a.tar:@3", "docker-archive:a.tar:@3"),
        ("docker-daemon:x:y", "docker-daemon:docker.io/library/x:y"),
        ("docker-daemon:sha512:x", sha512),
        (&id, &id),
    ] {
        let name = parse(text).unwrap();
        assert_eq!(name.to_string(), *shown, "{text}");
        assert_eq!(parse(&name.to_string()).unwrap(), name, "{text}");
    }
}

#[test]
fn what_skopeo_refuses_is_refused_in_its_words() {
    let archive = format!("docker-archive:a.tar:x@sha256:{HEX}");
    let docker = format!("docker://x:y@sha256:{HEX}");
    let daemon = format!("docker-daemon:x:y@sha256:{HEX}");
    let sha512 = format!("docker-daemon:sha512:{HEX}{HEX}");
    for (text, words) in [
        ("", "Invalid image name \"\", expected colon-separated transport:reference"),
        ("busybox", "expected colon-separated transport:reference"),
        ("foo:bar", "Invalid image name \"foo:bar\", unknown transport \"foo\""),
        ("atomic:x/y", "unknown transport \"atomic\""),
        ("Docker://x", "unknown transport"),
        ("docker:x", "does not start with //"),
        ("docker://", "invalid reference format"),
        ("docker://A", "invalid reference format"),
        ("docker://x:", "invalid reference format"),
        ("docker://x:y@@unknown-digest@@", "@@unknown-digest@@"),
        ("docker://@@unknown-digest@@", "invalid reference format"),
        (&docker, "both a tag and digest"),
        ("dir:", "a path must follow"),
        ("oci:", "a path must follow"),
        ("oci::x", "a path must follow"),
        ("oci:lay:a b", "Invalid image a b"),
        ("oci:lay:-x", "Invalid image -x"),
        ("oci:lay:x-", "Invalid image x-"),
        ("oci:lay:x---y", "Invalid image"),
        ("oci:lay:x//y", "Invalid image"),
        ("oci:lay:x/-y", "Invalid image"),
        ("oci:lay:../../x", "Invalid image"),
        ("oci:lay:@", "Invalid source index"),
        ("oci:lay:@-1", "Invalid source index"),
        ("oci:lay:@x", "Invalid source index"),
        ("oci-archive:x:@99999999999999999999", "Invalid source index"),
        ("docker-archive:", "a path must follow"),
        ("docker-archive:a.tar:", "invalid reference format"),
        ("docker-archive:a.tar:@", "Invalid source index"),
        (&archive, "reference does not include a tag"),
        ("docker-daemon:x", "has neither a tag nor a digest"),
        ("docker-daemon:sha256", "is reserved"),
        ("docker-daemon:sha256:xy", "is reserved"),
        (&daemon, "both a tag and digest"),
        (&sha512, "only digest algorithm sha256 accepted"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.to_string().contains(words), "{text}: {error}");
        assert_eq!(error.exit_code(), 2, "{text}");
    }
}

#[test]
fn transports_of_others_are_named_as_such() {
    for text in ["containers-storage:x", "sif:x", "ostree:x", "tarball:x"] {
        assert!(matches!(parse(text), Err(Error::Unsupported(_))), "{text}");
    }
}

#[test]
fn c12_messages_hold_no_control_characters() {
    for text in ["\x1b[2J", "\x1b[2J:x", "docker:\x1b[2J", "oci:a:\x1b[2J", "docker://\x1b[2J", "oci:a:@\x1b"]
    {
        let message = parse(text).unwrap_err().to_string();
        assert!(!message.contains('\x1b'), "{message:?}");
    }
}

/// containers/image's expression for the name of a layout's image.
fn is_ref_name_by_expression(text: &str) -> bool {
    const COMPONENT: &str = "[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*";
    regex_automata::meta::Regex::new(&format!("^{COMPONENT}(?:/{COMPONENT})*$")).unwrap().is_match(text)
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".*") {
        let _name = parse(&text);
    }

    #[test]
    fn whatever_parses_is_shown_so_that_it_parses_again(
        transport in "docker:/?/?|dir:|oci:|oci-archive:|docker-archive:|docker-daemon:",
        rest in "[a-z0-9:@/._-]{0,24}(@@unknown-digest@@)?",
    ) {
        if let Ok(name) = parse(&format!("{transport}{rest}")) {
            prop_assert_eq!(parse(&name.to_string()).unwrap(), name);
        }
    }

    #[test]
    fn names_in_layouts_are_those_of_the_expression(text in "[aB0._:@+/-]{1,8}") {
        let taken = matches!(
            parse(&format!("oci:x:{text}")),
            Ok(ImageName::Oci { image: LayoutImage::Named(_), .. })
        );
        prop_assert_eq!(taken, is_ref_name_by_expression(&text));
    }
}
