//! Which instance of an index is meant where one platform is wanted (image-spec, image-index.md, "platform").
//!
//! The order of preference is that of Skopeo's users: a variant before the older ones that it can run, an entry without
//! a platform last, and of equals the one that needs zstd, since it is there to be preferred.

use berth_oci::{Descriptor, Manifest, MediaType, Platform};

use crate::{Error, Result};

/// Annotation of an index's entry whose layers are zstd ("true").
pub(super) const ZSTD_INSTANCE: &str = "io.github.containers.compression.zstd";

/// Variants that a processor with the first of them can run, most capable first.
const COMPATIBLE: [(&str, &[&str]); 2] = [("arm", &["v8", "v7", "v6", "v5"]), ("arm64", &["v8"])];

/// The platform of this machine, in Go's words.
#[must_use]
pub fn host() -> Platform {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        "mips" if cfg!(target_endian = "little") => "mipsle",
        "mips64" if cfg!(target_endian = "little") => "mips64le",
        other => other,
    };
    // 64 bits of ARM have one variant in use; 32 bits are told apart by the kernel's word for the processor.
    let variant = match architecture {
        "arm64" => Some("v8".to_owned()),
        "arm" => std::fs::read_to_string("/proc/cpuinfo").ok().as_deref().and_then(arm_variant),
        _ => None,
    };
    Platform { architecture: architecture.to_owned(), os: os.to_owned(), variant, ..Platform::default() }
}

fn arm_variant(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.to_ascii_lowercase().starts_with("cpu architecture"))?;
    let word = line.split_once(':')?.1.trim().to_ascii_lowercase();
    if word == "aarch64" {
        return Some("v8".to_owned());
    }
    word.chars().next().filter(|digit| ('5'..='8').contains(digit)).map(|digit| format!("v{digit}"))
}

/// The platforms that will do, best first: `overrides` (`--override-os` and its like) over `host`.
///
/// An architecture that was given keeps no variant of the host: nobody knows whether it would be meant.
#[must_use]
pub fn wanted(overrides: &Platform, host: &Platform) -> Vec<Platform> {
    let given = |given: &str, host: &str| if given.is_empty() { host.to_owned() } else { given.to_owned() };
    let architecture = given(&overrides.architecture, &host.architecture);
    let os = given(&overrides.os, &host.os);
    let detected = || host.variant.clone().filter(|_| overrides.architecture.is_empty());
    let variant = overrides.variant.clone().filter(|variant| !variant.is_empty()).or_else(detected);
    let known = COMPATIBLE.iter().find(|(name, _)| *name == architecture).map(|(_, variants)| *variants);
    let variants: Vec<Option<String>> = match variant {
        Some(variant) => {
            let older = known.and_then(|all| all.iter().position(|v| *v == variant).map(|at| &all[at..]));
            let fit =
                older.map_or_else(|| vec![variant], |older| older.iter().map(ToString::to_string).collect());
            fit.into_iter().map(Some).chain([None]).collect()
        }
        None if architecture == "arm64" => vec![None, Some("v8".to_owned())],
        None => vec![None],
    };
    let platform = |variant| Platform {
        architecture: architecture.clone(),
        os: os.clone(),
        variant,
        ..Platform::default()
    };
    variants.into_iter().map(platform).collect()
}

/// The entry of an index for the best of the wanted platforms.
///
/// # Errors
/// `Error::NotFound` that names what was wanted and what there is.
pub(crate) fn choose<'a>(index: &'a Manifest, wanted: &[Platform], place: &str) -> Result<&'a Descriptor> {
    // Docker's lists have to give a platform; an entry of OCI's index without one runs anywhere.
    let anywhere = index.media_type.as_str() != MediaType::DOCKER_LIST;
    let rank = |entry: &Descriptor| match &entry.platform {
        Some(platform) => wanted.iter().position(|wanted| same(platform, wanted)),
        None => anywhere.then_some(usize::MAX),
    };
    let zstd = |entry: &Descriptor| entry.annotations.get(ZSTD_INSTANCE).is_some_and(|value| value == "true");
    let candidates = index.manifests.iter().filter_map(|entry| Some(((rank(entry)?, !zstd(entry)), entry)));
    candidates.min_by_key(|(key, _)| *key).map(|(_, entry)| entry).ok_or_else(|| none(index, wanted, place))
}

fn same(platform: &Platform, wanted: &Platform) -> bool {
    let variant = |platform: &Platform| platform.variant.clone().unwrap_or_default();
    platform.architecture == wanted.architecture
        && platform.os == wanted.os
        && variant(platform) == variant(wanted)
}

fn none(index: &Manifest, wanted: &[Platform], place: &str) -> Error {
    let list =
        if index.media_type.as_str() == MediaType::DOCKER_LIST { "manifest list" } else { "image index" };
    let best = wanted.first().cloned().unwrap_or_default();
    Error::NotFound {
        what: format!(
            "no image found in {list} for architecture {:?}, variant {:?}, OS {:?}",
            best.architecture,
            best.variant.unwrap_or_default(),
            best.os
        ),
        place: place.to_owned(),
        reason: format!("it has {}", available(index)),
    }
}

