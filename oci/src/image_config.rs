//! Image configurations (image-spec, config.md), as the `oci-spec` crate has them.
//!
//! They are read by those who run, build or convert images; a registry never looks inside one, so
//! no rules are added here.

pub use oci_spec::image::{
    Arch, Config, ConfigBuilder, History, HistoryBuilder, ImageConfiguration, ImageConfigurationBuilder, Os,
    RootFs, RootFsBuilder,
};