/// The platforms of an index for people, each once.
pub(super) fn available(index: &Manifest) -> String {
    let mut names: Vec<String> = Vec::new();
    for platform in index.manifests.iter().filter_map(|entry| entry.platform.as_ref()) {
        let name = platform.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { "no platforms".to_owned() } else { names.join(", ") }
}

/// Whether an entry is for a platform that was asked for by name: without a variant all variants are meant.
pub(crate) fn named(entry: &Descriptor, asked: &Platform) -> bool {
    entry.platform.as_ref().is_some_and(|platform| {
        platform.os == asked.os
            && platform.architecture == asked.architecture
            && asked.variant.as_ref().is_none_or(|variant| platform.variant.as_ref() == Some(variant))
    })
}

/// Asserts that an index has an entry for every platform asked for.
pub(super) fn check_named(index: &Manifest, asked: &[Platform], place: &str) -> Result<()> {
    let missing = |asked: &&Platform| !index.manifests.iter().any(|entry| named(entry, asked));
    let missing: Vec<String> = asked.iter().filter(missing).map(ToString::to_string).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::NotFound {
        what: format!("requested platforms not found in image: {}", missing.join(", ")),
        place: place.to_owned(),
        reason: format!("it has {}", available(index)),
    })
}

#[cfg(test)]
mod tests {
    use berth_oci::{Algorithm, Digest};

    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    fn names(platforms: &[Platform]) -> Vec<String> {
        platforms.iter().map(ToString::to_string).collect()
    }

    fn index(entries: &[&str]) -> Manifest {
        let manifests: Vec<_> = entries
            .iter()
            .map(|text| {
                let (name, zstd) = text.strip_suffix('!').map_or((*text, false), |name| (name, true));
                let digest = Digest::of(Algorithm::Sha256, text.as_bytes());
                let mut entry = Descriptor::new(MediaType::OCI_MANIFEST.into(), digest, 1);
                entry.platform = (name != "-").then(|| platform(name));
                if zstd {
                    entry.annotations.insert(ZSTD_INSTANCE.to_owned(), "true".to_owned());
                }
                entry
            })
            .collect();
        let document = serde_json::json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": manifests});
        Manifest::parse(serde_json::to_vec(&document).unwrap().into(), None).unwrap()
    }

    #[test]
    fn a_variant_is_followed_by_the_older_ones_that_it_runs() {
        let none = Platform::default();
        for (overrides, host, expected) in [
            ("", "linux/amd64", &["linux/amd64"][..]),
            ("", "linux/arm/v7", &["linux/arm/v7", "linux/arm/v6", "linux/arm/v5", "linux/arm"]),
            ("", "linux/arm64/v8", &["linux/arm64/v8", "linux/arm64"]),
            ("linux/arm64", "linux/amd64", &["linux/arm64", "linux/arm64/v8"]),
            ("linux/arm/v6", "linux/amd64", &["linux/arm/v6", "linux/arm/v5", "linux/arm"]),
            ("linux/arm", "linux/arm/v7", &["linux/arm"]),
            ("linux/arm64/v9", "linux/amd64", &["linux/arm64/v9", "linux/arm64"]),
            ("windows/amd64", "linux/amd64", &["windows/amd64"]),
        ] {
            let overrides = if overrides.is_empty() { none.clone() } else { platform(overrides) };
            assert_eq!(names(&wanted(&overrides, &platform(host))), expected, "{overrides} on {host}");
        }
    }

    #[test]
    fn the_best_entry_is_chosen_whatever_its_place() {
        for (entries, want, chosen) in [
            (&["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"][..], "linux/arm/v6", Some(2)),
            (&["linux/arm/v5", "linux/arm/v7"], "linux/arm/v6", Some(0)),
            (&["linux/amd64", "linux/amd64!"], "linux/amd64", Some(1)),
            (&["-", "linux/amd64"], "linux/amd64", Some(1)),
            (&["windows/amd64", "-"], "linux/amd64", Some(1)),
            (&["linux/arm64", "windows/amd64"], "linux/amd64", None),
            (&["linux/arm/v8"], "linux/arm/v7", None),
        ] {
            let index = index(entries);
            let wanted = wanted(&platform(want), &platform("linux/s390x"));
            let found = choose(&index, &wanted, "docker://here/it").ok();
            assert_eq!(found, chosen.map(|at: usize| &index.manifests[at]), "{want} of {entries:?}");
        }
    }

    #[test]
    fn the_error_names_what_was_wanted_and_what_there_is() {
        let wanted = wanted(&platform("linux/arm64"), &platform("linux/amd64"));
        let error =
            choose(&index(&["linux/amd64", "linux/arm/v7"]), &wanted, "docker://here/it").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no image found in image index for architecture \"arm64\", variant \"\", OS \"linux\" in docker://here/it: \
             it has linux/amd64, linux/arm/v7"
        );
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn platforms_by_name_take_every_variant_or_the_one_given() {
        let index = index(&["linux/arm/v6", "linux/arm/v7", "linux/amd64"]);
        let count = |asked: &str| index.manifests.iter().filter(|e| named(e, &platform(asked))).count();
        assert_eq!([count("linux/arm"), count("linux/arm/v7"), count("linux/s390x")], [2, 1, 0]);
        assert!(check_named(&index, &[platform("linux/arm")], "x").is_ok());
        let error =
            check_named(&index, &[platform("linux/amd64"), platform("linux/s390x")], "x").unwrap_err();
        assert!(error.to_string().starts_with("requested platforms not found in image: linux/s390x in x"));
    }

    #[test]
    fn a_processors_own_word_gives_its_variant() {
        for (line, variant) in [
            ("CPU architecture: 7", Some("v7")),
            ("CPU architecture\t: 8", Some("v8")),
            ("CPU architecture: AArch64", Some("v8")),
            ("CPU architecture: 6TEJ", Some("v6")),
            ("CPU architecture: x", None),
            ("processor: 0", None),
        ] {
            assert_eq!(arm_variant(&format!("processor : 0\n{line}\n")).as_deref(), variant, "{line}");
        }
    }
}
